"""The playground: a prompt, an answer, principles to move; the reward and its parts as they follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from salmon_core.kit.markup import Html, Node, exact, markup, tag
from salmon_view.parts import empty, number, table
from salmon_view.text import line


def playground_page(home: str, given: Mapping[str, str]) -> list[Node]:
    """The page, which starts at once; the run's models are opened when something is asked of them."""
    return [
        tag("h1", "Playground"),
        tag(
            "form",
            tag(
                "div",
                tag(
                    "label",
                    tag("span", "Prompt"),
                    tag("textarea", exact(given.get("prompt", "")), name="prompt", rows="3", dir="auto"),
                ),
                tag(
                    "label",
                    tag("span", "Answer"),
                    tag("textarea", exact(given.get("answer", "")), name="completion", rows="6", dir="auto"),
                ),
                tag(
                    "p",
                    tag("button", "Let the policy write", type="button", data_write="after"),
                    tag("button", "… as before training", type="button", data_write="before"),
                    tag(
                        "label",
                        tag("span", "Temperature"),
                        tag("input", name="temperature", type="number", min="0", max="2", step="0.1", value="0"),
                        class_="inline",
                    ),
                    class_="buttons",
                ),
            ),
            tag(
                "div",
                tag("h2", "Principles"),
                tag(
                    "div",
                    tag("p", "Opening the run…", class_="empty"),
                    id="sliders",
                    data_fetch_now=f"{home}/try/principles",
                ),
                tag(
                    "label",
                    tag("span", "A new one"),
                    tag("input", name="new", placeholder="The answer …", dir="auto"),
                ),
                tag("p", tag("button", "Add", type="button", id="add")),
            ),
            id="playground",
            class_="sides",
            data_try=f"{home}/try",
        ),
        tag(
            "section",
            tag("h2", "Reward"),
            tag("div", empty("Write an answer."), id="score", aria_live="polite"),
            aria_label="Reward",
        ),
        tag(
            "section",
            tag("h2", "What the reward model reads"),
            tag("div", tag("button", "Show", type="button", id="show-read"), id="read", aria_live="polite"),
            aria_label="What the reward model reads",
        ),
    ]


def principles_part(info: Mapping[str, Any]) -> Html:
    """A slider for each principle."""
    rows = [_slider(each, on=place < info["show"]) for place, each in enumerate(info["principles"])]
    note = f"Combined as {info['combine']}: "
    if info["combine"] == "joint":
        note += (
            "all that are shown stand in one text; weights count in the weighted mean beside it, and 0 leaves one out."
        )
    else:
        note += "each stands in a text of its own, and the score is their weighted mean."
    if not info["reads"]:
        note = "This run's reward asks no model that reads principles."
    return markup(*rows, tag("p", note, class_="note"))


def _slider(each: Mapping[str, Any], *, on: bool) -> Html:
    name = str(each["name"])
    weight = (each.get("weight") or 1.0) if on and each.get("on", True) else 0.0
    negate = None
    if each.get("negated"):
        negate = tag("label", tag("input", type="checkbox", name="negate"), " not", class_="check")
    return tag(
        "fieldset",
        tag("legend", name, " ", tag("small", line(str(each.get("text") or ""), 200), dir="auto", class_="words")),
        tag(
            "label",
            tag("span", f"weight of {name}", class_="unseen"),
            tag("input", type="range", name="weight", min="0", max="4", step="0.25", value=weight),
            tag("output", f"{weight:g}" if weight else "off"),
        ),
        negate,
        class_="slider",
        data_name=name,
        data_text=each.get("text"),
        data_negated=each.get("negated"),
    )


def score_part(found: Mapping[str, Any]) -> Html:
    """The reward and its parts."""
    components: list[list[Node]] = [
        [name, number(found["raw"].get(name), 3, signed=True), number(value, 3, signed=True)]
        for name, value in found["components"].items()
    ]
    by: list[list[Node]] = [
        [each["label"], f"{each['weight']:g}", number(each["score"], 3, signed=True)] for each in found["by"]
    ]
    if found["none"] is not None:
        by.append([tag("i", "none shown"), "", number(found["none"], 3, signed=True)])
    if found["mean"] is not None:
        by.append([tag("b", "weighted mean"), "", tag("b", number(found["mean"], 3, signed=True))])
    facts = f"{found['tokens']} tokens"
    facts += f" · {found['truncated']} tokens cut before the reward model read them" if found["truncated"] else ""
    facts += f" · hard rules broken: {', '.join(found['vetoed'])}" if found["vetoed"] else ""
    parts: list[Node] = [
        tag("p", tag("output", number(found["total"], 3, signed=True), class_="big"), tag("span", facts, class_="dim")),
        tag(
            "div",
            table(("component", "as it is", "weighted"), components, label="Components", numbers=(1, 2)),
            table(("principle alone", "weight", "score"), by, label="Principles alone", numbers=(1, 2)) if by else None,
            class_="columns",
        ),
        tag("p", "Scores compare with those of other answers under the same principles.", class_="note"),
    ]
    return markup(*parts)
