"""What goes to a worker and comes back: JSON in bytes, which Ray carries as they are.

Nothing that a worker says is unpickled here. Texts with lone surrogates survive, and floats come back to the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from salmon_core.api import Ability, ComponentSpec, ModelSpec, PrefixRequest, Sampling
from salmon_core.errors import SalmonError
from salmon_core.records import Completion, Prompt

#: what a model can be asked
Method = Literal["sample", "choose", "score"]


def packed(value: Any) -> bytes:
    """JSON in ASCII."""
    return json.dumps(value, separators=(",", ":")).encode()


def unpacked(text: bytes) -> Any:
    """What `packed` made bytes of."""
    return json.loads(text)


# -- orders ------------------------------------------------------------------------------------------------------------


def order(engine: ComponentSpec, model: ModelSpec, ability: Ability, env: Mapping[str, str], versions: Any) -> bytes:
    """What a worker opens."""
    named = {"kind": engine.kind, "name": engine.name, "owner": engine.owner, "options": dict(engine.options)}
    return packed({"engine": named, "model": asdict(model), "ability": ability, "env": dict(env), "versions": versions})


def prompts(rows: Sequence[tuple[Prompt, str]], sampling: Sampling) -> bytes:
    """A question to a sampler."""
    asked = [[p.id, [dict(m) for m in p.messages], p.category, p.split, text] for p, text in rows]
    return packed({"method": "sample", "rows": asked, "sampling": asdict(sampling)})


def read_prompts(value: Mapping[str, Any]) -> tuple[list[tuple[Prompt, str]], Sampling]:
    """What `prompts` was given."""
    rows = [(Prompt(name, tuple(turns), category, split), text) for name, turns, category, split, text in value["rows"]]
    settings = value["sampling"]
    return rows, Sampling(**{**settings, "stop": tuple(settings["stop"])})


def texts(method: Method, requests: Sequence[PrefixRequest], choices: tuple[str, str] | None) -> bytes:
    """A question to a chooser, or a scorer."""
    asked = [[each.prefix, list(each.suffixes), each.truncated] for each in requests]
    return packed({"method": method, "rows": asked, "choices": choices})


def read_texts(value: Mapping[str, Any]) -> list[PrefixRequest]:
    """The requests that `texts` was given."""
    return [PrefixRequest(prefix, tuple(suffixes), truncated) for prefix, suffixes, truncated in value["rows"]]


# -- answers -----------------------------------------------------------------------------------------------------------


def done(method: Method, found: Sequence[Any]) -> bytes:
    """What a model said to a question."""
    if method == "sample":
        values: list[Any] = [
            [
                each.prompt_id,
                each.index,
                each.text,
                [int(i) for i in each.token_ids],
                int(each.n_tokens),
                bool(each.stopped),
            ]
            for each in found
        ]
    elif method == "choose":
        values = [[[float(first), float(second)] for first, second in each] for each in found]
    else:
        values = [[float(score) for score in each] for each in found]
    return packed({"done": values})


def failed(error: SalmonError) -> bytes:
    """Why there is no answer."""
    return packed({"error": [error.message, error.where, error.hint]})


def answer(text: bytes) -> Any:
    """What a worker said.

    Raises:
        SalmonError: the one that its engine raised there.
    """
    value = unpacked(text)
    if "error" in value:
        message, where, hint = value["error"]
        raise SalmonError(message, where=where, hint=hint)
    return value["done"]


def completions(values: Sequence[Any]) -> list[Completion]:
    """A sampler's answer."""
    return [
        Completion(name, index, text, tuple(ids), n_tokens=n_tokens, stopped=stopped)
        for name, index, text, ids, n_tokens, stopped in values
    ]
