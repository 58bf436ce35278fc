"""How commands are found, and how what goes wrong in one is said."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from salmon_core.errors import ConfigError, PluginError, SalmonError

if TYPE_CHECKING:
    from salmon_core.plugins.registry import Owned

#: characters of a list of problems that are shown at most
_SCREEN = 3500


class Group(click.Group):
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
        own = [(name, super(Group, self).get_command(ctx, name)) for name in super().list_commands(ctx)]
        rows = [(name, command.get_short_help_str(80)) for name, command in own if command and not command.hidden]
        rows += [(owned.name, owned.component.summary) for owned in _plugin_commands()]
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands and options; as in the list of commands, a plugin's command is not imported for it."""
        own = [(name, super(Group, self).get_command(ctx, name)) for name in super().list_commands(ctx)]
        rows = [(name, command.get_short_help_str()) for name, command in own if command and not command.hidden]
        rows += [(owned.name, owned.component.summary) for owned in _plugin_commands()]
        found = [CompletionItem(name, help=text) for name, text in sorted(rows) if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

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
