"""Prompts as the policy can be asked them: what is held out, what is refused, dropped, cut or folded, and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core_world import Cli, make_folder
from hypothesis import given
from hypothesis import strategies as st

from salmon_core import Prompt
from salmon_core.data.split import normal_form, split_prompts
from salmon_core.stages.prompts import read_prompts

# -- what is held out ------------------------------------------------------------------------------------------------

TEXTS = st.lists(
    st.text("abc ÄÅ\u212b", min_size=1, max_size=4).filter(str.strip), min_size=1, max_size=40, unique=True
)


def plain(texts: list[str]) -> list[Prompt]:
    return [Prompt.from_text(text, split="") for text in texts]


@given(TEXTS, st.floats(0, 0.99), st.integers(0, 5))
def test_the_share_is_exact_and_repeats_stay_together(texts: list[str], share: float, seed: int) -> None:
    prompts = plain(texts)
    splits, alike = split_prompts(prompts, share, seed)
    by_form: dict[str, set[str]] = {}
    for prompt, split in zip(prompts, splits, strict=True):
        by_form.setdefault(normal_form(prompt), set()).add(split)
    assert all(len(own) == 1 for own in by_form.values())
    assert alike == len(prompts) - len(by_form)
    held = sum("test" in own for own in by_form.values())
    exact = int(len(by_form) * share + 0.5)
    assert held == (min(max(exact, 1), len(by_form) - 1) if share and len(by_form) > 1 else exact)


@given(TEXTS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_order_does_not_matter_and_more_prompts_change_little(texts: list[str], seed: int, rng: Any) -> None:
    def held(chosen: list[str]) -> set[str]:
        splits, _ = split_prompts(plain(chosen), 0.3, seed)
        return {text for text, split in zip(chosen, splits, strict=True) if split == "test"}

    shuffled = list(texts)
    rng.shuffle(shuffled)
    assert held(shuffled) == held(texts)
    forms = {normal_form(prompt) for prompt in plain(texts)}
    before = {normal_form(p) for p in plain(sorted(held(texts)))}
    after = {normal_form(p) for p in plain(sorted(held([*texts, "zzz"])))} & forms
    assert len(before ^ after) <= 1


def test_twenty_of_a_hundred() -> None:
    """What a share by each prompt's own hash missed: 0.2 of 30 gave 1."""
    for n, share, expected in ((30, 0.2, 6), (100, 0.2, 20), (3, 0.1, 1), (10, 0.0, 0), (5, 0.5, 3), (1, 0.5, 1)):
        splits, _ = split_prompts(plain([f"Question {i}?" for i in range(n)]), share, 0)
        assert splits.count("test") == expected, (n, share)


def test_a_stated_split_stays_and_takes_its_repeats_along() -> None:
    prompts = [
        Prompt.from_text("Why?", split="test"),
        Prompt.from_text("  why? ", split=""),
        *plain(["a", "b", "c", "d"]),
    ]
    splits, alike = split_prompts(prompts, 0.25, 0)
    assert splits[:2] == ["test", "test"]
    assert splits[2:].count("test") == 1
    assert alike == 1


# -- rows that cannot be used as they are ----------------------------------------------------------------------------


def run(folder: Path, cli: Cli, rows: list[Any] | str, **choice: Any) -> Any:
    name = "rows.csv" if isinstance(rows, str) else "rows.jsonl"
    make_folder(folder, prompts={"name": name, **choice})
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    (folder / name).write_text(text)
    return cli("run", "salmon.yaml", "--until", "prompts")


def found(folder: Path) -> list[Prompt]:
    return read_prompts(folder / "runs" / "toy" / "prompts")


def test_an_empty_cell_is_an_error_with_its_line(tmp_path: Path, cli: Cli) -> None:
    done = run(tmp_path, cli, 'prompt,category\nWhy?,a\n"",b\n  ,c\nHow?,d\n')
    assert done.code == 1
    assert "rows.csv: line 3: has an empty 'prompt' (fill it, or set prompts.on_bad_row: drop)" in done.err


def test_bad_rows_are_dropped_where_asked_and_counted(tmp_path: Path, cli: Cli) -> None:
    rows = [{"prompt": "Why?"}, {"prompt": " \n"}, {"text": "What?"}, {"prompt": "How?"}, {"messages": [{"role": "x"}]}]
    done = run(tmp_path, cli, rows, on_bad_row="drop")
    assert done.code == 0, done.text
    assert [prompt.text for prompt in found(tmp_path)] == ["Why?", "How?"]
    assert "prompts: 3 rows were left out" in done.err


def test_repeats_are_told(tmp_path: Path, cli: Cli) -> None:
    done = run(tmp_path, cli, [{"prompt": text} for text in ("Why?", "Why?", " why? ", "How?")])
    assert done.code == 0
    assert "prompts: 1 rows repeat an earlier prompt and count once" in done.err
    assert "prompts: 1 prompts differ from another only in case or spaces" in done.err
    splits = {prompt.text.strip().lower(): prompt.split for prompt in found(tmp_path)}
    assert {prompt.split for prompt in found(tmp_path) if "hy" in prompt.text} == {splits["why?"]}


LONG = "".join(f"word{i} " for i in range(800)) + "the end?"


def test_a_prompt_that_leaves_no_room_is_an_error_with_its_line(tmp_path: Path, cli: Cli) -> None:
    done = run(tmp_path, cli, [{"prompt": "Why?"}, {"prompt": LONG}])
    assert done.code == 1
    assert "rows.jsonl: line 2: has " in done.err
    assert "tokens, and the model has room for 4048: 4096 positions less sample.max_new_tokens (48)" in done.err
    assert "set prompts.too_long: drop or cut" in done.err


def test_it_can_be_dropped_or_cut(tmp_path: Path, cli: Cli) -> None:
    chat = [{"role": r, "content": c} for r, c in (("user", LONG), ("assistant", "Yes."), ("user", "And then?"))]
    rows = [{"prompt": "Why?"}, {"prompt": LONG}, {"messages": chat}]
    done = run(tmp_path, cli, rows, too_long="drop")
    assert done.code == 0, done.text
    assert [prompt.text for prompt in found(tmp_path)] == ["Why?"]
    done = run(tmp_path, cli, rows, too_long="cut")
    assert done.code == 0, done.text
    assert "prompts: 2 prompts were too long and were cut" in done.err
    why, long, talk = found(tmp_path)
    assert long.text.endswith("the end?")
    assert 4000 < len(long.text) <= 4048
    assert len(talk.messages) == 1
    assert talk.text == "And then?"
    assert why.text == "Why?"


REFUSES = """
        if any(m["role"] == "system" for m in messages):
            raise SalmonError("the chat template refuses the conversation (system, user): no system turns")
"""


def refusing(folder: Path, cli: Cli, **choice: Any) -> Any:
    talk = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}]
    make_folder(folder, prompts={"name": "rows.jsonl", **choice})
    source = (folder / "world.py").read_text()
    place = "    def chat(self, messages: Sequence[Any]) -> str:\n"
    assert place in source
    (folder / "world.py").write_text(source.replace(place, place + REFUSES))
    (folder / "rows.jsonl").write_text(json.dumps({"prompt": "How?"}) + "\n" + json.dumps({"messages": talk}) + "\n")
    return cli("run", "salmon.yaml", "--until", "sample")


def test_a_system_turn_that_the_template_refuses_is_folded_and_said(tmp_path: Path, cli: Cli) -> None:
    done = refusing(tmp_path, cli)
    assert done.code == 0, done.text
    assert "prompts: 1 conversations have a system turn, which the chat template refuses" in done.err
    assert [dict(m) for m in found(tmp_path)[1].messages] == [{"role": "user", "content": "Be kind.\n\nWhy?"}]


def test_or_it_is_an_error_with_its_line(tmp_path: Path, cli: Cli) -> None:
    done = refusing(tmp_path, cli, system="error")
    assert done.code == 1
    assert "rows.jsonl: line 2: the chat template refuses" in done.err
    assert "set prompts.system: fold" in done.err


@pytest.mark.parametrize("value", ["7", "Prompt('i', ({'role': 'user', 'content': '  '},))"])
def test_what_a_source_gives_is_looked_at(value: str, tmp_path: Path, cli: Cli) -> None:
    make_folder(tmp_path, prompts="odd")
    with (tmp_path / "world.py").open("a") as file:
        file.write(f"""

class Odd:
    def load(self) -> Any:
        yield Prompt.from_text("Why?")
        yield {value}


@hookimpl
def salmon_prompts() -> Iterable[Component]:
    yield Component("odd", Odd, "odd")
""")
    done = cli("run", "salmon.yaml", "--until", "prompts")
    assert done.code == 1
    wanted = "gave a int, not a Prompt" if value == "7" else "prompt 1: is an empty prompt"
    assert wanted in done.err
