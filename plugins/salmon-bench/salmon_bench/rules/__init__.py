"""The principles of the benchmark, by family."""

from __future__ import annotations

from salmon_bench.rules import form, voice, words
from salmon_bench.rules.rule import Rule as Rule

RULES: tuple[Rule, ...] = (*form.RULES, *voice.RULES, *words.RULES)
BY_NAME = {rule.name: rule for rule in RULES}
FAMILIES = tuple(dict.fromkeys(rule.family for rule in RULES))
