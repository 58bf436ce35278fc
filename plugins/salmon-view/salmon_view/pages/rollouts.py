"""All rollouts of a run's training; one of them with everything that is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from salmon_core.kit.markup import Html, Node, markup, tag
from salmon_core.seeing.rollout_index import PART, SORTS, Page, Query, RolloutIndex
from salmon_view.parts import empty, figure, number, table
from salmon_view.text import LONG, block, line

SIZE = 50
_SORTS = {
    "reward": "reward",
    "change": "change for its prompt",
    "n_tokens": "length",
    "kl": "KL",
    "rollout_index": "batch",
}
#: views worth a click: (title, what they ask for)
_PRESETS = (
    ("Most rewarded", {"sort": "reward"}),
    ("Least rewarded", {"sort": "reward", "up": "1"}),
    ("Biggest change", {"sort": "change"}),
    ("Flagged", {"flagged": "1", "sort": "reward"}),
    ("Latest", {"sort": "rollout_index"}),
)
_KEYS = ("sort", "up", "q", "category", "principle", "flagged", "low", "high", "batch", "prompt")


def query_of(given: Mapping[str, str]) -> Query:
    """From a page's address; what cannot be read counts as not given."""
    return Query(
        sort=given.get("sort") or "reward",
        descending=not given.get("up"),
        search=given.get("q", "")[:1000],
        category=given.get("category", ""),
        principle=given.get("principle", ""),
        flagged=bool(given.get("flagged")),
        low=_float(given.get("low")),
        high=_float(given.get("high")),
        batch=_int(given.get("batch")),
        prompt_id=given.get("prompt", ""),
        start=max(0, _int(given.get("start")) or 0),
        size=SIZE,
    )


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None


def _int(text: str | None) -> int | None:
    try:
        value = int(text or "")
    except ValueError:
        return None
    return value if abs(value) < 2**62 else None


def rollouts_page(home: str, given: Mapping[str, str], index: RolloutIndex | None) -> list[Node]:
    """Filters, histogram and rows.

    Args:
        index: None while it is still read: the page's script then asks for the rows.
    """
    if index is not None and not index.table.num_rows:
        wrong = [tag("p", each, class_="error") for each in index.wrong]
        what = "No rollouts were written down (yet): train.options.log_rollouts_every says which are."
        return [tag("h1", "Rollouts"), empty(what), *wrong]
    asked = {key: given.get(key, "") for key in _KEYS}
    rows: Node = tag("p", "Reading the rollouts…", class_="empty", data_load=True)
    if index is not None:
        rows = rows_part(home, given, index)
    return [
        tag("h1", "Rollouts"),
        _presets(home, given),
        _form(home, asked, index),
        tag("div", rows, id="rows", aria_live="polite"),
    ]


def _presets(home: str, given: Mapping[str, str]) -> Html:
    links = []
    for title, values in _PRESETS:
        own = {"sort": "reward", **given}
        current = all((own.get(key) or "") == values.get(key, "") for key in ("sort", "up", "flagged"))
        href = f"{home}/rollouts?{urlencode(values)}"
        links.append(tag("li", tag("a", title, href=href, aria_current="true" if current else None)))
    return tag("nav", tag("ul", links), class_="presets", aria_label="Views")


def _form(home: str, asked: Mapping[str, str], index: RolloutIndex | None) -> Html:
    sorts = {name: _SORTS[name] for name in SORTS}
    sorts |= {PART + name: name for name in (index.components if index else ())}
    sorts |= {"prompt": "prompt"}
    parts: list[Node] = [
        _field("Search", tag("input", type="search", name="q", value=asked["q"], placeholder="in prompts and answers")),
        _field("Sort by", _select("sort", sorts, asked["sort"] or "reward")),
        _field("Order", _select("up", {"": "highest first", "1": "lowest first"}, asked["up"])),
        _field("Category", _select("category", _any(index.categories if index else ()), asked["category"])),
        _field("Principle", _select("principle", _any(index.principles if index else ()), asked["principle"])),
        _field("Reward from", _number("low", asked["low"])),
        _field("to", _number("high", asked["high"])),
        _field("Batch", _number("batch", asked["batch"], step="1")),
        tag(
            "label",
            tag("input", type="checkbox", name="flagged", value="1", checked=bool(asked["flagged"])),
            " flagged",
            class_="check",
        ),
        tag("input", type="hidden", name="prompt", value=asked["prompt"]) if asked["prompt"] else None,
        tag("button", "Show", type="submit"),
    ]
    return tag("form", *parts, method="get", action=f"{home}/rollouts", class_="filters", id="filters", role="search")


def _any(names: Sequence[str]) -> dict[str, str]:
    return {"": "all", **{name: name for name in names}}


def _field(title: str, control: Html) -> Html:
    return tag("label", tag("span", title), control)


def _select(name: str, values: Mapping[str, str], chosen: str) -> Html:
    options = [tag("option", title, value=value, selected=value == chosen) for value, title in values.items()]
    return tag("select", *options, name=name)


def _number(name: str, value: str, step: str = "any") -> Html:
    return tag("input", type="number", name=name, value=value, step=step)


def rows_part(home: str, given: Mapping[str, str], index: RolloutIndex) -> Html:
    """What changes when the filters do."""
    query = query_of(given)
    page = index.find(query)
    return markup(
        _histogram(page),
        _counted(home, given, query, page),
        rows_table(home, page.rows, index.components, change=True),
        _pager(home, given, query, page),
    )


def _histogram(page: Page) -> Node:
    if len(page.bins) < 2:
        return None
    spec = {
        "kind": "bars",
        "axis": "reward",
        "x": [round((low + high) / 2, 4) for low, high, _ in page.bins],
        "y": [count for *_, count in page.bins],
    }
    low, high = page.bins[0][0], page.bins[-1][1]
    most = max(page.bins, key=lambda each: each[2])
    label = f"Histogram of {page.total} rewards from {low:.2f} to {high:.2f}, most around {(most[0] + most[1]) / 2:.2f}"
    return figure("Rewards of these rollouts", spec, id="histogram", label=label, classes="chart low")


def _counted(home: str, given: Mapping[str, str], query: Query, page: Page) -> Html:
    first = query.start + 1 if page.rows else 0
    last = query.start + len(page.rows)
    of = "" if page.total == page.all else f" of {page.all:,} in all"
    only = None
    if query.prompt_id:
        rest = urlencode({key: value for key, value in given.items() if key not in ("prompt", "start") and value})
        only = tag("span", " · of one prompt; ", tag("a", "all prompts", href=f"{home}/rollouts?{rest}"))
    return tag("p", f"{first:,} to {last:,} of {page.total:,}{of}", only, class_="note", id="counted")


def rows_table(home: str | None, rows: Sequence[Mapping[str, Any]], components: Sequence[str], *, change: bool) -> Html:
    """Rollouts as rows of a table.

    Args:
        home: address of the run's pages; None: rows are not to be opened.
        change: with the change of the reward for the same prompt.
    """
    if not rows:
        return empty("No rollout is like that.")
    parts = list(components) if len(components) > 1 else []
    heads: list[Node] = ["rollout", "reward", *(["change"] if change else []), "prompt", "answer"]
    heads += [*parts, "tokens", "principles"]

    def row(each: Mapping[str, Any]) -> list[Node]:
        name = f"{each['rollout_index']}.{each['place']}"
        link: Node = name
        if home is not None:
            address = f"{home}/rollouts/{each['rollout_index']}/{each['place']}"
            link = tag("a", name, href=address, aria_label=f"rollout {name}")
        flag = tag("span", "⚑", class_="sign bad", role="img", aria_label="flagged") if each.get("flagged") else None
        cells: list[Node] = [markup(link, flag), number(each["reward"])]
        cells += [number(each["change"], signed=True)] if change else []
        cells += [tag("span", line(each["prompt"] or "", 70), dir="auto", class_="quote")]
        cells += [tag("span", line(each["completion"] or ""), dir="auto", class_="quote")]
        cells += [number(each["components"].get(part)) for part in parts]
        return [*cells, each["n_tokens"], each["shown"]]

    text = 2 + change
    numbers = [*range(1, text), *range(text + 2, text + 2 + len(parts) + 1)]
    extra = range(text + 2, len(heads))
    return table(heads, map(row, rows), label="Rollouts", classes="rollouts", numbers=numbers, extra=extra)


def _pager(home: str, given: Mapping[str, str], query: Query, page: Page) -> Node:
    if page.total <= query.size:
        return None

    def link(title: str, start: int, *, there: bool) -> Html:
        values = {key: value for key, value in given.items() if key in _KEYS and value} | {"start": str(start)}
        href = f"{home}/rollouts?{urlencode(values)}" if there else None
        return tag("a", title, href=href, aria_disabled=None if there else "true", data_page=True)

    before, after = max(0, query.start - query.size), query.start + query.size
    return tag(
        "nav",
        link("← previous", before, there=query.start > 0),
        link("next →", after, there=after < page.total),
        class_="pager",
        aria_label="Parts of the list",
    )


def rollout_page(home: str, row: Mapping[str, Any], visits: Sequence[Mapping[str, Any]], *, reads: bool) -> list[Node]:
    """One rollout.

    Args:
        visits: all rollouts of the same prompt.
        reads: whether a reward model read it.
    """
    here = f"{home}/rollouts/{row['rollout_index']}/{row['place']}"
    first = [each for each in visits if each["rollout_index"] < row["rollout_index"]][:1]
    return [
        tag("h1", f"Rollout {row['rollout_index']}.{row['place']}"),
        tag("p", _facts(row), class_="note"),
        tag("section", tag("h2", "Prompt"), block(row["prompt"] or "", whole=f"{here}/prompt"), aria_label="Prompt"),
        _sides(home, here, row, first),
        tag("div", _components(row), _principles(row), class_="columns"),
        _reads(here, row) if reads else None,
        _visits(home, visits),
    ]


def _facts(row: Mapping[str, Any]) -> str:
    parts = [f"generated batch {row['rollout_index']}"]
    parts += [f"after {row['step']} steps"] if row["step"] is not None else []
    parts += [f"category {row['category']}", f"{row['n_tokens']} tokens"]
    parts += [] if row["stopped"] else ["cut off by the length limit"]
    parts += [f"KL {row['kl']:.3f} nats"] if row["kl"] is not None else []
    parts += ["flagged by an alarm"] if row["flagged"] else []
    parts += [f"interventions {', '.join(map(str, row['interventions']))}"] if row["interventions"] else []
    return " · ".join(parts)


def _sides(home: str, here: str, row: Mapping[str, Any], first: Sequence[Mapping[str, Any]]) -> Html:
    def side(title: str, each: Mapping[str, Any], whole: str) -> Html:
        head = tag("h2", title, tag("span", f" reward {each['reward']:.2f}", class_="dim"))
        return tag("section", head, block(each["completion"] or "", whole=whole), aria_label=title)

    if not first:
        return side("Answer", row, f"{here}/answer")
    before = first[0]
    address = f"{home}/rollouts/{before['rollout_index']}/{before['place']}"
    return tag(
        "div",
        side(f"Before, batch {before['rollout_index']}", before, f"{address}/answer"),
        side(f"This one, batch {row['rollout_index']}", row, f"{here}/answer"),
        class_="sides",
    )


def _components(row: Mapping[str, Any]) -> Html:
    rows: list[list[Node]] = [[name, number(value, 3, signed=True)] for name, value in row["components"].items()]
    rows.append([tag("b", "reward"), tag("b", number(row["reward"], 3, signed=True))])
    shown = table(("component", "adds"), rows, label="Components of the reward", numbers=(1,))
    return tag("section", tag("h2", "What it was rewarded by"), shown, aria_label="What it was rewarded by")


def _principles(row: Mapping[str, Any]) -> Html:
    rows: list[list[Node]] = []
    for each in row["principles"] or ():
        name = f"not {each['name']}" if each["negated"] else each["name"]
        marks = " hard rule, broken" if name in (row["vetoed"] or ()) else " hard rule" if each["veto"] else ""
        rows.append(
            [
                markup(name, tag("small", marks) if marks else None),
                tag("span", each["text"], dir="auto"),
                number(row["by_principle"].get(name), 3),
                number(row["left_out"].get(name), 3, signed=True),
            ]
        )
    if not rows:
        return tag("section", tag("h2", "Principles"), empty("It was shown none."), aria_label="Principles")
    heads = ("shown", "text", "score under it alone", "loses without it")
    shown = table(heads, rows, label="Principles that were shown", numbers=(2, 3))
    note = None
    if not row["by_principle"] and not row["left_out"]:
        note = tag("p", "Scores of single principles were not written down for this one.", class_="note")
    return tag("section", tag("h2", "Principles"), shown, note, aria_label="Principles")


def _reads(here: str, row: Mapping[str, Any]) -> Html:
    button = tag(
        "button", "Show what the reward model read", type="button", data_fetch=f"{here}/read", data_into="read"
    )
    said = tag("p", "Opens the run's tokenizers; the first time takes a few seconds.", class_="note")
    return tag(
        "section",
        tag("h2", "What the reward model read"),
        tag("div", button, said, id="read", aria_live="polite"),
        aria_label="What the reward model read",
    )


def _visits(home: str, visits: Sequence[Mapping[str, Any]]) -> Html:
    shown = rows_table(home, list(visits)[:SIZE], (), change=True)
    title = f"All {len(visits)} rollouts of this prompt"
    return tag("section", tag("h2", title), shown, aria_label=title)


def read_part(texts: Sequence[Mapping[str, Any]], note: str = "") -> Html:
    """Texts that a model read, section by section.

    Args:
        texts: `title` and `sections` of `kind` and `text`.
    """
    shown: list[Node] = []
    for each in texts:
        sections = [
            tag(
                "div",
                tag("span", part["kind"], class_="kind"),
                tag("pre", _kept(part["text"]), class_="text", dir="auto"),
                class_=f"section {_KINDS.get(part['kind'], '')}",
            )
            for part in each["sections"]
        ]
        tokens = f" · {each['tokens']} tokens" if each.get("tokens") else ""
        shown.append(tag("div", tag("h3", f"{each['title']}{tokens}"), *sections, class_="read"))
    return markup(*shown, tag("p", note, class_="note") if note else None)


_KINDS = {
    "... template ...": "frame",
    "template": "frame",
    "answer's place": "frame",
    "instruction": "asked",
    "user": "asked",
    "completion": "answered",
    "principle": "ruled",
    "principles": "ruled",
}


def _kept(text: str) -> str:
    return text[:LONG] + ("…" if len(text) > LONG else "")
