"""From what is asked to rollouts; used by the scoring thread alone, which owns the tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from salmon_core.errors import SalmonError
from salmon_core.interfaces import TokenCodec
from salmon_core.outside import outside_rollout
from salmon_core.records import Message, Prompt, Rollout, ShownPrinciple, prompt_id
from salmon_core.reward import Reward
from salmon_core.serving.schemas import FreeItem, Item, PrincipleText, RowItem

_REMEMBERED = 4096


class Refused(SalmonError):
    """One item cannot be made a rollout; `where` names its field. Nothing is wrong with the reward."""


@dataclass
class Intake:
    """The reward and what it takes to ask it.

    Args:
        reward: scores.
        codec: the policy's tokenizer.
        rows: of `rl_prompts.parquet`, by number; empty where the server has none.
        known: principles that may be named, by their name in a breakdown (`NAME`, `not NAME`).
        draw: principles for a prompt that comes without any; None where the server cannot draw.
    """

    reward: Reward
    codec: TokenCodec
    rows: Mapping[int, Mapping[str, Any]]
    known: Mapping[str, ShownPrinciple]
    draw: Callable[[Prompt], tuple[ShownPrinciple, ...]] | None
    _fitting: set[tuple[ShownPrinciple, ...]] = field(default_factory=set)

    def rollout(self, item: Item) -> Rollout:
        """As the trainer of the row, or `salmon score`, would make it.

        Raises:
            Refused: there is no such row or principle, ids are none of the tokenizer's, principles are too long.
        """
        return self._by_row(item) if isinstance(item, RowItem) else self._free(item)

    def row(self, number: int) -> Mapping[str, Any]:
        """A row of the server's file."""
        found = self.rows.get(number)
        if found is None:
            has = f"rows {min(self.rows)} to {max(self.rows)}" if self.rows else "no rows; start it with --rows"
            raise Refused(f"there is no row {number}", where="row", hint=f"the server has {has}")
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens stripped: what the trainer's own reward function does."""
        try:
            return self.codec.decode(ids, skip_special=True)
        except Exception as error:  # each tokenizer has its own way of refusing an id
            message = f"the policy's tokenizer cannot decode them: {type(error).__name__}"
            raise Refused(message, where="completion_ids") from None

    def _by_row(self, item: RowItem) -> Rollout:
        return self.reward.rollout(
            self.row(item.row),
            self.decode(item.completion_ids),
            completion_ids=item.completion_ids,
            n_tokens=len(item.completion_ids) - item.stopped,
            stopped=item.stopped,
            rollout_index=item.rollout_index,
        )

    def _free(self, item: FreeItem) -> Rollout:
        if item.messages is not None:
            messages = tuple(Message(role=turn.role, content=turn.content) for turn in item.messages)
        else:
            messages = (Message(role="user", content=item.prompt or ""),)
        prompt = Prompt(prompt_id(messages), messages, item.category)
        if item.principles is not None:
            shown = tuple(self._principle(each) for each in item.principles)
        elif self.draw is not None:
            shown = self.draw(prompt)
        else:
            raise Refused("are needed: a job's server cannot draw them", where="principles", hint="[] shows none")
        rollout = outside_rollout(
            self.reward,
            self.codec,
            prompt,
            item.completion,
            shown,
            completion_ids=item.completion_ids,
            n_tokens=item.n_tokens,
            stopped=item.stopped,
            rollout_index=item.rollout_index,
        )
        self._fit(rollout.principles)
        return rollout

    def _principle(self, each: str | PrincipleText) -> ShownPrinciple:
        if isinstance(each, PrincipleText):
            return ShownPrinciple(each.name, each.text, each.negated)
        if each not in self.known:
            some = ", ".join(list(self.known)[:12]) or "none"
            raise Refused(f"there is no principle {each!r:.80}", where="principles", hint=f"the server knows {some}")
        return self.known[each]

    def _fit(self, principles: tuple[ShownPrinciple, ...]) -> None:
        """One client's endless principles are its own mistake, and no failure of the reward."""
        if principles in self._fitting:
            return
        try:
            self.reward.check(principles)
        except SalmonError as error:
            raise Refused(error.message, where="principles", hint=error.hint) from None
        if len(self._fitting) >= _REMEMBERED:
            self._fitting.clear()
        self._fitting.add(principles)
