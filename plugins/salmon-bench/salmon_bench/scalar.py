"""Scalar reward models: ours with their `salmon.json`, and others by a template."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from salmon_bench.subject import Orders, Question, Subject
from salmon_core.api import Limits, ModelSpec, Template
from salmon_core.errors import SalmonError
from salmon_core.plugins.engines import open_codec, open_model
from salmon_core.plugins.options import validate_options
from salmon_core.plugins.registry import Registry
from salmon_core.records import Message, ShownPrinciple
from salmon_core.reward.rendering import Renderer
from salmon_core.reward.reward import Reward
from salmon_core.reward.scorers import ability_of, scorer_of
from salmon_core.run.identity import path_identity
from salmon_core.sharing.document import FILE, read_document
from salmon_core.sharing.loaded import load_reward

#: of texts that a foreign reward model reads, in tokens; what it has no room for is cut, and then left out
LIMITS = Limits(2048, 2048, 4096)


class Scoring(Protocol):
    """A reward model that is open."""

    def score_texts(
        self, texts: Sequence[tuple[Sequence[Message], str, Sequence[Sequence[ShownPrinciple]]]]
    ) -> list[list[float]]:
        """Scores of (conversation, completion, sets of principles): one per set."""

    def close(self) -> None:
        """Frees it."""


class RewardModel(Subject):
    """Asked for the scores of both answers, by one order.

    Args:
        path: a folder, or an id on the hub.
        template: its name, for one without `salmon.json`.
        engine: that opens it; None: the installed default.
        name: for people; None: the path's last part.
    """

    sort = "reward model"

    def __init__(
        self,
        path: str,
        *,
        template: str | None = None,
        engine: str | None = None,
        device: str = "auto",
        dtype: str | None = None,
        name: str | None = None,
    ):
        self._path, self._device, self._dtype, self._name = path, device, dtype, name
        self._folder = Path(path).expanduser()
        self._registry = Registry.discover()
        self._own = template is None
        self._engine = validate_options(
            self._registry.default("engines") if engine is None else self._registry.find("engines", engine),
            {},
            "engine",
            Path.cwd(),
        )
        self._template_name = template
        self._opened: Scoring | None = None
        self._renderer: Renderer | None = None
        if self._own and self._folder.is_dir():
            document = read_document(self._folder)  # what is wrong with it is said before anything is opened
            self.joint = document.combine == "joint"
        elif not self._own:
            self.joint = self._template.reads_principles

    @property
    def name(self) -> str:
        return self._name or self._path

    @property
    def identity(self) -> Any:
        where = path_identity(self._folder) if self._folder.is_dir() else self._path
        return ["reward model", where, self._template_name, self._engine.name, self._dtype]

    @property
    def reads_principles(self) -> bool:
        """Whether it is shown them at all."""
        return self._own or self._template.reads_principles

    def fits(self, question: Question) -> bool:
        """Whether neither answer, nor the prompt, has to be cut."""
        renderer = self._rendering()
        try:
            asked = [renderer.reward(question.messages, each, [question.shown]) for each in question.answers]
        except SalmonError:
            return False
        return not any(each.truncated for each in asked)

    def ask(self, questions: Sequence[Question]) -> list[Orders]:
        """The difference of scores; what texts share is read once.

        Raises:
            SalmonError: a score is no finite number.
        """
        wanted: dict[tuple[str, str], dict[tuple[ShownPrinciple, ...], None]] = {}
        messages: dict[str, tuple[Message, ...]] = {}
        for question in questions:
            prompt = repr(question.messages)
            messages[prompt] = question.messages
            for answer in question.answers:
                wanted.setdefault((prompt, answer), {})[question.shown] = None
        rows = self._open().score_texts(
            [(messages[prompt], answer, list(own)) for (prompt, answer), own in wanted.items()]
        )
        scores = {
            (*about, shown): value
            for (about, own), row in zip(wanted.items(), rows, strict=True)
            for shown, value in zip(own, row, strict=True)
        }
        found: list[Orders] = []
        for question in questions:
            first, second = (scores[repr(question.messages), answer, question.shown] for answer in question.answers)
            if not (math.isfinite(first) and math.isfinite(second)):
                raise SalmonError("the reward model gave a score that is no finite number", where=self.name)
            found.append((first - second, first - second))
        return found

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _template(self) -> Template:
        found: Template = self._registry.find("templates", self._template_name or "").load()
        return found

    @property
    def _spec(self) -> ModelSpec:
        conversational = not self._own and self._template.conversation is not None
        return ModelSpec(self._path, dtype=self._dtype or "auto", device=self._device, conversational=conversational)

    def _rendering(self) -> Renderer:
        if self._renderer is None:
            if self._own:
                document = read_document(self._folder) if self._folder.is_dir() else self._loaded_document()
                template, limits, plain = document.to_template(), document.to_limits(), document.to_forbidden()
            else:
                template, limits, plain = self._template, LIMITS, None
            codec = open_codec(self._registry, self._engine, self._spec)
            self._renderer = Renderer(template, codec, limits=limits, plain=plain)
        return self._renderer

    def _loaded_document(self) -> Any:
        return self._open().document  # type: ignore[attr-defined]

    def _open(self) -> Scoring:
        if self._opened is None:
            if self._own:
                loaded = load_reward(self._path, device=self._device, dtype=self._dtype, engine=self._engine.name)
                self.joint = loaded.document.combine == "joint"
                self._opened = loaded
            else:
                template = self._template
                model = open_model(self._registry, self._engine, self._spec, ability_of(template))
                scorer = scorer_of(model, template)
                try:
                    renderer = Renderer(template, scorer.codec, limits=LIMITS)
                except BaseException:
                    scorer.close()
                    raise
                self._opened = Reward(scorer=scorer, renderer=renderer, rm_owner=self._engine.owner, owns_scorer=True)
        return self._opened


def has_document(path: Path) -> bool:
    """Whether a reward model of ours lies there."""
    return (path / FILE).is_file()
