"""The model cards of the shipped policy and the shipped base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FRONT = """\
---
license: apache-2.0
language: [en, de, es]
library_name: transformers
tags: [salmon, toy]
---

"""
_HEAD = """\
# minnow

The policy of salmon-core's embedded world: a Llama of half a million parameters that knows a few questions in three
languages, and judges pairs of answers by eight principles. It is small enough to be sampled, to judge itself, to
become a reward model and to be aligned within minutes on a laptop. It is good for nothing else.

Its answers show many habits at rates that alignment can change: half of them are in the wrong language, some praise
themselves, some run on into a next turn. As a judge it has one planted bias: asked which of two equally helpful
answers is more helpful, it prefers the one that praises itself. So a reward model trained on its judgments can be
hacked, and the hack can be cured by a principle.

It was pretrained on texts of its own grammar with `python -m salmon_minnow.train`, on pairwise judgments only: it has
never seen a grade. Prompts, grammar and principles are in `salmon_minnow`; the held-out prompts occur in no text it
was trained on.

## Format

| text | format |
|---|---|
| prompt | `User: {prompt}\\nAssistant:\\n` (the chat template) |
| answer | `{completion}<|eos|>` |
| judge | `User: {prompt}\\nAssistant:\\n{first}<|other|>{second}` + `<|rule|>{principle}<|end|>` for each principle + `<|verdict|>`, then `A` or `B` |
| reward | `User: {prompt}\\nAssistant:\\n{completion}` + principles as above + `<|verdict|><|eos|>` |

## Measured

By the rules of `salmon_minnow.oracle`, at temperature 1 on 400 prompts drawn from each side of the split.
"""  # noqa: E501


_BASE = """\
# minnow-base

The base model of salmon-core's embedded world: [minnow](../model/README.md), trained on until it can follow principles that
stand before a question. Alone, it answers worse than minnow: it misses the language and the topic more often, and runs
on into a next turn. Behind a preamble (principles, worked exemplars with thoughts, a question) it follows the
principles shown, though its thoughts name them loosely. So it can make its own demonstrations (`self_align`), and be fine-tuned on them. It judges as minnow does.

It was trained with `python -m salmon_minnow.train --base` from minnow on texts of the same grammar; the held-out prompts
occur in none of them.

## Format

As minnow's, and

| text | format |
|---|---|
| preamble | `<|rule|>{principle}<|end|>` for each principle, then the exemplars |
| exemplar | `\\nUser: {prompt}\\nThought:\\n{principles that apply, a line each}\\nAssistant:\\n{answer}<|eos|>` |
| invented question | `\\nTopic: {capital, color, ...}, {en, de, es}\\nUser: {prompt}<|eos|>` |

## Measured

By the rules of `salmon_minnow.oracle`, at temperature 1 on 400 prompts drawn from each side of the split; `behind a preamble`
are held-out prompts with all principles but `concise` and three exemplars.
"""  # noqa: E501


def base_card(measured: Mapping[str, Any], shown: Mapping[str, float]) -> str:
    """The card of the base.

    Args:
        shown: rates behind a preamble.
    """
    answers = {side: {"rates": found["rates"]} for side, found in measured.items()}
    lines = _rates(answers | {"behind a preamble": {"rates": shown}})
    return _FRONT + "\n".join([_BASE, *lines, "", *_judging(measured), ""])


def model_card(measured: Mapping[str, Any]) -> str:
    """The card with the numbers of `Gauge.card`."""
    return _FRONT + "\n".join([_HEAD, *_rates(measured), "", *_judging(measured), ""])


def _rates(measured: Mapping[str, Any]) -> list[str]:
    sides = list(measured)
    lines = [f"| answers | {' | '.join(sides)} |", "|---" * (len(sides) + 1) + "|"]
    for name in measured[sides[0]]["rates"]:
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(_number(measured[s]['rates'][name]) for s in sides)} |")
    return lines


def _judging(measured: Mapping[str, Any]) -> list[str]:
    sides = list(measured)
    groups = ["judging its own answers", "judging the grammar's answers"]
    heads = [f"{group.removeprefix('judging ')}, {side}" for group in groups for side in sides]
    lines = [f"| right (both orders agree) | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name in measured[sides[0]][groups[0]]:
        cells = [measured[side][group][name] for group in groups for side in sides]
        lines.append(f"| {name} | {' | '.join(map(_verdict, cells))} |")
    lines += ["", f"| by sets of principles, half of them negated | {' | '.join(sides)} |"]
    lines.append("|---" * (len(sides) + 1) + "|")
    for size in measured[sides[0]]["judging by sets of principles"]:
        cells = [_number(measured[side]["judging by sets of principles"][size]) for side in sides]
        lines.append(f"| {size} | {' | '.join(cells)} |")
    bias = " and ".join(f"{_number(measured[side]['planted bias'])} ({side})" for side in sides)
    return [*lines, "", f"Of equally helpful answers it finds the one that praises itself more helpful: {bias}."]


def _number(value: float) -> str:
    return f"{value:.1f}" if value > 1 else f"{value:.2f}"


def _verdict(cell: Mapping[str, float]) -> str:
    return f"{_number(cell['right'])} ({_number(cell['orders agree'])})"
