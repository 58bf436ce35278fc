"""Every question about the method on the embedded world, five seeds each, and the page that says what came out.

    python benchmarks/prove_all.py                          # all of it: hours; the same command again continues
    python benchmarks/prove_all.py --only scale --seeds 1   # a part; the page says how many seeds each question has
    python benchmarks/prove_all.py --write-only             # the page again, of what is there

Runs go to runs/evidence/, the page to docs/evidence.md. See benchmarks/evidence/.
"""

from __future__ import annotations

import sys

from evidence.main import main

if __name__ == "__main__":
    sys.exit(main())
