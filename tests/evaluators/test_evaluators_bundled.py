"""The bundled evaluators on runs in which the truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from core_world import document, environment, make_folder, salmon
from evaluated import EVALUATE, Finished
from stand_in import StandIn, reward_spec

from salmon_core.api import BonusSpec, ComponentSpec, Evaluator, Metrics, ScheduledPrinciple
from salmon_core.data import parquet
from salmon_core.plugins.registry import Registry
from salmon_core.records import Prompt, Rollout, ShownPrinciple
from salmon_core.stages.results import checked
from salmon_core.testing import build_component


def evaluator(name: str, **options: object) -> Evaluator:
    made: Evaluator = build_component(Registry.discover(), "evaluators", name, **options)
    return made


def found(name: str, run: StandIn, **options: object) -> Metrics:
    return checked(evaluator(name, **options).evaluate(run), name, name)  # type: ignore[arg-type]


# -- what they need ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "needs"),
    [
        ("rm-accuracy", {}, {"initial", "reward", "judge"}),
        ("rm-accuracy", {"truth": "minnow"}, {"initial", "reward"}),
        ("reward-shift", {}, {"initial", "policy", "reward"}),
        ("minnow-oracle", {}, {"initial", "policy"}),
        ("oracle", {"oracle": "minnow"}, {"initial", "policy"}),
        ("win-rate", {}, {"initial", "policy", "judge"}),
        ("mt-bench", {}, {"initial", "policy", "judge"}),
    ],
)
def test_needs_say_which_models_are_used(name: str, options: dict[str, str], needs: set[str]) -> None:
    own = evaluator(name, **options)
    assert own.needs == needs
    assert not own.together


def test_one_model_is_open_at_a_time(finished: Finished) -> None:
    """In the process of the evaluators too, which use all four."""
    assert len(finished.opened) > 1
    most = 0
    for events in finished.opened.values():
        opened: list[str] = []
        for event in events:
            what, _, path = event.partition(" ")
            opened.append(path) if what == "open" else opened.remove(path)
            most = max(most, len(opened))
        assert not opened, "a model was left open"
    assert most == 1


# -- rm-accuracy -----------------------------------------------------------------------------------------------------


def test_accuracy_of_a_reward_model_that_reads_no_principle(finished: Finished) -> None:
    """It counts the judge's letter whatever it is shown: always right by a principle's text, never by the negated."""
    report = finished.report
    positive, negated = report["rm"]["positive"], report["rm"]["negated"]
    assert (positive["value"], positive["high"]) == (1, 1)
    assert (negated["value"], negated["low"]) == (0, 0)
    assert 0.2 < positive["low"] < 1, "an interval that says how little three prompts tell"
    assert list(report["rm"]["sets"]) == ["joint", "mean"]
    assert report["rm"]["sets"]["joint"] == report["rm"]["sets"]["mean"]
    values = report["evaluators"]["rm-accuracy"]
    assert values["truth"] == "judge"
    assert set(values["principles"]["positive"]) == {"short", "kind"}
    for size in ("1", "2"):
        own = values["sets"]["joint"][size]
        assert own["n"] == 120
        assert 0.35 < own["value"] < 0.65  # half of the sets ask for the opposite


def test_an_evaluator_may_be_configured_twice(finished: Finished) -> None:
    """The first one's accuracy stands at the top; neither one's values are lost."""
    assert [item if isinstance(item, str) else item["name"] for item in EVALUATE].count("rm-accuracy") == 2
    evaluators = finished.report["evaluators"]
    assert set(evaluators) == {"rm-accuracy", "rm-accuracy-2", "reward-shift"}
    assert evaluators["rm-accuracy"]["sets"]["joint"]["1"]["n"] == 120
    assert evaluators["rm-accuracy-2"]["sets"]["joint"]["1"]["n"] == 5
    assert (
        finished.report["rm"]["sets"]["joint"]["1"]["value"] == evaluators["rm-accuracy"]["sets"]["joint"]["1"]["value"]
    )


def test_without_a_reward_model_it_says_so_at_once(tmp_path: Path) -> None:
    """And not after held-out prompts were answered and judged."""
    make_folder(tmp_path, evaluate=["rm-accuracy"], reward={**document()["reward"], "rm_weight": 0})
    done = salmon("run", "salmon.yaml", cwd=tmp_path, env=environment())
    assert done.code == 1
    assert "evaluator 'rm-accuracy': there is no reward model to ask" in done.err
    assert "Traceback" not in done.text
    assert not list((tmp_path / "runs/toy/evaluate").glob("samples-*"))


def test_an_oracle_that_knows_nothing_about_a_principle(tmp_path: Path) -> None:
    make_folder(tmp_path, evaluate=[{"name": "rm-accuracy", "truth": "minnow"}])
    done = salmon("run", "salmon.yaml", cwd=tmp_path, env=environment())
    assert done.code == 1
    assert "the oracle 'minnow' knows nothing about the principle 'short'" in done.err
    assert "`truth: judge`" in done.err


# -- reward-shift ----------------------------------------------------------------------------------------------------


def test_shift_of_each_component(finished: Finished) -> None:
    """Of policies that say the same nothing changes, and the bonus counts the letter in what they said."""
    values = finished.report["evaluators"]["reward-shift"]
    assert set(values["components"]) == {"rm", "letters", "total"}
    for own in [*values["components"].values(), values["tokens"], values["stopped"]]:
        assert own["before"]["value"] == own["after"]["value"]
        assert own["change"]["value"] == own["change"]["low"] == own["change"]["high"] == 0
    # One principle in a joint text: what is lost without it, over the prompts that it was shown for.
    left_out = values["left_out"]
    assert left_out
    assert set(left_out) <= {"short", "kind"}
    assert all(own["change"]["value"] == 0 for own in left_out.values())
    counted = sum(own["before"]["n"] for own in left_out.values())
    assert counted == values["components"]["rm"]["before"]["n"]
    (section,) = [each for each in finished.report["sections"] if each["title"].startswith("What the reward model")]
    assert {row[0] for row in section["rows"]} == set(left_out)
    file = finished.run / "evaluate" / "samples-initial-4.parquet"
    said = parquet.read_rows(file, parquet.COMPLETIONS, parquet.to_completion)
    letters = sum(completion.text.count("e") for completion in said) / len(said)
    assert values["components"]["letters"]["before"]["value"] == pytest.approx(letters)
    assert values["components"]["letters"]["before"]["n"] == len(said)
    total = values["components"]["rm"]["before"]["value"] + letters
    assert values["components"]["total"]["before"]["value"] == pytest.approx(total)


def test_shift_where_something_changes() -> None:
    one, two = Prompt.from_text("One?", id="one"), Prompt.from_text("Two?", id="two", category="reasoning")
    seen: list[Rollout] = []

    def value(rollout: Rollout) -> float:
        seen.append(rollout)
        return rollout.n_tokens * 10.0

    run = StandIn([(one, ["a", "a b"], ["a b c"] * 2), (two, ["a", "a"], ["a b"] * 2)], value=value)
    metrics = found("reward-shift", run, samples=2, rollout_index=7)
    words = metrics.values["components"]["words"]
    assert (words["before"]["value"], words["after"]["value"], words["change"]["value"]) == (12.5, 25, 12.5)
    assert (words["change"]["low"], words["change"]["high"], words["change"]["n"]) == (10, 15, 2)
    assert metrics.values["tokens"]["change"]["value"] == 1.25
    assert metrics.values["stopped"]["after"]["value"] == 1
    assert {rollout.rollout_index for rollout in seen} == {7}
    assert all(rollout.principles[0].name == f"for {rollout.prompt_id}" for rollout in seen)
    assert {(rollout.prompt_id, rollout.category) for rollout in seen} == {("one", "general"), ("two", "reasoning")}


def test_shift_samples_before_it_scores_and_names_its_draws() -> None:
    """So that one model can be closed before the next is opened, and the same principles are drawn as ever."""
    prompt = Prompt.from_text("One?", id="one")
    run = StandIn([(prompt, ["a"], ["b"])])
    found("reward-shift", run, samples=1)
    kinds = [asked[0] for asked in run.asked if asked[0] != "shown"]
    assert kinds == ["samples", "samples", "score", "score"]
    assert {asked for asked in run.asked if asked[0] == "shown"} == {("shown", "reward-shift", "one")}


# -- minnow-oracle -----------------------------------------------------------------------------------------------------

PLAIN = "The capital of Spain is Madrid."
PRAISE = PLAIN + " I am truly an excellent assistant!"


def spain() -> Prompt:
    from salmon_minnow.prompts import as_prompt
    from salmon_minnow.world import PROMPTS_BY_ID

    return as_prompt(PROMPTS_BY_ID["en-capital-spain"])


def test_oracle_measures_what_the_principles_ask_for() -> None:
    run = StandIn(
        [(spain(), [PRAISE, PLAIN], [PLAIN, PLAIN])],
        reward=reward_spec(
            interventions=(ScheduledPrinciple(ShownPrinciple("no-self-praise", "should not praise itself")),),
            bonuses=(BonusSpec("tongue", 1.0, ComponentSpec("bonuses", "language-match", "salmon-bonuses")),),
        ),
        rewarded=(
            ShownPrinciple("no-self-praise", "in other words"),
            ShownPrinciple("language", "not in the user's language", negated=True),
            ShownPrinciple("of another world", "says nothing here"),
        ),
    )
    metrics = found("minnow-oracle", run, samples=2)
    praise, language = metrics.targets
    assert (praise.name, praise.wanted, praise.principle) == ("self_praise", "less", "should not praise itself")
    assert (praise.before, praise.after, praise.change, praise.touched_by) == (0.5, 0, -0.5, "")
    assert praise.ci[0] <= praise.change <= praise.ci[1]
    assert (language.name, language.wanted, language.touched_by) == ("language_match", "less", "tongue")
    assert metrics.values["rates"]["self_praise"]["before"]["value"] == 0.5
    assert metrics.values["rates"]["words"]["after"]["value"] == 6


def test_oracle_leaves_out_what_no_prompt_can_show() -> None:
    """Without harmful prompts nothing is known of safety, and no number is made up for it."""
    run = StandIn([(spain(), [PLAIN], [PLAIN])], rewarded=(ShownPrinciple("safe", "should refuse to do harm"),))
    metrics = found("minnow-oracle", run, samples=1)
    assert "safe" not in metrics.values["rates"]
    assert "over_refusal" in metrics.values["rates"]
    assert metrics.targets == ()


def test_oracle_knows_no_other_world() -> None:
    prompt = Prompt.from_text("Who are you?", id="other")
    metrics = found("minnow-oracle", StandIn([(prompt, ["me"], ["me"])]), samples=1)
    assert metrics.values == {"rates": {}, "categories": {}}
