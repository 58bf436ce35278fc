"""Steering: alarms and what would forbid them, the record, and a change previewed before it is applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from salmon_core.data.interventions import RECORD, STAGE, Intervention, last_begun, read_record
from salmon_core.errors import SalmonError
from salmon_core.kit.markup import Html, Node, exact, markup, tag
from salmon_core.run.alarms import tried_words
from salmon_core.run.folder import StageFolder
from salmon_core.run.steering import state_of
from salmon_core.seeing.eventlog import StageLog
from salmon_core.seeing.summary import Summary
from salmon_view.pages.overview import UNWATCHED
from salmon_view.parts import empty, interval, sign, steps, table
from salmon_view.text import block, line


def steer_page(home: str, run: Summary, log: StageLog, given: Mapping[str, str]) -> list[Node]:
    """All of it.

    Args:
        log: of the policy's training.
    """
    status = StageFolder(run.path, STAGE).manifest.get("status")
    can = status == "started" and run.algorithm not in ("", "none", "dpo")
    why = None
    if not can:
        said = "The training of its policy is over" if status == "finished" else "It does not train its policy yet"
        why = tag("p", sign("none"), f"{said}, so there is nothing to steer.", class_="empty")
    return [
        tag("h1", "Steer"),
        why,
        record_part(home, run.path, can=can),
        _change(home, run, given) if can else None,
        _alarms(home, log, watched=run.watched),
    ]


def record_part(home: str, run: Path, *, can: bool) -> Html:
    """What stands on the record, with what became of it."""
    last = last_begun(run)
    over = StageFolder(run, STAGE).manifest.get("status") == "finished"
    begun = tag("p", f"Generated batches begun: {last + 1}.", class_="note")
    try:
        entries = read_record(run / RECORD)
    except SalmonError as error:
        return steps("Record", markup(begun, tag("p", str(error), class_="error")), id="record")
    if not entries:
        return steps("Record", markup(begun, empty("Nobody has steered this run.")), id="record")

    def row(entry: Intervention) -> list[Node]:
        state = state_of(entry, entries, last, over=over)
        undo = None
        if can and entry.what != "undo" and state in ("waits", "in force"):
            undo = tag(
                "button",
                "Undo",
                type="button",
                data_undo=entry.id,
                data_steer=f"{home}/steer",
                aria_label=f"undo {entry.id}",
            )
        text = tag("span", line(entry.words, 400), dir="auto")
        why = tag("small", f" {line(entry.reason)}", dir="auto") if entry.reason else None
        return [entry.id, f"from {entry.from_rollout}", state, markup(text, why), entry.who, entry.time, undo]

    heads = ("", "batch", "state", "what", "who", "when", tag("span", "undo", class_="unseen"))
    return steps("Record", markup(begun, table(heads, map(row, entries), label="Record")), id="record")


_WHAT = {
    "add": "show a principle in these words",
    "principle": "show a principle of a set",
    "weight": "weigh a principle",
    "bonus": "weigh a bonus",
}


def _change(home: str, run: Summary, given: Mapping[str, str]) -> Html:
    rewarded = list((run.report.get("principles") or {}).get("rewarded") or ())
    options = [tag("option", title, value=value, selected=value == given.get("what")) for value, title in _WHAT.items()]
    form = tag(
        "form",
        tag("label", tag("span", "What"), tag("select", *options, name="what")),
        tag(
            "label",
            tag("span", "Words of the principle"),
            tag("textarea", exact(given.get("text", "")), name="text", rows="2"),
        ),
        tag("label", tag("span", "Name"), tag("input", name="name", value=given.get("name", ""), list="names")),
        tag("datalist", *(tag("option", value=name) for name in rewarded), id="names"),
        tag("label", tag("span", "Set"), tag("input", name="set", value=given.get("set", ""))),
        tag("label", tag("span", "Weight"), tag("input", name="value", type="number", step="any")),
        tag("label", tag("input", type="checkbox", name="negate", value="1"), " negated", class_="check"),
        tag("label", tag("span", "From batch"), tag("input", name="from_rollout", type="number", min="0")),
        tag("label", tag("span", "Until before"), tag("input", name="until_rollout", type="number", min="1")),
        tag("label", tag("span", "Why"), tag("input", name="reason", value=given.get("reason", ""))),
        tag("button", "Preview", type="submit"),
        class_="filters",
        id="change",
        data_steer=f"{home}/steer",
    )
    shown = tag("div", id="preview", aria_live="polite")
    note = (
        "It counts from the next generated batch on, unless you say from which. Nothing is applied before you confirm."
    )
    return steps("Change the reward", markup(form, shown, tag("p", note, class_="note")), id="changing", live=False)


def preview_part(found: Mapping[str, Any]) -> Html:
    """What a change would do, and the button that does it."""
    entry = found["entry"]
    end = "" if entry["until_rollout"] is None else f", until before {entry['until_rollout']}"
    parts: list[Node] = [
        tag("h3", "This would be intervention ", entry["id"]),
        tag(
            "p",
            tag("b", line(found["words"], 1000), dir="auto"),
            f"; from generated batch {entry['from_rollout']} on{end}",
        ),
    ]
    if found.get("effect"):
        own = found["effect"]["change"]
        drawn = interval(own["low"], own["value"], own["high"], min(own["low"], 0), max(own["high"], 0))
        parts.append(
            tag(
                "p",
                "On the rollouts written last, the reward model's score would change by ",
                tag("b", f"{own['value']:+.2f} [{own['low']:+.2f}, {own['high']:+.2f}]"),
                " ",
                drawn,
                f" ({own['n']} prompts).",
            )
        )
        rows = [
            [f"{change:+.2f}", _quoted(prompt, 90), _quoted(text, 240)]
            for prompt, text, change in found["effect"]["most"]
        ]
        parts.append(table(("change", "prompt", "answer lowered most"), rows, label="Lowered most", numbers=(0,)))
    parts.append(tag("p", "As a command: ", tag("code", line(found["command"], 1000))))
    parts.append(tag("button", "Apply", type="button", class_="main", data_apply=True))
    return tag("div", *parts, class_="preview")


def _quoted(text: str, limit: int) -> Html:
    return tag("span", line(text, limit), dir="auto", class_="quote")


def applied_part(found: Mapping[str, Any]) -> Html:
    """What was done."""
    entry = found["entry"]
    said = f"Intervention {entry['id']} is on the record: {line(found['words'], 400)}"
    return tag("p", sign("good"), f"{said}; from batch {entry['from_rollout']} on.", class_="done", data_done=True)


def _alarms(home: str, log: StageLog, *, watched: bool) -> Html:
    alarms = log.alarms
    if not alarms:
        return steps("Alarms", empty(f"{'No alarm was raised' if watched else UNWATCHED}."), id="alarms")
    shown: list[Node] = []
    for number, each in enumerate(alarms, 1):
        examples = [block(str(text), limit=1000) for text in each.get("examples") or ()]
        button = tag(
            "button",
            "What would forbid it?",
            type="button",
            data_propose=f"{home}/propose?alarm={number}",
            data_into=f"proposals-{number}",
        )
        shown.append(
            tag(
                "article",
                tag(
                    "h3",
                    f"A{number} {each.get('monitor')}{' told again' if each.get('again') else ''} ",
                    tag("span", f"batch {each.get('rollout_index')}", class_="dim"),
                ),
                tag("p", line(str(each.get("text")), 1000), dir="auto"),
                *(
                    tag("p", f"Since then: {line(tried_words(tried), 1000)}", dir="auto")
                    for tried in _tried(log, number)
                ),
                _followed(log, number),
                tag("details", tag("summary", f"{len(examples)} of the answers"), *examples) if examples else None,
                _proposed(log.proposed.get(number)),
                tag("p", tag("a", "all flagged rollouts", href=f"{home}/rollouts?flagged=1&sort=reward")),
                tag(
                    "label",
                    tag("span", "Sets to look in"),
                    tag("input", name="sets", value="interventions"),
                    class_="inline",
                ),
                tag("div", button, id=f"proposals-{number}", aria_live="polite"),
                class_="pair",
            )
        )
    return steps("Alarms", markup(*shown), id="alarms", live=False)


def _tried(log: StageLog, number: int) -> Sequence[Mapping[str, Any]]:
    """Interventions since an alarm was first told."""
    followed = log.followed.get(number) or {}
    return followed.get("tried") or log.alarms[number - 1].get("tried") or ()


def _followed(log: StageLog, number: int) -> Node:
    """What has become of an alarm."""
    followed = log.followed.get(number)
    if followed is None:
        return None
    over = followed.get("state") in ("cured", "gone")
    return tag("p", sign("good" if over else "unclear"), line(str(followed.get("text")), 200))


def _proposed(found: Mapping[str, Any] | None) -> Node:
    """What was proposed while the run went on."""
    if found is None:
        return None
    applied = found.get("applied")
    done = f" It was applied as intervention {applied}." if applied is not None else ""
    said = tag("p", line(str(found.get("text")), 1000), done, dir="auto")
    shown = proposals_part(found) if found.get("proposals") else None
    return tag("details", tag("summary", "Proposed while the run went on"), said, shown)


def proposals_part(found: Mapping[str, Any]) -> Html:
    """Prohibitions, each with what it does to the rollouts that the alarm is about."""
    rows: list[list[Node]] = []
    for each in found["proposals"]:
        bonus = each["what"] == "bonus"
        name = f"{each['source']}/{each['name']}" if each["source"] else "bonus" if bonus else "draft"
        words = f"no bonus {each['name']}" if bonus else each["text"]
        verdict: Node = each["refused"] or "not shown"
        if each["works"]:
            verdict = markup(sign("good"), "yes")
        fill: dict[str, Node] = {"data_what": "add", "data_text": each["text"]}
        if each["source"]:
            fill = {"data_what": "principle", "data_name": each["name"], "data_set": each["source"]}
        elif bonus:
            fill = {"data_what": "bonus", "data_name": each["name"], "data_value": "0"}
        use = tag("button", "Preview", type="button", data_use=True, **fill)  # type: ignore[arg-type]  # texts
        rows.append(
            [
                markup(tag("small", name), " ", tag("span", line(words, 300), dir="auto")),
                _told(each["flagged"]),
                _told(each["others"]),
                _told(each["apart"]),
                verdict,
                use,
            ]
        )
    heads = ("prohibition", "flagged", "others", "apart", "lowers it?", tag("span", "use", class_="unseen"))
    note = "Change of the reward, with 95 % intervals; apart: flagged minus others."
    return markup(table(heads, rows, label="Proposals", numbers=(1, 2, 3)), tag("p", note, class_="note"))


def _told(own: Mapping[str, Any] | None) -> str:
    return "" if own is None else f"{own['value']:+.2f} [{own['low']:+.2f}, {own['high']:+.2f}]"
