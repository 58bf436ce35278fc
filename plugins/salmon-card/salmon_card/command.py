"""`salmon card`."""

from __future__ import annotations

from pathlib import Path

import click

from salmon_core.kit.commands import announce_file_plugin, file_plugins_option

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("target", metavar="RUN|MODEL")
@click.option(
    "--truth", metavar="NAME", help="An oracle, or `judge`. By default as the run's evaluators, else the judge."
)
@click.option("--pairs", type=_PATH, help="Preferences with a column `principle`, in place of held-out answers.")
@click.option(
    "--principles",
    multiple=True,
    metavar="SET|FILE",
    help="Further principles: unseen ones, and other wordings, named NAME or NAME-2. Repeatable.",
)
@click.option(
    "--samples", type=click.IntRange(2), default=8, show_default=True, help="Answers to each held-out prompt."
)
@click.option(
    "--max-pairs", type=click.IntRange(1), default=200, show_default=True, help="Comparisons for each figure."
)
@click.option("--max-set", type=click.IntRange(2), default=4, show_default=True, help="Largest set of principles.")
@click.option(
    "--all", "every", is_flag=True, help="Show every figure, not only those of single principles that are bad."
)
@click.option("--json", "json_file", type=_PATH, help="Write the card there as JSON, with every figure.")
@click.option("--markdown", type=_PATH, help="Write it there as a section of a model card.")
@click.option(
    "--folder", type=_PATH, default=Path("cards"), show_default=True, help="Of a MODEL: where scores are kept."
)
@click.option("--device", default="auto", show_default=True, help="Of a MODEL.")
@file_plugins_option
def card(
    target: str,
    truth: str | None,
    pairs: Path | None,
    principles: tuple[str, ...],
    samples: int,
    max_pairs: int,
    max_set: int,
    *,
    every: bool,
    json_file: Path | None,
    markdown: Path | None,
    folder: Path,
    device: str,
    no_file_plugins: bool,
) -> None:
    """Examine the reward model of a run, or one in a folder or on the hub: can its principles be trusted?

    Each figure has n, an interval, the smallest difference that would be found, and a q over the whole card; planted
    defects say which checks can be believed. Killed, the same command goes on where it was.
    """
    from salmon_card.outside import CARD, FOLDER, Wanted, card_of_model, card_of_run, checked_target
    from salmon_card.showing import show
    from salmon_card.telling import markdown as as_markdown
    from salmon_core.cli.output import OUT
    from salmon_core.cli.patience import patient
    from salmon_core.cli.watching import watching
    from salmon_core.data.files import write_text
    from salmon_core.run.run import Run

    wanted = Wanted(truth, pairs, principles, samples, max_pairs, max_set)
    found = checked_target(target)
    if isinstance(found, Path):
        run = Run.open(found, file_plugins=not no_file_plugins, announce=announce_file_plugin)
        with patient(run.config, found), watching() as watch:
            made = card_of_run(run, wanted, watch)
        made.write(found / FOLDER / CARD)  # for whoever looks at the run
    else:
        with watching() as watch:
            made = card_of_model(found, wanted, folder, watch, device=device)
    if json_file is not None:
        made.write(json_file)
    if markdown is not None:
        write_text(markdown, as_markdown(made))
    show(made, OUT, every=every)
