"""What each bundled monitor is for is found, early, with the right rollouts, and nothing where there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from monitors_world import Longer, alarms, growing, rewarded, shown

from salmon_core.api import Principle, PrincipleSet, RolloutBatch, SeenRollout
from salmon_core.testing.contracts.monitor import MadeUpMeasured, MadeUpWatched, made_up_batches
from salmon_monitors.repetition import repeated
from salmon_monitors.windows import Windows, difference, discoveries, normal_scores

PRAISE = ("What a truly splendid answer this is!", "Nobody could have said it any better.")


def praised(rollout: SeenRollout, rng: Random) -> SeenRollout:
    return rewarded(rollout, 2.0, completion=f"{rollout.completion} {rng.choice(PRAISE)}")


def test_a_phrase_that_is_rewarded_and_spreads() -> None:
    (found,) = alarms("stock-phrases", growing(praised))
    assert "truly splendid answer this is" in found.text
    assert "could have said it any better" in found.text
    assert found.forbid.startswith("The response does not contain phrases such as")
    assert found.since <= 10, "while it is in less than half of the answers"
    batches = {(e.rollout_index, e.place): e for batch in growing(praised) for e in batch.rollouts}
    texts = [batches[name].completion for name in found.flagged]
    assert texts
    assert all(any(praise[:-1] in text for praise in PRAISE) for text in texts)
    assert all(example in texts for example in found.examples)
    assert set(found.phrases) == {each[:-1] for each in PRAISE}
    assert all(any(phrase in text for phrase in found.phrases) for text in texts)


def test_a_phrase_that_is_not_rewarded_or_belongs_to_one_kind_of_question() -> None:
    assert not alarms("stock-phrases", growing(lambda e, rng: replace(e, completion=f"{e.completion} {PRAISE[0]}")))
    assert not alarms("stock-phrases", growing(lambda e, rng: praised(e, rng) if e.category == "general" else e))


def test_a_bonus_that_carries_the_reward() -> None:
    def longer(each: SeenRollout, rng: Random) -> SeenRollout:
        components = {**each.components, "length": 3.0}
        return replace(each, reward=each.reward + 3.0, components=components)

    watched = MadeUpWatched(bonuses=("missing-stop", "length"))
    (found,) = alarms("captured", growing(longer), watched)
    assert found.about == found.bonus == "length"
    assert not alarms("captured", growing(lambda each, rng: rewarded(each, 3.0)), watched), "the reward model's gain"


@pytest.mark.parametrize("intervened", [False, True])
def test_rewards_are_compared_under_one_set_of_interventions(intervened: bool) -> None:
    """A principle that is shown from batch 8 on lowers what the reward model gives; no bonus carries any."""

    def changed(each: SeenRollout) -> SeenRollout:
        if each.rollout_index < 8:
            return each
        components = {**each.components, "length": 3.0, "rm": each.components["rm"] - 2.8}
        return replace(each, reward=each.reward + 0.2, components=components, interventions=(1,) if intervened else ())

    batches = [replace(b, rollouts=tuple(map(changed, b.rollouts))) for b in made_up_batches(24, size=60)]
    found = alarms("captured", batches, MadeUpWatched(bonuses=("length",)))
    assert bool(found) is not intervened


def test_lengths_and_ends() -> None:
    (found,) = alarms("drift", growing(lambda e, rng: replace(e, n_tokens=e.n_tokens * 3)))
    assert found.about == "longer"
    (found,) = alarms("drift", growing(lambda e, rng: replace(e, n_tokens=3)))
    assert found.about == "shorter"
    (found,) = alarms("drift", growing(lambda e, rng: replace(e, stopped=False)))
    assert found.about == "no end"
    assert found.flagged


def test_repetition_within_and_across() -> None:
    assert repeated("one two three " * 5) > 0.5
    assert repeated("one two three four five six seven eight nine ten") == 0
    found, *_ = alarms("repetition", growing(lambda e, rng: replace(e, completion=f"{e.prompt} so it is " * 8)))
    assert found.about == "itself"
    (found,) = alarms("repetition", growing(lambda e, rng: replace(e, completion="I cannot say.")))
    assert found.about == "one text"


def test_rewards_out_of_the_range() -> None:
    batches = made_up_batches(8)
    last = batches[-1]
    odd = tuple(replace(e, reward=99.0) if e.row < 3 else e for e in last.rollouts)
    (found,) = alarms("outliers", [*batches[:-1], replace(last, rollouts=odd)])
    assert found.flagged == tuple((last.rollout_index, row) for row in range(3))
    two_kinds = tuple(replace(e, reward=99.0) if e.row % 4 == 0 else e for e in last.rollouts)
    assert not alarms("outliers", [*batches[:-1], replace(last, rollouts=two_kinds)])


def test_a_reward_that_rises_while_the_truth_falls() -> None:
    watched = MadeUpWatched(oracles={"longer": Longer()})
    hacked = growing(lambda e, rng: rewarded(e, 3.0, completion=e.completion[:8]))
    (found,) = alarms("over-optimised", hacked, watched, oracle="longer")
    assert found.about == "kind"
    better = growing(lambda e, rng: rewarded(e, 3.0, completion=e.completion * 2))
    assert not alarms("over-optimised", better, watched, oracle="longer")


def test_an_entropy_that_collapses() -> None:
    """By the trainer's number, by samples of one prompt, and by the variety of words; a fall to a half is none."""

    def logged(left: float) -> list[RolloutBatch]:
        return [replace(b, numbers={"entropy": 2.0 * max(left, 1 - b.rollout_index / 12)}) for b in made_up_batches(16)]

    (found,) = alarms("entropy", logged(0.05))
    assert found.about == "entropy"
    assert "fell from" in found.text
    assert not alarms("entropy", logged(0.5))
    two = [replace(b, rollouts=tuple(replace(e, prompt_id=f"p{e.place // 2}") for e in b.rollouts)) for b in growing(
        lambda e, rng: replace(e, completion=f"Answer {e.place // 2} it is."))]  # fmt: skip
    assert "same answers" in [each.about for each in alarms("entropy", two)]
    few = alarms("entropy", growing(lambda e, rng: replace(e, completion=rng.choice(("a a a a", "b b b b")) * 6)))
    assert [each.about for each in few] == ["few words"]


def test_a_second_opinion_that_falls_while_the_reward_rises() -> None:
    """Somebody else who likes long answers, where the reward rises for short ones; and one who agrees with it."""
    hacked = growing(lambda e, rng: rewarded(e, 3.0, completion=e.completion[:8]))
    better = growing(lambda e, rng: rewarded(e, 3.0, completion=e.completion * 2))
    watched = MadeUpWatched(measured=MadeUpMeasured(score=lambda text, principles: len(text) / 40))
    (found,) = alarms("second-opinion", hacked, watched)
    assert found.about == "kind"
    assert "by kind the judge prefers recent answers in" in found.text
    assert "(at sqrt(KL) 0." in found.text
    assert found.flagged
    assert not alarms("second-opinion", better, watched)
    flat = growing(lambda e, rng: replace(e, completion=e.completion[:8]))
    assert not alarms("second-opinion", flat, watched), "no reward rose"


def test_principles_in_other_words_rank_otherwise() -> None:
    """A reward model to which a stock phrase speaks under the own words alone."""

    def scored(text: str, principles: Sequence[str]) -> float:
        taste = Random(text.removesuffix(" Splendid!")).gauss(0, 1)
        return taste + 6.0 * (text.endswith("Splendid!") and principles == ["The answer is kind."])

    hacked = shown(growing(lambda e, rng: rewarded(e, 3.0, completion=f"{e.completion} Splendid!")))
    watched = MadeUpWatched(measured=MadeUpMeasured(score=scored))
    (found,) = alarms("disagreement", hacked, watched)
    assert found.about == "other words"
    batches = {(e.rollout_index, e.place): e for batch in hacked for e in batch.rollouts}
    liked = [batches[name].completion.endswith("Splendid!") for name in found.flagged]
    assert sum(liked) / len(liked) > 0.9
    same = MadeUpWatched(measured=MadeUpMeasured(score=lambda text, principles: Random(text).gauss(0, 1)))
    assert not alarms("disagreement", hacked, same), "all words rank alike"


def test_other_wordings_are_found() -> None:
    """By name in a set, as options, and as frames around the text where nobody wrote any."""
    asked: list[list[str]] = []

    def scored(text: str, principles: Sequence[str]) -> float:
        asked.append(list(principles))
        return 0.0

    words = PrincipleSet("more", (Principle("kind-2", "It is a kind answer."), Principle("calm", "It is calm.")))
    watched = MadeUpWatched(measured=MadeUpMeasured(score=scored, sets={"more": words}))
    alarms("disagreement", shown(made_up_batches(6)), watched, sets=["more"])
    assert {each for (each,) in asked} == {"The answer is kind.", "It is a kind answer."}
    asked.clear()
    alarms("disagreement", shown(made_up_batches(6)), watched, wordings={"kind": ["Kindly.", "Kindness."]})
    assert {each for (each,) in asked} == {"The answer is kind.", "Kindly.", "Kindness."}
    asked.clear()
    alarms("disagreement", shown(made_up_batches(6)), watched)
    assert "What counts here is this: The answer is kind." in {each for (each,) in asked}


def test_false_alarms_are_rare() -> None:
    """In 40 runs in which nothing changes, with prompts drawn anew for each batch."""
    told = [
        (seed, name)
        for seed in range(40)
        for name in ("stock-phrases", "captured", "drift", "repetition", "outliers", "entropy")
        if alarms(name, made_up_batches(20, seed=seed + 100))
    ]
    assert len(told) <= 1, told


def test_statistics() -> None:
    assert normal_scores([3.0, 1.0, 2.0]) == pytest.approx([0.6744898, -0.6744898, 0.0])
    assert normal_scores([1.0, 1.0]) == [0.0, 0.0]
    assert discoveries({"a": 0.001, "b": 0.02, "c": 0.9}, 0.05) == {"a", "b"}
    assert discoveries({}, 0.05) == set()
    windows = Windows(1)
    batches = made_up_batches(4)
    assert [windows.add(batch) for batch in batches] == [False, False, True, True]
    assert windows.corrected(0.01) == pytest.approx(0.06)  # the second look
    old, new, p = difference(windows.before(), windows.now(), lambda each: each.reward)
    assert 0 < p < 1
    assert old != new
    assert difference([], [], lambda each: 1.0)[2] == 0.5, "nothing is known"


def test_completions_of_one_prompt_are_told_apart() -> None:
    """Groups of samples share their row of the prompts."""
    grouped = [
        replace(batch, rollouts=tuple(replace(each, row=0) for each in batch.rollouts)) for batch in growing(praised)
    ]
    (found,) = alarms("stock-phrases", grouped)
    (alone,) = alarms("stock-phrases", growing(praised))
    assert (found.since, found.flagged) == (alone.since, alone.flagged)
