"""What a critic reads in place of the prompt: the same prompt with the principles that the rollout is scored by.

The policy never sees them. They stand at the end of the user's last turn, by the same wording as in the reward model's
text and made safe by the same means (`Renderer.policy`); the completion follows, so the values stay one for each of its
tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from salmon_core.api import RewardSpec
from salmon_core.errors import StageError
from salmon_core.records import Prompt, Rollout
from salmon_core.reward.rendering import Renderer
from salmon_core.reward.reward import Reward, policy_codec, registry_of
from salmon_trl.data import check_lengths, encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class CriticPrompts:
    """From rows of the data set to ids.

    Args:
        spec: of the reward: its template, and the policy's tokenizer.
        reward: knows which principles are in force.
        rows: of `rl_prompts.parquet`, in file order.
        tokenizer: the policy's, which is the critic's.
        window: optimizer steps per generated batch.
        room: tokens that a prompt may have; None: any number.

    Raises:
        StageError: the reward model is shown no principles.
        DataError: prompts with their principles are longer than `room`.
    """

    def __init__(
        self,
        spec: RewardSpec,
        reward: Reward,
        rows: Sequence[Mapping[str, Any]],
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        room: int | None = None,
    ):
        template = registry_of(spec).owned(spec.template).load()
        if not template.reads_principles:
            raise StageError(
                "principles: the reward model's template shows it none",
                where="train-policy options.critic_reads",
                hint="leave it at prompt",
            )
        self._renderer = Renderer(template, policy_codec(spec), limits=spec.limits)
        self._reward, self._rows, self._tokenizer, self._window, self._room = reward, rows, tokenizer, window, room
        self._check([self.text(row, 0) for row in rows])

    def text(self, row: Mapping[str, Any], index: int) -> str:
        """Of a row, as the critic reads it for a rollout with that index."""
        rollout = self._reward.shown(Rollout.from_row(row, "", completion_ids=(), stopped=False, rollout_index=index))
        return self._renderer.policy(Prompt(str(row["prompt_id"]), tuple(rollout.messages)), rollout.principles)

    def __call__(self, inputs: Sequence[Mapping[str, Any]], step: int) -> list[list[int]]:
        """Ids for each row of a batch that is generated at an optimizer step."""
        return self._check([self.text(self._rows[each["position"]], step // self._window) for each in inputs])

    def _check(self, texts: Sequence[str]) -> list[list[int]]:
        found = encode(self._tokenizer, texts)
        if self._room is not None:
            hint = "show fewer or shorter principles, or lower max_completion_length; or set critic_reads: prompt"
            check_lengths([len(ids) for ids in found], self._room, "prompts with principles, for the critic", hint)
        return found
