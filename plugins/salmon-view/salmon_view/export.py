"""`salmon report --html`: the pages of a run as one file that needs no network and no server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from salmon_core.data.files import write_text
from salmon_core.data.json import read_json
from salmon_core.errors import SalmonError
from salmon_core.kit.markup import Html, Node, markup, tag
from salmon_core.run.run import CONFIG
from salmon_core.seeing.answers import answered
from salmon_core.seeing.curves import stage_curves
from salmon_core.seeing.rollout_index import Query
from salmon_view.pages.answers import pair
from salmon_view.pages.judge import conflicts_part, verdict_part
from salmon_view.pages.judge import pair as judged_pair
from salmon_view.pages.overview import overview
from salmon_view.pages.reward import card_of, reward_page
from salmon_view.pages.rollouts import rows_table
from salmon_view.pages.steer import record_part
from salmon_view.parts import table
from salmon_view.runs import ViewedRun
from salmon_view.text import block, line

_STATIC = Path(__file__).parent / "static"
#: how many of each stand in the file, and characters of a text that it has
ROLLOUTS, WHOLE, PAIRS, JUDGED, LONG = 25, 5, 12, 8, 4000
_VIEWS: tuple[tuple[str, Query], ...] = (
    ("Most rewarded", Query("reward", size=ROLLOUTS)),
    ("Least rewarded", Query("reward", False, size=ROLLOUTS)),
    ("Biggest change for the same prompt", Query("change", size=ROLLOUTS)),
    ("Flagged by alarms", Query("reward", flagged=True, size=ROLLOUTS)),
)


def write(run: Path, out: Path) -> None:
    """Writes the report of a run, finished or not.

    Raises:
        SalmonError: no run in the folder, or something of it cannot be read.
    """
    if not isinstance(read_json(run / CONFIG), dict):
        raise SalmonError("there is no run in this folder", where=str(run))
    write_text(out, document(run))


def document(run: Path) -> Html:
    """The file's content."""
    viewed = ViewedRun(0, run)
    viewed.rollouts()
    own = viewed.summary
    sections: list[tuple[str, str, list[Node]]] = [
        ("overview", "Overview", overview(own, viewed.log, viewed.curves)),
        ("principles", "Principles", _principles(own.report)),
        ("answers", "Before and after", _answers(run)),
        ("rollouts", "Rollouts", _rollouts(viewed)),
        ("judge", "Judge", _judge(viewed)),
        ("reward", "Reward model", _reward(viewed)),
        ("record", "Steering", [record_part("", run, can=False)]),
    ]
    sections = [each for each in sections if any(node is not None for node in each[2])]
    links = [tag("li", tag("a", title, href=f"#part-{id}")) for id, title, _ in sections]
    header = tag("header", tag("nav", tag("ul", links), aria_label="Parts"))
    parts = [tag("section", *body, id=f"part-{id}", aria_label=title, class_="part") for id, title, body in sections]
    main = tag("main", *parts, id="main")
    return _page(own.name, header, main)


def _page(title: str, *body: Node) -> Html:
    style = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in ("uplot/uPlot.min.css", "view.css"))
    scripts = [(_STATIC / name).read_text(encoding="utf-8") for name in ("uplot/uPlot.iife.min.js", "view.js")]
    licence = (_STATIC / "uplot" / "LICENSE").read_text(encoding="utf-8")
    # Nothing runs and nothing is loaded but what stands here: texts of models could not, even unescaped.
    allowed = " ".join(_hash(each) for each in scripts)
    policy = f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; base-uri 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · salmon report"),
        tag("style", Html(style)),
    )
    # The scripts are ours, and none has an end tag in it.
    ends = [tag("script", Html(each)) for each in scripts]
    foot = tag(
        "details", tag("summary", "Licence of uPlot, which draws the curves"), tag("pre", licence, class_="text")
    )
    return markup(Html("<!doctype html>"), tag("html", head, tag("body", *body, tag("footer", foot), *ends), lang="en"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _principles(report: Mapping[str, Any]) -> list[Node]:
    own = report.get("principles") or {}
    rows: list[list[Node]] = [[name, _quoted(text)] for name, text in (own.get("rewarded") or {}).items()]
    rows += [[f"{name} (intervention)", _quoted(text)] for name, text in (own.get("interventions") or {}).items()]
    if not rows:
        return []
    shown = table(("principle", "text"), rows, label="Principles that were rewarded")
    judged = ", ".join(own.get("judged") or ())
    more = tag("p", f"{own.get('shown')} are shown for each prompt. Judged by: {judged}.", class_="note")
    return [tag("h2", "Principles that were rewarded"), shown, more]


def _quoted(text: object) -> Html:
    return tag("span", line(str(text), 600), dir="auto")


def _answers(run: Path) -> list[Node]:
    found = answered(run)
    if not found:
        return []
    step = max(1, len(found) // PAIRS)
    chosen = found[::step][:PAIRS]
    note = tag("p", f"{len(chosen)} of {len(found)} held-out prompts.", class_="note")
    return [tag("h2", "Before and after"), note, *(pair(each, None, 1) for each in chosen)]


def _rollouts(viewed: ViewedRun) -> list[Node]:
    index = viewed.index
    if not index.table.num_rows:
        return []
    found: list[Node] = [tag("h2", "Rollouts"), tag("p", f"{index.table.num_rows:,} were written down.", class_="note")]
    for title, query in _VIEWS:
        page = index.find(query)
        if not page.rows:
            continue
        whole = [_whole(row) for row in page.rows[:WHOLE]]
        shown = rows_table(None, page.rows, index.components, change=True)
        more = tag("details", tag("summary", f"The first {len(whole)} in full"), *whole)
        found += [tag("h3", title), shown, more]
    return found


def _whole(row: Mapping[str, Any]) -> Html:
    parts = ", ".join(f"{name} {value:+.2f}" for name, value in row["components"].items())
    said = f" reward {row['reward']:.2f} ({parts}); shown {row['shown'] or 'no principle'}"
    return tag(
        "article",
        tag("h4", f"{row['rollout_index']}.{row['place']}", tag("span", said, class_="dim")),
        block(row["prompt"] or "", limit=LONG),
        block(row["completion"] or "", limit=LONG),
        class_="pair",
    )


def _judge(viewed: ViewedRun) -> list[Node]:
    judge = viewed.summary.report.get("judge") or viewed.judge_verdict
    judged = viewed.judged()
    if not judge and not judged.judgments:
        return []
    pairs, total = judged.find(size=JUDGED)
    shown: Sequence[Node] = [judged_pair(each) for each in pairs]
    note = tag("p", f"{len(pairs)} of {total:,} judgments, those of which the judge said most.", class_="note")
    return [tag("h2", "Judge"), verdict_part(judge), conflicts_part(judged), note, *shown]


def _reward(viewed: ViewedRun) -> list[Node]:
    report = viewed.summary.report
    card, training = card_of(viewed.path, report), stage_curves(viewed.log, "train-rm")
    if not (card or report.get("rm") or training.curves):
        return []
    return [tag("h2", "Reward model"), *reward_page(report, card, training)[1:]]
