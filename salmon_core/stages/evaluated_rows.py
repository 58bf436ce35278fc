"""What evaluators had drawn, judged and answered, in files of the stage: a run that was killed finds it again.

A file's name says what was asked, so evaluators that ask the same share the answer. Much is asked in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from salmon_core.api.evaluation import Question
from salmon_core.data import parquet
from salmon_core.records import Completion, Judgment, Pair
from salmon_core.run.identity import fingerprint
from salmon_core.stages.work import Work

#: pairs, and questions, in one file: what a killed run repeats at most
PAIRS, QUESTIONS = 64, 16


class Kept:
    """Reads what is there, and has the rest made."""

    def __init__(self, work: Work):
        self._work = work

    def completions(self, name: str, draw: Callable[[], list[Completion]]) -> list[Completion]:
        """By a name of their own."""
        file = f"{name}.parquet"
        if not self._work.has(file):
            self._work.write_rows(file, draw(), parquet.COMPLETIONS)
        return parquet.read_rows(self._work.path / file, parquet.COMPLETIONS, parquet.to_completion)

    def judgments(
        self, key: str, pairs: Sequence[Pair], judge: Callable[[Sequence[Pair]], list[Judgment]]
    ) -> list[Judgment]:
        """Of these pairs, by the judge of that key."""

        def asked(pair: Pair) -> Any:
            return [pair.id, list(pair.prompt.messages), pair.first.text, pair.second.text]

        def read(file: str) -> list[Judgment]:
            return parquet.read_rows(self._work.path / file, parquet.JUDGMENTS, parquet.to_judgment)

        progress, found = self._work.progress("pairs judged", len(pairs)), list[Judgment]()
        for start in range(0, len(pairs), PAIRS):
            some = pairs[start : start + PAIRS]
            file = f"judged-{fingerprint([key, [asked(pair) for pair in some]])}.parquet"
            if not self._work.has(file):
                progress(start)
                with progress.upto(start + len(some)):
                    self._work.write_rows(file, judge(some), parquet.JUDGMENTS)
            found += read(file)
        return found

    def answers(
        self, key: Any, questions: Sequence[Question], answer: Callable[[Sequence[Question]], list[Completion]]
    ) -> list[Completion]:
        """To these questions, asked as the key says."""

        def asked(each: Question) -> Any:
            return [each.id, each.text, dict(each.parts), each.closing]

        progress, found = self._work.progress("questions answered", len(questions)), list[Completion]()
        for start in range(0, len(questions), QUESTIONS):
            some = questions[start : start + QUESTIONS]

            def draw(some: Sequence[Question] = some, start: int = start) -> list[Completion]:
                progress(start)
                with progress.upto(start + len(some)):
                    return answer(some)

            found += self.completions(f"asked-{fingerprint([key, [asked(each) for each in some]])}", draw)
        return found
