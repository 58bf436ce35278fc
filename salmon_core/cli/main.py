"""The command line. What is imported here is click and nothing heavier: `salmon --help` has to be quick."""

from __future__ import annotations

import click

import salmon_core
from salmon_core.cli import declared_authors, declared_made, declared_principles, declared_runs
from salmon_core.cli.group import Group


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(salmon_core.__version__, prog_name="salmon")
def main() -> None:
    """Align a language model to principles you wrote yourself.

    Principles -> the policy samples pairs and judges them itself -> a reward model that reads principles is trained
    on those judgments -> RL against it, steered by which principles it is shown. (SALMON, arXiv 2310.05910)
    """


for _command in (
    *declared_runs.COMMANDS,
    *declared_made.COMMANDS,
    *declared_principles.COMMANDS,
    *declared_authors.COMMANDS,
):
    main.add_command(_command)


if __name__ == "__main__":
    main()
