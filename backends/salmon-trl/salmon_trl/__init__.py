"""SALMON's training stages on Hugging Face TRL."""

__version__ = "0.1.0"
