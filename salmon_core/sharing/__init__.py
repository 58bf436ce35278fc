"""What leaves a run: models and data that say themselves how they are used, and whether others get the same rewards."""
