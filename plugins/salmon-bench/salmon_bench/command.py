"""`salmon bench`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from salmon_core.kit.commands import file_plugins_option

if TYPE_CHECKING:
    from salmon_bench.board import Board, Result
    from salmon_bench.examine import Watch
    from salmon_bench.resolve import Choices

#: seconds between two lines of progress
_PAUSE = 10.0
_PATH = click.Path(path_type=Path)
_FORMATS = ("rewardbench", "rewardbench2", "rm-bench", "judgebench", "rmgap", "ifbench")


@click.command()
@click.argument("subjects", nargs=-1, required=True, metavar="SUBJECT...")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=120,
    show_default=True,
    help="Pairs of answers, evenly by family and writer; with --file its first rows. 0: all.",
)
@click.option("--families", multiple=True, metavar="NAME", help="Only these, or `sets`, `conflicts`. Repeatable.")
@click.option("--rows", "rows_file", type=_PATH, help="Other rows of the benchmark's form, in place of those shipped.")
@click.option("--file", "file", type=_PATH, help="A file of another benchmark, averaged as its own code does.")
@click.option("--format", "format_", type=click.Choice(_FORMATS), help="Of --file; by default as its first row looks.")
@click.option("--json", "json_file", type=_PATH, help="Write the results there as JSON.")
@click.option("--out", type=_PATH, help="Write the tables there as Markdown.")
@click.option("--folder", type=_PATH, default=Path("bench"), show_default=True, help="Where answers are kept.")
@click.option("--judge", metavar="NAME", help="That judges are asked by; by default the installed one.")
@click.option("--judge-option", "judge_options", multiple=True, metavar="KEY=VALUE", help="Of the judge. Repeatable.")
@click.option("--engine", metavar="NAME", help="That opens judges' models, such as openai or vllm.")
@click.option("--engine-option", "engine_options", multiple=True, metavar="KEY=VALUE", help="Of it. Repeatable.")
@click.option("--template", metavar="NAME", help="How judges are asked.")
@click.option(
    "--rm-template",
    metavar="NAME",
    default="conversation-system",
    show_default=True,
    help="How reward models without salmon.json are asked.",
)
@click.option(
    "--form",
    type=click.Choice(["auto", "chat", "text"]),
    default="auto",
    show_default=True,
    help="In which judges' models are asked: by their chat template, or as plain text.",
)
@click.option("--device", default="auto", show_default=True, help="Of all models.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), help="By default as stored.")
@click.option("--concurrency", type=click.IntRange(1), default=8, show_default=True, help="Calls of an API at once.")
@click.option("--seed", default=0, show_default=True, help="Of the choice of pairs, coins and sampled arguments.")
@file_plugins_option
def bench(
    subjects: tuple[str, ...],
    limit: int,
    families: tuple[str, ...],
    rows_file: Path | None,
    file: Path | None,
    format_: str | None,
    json_file: Path | None,
    out: Path | None,
    folder: Path,
    judge: str | None,
    judge_options: tuple[str, ...],
    engine: str | None,
    engine_options: tuple[str, ...],
    template: str | None,
    rm_template: str,
    form: Literal["auto", "chat", "text"],
    device: str,
    dtype: str | None,
    concurrency: int,
    seed: int,
    *,
    no_file_plugins: bool,
) -> None:
    """Which principles does a reward model or a judge follow, where programs know the answer?

    A SUBJECT is a run, a reward model's folder, rm:MODEL (one of others), judge:MODEL (a language model, or with
    --engine one behind an API), `length` or `random`. Answers are kept: killed, the same command goes on.
    """
    from salmon_bench.resolve import Choices
    from salmon_bench.showing import markdown, show
    from salmon_core.cli.output import OUT
    from salmon_core.data.files import write_text
    from salmon_core.errors import SalmonError

    if format_ is not None and file is None:
        raise SalmonError("is of a file that is not given", where="--format", hint="--file PATH")
    if file is not None and (families or rows_file is not None):
        raise SalmonError("asks about another file", where="--file", hint="leave out --families and --rows")
    choices = Choices(
        folder,
        judge,
        judge_options,
        engine,
        engine_options,
        template,
        rm_template,
        form,
        device,
        dtype,
        concurrency,
        seed,
        not no_file_plugins,
    )
    with _watching() as watch:
        if file is None:
            board = _own(subjects, choices, watch, limit or None, families, rows_file)
        else:
            board = _official(subjects, choices, watch, limit or None, file, format_)
    if json_file is not None:
        board.write(json_file)
    if out is not None:
        write_text(out, markdown(board))
    show(board, OUT)


def _own(
    words: tuple[str, ...],
    choices: Choices,
    watch: Watch,
    limit: int | None,
    families: tuple[str, ...],
    file: Path | None,
) -> Board:
    """On the benchmark's rows. What is wrong with a subject is said before the first is asked."""
    from salmon_bench.board import Board, own_data
    from salmon_bench.examine import examine, readable
    from salmon_bench.resolve import subject_of
    from salmon_bench.rows import FILE, chosen, read_rows
    from salmon_core.errors import SalmonError

    rows = read_rows(file or FILE)
    known = list(dict.fromkeys(row.family for row in rows))
    if unknown := [each for each in families if each not in known]:
        raise SalmonError(f"there is no {', '.join(unknown)}", where="--families", hint=f"there are {', '.join(known)}")
    rows = [row for row in rows if not families or row.family in families]
    results: list[Result] = []
    for subject in [subject_of(word, choices) for word in words]:
        with subject:
            kept, lost = readable(subject, rows)
            some = chosen(kept, limit=limit, seed=choices.seed)
            results.append(examine(subject, some, choices.folder, left_out=lost, watch=watch))
    return Board(own_data(file), tuple(results))


def _official(
    words: tuple[str, ...], choices: Choices, watch: Watch, limit: int | None, file: Path, name: str | None
) -> Board:
    """On a file of another benchmark."""
    from itertools import islice

    from salmon_bench.board import Board
    from salmon_bench.official.formats import cases_of
    from salmon_bench.official.measure import measure
    from salmon_bench.resolve import subject_of
    from salmon_core.data.readers import read_file

    found, cases = cases_of(islice(read_file(file), limit), name)
    results: list[Result] = []
    for subject in [subject_of(word, choices) for word in words]:
        with subject:
            results.append(measure(subject, found, cases, choices.folder, watch=watch))
    return Board(f"{file.name}, {found.name}", tuple(results))


@contextmanager
def _watching() -> Iterator[Watch]:
    """A line of progress on standard error; where that is no terminal, a line now and then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from salmon_core.cli.output import ERR

    if not ERR.is_terminal:
        last = time.monotonic()

        def tell(what: str, done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > _PAUSE:
                last = time.monotonic()
                ERR.print(f"{what} {done}/{total}", markup=False)

        yield tell
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True) as progress:
        task = progress.add_task("", total=None)

        def watch(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        yield watch
