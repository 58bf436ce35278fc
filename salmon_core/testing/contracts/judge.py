"""What a judge keeps to."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import Ability, OpenModel
from salmon_core.api.principles import Principle
from salmon_core.api.templates import Limits, Template
from salmon_core.plugins.registry import Registry
from salmon_core.records import Judgment, Pair
from salmon_core.rng import named_rng, shuffled
from salmon_core.run.calls import Answers, Calls
from salmon_core.run.judging import Judging
from salmon_core.testing import rows
from salmon_core.testing.contracts.base import ComponentContract
from salmon_core.testing.elsewhere import Made
from salmon_core.testing.makers import make_principles
from salmon_core.testing.models import ByteModel

T = TypeVar("T")

#: how a judge is asked in these tests, whatever is installed
TEMPLATE = Template(
    judge="<<ask>> {instruction}\n<<a>> {first}\n<<b>> {second}\n<<by>>\n",
    principle="<<rule>> {principle} <<end of rule>>\n",
    verdict="Which is better?\n<<answer>>\n",
    reward="<<ask>> {instruction}\n<<reply>> {completion}\n<<by>>\n",
    score="<<answer>>",
    markers=("<<ask", "<<a>", "<<b>", "<<by", "<<rule", "<<end of", "<<answer", "<<reply"),
)


@dataclass(frozen=True)
class Asked:
    """What a judge is asked.

    Attributes:
        answers: what an API says to a request, instead of being called; None: the judge's own calls are made.
    """

    pairs: tuple[Pair, ...]
    principles: tuple[Principle, ...]
    answers: Callable[[Mapping[str, Any]], Any] | None = field(default=None, compare=False)


class JudgeContract(ComponentContract):
    """One judgment for each pair and principle, whatever else is judged with them; salmon judges in shards.

    A model that the judge asks for is `ByteModel`, which says the same to the same text.
    Of one that asks an API by `context.call`, override `reply`, or name a server of the test's own in the options.
    """

    kind: ClassVar[str] = "judges"

    def inputs(self) -> Asked:
        """Ordinary pairs and principles."""
        return Asked(rows.pairs(), make_principles(), self._replies())

    def reply(self, request: Mapping[str, Any]) -> Any:
        """What an API says to a request of `context.call`, JSON-ready; override it for a judge that asks one."""
        raise NotImplementedError

    @staticmethod
    def ask(made: Made, inputs: Any) -> list[Judgment]:
        asked = cast(Asked, inputs)
        with tempfile.TemporaryDirectory() as folder:
            judging = _Judging(made.spec, made.registry, asked, Path(folder) / "answers.sqlite")
            with judging:
                return judging.judge(asked.pairs)

    def portable(self) -> bool:
        # Replies made here cannot be given in another process.
        return self._replies() is None

    def _replies(self) -> Callable[[Mapping[str, Any]], Any] | None:
        return None if type(self).reply is JudgeContract.reply else self.reply

    def test_the_order_of_pairs_does_not_matter(self) -> None:
        asked = self.inputs()
        by_name = _by_name(self.answer(asked))
        for seed in range(2):
            pairs = tuple(shuffled(asked.pairs, named_rng(seed, "pairs")))
            principles = tuple(shuffled(asked.principles, named_rng(seed, "principles")))
            found = _by_name(self.answer(Asked(pairs, principles, asked.answers)))
            self.same(
                {name: found[name] for name in by_name},
                by_name,
                "the same pairs and principles in another order",
                tolerance=self.tolerance,
            )

    def test_a_shard_is_one_by_one(self) -> None:
        asked = self.inputs()
        found = [
            judgment
            for pair in asked.pairs
            for principle in asked.principles
            for judgment in self.answer(Asked((pair,), (principle,), asked.answers))
        ]
        self.same(found, self.answer(asked), "judged one by one", tolerance=self.tolerance)

    def test_what_it_says_of_itself(self) -> None:
        """`check`, where it has one, finds nothing wrong with these principles; `calls` can be counted with."""
        asked = self.inputs()
        made = self.made
        with _Judging(made.spec, made.registry, asked, Path()) as judging:
            judging.check()
        calls = getattr(made.build(), "calls", 1)
        assert isinstance(calls, int), f"`calls` is {calls!r}, not a number of answers"
        assert calls >= 0, f"`calls` is {calls}"

    def test_odd_texts_are_judged(self) -> None:
        """A policy writes anything: nothing at all, emoji, control characters, thousands of words."""
        principles = make_principles("brief")
        for name, pair in zip(rows.ODD_TEXTS, rows.odd_pairs(), strict=True):
            try:
                self.answer(Asked((pair,), principles, self._replies()))
            except Exception as error:
                raise AssertionError(f"a completion such as {name!r}: {error}") from error


class _Judging(Judging):
    """As in a run, but for the model and the calls."""

    def __init__(self, spec: ComponentSpec, registry: Registry, asked: Asked, cache: Path):
        self._replies = asked.answers
        super().__init__(
            spec,
            registry,
            asked.principles,
            TEMPLATE,
            Limits(),
            seed=1,
            open_model=_opened,
            codecs=lambda: (),
            cache=cache,
            concurrency=4,
            attempts=1,
        )

    def _calls(self) -> Calls:
        return super()._calls() if self._replies is None else _Replies(self._replies)


class _Replies(Calls):
    """Answers without calling anybody."""

    def __init__(self, reply: Callable[[Mapping[str, Any]], Any]):
        super().__init__("test", {}, Answers(Path()), concurrency=1, attempts=1, seed=0)
        self._reply = reply

    async def __call__(self, request: Mapping[str, Any], action: Callable[[], Awaitable[T]]) -> T:
        return cast(T, self._reply(request))


def _opened(ability: Ability) -> OpenModel:
    return ByteModel()


def _by_name(judgments: Sequence[Judgment]) -> dict[str, Judgment]:
    return {f"{judgment.pair_id} {judgment.principle}": judgment for judgment in judgments}
