"""`salmon export`."""

from __future__ import annotations

import json
from pathlib import Path

from rich.markup import escape

from salmon_core.cli.output import OUT
from salmon_core.data import parquet
from salmon_core.data.files import replacing, write_text
from salmon_core.errors import SalmonError
from salmon_core.kit.commands import announce_file_plugin
from salmon_core.run.run import Run
from salmon_core.stages.exports import Format, Principles, exported, renderer_of, rows_of_run, schema_of

_FILES: dict[Format, str] = {
    "trl": "train.parquet",
    "trl-conversational": "train.parquet",
    "openrlhf": "train.jsonl",
    "jsonl": "train.jsonl",
}


def export_run(
    folder: Path, form: Format, target: Path | None, principles: Principles | None, *, file_plugins: bool = True
) -> None:
    """Writes the rows of the run in `folder`, and a card that says how to load them.

    Raises:
        SalmonError: there are none, or the choices do not fit.
    """
    if form == "jsonl" and principles == "prompt":
        hint = "leave --principles out, or choose another format"
        raise SalmonError("jsonl has a run's rows as they are, with a column of principles", hint=hint)
    shown: Principles = principles or ("column" if form == "jsonl" else "prompt")
    run = Run.open(folder, file_plugins=file_plugins, announce=announce_file_plugin)
    rows = rows_of_run(run, lambda text: OUT.print(escape(text)))
    found = exported(rows, form, shown, None if form == "jsonl" else renderer_of(run))
    place = target or run.path / "export" / form
    file = place / _FILES[form]
    if file.suffix == ".parquet":
        parquet.write_rows(file, found, schema_of(form, shown))
    else:
        with replacing(file) as aside, aside.open("w", encoding="utf-8", newline="") as lines:
            lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    write_text(place / "README.md", card(run.config.config.run.name, form, shown, len(rows)))
    OUT.print(escape(f"{len(rows)} rows written to {file}; how to load them: {place / 'README.md'}"))


_ABOUT: dict[Format, str] = {
    "trl": "Preferences with an explicit prompt in TRL's standard format: texts. The prompt is rendered by the\n"
    "policy's chat template up to where the answer begins; BOS and EOS are left to TRL.",
    "trl-conversational": "Preferences with an explicit prompt in TRL's conversational format: lists of turns.",
    "openrlhf": "Preferences as OpenRLHF's `train_rm` and `train_dpo` read them: two conversations that differ in\n"
    "their last turn.",
    "jsonl": "Preferences in salmon's own form.",
}
_TRL = """```python
from datasets import load_dataset

data = load_dataset("parquet", data_files="train.parquet", split="train")
# RewardTrainer(model=..., train_dataset=data), or DPOTrainer(model=..., train_dataset=data)
```
"""
_LOAD: dict[Format, str] = {
    "trl": _TRL,
    "trl-conversational": _TRL,
    "openrlhf": """```bash
python -m openrlhf.cli.train_rm --data.dataset train.jsonl --data.apply_chat_template ...
python -m openrlhf.cli.train_dpo --data.dataset train.jsonl --data.apply_chat_template ...
```
""",
    "jsonl": """```python
from datasets import load_dataset

data = load_dataset("json", data_files="train.jsonl", split="train")
```
""",
}
_COLUMNS: dict[str, str] = {
    "prompt": "what is asked",
    "chosen": "the better answer",
    "rejected": "the worse answer",
    "principles": "the principles by which it is better: `name`, `text`, and whether the text is the negated one",
    "margin": "by how much, for `--model.margin_loss_enable`; the unit depends on how it was judged",
    "salmon": "the row as the run has it, with its margin, not made safe for a prompt; no trainer needs it",
    "pair_id": "the judged pair that it came from",
    "messages": "the conversation that both answer",
    "category": "of the prompt",
    "decided_by": "the principle, or `rule:NAME`",
    "flipped": "whether label noise turned it round",
}
_WHERE: dict[Principles, str] = {
    "prompt": "at the end of the user's last turn. One pair may occur several times, under other principles and\n"
    "with another label.",
    "column": "in the column `principles` alone. A trainer that does not read it sees labels that contradict each\n"
    "other, where principles do, or are negated.",
}


def card(name: str, form: Format, principles: Principles, rows: int) -> str:
    """The README of an export: what it is, how to load it, and what the columns are."""
    table = "".join(f"| `{column}` | {_COLUMNS[column]} |\n" for column in schema_of(form, principles).names)
    return (
        f"---\nconfigs:\n- config_name: default\n  data_files: {_FILES[form]}\n---\n"
        f"# Preferences of the run {name}\n\n{_ABOUT[form]}\n\n{rows} rows, judged by written principles, which stand\n"
        f"{_WHERE[principles]}\n\n{_LOAD[form]}\n"
        f"As `preferences: {_FILES[form]}` in a configuration of salmon they are the same rows again.\n\n"
        f"| column | what it is |\n|---|---|\n{table}"
    )
