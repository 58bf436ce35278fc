"""Symbolic rules: what they decide, in which order, and how often."""

from __future__ import annotations

import math
from random import Random

import pytest
from judge_world import judgments, pair, plain, principles
from pydantic import ValidationError

from salmon_core.api import MadeLabels
from salmon_core.records import Pair
from salmon_judge.labeller import SalmonLabeller
from salmon_judge.options import Options
from salmon_judge.rules import LanguageRule, PhraseRule

EN = "The tides are caused by the pull of the moon and the sun on the sea."
DE = "Die Gezeiten entstehen durch die Anziehungskraft des Mondes und der Sonne."
FR = "Les marées sont dues à l'attraction de la lune et du soleil."
ASK_EN, ASK_DE = "How do the tides of the sea come about?", "Wie entstehen eigentlich die Gezeiten?"
STOCK = "As an AI language model I cannot see the sea, but I can tell you of tides."


def test_language() -> None:
    cases = {
        (EN, DE, ASK_EN): "first",
        (EN, DE, ASK_DE): "second",
        (EN, FR, ASK_DE): "drop",
        (DE, DE + " Immer.", ASK_DE): None,
        (EN, "42 42 42 42 42 42 42", ASK_DE): None,  # one is in no language: nothing is certain
        (EN, DE, "1 + 1 = ?"): None,
    }
    pairs = [pair(f"l{i}", first, second, prompt) for i, (first, second, prompt) in enumerate(cases)]
    assert list(map(LanguageRule().decider(), pairs)) == list(cases.values())


def test_phrase() -> None:
    cases = {(EN, STOCK): "first", (STOCK.upper(), DE): "second", (STOCK, STOCK + "!"): None, (EN, DE): None}
    pairs = [pair(f"s{i}", *texts) for i, texts in enumerate(cases)]
    assert list(map(PhraseRule().decider(), pairs)) == list(cases.values())
    own = PhraseRule(phrases=("of the  moon",))
    assert own.decider()(pair("x", EN, DE)) == "second"


def run(pairs: list[Pair], rules: list[object], **options: object) -> MadeLabels:
    """A judge that always prefers completion 1."""
    one = judgments(pairs, {"kind": [(1.0, 1.0)] * len(pairs)})
    return (
        SalmonLabeller(plain(rules=rules, normalise="none", **options))
        .label(pairs, one, principles("kind"), Random(1))
        .made()
    )


def test_rules_override_the_label() -> None:
    result = run([pair("a", EN, DE, ASK_DE), pair("b", EN, FR, ASK_DE), pair("c", EN, EN + " Yes.")], ["language"])
    assert [(row.pair_id[0], row.chosen, row.decided_by) for row in result.rows] == [
        *[("a", DE, "rule:language")] * 4,
        *[("c", EN, "kind")] * 4,
    ]
    assert result.statistics["dropped_rows"]["rule:language"] == 4
    assert result.statistics["decided_by_rules"] == {"rule:language": 4}


def test_the_first_rule_that_applies_decides() -> None:
    """Completion 1 is in the wrong language, completion 2 has the phrase."""
    pairs = [pair("a", DE, STOCK, ASK_EN)]
    phrase = {"name": "phrase", "probability": 1.0}
    assert {row.chosen for row in run(pairs, ["language", phrase]).rows} == {STOCK}
    assert {row.chosen for row in run(pairs, [phrase, "language"]).rows} == {DE}


def test_rules_are_applied_and_flipped_at_their_rates() -> None:
    pairs = [pair(f"r{i}", STOCK, EN) for i in range(500)]
    result = run(pairs, ["phrase"], flip_by_rule=0.25)
    ruled = [row for row in result.rows if row.decided_by == "rule:phrase"]
    assert abs(len(ruled) / 2000 - 0.5) < 4 * math.sqrt(0.25 / 2000)
    assert all((row.chosen == EN) != row.flipped for row in ruled)
    assert abs(sum(row.flipped for row in ruled) / len(ruled) - 0.25) < 4 * math.sqrt(0.1875 / len(ruled))
    assert not any(row.flipped for row in result.rows if row.decided_by == "kind")


def test_ties_are_dropped_before_any_rule() -> None:
    pairs = [pair("a", STOCK, EN)]
    one = judgments(pairs, {"kind": [(1.0, -1.0)]})
    result = SalmonLabeller(plain(rules=["phrase"])).label(pairs, one, principles("kind"), Random(0)).made()
    assert result.rows == []
    assert result.statistics["dropped_rows"]["tie"] == 4


def test_defaults_are_the_papers_and_survive_json() -> None:
    options = Options()
    assert [(rule.name, rule.probability) for rule in options.rules] == [("language", 1.0), ("phrase", 0.5)]
    assert (options.flip, options.flip_by_rule, options.repeats, options.cap) == (0.1, 0.25, 4, 8)
    assert Options.model_validate(options.model_dump(mode="json")) == options
    papers = {
        name: field.json_schema_extra["paper"]
        for name, field in Options.model_fields.items()
        if isinstance(field.json_schema_extra, dict)
    }
    assert papers == {name: getattr(options, name) for name in set(Options.model_fields) - {"exclude", "rules"}}


@pytest.mark.parametrize(
    "bad", ["none", {"name": "phrase", "phrases": []}, {"name": "phrase", "words": ["x"]}, {"probability": 1}]
)
def test_bad_rules(bad: object) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"rules": [bad]})


def test_missing_detector_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("salmon_judge.rules.installed", lambda: False)
    with pytest.raises(ValidationError, match=r"pip install 'salmon-judge\[language\]'"):
        Options()
    assert Options.model_validate({"rules": ["phrase"]}).rules == (PhraseRule(),)
