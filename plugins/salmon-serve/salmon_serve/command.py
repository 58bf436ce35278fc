"""`salmon serve`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from salmon_core.errors import SalmonError
from salmon_core.kit.commands import announce_file_plugin, file_plugins_option, overrides_option

_SECONDS = click.FloatRange(0.0, 86_400.0, min_open=True)


@click.command()
@click.argument("config", type=click.Path(path_type=Path), required=False)
@overrides_option
@file_plugins_option
@click.option("--job", type=click.Path(path_type=Path), help="Instead of CONFIG: a trainer's job.json, with its rows.")
@click.option("--run", type=click.Path(path_type=Path), help="The run whose reward model it is; by default CONFIG's.")
@click.option("--rm", type=click.Path(path_type=Path), help="A reward model's folder instead of a run's.")
@click.option("--rows", type=click.Path(path_type=Path), help="rl_prompts.parquet, for requests by row.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another than loopback is reached from outside.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="By default a free one.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="By default services/reward.json in the run.")
@click.option("--token-file", type=click.Path(path_type=Path), help="Of mode 0600; or the variable SALMON_SERVE_TOKEN.")
@click.option("--raw", is_flag=True, help="Also OpenRLHF's remote_url protocol, at /get_reward/TOKEN.")
@click.option(
    "--log-rollouts",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="With --job: write rollouts of each N-th generated batch beside it; by default none.",
)
@click.option("--max-batch", type=click.IntRange(1), default=256, show_default=True, help="Rollouts scored at once.")
@click.option("--max-queue", type=click.IntRange(1), default=4096, show_default=True, help="Rollouts waiting at most.")
@click.option(
    "--max-connections",
    type=click.IntRange(16),
    default=8192,
    show_default=True,
    help="Connections at once; fewer where the system allows fewer open files.",
)
@click.option(
    "--head-seconds", type=_SECONDS, default=20.0, show_default=True, help="A request's head may take to arrive."
)
@click.option(
    "--body-seconds", type=_SECONDS, default=60.0, show_default=True, help="A request's body may take to arrive."
)
def serve(
    config: Path | None,
    job: Path | None,
    *,
    overrides: Sequence[str],
    no_file_plugins: bool,
    run: Path | None,
    rm: Path | None,
    rows: Path | None,
    log_rollouts: int,
    **settings: Any,
) -> None:
    """Serve the reward of CONFIG, or of a run's folder, over HTTP: the very code that training uses.

    Once it is ready, the ready file (mode 0600) holds its address and the token that requests need.
    """
    from salmon_serve.load import from_config, from_job
    from salmon_serve.server import Settings
    from salmon_serve.server import serve as start

    if (config is None) == (job is None):
        raise SalmonError("give either CONFIG or --job", hint="see salmon serve --help")
    if job is not None:
        if overrides or run or rm or rows:
            raise SalmonError("a job brings its own run, reward model and rows", where="--job", hint="give no others")
        source = from_job(job, log_rollouts, file_plugins=not no_file_plugins, announce=announce_file_plugin)
    else:
        assert config is not None
        if log_rollouts:
            raise SalmonError("only a job's rollouts are written", where="--log-rollouts", hint="give --job")
        source = from_config(
            config,
            overrides,
            file_plugins=not no_file_plugins,
            announce=announce_file_plugin,
            run=run,
            reward_model=rm,
            rows=rows,
        )
    start(source, Settings(**settings))
