"""Answers to held-out prompts before and after training, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from salmon_core.kit.markup import Html, Node, tag
from salmon_core.records import Completion
from salmon_core.seeing.answers import Answered
from salmon_view.parts import empty
from salmon_view.text import block

SIZE = 10
#: samples of a prompt that are shown at most
_SAMPLES = 4


def answers_page(home: str, found: Sequence[Answered], given: Mapping[str, str]) -> list[Node]:
    """Some of them."""
    title = tag("h1", "Before and after")
    if not found:
        what = "No held-out prompts were answered before and after; evaluators such as reward-shift do that."
        return [title, empty(what)]
    search = given.get("q", "").casefold()
    chosen = [each for each in found if not search or search in _all(each).casefold()]
    try:
        start = max(0, int(given.get("start", "0")))
    except ValueError:
        start = 0
    form = tag(
        "form",
        tag("label", tag("span", "Search"), tag("input", type="search", name="q", value=given.get("q", ""))),
        tag("button", "Show", type="submit"),
        method="get",
        action=f"{home}/answers",
        class_="filters",
        role="search",
    )
    note = tag("p", f"{len(chosen)} of {len(found)} held-out prompts, by the same sampling noise.", class_="note")
    links = []
    for name, at in (("← previous", start - SIZE), ("next →", start + SIZE)):
        if 0 <= at < len(chosen):
            href = f"{home}/answers?{urlencode({'q': given.get('q', ''), 'start': at})}"
            links.append(tag("a", name, href=href))
    pager = tag("nav", *links, class_="pager", aria_label="Parts of the list") if links else None
    return [title, form, note, *(pair(each, home) for each in chosen[start : start + SIZE]), pager]


def pair(each: Answered, home: str | None, samples: int = _SAMPLES) -> Html:
    """One prompt with its answers.

    Args:
        home: address of the run's pages, to go on with it in the playground.
    """
    go = None
    if home is not None and each.after:
        asked = urlencode({"prompt": each.prompt.text[:2000], "answer": each.after[0].text[:2000]})
        go = tag("p", tag("a", "score it in the playground", href=f"{home}/try?{asked}"), class_="note")
    return tag(
        "article",
        tag("h2", each.prompt.id, tag("span", f" {each.prompt.category}", class_="dim")),
        block(each.prompt.text, limit=2000),
        tag(
            "div",
            _side("Before", each.before[:samples]),
            _side("After", each.after[:samples]),
            class_="sides",
        ),
        go,
        class_="pair",
    )


def _side(title: str, answers: Sequence[Completion]) -> Html:
    shown: list[Node] = []
    for each in answers:
        shown.append(block(each.text, limit=4000))
        if not each.stopped:
            shown.append(tag("p", "cut off by the length limit", class_="note"))
    return tag("section", tag("h3", title), *shown, aria_label=title)


def _all(each: Answered) -> str:
    return "\n".join([each.prompt.text, *(own.text for own in (*each.before, *each.after))])
