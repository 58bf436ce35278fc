"""`salmon.json`: all that scoring by a reward model takes beside its weights, as data, so that no plugin is needed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import salmon_core
from salmon_core.api.models import ModelSpec, TokenCodec
from salmon_core.api.principles import Principle
from salmon_core.api.templates import Limits, RewardConversation, Template
from salmon_core.data.json import read_json
from salmon_core.data.validation import problems_of
from salmon_core.errors import SalmonError
from salmon_core.records import PreferenceRow, ShownPrinciple
from salmon_core.reward.markers import codec_markers
from salmon_core.reward.sanitizer import Forbidden

FILE = "salmon.json"
#: of the file; one that changes what an older reader would compute gets another number
FORMAT: Literal[1] = 1

_Words = tuple[str, ...]
_Count = Annotated[int, Field(ge=1, lt=2**31)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Conversation(_Part):
    principles: Literal["none", "system", "user"] = "none"
    heading: str = ""


class _Template(_Part):
    name: str
    judge: str
    principle: str
    verdict: str
    reward: str
    score: str
    markers: _Words
    choices: tuple[str, str]
    turn: str
    chat: str | None = None
    question: str = ""
    rewordings: _Words = ()
    stop: _Words = ()
    answers: tuple[str, str] | None = None
    conversation: _Conversation | None = None


class _Limits(_Part):
    prompt: _Count
    completion: _Count
    total: _Count


class _Plain(_Part):
    anywhere: _Words = ()
    headings: _Words = ()
    lines: _Words = ()


class KnownPrinciple(_Part):
    """A principle that the model was trained on; one that it was only shown the negation of has no text."""

    name: str = Field(min_length=1)
    text: str | None = None
    negated: str | None = None
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    veto: bool = False

    @model_validator(mode="after")
    def _has_a_text(self) -> KnownPrinciple:
        if not any(text and text.strip() for text in (self.text, self.negated)):
            raise ValueError("needs `text`, `negated` or both")
        return self

    def shown(self, *, negated: bool = False) -> ShownPrinciple | None:
        """As the model is shown it; None where it has no such text."""
        text = self.negated if negated else self.text
        return None if text is None else ShownPrinciple(self.name, text, negated, veto=self.veto)


class RewardDocument(_Part):
    """What `salmon.json` says.

    Attributes:
        format: see `FORMAT`.
        salmon_core: the version that wrote it.
        combine: several principles in one text, or one text each and their weighted mean.
        dtype: as it was trained; `auto`: as stored.
        conversational: it is asked by its own chat template.
        chat_template: Jinja, where the tokenizer has none.
        bos: what every text begins with, and `eos` what it ends with, if it is no conversation.
        plain: strings of the policy's tokenizer and chat format, which are made plain in untrusted texts as well.
        base_model: id on the hub of the model that training began with; empty where that was a folder.
    """

    format: Literal[1] = FORMAT
    kind: Literal["reward-model"] = "reward-model"
    salmon_core: str
    template: _Template
    limits: _Limits
    combine: Literal["joint", "mean"] = "joint"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    conversational: bool = False
    chat_template: str | None = None
    bos: str = ""
    eos: str
    plain: _Plain = _Plain()
    principles: tuple[KnownPrinciple, ...] = ()
    base_model: str = ""

    @model_validator(mode="after")
    def _names_once(self) -> RewardDocument:
        names = [principle.name for principle in self.principles]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"has more than one principle {', '.join(twice)}")
        return self

    def to_json(self) -> str:
        """As `read_document` reads it."""
        return json.dumps(self.model_dump(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    def to_template(self) -> Template:
        """The template."""
        values = self.template.model_dump(exclude={"name", "conversation"})
        how = self.template.conversation
        return Template(**values, conversation=None if how is None else RewardConversation(how.principles, how.heading))

    def to_limits(self) -> Limits:
        """The lengths."""
        return Limits(**self.limits.model_dump())

    def to_forbidden(self) -> Forbidden:
        """What is made plain beside the markers of template and reward model."""
        return Forbidden(frozenset(self.plain.anywhere), frozenset(self.plain.headings), frozenset(self.plain.lines))


def make_document(
    *,
    name: str,
    template: Template,
    limits: Limits,
    principles: Sequence[KnownPrinciple],
    combine: Literal["joint", "mean"],
    model: ModelSpec,
    codec: TokenCodec,
    policy: TokenCodec,
    base_model: str,
) -> RewardDocument:
    """A reward model's document.

    Args:
        name: of the template, for people.
        model: that training began with, and `codec` its tokenizer.
        policy: the tokenizer of the model that is rewarded.
    """
    plain = codec_markers(policy)
    wording = {key: value for key, value in asdict(template).items() if key not in ("plain", "preamble")}
    values: dict[str, Any] = {
        "salmon_core": salmon_core.__version__,
        "template": {"name": name, **wording},
        "limits": asdict(limits),
        "combine": combine,
        "dtype": model.dtype,
        "conversational": template.conversation is not None,
        "chat_template": model.fallback_chat_template,
        "bos": codec.bos_token or "",
        "eos": codec.eos_token,
        "plain": {key: sorted(getattr(plain, key)) for key in ("anywhere", "headings", "lines")},
        "principles": [principle.model_dump() for principle in principles],
        "base_model": base_model,
    }
    return RewardDocument.model_validate(values)


def read_document(folder: Path) -> RewardDocument:
    """The document in a reward model's folder.

    Raises:
        SalmonError: there is none, it is of a later format, or something in it is wrong; names all of it.
    """
    file = folder / FILE
    if not file.is_file():
        raise SalmonError(
            f"has no {FILE}, so nobody knows how this model is asked",
            where=str(folder),
            hint="name the folder that the stage train-rm left; `salmon run --from train-rm` makes older ones anew",
        )
    values = read_json(file)
    if not isinstance(values, Mapping):
        raise SalmonError("is no JSON object", where=str(file), hint="take it from where the model came from again")
    version = values.get("format")
    if isinstance(version, int) and version > FORMAT:
        wrote = values.get("salmon_core", "a later version")
        hint = f"it was written by {wrote}; pip install -U salmon-core"
        raise SalmonError(f"has format {version}, and this salmon-core knows {FORMAT}", where=str(file), hint=hint)
    try:
        return RewardDocument.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(str(problem) for problem in problems_of(error, "", RewardDocument)[:6])
        raise SalmonError(problems, where=str(file), hint="take it from where the model came from again") from None


def known_principles(rows: Iterable[PreferenceRow], configured: Iterable[Principle]) -> tuple[KnownPrinciple, ...]:
    """What a reward model was shown: the principles of its rows, in the order of the configured set, then of the rows.

    Args:
        configured: the set that was judged by; its texts and weights count where the rows have the same text.
    """
    texts: dict[str, dict[bool, str]] = {}
    for row in rows:
        for shown in row.principles:
            texts.setdefault(shown.name, {}).setdefault(shown.negated, shown.text)
    sets = {principle.name: principle for principle in configured}
    found = []
    for name in [name for name in sets if name in texts] + [name for name in texts if name not in sets]:
        own, known = texts[name], sets.get(name)
        if known is not None and any(text != (known.negated if neg else known.text) for neg, text in own.items()):
            known = None  # another principle of the same name
        text = own.get(False) if known is None else known.text
        negated = own.get(True) if known is None else known.negated
        found.append(
            KnownPrinciple(
                name=name,
                text=text,
                negated=negated,
                weight=1.0 if known is None else known.weight,
                veto=known is not None and known.veto,
            )
        )
    return tuple(found)
