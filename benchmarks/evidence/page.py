"""Writes `docs/evidence.md` and its figures from the results folder. Sentences are fixed, or follow from numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evidence.folder import Folder, seeds_of
from evidence.question import BASE, Arm, Question
from evidence.results import Results
from evidence.table import markdown

HEAD = """# Evidence on the embedded world

You get: each question about the method, the command that answers it, and the answer in numbers, written by that
command.

`make prove-all` runs every question for {wanted} seeds and writes this page from what is in its results folder; it
continues where it was ended. One question: `python benchmarks/prove_all.py --only NAME --seeds N`. `make prove` is
the first one alone, with three seeds, and fails where a claim does not hold. No sentence about a result is written
by hand. What was printed before there was this page, over three seeds: [earlier evidence](evidence-earlier.md).

- **World.** A policy of half a million parameters that answers and judges in a tiny language, principles it was
  taught to judge by, and an oracle of plain rules that measures it and is seen by neither the policy nor the reward
  model. All runs are variants of `examples/minnow.yaml`, the **base**. It is one world and one policy: what holds
  here need not hold for a large one.
- **Rates** are shares of answers to held-out prompts, read off by the oracle. **RM accuracy** is the share of pairs
  of such answers of which the reward model prefers the right one.
- **Intervals** are 95 % t intervals over seeds, where there are two at least; a number of one seed has none, and says
  nothing about chance. A seed changes all draws of a run: samples, labels, initialisation, order. Differences are
  paired by seed.
"""


def write(
    questions: Mapping[str, Question],
    folder: Folder,
    page: Path,
    *,
    wanted: int,
    any_code: bool = False,
) -> bool:
    """The page, of whatever is there; whether there was anything, otherwise the page is left as it is.

    Args:
        questions: all, also those without a run.
        page: a Markdown file; figures go into a folder of its name beside it.
        wanted: how many seeds the whole is made with.
        any_code: also runs that `salmon run` would not find finished, because other code or another configuration made
            them; the page says how many.
    """
    known: dict[tuple[str, int], bool] = {}

    def counted(arm: Arm, seed: int) -> bool:
        key = (arm.folder, seed)
        if key not in known:
            known[key] = folder.finished(arm, seed)
        return known[key] or any_code

    parts, rows, runs_there = [], [], 0
    for question in questions.values():
        arms = tuple(dict.fromkeys((BASE, *question.arms)))
        some = seeds_of(folder, question.arms)
        results = Results(folder, tuple(some), page.with_suffix(""), page.stem, counted)
        runs_of = {seed: [arm for arm in arms if results.report(arm, seed) is not None] for seed in some}
        there = sum(arm in question.arms for own in runs_of.values() for arm in own)
        runs_there += there
        complete = [seed for seed, own in runs_of.items() if len(own) == len(arms)]
        seeds = [seed for seed, own in runs_of.items() if any(arm in question.arms for arm in own)]
        anchor = question.title.lower().translate(str.maketrans("", "", "?,.:'`()")).replace(" ", "-")
        runs = f"{there} of {len(question.arms) * wanted}"
        rows.append([f"[{question.title}](#{anchor})", f"`{question.name}`", str(len(complete)), runs])
        parts += [f"## {question.title}", "", question.asks.strip(), "", f"Seeds: {_told(seeds, complete)}.", ""]
        parts += question.write(results) if seeds else ["No runs yet.", ""]
    if not runs_there:
        return False
    table = markdown(["question", "`--only`", "seeds complete", "runs"], rows)
    if any_code and (other := sum(not finished for finished in known.values())):
        table += [
            f"{other} of the {len(known)} runs that count here were made by an earlier state of the code; "
            "`make prove-all` makes them again.",
            "",
        ]
    text = "\n".join([HEAD.format(wanted=wanted), *table, *parts]).rstrip() + "\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    aside = page.with_name(f".{page.name}.new")
    aside.write_text(text, encoding="utf-8")
    aside.replace(page)
    return True


def _told(seeds: list[int], complete: list[int]) -> str:
    if not seeds:
        return "none yet"
    if seeds == complete:
        return f"{len(seeds)}, all arms of each"
    return f"{len(seeds)}, of which {len(complete)} with all arms; the tables say how many each arm has"
