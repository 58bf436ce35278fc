"""Preferences from a model that judges its own completions (arXiv 2310.05910, 3.1 and 3.2)."""
