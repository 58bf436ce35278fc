"""Found by pytest: what a contract asserts is shown with its values, like an assertion of the author's own."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("salmon_core.testing.contracts", "salmon_core.testing.registry")
