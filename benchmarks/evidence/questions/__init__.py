"""One module for each question, in the order of the page."""

from __future__ import annotations

from evidence.question import Question
from evidence.questions import (
    ablations,
    algorithms,
    conflicts,
    experiments,
    noise,
    per_prompt,
    scale,
    sizes,
    stages,
    transfer,
    watched,
)

QUESTIONS: dict[str, Question] = {
    module.QUESTION.name: module.QUESTION
    for module in (
        experiments,
        stages,
        ablations,
        scale,
        sizes,
        conflicts,
        transfer,
        noise,
        algorithms,
        per_prompt,
        watched,
    )
}
