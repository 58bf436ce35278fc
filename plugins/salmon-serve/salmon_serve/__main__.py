"""`python -m salmon_serve job.json`: the reward of a trainer's job, as a service beside its steps."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from salmon_core.errors import ConfigError, SalmonError
from salmon_core.kit.commands import announce_file_plugin
from salmon_core.run.processes import fail, leave
from salmon_core.run.watch import watched


def main() -> None:
    """Serves; an error is left in `error.json`, where the pipeline finds it."""
    parser = argparse.ArgumentParser(prog="python -m salmon_serve", description=__doc__)
    parser.add_argument("job", type=Path)
    parser.add_argument("--host", default="127.0.0.1", help="address at which other machines reach it")
    parser.add_argument("--ready-file", type=Path, help="by default services/reward.json beside the job")
    parser.add_argument("--raw", action="store_true", help="also OpenRLHF's protocol, at /get_reward/TOKEN")
    parser.add_argument(
        "--log-rollouts", type=int, metavar="N", help="write each N-th generated batch; by default as the job says"
    )
    parser.add_argument("--no-file-plugins", action="store_true", help="refuse a job with single-file plugins")
    args = parser.parse_args()
    try:
        from salmon_serve.load import from_job
        from salmon_serve.server import Settings, serve

        source = from_job(
            args.job, args.log_rollouts, file_plugins=not args.no_file_plugins, announce=announce_file_plugin
        )
        with watched(leave):
            serve(source, Settings(host=args.host, ready_file=args.ready_file, raw=args.raw))
    except ConfigError as error:
        with contextlib.suppress(SystemExit):  # its exit code is that of a step that failed
            fail(error)
        raise SystemExit(error.exit_code) from None
    except SalmonError as error:
        fail(error)
    except OSError as error:
        fail(SalmonError(error.strerror or str(error), where=str(error.filename or args.job)))


if __name__ == "__main__":
    main()
