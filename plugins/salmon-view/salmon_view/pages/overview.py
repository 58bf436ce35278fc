"""The first page of a run: did it work?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from salmon_core.kit.markup import Html, Node, markup, tag
from salmon_core.seeing.changes import COMPONENTS, PRINCIPLES, TARGETS, TRAINING, grouped
from salmon_core.seeing.curves import TELLING, Curves
from salmon_core.seeing.eventlog import EventLog
from salmon_core.seeing.summary import Summary, rewarded
from salmon_core.stages import STAGES
from salmon_view.parts import changes_table, curve_figure, curves_table, empty, said, sign, steps, table

#: where nobody looked, that there was no alarm says nothing
UNWATCHED = "No monitor watched (monitors: {} in the configuration has some)"
#: components that are drawn beside what every training has
_COMPONENTS = 6


def overview(run: Summary, log: EventLog, curves: Curves, home: str | None = None) -> list[Node]:
    """Verdict, what changed, curves, alarms and interventions, stages.

    Args:
        home: address of the run's pages; None: there are none to link to.
    """
    return [
        verdict(run),
        _expected(run.report),
        _changed(run),
        _curves(curves),
        _marks(curves, home, watched=run.watched),
        _stages(run, log),
        _deviations(run.report),
    ]


def verdict(run: Summary) -> Html:
    """The answer in one block."""
    own = run.verdict
    facts = [run.algorithm, None if run.seed is None else f"seed {run.seed}"]
    shown = rewarded(run.report)
    facts.append(f"rewarded: {', '.join(shown)}" if shown else None)
    return tag(
        "section",
        tag("p", run.name, tag("span", " · ".join(filter(None, facts)), class_="dim"), class_="run"),
        tag("h1", sign(own.word.state), own.word.text),
        tag(
            "dl",
            said("Did it work?", own.worked),
            said("How sure?", own.sure),
            said("What was given up?", own.given_up),
            said("What was exploited?", own.exploited),
        ),
        class_=f"verdict {own.word.state}",
        id="verdict",
        data_live=True,
        aria_label="Verdict",
    )


def _expected(report: Mapping[str, Any]) -> Node:
    expect = report.get("expect") or []
    if not expect:
        return None

    def row(item: Mapping[str, Any]) -> list[Node]:
        bounds = " ".join(f"{key} {item[key]}" for key in ("min", "max") if item.get(key) is not None)
        value = item.get("value")
        shown = "missing" if value is None else f"{value:.4g}"
        holds = item.get("holds")
        return [
            item.get("metric"),
            bounds,
            shown,
            markup(sign("good" if holds else "bad"), "holds" if holds else "fails"),
        ]

    failed = sum(not item.get("holds") for item in expect)
    title = "all hold" if not failed else f"{failed} of {len(expect)} fail"
    rows = table(("expectation", "bound", "value", ""), map(row, expect), label="Expectations", numbers=(2,))
    return tag("details", tag("summary", f"Expectations of the configuration: {title}"), rows, open=bool(failed))


def _changed(run: Summary) -> Html:
    found = grouped(run.changes)
    first: list[Node] = []
    rest: list[Node] = []
    for group, own in found.items():
        shown = changes_table(own, f"{group}, before and after")
        if group in _TITLES:
            first.append(tag("div", tag("h3", _TITLES[group]), shown))
        else:
            rest.append(tag("details", tag("summary", f"{group} ({len(own)})"), shown, id=f"changed-{len(rest)}"))
    if not first and not rest:
        first.append(empty("Nothing was measured before and after yet; evaluators in `evaluate:` do that."))
    return steps("What changed", markup(tag("div", *first, class_="columns"), *rest), id="changes")


_TITLES = {
    TARGETS: "Targets, on held-out prompts",
    COMPONENTS: "Components of the reward, on held-out prompts",
    PRINCIPLES: "Principles: what the reward model's score loses without each",
    TRAINING: "Rewards in training, first and last quarter of the batches",
}


def _curves(curves: Curves) -> Html:
    if not curves.curves:
        body: Node = empty("The policy has not been trained a step yet.")
        return steps("While it trained", body, id="curves")
    telling = curves.named(name for name, _ in TELLING)
    parts = [each for each in curves.components if len(each.x) > 1][:_COMPONENTS]
    shown = [*telling, *parts]
    figures = [curve_figure(each, curves.axis, curves.marks) for each in shown]
    note = tag("p", f"By {curves.axis}; dashed lines are alarms (A) and interventions (I).", class_="note")
    body = markup(tag("div", *figures, class_="charts"), note, curves_table(shown, curves.axis))
    # The section itself stays when the page refreshes: its figures take their new numbers.
    return steps("While it trained", body, id="curves", live=False)


def _marks(curves: Curves, home: str | None, *, watched: bool) -> Html:
    rows: list[list[Node]] = []
    for mark in curves.marks:
        text: Node = mark.text
        if home is not None and mark.kind == "alarm":
            text = markup(mark.text, " ", tag("a", "flagged rollouts", href=f"{home}/rollouts?flagged=1"))
        rows.append([mark.label, mark.kind, f"{mark.at:g}", text])
    body = (
        table(("", "what", "batch", "says"), rows, label="Alarms and interventions", numbers=(2,), classes="marks")
        if rows
        else empty(f"{'No alarm was raised' if watched else UNWATCHED}, and nobody steered.")
    )
    more = tag("p", tag("a", "Propose, preview, apply or undo", href=f"{home}/steer")) if home and rows else None
    return steps("Alarms and interventions", body, id="marks", more=more)


def _stages(run: Summary, log: EventLog) -> Html:
    manifests = run.report.get("stages") or {}
    names = list(log.stages) or sorted(manifests, key=lambda name: STAGES.index(name) if name in STAGES else 99)
    rows: list[list[Node]] = []
    for name in names:
        own = log.stage(name)
        seconds = (manifests.get(name) or {}).get("seconds") or own.seconds
        status = own.status or "waits"
        progress: Node = None
        if own.total and status in ("running", "failed"):
            progress = markup(
                tag("progress", value=own.done, max=own.total, aria_label=f"{name}: {own.what}"),
                f" {own.done} of {own.total} {own.what}",
            )
        rows.append([name, status, "" if seconds is None else f"{seconds:.0f} s", progress or own.error])
    body = table(("stage", "", "took", ""), rows, label="Stages", numbers=(2,))
    failed = tag("p", sign("bad"), log.error, class_="error") if log.error else None
    return tag(
        "details",
        tag("summary", "Stages"),
        body,
        failed,
        open=run.live or bool(log.error),
        id="stages",
        data_live=True,
    )


def _deviations(report: Mapping[str, Any]) -> Node:
    found = report.get("deviations") or []
    if not found:
        return None
    rows = [[each.get("what"), str(each.get("paper")), str(each.get("here"))] for each in found]
    shown = table(("what", "in the paper", "here"), rows, label="Deviations from the paper")
    return tag("details", tag("summary", f"{len(found)} deviations from the paper's numbers"), shown)
