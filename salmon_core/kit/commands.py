"""For commands of plugins: the options that every command on a configuration has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from salmon_core.config.run_config import RunConfig

F = TypeVar("F", bound=Callable[..., Any])


def overrides_option(command: F) -> F:
    """`--set KEY=VALUE`, as `overrides: tuple[str, ...]`."""
    option = click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value, like run.seed=3."
    )
    return option(command)


def file_plugins_option(command: F) -> F:
    """`--no-file-plugins`, as `no_file_plugins: bool`."""
    option = click.option(
        "--no-file-plugins", is_flag=True, help="Refuse single-file plugins (a configuration is code)."
    )
    return option(command)


def announce_file_plugin(path: Path) -> None:
    """Says on standard error that a file runs as code.

    For `announce` of whatever opens a configuration, a run or a job, which calls it before the code runs.
    """
    click.echo(f"using the file plugin {path.name}: code from {path.parent} runs", err=True)


def announce_file_plugins(config: RunConfig) -> None:
    """The same for all of a configuration that is open already."""
    for path in config.file_plugins:
        announce_file_plugin(path)
