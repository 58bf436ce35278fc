"""A judge at work, with models of its own: what the tests of judging share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from judge_world import pair, principles

from salmon_core import Component, hookimpl
from salmon_core.api import (
    Ability,
    Chooser,
    ComponentSpec,
    Judge,
    Limits,
    OpenModel,
    PrefixRequest,
    Principle,
    Sampler,
    Sampling,
    TokenCodec,
)
from salmon_core.records import Completion, Judgment, Message, Pair, Prompt
from salmon_core.run.judging import Judging
from salmon_core.testing import registry_of
from salmon_judge.template import STANDARD

PAIRS = [pair(name) for name in ("p", "q", "r")]
BOTH = principles("kind", "clear")
OWNER = "judge_of_the_test"


class Bytes:
    """A tokenizer: a byte is a token."""

    eos_token, eos_id, bos_token, special_tokens, max_length = "<eos>", 256, None, ("<eos>",), None

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        return bytes(ids).decode(errors="replace")

    def chat(self, messages: Sequence[Message]) -> str:
        return messages[-1]["content"]


class _Model(OpenModel):
    def __init__(self, log: list[str]):
        self.log = log

    @property
    def codec(self) -> TokenCodec:
        return Bytes()

    def close(self) -> None:
        self.log.append(f"close {type(self).__name__.lower()}")


class Choosing(_Model, Chooser):
    """Prefers the text shown first by the length of the whole prefix."""

    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[tuple[float, float]]]:
        assert choices == ("a", "b")
        return [[(float(len(request.prefix)), 0.0) for _ in request.suffixes] for request in requests]


class Sampled(_Model, Sampler):
    """Answers with the prompt."""

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        return [Completion(prompt.id, 0, text, (), 1, True) for prompt, text in prompts]


class World:
    """A plugin with one judge, and all that Judging needs."""

    def __init__(self, folder: Path, judge: Any, options: Mapping[str, str] | None = None, **changes: Any):
        self.log: list[str] = []
        self.cache = folder / "cache" / "answers.sqlite"
        component = Component("own", judge, "for a test")

        @hookimpl
        def salmon_judges() -> list[Component]:
            return [component]

        module = ModuleType(OWNER)
        module.salmon_judges = salmon_judges  # type: ignore[attr-defined]
        options = options or {}
        values: dict[str, Any] = {
            "judge": ComponentSpec("judges", "own", OWNER, options, tuple(options.values())),
            "registry": registry_of(module),
            "principles": BOTH,
            "template": STANDARD,
            "limits": Limits(total=4096),
            "seed": 7,
            "open_model": self.open_model,
            "codecs": self.codecs,
            "cache": self.cache,
            "concurrency": 2,
            "attempts": 2,
        }
        self.judging = Judging(**{**values, **changes})

    def open_model(self, ability: Ability) -> OpenModel:
        self.log.append(f"open {ability}")
        return {"chooser": Choosing, "sampler": Sampled}[ability](self.log)

    def codecs(self) -> tuple[TokenCodec, ...]:
        self.log.append("codecs")
        return ()


def all_of(pairs: Sequence[Pair], shown: Sequence[Principle], **values: Any) -> list[Judgment]:
    own = {"s12": 1.0, "s21": 1.0, **values}
    return [Judgment(each.id, principle.name, **own) for each in pairs for principle in shown]


def judge_of(function: Callable[..., Any]) -> type[Judge]:
    """A judge with this method."""
    return type("Own", (Judge,), {"judge": lambda self, *given: function(*given)})


# --- models ---
