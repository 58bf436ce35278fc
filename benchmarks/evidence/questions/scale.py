"""More and more principles: in the reward model, and in RL."""

from __future__ import annotations

from evidence.figure import Line, panels
from evidence.intervals import Interval
from evidence.question import BASE, BOTH, RATES, Arm, Question, measured, rewarded
from evidence.results import Read, Report, Results, accuracy, alone, at, mean_of, rate, seconds
from evidence.table import arms_table, markdown
from evidence.wide import FEW, WIDE_BOTH, WIDE_RATES, judged, policy, wide_accuracy
from evidence.wide import ORDER as WIDE_ORDER
from evidence.wide import rewarded as wide_rewarded

ORDER = ("vivid", "example", "helpful", "no-self-praise", "language", "steps", "safe", "concise")
_VIVID = rewarded("vivid", 1)


def _judged(count: int) -> tuple[str, ...]:
    if count > len(ORDER):
        return ("judge.principles={name: wordings.yaml}",)
    return (f"judge.principles={{name: minnow, only: [{', '.join(ORDER[:count])}]}}",)


#: number of principles judged and trained on -> the arm, rewarded by `vivid` alone; 6 are the base's
MODELS = {
    count: Arm(f"{count} judged", (*(() if count == 6 else _judged(count)), *_VIVID, *BOTH))
    for count in (1, 2, 4, 6, 8, 16)
}
#: number of principles rewarded, two of them shown -> the arm, on the base's reward model; 4 are the base's own
POLICIES = {
    1: MODELS[6],
    2: Arm("2 rewarded", (*rewarded(", ".join(ORDER[:2]), 2), *RATES)),
    4: BASE,
    6: Arm("6 rewarded", (*rewarded(", ".join(ORDER[:6]), 2), *RATES)),
}
#: the policy of the wide world
SIZE = "1m"
#: number of its 64 principles judged and trained on -> the arm, rewarded by `vivid` alone
WIDE = {
    count: Arm(f"{count} judged", (*policy(SIZE), *judged(count), *wide_rewarded("vivid"), *WIDE_BOTH))
    for count in (1, 2, 4, 8, 16, 32, 64)
}
#: the same reward models, rewarded by the first four
WIDE_POLICIES = {
    count: Arm(f"{count} judged", (*policy(SIZE), *judged(count), *wide_rewarded(*FEW), *measured(WIDE_RATES)))
    for count in (4, 16, 64)
}


def _pairs_judged(report: Report) -> float | None:
    return at("stages", "judge", "metrics", "pairs")(report)


def _calls(count: int) -> Read:
    def read(report: Report) -> float | None:
        pairs = _pairs_judged(report)
        return None if pairs is None else 2 * pairs * count

    return read


def _points(results: Results, arms: dict[int, Arm], read: Read) -> list[tuple[float, Interval]]:
    return [(count, found) for count, arm in arms.items() if (found := results.interval(arm, read)) is not None]


def _judge_calls(results: Results, arms: dict[int, Arm]) -> list[str]:
    calls = [
        f"{count}: {found.mean:.0f}"
        for count, arm in arms.items()
        if (found := results.interval(arm, _calls(count))) is not None
    ]
    return calls and [
        f"Judge calls (pairs times principles times two orders), by number of principles: {', '.join(calls)}.",
        "",
    ]


def _write(results: Results) -> list[str]:
    return [*_write_minnow(results), *_write_wide(results)]


def _write_wide(results: Results) -> list[str]:
    columns: dict[str, Read] = {
        "RM on vivid": wide_accuracy("positive", ("vivid",)),
        "RM, all 64": wide_accuracy("positive"),
        "negated": wide_accuracy("negated"),
        "other wording": mean_of(wide_accuracy("positive", wording=2), wide_accuracy("negated", wording=2)),
        "vivid after RL": rate("vivid"),
        "RM rows": at("stages", "label", "metrics", "rows"),
        "judge, s": seconds("judge"),
        "train-rm, s": seconds("train-rm"),
    }
    lines = ["The same in the wide world, by the first N of its 64 principles:", ""]
    lines += arms_table(results, list(WIDE.values()), columns)
    lines += _trained_on(results)
    lines += _judge_calls(results, WIDE)
    lines += ["RL on these reward models by the first four, one shown for each rollout; changes:", ""]
    lines += arms_table(results, list(WIDE_POLICIES.values()), {name: rate(name, "change") for name in FEW})
    drawn = panels(
        results.figures / "scale-wide.svg",
        {
            "RM accuracy, all 64": [
                Line(name, _points(results, WIDE, columns[read]))
                for name, read in (("positive", "RM, all 64"), ("negated", "negated"), ("reworded", "other wording"))
            ],
            "vivid after RL": [Line("vivid rewarded", _points(results, WIDE, columns["vivid after RL"]))],
            "seconds of judging": [Line("judge", _points(results, WIDE, columns["judge, s"]))],
        },
        x="principles",
        log=True,
    )
    return [*lines, *([f"![In the wide world]({results.link}/scale-wide.svg)", ""] if drawn else [])]


def _trained_on(results: Results) -> list[str]:
    """The mean over the principles that an arm was trained on, and over the others."""
    rows = []
    for count, arm in WIDE.items():
        cells = []
        for names in (WIDE_ORDER[:count], WIDE_ORDER[count:]):
            found = [
                results.interval(arm, wide_accuracy(way, names)) if names else None for way in ("positive", "negated")
            ]
            cells += ["" if each is None else each.text() for each in found]
        if any(cells):
            rows.append([arm.name, *cells])
    head = ["arm", "trained on", "negated", "not trained on", "negated"]
    return markdown(head, rows) if rows else []


def _write_minnow(results: Results) -> list[str]:
    columns: dict[str, Read] = {
        "RM on vivid": alone("vivid", "positive"),
        "RM on not vivid": alone("vivid", "negated"),
        "RM, all 8": mean_of(accuracy("positive", ORDER), accuracy("negated", ORDER)),
        "RM, other wording": mean_of(accuracy("positive", ORDER, 2), accuracy("negated", ORDER, 2)),
        "vivid after RL": rate("vivid"),
        "RM rows": at("stages", "label", "metrics", "rows"),
        "judge, s": seconds("judge"),
        "train-rm, s": seconds("train-rm"),
    }
    lines = ["The reward model, and RL by `vivid` alone:", "", *arms_table(results, list(MODELS.values()), columns)]
    lines += _judge_calls(results, MODELS)
    rewarded_arms = [Arm(f"{count} rewarded", arm.settings) for count, arm in POLICIES.items()]
    policy: dict[str, Read] = {
        name: rate(name, "change") for name in ("vivid", "example", "helpful", "self_praise", "language_match", "steps")
    }
    lines += [
        "RL on the base's reward model by the first N principles, two of them shown for each rollout; changes:",
        "",
    ]
    lines += arms_table(results, rewarded_arms, policy)
    drawn = panels(
        results.figures / "scale.svg",
        {
            "RM accuracy": [
                Line("vivid", _points(results, MODELS, columns["RM on vivid"])),
                Line("not vivid", _points(results, MODELS, columns["RM on not vivid"])),
                Line("all 8, both ways", _points(results, MODELS, columns["RM, all 8"])),
            ],
            "vivid after RL": [
                Line("N judged, vivid rewarded", _points(results, MODELS, rate("vivid"))),
                Line("6 judged, N rewarded", _points(results, POLICIES, rate("vivid"))),
            ],
            "seconds of judging": [Line("judge", _points(results, MODELS, columns["judge, s"]))],
        },
        x="principles",
        log=True,
    )
    return [*lines, *([f"![By number of principles]({results.link}/scale.svg)", ""] if drawn else [])]


QUESTION = Question(
    "scale",
    "How many principles can there be?",
    """
The judge judges by N principles, and the reward model is trained on them, everything else alike: the same pairs,
and as many draws of each pair. N is up to the world's 8; 16 are the same in two wordings each. With their negations
the reward model reads twice as many texts. RM accuracy is of texts that every N is asked about, trained on or not.
Seconds are as measured while other runs used the machine. The wide world has 64 principles, and its policy of
a million parameters judges by the first N of them: there, too, every N has the same pairs and as many draws of each.
""",
    tuple(dict.fromkeys([*MODELS.values(), *POLICIES.values(), *WIDE.values(), *WIDE_POLICIES.values()])),
    _write,
)
