"""Wrong labels, and a judge that prefers what is shown first."""

from __future__ import annotations

from evidence.figure import Line, panels
from evidence.intervals import Interval
from evidence.question import BASE, BOTH, Arm, Question
from evidence.questions.ablations import JUDGED, ORDERS_MEAN
from evidence.results import Read, Results, accuracy, at, mean_of, rate
from evidence.table import arms_table, differences

FLIPS = {0.0: BASE} | {
    share: Arm(f"{share:.0%} of labels wrong", (f"label.flip={share}", *BOTH)) for share in (0.1, 0.2, 0.3, 0.4, 0.5)
}
#: logits for the completion shown first; the base's judge is the one of 0
LEVELS = {"agree": (0.5, 1.0, 2.0), "mean": (0.5, 1.0, 2.0, 4.0, 8.0)}
BIASED = {
    orders: {0.0: none}
    | {
        level: Arm(
            f"bias {level:g}, orders: {orders}",
            (
                f"judge.judge={{name: leaning, bias: {level}}}",
                f"judge.orders={orders}",
                "judge.on_weak=warn",
                *BOTH,
            ),
        )
        for level in LEVELS[orders]
    }
    for orders, none in (("agree", BASE), ("mean", ORDERS_MEAN))
}

ACCURACY: Read = mean_of(accuracy("positive", JUDGED), accuracy("negated", JUDGED))
COLUMNS: dict[str, Read] = {
    "RM accuracy": ACCURACY,
    "vivid, change": rate("vivid", "change"),
    "example, change": rate("example", "change"),
    "helpful, change": rate("helpful", "change"),
}
CHANGE = mean_of(COLUMNS["vivid, change"], COLUMNS["example, change"])


def _points(results: Results, arms: dict[float, Arm], read: Read) -> list[tuple[float, Interval]]:
    return [(level, found) for level, arm in arms.items() if (found := results.interval(arm, read)) is not None]


def _write(results: Results) -> list[str]:
    flips = list(FLIPS.values())
    lines = ["Labels turned round:", "", *arms_table(results, flips, COLUMNS)]
    lines += differences(results, flips[1:], BASE, COLUMNS)
    rows: dict[str, Read] = {
        "RM rows": at("stages", "label", "metrics", "rows"),
        "shown first wins": at("stages", "verdict", "metrics", "first_shown"),
        "orders agree": at("stages", "verdict", "metrics", "agreement"),
        **COLUMNS,
    }
    biased = [arm for by_level in BIASED.values() for arm in by_level.values()]
    lines += ["A judge that prefers what it is shown first, by so many logits more:", ""]
    lines += arms_table(results, biased, rows)
    lines += differences(results, [arm for arm in biased if arm is not BASE], BASE, COLUMNS)
    none_left = [
        f"{level:g}"
        for level, arm in BIASED["mean"].items()
        if (found := results.interval(arm, rows["orders agree"])) is not None and found.mean == 0
    ]
    if none_left:
        lines += [
            f"At {' and '.join(none_left)} logits the two orders agree on no pair: `orders: agree` leaves nothing to "
            "train on there, and a run of it stops.",
            "",
        ]
    drawn = panels(
        results.figures / "noise.svg",
        {
            "RM accuracy, by wrong labels": [Line("RM accuracy", _points(results, FLIPS, ACCURACY))],
            "vivid and example, mean change": [Line("by wrong labels", _points(results, FLIPS, CHANGE))],
        },
        x="share of labels turned round",
    )
    lines += [f"![By label noise]({results.link}/noise.svg)", ""] if drawn else []
    drawn = panels(
        results.figures / "bias.svg",
        {
            name: [Line(f"orders: {orders}", _points(results, own, read)) for orders, own in BIASED.items()]
            for name, read in (("RM accuracy", ACCURACY), ("vivid and example, mean change", CHANGE))
        },
        x="logits for what is shown first",
    )
    return [*lines, *([f"![By position bias]({results.link}/bias.svg)", ""] if drawn else [])]


QUESTION = Question(
    "noise",
    "How much noise and bias does it survive?",
    """
A share of the labels is turned round (`label.flip`); at one half nothing is left to learn. Then the judge is given
a bias: logits are added for whichever completion is shown first, and pairs whose two orders disagree are dropped
(`orders: agree`, the paper's way) or count by the mean of both, which cancels such a bias. The judge's own bias is
there at 0 as well.
""",
    tuple(dict.fromkeys(arm for arm in (*FLIPS.values(), *BIASED["agree"].values(), *BIASED["mean"].values()))),
    _write,
)
