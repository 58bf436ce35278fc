"""The one reward, as the function that TRL's trainers call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

from salmon_core.data.rollouts import RolloutLog
from salmon_core.errors import StageError
from salmon_core.records import Rollout
from salmon_core.reward.reading import by_principle
from salmon_core.reward.reward import Reward

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class RewardFunction:
    """Builds rollouts from what was generated, scores them, and writes them down.

    Args:
        reward: scores.
        rows: of `rl_prompts.parquet`, in file order; TRL is given their positions.
        tokenizer: the policy's.
        window: optimizer steps per generated batch: makes the rollout index a function of the step, so a resumed run
            continues it with no state of its own.
        log: of this process; None writes nothing.

    Attributes:
        eos_ids: ids that end a completion; to be set before the first call.
        awaits_kl: whether the trainer tells the divergence of each completion after its reward, by `tell_kl`.
    """

    __name__ = "salmon"

    def __init__(
        self,
        reward: Reward,
        rows: Sequence[Mapping[str, Any]],
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        log: RolloutLog | None = None,
    ):
        self.reward, self.rows, self.tokenizer, self.window, self.log = reward, rows, tokenizer, window, log
        self.eos_ids: frozenset[int] = frozenset()
        self.awaits_kl = False
        self._unwritten: Callable[..., None] | None = None

    def __call__(
        self,
        *,
        completion_ids: Sequence[Sequence[int]],
        position: Sequence[int],
        trainer_state: Any,
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float]:
        """One finite float per completion.

        Raises:
            SalmonError: a component failed (its owner's name is in it), or a reward is not finite.
        """
        index = trainer_state.global_step // self.window
        # Our own decoding: TRL's may clean up spaces, which the engine's does not.
        texts = self.tokenizer.batch_decode(
            [list(ids) for ids in completion_ids], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        rows = [self.rows[number] for number in position]
        rollouts = [self._rollout(*each, index) for each in zip(rows, texts, completion_ids, strict=True)]
        numbers = [row["row"] for row in rows]
        explain = self.log.explained(index, numbers, self.reward.explain_every) if self.log is not None else ()
        breakdowns = self.reward(rollouts, explain)
        for rollout, breakdown in zip(rollouts, breakdowns, strict=True):
            if not math.isfinite(breakdown.total):
                bad = [name for name, value in breakdown.components.items() if not math.isfinite(value)]
                raise StageError(
                    f"reward {breakdown.total} from {', '.join(bad) or 'the sum'} for prompt {rollout.prompt_id}"
                )
        for name in self.reward.names:
            values = [breakdown.components[name] for breakdown in breakdowns]
            log_metric(f"reward/{name}/mean", fmean(values))
            log_metric(f"reward/{name}/std", pstdev(values))
        for name, values in by_principle(breakdowns).items():
            for value in values:  # one by one: processes see different numbers of them
                log_metric(f"reward/principle/{name}", value)
        log_metric("reward/truncated", fmean(breakdown.truncated > 0 for breakdown in breakdowns))
        log_metric("reward/fallbacks", sum(len(breakdown.fallbacks) for breakdown in breakdowns))
        if self.log is not None and self.log.wants(index):
            shown = [self.reward.shown(each) for each in rollouts]
            write = partial(self.log.add, numbers, shown, breakdowns, step=trainer_state.global_step)
            if self.awaits_kl:
                self._unwritten = write
            else:
                write()
        return [breakdown.total for breakdown in breakdowns]

    def tell_kl(self, kl: Sequence[float]) -> None:
        """The divergence of each completion of the last call, in nats: the batch is written down with it."""
        if self._unwritten is not None:
            self._unwritten(kl=kl)
            self._unwritten = None

    def _rollout(self, row: Mapping[str, Any], text: str, ids: Sequence[int], index: int) -> Rollout:
        stopped = bool(ids) and ids[-1] in self.eos_ids
        return Rollout.from_row(row, text, completion_ids=ids, stopped=stopped, rollout_index=index)
