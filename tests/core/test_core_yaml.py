"""YAML as people write it: its values, their places, what is refused; and that what is written reads back.

Also half of a surrogate pair, which YAML and JSON can say and no file can hold, in every other kind of file.
"""

from __future__ import annotations

import datetime
import math
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from core_world import Cli, make_folder, salmon
from hypothesis import given, settings
from hypothesis import strategies as st

from salmon_core import ConfigError
from salmon_core.data.json import read_json
from salmon_core.data.rollout_rows import read_rollouts
from salmon_core.data.yaml import parse_document, parse_yaml, read_yaml, write_yaml
from salmon_core.errors import DataError

VALUES: dict[str, Any] = {
    "1.5e-3": 0.0015, "5.0e-4": 0.0005, "1e-4": 0.0001, "1E5": 1e5, "-1e-3": -0.001, ".5": 0.5, "2": 2, "1_000": 1000,
    "017": 17, "0o17": 15, "0x1F": 31, "12:30": "12:30", "-.inf": -math.inf,
    "true": True, "FALSE": False, "on": "on", "off": "off", "yes": "yes", "No": "No", "y": "y", "~": None, "": None,
    "2026-01-01": datetime.date(2026, 1, 1), '"\\0"': "\0", "|\n a\n b\n": "a\nb\n", "\ufeffa": "a",
    "{a: 1, <<: {a: 2, b: 3}}": {"a": 1, "b": 3},
}  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_values(text: str) -> None:
    found = parse_yaml(text, "file")
    assert found == VALUES[text]
    assert type(found) is type(VALUES[text])


REFUSED = {
    "a: 1\na: 2": "file: line 2, column 1: not valid YAML: the key 'a' is given twice",
    "a: !!binary aGk=": "file: line 1, column 4: not valid YAML: could not determine a constructor",
    "!!python/name:os.system": "file: line 1, column 1: not valid YAML: could not determine a constructor",
    "a: !!bool x": "file: line 1, column 4: not valid YAML: is no value of its kind",
    "? [{}]\n: a": "file: line 1, column 3: a key has to be a single value",
    "a: {? {b: 1} : 2}": "file: line 1, column 7: a key has to be a single value",
    "a:\n - 2026-13-45": "file: line 2, column 4: not valid YAML: month must be in 1..12",
    "a: " + "9" * 5000: "file: line 1, column 4: not valid YAML: Exceeds the limit (4300 digits)",
    "a: 1\nb: \ud800": "file: line 2: not valid YAML: special characters are not allowed",
    'a: 1\n"b\\udfff": 2': "file: line 2, column 1: has half of a surrogate pair",
    "- &a {b: [*a]}": "file: line 1, column 3: contains itself, by way of an alias",
    "a: b: c": "file: line 1, column 5: not valid YAML: mapping values are not allowed here",
    "[" * 10_000: "file: line 1, column 101: is nested too deeply",
    "\n".join(
        f"a{n}: &a{n} {'[' * 60}{f'*a{n - 1}' if n else ''}{']' * 60}" for n in range(40)
    ): "is nested too deeply",
    "---\n---\n": "expected a single document in the stream, but found another document",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20])
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, "file")
    assert REFUSED[text] in str(error.value)
    assert len(error.value.problems) == 1
    assert len(str(error.value)) < 300


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)


def test_aliases_are_counted_before_they_are_followed() -> None:
    """A few lines stand for a thousand million values."""
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    merged = bomb.replace("a0: &a0 [x]", "a0: &a0 {x: x}").replace("[", "{<<: [").replace("]", "]}")
    start = time.monotonic()
    for text in (bomb, merged):
        with pytest.raises(ConfigError, match="more than 100,000 values, counting what its aliases repeat"):
            parse_yaml(text, "file")
    assert time.monotonic() - start < 5
    assert parse_yaml("a: &a [1]\nb: [*a, *a]", "file") == {"a": [1], "b": [[1], [1]]}


LARGE = {
    "longer than any": ("- a\n" * 1_250_000, "file: has 5,000,000 characters, and YAML is read up to 1,000,000"),
    "block": ("- a\n" * 249_000, "file: has more than 100,000 values"),
    "flow": ("a: [" + "x," * 490_000 + "]", "file: has more than 100,000 values"),
    "keys": ("".join(f"k{n}: 1\n" for n in range(80_000)), "file: has more than 100,000 values"),
}


@pytest.mark.parametrize("kind", LARGE)
def test_long_lists_are_refused_before_their_end(kind: str) -> None:
    text, says = LARGE[kind]
    start = time.process_time()
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, "file")
    assert time.process_time() - start < 20  # seconds of a slow machine; to the end it is minutes
    assert str(error.value).startswith(says)
    assert str(error.value).endswith(
        "(settings and principles are never so many; rows of data belong in a JSON Lines file)"
    )
    assert kind != "block" or "as of line 100001 (" in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "salmon.yaml: has more than 100,000 values, counting what its aliases repeat, as of line 5 ("),
        ('run:\n  name: "\\ud800"\n', "salmon.yaml: line 2, column 9: has half of a surrogate pair"),
        ("a: &a [*a]\n", "salmon.yaml: line 1, column 4: contains itself, by way of an alias"),
    ],
    ids=["bomb", "surrogate", "cycle"],
)
def test_a_configuration_that_is_a_trap(text: str, says: str, tmp_path: Path) -> None:
    make_folder(tmp_path, text)
    start = time.monotonic()
    done = salmon("check", "salmon.yaml", cwd=tmp_path)
    assert time.monotonic() - start < 20
    assert (done.code, done.out) == (2, "")
    first, *lines = done.err.splitlines()
    assert first == "error: 1 problem in the configuration"
    assert len(lines) == 1
    assert lines[0].startswith(f"  - {says}")


def test_half_a_surrogate_pair_in_a_principle(tmp_path: Path, cli: Cli) -> None:
    make_folder(tmp_path)
    (tmp_path / "rules.yaml").write_text('name: rules\nprinciples:\n  - {name: a, text: "\\ud800"}\n')
    done = cli("check", "salmon.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("rules.yaml: line 3, column 21: has half of a surrogate pair, which is no character") == 2
    assert done.err.startswith("error: 2 problems")  # judging and rewarding read the set


HALVES = {
    "a.jsonl": (
        b'{"prompt": "a", "completion": "a"}\n{"prompt": "\\ud800", "completion": ""}\n',
        "line 2: has half of",
    ),
    "key.jsonl": (b'{"prompt": "a", "\\udfff": ""}\n', "line 1: has half of a surrogate pair"),
    "bytes.jsonl": (b'{"prompt": "\xed\xa0\x80", "completion": ""}\n', "is not UTF-8 text (byte 12)"),
    "a.csv": (b"prompt,completion\na,\xed\xa0\x80\n", "is not UTF-8 text (byte 20)"),
    "cell.csv": (
        b'prompt,completion,principles\na,b,"[{""name"": ""a"", ""text"": ""\\ud800""}]"\n',
        "line 2, column principles: ",
    ),
}


@pytest.mark.parametrize("name", HALVES)
def test_half_a_surrogate_pair_in_rows(name: str, tmp_path: Path) -> None:
    content, says = HALVES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        read_rollouts(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: {says}")
    assert "\n" not in str(error.value)


def test_half_a_surrogate_pair_in_parquet(tmp_path: Path) -> None:
    """Which keeps bytes, so that it has to be written on purpose."""
    texts = pa.array([b"a", b"\xed\xa0\x80"]).view(pa.string())
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": texts, "completion": texts}), file)
    with pytest.raises(DataError, match=r"a.parquet: is not a readable Parquet file: 'utf-8' codec can't decode"):
        read_rollouts(file)


def test_half_a_surrogate_pair_in_what_a_run_saved(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"base": "\\ud800"}')
    assert read_json(file) is None
    file.write_text("[" * 100_000)
    assert read_json(file) is None


def test_lines_of_keys() -> None:
    document = parse_document("a: &x\n  b: 1\nlist:\n  - 1\n  - {c: 2,\n     d.e: [3]}\n  - <<: *x\n    f: 4\n", "file")
    lines = {
        key: document.line(key) for key in ("a", "a.b", "list", "list[0]", "list[1].c", "list[1].d.e[0]", "list[2].f")
    }
    assert list(lines.values()) == [1, 2, 3, 4, 5, 6, 8]
    assert document.line("list[2].b") == 2  # where the merged key stands
    assert document.line("list[1].c.further[3].down") == 5
    assert document.line("list[9]") == 3
    assert document.line("nothing") is None
    assert parse_document("", "file").line("a") is None


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    [
        "=",
        "<<",
        "yes",
        "null",
        "1e3",
        "0o7",
        "2026-01-01",
        "12:30",
        "- a",
        "a: b",
        "# a",
        " a",
        "a ",
        "a\n",
        "\n",
        "---",
    ]
)
values = st.recursive(
    words | st.floats(allow_nan=False) | st.integers(-(2**70), 2**70) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(values)
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, written: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "values.yaml"
    write_yaml(file, written)
    assert read_yaml(file) == written


def test_the_order_of_keys_is_kept(tmp_path: Path) -> None:
    write_yaml(tmp_path / "a.yaml", {"z": 1, "a": [{"y": "long " * 40, "b": 2}]})
    text = (tmp_path / "a.yaml").read_text()
    assert text.index("z:") < text.index("a:") < text.index("y:") < text.index("b:")
    assert max(map(len, text.splitlines())) <= 120
