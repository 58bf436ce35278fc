"""Principle files: what they can say, and how they say what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.errors import ConfigError, DataError, SalmonError
from salmon_core.principles.files import load_principle_set
from salmon_core.principles.salmon_json import read_salmon_json, salmon_json
from salmon_core.principles.yaml import write_principle_yaml

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def one(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return one


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_principle_set(path)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


BASE = """\
name: base
description: for tests
principles:
  - {name: kind, text: Is kind., negated: Is harsh., weight: 2, tags: [tone], title: Kind!}
  - name: short
    text: >
      Is short,
      very short.
  - {name: true-ish, text: Is right., categories: {reasoning: 128}}
"""


def test_reads_everything(write: Write) -> None:
    found = load_principle_set(write("base.yaml", BASE))
    assert (found.name, found.description) == ("base", "for tests")
    assert found.principles == (
        Principle("kind", "Is kind.", "Is harsh.", 2.0, tags=("tone",), title="Kind!"),
        Principle("short", "Is short, very short."),
        Principle("true-ish", "Is right.", categories={"reasoning": 128.0}),
    )


def test_extends_a_file_beside_it(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write("base.yaml", BASE)
    (tmp_path / "sub").mkdir()
    child = write(
        "sub/child.yaml",
        "extends: ../base.yaml\nonly: [short, kind]\nweights: {short: 7}\nprinciples: [{name: own, text: Own.}]\n",
    )
    monkeypatch.chdir("/")
    found = load_principle_set(child)
    assert found.name == "child"
    assert [(p.name, p.weight) for p in found] == [("kind", 2.0), ("short", 7.0), ("own", 1.0)]
    assert load_principle_set("sub/child.yaml", base=tmp_path) == found


def test_extends_a_bundled_set_and_replaces_one_of_it(write: Write) -> None:
    path = write(
        "mine.yml",
        "extends: interventions\nwithout: [no-self-praise]\nprinciples: [{name: no-self-praise, text: Mine.}]",
    )
    found = load_principle_set(path)
    assert found.names == ("no-over-educating", "no-vague-advice", "no-self-praise")
    assert found["no-self-praise"].text == "Mine."


def test_lookup_comes_first_and_bundled_sets_for_what_it_does_not_know(write: Write) -> None:
    own = PrincipleSet("theirs", (Principle("a", "A."),))
    path = write("mine.yaml", "extends: theirs")
    assert load_principle_set(path, lookup={"theirs": own}.__getitem__).names == ("a",)
    assert load_principle_set("honest", lookup={"theirs": own}.__getitem__).name == "honest"


def test_lookup_that_explains_itself(write: Write) -> None:
    def lookup(name: str) -> PrincipleSet:
        raise SalmonError(f"no set {name}", hint="install it")

    path = write("mine.yaml", "description: x\nextends: theirs\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml:2: extends: no set theirs \(install it\)"):
        load_principle_set(path, lookup=lookup)


def test_all_problems_at_once_with_lines(write: Write) -> None:
    path = write(
        "bad.yaml",
        """\
name: 7
colour: blue
principles:
  - name: a
    text: ""
    weight: 0
  - name: a
    text: Fine.
    negated: Fine.
    wieght: 3
  - {text: No name., tags: tone, categories: {reasoning: many, x: -1}}
  - just text
  - {name: true, text: Not a text., weight: .nan}
""",
    )
    found = problems(path)
    assert found == [
        "bad.yaml:1: name: Input should be a valid string, not 7 (put it in quotes)",
        "bad.yaml:5: principles[0].text: is empty",
        "bad.yaml:6: principles[0].weight: is 0: it would never count; leave the principle out",
        "bad.yaml:9: principles[1].negated: is the same as `text`; say the opposite, or leave it out",
        "bad.yaml:10: principles[1].wieght: there is no such option",
        "bad.yaml:11: principles[2].name: is required",
        "bad.yaml:11: principles[2].categories.reasoning: Input should be a valid number, not 'many'",
        "bad.yaml:11: principles[2].categories.x: Input should be greater than or equal to 0, not -1",
        "bad.yaml:11: principles[2].tags: Input should be a valid list, not 'tone'",
        "bad.yaml:12: principles[3]: has to be a mapping of keys to values, not 'just text'",
        "bad.yaml:13: principles[4].name: Input should be a valid string, not True (put it in quotes)",
        "bad.yaml:13: principles[4].weight: Input should be a finite number, not nan",
        "bad.yaml:2: colour: there is no such option",
    ]


def test_problems_of_choosing(write: Write) -> None:
    write("base.yaml", BASE)
    path = write(
        "child.yaml",
        """\
extends: base.yaml
only: [kind, shrot]
without: [nobody]
weights: {kind: -1, other: 2, short: 3}
principles: [{name: kind, text: Another.}]
""",
    )
    known = "(it has kind, short, true-ish)"
    assert problems(path) == [
        f"child.yaml:2: only: 'base.yaml' has no principle 'shrot' {known}",
        f"child.yaml:3: without: 'base.yaml' has no principle 'nobody' {known}",
        "child.yaml:4: weights.kind: Input should be greater than 0, not -1",
    ]
    assert problems(write("child.yaml", "extends: base.yaml\nweights: {other: 2}\n")) == [
        f"child.yaml:2: weights: 'base.yaml' has no principle 'other' {known}",
    ]


def test_problems_between_what_is_chosen_and_what_is_added(write: Write) -> None:
    write("base.yaml", BASE)
    path = write(
        "child.yaml",
        """\
extends: base.yaml
only: [kind]
weights: {short: 3}
principles:
  - {name: kind, text: Another.}
  - {name: own, text: Own.}
  - {name: own, text: Own again.}
""",
    )
    assert problems(path) == [
        "child.yaml:3: weights.short: 'short' gets a weight but is left out by `only` or `without`",
        "child.yaml:5: principles[0].name: 'kind' is in the extended set too "
        "(give it another name, or leave the extended set's out with `without`)",
        "child.yaml:7: principles[2].name: 'own' is given twice",
    ]


def test_choosing_without_extending(write: Write) -> None:
    path = write("a.yaml", "only: [a]\nprinciples: [{name: a, text: A.}]\n")
    assert problems(path) == ["a.yaml:1: only: chooses from the set that `extends` names, and there is none"]


def test_problems_of_the_extended_file_are_reported_too(write: Write) -> None:
    write("base.yaml", "principles: [{name: a}]")
    path = write("child.yaml", "extends: base.yaml\nprinciples: [{text: x}]")
    assert problems(path) == [
        "base.yaml:1: principles[0].text: is required",
        "child.yaml:2: principles[0].name: is required",
    ]


def test_circles(write: Write) -> None:
    write("a.yaml", "extends: b.yaml")
    write("b.yaml", "extends: c.yaml")
    path = write("c.yaml", "extends: a.yaml")
    assert problems(path) == [
        "b.yaml: extends: the sets extend each other in a circle: c.yaml -> a.yaml -> b.yaml -> c.yaml"
    ]
    assert "in a circle: me.yaml -> me.yaml" in problems(write("me.yaml", "extends: me.yaml"))[0]


def test_circle_through_a_lookup(write: Write) -> None:
    path = write("a.yaml", "extends: theirs")

    def lookup(name: str) -> PrincipleSet:
        return load_principle_set(path, lookup=lookup)

    with pytest.raises(ConfigError, match="in a circle"):
        load_principle_set(path, lookup=lookup)


def test_the_same_file_twice_is_no_circle(write: Write) -> None:
    path = write("base.yaml", BASE)
    assert load_principle_set(path) == load_principle_set(path)


#: ten values, each ten of the one before, and so on
BOMB = "a: &a0 [x]\n" + "".join(f"b{n}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bad.yaml: is not a principle set"),
        ("- a\n- b", "bad.yaml: is not a principle set"),
        ("name: x", "bad.yaml: has no principles"),
        ("principles: []", "bad.yaml: has no principles"),
        ("principles: {a: b}", "bad.yaml:1: principles: Input should be a valid list"),
        ("extends: honest\nonly: []", "bad.yaml: has no principles"),
        ("extends: nothing-of-that-name", "bad.yaml:1: extends: there is no principle set named"),
        ("extends: [a, b]", "bad.yaml:1: extends: Input should be a valid string, not ['a', 'b']"),
        ("extends: absent.yaml", "absent.yaml: there is no such file"),
        ("name: a\nname: b\n", "bad.yaml: line 2, column 1: not valid YAML"),
        ("a: [", "bad.yaml: line 1, column 5: not valid YAML"),
        ("principles: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("principles: &a [*a]", "bad.yaml: line 1, column 13: contains itself"),
        ("weights: {1: 2}\nextends: honest", "bad.yaml:1: weights[1]: Input should be a valid string, not 1"),
        (r'principles: [{name: "a\nb", text: b}]', "principles[0].name: has a line break"),
        ("principles: [{name: a, text: b, weight: 1" + "0" * 400 + "}]", "Input should be a valid number"),
        (r'principles: [{name: a, text: "\ud800"}]', "bad.yaml: line 1, column 30: has half of a surrogate pair"),
        ("a: &a [x, x, x, x, x, x, x, x, x, x]\nprinciples: [*a, *b]", "found undefined alias 'b'"),
        (BOMB, "bad.yaml: has more than 100,000 values, counting what its aliases repeat"),
        ("[" * 600, "is nested too deeply"),
        ("%YAML 1.10\n---\nname: a", "not valid YAML: there is no such version of it"),
        ("name: 2026-13-45", "bad.yaml: line 1, column 7: not valid YAML: month must be in 1..12"),
        ("principles: [{name: a, text: b, weight: true}]", "Input should be a valid number, not True"),
    ],
)
def test_other_bad_files(write: Write, text: str, message: str) -> None:
    found = problems(write("bad.yaml", text))
    assert len(found) == 1
    assert message in found[0]


def test_name_that_nobody_knows() -> None:
    with pytest.raises(
        ConfigError, match=r"principle set: there is no principle set named 'x' \(bundled are harmless,"
    ):
        load_principle_set("x")


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"name: \xff")
    (tmp_path / "a.json").write_bytes(b'["\xff"]')
    for name in ("a.yaml", "a.json"):
        with pytest.raises(ConfigError, match="not UTF-8"):
            load_principle_set(tmp_path / name)


PUBLISHED = """\
[{"dimension": "Kind and Warm", "definition": "Is kind.", "negative_definition": "Is harsh."},
 {"dimension": "plain", "definition": "Is plain.", "weight": 3}]
"""


def test_published_json(write: Write) -> None:
    found = load_principle_set(write("theirs.json", PUBLISHED))
    assert found == PrincipleSet(
        "theirs",
        (
            Principle("kind-and-warm", "Is kind.", "Is harsh.", title="Kind and Warm"),
            Principle("plain", "Is plain.", weight=3.0),
        ),
    )
    assert load_principle_set(write("c.yaml", "extends: theirs.json\nonly: [plain]")).names == ("plain",)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("{}", ["is not a list of principles"]),
        ("[1]", ["[0]: has to be a mapping of keys to values, not 1"]),
        ("[\n{", ["bad.json: is not JSON: EOF while parsing an object at line 2 column 1"]),
        (
            '[{"dimension": "a-B", "definition": "", "weight": 0, "w": 1}]',
            [
                "[0].definition: is empty",
                "[0].weight: is 0: it would never count",
                "[0].w: there is no such option",
            ],
        ),
        (
            '[{"dimension": "A b", "definition": "x"}, {"dimension": "A-B", "definition": "y"}]',
            ["[1].dimension: 'A-B' is given twice (as 'a-b')"],
        ),
        ("[" * 100_000, ["bad.json: is nested too deeply"]),
        (r'[{"dimension": "a", "definition": "\ud800"}]', ["bad.json: has half of a surrogate pair"]),
    ],
)
def test_bad_published_json(write: Write, text: str, messages: list[str]) -> None:
    found = problems(write("bad.json", text))
    assert len(found) == len(messages)
    for problem, message in zip(found, messages, strict=True):
        assert message in problem


def test_writing_json_for_the_reward_model_needs_opposites(tmp_path: Path) -> None:
    one = PrincipleSet("s", (Principle("a", "A."),))
    with pytest.raises(DataError, match="'a' has no negated text"):
        (tmp_path / "a.json").write_text(salmon_json(one, kind="reward-model"), encoding="utf-8")
    (tmp_path / "a.json").write_text(salmon_json(one, kind="rl"), encoding="utf-8")
    assert '"weight": 1\n' in (tmp_path / "a.json").read_text()


def test_bundled_sets_survive_both_formats(tmp_path: Path) -> None:
    from salmon_core.principles.files import bundled_names

    for name in bundled_names():
        found = load_principle_set(name)
        write_principle_yaml(found, tmp_path / "x.yaml")
        assert load_principle_set(tmp_path / "x.yaml") == found
        (tmp_path / "x.json").write_text(salmon_json(found, kind="reward-model"), encoding="utf-8")
        again = read_salmon_json(tmp_path / "x.json")
        assert [(p.name, p.title, p.text, p.negated) for p in again] == [
            (p.name, p.title, p.text, p.negated) for p in found
        ]
