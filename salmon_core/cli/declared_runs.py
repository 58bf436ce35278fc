"""Commands about a configuration and its run, declared; what they do is imported when they are called."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from salmon_core.cli.completing import complete_kinds, complete_principles, complete_runs, complete_sets
from salmon_core.kit.commands import file_plugins_option, overrides_option
from salmon_core.stages import STAGES

#: the argument of commands that read a configuration
CONFIG = click.argument("config", type=click.Path(path_type=Path))
#: those of commands that read what a run made
RUN = click.argument("folder", metavar="RUN", type=click.Path(path_type=Path), shell_complete=complete_runs)
FOLDER = click.argument("folder", type=click.Path(path_type=Path), shell_complete=complete_runs)
_quick = click.option(
    "--quick", is_flag=True, envvar="SALMON_QUICK", help="Only read: try no component, open no file of data."
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--model", default=None, help="Hub id, folder, or plugin:NAME; by default what is installed to try.")
@click.option("--name", default=None, help="The run's name; by default the folder's.")
def init(folder: Path, model: str | None, name: str | None) -> None:
    """Write a first configuration, prompts and principles into FOLDER; existing files are kept."""
    from salmon_core.cli.init import init_folder

    init_folder(folder, model, name)


@click.command()
@CONFIG
@overrides_option
@file_plugins_option
@_quick
@click.option("--time-limit", type=click.FloatRange(min=1), default=120, show_default=True, help="Seconds, in all.")
def check(config: Path, overrides: tuple[str, ...], no_file_plugins: bool, quick: bool, time_limit: float) -> None:
    """Check a configuration: everything that will fail at once, or a summary of what would run.

    Opens every file and tries every component and the trainers' own arguments, in a process of its own. No weights are
    read.
    """
    from salmon_core.cli.check import check_config

    check_config(config, overrides, file_plugins=not no_file_plugins, quick=quick, limit=time_limit)


@click.command()
@CONFIG
@overrides_option
@file_plugins_option
@_quick
@click.option("--full", is_flag=True, help="With environments, files such as the trainer's job, and what is expected.")
@click.option(
    "--model-config",
    "models",
    multiple=True,
    metavar="MODEL=FILE",
    help="Sizes of a model that is not here: a file like its config.json. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable; with everything.")
def plan(
    config: Path,
    overrides: tuple[str, ...],
    no_file_plugins: bool,
    quick: bool,
    full: bool,
    models: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print how much a run would do, what memory that takes, and the processes of every stage. Needs neither GPU nor
    weights.

    The prompts are read and counted, and the policy's tokenizer, where it is there, measures them. Memory is estimated
    from the models' config.json.
    """
    from salmon_core.cli.plan import print_plan

    print_plan(
        config,
        overrides,
        file_plugins=not no_file_plugins,
        as_json=as_json,
        full=full,
        quick=quick,
        models=models,
    )


@click.command()
@CONFIG
@overrides_option
@file_plugins_option
@click.option("--from", "start", type=click.Choice(STAGES), help="Do this stage and all after it anew.")
@click.option("--until", type=click.Choice(STAGES), help="Stop after this stage.")
@click.option("--verify", is_flag=True, help="Compare the content of large files of finished stages too.")
@click.option(
    "--limit",
    type=click.IntRange(min=2),
    metavar="N",
    help="N prompts and a few steps through all stages, into the run NAME-limit.",
)
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="Ask nothing more once so much was spent, in the currency of the engines' prices.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    metavar="RECORD",
    help="Follow the interventions of another run: its folder, or its interventions.jsonl.",
)
@_quick
def run(
    config: Path,
    overrides: tuple[str, ...],
    no_file_plugins: bool,
    start: str | None,
    until: str | None,
    verify: bool,
    limit: int | None,
    max_cost: float | None,
    replay: Path | None,
    quick: bool,
) -> None:
    """Run a configuration from prompts to report. Finished stages are skipped; a killed run goes on where it was.

    Files of finished stages are looked over first: what is missing or damaged is named and made again.

    Exit code 0: done; 1: a stage failed, or an `expect`ation of the configuration does not hold; 2: bad configuration.
    """
    from salmon_core.cli.run import run_pipeline

    files = not no_file_plugins
    sys.exit(
        run_pipeline(
            config,
            overrides,
            file_plugins=files,
            start=start,
            until=until,
            verify=verify,
            quick=quick,
            limit=limit,
            max_cost=max_cost,
            replay=replay,
        )
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, with the schema of each component's options.")
@click.option("--kind", shell_complete=complete_kinds, help="Only this kind, like bonuses.")
def plugins(as_json: bool, kind: str | None) -> None:
    """List the installed plugins' components, and plugins that are broken and why."""
    from salmon_core.cli.plugins import list_plugins

    list_plugins(as_json=as_json, kind=kind)


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write it there; by default standard output.")
def schema(out: Path | None) -> None:
    """Print a JSON schema of the configuration file, with the options of what is installed, for an editor.

    First line of a configuration: # yaml-language-server: $schema=./FILE
    """
    from salmon_core.cli.schema import print_schema

    print_schema(out)


@click.command()
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="Write it there as one page; needs salmon-view."
)
@click.option(
    "--write",
    type=(str, click.Path(path_type=Path)),
    metavar="FORM FILE",
    help="Write it there in a form that an installed plugin knows; --html FILE is --write html FILE.",
)
def report(folder: Path, as_json: bool, html: Path | None, write: tuple[str, Path] | None) -> None:
    """Show the report of the run in FOLDER again."""
    from salmon_core.cli.report import show_report, write_report

    if write is not None or html is not None:
        for form, file in filter(None, (write, None if html is None else ("html", html))):
            write_report(folder, form, file)
        return
    sys.exit(show_report(folder, as_json=as_json))


@click.command()
@RUN
@click.option("--add", metavar="TEXT", help="Show a principle in these words.")
@click.option(
    "--principle",
    metavar="NAME",
    shell_complete=complete_principles,
    help="Show a principle of the reward's set, or of --from-set.",
)
@click.option("--negate", is_flag=True, help="With --principle: its negated text.")
@click.option(
    "--from-set",
    metavar="SET",
    shell_complete=complete_sets,
    help="With --principle: another set to look in; by default interventions.",
)
@click.option("--weight", metavar="NAME=X", help="Another weight for a principle; 0 shows it no more.")
@click.option("--bonus", metavar="NAME=X", help="Another weight for a bonus.")
@click.option("--undo", type=click.IntRange(min=1), metavar="K", help="Take back intervention K.")
@click.option(
    "--from-rollout", type=click.IntRange(min=0), metavar="N", help="From generated batch N on; by default the next."
)
@click.option("--until", type=click.IntRange(min=1), metavar="N", help="Until before generated batch N.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the record.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@file_plugins_option
def steer(
    folder: Path,
    add: str | None,
    principle: str | None,
    negate: bool,
    from_set: str | None,
    weight: str | None,
    bonus: str | None,
    undo: int | None,
    from_rollout: int | None,
    until: int | None,
    reason: str,
    as_json: bool,
    no_file_plugins: bool,
) -> None:
    """Steer the run in folder RUN while it trains its policy, from the next generated batch on; alone, list the record.

    What is done stands in RUN/interventions.jsonl before it counts; `salmon run CONFIG --replay RUN` does the same.
    """
    from salmon_core.cli.steer import steer_run

    steer_run(
        folder,
        add=add,
        principle=principle,
        negate=negate,
        from_set=from_set,
        weight=weight,
        bonus=bonus,
        undo=undo,
        from_rollout=from_rollout,
        until=until,
        reason=reason,
        as_json=as_json,
        file_plugins=not no_file_plugins,
    )


@click.command()
@RUN
@click.option(
    "--alarm", type=click.IntRange(min=1), metavar="N", help="Number of an alarm, from 1; by default the last."
)
@click.option(
    "--from-set",
    "sets",
    multiple=True,
    metavar="SET",
    shell_complete=complete_sets,
    help="Try the principles of this set; may be repeated.",
)
@click.option("--device", help="Where the reward model is opened: cpu, cuda:1, ...; by default where the run scores.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@file_plugins_option
def propose(
    folder: Path, alarm: int | None, sets: tuple[str, ...], device: str | None, as_json: bool, no_file_plugins: bool
) -> None:
    """Propose the principle that forbids what an alarm of the run in RUN is about, tried on its reward model.

    Tried are the monitor's draft and the principles of sets (by default `interventions`): does the reward model,
    shown one, lower the rollouts that the alarm flags, and by more than others? The run may be going on.
    """
    from salmon_core.cli.propose import propose as proposed

    proposed(folder, alarm=alarm, sets=sets, device=device, as_json=as_json, file_plugins=not no_file_plugins)


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def compare(runs: tuple[Path, ...], as_json: bool) -> None:
    """Compare runs: the settings that differ, and what each of them changed, with intervals."""
    from salmon_core.cli.compare import compare_runs

    compare_runs(runs, as_json=as_json)


#: those that `salmon` has from here
COMMANDS: tuple[click.Command, ...] = (
    init,
    check,
    plan,
    run,
    steer,
    propose,
    plugins,
    schema,
    report,
    compare,
)
