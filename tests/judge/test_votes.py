"""Reading a verdict off the end of an argument: strictly, whatever a model puts around it."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salmon_core import SalmonError
from salmon_core.records import Completion
from salmon_judge.votes import Ballot, Vote, log_odds

BALLOT = Ballot(("a", "b"))


def answer(text: str, *, stopped: bool = True) -> Completion:
    return Completion("p", 0, text, (), 5, stopped)


def read(text: str) -> str | None:
    vote = BALLOT.read(answer(text))
    return None if vote is None else "ab"[not vote.first]


AROUND = st.sampled_from(["", "**", "*", "__", "`", "(", "[", "[[", '"', "“", "## ", "> "])
SPACE = st.sampled_from(["", " ", "  ", "\t"])
END = st.sampled_from(["", ".", "!", " .", "**", "**.", ".**", ")", "]", "]].", '"', "”", "。", "  ", "\n", "\n\n "])
ARGUMENT = st.text(st.sampled_from("ab AB.:*\n") | st.characters(exclude_categories=["Cs"]), max_size=60)


@given(
    argument=ARGUMENT,
    word=st.sampled_from(["Verdict", "verdict", "VERDICT", "**Verdict", "Verdict**"]),
    colon=st.sampled_from([":", " :", ":**", "：", "**:"]),
    space=SPACE,
    before=AROUND,
    choice=st.sampled_from("abAB"),
    inside=AROUND,
    end=END,
)
def test_a_verdict_is_found(
    argument: str, word: str, colon: str, space: str, before: str, choice: str, inside: str, end: str
) -> None:
    line = f"{before}{word}{colon}{space}{inside}{choice}{end}"
    assert read(f"{argument}\n{line}") == choice.lower()
    assert read(line) == choice.lower()
    vote = BALLOT.read(answer(f"{argument}\n{line}"))
    assert vote is not None
    assert vote.argument == argument.strip()
    assert BALLOT.read(answer(f"{argument}\n{line}", stopped=False)) is None, "cut off, it might have gone on"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a",
        "Response a is better.",
        "Verdict:",
        "Verdict: ",
        "Verdict a",
        "Verdict: c",
        "Verdict: ab",
        "Verdict: a b",
        "Verdict: a or b",
        "Verdict: a, b",
        "Verdict: a/b",
        "Verdict: neither",
        "Verdict: response a",
        "Verdict: a because it is shorter",
        "My verdict: a",
        "Verdict: a Verdict: b",
        "Verdict: Verdict: a",
        "Verdict: a\nThat is all I have to say.",
        "Verdict: a\n---",
        "Verdict:\na",
        "Verdict: а",
        "Verdict: ａ",
    ],
)
def test_what_is_no_verdict_is_never_guessed(text: str) -> None:
    assert read(text) is None
    assert read(f"Response b is far better.\n{text}") is None


@given(st.text(max_size=80))
def test_any_text_is_read_or_not_and_no_error(text: str) -> None:
    last = text.rstrip().rpartition("\n")[2].casefold()
    assert read(text) is None or ("verdict" in last and last.count("a") + last.count("b") >= 1)


def test_the_last_line_counts_and_no_other() -> None:
    assert read("Verdict: b\nNo, wait.\nVerdict: a") == "a"
    assert read("<think>\nVerdict: b\n</think>\nShort.\n\n**Verdict: A**\n") == "a"


@pytest.mark.parametrize("choices", [("A", "B"), ("1", "2"), ("(a)", "(b)"), (" first", " second"), ("Ja", "Nein")])
def test_other_templates_choices(choices: tuple[str, str]) -> None:
    ballot = Ballot(choices)
    assert all(f"Verdict: {choice.strip()}\n" in ballot.question for choice in choices)
    votes = [ballot.read(answer(f"So.\nVerdict: {choice.strip()}.")) for choice in choices]
    assert votes == [Vote(True, "So."), Vote(False, "So.")]


@pytest.mark.parametrize("choices", [("a", "A"), ("(a)", "[a]"), ("*", "b"), ("a", "")])
def test_choices_that_nobody_can_tell_apart(choices: tuple[str, str]) -> None:
    with pytest.raises(SalmonError, match="cannot be told apart in an answer"):
        Ballot(choices)


@given(st.integers(0, 50), st.integers(0, 50))
def test_log_odds(a: int, b: int) -> None:
    """Finite, larger with each vote, turned round by turning round, and nothing of nothing."""
    found = log_odds(votes(a, b))
    assert found == pytest.approx(math.log((a + 0.5) / (b + 0.5)))
    assert log_odds(votes(b, a)) == pytest.approx(-found)
    assert log_odds(votes(a + 1, b)) > found > log_odds(votes(a, b + 1))
    assert (found > 0) == (a > b)


def test_no_votes_say_nothing_and_order_does_not_matter() -> None:
    assert log_odds([]) == 0
    assert {log_odds(order) for order in permutations(votes(2, 1))} == {math.log(2.5 / 1.5)}


def votes(a: int, b: int) -> list[Vote]:
    return [Vote(True, "")] * a + [Vote(False, "")] * b
