"""Preference rows as a policy is trained on them: what it is asked, the better answer, and the worse one.

For algorithms such as DPO (arXiv 2305.18290), which need no reward model; and for what is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from salmon_core.api.training import Job
from salmon_core.data import parquet
from salmon_core.data.preferences import PreferenceSource
from salmon_core.errors import DataError
from salmon_core.records import PreferenceRow, Prompt
from salmon_core.reward.rendering import Renderer
from salmon_core.run.identity import uncounted
from salmon_core.sharing.facts import Described
from salmon_core.stages.label import preference_input, preference_rows
from salmon_core.stages.sources import ModelInput, Sources, StageOutput
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.training import TrainerSetup, trainer_setup
from salmon_core.stages.work import Work

FILE = "rows.parquet"


@dataclass(frozen=True)
class PolicyRowsInputs:
    """Attributes:
    preferences: of the stage `label`, or the user's own.
    principles: `none`: not in the prompt; `prompt`: at its end.
    only: principles that decided the rows; None: whatever did.
    """

    seed: int
    preferences: StageOutput | PreferenceSource
    policy: ModelInput
    principles: Literal["none", "prompt"]
    only: tuple[str, ...] | None
    algorithm: str
    texts: Texts
    trainer: TrainerSetup
    described: Described = uncounted()


def inputs_of(sources: Sources) -> PolicyRowsInputs:
    """As configured."""
    section = sources.config.config.train
    return PolicyRowsInputs(
        sources.config.config.run.seed,
        preference_input(sources),
        sources.initial(),
        section.rows.principles,
        None if section.rows.only is None else tuple(section.rows.only),
        section.algorithm,
        texts_of(sources, "sample"),
        trainer_setup(sources, "train-policy"),
        Described.of(sources.config),
    )


def prepare(inputs: PolicyRowsInputs, work: Work) -> None:
    """Writes the trainer's texts.

    Raises:
        DataError: no row is left.
    """
    renderer = inputs.texts.renderer(work.registry)
    rows = preference_rows(inputs.preferences, work.note)
    used = chosen_rows(rows, inputs.principles, inputs.only, work.note)
    if not used:
        raise DataError(
            f"none of {len(rows)} preference rows is left to train on",
            where="train-policy",
            hint="change train.rows",
        )
    work.write_rows(FILE, list(texts_of_rows(used, renderer, inputs.principles)), parquet.PAIR_TEXTS)


def chosen_rows(
    rows: Sequence[PreferenceRow],
    principles: Literal["none", "prompt"],
    only: Sequence[str] | None,
    note: Callable[[str], None],
) -> list[PreferenceRow]:
    """Those that say something without what is left out of them; `note` is told how many do not.

    Without its principles, a row that a negated one decided would ask for the opposite of what the principle says.
    """
    named = [row for row in rows if only is None or row.decided_by in only]
    used = named
    if principles == "none":
        used = [row for row in named if not any(p.negated and p.name == row.decided_by for p in row.principles)]
    if (other := len(rows) - len(named)) > 0:
        note(f"{other} of {len(rows)} preference rows were decided by other principles than train.rows.only")
    if (negated := len(named) - len(used)) > 0:
        note(
            f"{negated} of {len(named)} preference rows were decided by a negated principle and are left out, since the"
            " prompt does not show it (train.rows.principles)"
        )
    return used


def texts_of_rows(
    rows: Iterable[PreferenceRow], renderer: Renderer, principles: Literal["none", "prompt"]
) -> Iterator[dict[str, Any]]:
    """Final texts: the rendered prompt, and both answers with the EOS."""
    eos = renderer.codec.eos_token
    for row in rows:
        prompt = Prompt(row.pair_id, row.messages, row.category)
        yield {
            "prompt": renderer.policy(prompt, row.principles if principles == "prompt" else ()),
            "chosen": renderer.safe_text(row.chosen) + eos,
            "rejected": renderer.safe_text(row.rejected) + eos,
            "margin": row.margin,
        }


def job_of(inputs: PolicyRowsInputs, folder: Path) -> Job:
    """What the trainer is asked."""
    return inputs.trainer.job(
        "train-policy", inputs.algorithm, folder, FILE, model=inputs.policy.spec, seed=inputs.seed
    )
