"""What a principle does to the reward model's scores where it is shown too, as an intervention would be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from salmon_core.api.monitors import SeenRollout
from salmon_core.data.interventions import STAGE
from salmon_core.data.parquet import read_table
from salmon_core.data.rollouts import ROLLOUTS, rollout_files
from salmon_core.kit.statistics import clustered_mean
from salmon_core.principles.draw import with_interventions
from salmon_core.records import Estimate, Message, ShownPrinciple
from salmon_core.reward.reward import Reward
from salmon_core.rng import named_rng
from salmon_core.run.monitoring import seen_rollout
from salmon_core.run.run import Run

#: rollouts that are scored, at most
MOST = 128
#: that an effect shows
_EXAMPLES = 3


def asked(
    rollout: SeenRollout, more: Sequence[ShownPrinciple] = ()
) -> tuple[Sequence[Message], str, Sequence[Sequence[ShownPrinciple]]]:
    """A rollout under what it was shown, and then under that with each of some principles more."""
    messages: list[Message] = [{"role": "user", "content": rollout.prompt}]
    own = rollout.principles
    return messages, rollout.completion, [own, *(with_interventions(own, [each]) for each in more)]


def changes(reward: Reward, shown: ShownPrinciple, rollouts: Sequence[SeenRollout]) -> list[float]:
    """Of each, how the score changes where the principle is shown too."""
    return [after - before for before, after in reward.score_texts([asked(each, [shown]) for each in rollouts])]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a principle would do to the reward model's scores of the latest rollouts, were it shown too.

    Attributes:
        change: mean over rollouts, prompts as clusters.
        most: (prompt, completion, change) of those whose score it lowers most.
    """

    change: Estimate
    most: tuple[tuple[str, str, float], ...]


def effect(run: Run, shown: ShownPrinciple) -> Effect | None:
    """Of a principle on the rollouts written last, at most `MOST`; None where none were written.

    Raises:
        SalmonError: there is no reward model, or no room for the principle beside what is shown.
    """
    rows: list[SeenRollout] = []
    for file in reversed(rollout_files(run.path / STAGE)):
        read = read_table(file, ROLLOUTS)
        rows += [seen_rollout(row, place) for place, row in enumerate(read)][: MOST - len(rows)]
        if len(rows) >= MOST:
            break
    if not rows:
        return None
    with Reward.from_spec(run.reward_spec()) as reward:
        found = changes(reward, shown, rows)
    rng = named_rng(run.config.config.run.seed, "effect", shown.text)
    by_prompt: dict[str, list[float]] = {}
    for each, change in zip(rows, found, strict=True):
        by_prompt.setdefault(each.prompt_id, []).append(change)
    lowered = sorted(zip(rows, found, strict=True), key=lambda pair: pair[1])[:_EXAMPLES]
    most = tuple((each.prompt, each.completion, change) for each, change in lowered)
    return Effect(clustered_mean(by_prompt, rng), most)
