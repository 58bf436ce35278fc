"""Answers to held-out prompts before and after training, side by side: what evaluators had sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from salmon_core.data import parquet
from salmon_core.errors import SalmonError
from salmon_core.records import Completion, Prompt

_FILES = "samples-{role}-*.parquet"


@dataclass(frozen=True, slots=True)
class Answered:
    """A held-out prompt and its answers by the policy before RL and after it, with equal noise."""

    prompt: Prompt
    before: tuple[Completion, ...]
    after: tuple[Completion, ...]

    @property
    def differs(self) -> bool:
        """Whether the first answer is another one."""
        return bool(self.before and self.after) and self.before[0].text != self.after[0].text


def answered(run: Path) -> list[Answered]:
    """Those of a run, in the order of its prompts; empty where no evaluator asked for both.

    Raises:
        SalmonError: a file cannot be read.
    """
    before, after = (_sampled(run, role) for role in ("initial", "policy"))
    prompts = prompts_by_id(run)
    return [
        Answered(prompt, tuple(before[id]), tuple(after[id]))
        for id, prompt in prompts.items()
        if id in before and id in after
    ]


def prompts_by_id(run: Path) -> Mapping[str, Prompt]:
    """Prompts of a run, as its stage left them; empty where it has not.

    Raises:
        SalmonError: the file cannot be read.
    """
    file = run / "prompts" / "prompts.parquet"
    if not file.is_file():
        return {}
    return {prompt.id: prompt for prompt in parquet.read_rows(file, parquet.PROMPTS, parquet.to_prompt)}


def three(found: Sequence[Answered]) -> list[Answered]:
    """A few that show most: answers that differ, the prompts spread over all."""
    different = [each for each in found if each.differs] or list(found)
    step = max(1, len(different) // 3)
    return different[::step][:3]


def _sampled(run: Path, role: str) -> dict[str, list[Completion]]:
    files = sorted((run / "evaluate").glob(_FILES.format(role=role)))
    by_prompt: dict[str, list[Completion]] = {}
    if not files:
        return by_prompt
    largest = max(files, key=lambda file: file.stat().st_size)
    try:
        for completion in parquet.read_rows(largest, parquet.COMPLETIONS, parquet.to_completion):
            by_prompt.setdefault(completion.prompt_id, []).append(completion)
    except FileNotFoundError as error:
        raise SalmonError("went while it was read", where=str(error.filename)) from None
    return by_prompt
