"""Commands for who writes plugins, and for the shell, declared; what they do is imported when they are called."""

from __future__ import annotations

from pathlib import Path

import click

from salmon_core.cli.authoring import NEW_KINDS


@click.command()
@click.argument("kind", type=click.Choice(list(NEW_KINDS)))
@click.argument("name")
@click.option(
    "--path",
    type=click.Path(path_type=Path),
    help="The package's folder, by default salmon-NAME; with --file, the folder that the file goes into.",
)
@click.option("--file", "single", is_flag=True, help="One file for `plugins:` of a configuration, and its test.")
def new(kind: str, name: str, path: Path | None, single: bool) -> None:
    """Write a plugin of KIND called NAME to start from: a package that can be installed, with a test.

    The test has what every plugin of its kind keeps to. Nothing that is there is written over.
    """
    from salmon_core.cli.new import new_plugin

    new_plugin(kind, name, path, file=single)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option("--install", is_flag=True, help="Put it where SHELL finds it, for this user.")
@click.pass_context
def completion(ctx: click.Context, shell: str, install: bool) -> None:
    """Print what makes SHELL complete `salmon`: commands, options, folders of runs, principle sets.

    In this shell alone: eval "$(salmon completion bash)". For good: salmon completion bash --install.
    """
    from salmon_core.cli.completion import show_completion

    show_completion(ctx.find_root().command, shell, install=install)


#: those that `salmon` has from here
COMMANDS: tuple[click.Command, ...] = (new, completion)
