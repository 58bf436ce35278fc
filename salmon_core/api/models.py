"""Models, by what can be asked of them, and the engines that open them.

An engine has a method for each kind of model it opens: `sampler`, `chooser`, `scorer`. Having the method is what says
so. An open model is a context manager; salmon opens one at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from salmon_core.closing import Closing
from salmon_core.records import Completion, Message, Prompt

#: what can be asked of a model, by the method of an engine that opens it
Ability = Literal["sampler", "chooser", "scorer"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as the configuration names it, its path resolved.

    Attributes:
        path: a folder, or a hub id.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        adapter: a PEFT adapter folder or hub id put on top, or None.
        trust_remote_code: run code that the model folder brings along; refused unless opted in.
        fallback_chat_template: Jinja, used when the tokenizer has no chat template of its own.
        conversational: a reward model that is asked by its own chat template, whose texts need not end with an EOS.
    """

    path: str
    dtype: str = "auto"
    device: str = "auto"
    adapter: str | None = None
    trust_remote_code: bool = False
    fallback_chat_template: str | None = None
    conversational: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn.

    Attributes:
        temperature: 0 takes the likeliest token.
        top_p: of nucleus sampling, 0 < top_p <= 1.
        max_new_tokens: counts the EOS.
        samples: completions per prompt.
        stop: strings at which a completion is cut; the string itself is not part of it.
        seed: of the noise, which a deterministic engine makes a function of (seed, prompt id, sample, position).
        batch_size: completions at once.
    """

    temperature: float = 0.7
    top_p: float = 1.0
    max_new_tokens: int = 768
    samples: int = 2
    stop: tuple[str, ...] = ()
    seed: int = 0
    batch_size: int = 32


@dataclass(frozen=True, slots=True)
class PrefixRequest:
    """Texts that share a beginning: `prefix + suffix` for each suffix, safe to tokenize as they are.

    Attributes:
        truncated: tokens cut from the untrusted parts to fit the limit.
    """

    prefix: str
    suffixes: tuple[str, ...]
    truncated: int = 0

    @property
    def texts(self) -> tuple[str, ...]:
        """The whole texts."""
        return tuple(self.prefix + suffix for suffix in self.suffixes)


@runtime_checkable
class TokenCodec(Protocol):
    """A tokenizer, as the rest of salmon sees it. Special tokens written in a text are parsed; none is added.

    It may have more, which is used where it is there, to make untrusted texts safe:

    - `added_tokens: tuple[str, ...]`, the strings that become one id before a text is split, special or not
    - `normalize(text: str) -> str`, what becomes of a text before it is split

    and `own_chat: bool`, whether the model has a chat format of its own, so that a judge is asked in a conversation,
    and `conversation(messages) -> str`, the whole conversation by that format, which reward models are asked by.
    """

    @property
    def eos_token(self) -> str: ...
    @property
    def eos_id(self) -> int: ...
    @property
    def bos_token(self) -> str | None:
        """The text a whole sequence has to begin with, or None where the tokenizer puts none."""

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """Every string that the tokenizer turns into a special id."""

    @property
    def max_length(self) -> int | None:
        """The longest sequence the model takes, in tokens, where known."""

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str: ...
    def chat(self, messages: Sequence[Message]) -> str:
        """The policy's prompt: the conversation by the chat template, up to where the answer begins."""


class OpenModel(Closing, ABC):
    """A model that an engine has opened; leaving its context frees what it holds."""

    @property
    @abstractmethod
    def codec(self) -> TokenCodec:
        """Its tokenizer."""


class Sampler(OpenModel):
    """A language model that is sampled from."""

    @abstractmethod
    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        """Completions of (prompt, its rendered text): `sampling.samples` per prompt, in that order."""


class Chooser(OpenModel):
    """A language model that is asked which of a few next tokens is likelier."""

    @abstractmethod
    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[tuple[float, float]]]:
        """For each request and suffix, the log-probability of each choice as the next token, in float32.

        A constant that the choices of one suffix share may be left out, so logits serve as well.

        Raises:
            SalmonError: a choice is not one single token after the suffix.
        """


class Scorer(OpenModel):
    """A reward model: a sequence classifier with one label."""

    @abstractmethod
    def score(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        """For each request and suffix, the score of the whole text, read at its last token."""


class Engine(ABC):
    """Opens models. A subclass has any of the methods

    - `sampler(model: ModelSpec) -> Sampler`
    - `chooser(model: ModelSpec) -> Chooser`
    - `scorer(model: ModelSpec) -> Scorer`

    Each raises SalmonError where there is no such model, its code was not opted in, it has no pad token apart from
    EOS (scorer), ... It may have

    - `memory(model: ModelSpec, use: Use) -> ProcessMemory | None`

    as well: what it would keep in memory to be asked so, in this process or in others; None where nothing is here.
    Pure: it reads no file of the model, and imports nothing heavy.

    and may have `turned(opened, ability: Ability) -> OpenModel | None`: a model that it has opened, to be asked in
    another way without being loaded again; None where it has to be. What was opened is not used any more. A run asks
    for it where stages in a row, such as sampling and judging, ask the same model.

    Attributes:
        deterministic: whether equal models, prompts and settings give equal completions on one machine, whatever else
            is sampled with them.
    """

    deterministic: bool = False

    def check(self, model: ModelSpec, ability: Ability) -> None:
        """Whether it could open such a model, as far as the model's small files tell; reads no weights.

        Raises:
            SalmonError: it could not.
        """
        self.codec(model)

    @abstractmethod
    def codec(self, model: ModelSpec) -> TokenCodec:
        """That model's tokenizer, without opening the model."""


def able(engine: Any, ability: Ability) -> bool:
    """Whether an engine opens such models."""
    return callable(getattr(engine, ability, None))
