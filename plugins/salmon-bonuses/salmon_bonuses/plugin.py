"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core.api import Component
from salmon_core.api.hooks import hookimpl


@hookimpl
def salmon_bonuses() -> Iterable[Component]:
    """The bonuses, each in a module of its own."""
    yield Component("language-match", "salmon_bonuses.language_match:LanguageMatch", "1 in the prompt's language")
    yield Component("length", "salmon_bonuses.length:Length", "rewards length by category, up to a cap")
    about = "a penalty for not coming to an end"
    yield Component("missing-stop", "salmon_bonuses.missing_stop:MissingStop", about, default=True)
    yield Component("stock-phrase", "salmon_bonuses.stock_phrase:StockPhrase", "-1 for a phrase such as a disclaimer")
