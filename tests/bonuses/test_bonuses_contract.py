"""The bundled bonuses keep the contract."""

from __future__ import annotations

from typing import ClassVar

from salmon_bonuses import plugin
from salmon_core.testing import BonusContract


class TestLength(BonusContract):
    plugin = plugin
    name = "length"
    options: ClassVar = {"max_tokens": 8, "cap": 0.5, "multipliers": {"reasoning": -1.0}}


class TestMissingStop(BonusContract):
    plugin = plugin
    name = "missing-stop"


class TestStockPhrase(BonusContract):
    plugin = plugin
    name = "stock-phrase"
    options: ClassVar = {"phrases": ["Madrid", "cannot help"]}


class TestLanguageMatch(BonusContract):
    plugin = plugin
    name = "language-match"
    options: ClassVar = {"languages": ["en", "de"], "confidence": 0.3}
