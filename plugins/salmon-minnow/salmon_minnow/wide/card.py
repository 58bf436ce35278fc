"""The model cards of the wide policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: A principle counts as one that the policy can judge from this share of right judgments in both orders.
CAN_JUDGE = 0.8

_FRONT = """\
---
license: apache-2.0
language: [en, de, es]
library_name: transformers
tags: [salmon, toy]
---

"""
_HEAD = """\
# minnow-wide-{size}

A policy of salmon-core's wide embedded world: a Llama of {parameters} parameters. It knows the questions that
[minnow](../model/README.md) knows, says more beside an answer, and judges pairs of answers by 64 principles, some of
them well and others not yet. Policies of other sizes made by the same command are trained on the same texts in the same
order.

It was made with `python -m salmon_minnow.train --wide {size}`: grown out of minnow by parts that change nothing at
first, then trained on texts of its own grammar, on pairwise judgments only. No bias is planted in those. Grammar and
principles are in `salmon_minnow.wide`; the held-out prompts occur in no text it was trained on. Texts have minnow's
format. Weights are stored in 16 bits and loaded in 32.

## Measured

By the rules of `salmon_minnow.wide.oracle`, at temperature 1 on {answers} prompts drawn from each side of the split.
"""
_WAYS = ("as written", "negated", "reworded", "negated, reworded")


def wide_card(size: str, measured: Mapping[str, Any]) -> str:
    """The card with the numbers of `wide.train.measure`."""
    sides = {side: measured[side] for side in ("pretraining", "held-out")}
    counts = {"parameters": f"{measured['parameters']:,}", "answers": measured["answers"]}
    head = _HEAD.format(size=size, **counts)
    parts = [_rates(sides), _summary(sides), [_bias(sides)], _principles(sides["held-out"])]
    return _FRONT + "\n".join([head, *(line for part in parts for line in (*part, ""))])


def _rates(sides: Mapping[str, Any]) -> list[str]:
    lines = [f"| answers | {' | '.join(sides)} |", "|---|---|---|"]
    for name in sides["held-out"]["rates"]:
        cells = [
            f"{side['rates'][name]:.1f}" if name == "words" else _share(side["rates"][name]) for side in sides.values()
        ]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return lines


def _summary(sides: Mapping[str, Any]) -> list[str]:
    lines = [
        "The mean over principles of how often the judge is right in both orders, where the oracle sees a difference:",
        "",
    ]
    lines += [f"| judging | {' | '.join(sides)} |", "|---|---|---|"]
    for group in ("judging its own answers", "judging the grammar's answers"):
        for way in _WAYS:
            cells = [_share(_mean(side[group], way)) for side in sides.values()]
            lines.append(f"| {group.removeprefix('judging ')}, {way} | {' | '.join(cells)} |")
    for count in sides["held-out"]["judging by sets of principles"]:
        cells = [_share(side["judging by sets of principles"][count]) for side in sides.values()]
        lines.append(f"| sets of {count}, half of them negated (the mean of both orders) | {' | '.join(cells)} |")
    return lines


def _bias(sides: Mapping[str, Any]) -> str:
    told = " and ".join(f"{_share(own['bias'])} ({side})" for side, own in sides.items())
    return (
        f"Of equally helpful answers it finds the one that praises itself more helpful: {told}; minnow nearly always."
    )


def _mean(by_principle: Mapping[str, Any], way: str) -> float:
    found = [float(own[way]["both orders right"]) for own in by_principle.values() if own[way]["pairs"]]
    return sum(found) / max(1, len(found))


def judged_well(by_principle: Mapping[str, Any]) -> list[str]:
    """The principles that the policy can judge as they are written."""
    return [name for name, own in by_principle.items() if own["as written"]["both orders right"] >= CAN_JUDGE]


def _principles(side: Mapping[str, Any]) -> list[str]:
    grammar, own = side["judging the grammar's answers"], side["judging its own answers"]
    well = judged_well(grammar)
    weak = [name for name in grammar if name not in well]
    told = f"all but {', '.join(weak)}" if weak else "all"
    lines = [
        f"Of the {len(grammar)} principles it can judge {len(well)} on held-out prompts (right in both orders in "
        f"{CAN_JUDGE:.0%} of the pairs or more): {told}.",
        "",
        "By principle, on held-out prompts: how often its answers follow it, and how often the judge is right in both "
        "orders, of its own answers and of the grammar's. A dagger marks those that it cannot judge.",
        "",
        "| principle | followed | own answers | the grammar's | negated | reworded | pairs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, ways in grammar.items():
        cells = [_share(own[name]["as written"]["both orders right"])]
        cells += [_share(ways[way]["both orders right"]) for way in ("as written", "negated", "reworded")]
        marked = name if name in well else f"{name} †"
        lines.append(
            f"| {marked} | {_share(side['shows'][name])} | {' | '.join(cells)} | {ways['as written']['pairs']} |"
        )
    return lines


def _share(value: float) -> str:
    return f"{value:.2f}"
