"""What a rater sees: a question, a prompt, two answers. Texts of models are text, whatever they hold."""

from __future__ import annotations

from collections.abc import Sequence

from salmon_core.kit.markup import Html, Node, markup, tag
from salmon_study.order import Step
from salmon_study.task import Turn

#: what a button sends, and what it says
CHOICES = (("1", "Answer 1"), ("0", "Neither"), ("2", "Answer 2"))


def step_page(rater: str, step: Step, done: int, total: int, notice: str = "") -> Html:
    """One thing that is asked."""
    question = step.question
    asked: Node = tag("p", "Which answer is better, all in all?", class_="asked")
    if question.text:
        asked = [tag("p", "Which answer keeps better to this?", class_="asked"), _text("blockquote", question.text)]
    left, right = step.answers
    return _page(
        f"{done + 1} of {total}",
        _header(rater, done, total),
        tag(
            "main",
            tag("p", notice, class_="notice", role="status") if notice else None,
            tag("section", tag("h1", "Question"), asked, class_="question", aria_label="Question"),
            tag("section", tag("h2", "Asked"), _conversation(step.item.messages), aria_label="What was asked"),
            tag("div", _answer(1, left), _answer(2, right), class_="answers"),
            id="main",
            tabindex="-1",
        ),
        _choices(rater, step, can_undo=done > 0),
    )


def done_page(rater: str, total: int, notice: str = "") -> Html:
    """Nothing is left."""
    return _page(
        "Done",
        _header(rater, total, total),
        tag(
            "main",
            tag("p", notice, class_="notice", role="status") if notice else None,
            tag("h1", "That was all. Thank you!"),
            tag("p", f"All {total} ratings are stored; you can close this page."),
            id="main",
            tabindex="-1",
        ),
        tag("footer", _undo(rater), class_="choices"),
    )


def refused_page(text: str) -> Html:
    """Something was not accepted."""
    main = tag("main", tag("h1", "Not stored"), tag("p", text, role="alert"), tag("p", tag("a", "Go on", href="/")))
    return _page("Not stored", main)


def _page(title: str, *body: Node) -> Html:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · study"),
        tag("link", rel="icon", href="data:,"),
        tag("link", rel="stylesheet", href="/static/study.css"),
        tag("script", src="/static/study.js", defer=True),
    )
    return markup(Html("<!doctype html>"), tag("html", head, tag("body", *body), lang="en"))


def _header(rater: str, done: int, total: int) -> Html:
    said = f"{done} of {total} rated"
    return tag(
        "header",
        tag("p", tag("strong", "Blind study"), " · ", rater),
        tag("p", tag("progress", value=done, max=total, aria_label=said), " ", said, class_="progress"),
    )


def _conversation(turns: Sequence[Turn]) -> Node:
    """One turn is shown as it is; of several it is said who speaks."""
    if len(turns) == 1 and turns[0].role == "user":
        return _text("pre", turns[0].content, label="What was asked")
    return [
        [tag("h3", turn.role.capitalize()), _text("pre", turn.content, label=f"Turn {number}")]
        for number, turn in enumerate(turns, 1)
    ]


def _answer(number: int, text: str) -> Html:
    name = f"Answer {number}"
    shown: Node = _text("pre", text, label=name) if text.strip() else tag("p", "(an empty answer)", class_="empty")
    return tag("section", tag("h2", name), shown, class_="answer", aria_label=name)


def _text(element: str, text: str, *, label: str | None = None) -> Html:
    """A text isolated from the direction of what is around it; a long one scrolls, also by keyboard."""
    if label is None:
        return tag(element, text, class_="text", dir="auto")
    return tag(element, text, class_="text", dir="auto", tabindex="0", role="region", aria_label=f"{label}, text")


def _choices(rater: str, step: Step, *, can_undo: bool) -> Html:
    buttons = [
        tag("button", label, " ", tag("kbd", value, aria_hidden="true"), name="choice", value=value, accesskey=value)
        for value, label in CHOICES
    ]
    form = tag(
        "form",
        tag("input", type="hidden", name="rater", value=rater),
        tag("input", type="hidden", name="item", value=step.item.id),
        tag("input", type="hidden", name="question", value=step.question.name),
        tag("div", buttons, class_="buttons", role="group", aria_label="Which is better?"),
        method="post",
        action="/rate",
        id="rate",
    )
    keys = tag("p", "Keys: 1 or ←, 2 or →, 0 for neither, U to undo", class_="keys")
    return tag("footer", form, _undo(rater) if can_undo else None, keys, class_="choices")


def _undo(rater: str) -> Html:
    return tag(
        "form",
        tag("input", type="hidden", name="rater", value=rater),
        tag("button", "Undo the last ", tag("kbd", "U", aria_hidden="true"), class_="undo", accesskey="u"),
        method="post",
        action="/undo",
        id="undo",
    )
