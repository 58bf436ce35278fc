"""The prompt that is looked at, and completions of it: from the run where it has some, else what the user gives."""

from __future__ import annotations

from collections.abc import Sequence

from salmon_core.errors import SalmonError
from salmon_core.records import Completion, Prompt
from salmon_core.run.run import Run
from salmon_core.stages.prompts import FILE, prepared, read_prompts
from salmon_core.stages.prompts import STAGE as PROMPTS
from salmon_core.stages.sample import read_completions
from salmon_core.stages.sources import Sources

#: what stands for completions where there are none
PLACEHOLDERS = ("This stands for an answer of the policy.", "This stands for another answer of it.")


def prompts_of(run: Run) -> list[Prompt]:
    """Those of the run, or of its configuration where it has not got so far.

    Raises:
        SalmonError: they cannot be read.
    """
    folder = run.stage("prompts")
    if folder.manifest.get("status") == "finished" and (folder.path / FILE).is_file():
        return read_prompts(folder.path)
    found, _ = prepared(PROMPTS.inputs(Sources(run)), run.config.registry, lambda _: None)
    return found


def one_prompt(prompts: Sequence[Prompt], id: str | None, split: str = "train") -> Prompt:
    """The prompt of an id, or one that its id begins with; None: the first of a split, else the first.

    Raises:
        SalmonError: there is none, or several begin so.
    """
    if id is None:
        return next((prompt for prompt in prompts if prompt.split == split), prompts[0])
    found = [prompt for prompt in prompts if prompt.id == id] or [p for p in prompts if p.id.startswith(id)]
    if len(found) == 1:
        return found[0]
    some = ", ".join(prompt.id for prompt in (found or prompts)[:8])
    what = "no prompt has" if not found else f"{len(found)} prompts begin with"
    raise SalmonError(f"{what} the id {id!r}", where="--prompt", hint=f"there are {some}, ...")


def completions_of(run: Run, prompt: Prompt) -> list[Completion]:
    """What the run sampled for this prompt; empty where it has not."""
    folder = run.stage("sample")
    if folder.manifest.get("status") != "finished":
        return []
    return [completion for completion in read_completions(folder.path) if completion.prompt_id == prompt.id]


def given(prompt: Prompt, texts: Sequence[str]) -> list[Completion]:
    """Texts as completions."""
    return [Completion(prompt.id, index, text, (), 0, True) for index, text in enumerate(texts)]


def chosen(run: Run, prompt: Prompt, texts: Sequence[str], count: int) -> tuple[list[Completion], str]:
    """So many completions, and where they come from, in words."""
    if texts:
        source = "as given"
        found = given(prompt, texts)
        if len(found) < count:
            found += given(prompt, PLACEHOLDERS[: count - len(found)])
            source = "as given, and a placeholder"
        return found[:count], source
    sampled = completions_of(run, prompt)
    # A pair of equal texts says nothing.
    unequal = list({completion.text: completion for completion in sampled}.values())
    if len(unequal) >= count:
        return unequal[:count], "sampled by the run"
    return given(prompt, PLACEHOLDERS)[:count], "placeholders: the run has sampled none of this prompt"
