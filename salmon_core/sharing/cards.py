"""Model and data cards: a README.md with the hub's YAML front matter, made of facts; equal facts give equal cards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import salmon_core
from salmon_core.records import FEW
from salmon_core.sharing.document import KnownPrinciple, RewardDocument
from salmon_core.sharing.facts import Described, Results, RowCounts
from salmon_core.sharing.snippet import COMPLETION, PROMPT, sampling_code, scoring_code

_PAPER = "[SALMON](https://arxiv.org/abs/2310.05910)"
_COLUMNS = (
    ("messages", "the conversation that both answer"),
    ("principles", "as shown: name, text, whether it is the negated one"),
    ("chosen, rejected", "the answers"),
    ("margin", "how sure the judgment is"),
    ("decided_by", "the principle, or rule, that decided"),
    ("flipped", "turned round on purpose, as label noise"),
)
_MADE = f"Made by salmon-core {salmon_core.__version__}, which trains as described in {_PAPER}."


def reward_card(
    described: Described,
    document: RewardDocument,
    counts: RowCounts,
    *,
    path: str = ".",
    title: str = "",
    results: Results | None = None,
    adapter: bool = False,
) -> str:
    """Of a reward model.

    Args:
        path: of the model, as its reader names it.
        title: by default the run's name.
        results: where they are known.
        adapter: whether the folder holds an adapter alone.
    """
    front: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["salmon", "reward-model", "rlhf", "principles"],
    }
    body = [
        f"# {title or f'Reward model of {described.run}'}",
        "A reward model that reads principles: it scores an answer to a prompt by the principles that it is shown, so"
        " that one model serves other principles without training. A score is a Bradley-Terry one: it compares only"
        f" with others under the same prompt and principles. {_MADE}",
        _license(described.license),
        "## Trained on",
        f"{counts.rows} preferences between answers to {counts.prompts} prompts; {counts.several} of them show several"
        f" principles at once, {counts.negated} a negated one. They were judged by {described.judge}. It began as"
        f" {_code(described.began)}."
        + (f" First, it was pre-trained on {described.pretrained}." if described.pretrained else ""),
        _table(("decided by", "preferences"), sorted(counts.decided.items())),
        *_accuracy(results or Results()),
        *_sections(results or Results(), "reward"),
        "## Principles",
        "Those that it was trained on; it takes others as well, in words of your own.",
        _listed(document.principles),
        "## Use it",
        "With salmon-core, which makes untrusted texts safe and cuts them to the lengths of training:",
        _fenced(_loading(path, document.principles)),
        "With nothing but transformers. The scores are the same as long as no text holds a marker of the format or is"
        " too long; neither is looked after here:",
        _fenced(scoring_code(document, path, adapter=adapter)),
        f"Template, lengths and principles are in {_code('salmon.json')}.",
    ]
    return _card(front, described, body)


def policy_card(
    described: Described,
    *,
    path: str = ".",
    title: str = "",
    results: Results | None = None,
    chat_template: str | None = None,
) -> str:
    """Of a policy.

    Args:
        path: of the model, as its reader names it.
        title: by default the run's name.
        results: where they are known.
        chat_template: Jinja, where the tokenizer has none.
    """
    front: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["salmon", "rlhf", described.algorithm, "principles"],
    }
    body = [
        f"# {title or f'Policy of {described.run}'}",
        f"A language model trained {_how(described)}. {_MADE}",
        _license(described.license),
        "## Trained by",
        f"It began as {_code(described.began)}. {_rewarded(described)}",
        _table(("principle", "text"), [(f"not {p.name}" if p.negated else p.name, p.text) for p in described.rewarded]),
        *([f"From some point on also: {', '.join(described.interventions)}."] if described.interventions else []),
        *_targets(results or Results()),
        *_sections(results or Results(), "policy"),
        "## Use it",
        _fenced(sampling_code(path, chat_template)),
    ]
    return _card(front, described, body)


def _how(described: Described) -> str:
    if described.on_preferences:
        return f"with {described.algorithm} on preferences by principles"
    return f"with {described.algorithm} against a reward that reads principles"


def _rewarded(described: Described) -> str:
    if described.on_preferences:
        return "No reward model was asked; the pairs were decided by principles, of which these are reported."
    return f"Its reward: {', '.join(map(_code, described.components)) or 'none'}."


def preferences_card(
    described: Described,
    file: str,
    counts: RowCounts,
    principles: Sequence[KnownPrinciple],
    *,
    title: str = "",
    license: str = "",
) -> str:
    """Of a preference data set.

    Args:
        file: its Parquet file, relative to the card.
        title: by default the run's name.
        license: of prompts and answers, where it is known.
    """
    front: dict[str, Any] = {
        "tags": ["salmon", "preferences", "rlhf", "principles"],
        "configs": [{"config_name": "default", "data_files": file}],
    }
    body = [
        f"# {title or f'Preferences of {described.run}'}",
        f"Pairs of answers to a prompt, the better one by the principles shown first. {_MADE}",
        _license(license),
        "## What it holds",
        f"{counts.rows} preferences between answers to {counts.prompts} prompts, judged by {described.judge};"
        f" {counts.several} show several principles at once, {counts.negated} a negated one. The answers are of"
        f" {_code(described.began)}.",
        _table(("decided by", "preferences"), sorted(counts.decided.items())),
        _table(("column", "holds"), _COLUMNS),
        "## Principles",
        _listed(principles),
    ]
    return _card({**({"license": license} if license else {}), **front}, None, body)


def _card(front: Mapping[str, Any], described: Described | None, body: Iterable[str]) -> str:
    head: dict[str, Any] = {}
    if described is not None and described.license:
        head["license"] = described.license
    if described is not None and described.base:
        head["base_model"] = described.base
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in {**head, **front}.items()]
    return "---\n" + "\n".join(lines) + "\n---\n\n" + "\n\n".join(part.rstrip("\n") for part in body if part) + "\n"


def _license(license: str) -> str:
    return "" if license else "Its license is for whoever publishes it to choose: nothing here says one."


def _accuracy(results: Results) -> list[str]:
    if not results.accuracy:
        return ["How often it is right on held-out prompts was not measured when this was written."]
    rows = []
    for name, own in results.accuracy.items():
        few = "" if own["n"] >= FEW else f" (of {own['n']}: too few to tell)"
        rows.append((name, f"{own['value']:.3f}{few}", f"{own['low']:.3f} to {own['high']:.3f}", own["n"]))
    return ["On held-out prompts:", _table(("accuracy", "rate", "95 % interval", "n"), rows)]


def _targets(results: Results) -> list[str]:
    if not results.targets:
        return []
    rows = [
        (
            each["name"],
            f"{each['before']:.3f}",
            f"{each['after']:.3f}",
            f"{each['ci'][0]:+.3f} to {each['ci'][1]:+.3f}",
            each["n"],
        )
        for each in results.targets
    ]
    return ["On held-out prompts:", _table(("rate", "before", "after", "change, 95 % interval", "n"), rows)]


def _sections(results: Results, whose: str) -> list[str]:
    """Of a report, those that are for this card."""
    found: list[str] = []
    for each in results.sections:
        if each.get("card") == whose:
            rows = [["" if cell is None else cell for cell in row] for row in each["rows"]]
            found += [f"## {_cell(each['title'])}", _table(each["columns"], rows), _cell(each["note"])]
    return found


def _loading(path: str, principles: Sequence[KnownPrinciple]) -> str:
    name = next((principle.name for principle in principles if principle.text), None)
    shown = f"[{name!r}]" if name is not None else '["The answer is kind."]'
    return (
        "from salmon_core import load_reward\n\n"
        f"with load_reward({path!r}) as reward:\n"
        f"    print(reward({PROMPT!r}, {COMPLETION!r}, {shown}).total)\n"
    )


def _listed(principles: Sequence[KnownPrinciple]) -> str:
    rows = [(each.name, each.text or "", each.negated or "") for each in principles]
    return _table(("name", "text", "negated"), rows) if rows else "None."


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: Any) -> str:
    """In one line, and without what would end a cell or begin a tag."""
    text = " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;")


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"


def _fenced(code: str) -> str:
    """Literals stand on one line each, so no line of code can end the block."""
    return f"```python\n{code}```"
