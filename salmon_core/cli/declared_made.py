"""Commands about what a run made, declared; what they do is imported when they are called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from salmon_core.cli.declared_runs import CONFIG, FOLDER, RUN
from salmon_core.kit.commands import file_plugins_option, overrides_option


@click.command()
@FOLDER
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="JSON Lines; by default standard output.")
@click.option("--principle", "principles", multiple=True, help="Show this principle of the run's set; repeatable.")
@click.option(
    "--rollout-index",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Decides which interventions are in force.",
)
@click.option("--explain", is_flag=True, help="Say what each principle of a joint text gave, by leaving each out.")
def score(
    folder: Path, file: Path, output: Path | None, principles: tuple[str, ...], rollout_index: int, explain: bool
) -> None:
    """Score completions in FILE with the reward of the run in FOLDER: the very code that training uses.

    FILE is JSON Lines, CSV or Parquet with `prompt` or `messages`, and `completion`; `category`, `stopped`, `n_tokens`,
    `completion_ids` and `principles` (names, texts or objects) are used where given. In CSV, lists are JSON.
    """
    from salmon_core.cli.score import score_file

    score_file(folder, file, output, principles, rollout_index, explain)


@click.command()
@RUN
@click.option(
    "--format",
    "form",
    type=click.Choice(("trl", "trl-conversational", "openrlhf", "jsonl")),
    required=True,
    help="Whose: TRL's texts or turns, OpenRLHF's conversations, or our own rows.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A folder; by default RUN/export/FORMAT.")
@click.option(
    "--principles",
    type=click.Choice(("prompt", "column")),
    help="At the end of the prompt (the default but for jsonl), or in a column only.",
)
@file_plugins_option
def export(folder: Path, form: Any, output: Path | None, principles: Any, no_file_plugins: bool) -> None:
    """Write the preference rows of RUN as data for other trainers, with a card.

    TRL's RewardTrainer and DPOTrainer and OpenRLHF's train_rm and train_dpo read them as they are, and so does
    `preferences:` of a configuration.
    """
    from salmon_core.cli.export import export_run

    export_run(folder, form, output, principles, file_plugins=not no_file_plugins)


@click.command()
@click.argument("reader", type=click.Choice(["judge", "reward", "policy", "self-align"]))
@CONFIG
@overrides_option
@file_plugins_option
@click.option("--prompt", help="The prompt of this id, or one that begins so; by default the first to train on.")
@click.option("--completion", "completions", multiple=True, help="Instead of a sampled one; twice for a judge's pair.")
@click.option("--principle", "principles", multiple=True, help="Show this principle of the set; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable: the exact texts, section by section.")
def show(
    reader: Any,
    config: Path,
    overrides: tuple[str, ...],
    no_file_plugins: bool,
    prompt: str | None,
    completions: tuple[str, ...],
    principles: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show the very text that judge, reward model, policy or self-align reads, with the tokens of its sections.

    CONFIG is a configuration, or the folder of a run. The text is as the model gets it: prompts and completions made
    safe and cut to length. No weights are read.
    """
    from salmon_core.cli.show import show_text

    show_text(
        reader,
        config,
        overrides,
        prompt=prompt,
        completions=completions,
        principles=principles,
        as_json=as_json,
        file_plugins=not no_file_plugins,
    )


@click.command("try")
@FOLDER
@click.option("--prompt", "text", help="Ask this; by default a held-out prompt of the run.")
@click.option("--prompt-id", help="Ask the prompt of this id, or one that begins so.")
@click.option("--completion", help="Score this answer under each principle; by default the trained policy's.")
@click.option("--category", default="general", show_default=True, help="Of the prompt given by --prompt.")
@click.option(
    "--temperature", type=click.FloatRange(0, 10), default=0.0, show_default=True, help="0: the likeliest answer."
)
@click.option("--samples", type=click.IntRange(1, 64), default=1, show_default=True, help="Answers of each policy.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@file_plugins_option
def try_(
    folder: Path,
    text: str | None,
    prompt_id: str | None,
    completion: str | None,
    category: str,
    temperature: float,
    samples: int,
    as_json: bool,
    no_file_plugins: bool,
) -> None:
    """Ask the policy of the run in FOLDER before and after training, and see what its reward says.

    One answer is scored under each principle alone, under its negation, and under none.
    """
    from salmon_core.cli.trying import try_run

    try_run(
        folder,
        text,
        prompt_id,
        completion,
        category=category,
        temperature=temperature,
        samples=samples,
        as_json=as_json,
        file_plugins=not no_file_plugins,
    )


@click.command()
@click.argument("target")
@click.argument("rollouts", type=click.Path(path_type=Path))
@click.option("--run", "folder", type=click.Path(path_type=Path), help="Compare with this run's reward.")
@click.option("--tolerance", type=click.FloatRange(min=0), default=1e-5, show_default=True, help="Largest difference.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The first N rollouts only.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def verify(
    target: str, rollouts: Path, folder: Path | None, tolerance: float, limit: int | None, as_json: bool
) -> None:
    """Compare TARGET's rewards of ROLLOUTS with those of a run, or with those recorded in ROLLOUTS.

    TARGET is a reward server (its address, with the token in SALMON_SERVE_TOKEN, or its ready file), the folder of a
    run, or that of a reward model, whose scores are compared with the component `rm`. ROLLOUTS is a stage's folder
    with `rollouts/`, or Parquet, JSON Lines or CSV with `prompt` or `messages`, `completion`, `principles`, and
    where they are recorded `reward` and `components`.

    Exit code 0: the same; 1: a difference above the tolerance.
    """
    from salmon_core.cli.verify import verify_rewards

    sys.exit(verify_rewards(target, rollouts, folder, tolerance=tolerance, limit=limit, as_json=as_json))


@click.command()
@FOLDER
@click.option("--to", required=True, metavar="OWNER/NAME", help="Where to; made where it is not there.")
@click.option(
    "--what",
    type=click.Choice(["reward-model", "policy", "preferences"]),
    default="reward-model",
    show_default=True,
    help="Of what the run made.",
)
@click.option("--private", is_flag=True, help="Make it private, where it is made.")
@click.option("--license", default="", help="As the hub names it; by default the base model's.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent and what is missing; send nothing.")
@file_plugins_option
def push(folder: Path, to: str, what: Any, private: bool, license: str, dry_run: bool, no_file_plugins: bool) -> None:
    """Put what the run in FOLDER made on the Hugging Face hub: weights, tokenizer, settings and a card.

    The token is that of HF_TOKEN; nothing of a trainer's state is sent.
    """
    from salmon_core.cli.push import push_run

    push_run(folder, to, what, private=private, dry_run=dry_run, license=license, file_plugins=not no_file_plugins)


#: those that `salmon` has from here
COMMANDS: tuple[click.Command, ...] = (
    score,
    export,
    show,
    try_,
    verify,
    push,
)
