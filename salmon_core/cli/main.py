"""The command line. This module imports click and nothing heavier: `salmon --help` has to be quick."""

from __future__ import annotations

import errno
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import salmon_core
from salmon_core.errors import ConfigError, PluginError, SalmonError
from salmon_core.kit.commands import file_plugins_option, overrides_option
from salmon_core.stages import STAGES

if TYPE_CHECKING:
    from salmon_core.plugins.registry import Owned

#: characters of a list of problems that are shown at most
_SCREEN = 3500


class _Group(click.Group):
    """Shows our errors as messages with an exit code, never as a stack trace; knows the commands of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *sorted({owned.name for owned in _plugin_commands()} - set(own))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        from salmon_core.plugins.registry import Registry

        if not any(owned.name == cmd_name for owned in _plugin_commands()):
            return None
        owned = Registry.discover().find("commands", cmd_name)
        command = owned.load()
        if not isinstance(command, click.Command):
            raise PluginError(str(owned.owner), f"{command!r} is no click.Command", what=f"command {cmd_name!r}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line each; a plugin's command is not imported for its line."""
        own = [(name, super(_Group, self).get_command(ctx, name)) for name in super().list_commands(ctx)]
        rows = [(name, command.get_short_help_str(80)) for name, command in own if command and not command.hidden]
        rows += [(owned.name, owned.component.summary) for owned in _plugin_commands()]
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            problems, count = error.problems, len(error.problems)
            files, place = {problem.file for problem in problems}, error.about or "the configuration"
            if count > 1 and len(files) == 1 and "" not in files:  # named once, not on every line
                place, problems = files.pop(), tuple(replace(problem, file="") for problem in problems)
            if error.about and count == 1:
                click.echo(f"error: {_short(str(error), 1500)}", err=True)
                ctx.exit(error.exit_code)
            click.echo(f"error: {count} problem{'s' if count > 1 else ''} in {_short(place)}", err=True)
            room = _SCREEN
            for shown, problem in enumerate(problems):
                line = f"  - {_short(str(problem))}"
                room -= len(line) + 1
                if room < 0:
                    click.echo(f"  ... and {count - shown} more", err=True)
                    break
                click.echo(line, err=True)
            ctx.exit(error.exit_code)
        except SalmonError as error:
            click.echo(f"error: {_short(str(error), 1500)}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.errno == errno.EPIPE:  # which click handles
                raise
            from salmon_core.data.files import in_words

            click.echo(f"error: {_short(str(in_words(error)), 1500)}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted; what is finished is kept, and the same command goes on from there", err=True)
            ctx.exit(130)


def _plugin_commands() -> list[Owned]:
    from salmon_core.plugins.registry import Registry

    return Registry.discover().components("commands")


def _short(text: str, limit: int = 360) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


#: as in `principles.exported`, which is not imported for a list of names
_TARGETS = ("yaml", "salmon-json", "text", "markdown", "requirements")
_config = click.argument("config", type=click.Path(path_type=Path))
_quick = click.option(
    "--quick", is_flag=True, envvar="SALMON_QUICK", help="Only read: try no component, open no file of data."
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(salmon_core.__version__, prog_name="salmon")
def main() -> None:
    """Align a language model to principles you wrote yourself.

    Principles -> the policy samples pairs and judges them itself -> a reward model that reads principles is trained
    on those judgments -> RL against it, steered by which principles it is shown. (SALMON, arXiv 2310.05910)
    """


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--model", default=None, help="Hub id, folder, or plugin:NAME; by default what is installed to try.")
@click.option("--name", default=None, help="The run's name; by default the folder's.")
def init(folder: Path, model: str | None, name: str | None) -> None:
    """Write a first configuration, prompts and principles into FOLDER; existing files are kept."""
    from salmon_core.cli.init import init_folder

    init_folder(folder, model, name)


@main.command()
@_config
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


@main.command()
@_config
@overrides_option
@file_plugins_option
@_quick
@click.option("--full", is_flag=True, help="With environments, files such as the trainer's job, and what is expected.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable; with everything.")
def plan(
    config: Path, overrides: tuple[str, ...], no_file_plugins: bool, quick: bool, full: bool, as_json: bool
) -> None:
    """Print how much a run would do, and the processes of every stage. Needs neither GPU nor weights.

    The prompts are read and counted, and the policy's tokenizer, where it is there, measures them.
    """
    from salmon_core.cli.plan import print_plan

    print_plan(config, overrides, file_plugins=not no_file_plugins, as_json=as_json, full=full, quick=quick)


@main.command()
@_config
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
        )
    )


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
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


@main.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
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


@main.command()
@click.argument("reader", type=click.Choice(["judge", "reward", "policy"]))
@_config
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
    """Show the very text that judge, reward model or policy reads, with the tokens of its sections.

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


@main.command("try")
@click.argument("folder", type=click.Path(path_type=Path))
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


@main.command()
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


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
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


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, with the schema of each component's options.")
@click.option("--kind", help="Only this kind, like bonuses.")
def plugins(as_json: bool, kind: str | None) -> None:
    """List the installed plugins' components, and plugins that are broken and why."""
    from salmon_core.cli.plugins import list_plugins

    list_plugins(as_json=as_json, kind=kind)


@main.group()
def principles() -> None:
    """Principle sets: list, show, import what others wrote, export, check."""


@principles.command("list")
def principles_list() -> None:
    """Names, sizes and descriptions of all principle sets."""
    from salmon_core.cli.principles import list_principles

    list_principles()


@principles.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="In the published SALMON JSON format.")
def principles_show(name: str, as_json: bool) -> None:
    """Show a set by name, or a YAML file."""
    from salmon_core.cli.principles import show_principles

    show_principles(name, as_json=as_json)


def _list_formats(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from salmon_core.cli.principles import list_formats

        list_formats()
        ctx.exit()


@principles.command("import")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("target", required=False, type=click.Path(path_type=Path))
@click.option("--format", "format_name", metavar="NAME", help="Read FILE in this format, whatever it looks like.")
@click.option(
    "--list-formats",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_formats,
    help="Show them, and exit.",
)
def principles_import(source: Path, target: Path | None, format_name: str | None) -> None:
    """Turn principles, rubrics or a constitution that others wrote into ours.

    FILE may be JSON, JSON Lines, YAML, TOML, Markdown or text; its content says in which format it is. A set becomes
    YAML, rubrics for single prompts become JSON Lines: TARGET, by default a file of FILE's name in this folder. What
    cannot be mapped is listed with its place.
    """
    from salmon_core.cli.principles import import_file

    import_file(source, target, format_name)


@principles.command("export")
@click.argument("name", metavar="SET_OR_FILE")
@click.option("--format", "format_name", type=click.Choice(_TARGETS), required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A new file; by default standard output.")
def principles_export(name: str, format_name: str, output: Path | None) -> None:
    """Write a set in a format that others read; what it has no place for is said on standard error."""
    from salmon_core.cli.principles import export_set

    export_set(name, format_name, output)


@principles.command("check")
@click.argument("name", metavar="SET_OR_FILE")
@click.option("--model", metavar="MODEL", help="Ask this model as a judge, too: a folder, a hub id or plugin:NAME.")
@click.option("--prompts", metavar="FILE", help="Sample the model's own answers to these; by default a few of ours.")
@click.option("--completions", type=click.Path(path_type=Path), help="Judge these: rows of `prompt` and `completion`.")
@overrides_option
@click.option("--strict", is_flag=True, help="Exit code 1 on warnings, too.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def principles_check(
    name: str,
    model: str | None,
    prompts: str | None,
    completions: Path | None,
    overrides: tuple[str, ...],
    strict: bool,
    as_json: bool,
) -> None:
    """Look for what is doubtful in a set: texts that say the same, are too long, are never drawn, ...

    With --model the set is also judged by: principles that conflict on sample answers, that decide nothing, or that
    flip when the question is put in other words. What else a judge needs is taken from what is installed; --set changes
    it, as in a configuration. Exit code 1: there are errors.
    """
    from salmon_core.cli.principles_check import check_set

    sys.exit(check_set(name, model, prompts, completions, overrides, strict=strict, as_json=as_json))


@main.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write it there; by default standard output.")
def schema(out: Path | None) -> None:
    """Print a JSON schema of the configuration file, with the options of what is installed, for an editor.

    First line of a configuration: # yaml-language-server: $schema=./FILE
    """
    from salmon_core.cli.schema import print_schema

    print_schema(out)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def report(folder: Path, as_json: bool) -> None:
    """Show the report of the run in FOLDER again."""
    from salmon_core.cli.report import show_report

    sys.exit(show_report(folder, as_json=as_json))


if __name__ == "__main__":
    main()
