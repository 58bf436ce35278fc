"""A run's folder, its models and its processes."""
