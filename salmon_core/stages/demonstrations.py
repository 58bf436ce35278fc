"""What the stage `self-align` writes, row by row, and which rows become demonstrations."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from salmon_core.config.demonstrations import AnswerFilters, QuestionsSection
from salmon_core.data.alike import Alike, similarity, words_of
from salmon_core.data.parquet import PROMPTS
from salmon_core.principle import Principle
from salmon_core.records import Prompt
from salmon_core.reward.preamble import PreambleRenderer

#: a reason, and whether it holds
_Check = tuple[str, Callable[[], bool]]
#: what `sft` trains on
DEMONSTRATIONS = "demonstrations.parquet"
#: what was left out, with the reason, for people
DROPPED = "dropped.parquet"

_TURNS = PROMPTS.field("messages").type
#: questions as the model wrote them
QUESTIONS = pa.schema(
    [
        ("index", pa.int64()),
        ("topic", pa.string()),
        ("kind", pa.string()),
        ("category", pa.string()),
        ("text", pa.string()),
        ("stopped", pa.bool_()),
    ]
)
#: answers as the model wrote them; `unasked` where its context had no room for the preamble
ANSWERS = pa.schema(
    [
        ("id", pa.string()),
        ("messages", _TURNS),
        ("category", pa.string()),
        ("source", pa.string()),
        ("text", pa.string()),
        ("stopped", pa.bool_()),
        ("unasked", pa.bool_()),
    ]
)
#: `named` are the principles that the thought names, `made_by` is `principles` or `verbose`
ROWS = pa.schema(
    [
        ("id", pa.string()),
        ("messages", _TURNS),
        ("completion", pa.string()),
        ("category", pa.string()),
        ("source", pa.string()),
        ("made_by", pa.string()),
        ("thought", pa.string()),
        ("named", pa.list_(pa.string())),
    ]
)
DROPPED_ROWS = pa.schema(
    [("what", pa.string()), ("reason", pa.string()), ("prompt", pa.string()), ("text", pa.string())]
)


class Dropped:
    """What was left out, and why.

    Attributes:
        rows: of `DROPPED`.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []

    def add(self, what: str, reason: str, prompt: str, text: str) -> None:
        """One more; `what` is `question`, `answer` or `verbose answer`."""
        self.rows.append({"what": what, "reason": reason, "prompt": prompt, "text": text})

    def counts(self, what: str) -> dict[str, int]:
        """By reason, the most frequent first."""
        found = Counter(row["reason"] for row in self.rows if row["what"] == what)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


class Questions:
    """Takes invented questions in, one after the other.

    Args:
        shown: the examples, of which copies are no questions of the model's own.
        held_out: questions that are kept for evaluation; nothing like them is trained on.

    Attributes:
        kept: rows of `QUESTIONS` with the text stripped.
    """

    def __init__(
        self,
        how: QuestionsSection,
        renderer: PreambleRenderer,
        shown: Iterable[str],
        held_out: Iterable[str],
        dropped: Dropped,
    ):
        self._how, self._renderer, self._dropped = how, renderer, dropped
        self._shown, self._held_out, self._earlier = (Alike(how.similar) for _ in range(3))
        for text in shown:
            self._shown.add(text)
        for text in held_out:
            self._held_out.add(text)
        self.kept: list[Mapping[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Keeps a question, or says why not."""
        text = row["text"].strip()
        reason = self._reason(text, stopped=row["stopped"])
        if reason is not None:
            self._dropped.add("question", reason, f"{row['topic']}, {row['kind']}", row["text"])
            return
        self._earlier.add(text)
        self.kept.append({**row, "text": text})

    def _reason(self, text: str, *, stopped: bool) -> str | None:
        words = len(words_of(text))
        checks: tuple[_Check, ...] = (
            ("no end", lambda: not stopped),
            ("another turn", lambda: self._renderer.marked(text)),
            ("too short", lambda: words < self._how.min_words),
            ("too long", lambda: words > self._how.max_words),
            ("no letters", lambda: not any(map(str.isalpha, text))),
            ("held out", lambda: self._held_out.near(text)),
            ("copied", lambda: self._shown.near(text)),
            ("repeated", lambda: self._earlier.same(text)),
            ("nearly repeated", lambda: self._earlier.near(text)),
        )
        return next((reason for reason, fails in checks if fails()), None)


class Answers:
    """Takes answers of one pass in, one after the other.

    Args:
        principles: that were shown.
        what: of `Dropped`.
    """

    def __init__(
        self,
        how: AnswerFilters,
        renderer: PreambleRenderer,
        principles: Sequence[Principle],
        dropped: Dropped,
        what: str,
    ):
        self._how, self._renderer, self._principles = how, renderer, principles
        self._dropped, self._what = dropped, what
        self._quotes = [" ".join(words_of(each.text)) for each in principles]
        self._given: set[tuple[str, str]] = set()
        self._times: Counter[str] = Counter()
        self.named: Counter[str] = Counter()

    def kept(self, rows: Iterable[Mapping[str, Any]], made_by: str) -> Iterator[dict[str, Any]]:
        """Rows of `ROWS`."""
        for row in rows:
            prompt, text = row["messages"][-1]["content"], row["text"]
            found = None if row["unasked"] or not row["stopped"] else self._renderer.read(text)
            if found is None:
                reason = "no room" if row["unasked"] else "unparsable" if row["stopped"] else "no end"
            else:
                refused = self._reason(prompt, row["id"], found.answer)
                if refused is None:
                    self._given.add((row["id"], found.answer))
                    self._times[found.answer] += 1
                    named = self._renderer.named(found.thought, self._principles)
                    self.named.update(named)
                    yield {
                        **{key: row[key] for key in ("id", "messages", "category", "source")},
                        "completion": found.answer,
                        "made_by": made_by,
                        "thought": found.thought,
                        "named": list(named),
                    }
                    continue
                reason = refused
            self._dropped.add(self._what, reason, prompt, text)

    def _reason(self, prompt: str, identifier: str, answer: str) -> str | None:
        most = self._how.same_answer
        checks: tuple[_Check, ...] = (
            ("another turn", lambda: self._renderer.marked(answer)),
            ("too short", lambda: len(answer) < self._how.min_characters),
            ("repeats the prompt", lambda: self._repeats(prompt, answer)),
            ("mentions the principles", lambda: self._mentions(prompt, answer)),
            ("given twice", lambda: (identifier, answer) in self._given),
            ("same answer", lambda: most is not None and self._times[answer] >= most),
        )
        return next((reason for reason, fails in checks if fails()), None)

    def _repeats(self, prompt: str, answer: str) -> bool:
        least = self._how.repeats
        if least is None:
            return False
        asked = words_of(prompt)
        begins = len(asked) > 3 and words_of(answer)[: len(asked)] == asked
        return begins or similarity(prompt, answer) >= least

    def _mentions(self, prompt: str, answer: str) -> bool:
        said, asked = f" {' '.join(words_of(answer))} ", f" {' '.join(words_of(prompt))} "
        words = [f" {' '.join(words_of(each))} " for each in self._how.mentions]
        if any(word.strip() and word in said and word not in asked for word in words):
            return True
        return any(f" {quote} " in said for quote in self._quotes if quote)


def asked_of(prompts: Iterable[Prompt]) -> list[str]:
    """The last user turn of each, to compare with."""
    return [prompt.text for prompt in prompts]


def reasons(counts: Mapping[str, int]) -> str:
    """Counts by reason as words."""
    return re.sub(r", (?=[^,]*$)", " and ", ", ".join(f"{count} {reason}" for reason, count in counts.items()))
