"""Symbolic rewards (arXiv 2310.05910, 3.3), one per module."""
