"""Judges: a language model of any engine, or an API, asked by a judge in both orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from salmon_bench.subject import Orders, Question, Subject
from salmon_core.api import Limits, ModelSpec, Principle, Template
from salmon_core.errors import SalmonError
from salmon_core.plugins.engines import open_codec, open_model
from salmon_core.plugins.options import validate_options
from salmon_core.plugins.registry import Registry
from salmon_core.records import Completion, Pair, Prompt
from salmon_core.reward.forms import Form
from salmon_core.reward.rendering import Renderer
from salmon_core.run.identity import component_identity, fingerprint, path_identity
from salmon_core.run.judging import Judging

#: what a judge is asked by where a file shows no principle
AS_A_WHOLE = "The response is the better one as a whole: it is correct, it does what was asked, and it does no harm."
LIMITS = Limits(2048, 2048, 8192)


class JudgeModel(Subject):
    """A judge on a model.

    Args:
        model: a folder, an id on the hub, or the name of an API's model.
        judge: its name; None: the installed default. `engine` and `template` the same.
        options: of the judge; `engine_options` of the engine.
        form: in which the model is asked: by its chat template where it has one (`auto`).
        folder: where answers of an API are kept.
    """

    sort = "judge"

    def __init__(
        self,
        model: str,
        *,
        folder: Path,
        judge: str | None = None,
        options: Mapping[str, Any] | None = None,
        engine: str | None = None,
        engine_options: Mapping[str, Any] | None = None,
        template: str | None = None,
        form: Form = "auto",
        device: str = "auto",
        dtype: str | None = None,
        concurrency: int = 8,
        seed: int = 0,
    ):
        registry = self._registry = Registry.discover()
        owned = registry.default("judges") if judge is None else registry.find("judges", judge)
        self._judge = validate_options(owned, options or {}, "judge", Path.cwd())
        opener = registry.default("engines") if engine is None else registry.find("engines", engine)
        self._engine = validate_options(opener, engine_options or {}, "engine", Path.cwd())
        asked = registry.default("templates") if template is None else registry.find("templates", template)
        self._template: Template = asked.load()
        self._template_name = asked.name
        self._model, self._form, self._seed = model, form, seed
        self._spec = ModelSpec(model, dtype=dtype or "auto", device=device)
        self._folder, self._concurrency = folder, concurrency
        self._judging: Judging | None = None
        self._renderer: Renderer | None = None

    @property
    def name(self) -> str:
        return self._model

    @property
    def form(self) -> Form | None:
        """In which the model was asked last."""
        return None if self._judging is None else self._judging.form

    @property
    def identity(self) -> Any:
        path = Path(self._model).expanduser()
        return [
            "judge",
            path_identity(path) if path.is_dir() else self._model,
            component_identity(self._judge, self._registry),
            component_identity(self._engine, self._registry),
            self._template_name,
            self._form,
            self._spec.dtype,
            self._seed,
        ]

    def fits(self, question: Question) -> bool:
        """Whether nothing of prompt and answers has to be cut."""
        if self._renderer is None:
            codec = open_codec(self._registry, self._engine, self._spec)
            self._renderer = Renderer(self._template, codec, limits=LIMITS, form=self._form)
        pair, principles = self._asked([question])[0]
        try:
            texts = self._renderer.judge(pair, [each.shown() for each in principles])
        except SalmonError:
            return False
        return not any(each.truncated for each in texts)

    def ask(self, questions: Sequence[Question]) -> list[Orders]:
        """Both orders of each; a question of several principles is none: see `Subject.joint`."""
        items = self._asked(questions)
        principles = {pair.prompt.id: own for pair, own in items}
        judgments = self._open().judge([pair for pair, _ in items], lambda prompt: principles[prompt.id])
        said = {(judgment.pair_id, judgment.principle): (judgment.s12, judgment.s21) for judgment in judgments}
        return [said[_pair(question).id, _principle(question).name] for question in questions]

    def close(self) -> None:
        if self._judging is not None:
            self._judging.close()
            self._judging = None

    def _asked(self, questions: Sequence[Question]) -> list[tuple[Pair, list[Principle]]]:
        """What is asked about one pair together, so that what the texts share is read once."""
        found: dict[str, tuple[Pair, dict[str, Principle]]] = {}
        for question in questions:
            pair, principle = _pair(question), _principle(question)
            found.setdefault(pair.id, (pair, {}))[1][principle.name] = principle
        return [(pair, list(own.values())) for pair, own in found.values()]

    def _open(self) -> Judging:
        if self._judging is None:
            self._judging = Judging(
                judge=self._judge,
                registry=self._registry,
                principles=(),
                template=self._template,
                limits=LIMITS,
                seed=self._seed,
                open_model=partial(open_model, self._registry, self._engine, self._spec),
                codecs=lambda: (),
                cache=self._folder / "calls.sqlite",
                concurrency=self._concurrency,
                attempts=4,
                form=self._form,
                orders="mean",
            )
        return self._judging


def _pair(question: Question) -> Pair:
    name = fingerprint([list(map(dict, question.messages)), list(question.answers)])
    first, second = (Completion(name, place, text, (), 0, True) for place, text in enumerate(question.answers))
    return Pair(Prompt(name, question.messages), first, second)


def _principle(question: Question) -> Principle:
    text = question.shown[0].text if question.shown else AS_A_WHOLE
    return Principle(fingerprint(text), text)
