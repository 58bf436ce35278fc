"""A reward model's report card: whether its principles can be trusted."""
