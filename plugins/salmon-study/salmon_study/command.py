"""`salmon study`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from salmon_core.kit.commands import announce_file_plugin, file_plugins_option, overrides_option

_PATH = click.Path(path_type=Path)


@click.group()
def study() -> None:
    """Blind studies: people, or a judge, compare answers of two runs without knowing whose they are.

    make a study, have it rated, judged, and see the results.
    """


@study.command()
@click.argument("runs", metavar="RUN_A [RUN_B]", nargs=-1, required=True, type=_PATH)
@click.option(
    "--out", type=_PATH, default=Path("study.json"), show_default=True, help="What raters get; beside it its key."
)
@click.option(
    "--prompts", type=click.IntRange(1), default=40, show_default=True, help="At most, of those answered differently."
)
@click.option("--samples", type=click.IntRange(1), default=1, show_default=True, help="Answers of each to a prompt.")
@click.option(
    "--principles", multiple=True, metavar="NAME[,NAME]", help="Asked about; by default the reward's. Repeatable."
)
@click.option(
    "--overall", is_flag=True, help="Ask which is better altogether: only that, unless --principles are named."
)
@click.option("--seed", type=click.IntRange(0), help="Of the order; by default one that nobody can guess.")
@file_plugins_option
def make(
    runs: tuple[Path, ...],
    out: Path,
    prompts: int,
    samples: int,
    principles: tuple[str, ...],
    *,
    overall: bool,
    seed: int | None,
    no_file_plugins: bool,
) -> None:
    """Pair answers of two runs to the same held-out prompts.

    Of one run, those before its training with those after. Which side is which lies in a key beside FILE, which raters
    must not have; FILE itself does not tell.
    """
    from contextlib import ExitStack

    from salmon_core.cli.output import OUT
    from salmon_core.cli.patience import patient
    from salmon_core.cli.watching import watching
    from salmon_core.errors import SalmonError
    from salmon_core.run.run import Run
    from salmon_study.making import Wanted, make_study
    from salmon_study.showing import summary

    if len(runs) > 2:
        raise SalmonError(
            "a study compares one run, or two", where="salmon study make", hint="make a study for each two"
        )
    names = tuple(name.strip() for each in principles for name in each.split(",") if name.strip())
    wanted = Wanted(prompts, samples, names, overall, seed)
    opened = [Run.open(path, file_plugins=not no_file_plugins, announce=announce_file_plugin) for path in runs]
    with ExitStack() as around:
        around.enter_context(patient(opened[0].config, opened[0].path))
        made = make_study(opened, out, wanted, around.enter_context(watching()))
    for line in summary(out, made):
        OUT.print(line)


@study.command()
@click.argument("file", type=_PATH)
@click.option("--rater", "raters", metavar="NAME", multiple=True, required=True, help="Who rates. Repeatable.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="By default a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another than loopback is reached from outside.")
@click.option("--token-file", type=_PATH, help="Of mode 0600, for one rater; or the variable SALMON_STUDY_TOKEN.")
@click.option("--ready-file", type=_PATH, help="Gets the addresses (mode 0600) once they can be opened.")
@click.option("--open/--no-browser", "browser", default=True, help="Open a browser, for one rater; by default it does.")
def rate(file: Path, raters: tuple[str, ...], **settings: Any) -> None:
    """Rate a study in the browser.

    It can be done by keyboard alone. Stopped or killed, the same command goes on where the rater was. Each rater has an
    address of their own, and sees nobody else's ratings.
    """
    from salmon_study.server import Settings, serve

    serve(file, raters, Settings(**settings))


@study.command()
@click.argument("file", type=_PATH)
@click.option("--config", metavar="RUN|CONFIG", type=_PATH, required=True, help="Whose judge is asked.")
@click.option("--rater", metavar="NAME", default="judge", show_default=True, help="What it is called among raters.")
@overrides_option
@file_plugins_option
def judge(file: Path, config: Path, rater: str, overrides: tuple[str, ...], *, no_file_plugins: bool) -> None:
    """Give a study to a judge, as one more rater.

    It sees each pair in both orders; where they disagree it is a tie. Killed, the same command goes on where it was.
    """
    from salmon_core.cli.output import OUT
    from salmon_core.cli.patience import patient
    from salmon_core.cli.watching import watching
    from salmon_study.judging import judge_study, opened_run
    from salmon_study.task import ratings_folder, read_task

    task = read_task(file)
    run = opened_run(config, overrides, file_plugins=not no_file_plugins)
    ratings_folder(file).mkdir(exist_ok=True)
    with patient(run.config, ratings_folder(file)), watching() as watch:
        count = judge_study(file, task, run, rater, watch)
    OUT.print(f"{rater}: {count} ratings more, {task.steps} in all")


@study.command()
@click.argument("file", type=_PATH)
@click.option("--key", "key_file", type=_PATH, help="By default the one beside FILE.")
@click.option("--all", "every", is_flag=True, help="Also what each person said, not only all people together.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every figure.")
@click.option("--export", "export_file", type=_PATH, metavar="FILE", help="Write each rating there, as .csv or .jsonl.")
def results(file: Path, key_file: Path | None, *, every: bool, as_json: bool, export_file: Path | None) -> None:
    """Unseal a study, and show who won.

    Wins, ties and losses of B over A by question, with intervals, and how far raters agree.
    """
    import json

    from salmon_core.cli.output import OUT
    from salmon_study.exporting import export, exported
    from salmon_study.ratings import all_ratings
    from salmon_study.results import results_of
    from salmon_study.showing import show
    from salmon_study.task import key_path, read_key, read_task

    task = read_task(file)
    key = read_key(key_file or key_path(file), task)
    rated = all_ratings(file, task)
    if export_file is not None:
        count = export(export_file, exported(task, key, rated))
        click.echo(f"{export_file}: {count} ratings", err=True)
    found = results_of(task, key, rated)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        show(found, OUT, every=every)
