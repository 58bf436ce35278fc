"""In the place of flash-attn: the four pure-PyTorch helpers that OpenRLHF imports when it starts, no attention."""

__version__ = "2.8.3"
