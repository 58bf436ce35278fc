"""`--max-cost`: what a run may spend, set for every engine that counts costs."""

from __future__ import annotations

from salmon_core.config.run_config import RunConfig
from salmon_core.errors import ConfigError, Problem

OPTION = "max_cost"


def within(config: RunConfig, most: float) -> list[str]:
    """Overrides by which each engine that has the option `max_cost` gets this limit.

    An engine counts by endpoint and model, in its cache, so what two roles ask of one model counts together.

    Raises:
        ConfigError: no engine has it.
    """
    found = [f"{role}.engine.{OPTION}={most!r}" for role, spec in config.engines.items() if OPTION in spec.options]
    if not found:
        names = ", ".join(sorted({spec.name for spec in config.engines.values()}))
        hint = f"of the engines in use, {names}, none asks anything that costs"
        raise ConfigError([Problem("--max-cost", "there is nothing to limit", hint)])
    return found
