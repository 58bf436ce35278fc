"""One part of the method changed at a time."""

from __future__ import annotations

from collections.abc import Mapping

from evidence.question import BASE, BOTH, RATES, Arm, Question, rewarded
from evidence.results import Read, Results, accuracy, mean_of, rate
from evidence.table import arms_table, differences

REWARDED = ("helpful", "vivid", "example", "no-self-praise")
JUDGED = ("language", "vivid", "steps", "helpful", "example", "no-self-praise")

WITHOUT = tuple(
    Arm(f"without {name}", (*rewarded(", ".join(each for each in REWARDED if each != name), 2), *RATES))
    for name in REWARDED
)
LENGTH = Arm(
    "length bonus",
    (
        "reward.bonuses=[{name: missing-stop, weight: 0.5}, {name: length, weight: 1.0, max_tokens: 56}]",
        *RATES,
    ),
)
MEAN = Arm("combine: mean", ("reward.combine=mean", *RATES))
NO_NEGATIVES = Arm("no negatives", ("label.negate_probability=0", *BOTH))
LABEL_MEAN = Arm("label: mean", ("label.label=mean", *BOTH))
NO_MARGIN = Arm("normalise: none, no margin", ("label.min_margin=0", *BOTH))
STD = Arm("normalise: std, no margin", ("label.normalise=std", "label.min_margin=0", *BOTH))
VARIANCE = Arm("normalise: variance, no margin", ("label.normalise=variance", "label.min_margin=0", *BOTH))
ORDERS_MEAN = Arm("orders: mean", ("judge.orders=mean", *BOTH))
ARMS = (*WITHOUT, LENGTH, MEAN, NO_NEGATIVES, LABEL_MEAN, NO_MARGIN, STD, VARIANCE, ORDERS_MEAN)

POLICY: Mapping[str, Read] = {
    "vivid": rate("vivid"),
    "example": rate("example"),
    "helpful": rate("helpful"),
    "self-praise": rate("self_praise"),
    "language": rate("language_match"),
    "words": rate("words"),
}
MODEL: Mapping[str, Read] = {
    "RM, positive": accuracy("positive", JUDGED),
    "RM, negated": accuracy("negated", JUDGED),
    "RM, other wording": mean_of(accuracy("positive", JUDGED, 2), accuracy("negated", JUDGED, 2)),
}


def _write(results: Results) -> list[str]:
    trained = tuple(arm for arm in ARMS if arm.settings[-2:] == BOTH)
    lines = ["What the policies do after RL:", "", *arms_table(results, (BASE, *ARMS), POLICY)]
    lines += differences(results, ARMS, BASE, POLICY)
    lines += ["What the reward models know, of the arms that train one of their own:", ""]
    lines += arms_table(results, (BASE, *trained), MODEL)
    return lines + differences(results, trained, BASE, MODEL)


QUESTION = Question(
    "ablations",
    "Which parts matter?",
    """
One part changed at a time. `without NAME` leaves one of the four rewarded principles out, at RL time only; `length
bonus` adds the paper's bonus (scale 5, cap 0.8, of 56 tokens), which the base does not have. `combine: mean` scores
each principle in a text of its own; there is no sum and no maximum: the sum of a fixed number of principles is
their mean times that number. `no negatives` and `label: mean` change what the reward model is trained on. The base
does not normalise scores, and drops rows of margins below 0.5; margins are of normalised scores, so that the three
ways of normalising are compared without one. `orders: mean` takes the mean of a judge's two orders where they
disagree, instead of dropping the pair.
""",
    ARMS,
    _write,
)
