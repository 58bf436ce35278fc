"""Judging: what a judge is given, and a check of what it gives back."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from numbers import Real
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from salmon_core.api.component import ComponentSpec
from salmon_core.api.judge import Judge, JudgeContext
from salmon_core.api.models import Ability, Chooser, OpenModel, PrefixRequest, Sampler, TokenCodec
from salmon_core.api.principles import Principle
from salmon_core.api.templates import Limits, Template
from salmon_core.closing import Closing
from salmon_core.errors import PluginError, SalmonError, boundary
from salmon_core.plugins.options import require
from salmon_core.plugins.registry import Registry
from salmon_core.records import Judgment, Pair, Prompt, ShownPrinciple
from salmon_core.reward.forms import Form, asking
from salmon_core.reward.rendering import Renderer
from salmon_core.run.calls import Answers, Calls
from salmon_core.run.identity import by_content

T = TypeVar("T")
#: a pair's id, and a principle's name
Names = tuple[str, str]
PrinciplesOf = Callable[[Prompt], Sequence[Principle]]
Orders = Literal["agree", "mean"]


class Judging(Closing):
    """A judge with all it needs; a context manager.

    Args:
        judge: as the configuration chose it.
        registry: where the judge comes from.
        principles: to judge by; or what gives those of a prompt.
        template: how a model is asked.
        limits: of the texts, in tokens.
        seed: the run's.
        open_model: opens `judge.model`; called when the judge first asks for the model, and never if it asks for none.
        codecs: further tokenizers, whose special tokens are made plain in the texts as well.
        cache: file of the answers to calls, made by the first call.
        concurrency: calls at once.
        attempts: per call.
        form: in which a model is asked.
        orders: what a score is where the orders disagree: 0 (`agree`), or their mean.
        renderer: makes the texts.

    Raises:
        PluginError: the judge cannot be constructed.
    """

    def __init__(
        self,
        judge: ComponentSpec,
        registry: Registry,
        principles: Sequence[Principle] | PrinciplesOf,
        template: Template,
        limits: Limits,
        seed: int,
        open_model: Callable[[Ability], OpenModel],
        codecs: Callable[[], tuple[TokenCodec, ...]],
        cache: Path,
        concurrency: int,
        attempts: int,
        form: Form = "auto",
        orders: Orders = "agree",
        renderer: Callable[..., Renderer] = Renderer,
    ):
        self._spec = judge
        self._principles = principles if callable(principles) else tuple(principles)
        self._judge: Judge = require(registry.owned(judge), registry.build(judge), "judge")
        self._template = template
        self._mean = orders == "mean"
        self._what = f"judge {judge.name!r}"
        self._answers = Answers(cache)
        self._concurrency, self._attempts = concurrency, attempts
        self._context = _Context(seed, template, limits, open_model, codecs, form, renderer)
        self._runner: asyncio.Runner | None = None

    @property
    def reads_principles(self) -> bool:
        """Whether the judge goes by the principles' texts."""
        return bool(getattr(self._judge, "reads_principles", True))

    @property
    def calls(self) -> int:
        """Answers that the judge asks for, for each pair, principle and order."""
        return int(getattr(self._judge, "calls", 1))

    @property
    def form(self) -> Form | None:
        """In which a model was asked last, `chat` or `text`; None where none was."""
        return self._context.form

    def check(self) -> bool:
        """What the judge can tell by itself of what will fail; whether it can tell at all.

        Raises:
            PluginError, SalmonError: something will.
        """
        check = getattr(self._judge, "check", None)
        if check is not None:
            with boundary(self._spec.owner, f"{self._what}, check"):
                check(() if callable(self._principles) else self._principles)
        return check is not None

    @property
    def rewordings(self) -> int:
        """Other wordings that the template has."""
        return len(self._template.rewordings)

    def judge(
        self,
        pairs: Sequence[Pair],
        principles: Sequence[Principle] | PrinciplesOf | None = None,
        *,
        wording: int = 0,
    ) -> list[Judgment]:
        """Judges these pairs: one judgment per pair and principle, pairs in order, principles in order within a pair.

        Args:
            principles: None: those it was opened with; or what gives those of a prompt.
            wording: of the question; 0 is the template's own, 1 the first of its `rewordings`.

        Raises:
            PluginError: the judge failed, or returned something else.
            SalmonError: what the judge, its model or its calls say went wrong.
        """
        given = self._principles if principles is None else principles
        if callable(given):
            return self._by_prompt(pairs, given, wording)
        by = tuple(given)
        if not pairs or not by:
            return []
        pairs = tuple(pairs)  # a judge cannot change what it is given
        wanted = [(pair.id, principle.name) for pair in pairs for principle in by]
        return self._asked(partial(self._judge.judge, pairs, by), wanted, wording)

    def _asked(self, ask: Callable[[JudgeContext], Any], wanted: Sequence[Names], wording: int) -> list[Judgment]:
        """What the judge answers, checked."""
        self._context.word(self._template, wording)
        # Calls belong to one event loop, and a judge that is not `async` may run one of its own each time.
        self._context.calls = self._calls()
        with boundary(self._spec.owner, self._what):
            try:
                found: Any = ask(self._context)
                if inspect.isawaitable(found):
                    found = self._run(found)
            except ExceptionGroup as group:
                raise _cause(group) from group
        return self._checked(found, wanted)

    def _by_prompt(self, pairs: Sequence[Pair], principles: PrinciplesOf, wording: int) -> list[Judgment]:
        """All at once where the judge can; else those together that are judged by the same principles."""
        each = getattr(self._judge, "judge_each", None)
        if each is not None and pairs:
            items = tuple((pair, tuple(principles(pair.prompt))) for pair in pairs)
            wanted = [(pair.id, principle.name) for pair, by in items for principle in by]
            return self._asked(partial(each, items), wanted, wording)
        groups: list[tuple[tuple[Principle, ...], list[Pair]]] = []
        places: dict[tuple[tuple[str, str], ...], int] = {}
        for pair in pairs:
            by = tuple(principles(pair.prompt))
            place = places.setdefault(tuple((each.name, each.text) for each in by), len(groups))
            if place == len(groups):
                groups.append((by, []))
            groups[place][1].append(pair)
        said: dict[str, list[Judgment]] = {}
        for by, own in groups:
            for judgment in self.judge(own, by, wording=wording):
                said.setdefault(judgment.pair_id, []).append(judgment)
        return [judgment for pair in pairs for judgment in said.get(pair.id, ())]

    def close(self) -> None:
        """Closes the model, the cache and the event loop, where they were opened."""
        self._stop()
        self._answers.close()
        self._context.close()

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What the judge is, in the keys of its answers."""
        spec = self._spec
        options = by_content(spec.options, frozenset(spec.paths))
        return {"owner": spec.owner, "judge": spec.name, "options": options}

    def _calls(self) -> Calls:
        return Calls(
            f"plugin {self._spec.owner}, {self._what}",
            self._identity,
            self._answers,
            concurrency=self._concurrency,
            attempts=self._attempts,
            seed=self._context.seed,
        )

    def _run(self, judging: Awaitable[T]) -> T:
        """Awaits it, in a loop that lasts: a judge may keep its connections from one shard to the next."""
        if self._runner is None:
            self._runner = asyncio.Runner()
            # For judges that call a library without `async` by `asyncio.to_thread`.
            self._runner.get_loop().set_default_executor(ThreadPoolExecutor(self._concurrency))
        try:
            return self._runner.run(_awaited(judging))
        except BaseException:
            self._stop()  # calls that were still under way
            raise

    def _stop(self) -> None:
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _checked(self, found: Any, wanted: Sequence[Names]) -> list[Judgment]:
        if isinstance(found, str | Mapping) or not isinstance(found, Sequence):
            raise self._broken(f"returned {type(found).__name__}, not a sequence of judgments")
        if len(found) != len(wanted):
            pairs = len({pair for pair, _ in wanted})
            raise self._broken(
                f"returned {len(found)} judgments, not {len(wanted)}:"
                f" one for each of {pairs} pairs under each of its principles"
            )
        return [self._checked_one(item, *names) for item, names in zip(found, wanted, strict=True)]

    def _checked_one(self, item: Any, pair: str, principle: str) -> Judgment:
        where = f"pair {pair} under {principle!r}"
        if not isinstance(item, Judgment):
            raise self._broken(f"returned {type(item).__name__}, not a Judgment, for {where}")
        if (item.pair_id, item.principle) != (pair, principle):
            raise self._broken(
                f"returned a judgment of pair {item.pair_id} under {item.principle!r} in the place of {where}",
                "pairs come in the order given, and principles in the order given within a pair",
            )
        for name, value in (("s12", item.s12), ("s21", item.s21)):
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise self._broken(f"{name} is {value!r}, not a finite number, for {where}")
        if item.reason is not None and not isinstance(item.reason, str):
            raise self._broken(f"reason is {type(item.reason).__name__}, not a text, for {where}")
        if not isinstance(item.tie, bool):
            raise self._broken(f"tie is {item.tie!r}, neither true nor false, for {where}")
        counts = (item.answers, item.unread)
        if any(type(count) is not int for count in counts) or not 0 <= item.unread <= item.answers:
            raise self._broken(f"of {item.answers!r} answers {item.unread!r} are unread, for {where}")
        # Numbers of numpy and the like become plain ones, and half a character becomes a question mark: JSON can hold
        # what no file of UTF-8 can.
        reason = None if item.reason is None else item.reason.encode(errors="replace").decode()
        return replace(item, s12=float(item.s12), s21=float(item.s21), reason=reason, mean=self._mean)

    def _broken(self, message: str, hint: str | None = None) -> PluginError:
        return PluginError(self._spec.owner, message, what=self._what, hint=hint)


class _Context:
    """What the judge sees; a `JudgeContext`."""

    def __init__(
        self,
        seed: int,
        template: Template,
        limits: Limits,
        open_model: Callable[[Ability], OpenModel],
        codecs: Callable[[], tuple[TokenCodec, ...]],
        form: Form,
        renderer: Callable[..., Renderer],
    ):
        self._form: Form = form
        self._make = renderer
        self.form: Form | None = None
        self.seed, self.template = seed, template
        self._limits, self._open_model, self._codecs = limits, open_model, codecs
        self._opened: tuple[Ability, OpenModel] | None = None
        #: by the question asked, None for the template's own, and the room for its answer
        self._renderers: dict[tuple[str | None, int], Renderer] = {}
        self.calls: Calls | None = None

    @property
    def chooser(self) -> Chooser:
        return cast(Chooser, self._model("chooser"))

    @property
    def sampler(self) -> Sampler:
        return cast(Sampler, self._model("sampler"))

    def word(self, template: Template, wording: int) -> None:
        """From now on the question is put in this wording."""
        worded = replace(template, judge=template.rewordings[wording - 1]) if wording else template
        if worded != self.template:
            self.template = worded
            self._renderers.clear()

    def render(self, pair: Pair, principles: Sequence[ShownPrinciple]) -> tuple[PrefixRequest, PrefixRequest]:
        return self._renderer("chooser", None, 0).judge(pair, principles)

    def ask(
        self, pair: Pair, principles: Sequence[ShownPrinciple], question: str, *, room: int = 0
    ) -> tuple[PrefixRequest, PrefixRequest]:
        return self._renderer("sampler", question, room).judge(pair, principles)

    async def call(self, request: Mapping[str, Any], action: Callable[[], Awaitable[T]]) -> T:
        assert self.calls is not None
        return await self.calls(request, action)

    def close(self) -> None:
        if self._opened is not None:
            _, model = self._opened
            self._opened = None
            self._renderers.clear()
            model.close()

    def _renderer(self, ability: Ability, question: str | None, room: int) -> Renderer:
        """Of the model that is open, whose tokenizer is the same whatever it is asked; else of one opened for this."""
        if (question, room) not in self._renderers:
            codec = (self._opened[1] if self._opened else self._model(ability)).codec
            template = self.template if question is None else asking(self.template, question)
            found = self._make(template, codec, others=self._codecs(), limits=self._limits, form=self._form, room=room)
            self._renderers[question, room], self.form = found, found.form
        return self._renderers[question, room]

    def _model(self, ability: Ability) -> OpenModel:
        if self._opened is None or self._opened[0] != ability:
            self.close()
            self._opened = ability, self._open_model(ability)
        return self._opened[1]


async def _awaited(judging: Awaitable[T]) -> T:
    return await judging


def _cause(group: BaseExceptionGroup[Any]) -> Exception:
    """Of what went wrong at once, as in a task group: what says what to do, else the first."""
    leaves: list[Exception] = []
    pending: list[Any] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending[:0] = error.exceptions
        else:
            leaves.append(error)
    return next((error for error in leaves if isinstance(error, SalmonError)), leaves[0])
