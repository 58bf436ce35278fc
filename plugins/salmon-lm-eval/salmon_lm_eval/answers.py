"""A model of the harness that keeps its answers: a killed evaluation goes on with them. JSON Lines, nothing pickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from salmon_core.closing import Closing
from salmon_core.data.files import write_text

_ASKED = ("loglikelihood", "loglikelihood_rolling", "generate_until")


class Answers(Closing):
    """Puts itself between the harness and one of its models, as the harness's own cache does.

    What the model is asked goes to it in one call, as ever; so numbers are those of the harness. Only what was answered
    before is left out.

    Args:
        model: an `lm_eval.api.model.LM`; changed in place.
        file: of the answers.
        progress: told how many requests of how many are answered.
    """

    def __init__(self, model: Any, file: Path, progress: Callable[[str, int], Callable[[int], None]]):
        self._known = dict(_read(file))
        # Without a line that a kill has torn: the next would be written behind it.
        write_text(file, "".join(json.dumps(item) + "\n" for item in self._known.items()))
        self._file: TextIOWrapper = file.open("a", encoding="utf-8")
        self._progress = progress
        self._tell: Callable[[int], None] = lambda done: None
        self._done = 0
        for name in _ASKED:
            setattr(model, name, partial(self._ask, name, getattr(model, name)))
        model.set_cache_hook(self)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def add_partial(self, kind: str, asked: Iterable[Any], answer: Any) -> None:
        """Called by the model, for each answer as it is there."""
        self._done += 1
        self._tell(self._done)
        asked = tuple(asked)
        if not _sampled(kind, asked):
            item = (_key(kind, asked), answer)
            self._known[item[0]] = json.loads(json.dumps(answer))
            self._file.write(json.dumps(item) + "\n")
            self._file.flush()

    def _ask(self, kind: str, ask: Callable[[Sequence[Any]], Sequence[Any]], requests: Sequence[Any]) -> list[Any]:
        keys = [None if _sampled(kind, each.args) else _key(kind, each.args) for each in requests]
        found = [None if key is None else self._known.get(key) for key in keys]
        left = [each for each, known in zip(requests, found, strict=True) if known is None]
        self._done = len(requests) - len(left)
        self._tell = self._progress(kind, len(requests))
        self._tell(self._done)
        made = iter(ask(left) if left else ())
        answers = [next(made) if known is None else known for known in found]
        self._tell(len(requests))
        return [tuple(each) if isinstance(each, list) and kind == "loglikelihood" else each for each in answers]


def _sampled(kind: str, asked: Sequence[Any]) -> bool:
    """Answers that chance decides differ each time, even to the same question."""
    return kind == "generate_until" and bool(dict(asked[1]).get("do_sample"))


def _key(kind: str, asked: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps([kind, *asked], default=str).encode()).hexdigest()


def _read(file: Path) -> Iterable[tuple[str, Any]]:
    if not file.is_file():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            item = json.loads(line)
        except (ValueError, RecursionError):  # torn by a kill
            continue
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
            yield item[0], item[1]
