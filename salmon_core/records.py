"""The data that flows down the river: one shape per stage, one name everywhere.

Plain dataclasses: importing this module costs nothing. Texts are raw, exactly as written by the user or the
model; making them safe to show to a judge or a reward model is the renderer's work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypedDict, cast

from salmon_core.principle import Principle
from salmon_core.principle import ShownPrinciple as ShownPrinciple


class Message(TypedDict):
    """One turn of a conversation; `role` is `system`, `user` or `assistant`. In a record it cannot be changed."""

    role: str
    content: str


class _Kept(dict[Any, Any]):
    """A dict that cannot be changed: what one plugin is given, the next one finds as it was."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a record cannot be changed; change a copy of it: dict(...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return _Kept, (dict(self),)


def _kept(value: Any) -> Any:
    """The same, unchangeable all the way down; lists become tuples."""
    if isinstance(value, _Kept):
        return value
    if isinstance(value, Mapping):
        return _Kept({key: _kept(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(_kept(item) for item in value)
    return value


def _turns(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Unchangeable messages."""
    return cast(tuple[Message, ...], tuple(map(_kept, messages)))


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the policy is asked.

    Attributes:
        id: given by the source, or derived from the messages by `prompt_id`.
        messages: the conversation, ending with a user turn.
        category: selects length multipliers and principle boosts; `general`, `reasoning`, `red-teaming` or any own.
        split: `train` or `test`. Test prompts are held out of every training stage.
        principles: its own. A text stands for a principle of the set by that name, `not NAME` for its opposite; of no
            such name, for a principle in these words.
    """

    id: str
    messages: tuple[Message, ...]
    category: str = "general"
    split: str = "train"
    principles: tuple[Principle | str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", _turns(self.messages))

    @classmethod
    def from_text(cls, text: str, *, id: str | None = None, category: str = "general", split: str = "train") -> Prompt:
        """A single user turn."""
        messages: tuple[Message, ...] = ({"role": "user", "content": text},)
        return cls(id or prompt_id(messages), messages, category, split)

    @property
    def text(self) -> str:
        """The last user turn, for people and for rules about the prompt's language."""
        return self.messages[-1]["content"]


def prompt_id(messages: Sequence[Message]) -> str:
    """The first 16 hex digits of the sha256 of the conversation."""
    text = json.dumps([[m["role"], m["content"]] for m in messages], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Completion:
    """One sample of a policy.

    Attributes:
        prompt_id: of the prompt it answers.
        index: 0, 1, ... among the samples of that prompt.
        text: special tokens stripped.
        token_ids: as generated, with the EOS where there is one.
        n_tokens: generated tokens without the EOS.
        stopped: whether it ended with EOS or a stop string rather than by the length limit.
    """

    prompt_id: str
    index: int
    text: str
    token_ids: tuple[int, ...]
    n_tokens: int
    stopped: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """Two completions of one prompt, to be compared; `first` is the one called 1 in `s12`."""

    prompt: Prompt
    first: Completion
    second: Completion

    @property
    def id(self) -> str:
        """Unique within a run: the prompt's id and the two sample numbers."""
        return f"{self.prompt.id}/{self.first.index}-{self.second.index}"


def prompt_of(pair_id: str) -> str:
    """The prompt's id, from a pair's."""
    return pair_id.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Judgment:
    """What a judge said of one pair under one principle, in both orders.

    `s12` is what speaks for the first output minus what speaks for the second with completion 1 shown first, `s21` the
    same with completion 2 shown first; BOTH are signed so that positive means completion 1 is better. The paper's
    judge gives differences of logits (arXiv 2310.05910, 3.1).

    Attributes:
        reason: the judge's own words, where it gave any.
        tie: the judge said that neither is better; the score is 0.
        mean: whether the score is the mean of the orders where they disagree, too (`judge.orders: mean`).
        answers: how many it is made of, where the judge counts: sampled ones, or those looked up in a file.
        unread: of them, those that are no verdict, or missing; they count for neither side.
    """

    pair_id: str
    principle: str
    s12: float
    s21: float
    reason: str | None = None
    tie: bool = False
    mean: bool = False
    answers: int = 0
    unread: int = 0

    @property
    def consistent(self) -> bool:
        """Whether both orders prefer the same completion; an exact tie in either order is not a preference."""
        return not self.tie and self.s12 * self.s21 > 0

    @property
    def score(self) -> float:
        """Mean of the two orders; 0 where they disagree, unless `mean`.

        A judge that adds the same to whatever is shown first has that cancelled by the mean; leaving out pairs on which
        the orders disagree, as the paper does, leaves out most of them where that bias is large.
        """
        return (self.s12 + self.s21) / 2 if self.consistent or (self.mean and not self.tie) else 0.0


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """One training example of the reward model.

    Attributes:
        pair_id: the judged pair it came from (for a user's own preferences: any id).
        messages: the conversation both completions answer.
        principles: in the order in which they are shown.
        margin: absolute combined score; its unit depends on the normalisation.
        decided_by: the principle's name, or `rule:NAME`.
        flipped: whether label noise turned it round.
    """

    pair_id: str
    messages: tuple[Message, ...]
    category: str
    principles: tuple[ShownPrinciple, ...]
    chosen: str
    rejected: str
    margin: float
    decided_by: str
    flipped: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", _turns(self.messages))


@dataclass(frozen=True, slots=True)
class Rollout:
    """A completion to be rewarded, with everything a bonus may look at; made by `from_row` or `from_text`.

    Attributes:
        prompt: the last user turn as text; `messages` the whole conversation.
        completion: special tokens stripped.
        completion_ids: generated ids, possibly empty where only text is known.
        n_tokens: generated tokens without EOS.
        stopped: whether the policy ended it itself (EOS as the last id).
        principles: shown to the reward model for this rollout, interventions first.
        rollout_index: 0, 1, ... one per generated batch of a training run.
        extra: the prompt row's further columns; unchangeable, lists are tuples.
    """

    prompt_id: str
    messages: tuple[Message, ...]
    completion: str
    completion_ids: tuple[int, ...] = ()
    n_tokens: int = 0
    stopped: bool = True
    category: str = "general"
    principles: tuple[ShownPrinciple, ...] = ()
    rollout_index: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", _turns(self.messages))
        object.__setattr__(self, "extra", _kept(self.extra))

    @property
    def prompt(self) -> str:
        """The last user turn."""
        return self.messages[-1]["content"]

    @classmethod
    def from_row(
        cls,
        row: Mapping[str, Any],
        completion: str,
        *,
        completion_ids: Sequence[int],
        stopped: bool,
        rollout_index: int,
    ) -> Rollout:
        """A completion of a row of `rl_prompts.parquet`, under the principles drawn for that row.

        Args:
            completion_ids: as generated; with the EOS if `stopped`.
        """
        return cls(
            prompt_id=row["prompt_id"],
            messages=tuple({"role": m["role"], "content": m["content"]} for m in row["messages"]),
            completion=completion,
            completion_ids=tuple(completion_ids),
            n_tokens=len(completion_ids) - stopped,
            stopped=stopped,
            category=row["category"],
            principles=tuple(
                ShownPrinciple(p["name"], p["text"], bool(p["negated"]), p.get("weight"), bool(p.get("veto")))
                for p in row["principles"]
            ),
            rollout_index=rollout_index,
            extra={key: value for key, value in row.items() if key not in RL_COLUMNS},
        )

    @classmethod
    def from_text(
        cls,
        prompt: Prompt,
        completion: str,
        *,
        n_tokens: int,
        principles: Sequence[ShownPrinciple] = (),
        completion_ids: Sequence[int] = (),
        stopped: bool = True,
        rollout_index: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> Rollout:
        """A completion of any prompt."""
        return cls(
            prompt_id=prompt.id,
            messages=prompt.messages,
            completion=completion,
            completion_ids=tuple(completion_ids),
            n_tokens=n_tokens,
            stopped=stopped,
            category=prompt.category,
            principles=tuple(principles),
            rollout_index=rollout_index,
            extra=extra or {},
        )


#: columns of `rl_prompts.parquet`, one row per prompt and visit: `row` int, `prompt_id` str, `prompt` str (the policy's
#: prompt text, final), `messages` list<struct<role, content>>, `category` str,
#: `principles` list<struct<name: str, text: str, negated: bool, weight: float or null, veto: bool>> (drawn ones;
#: interventions are added by rollout index)
RL_COLUMNS = ("row", "prompt_id", "prompt", "messages", "category", "principles")


@dataclass(frozen=True, slots=True)
class RewardBreakdown:
    """Where a reward came from.

    Attributes:
        total: the reward; the sum of `components`.
        components: weighted contributions by name: `rm` first, then the bonuses in configured order; last `veto`, where
            hard rules are configured: what it takes from the others' sum to the floor, 0 where none is broken.
        raw: the same before weights.
        principles: names shown, a negated one as `not NAME`.
        truncated: tokens cut from prompt and completion before the reward model saw them.
        fallbacks: components that failed and were replaced by the configured fallback.
        by_principle: the reward model's score under each principle alone, where it was asked for that: under all with
            `combine: mean`, else under hard rules.
        shares: with `combine: mean`, how much each counts, in sum 1: the sum of shares times scores is `raw["rm"]`.
        left_out: of a joint text, where it was to be explained: how much lower the score is without each principle.
        vetoed: hard rules that are broken.
        interventions: of the run's record, those in force, by id.
    """

    total: float
    components: Mapping[str, float]
    raw: Mapping[str, float]
    principles: tuple[str, ...] = ()
    truncated: int = 0
    fallbacks: tuple[str, ...] = ()
    by_principle: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, float] = field(default_factory=dict)
    vetoed: tuple[str, ...] = ()
    interventions: tuple[int, ...] = ()


#: a rate or a mean of fewer things says next to nothing
FEW = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate or a mean with its 95 % interval.

    Attributes:
        n: what it was measured on. Below `FEW` it is shown as `too few`.
    """

    value: float
    low: float
    high: float
    n: int
