"""Answers that argue and close with a verdict on a line of its own, read strictly: what is none is never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from salmon_core.records import Completion

#: what may stand around a verdict or in it, and means nothing: bold, brackets, quotation marks
_AROUND = re.compile(r"[*_`~#>\[\](){}<\"'“”‘’«»]")


@dataclass(frozen=True, slots=True)
class Closing:
    """How an answer ends.

    Attributes:
        argument: what stands before the last line.
        verdict: what that line says behind its label, as `bare` has it, without a mark at its end.
    """

    argument: str
    verdict: str


def closing(answer: Completion, label: str) -> Closing | None:
    """An answer's last line, which begins with the label and a colon; None where it does not, or was cut off.

    Args:
        label: one word, such as `verdict`.
    """
    if not answer.stopped:
        return None
    argument, _, line = answer.text.rstrip().rpartition("\n")
    found = re.fullmatch(rf"{label}\s*[:：]\s*(?P<said>.*?)[\s.,;:!。]*", bare(line), re.DOTALL | re.IGNORECASE)
    return Closing(argument.strip(), found["said"].strip()) if found else None


def bare(text: str) -> str:
    """Without what means nothing around a verdict, in one case."""
    return _AROUND.sub("", text).strip().casefold()
