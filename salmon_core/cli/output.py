"""Standard output, for results that a person reads."""

from __future__ import annotations

import sys

from rich.console import Console

OUT = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
ERR = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
