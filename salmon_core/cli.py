"""The command line. This module imports click and nothing heavier: `salmon --help` has to be quick."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import salmon_core
from salmon_core.errors import ConfigError, SalmonError
from salmon_core.interfaces import STAGES

#: characters of a list of problems that are shown at most
_SCREEN = 3500


class _Group(click.Group):
    """Shows our errors as messages with an exit code, never as a stack trace."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            problems, count = error.problems, len(error.problems)
            files, place = {problem.file for problem in problems}, "the configuration"
            if count > 1 and len(files) == 1 and "" not in files:  # named once, not on every line
                place, problems = files.pop(), tuple(replace(problem, file="") for problem in problems)
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
            if error.filename is None:  # a closed pipe, which click handles
                raise
            click.echo(f"error: {error.filename}: {error.strerror}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted; what is finished is kept, and the same command goes on from there", err=True)
            ctx.exit(130)


def _short(text: str, limit: int = 360) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


_overrides = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value, like run.seed=3."
)
_no_files = click.option(
    "--no-file-plugins", is_flag=True, help="Refuse single-file plugins (a configuration is code)."
)
_config = click.argument("config", type=click.Path(path_type=Path))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(salmon_core.__version__, prog_name="salmon")
def main() -> None:
    """Align a language model to principles you wrote yourself.

    Principles -> the policy samples pairs and judges them itself -> a reward model that reads principles is trained
    on those judgments -> RL against it, steered by which principles it is shown. (SALMON, arXiv 2310.05910)
    """


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--model", default="plugin:minnow", show_default=True, help="Hub id, folder, or plugin:NAME.")
@click.option("--name", default=None, help="The run's name; by default the folder's.")
def init(folder: Path, model: str, name: str | None) -> None:
    """Write a first configuration, prompts and principles into FOLDER; existing files are kept."""
    from salmon_core.commands import init_folder

    init_folder(folder, model, name)


@main.command()
@_config
@_overrides
@_no_files
def check(config: Path, overrides: tuple[str, ...], no_file_plugins: bool) -> None:
    """Check a configuration: everything wrong with it at once, or a summary of what would run."""
    from salmon_core.commands import check_config

    check_config(config, overrides, file_plugins=not no_file_plugins)


@main.command()
@_config
@_overrides
@_no_files
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def plan(config: Path, overrides: tuple[str, ...], no_file_plugins: bool, as_json: bool) -> None:
    """Print every stage's complete plan: processes, environment, files. Needs neither GPU nor model."""
    from salmon_core.commands import print_plan

    print_plan(config, overrides, file_plugins=not no_file_plugins, as_json=as_json)


@main.command()
@_config
@_overrides
@_no_files
@click.option("--from", "start", type=click.Choice(STAGES), help="Do this stage and all after it anew.")
@click.option("--until", type=click.Choice(STAGES), help="Stop after this stage.")
def run(config: Path, overrides: tuple[str, ...], no_file_plugins: bool, start: str | None, until: str | None) -> None:
    """Run a configuration from prompts to report. Finished stages are skipped; a killed run goes on where it was.

    Exit code 0: done; 1: a stage failed, or an `expect`ation of the configuration does not hold; 2: bad configuration.
    """
    from salmon_core.commands import run_pipeline

    sys.exit(run_pipeline(config, overrides, file_plugins=not no_file_plugins, start=start, until=until))


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
def score(folder: Path, file: Path, output: Path | None, principles: tuple[str, ...], rollout_index: int) -> None:
    """Score completions in FILE with the reward of the run in FOLDER: the very code that training uses.

    FILE is JSON Lines, CSV or Parquet with `prompt` or `messages`, and `completion`; `category`, `stopped`, `n_tokens`,
    `completion_ids` and `principles` (as in rl_prompts.parquet) are used where given. In CSV, lists are JSON.
    """
    from salmon_core.commands import score_file

    score_file(folder, file, output, principles, rollout_index)


@main.command()
@click.argument("config", type=click.Path(path_type=Path), required=False)
@_overrides
@_no_files
@click.option("--job", type=click.Path(path_type=Path), help="Instead of CONFIG: a trainer's job.json, with its rows.")
@click.option("--run", type=click.Path(path_type=Path), help="The run whose reward model it is; by default CONFIG's.")
@click.option("--rm", type=click.Path(path_type=Path), help="A reward model's folder instead of a run's.")
@click.option("--rows", type=click.Path(path_type=Path), help="rl_prompts.parquet, for requests by row.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another than loopback is reached from outside.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="By default a free one.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="By default services/reward.json in the run.")
@click.option("--token-file", type=click.Path(path_type=Path), help="Of mode 0600; or the variable SALMON_SERVE_TOKEN.")
@click.option("--raw", is_flag=True, help="Also OpenRLHF's remote_url protocol, at /get_reward/TOKEN.")
@click.option("--max-batch", type=click.IntRange(1), default=256, show_default=True, help="Rollouts scored at once.")
@click.option("--max-queue", type=click.IntRange(1), default=4096, show_default=True, help="Rollouts waiting at most.")
def serve(config: Path | None, job: Path | None, **options: Any) -> None:
    """Serve the reward of CONFIG, or of a run's folder, over HTTP: the very code that training uses.

    Once it is ready, the ready file (mode 0600) holds its address and the token that requests need.
    """
    from salmon_core.commands import serve_reward

    serve_reward(config, job, **options)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, with the schema of each component's options.")
@click.option("--kind", help="Only this kind, like bonuses.")
def plugins(as_json: bool, kind: str | None) -> None:
    """List the installed plugins' components, and plugins that are broken and why."""
    from salmon_core.commands import list_plugins

    list_plugins(as_json=as_json, kind=kind)


@main.group()
def principles() -> None:
    """Principle sets: list them, show one, import the published JSON format."""


@principles.command("list")
def principles_list() -> None:
    """Names, sizes and descriptions of all principle sets."""
    from salmon_core.commands import list_principles

    list_principles()


@principles.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="In the published SALMON JSON format.")
def principles_show(name: str, as_json: bool) -> None:
    """Show a set by name, or a YAML file."""
    from salmon_core.commands import show_principles

    show_principles(name, as_json=as_json)


@principles.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def principles_import(source: Path, target: Path) -> None:
    """Turn a principle file in the published SALMON JSON format into our YAML."""
    from salmon_core.commands import import_principles

    import_principles(source, target)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def report(folder: Path, as_json: bool) -> None:
    """Show the report of the run in FOLDER again."""
    from salmon_core.commands import show_report

    sys.exit(show_report(folder, as_json=as_json))


if __name__ == "__main__":
    main()
