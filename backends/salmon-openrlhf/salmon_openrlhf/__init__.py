"""OpenRLHF backend of salmon-core."""

__version__ = "0.1.0"
