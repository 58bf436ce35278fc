"""The experiments behind the claims, on the embedded world, three seeds each: `make prove`.

The first question of benchmarks/prove_all.py, whose runs it shares. Prints the claims as one table; exit code 1 if one
does not hold. Writes no page.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from evidence.folder import ROOT, Folder
from evidence.question import BASE
from evidence.questions.experiments import QUESTION, claims
from evidence.results import Results
from evidence.runner import run_all


def main() -> int:
    """Runs what is not finished; prints all claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=min(3, os.cpu_count() or 1), help="seeds run at once")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "evidence")
    options = parser.parse_args()
    folder, seeds = Folder(options.folder), range(1, options.seeds + 1)
    failed = run_all([QUESTION], seeds, folder, jobs=options.jobs)
    results = Results(folder, tuple(seeds), folder.path, "")
    print(f"{'':66}{'mean, 95 % over seeds':26}{'by seed':28}")
    found = claims(results)
    for claim in found:
        values = " ".join(f"{value:.3f}" for value in claim.interval.values.values())
        told = claim.interval.text(signed=True, digits=3)
        print(f"{claim.text:66}{told:26}{values:28}{claim.verdict and f'  {claim.verdict}'}")
    print("\ndeviations from the paper's numbers (base):")
    report = results.report(BASE, 1) or {}
    for item in report.get("deviations", []):
        print(f"  {item['what']}: {item['paper']} -> {item['here']}")
    return 1 if failed or any(claim.holds is False for claim in found) else 0


if __name__ == "__main__":
    sys.exit(main())
