"""Reward models whose defects are known: the card says which is which, and what it cannot say."""

from __future__ import annotations

from pathlib import Path

import pytest
from rule_model import PRINCIPLES, UNSEEN, Rule, RuleModel, by_heart, deaf, first, ignoring, long, sound, source

from salmon_card.card import Card, read_card
from salmon_card.checks import CHECKS
from salmon_card.defects import PLANTS
from salmon_card.examine import Extent, examine
from salmon_card.subjects import subjects_of
from salmon_core import SalmonError

SUBJECTS = subjects_of(PRINCIPLES, [UNSEEN])


def card_of(rule: Rule, folder: Path, prompts: int = 60) -> Card:
    return examine(RuleModel(rule), "rules", source(prompts), SUBJECTS, folder, extent=Extent(120, 3, 1))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Card:
    return card_of(sound, tmp_path_factory.mktemp("sound"), prompts=150)


def test_a_sound_reward_model_fails_nothing(good: Card) -> None:
    verdicts = {check.name: good.verdict(check.name) for check in CHECKS}
    assert set(verdicts.values()) == {"good"}, verdicts
    assert good.figure("accuracy").value == 1.0  # type: ignore[union-attr]
    assert good.figure("sets", "k = 3") is not None
    assert good.unseen == ("exact",)


def test_every_planted_defect_is_found(good: Card) -> None:
    assert set(good.selftest) == set(PLANTS)
    assert not good.blind
    assert {"control", "negation"} <= set(good.selftest["ignores principles"])
    assert "negation" in good.selftest["ignores `not`"]
    assert {"brief", "longer"} <= set(good.selftest["loves length"])
    assert set(good.selftest["knows by heart"]) == {"paraphrase", "unseen"}
    assert "last" in good.selftest["reads the first"]
    for figure in good.figures:
        assert figure.defect
        assert (figure.found == "no") == (figure.verdict == "cannot tell")


@pytest.mark.parametrize(
    ("rule", "failing", "passing"),
    [
        (ignoring, {"control", "negated", "negation", "sets", "weights"}, {"longer"}),
        (deaf, {"negated", "negation"}, {"accuracy", "control", "paraphrase", "longer"}),
        (long, {"accuracy", "control", "brief", "longer", "negation"}, set()),
        (first, {"last", "place"}, {"accuracy", "negation", "control", "first", "brief"}),
        (by_heart, {"paraphrase", "unseen"}, {"accuracy", "negation", "control", "last"}),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_reward_model_with_a_defect(rule: Rule, failing: set[str], passing: set[str], tmp_path: Path) -> None:
    card = card_of(rule, tmp_path)
    verdicts = {check.name: card.verdict(check.name) for check in CHECKS}
    assert {verdicts[name] for name in failing} <= {"bad", "backwards"}, verdicts
    assert {verdicts[name] for name in passing} <= {"good"}, verdicts


def test_too_few_prompts_are_underpowered(tmp_path: Path) -> None:
    card = card_of(sound, tmp_path, prompts=12)
    assert {figure.verdict for figure in card.figures} == {"underpowered"}
    assert all(figure.q is None and figure.n <= 12 for figure in card.figures)
    assert set(card.blind) == set(PLANTS)


def test_of_few_prompts_a_large_effect_shows_and_a_defect_is_not_called_bad(tmp_path: Path) -> None:
    """Chance is not told from three quarters there, but always right is told from chance."""
    card = card_of(sound, tmp_path, prompts=26)
    assert any((figure.verdict, figure.found) == ("good", "underpowered") for figure in card.figures)
    assert all(figure.detectable is None or figure.detectable >= 0 for figure in card.figures)


def test_a_check_that_its_defect_passes_cannot_tell(tmp_path: Path) -> None:
    """Where all scores are alike, a reward model that reads the first principle alone looks the same."""
    card = card_of(lambda answer, shown: 0.0, tmp_path)
    assert card.verdict("place") == "cannot tell"
    assert card.figure("place").found == "no"  # type: ignore[union-attr]
    assert card.verdict("accuracy") == "bad"


def test_what_chance_decides_is_the_same_each_time(tmp_path: Path) -> None:
    assert card_of(long, tmp_path / "a", prompts=30) == card_of(long, tmp_path / "b", prompts=30)


def test_scores_are_kept_and_asked_for_in_few_calls(tmp_path: Path) -> None:
    def examined(model: RuleModel) -> Card:
        return examine(model, "rules", source(50), SUBJECTS, tmp_path, extent=Extent(20, 2, 1))

    before = RuleModel(sound)
    card = examined(before)
    assert before.calls == 3  # 150 pairs
    files = sorted(tmp_path.glob("scores-*.json"))
    files[0].unlink()
    files[1].write_text("[[1.0")
    again = RuleModel(sound)
    assert examined(again) == card
    assert again.calls == 2
    assert examined(RuleModel(long)) == card  # it was not asked


def test_a_card_goes_to_json_and_back(good: Card, tmp_path: Path) -> None:
    good.write(tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == good
    for text in ("{}", '{"format": 1}', "nothing", '{"format": 1, "figures": 3}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(SalmonError, match=r"bad\.json"):
            read_card(tmp_path / "bad.json")


def test_scores_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SalmonError, match="finite"):
        card_of(lambda answer, shown: float("nan"), tmp_path)
