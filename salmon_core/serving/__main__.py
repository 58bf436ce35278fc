"""`python -m salmon_core.serving job.json`: the reward of a trainer's job, as a service beside its steps."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmon_core.errors import SalmonError
from salmon_core.launch import fail


def main() -> None:
    """Serves; an error is left in `error.json`, where the pipeline finds it."""
    parser = argparse.ArgumentParser(prog="python -m salmon_core.serving", description=__doc__)
    parser.add_argument("job", type=Path)
    parser.add_argument("--host", default="127.0.0.1", help="where other machines reach it")
    parser.add_argument("--ready-file", type=Path, help="by default services/reward.json beside the job")
    parser.add_argument("--raw", action="store_true", help="also OpenRLHF's protocol, at /get_reward/TOKEN")
    asked = parser.parse_args()
    try:
        from salmon_core.serving.run import Settings, serve
        from salmon_core.serving.sources import from_job

        serve(from_job(asked.job), Settings(host=asked.host, ready_file=asked.ready_file, raw=asked.raw))
    except SalmonError as error:
        fail(error)
    except OSError as error:
        fail(SalmonError(error.strerror or str(error), where=str(error.filename or asked.job)))


if __name__ == "__main__":
    main()
