"""The very texts that judge, reward model and policy read, up to their tokenisation; no weights are loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from salmon_core.api.models import Ability, Chooser, ModelSpec, OpenModel, PrefixRequest, Sampler, Sampling, TokenCodec
from salmon_core.api.principles import Principle
from salmon_core.errors import SalmonError
from salmon_core.plugins.engines import open_codec
from salmon_core.records import Completion, Pair, Prompt, ShownPrinciple
from salmon_core.reward.elsewhere import draw_for
from salmon_core.reward.reading import sets_of
from salmon_core.reward.sections import Section, SectionedRenderer, Sections, tokens_of
from salmon_core.reward.spec import reward_spec
from salmon_core.reward.steering import Steering, with_record
from salmon_core.run.calls import Calls
from salmon_core.run.judging import Judging
from salmon_core.run.run import Run
from salmon_core.seeing.asked import chosen
from salmon_core.stages.judge import judge_setup
from salmon_core.stages.self_align import STAGE as SELF_ALIGN
from salmon_core.stages.self_align import renderer_of, text_for
from salmon_core.stages.sources import ModelInput, Sources
from salmon_core.stages.texts import texts_of

Reader = Literal["judge", "reward", "policy", "self-align"]


@dataclass(frozen=True, slots=True)
class ShownText:
    """A text that a model reads.

    Attributes:
        title: what is special about it, in words.
        counts: tokens of each section; they add up to those of the text. Empty where no tokenizer reads it.
    """

    title: str
    sections: Sections
    counts: tuple[int, ...]

    @property
    def text(self) -> str:
        """The whole."""
        return "".join(section.text for section in self.sections)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a model reads of a prompt.

    Attributes:
        model: whose tokenizer it is.
        completions: where they come from, in words; empty where none are read.
        cut: tokens of prompt and completions that are left out for want of room.
        note: what else to know.
    """

    reader: Reader
    model: str
    prompt: str
    completions: str
    texts: tuple[ShownText, ...]
    cut: int = 0
    note: str = ""


class _Stop(Exception):
    """The judge asks a model or an API: the text is known, and nobody answers."""


class _Listening(Sampler, Chooser):
    """A model with nothing but its tokenizer, which remembers what it is asked."""

    def __init__(self, codec: TokenCodec, asked: list[tuple[str, int]]):
        self._codec, self._asked = codec, asked

    @property
    def codec(self) -> TokenCodec:
        return self._codec

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        self._asked += [(text, 0) for _, text in prompts]
        raise _Stop

    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[tuple[float, float]]]:
        self._asked += [(text, request.truncated) for request in requests for text in request.texts]
        raise _Stop


class _Quiet(Judging):
    """A judge whose calls are remembered and not made."""

    requests: list[Any]

    def _calls(self) -> Calls:
        async def ask(request: Any, _: Any) -> Any:
            self.requests.append(request)
            raise _Stop

        return cast(Calls, ask)


def show_policy(run: Run, prompt: Prompt) -> Shown:
    """What the policy completes."""
    config, texts = run.config, texts_of(Sources(run), "sample")
    codec = texts.codec(config.registry)
    renderer = SectionedRenderer(texts.template, codec, limits=texts.limits)
    text = renderer.policy(prompt)
    return Shown("policy", config.config.policy.model, prompt.id, "", (_shown("prompt", renderer.made[text], codec),))


def show_self_align(run: Run, prompt: Prompt) -> Shown:
    """What the model goes on with when it makes its own demonstrations: a prompt behind its preamble.

    Raises:
        SalmonError: the configuration has no `self_align`.
    """
    config = run.config
    if config.self_align is None:
        hint = "`self_align: {}` has the model make its own demonstrations"
        raise SalmonError("the configuration has no self_align", where=config.source, hint=hint)
    inputs = SELF_ALIGN.inputs(Sources(run))
    renderer = renderer_of(inputs, config.registry)
    passes = [("the first pass", inputs.shown, False)]
    if inputs.verbose is not None:
        passes.append(("thorough answers", inputs.verbose.shown, True))
    found = []
    for title, shown, verbose in passes:
        text = text_for(inputs, renderer, shown, prompt, verbose=verbose)
        found.append(_shown(title, renderer.sections(text), renderer.codec))
    note = f"sampling stops at {renderer.stop!r}"
    section = config.self_align.section
    named = config.config.policy.model if section.model == "policy" else section.model
    return Shown("self-align", named, prompt.id, "", tuple(found), 0, note)


def show_reward(
    run: Run, prompt: Prompt, completions: Sequence[str], principles: Sequence[str], rollout_index: int = 0
) -> Shown:
    """What the reward model reads: one text, or with `combine: mean` one for each principle.

    Args:
        principles: names of the reward's; empty: as many as are drawn for this prompt.
        rollout_index: decides which interventions are in force.

    Raises:
        SalmonError: the reward has no such principle, or no model.
    """
    config = run.config
    for name in principles:
        if name not in config.reward_principles.names:
            known = ", ".join(config.reward_principles.names)
            raise SalmonError(f"the reward has no principle {name!r}", hint=f"it has {known}")
    (completion,), source = chosen(run, prompt, completions, 1)
    drawn = draw_for(config, prompt, principles)
    steered = with_record(reward_spec(config, None), run.record)
    shown = Steering(steered.interventions, steered.reweighted).at(rollout_index).shown(drawn)
    return show_rollout(run, prompt, completion.text, shown, source)


def show_rollout(run: Run, prompt: Prompt, completion: str, shown: Sequence[ShownPrinciple], source: str = "") -> Shown:
    """What the reward model reads of a completion under these very principles.

    Args:
        source: where the completion comes from, in words.

    Raises:
        SalmonError: the reward has no model.
    """
    config = run.config
    model = run.reward_model
    if model is None:
        raise SalmonError("the reward has no reward model: reward.rm_weight is 0", where=str(run.path))
    spec = _with_tokenizer(model, config.models.get("reward-init", config.models["policy"]))
    template = config.reward_template
    codec = open_codec(config.registry, config.engines["reward"], spec)
    policy = open_codec(config.registry, config.engines["reward"], config.models["policy"])
    renderer = SectionedRenderer(template, codec, others=[policy], limits=config.limits)
    sets = sets_of(shown, config.config.reward.combine)
    request = renderer.reward(prompt.messages, completion, sets)
    found = [_shown(_names(each), renderer.made[text], codec) for each, text in zip(sets, request.texts, strict=True)]
    notes = [f"combine: {config.config.reward.combine}"]
    if template.answers is not None:
        notes.append(f"asked to choose between {' and '.join(map(repr, template.answers))}")
    if not template.reads_principles:
        notes.append("this model reads no principles")
    named = config.config.reward_model.path or "train-rm/model"
    return Shown("reward", named, prompt.id, source, tuple(found), request.truncated, "; ".join(notes))


def show_judge(run: Run, prompt: Prompt, completions: Sequence[str], principles: Sequence[str]) -> Shown:
    """What the judge reads of a pair, in both orders; whatever the judge, as it asks for it itself.

    Args:
        principles: names of the judge's; empty: the first.

    Raises:
        SalmonError: the judge has no such principle, or fails before it asks.
    """
    config, setup = run.config, judge_setup(Sources(run))
    by = _principles(setup.principles, principles)
    pair_of, source = chosen(run, prompt, completions, 2)
    pair = Pair(prompt, pair_of[0], pair_of[1])
    asked: list[tuple[str, int]] = []
    renderers: list[SectionedRenderer] = []
    spec = _tokenizer_of(setup.model, config.models["policy"])

    def opened(ability: Ability) -> OpenModel:
        return _Listening(open_codec(config.registry, setup.engine, spec), asked)

    def rendering(*arguments: Any, **options: Any) -> SectionedRenderer:
        renderers.append(SectionedRenderer(*arguments, **options))
        return renderers[-1]

    judging = _listening(run, opened, rendering)
    with judging:
        try:
            judging.judge([pair], by)
        except SalmonError as error:
            if not isinstance(error.__cause__, _Stop):
                raise
        except _Stop:
            pass
        form, requests = judging.form, judging.requests
    names = config.config.judge.model
    if not asked and not requests:
        note = f"the judge {config.judge.name} asks no model"
        return Shown("judge", names, prompt.id, source, (), 0, note)
    if requests:
        calls = [json.dumps(each, indent=1, ensure_ascii=False, default=str) for each in requests]
        shown = [ShownText("a call of an API", (Section("request", each),), ()) for each in calls]
        return Shown("judge", config.judge.name, prompt.id, source, tuple(shown), 0, "the first call that it makes")
    made = {text: sections for renderer in renderers for text, sections in renderer.made.items()}
    codec = renderers[-1].codec
    found = []
    for text, _ in asked:
        sections = made.get(text, (Section("text", text),))
        found.append(_shown(_order(sections, pair, by, renderers[-1]), sections, codec))
    cut = max((dropped for _, dropped in asked), default=0)
    others = len(setup.principles) - len(by)
    more = f"; {others} more principles: --principle NAME" if others and not principles else ""
    way = "in a conversation" if form == "chat" else "as plain text"
    return Shown("judge", names, prompt.id, source, tuple(found), cut, f"asked {way}{more}")


def _listening(run: Run, opened: Callable[[Ability], OpenModel], renderer: Callable[..., SectionedRenderer]) -> _Quiet:
    config, setup = run.config, judge_setup(Sources(run))
    quiet = setup.opened(_Quiet, config.registry, run.path / "cache", open_model=opened, renderer=renderer)
    quiet.requests = []
    return quiet


def _principles(known: Sequence[Principle], names: Sequence[str]) -> list[Principle]:
    by_name = {principle.name: principle for principle in known}
    for name in names:
        if name not in by_name:
            raise SalmonError(f"the judge has no principle {name!r}", hint=f"it has {', '.join(by_name)}")
    return [by_name[name] for name in names] or list(known[:1])


def _tokenizer_of(model: ModelInput, otherwise: ModelSpec) -> ModelSpec:
    """Of a model that is there; one that an earlier stage has still to make keeps the tokenizer that it began with."""
    return model.spec if model.made_by is None else _with_tokenizer(model.spec, otherwise)


def _with_tokenizer(model: ModelSpec, otherwise: ModelSpec) -> ModelSpec:
    made = Path(model.path)
    return otherwise if made.is_absolute() and not made.is_dir() else model


def _order(sections: Sections, pair: Pair, by: Sequence[Principle], renderer: SectionedRenderer) -> str:
    """Which completion stands first, and by which principle is asked: as the sections have it."""
    held = {section.kind: section.text for section in sections}
    one, first = renderer.safe_text(pair.first.text), held.get("first", "")
    which = "first" if first and one.startswith(first) else "second"
    asked = next((p.name for p in by if renderer.safe_text(p.text) == held.get("principle")), by[0].name)
    return f"the {which} completion first, by {asked}"


def _names(principles: Sequence[ShownPrinciple]) -> str:
    names = [f"not {each.name}" if each.negated else each.name for each in principles]
    return f"shown {', '.join(names)}" if names else "shown no principle"


def _shown(title: str, sections: Sections, codec: TokenCodec) -> ShownText:
    return ShownText(title, sections, tuple(tokens_of(sections, codec)))
