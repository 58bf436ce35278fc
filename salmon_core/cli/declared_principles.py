"""Commands about principle sets, declared; what they do is imported when they are called."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from salmon_core.cli.completing import complete_sets
from salmon_core.kit.commands import overrides_option

#: as in `principles.exported`, which is not imported for a list of names
TARGETS = ("yaml", "salmon-json", "text", "markdown", "requirements")


@click.group()
def principles() -> None:
    """Principle sets: list, show, import what others wrote, export, check."""


@principles.command("list")
def principles_list() -> None:
    """Names, sizes and descriptions of all principle sets."""
    from salmon_core.cli.principles import list_principles

    list_principles()


@principles.command("show")
@click.argument("name", shell_complete=complete_sets)
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
@click.argument("name", metavar="SET_OR_FILE", shell_complete=complete_sets)
@click.option("--format", "format_name", type=click.Choice(TARGETS), required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A new file; by default standard output.")
def principles_export(name: str, format_name: str, output: Path | None) -> None:
    """Write a set in a format that others read; what it has no place for is said on standard error."""
    from salmon_core.cli.principles import export_set

    export_set(name, format_name, output)


@principles.command("check")
@click.argument("name", metavar="SET_OR_FILE", shell_complete=complete_sets)
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


#: those that `salmon` has from here
COMMANDS: tuple[click.Command, ...] = (principles,)
