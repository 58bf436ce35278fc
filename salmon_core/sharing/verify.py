"""Whether others give the same rewards: a server, a trainer that wrote its rollouts, a reward model's folder, a run."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from salmon_core.data.parquet import RL_PROMPTS, read_table
from salmon_core.data.readers import read_file
from salmon_core.data.rollout_rows import RolloutRow, read_rollouts
from salmon_core.data.rollouts import FOLDER, rollout_files
from salmon_core.data.shown import shown_by
from salmon_core.errors import DataError, SalmonError
from salmon_core.kit.reward_client import RewardClient
from salmon_core.records import Prompt, Rollout, ShownPrinciple
from salmon_core.reward.elsewhere import count_tokens, draw_for
from salmon_core.reward.reward import RM, Reward, policy_codec
from salmon_core.run.run import Run
from salmon_core.sharing.document import FILE as DOCUMENT
from salmon_core.sharing.facts import HUB_ID
from salmon_core.sharing.loaded import load_reward

#: the token of a server that is named by its address
TOKEN = "SALMON_SERVE_TOKEN"
TOTAL = "total"
_PROMPTS = "rl_prompts.parquet"
_BATCH = 256
#: seconds that a server which does not answer is waited for
_PATIENCE = 20.0

#: `total` and components by name
Rewards = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A rollout as it is in a file.

    Attributes:
        where: file and row.
        reward: that the file has for it; empty where it has none.
        counted: whether the row says how many tokens the completion has.
        drawn: whether it says which principles it was scored by.
    """

    where: str
    rollout: Rollout
    reward: Rewards
    counted: bool
    drawn: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest one that was found.

    Attributes:
        name: `total`, or a component.
        where: file and row.
    """

    size: float
    name: str
    where: str
    ours: float
    theirs: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """How two sources of rewards compare.

    Attributes:
        rollouts: compared; `apart` of them differ by more than the tolerance.
        names: of what was compared.
        largest: None where all are equal to the bit.
    """

    target: str
    reference: str
    rollouts: int
    apart: int
    names: tuple[str, ...]
    largest: Difference | None


class Source(ABC):
    """Gives rewards.

    Attributes:
        name: for people.
    """

    name: str

    @abstractmethod
    def rewards(self, rollouts: Sequence[Recorded]) -> list[Rewards]:
        """One for each, in order."""


class RecordedSource(Source):
    """What the file says itself."""

    def __init__(self, path: Path):
        self.name, self._path = f"the rewards recorded in {path}", path

    def rewards(self, rollouts: Sequence[Recorded]) -> list[Rewards]:
        for each in rollouts:
            if not each.reward:
                raise DataError(
                    "has no recorded reward to compare with", where=each.where, hint="name a run: --run FOLDER"
                )
        return [each.reward for each in rollouts]


class RunSource(Source):
    """A run's reward, as `salmon score` computes it."""

    def __init__(self, run: Run):
        self.name, self.run = f"the reward of {run.path}", run

    @property
    def weight(self) -> float:
        """Of the reward model."""
        return self.run.config.config.reward.rm_weight

    def rewards(self, rollouts: Sequence[Recorded]) -> list[Rewards]:
        with Reward.from_spec(self.run.reward_spec()) as reward:
            return [_plain(each) for part in _parts(rollouts) for each in reward([item.rollout for item in part])]


class ServerSource(Source):
    """A reward server."""

    def __init__(self, client: RewardClient):
        self.name, self._client = f"the server at {client.url}", client

    def rewards(self, rollouts: Sequence[Recorded]) -> list[Rewards]:
        return [
            {TOTAL: float(answer["total"]), **{name: float(value) for name, value in answer["components"].items()}}
            for answer in self._client.score([_request(each.rollout) for each in rollouts])
        ]


class ModelSource(Source):
    """A reward model's folder: its scores, by the settings that it carries."""

    def __init__(self, path: str):
        self.name, self._path = f"the reward model in {path}", path

    def rewards(self, rollouts: Sequence[Recorded]) -> list[Rewards]:
        with load_reward(self._path) as reward:
            return [{RM: each.total} for each in reward.score([item.rollout for item in rollouts])]


def target_source(target: str, open_run: Any) -> Source:
    """What a user named: an address, a ready file, the folder of a run or of a reward model, a model's hub id.

    Args:
        open_run: opens a run by its folder.

    Raises:
        SalmonError: it is none of these.
    """
    if target.startswith(("http://", "https://")):
        token = os.environ.get(TOKEN, "")
        if not token:
            hint = f"set {TOKEN}, or name the server's ready file instead of its address"
            raise SalmonError("there is no token for this server", where=target, hint=hint)
        return ServerSource(RewardClient(target, token, patience=_PATIENCE))
    path = Path(target).expanduser()
    if path.is_file():
        return ServerSource(RewardClient.from_ready_file(path, patience=_PATIENCE))
    if (path / DOCUMENT).is_file():
        return ModelSource(target)
    if path.is_dir():
        return RunSource(open_run(path))
    if HUB_ID.fullmatch(target):
        return ModelSource(target)
    hint = "name a server's address or ready file, a run's folder, or a reward model's"
    raise SalmonError("there is no such thing", where=target, hint=hint)


def compare(target: Source, reference: Source, rollouts: Sequence[Recorded], tolerance: float) -> Verdict:
    """Compares total and components, as far as both have them.

    Raises:
        SalmonError: one of them cannot give rewards, or they have nothing in common.
    """
    weight = reference.weight if isinstance(reference, RunSource) and isinstance(target, ModelSource) else 1.0
    theirs, ours = target.rewards(rollouts), reference.rewards(rollouts)
    largest, apart, names = None, 0, dict[str, None]()
    for each, their, our in zip(rollouts, theirs, ours, strict=True):
        common = [name for name in our if name in their]
        if not common:
            raise SalmonError(
                f"{target.name} and {reference.name} have nothing in common: {', '.join(their)}; {', '.join(our)}",
                where=each.where,
            )
        names |= dict.fromkeys(common)
        found = [
            Difference(abs(their[name] - our[name] / weight), name, each.where, our[name] / weight, their[name])
            for name in common
        ]
        worst = max(found, key=lambda difference: difference.size)
        apart += worst.size > tolerance
        if worst.size > (0.0 if largest is None else largest.size):
            largest = worst
    return Verdict(target.name, reference.name, len(rollouts), apart, tuple(names), largest)


def completed(rollouts: Sequence[Recorded], run: Run | None) -> list[Recorded]:
    """With principles for those that say none, drawn as `salmon score` draws them, and with their tokens counted."""
    if run is None or all(each.drawn and each.counted for each in rollouts):
        return list(rollouts)
    codec = policy_codec(run.reward_spec())
    found = []
    for each in rollouts:
        rollout = each.rollout
        if not each.counted:
            rollout = replace(rollout, n_tokens=count_tokens(codec, rollout.completion, rollout.completion_ids))
        if not each.drawn:
            prompt = Prompt(rollout.prompt_id, rollout.messages, rollout.category)
            rollout = replace(rollout, principles=draw_for(run.config, prompt))
        found.append(replace(each, rollout=rollout))
    return found


def read_recorded(path: Path, limit: int | None = None) -> list[Recorded]:
    """The rollouts of a file, or of a stage's folder; a conversation of which the file has the last turn only is looked
    up in the stage's `rl_prompts.parquet`.

    Raises:
        DataError: nothing there, or something that cannot be read; names file, row and column.
    """
    files = [path]
    if path.is_dir():
        files = rollout_files(path.parent if path.name == FOLDER else path)
        if not files:
            raise DataError("has no rollouts/part-*.parquet", where=str(path), hint="name the folder of a training")
    found: list[Recorded] = []
    for file in files:
        if limit is None or len(found) < limit:
            found += _recorded(file)
    return found[:limit]


def _recorded(file: Path) -> Iterator[Recorded]:
    prompts: dict[int, Any] = {}
    table = file.parent.parent / _PROMPTS
    if file.parent.name == FOLDER and table.is_file():
        prompts = {row["row"]: row for row in read_table(table, RL_PROMPTS)}
    for row, (where, values) in zip(read_rollouts(file), read_file(file), strict=True):
        known = prompts.get(values.get("row", -1))
        rollout = _rollout(row, values, known, where)
        yield Recorded(where, rollout, _reward(values, where), row.n_tokens is not None, bool(row.principles))


def _rollout(row: RolloutRow, values: Mapping[str, Any], known: Mapping[str, Any] | None, where: str) -> Rollout:
    index = values.get("rollout_index", 0)
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise DataError(f"is no number of a generated batch: {index!r:.40}", where=f"{where}, column rollout_index")
    prompt = row.prompt
    if known is not None:
        messages = tuple({"role": m["role"], "content": m["content"]} for m in known["messages"])
        prompt = Prompt(known["prompt_id"], messages, prompt.category)  # type: ignore[arg-type]
    return Rollout.from_text(
        prompt,
        row.completion,
        n_tokens=row.n_tokens or 0,
        principles=[
            each if isinstance(each, ShownPrinciple) else shown_by({}, each, f"{where}, column principles")
            for each in row.principles or ()
        ],
        completion_ids=row.completion_ids,
        stopped=row.stopped,
        rollout_index=index,
    )


def _reward(values: Mapping[str, Any], where: str) -> Rewards:
    found: dict[str, Any] = {}
    if values.get("reward") is not None:
        found[TOTAL] = values["reward"]
    elif values.get(TOTAL) is not None:  # as `salmon score` writes it
        found[TOTAL] = values[TOTAL]
    components = values.get("components") or {}
    try:
        found |= dict(components)
        rewards = {str(name): float(value) for name, value in found.items()}
    except (TypeError, ValueError):
        raise DataError("are no numbers", where=f"{where}, columns reward and components") from None
    if not all(map(math.isfinite, rewards.values())):
        raise DataError("are not all finite", where=f"{where}, columns reward and components")
    return rewards


def _request(rollout: Rollout) -> dict[str, Any]:
    """As a server takes one of no row."""
    return {
        "messages": [{"role": turn["role"], "content": turn["content"]} for turn in rollout.messages],
        "completion": rollout.completion,
        "completion_ids": list(rollout.completion_ids),
        "n_tokens": rollout.n_tokens,
        "stopped": rollout.stopped,
        "category": rollout.category,
        "rollout_index": rollout.rollout_index,
        "principles": [{"name": p.name, "text": p.text, "negated": p.negated} for p in rollout.principles],
    }


def _plain(breakdown: Any) -> Rewards:
    return {TOTAL: breakdown.total, **breakdown.components}


def _parts(rollouts: Sequence[Recorded]) -> Iterator[Sequence[Recorded]]:
    return (rollouts[start : start + _BATCH] for start in range(0, len(rollouts), _BATCH))
