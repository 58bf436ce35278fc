"""From a request's items to rollouts; used by the scoring thread alone, which owns reward and tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from salmon_core.api.models import TokenCodec
from salmon_core.data.shown import shown_by
from salmon_core.errors import SalmonError
from salmon_core.records import Message, Prompt, Rollout, ShownPrinciple, prompt_id
from salmon_core.reward.elsewhere import count_tokens
from salmon_core.reward.reward import Reward
from salmon_serve.schemas import FreeItem, Item, PrincipleText, RowItem

_REMEMBERED = 4096


class ItemError(SalmonError):
    """One item cannot be made a rollout; `where` names its field. Nothing is wrong with the reward."""


@dataclass
class Decoder:
    """Makes rollouts of items.

    Args:
        reward: says whether a rollout's principles fit.
        codec: the policy's tokenizer.
        rows: of `rl_prompts.parquet`, by number; empty where the server has none.
        principles: that an item may name, by their name in a breakdown (`NAME`, `not NAME`).
        draw: principles for a prompt that comes without any; None where the server cannot draw.
    """

    reward: Reward
    codec: TokenCodec
    rows: Mapping[int, Mapping[str, Any]]
    principles: Mapping[str, ShownPrinciple]
    draw: Callable[[Prompt], tuple[ShownPrinciple, ...]] | None
    _fitting: set[tuple[ShownPrinciple, ...]] = field(default_factory=set)

    def rollout(self, item: Item) -> Rollout:
        """As the trainer that has the row, or `salmon score`, would make it.

        Raises:
            ItemError: there is no such row or principle, the tokenizer has no such ids, the principles are too long.
        """
        return self._by_row(item) if isinstance(item, RowItem) else self._free(item)

    def row(self, number: int) -> Mapping[str, Any]:
        """A row of the server's file.

        Raises:
            ItemError: it has none of that number.
        """
        found = self.rows.get(number)
        if found is None:
            has = f"rows {min(self.rows)} to {max(self.rows)}" if self.rows else "no rows; start it with --rows"
            raise ItemError(f"there is no row {number}", where="row", hint=f"the server has {has}")
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens stripped, as a trainer's own reward function decodes it.

        Raises:
            ItemError: the tokenizer has no such ids.
        """
        try:
            return self.codec.decode(ids, skip_special=True)
        except Exception as error:  # tokenizers refuse an id in different ways
            message = f"the policy's tokenizer cannot decode them: {type(error).__name__}"
            raise ItemError(message, where="completion_ids") from None

    def _by_row(self, item: RowItem) -> Rollout:
        return Rollout.from_row(
            self.row(item.row),
            self.decode(item.completion_ids),
            completion_ids=item.completion_ids,
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
            raise ItemError("are needed: a job's server cannot draw them", where="principles", hint="[] shows none")
        n_tokens = item.n_tokens
        if n_tokens is None:
            n_tokens = count_tokens(self.codec, item.completion, item.completion_ids)
        rollout = Rollout.from_text(
            prompt,
            item.completion,
            n_tokens=n_tokens,
            principles=shown,
            completion_ids=item.completion_ids,
            stopped=item.stopped,
            rollout_index=item.rollout_index,
        )
        self._check_room(self.reward.shown(rollout, foreign=True).principles)
        return rollout

    def _principle(self, each: str | PrincipleText) -> ShownPrinciple:
        if isinstance(each, PrincipleText):
            return ShownPrinciple(each.name, each.text, each.negated)
        try:
            return shown_by(self.principles, each, "principles")
        except SalmonError as error:
            raise ItemError(error.message, where=error.where, hint=error.hint) from None

    def _check_room(self, principles: tuple[ShownPrinciple, ...]) -> None:
        """A client's too long principles are an error of its item, and no failure of the reward."""
        if principles in self._fitting:
            return
        try:
            self.reward.check(principles)
        except SalmonError as error:
            raise ItemError(error.message, where="principles", hint=error.hint) from None
        if len(self._fitting) >= _REMEMBERED:
            self._fitting.clear()
        self._fitting.add(principles)
