"""What the server serves: the reward of a configuration and its run, or of a trainer's job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from salmon_core.components import build, require
from salmon_core.errors import DataError, SalmonError
from salmon_core.interfaces import Engine, Job, ModelSpec
from salmon_core.outside import drawn_outside
from salmon_core.plugins import Registry
from salmon_core.records import ShownPrinciple
from salmon_core.resolve import Resolved, load
from salmon_core.reward import RL_COLUMNS, Reward
from salmon_core.serving.intake import Intake
from salmon_core.view import RunView


@dataclass(frozen=True, slots=True)
class Source:
    """
    Attributes:
        folder: where the ready file goes unless told otherwise.
        build: loads the reward; called in the scoring thread.
        resolved: the configuration, where there is one.
    """

    folder: Path
    build: Callable[[], Intake]
    resolved: Resolved | None = None


def from_config(
    config: Path,
    overrides: Sequence[str] = (),
    *,
    file_plugins: bool = True,
    run: Path | None = None,
    reward_model: Path | None = None,
    rows: Path | None = None,
) -> Source:
    """A configuration's reward.

    Args:
        config: its file, or the folder of a run.
        run: the run whose reward model it is; by default the configuration's.
        reward_model: a model folder instead.
        rows: `rl_prompts.parquet`, for items by row.

    Raises:
        SalmonError: no such configuration, run or reward model.
    """
    if config.is_dir():
        if overrides or run is not None:
            raise SalmonError("a run's folder has its own settings", where=str(config), hint="give a configuration")
        view = RunView.open(config)
    else:
        resolved = load(config, overrides, file_plugins=file_plugins)
        section = resolved.config.run
        view = RunView((run or Path(section.folder) / section.name).resolve(), resolved)
    if reward_model is not None:
        if not reward_model.is_dir():
            raise SalmonError("there is no reward model", where=str(reward_model))
        spec = replace(view.resolved.models["policy"], path=str(reward_model.resolve()), adapter=None)
        view.resolved.models["reward"] = spec
    if view.config.reward.rm_weight != 0:
        view.reward_model  # noqa: B018  (says what is missing, before anything is loaded)
    numbered = read_rows(rows) if rows is not None else {}
    return Source(view.path, partial(_of_run, view, numbered), view.resolved)


def _of_run(view: RunView, rows: Mapping[int, Mapping[str, Any]]) -> Intake:
    resolved = view.resolved
    reward, codec = view.reward, view.policy_codec
    return Intake(reward, codec, rows, _nameable(resolved), partial(drawn_outside, resolved))


def _nameable(resolved: Resolved) -> dict[str, ShownPrinciple]:
    shown = [item.shown for item in resolved.interventions]
    for principle in resolved.reward_principles:
        shown += [principle.shown(), *([principle.shown(negated=True)] if principle.negated else [])]
    return _by_name(shown)


def from_job(path: Path) -> Source:
    """The reward that a job of `train-policy` carries, and its rows.

    Raises:
        SalmonError: no such job, or one without a reward.
    """
    try:
        job = Job.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, KeyError) as error:
        raise SalmonError(f"is no job: {type(error).__name__}: {error}", where=str(path)) from None
    if job.reward is None or "train" not in job.data:
        raise SalmonError(f"the job of {job.stage} has no reward", where=str(path))
    return Source(path.resolve().parent, partial(_of_job, job.reward, read_rows(Path(job.data["train"]))))


def _of_job(spec: Mapping[str, Any], rows: Mapping[int, Mapping[str, Any]]) -> Intake:
    reward = Reward.from_spec(spec)
    owned = Registry.discover([Path(path) for path in spec["file_plugins"]]).find("engines", spec["engine"]["name"])
    engine: Engine = require(owned, build(owned, spec["engine"]["options"]), "open_codec")
    shown = [ShownPrinciple(**item["shown"]) for item in spec["interventions"]]
    for row in rows.values():
        shown += [ShownPrinciple(p["name"], p["text"], bool(p["negated"])) for p in row["principles"]]
    return Intake(reward, engine.open_codec(ModelSpec(**spec["policy"])), rows, _by_name(shown), None)


def _by_name(shown: Iterable[ShownPrinciple]) -> dict[str, ShownPrinciple]:
    """By the name in a breakdown."""
    return {f"not {each.name}" if each.negated else each.name: each for each in shown}


def read_rows(path: Path) -> dict[int, dict[str, Any]]:
    """Rows of `rl_prompts.parquet` by number, with whatever further columns they have (bonuses see them).

    Raises:
        DataError: not such a file, or a number twice.
    """
    try:
        table = pq.read_table(path, memory_map=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"is not a readable Parquet file: {str(error).splitlines()[0]}", where=str(path)) from None
    if missing := [name for name in RL_COLUMNS if name not in table.column_names]:
        raise DataError(f"lacks the column(s) {', '.join(missing)}", where=str(path))
    rows: list[dict[str, Any]] = table.to_pylist()
    numbered = {row["row"]: row for row in rows}
    if len(numbered) != len(rows):
        raise DataError("has a row number more than once", where=str(path))
    return numbered
