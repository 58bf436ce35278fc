"""What the server serves: the reward of a configuration and its run, or of a trainer's job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from salmon_core.api.reward import RewardSpec
from salmon_core.api.training import Job
from salmon_core.config.resolve import load
from salmon_core.data.parquet import open_table, rows_of
from salmon_core.data.rollouts import RolloutLog
from salmon_core.errors import ConfigError, DataError, Problem, SalmonError
from salmon_core.records import RL_COLUMNS, Prompt, ShownPrinciple
from salmon_core.reward.elsewhere import draw_for, named_principles
from salmon_core.reward.reward import Reward, policy_codec
from salmon_core.reward.spec import reward_spec
from salmon_core.run.run import Run
from salmon_serve.decoding import Decoder
from salmon_serve.schemas import places


@dataclass(frozen=True, slots=True)
class Source:
    """A reward, and what it takes to make rollouts of requests.

    Attributes:
        folder: where the ready file goes unless told otherwise.
        spec: the reward.
        rows: of `rl_prompts.parquet`, by number.
        principles: that may be named, by their name in a breakdown.
        draw: principles for a prompt that comes without any; None where that cannot be known.
        log: for the rollouts by row, where something is to be left beside the job.
    """

    folder: Path
    spec: RewardSpec
    rows: Mapping[int, Mapping[str, Any]]
    principles: Mapping[str, ShownPrinciple]
    draw: Callable[[Prompt], tuple[ShownPrinciple, ...]] | None = None
    log: RolloutLog | None = None

    @contextmanager
    def open(self) -> Iterator[tuple[Reward, Decoder]]:
        """Opens the reward and the policy's tokenizer; leaving closes the reward model."""
        with Reward.from_spec(self.spec) as reward:
            yield reward, Decoder(reward, policy_codec(self.spec), self.rows, self.principles, self.draw)


def from_config(
    config: Path,
    overrides: Sequence[str] = (),
    *,
    file_plugins: bool = True,
    announce: Callable[[Path], None] | None = None,
    run: Path | None = None,
    reward_model: Path | None = None,
    rows: Path | None = None,
) -> Source:
    """A configuration's reward.

    Args:
        config: its file, or the folder of a run.
        file_plugins: whether it may name some.
        announce: called with each of them before any of its code runs.
        run: the run whose reward model it is; by default the configuration's.
        reward_model: a model folder instead.
        rows: `rl_prompts.parquet`, for items by row.

    Raises:
        SalmonError: no such configuration, run or reward model.
    """
    if config.is_dir():
        if overrides or run is not None:
            raise SalmonError("a run's folder has its own settings", where=str(config), hint="give a configuration")
        opened = Run.open(config, file_plugins=file_plugins, announce=announce)
    else:
        resolved = load(config, overrides, file_plugins=file_plugins, announce=announce)
        section = resolved.config.run
        opened = Run(run or Path(section.folder) / section.name, resolved)
    if reward_model is None:
        spec = opened.reward_spec()
    elif reward_model.is_dir():
        policy = opened.config.models["policy"]
        spec = reward_spec(opened.config, replace(policy, path=str(reward_model.resolve()), adapter=None))
    else:
        raise SalmonError("there is no reward model", where=str(reward_model))
    return Source(
        opened.path,
        spec,
        read_rows(rows) if rows is not None else {},
        named_principles(opened.config),
        partial(draw_for, opened.config),
    )


def from_job(
    path: Path,
    log_every: int | None = None,
    *,
    file_plugins: bool = True,
    announce: Callable[[Path], None] | None = None,
) -> Source:
    """The reward that a job of `train-policy` carries, and its rows.

    Args:
        log_every: each N-th generated batch is written, beside the job, 0 for none and nothing else either; None: as
            the job's option `log_rollouts_every` says.
        file_plugins: whether it may name some.
        announce: called with each of them before any of its code runs.

    Raises:
        SalmonError: no such job, or one without a reward.
        ConfigError: it names file plugins, which are refused.
    """
    try:
        job = Job.from_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        found = "; ".join(f"{where}: {what}" for where, what in places(error)[1])
        raise SalmonError(f"is no job: {found}", where=str(path)) from None
    except ValueError as error:
        raise SalmonError(f"is no job: {error}", where=str(path)) from None
    if job.reward is None or "train" not in job.data:
        raise SalmonError(f"the job of {job.stage} has no reward", where=str(path))
    files = job.reward.file_plugins
    if files and not file_plugins:
        says = "is a file plugin, and file plugins are switched off"
        where = "reward.file_plugins[{}]"
        raise ConfigError([Problem(where.format(i), f"{name} {says}", file=str(path)) for i, name in enumerate(files)])
    if announce is not None:
        for name in files:
            announce(Path(name))
    rows = read_rows(Path(job.data["train"]))
    shown = [item.shown for item in job.reward.interventions]
    for row in rows.values():
        shown += [ShownPrinciple(p["name"], p["text"], bool(p["negated"])) for p in row["principles"]]
    folder = path.resolve().parent
    every = int(job.options.get("log_rollouts_every", 0)) if log_every is None else log_every
    log = RolloutLog(folder, every=every) if log_every != 0 else None
    return Source(folder, job.reward, rows, _by_name(shown), log=log)


def _by_name(shown: Iterable[ShownPrinciple]) -> dict[str, ShownPrinciple]:
    """By the name in a breakdown."""
    return {f"not {each.name}" if each.negated else each.name: each for each in shown}


def read_rows(path: Path) -> dict[int, dict[str, Any]]:
    """Rows of `rl_prompts.parquet` by number, with whatever further columns they have, which bonuses see.

    Raises:
        DataError: not such a file, or a number twice.
    """
    table = open_table(path)
    if missing := [name for name in RL_COLUMNS if name not in table.column_names]:
        raise DataError(f"lacks the column(s) {', '.join(missing)}", where=str(path))
    rows = list(rows_of(table, path))
    numbered = {row["row"]: row for row in rows}
    if len(numbered) != len(rows):
        raise DataError("has a row number more than once", where=str(path))
    return numbered
