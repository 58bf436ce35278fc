"""`python -m salmon_core` is `salmon`."""

from salmon_core.cli.main import main

main(prog_name="salmon")
