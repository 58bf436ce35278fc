"""Principles that oppose each other."""

from __future__ import annotations

from statistics import fmean

from evidence.figure import Line, matrix, panels
from evidence.question import BASE, RATES, Arm, Question
from evidence.questions.ablations import JUDGED
from evidence.results import Read, Results, at, rate
from evidence.table import arms_table

#: share of the weight that `vivid` has, against its opposite
SHARES = {0.0: (0, 1), 0.2: (1, 4), 0.5: (1, 1), 0.8: (4, 1), 1.0: (1, 0)}


def _set(vivid: int, plain: int) -> str:
    if not vivid or not plain:
        return f"reward.principles={{name: opposites.yaml, only: [{'vivid' if vivid else 'plain'}]}}"
    return f"reward.principles={{name: opposites.yaml, weights: {{vivid: {vivid}, plain: {plain}}}}}"


ENDS = {
    share: Arm(f"{'vivid' if share else 'its opposite'} alone", (_set(*SHARES[share]), "reward.show=1", *RATES))
    for share in (0.0, 1.0)
}
JOINT = Arm("both in one text", (_set(1, 1), "reward.show=2", *RATES))
MEAN = {
    share: Arm(f"a text each, weights {v}:{p}", (_set(v, p), "reward.show=2", "reward.combine=mean", *RATES))
    for share, (v, p) in SHARES.items()
    if 0 < share < 1
}
DRAWN = {
    share: Arm(f"one drawn, weights {v}:{p}", (_set(v, p), "reward.show=1", *RATES))
    for share, (v, p) in SHARES.items()
    if 0 < share < 1
}


def _opposed(name: str, order: str) -> Read:
    return at("evaluators", "evidence-texts", "opposed", name, order)


def _write(results: Results) -> list[str]:
    arms = [ENDS[0.0], *MEAN.values(), *DRAWN.values(), JOINT, ENDS[1.0]]
    columns: dict[str, Read] = {
        "vivid before": rate("vivid", "before"),
        "vivid after": rate("vivid"),
        "change": rate("vivid", "change"),
        "helpful after": rate("helpful"),
        "parsable after": rate("parsable"),
    }
    lines = ["What the policy does, rewarded by `vivid` and its opposite:", "", *arms_table(results, arms, columns)]
    lines += _said(results)
    series = []
    for label, by_share in (("a text each", MEAN), ("one drawn", DRAWN), ("both in one text", {0.5: JOINT})):
        own = by_share if label == "both in one text" else {**ENDS, **by_share}
        points = [(share, found) for share, arm in own.items() if (found := results.interval(arm, rate("vivid")))]
        series.append(Line(label, points))
    if panels(results.figures / "conflicts.svg", {"vivid after RL": series}, x="share of the weight for vivid"):
        lines += [f"![By weight]({results.link}/conflicts.svg)", ""]
    lines += [
        "What the reward model prefers, a principle and its opposite in one text (share that follows the principle):",
        "",
    ]
    by_name = [(name, _opposed(name, "itself first"), _opposed(name, "opposite first")) for name in JUDGED]
    rows = [
        f"| {name} | {first.text()} | {last.text()} |"
        for name, a, b in by_name
        if (first := results.interval(BASE, a)) and (last := results.interval(BASE, b))
    ]
    lines += ["| principle | said first | said last |", "|---|---:|---:|", *rows, ""]
    return lines + _rivals(results)


def _rivals(results: Results) -> list[str]:
    wins: dict[tuple[str, str], float] = {}
    for name in JUDGED:
        for other in JUDGED:
            values = results.base(at("evaluators", "evidence-texts", "rivals", name, other))
            if values:
                wins[name, other] = fmean(values.values())
    title = "Both in one text, and they disagree:\nhow often the row's principle wins"
    if not matrix(results.figures / "rivals.svg", JUDGED, wins, title=title):
        return []
    by_name = {name: [share for (row, _), share in wins.items() if row == name] for name in JUDGED}
    means = {name: fmean(shares) for name, shares in by_name.items() if shares}
    told = ", ".join(f"{name} {means[name]:.2f}" for name in sorted(means, key=lambda name: -means[name]))
    return [
        f"![Which of two principles wins]({results.link}/rivals.svg)",
        "",
        f"Wins against the other principles, on average: {told}.",
        "",
    ]


def _said(results: Results) -> list[str]:
    tie = {"a text each": MEAN[0.5], "one drawn": DRAWN[0.5], "both in one text": JOINT}
    told = []
    for label, arm in tie.items():
        change = results.interval(arm, rate("vivid", "change"))
        if change is not None and change.apart is not None:
            way = (
                ("towards vivid" if change.mean > 0 else "away from vivid")
                if change.apart
                else "neither way for certain"
            )
            told.append(f"{label}: {way} ({change.text(signed=True)})")
    return [f"With equal weights, the policy goes: {'; '.join(told)}.", ""] if told else []


QUESTION = Question(
    "conflicts",
    "What if principles oppose each other?",
    """
The policy is rewarded by `vivid` and by its opposite at once, on the base's reward model: both in one text, where a
weight has no part; in a text each, scores averaged by weight; or one of them drawn by weight for each rollout. Of
the reward model itself: what it prefers where a text shows a principle with its opposite, and where it shows two
different principles that ask for different answers.
""",
    (*ENDS.values(), *MEAN.values(), *DRAWN.values(), JOINT),
    _write,
)
