"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no fault of what is tested, and a failure is one that everybody sees.
settings.register_profile("salmon", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("salmon")
