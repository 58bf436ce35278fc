"""For commands of plugins: the options that every command on a configuration has."""

from __future__ import annotations

from collections.abc import Callable
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


def announce_file_plugins(config: RunConfig) -> None:
    """Says on standard error which files of the configuration's folder run as code."""
    for name in config.config.plugins:
        click.echo(f"using the file plugin {name}: code from {config.base} runs", err=True)
