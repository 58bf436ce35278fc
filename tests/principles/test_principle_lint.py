"""What is doubtful about a set is found, placed and graded; what is fine is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result

from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.api.templates import Limits
from salmon_core.check.principles import PROMPTS_ASKED, Judged, judged_findings
from salmon_core.cli.main import main
from salmon_core.principles.files import bundled_names, load_principle_set
from salmon_core.principles.lint import Finding, lint
from salmon_core.records import FEW, Judgment, Pair
from salmon_core.stages.judge_verdict import Answers
from salmon_core.testing import make_pair

Cli = Callable[..., Result]
MINNOW = [
    "policy.template=minnow",
    "policy.dtype=float32",
    "limits={prompt: 48, completion: 80, total: 256}",
    "sample={samples: 2, temperature: 0.8, max_new_tokens: 56, batch_size: 256}",
]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*args: object) -> Result:
        done = CliRunner().invoke(main, ["principles", "check", *map(str, args)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return run


def rules(*principles: Principle, **options: object) -> list[tuple[str, str, tuple[str, ...]]]:
    found = lint(PrincipleSet("s", principles), **options)  # type: ignore[arg-type]
    return [(each.severity, each.rule, each.principles) for each in found if each.rule != "no-negation"]


@pytest.mark.parametrize("name", bundled_names())
def test_nothing_is_said_of_the_bundled_sets(name: str) -> None:
    assert lint(load_principle_set(name)) == []


def test_texts_that_say_the_same() -> None:
    assert rules(Principle("a", "The response is kind."), Principle("b", "the response  is kind")) == [
        ("error", "duplicate", ("a", "b"))
    ]
    assert rules(Principle("a", "The response is kind."), Principle("b", "The answer is kind!")) == [
        ("warning", "near-duplicate", ("a", "b"))
    ]
    longer = "The response names every source that it takes a figure from, with page and year."
    assert rules(Principle("a", longer), Principle("b", longer.replace("every", "each"))) == [
        ("warning", "near-duplicate", ("a", "b"))
    ]
    assert rules(Principle("a", "The response is kind."), Principle("b", "The response is brief.")) == []


def test_texts_that_ask_for_the_opposite() -> None:
    assert rules(Principle("a", "The response is kind."), Principle("b", "The response is not kind.")) == [
        ("warning", "opposite", ("a", "b"))
    ]
    assert rules(Principle("a", "It is kind.", "It is harsh."), Principle("b", "It is harsh!")) == [
        ("warning", "opposite", ("a", "b"))
    ]


def test_negations() -> None:
    found = lint(PrincipleSet("s", (Principle("a", "Is kind."), Principle("b", "Is brief.", "Is long."))))
    assert [(each.severity, each.rule, each.principles) for each in found] == [("note", "no-negation", ("a",))]
    assert found[0].message == "1 of 2 have no negated text"
    assert rules(Principle("a", "Is kind.", "is kind")) == [("error", "same-negation", ("a",))]
    assert rules(Principle("a", "The response is kind.", "The answer is kind!")) == [
        ("warning", "same-negation", ("a",))
    ]
    assert rules(Principle("a", "The response is kind.", "The response is not kind.")) == []


def test_names_that_clash() -> None:
    texts = ("Is kind.", "Is brief.")
    for names in (("Kind", "kind"), ("over all", "over-all"), ("a_b", "A-B")):
        pair = [Principle(name, text) for name, text in zip(names, texts, strict=True)]
        assert rules(*pair) == [("warning", "name-clash", names)]
    assert rules(Principle("not kind", "Is harsh.")) == [("warning", "name-clash", ("not kind",))]


def test_long_texts() -> None:
    """Of 1280 tokens prompt and completion may have 896: three principles share 384."""
    assert rules(Principle("a", "word " * 100)) == []
    assert rules(Principle("a", "word " * 110)) == [("warning", "too-long", ("a",))]
    assert rules(Principle("a", "Is kind.", "word " * 110)) == [("warning", "too-long", ("a",))]
    assert rules(Principle("a", "word " * 1100)) == [("error", "too-long", ("a",))]
    short = Limits(prompt=10, completion=20, total=60)
    assert rules(Principle("a", "one two three"), tokens=lambda text: len(text.split()), limits=short) == []
    assert rules(Principle("a", "x " * 11), tokens=lambda text: len(text.split()), limits=short) == [
        ("warning", "too-long", ("a",))
    ]


def test_weights_that_never_draw() -> None:
    many = Principle("many", "Is kind.", weight=1500.0)
    assert rules(many, Principle("few", "Is brief.", weight=1.0)) == [("warning", "never-drawn", ("few",))]
    assert rules(many, Principle("some", "Is brief.", weight=2.0)) == []
    # A boost on prompts of a category is enough, and takes nothing from the rest there.
    assert rules(many, Principle("few", "Is brief.", weight=1.0, categories={"reasoning": 5.0})) == []
    assert rules(many, Principle("few", "Is brief.", weight=1e-9, categories={"reasoning": 1e-9})) == [
        ("warning", "never-drawn", ("few",))
    ]


BAD = """\
principles:
  - {name: kind, text: The response is kind.}
  - {name: Kind, text: The response is kind., weight: 0.0001}
"""


def test_the_command_says_place_and_what_to_do(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(BAD)
    done = cli("rules.yaml")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        "1 error, 2 warnings rules.yaml",
        "  principles    2, 0 with a negated text",
        "  error rules.yaml:2: kind, Kind: say the same (leave one of them out)",
    ]
    assert "  warning rules.yaml:3: Kind: is one of 10001 draws (raise its weight" in done.stdout
    assert lines[-1].startswith("  note rules.yaml:2: kind, Kind: 2 of 2 have no negated text")


def test_json_and_exit_codes(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(
        BAD.replace("name: Kind, text: The response is kind.", "name: b, text: Short.")
    )
    done = cli("rules.yaml", "--json")
    values = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (values["set"], values["principles"]) == ("rules.yaml", 2)
    assert [(each["severity"], each["rule"], each["where"]) for each in values["findings"]] == [
        ("warning", "never-drawn", "rules.yaml:3"),
        ("note", "no-negation", "rules.yaml:2"),
    ]
    assert cli("rules.yaml", "--strict").exit_code == 1
    assert cli("salmon-rl", "--strict").exit_code == 0


def test_a_file_that_cannot_be_a_set_is_all_errors(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("principles:\n  - {name: a, text: ' ', negated: x}\n  - {name: a, text: x}\n")
    done = cli("rules.yaml", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)["findings"]
    assert [each["message"] for each in found] == ["is empty"]
    assert found[0]["where"].endswith("rules.yaml:2: principles[0].text")
    gone = cli("gone.yaml")
    assert (gone.exit_code, "there is no such file" in gone.stderr) == (2, True)
    assert "configuration" not in gone.stderr


def test_what_only_a_judge_needs(cli: Cli) -> None:
    assert "need a judge: give --model" in cli("honest", "--prompts", "x.jsonl").stderr
    assert "not both" in cli("honest", "--model", "m", "--prompts", "x", "--completions", "y").stderr
    wrong = cli("honest", "--model", "/nowhere/at/all")
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("error: --set: policy.model: there is no model folder")


# -- with a judge ------------------------------------------------------------------------------------------------------


def judged(prompts: int, *scores: Callable[[Random, float], tuple[float, float, float]]) -> list[Finding]:
    """Findings of principles a, b, ...; each says (first order, second order, in other words) of a pair's quality."""
    rng = Random(3)
    pairs: list[Pair] = []
    said: dict[tuple[str, str], Judgment] = {}
    again: dict[tuple[str, str], Judgment] = {}
    names = "abcdef"[: len(scores)]
    for number in range(prompts):
        pair = make_pair(prompt=f"Question {number}?")
        pairs.append(pair)
        quality = rng.gauss(0, 1)
        for name, score in zip(names, scores, strict=True):
            one, two, reworded = score(rng, quality)
            said[pair.id, name] = Judgment(pair.id, name, one, two)
            again[pair.id, name] = Judgment(pair.id, name, reworded, reworded)
    return judged_findings(Judged(tuple(pairs), Answers(said.values(), reworded=again)), list(names))


def follows(sign: float, noise: float = 0.3) -> Callable[[Random, float], tuple[float, float, float]]:
    return lambda rng, quality: tuple(sign * quality + rng.gauss(0, noise) for _ in range(3))  # type: ignore[return-value]


def own(rng: Random, _: float) -> tuple[float, float, float]:
    value = rng.gauss(0, 1)
    return value, value, value


def position(rng: Random, _: float) -> tuple[float, float, float]:
    return 1 + rng.random(), -1 - rng.random(), rng.gauss(0, 1)


def flips(rng: Random, quality: float) -> tuple[float, float, float]:
    return quality, quality, -quality


def kinds(findings: list[Finding]) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.rule, each.principles) for each in findings]


def test_principles_that_pull_apart() -> None:
    assert kinds(judged(60, follows(1), follows(-1), own)) == [("conflict", ("a", "b"))]
    assert kinds(judged(60, follows(1), follows(1), own)) == []


def test_principles_that_decide_nothing_or_flip() -> None:
    assert kinds(judged(60, follows(1), position)) == [("never-decides", ("b",)), ("flips", ("b",))]
    assert kinds(judged(60, follows(1), flips)) == [("flips", ("b",))]


def test_ties_decide_nothing() -> None:
    assert ("never-decides", ("b",)) in kinds(judged(60, follows(1), lambda rng, quality: (0.0, 0.0, 0.0)))


def test_a_judge_that_knows_nothing_is_named_first() -> None:
    assert kinds(judged(60, position))[0] == ("weak-judge", ())


def test_few_prompts_tell_nothing() -> None:
    assert kinds(judged(FEW - 1, follows(1), follows(-1))) == [("too-few", ())]
    assert len(set(PROMPTS_ASKED)) == len(PROMPTS_ASKED) >= FEW


@pytest.mark.slow
def test_a_real_judge_on_its_own_answers(cli: Cli) -> None:
    """The embedded world: whoever gives examples is not concise."""
    options = [part for each in MINNOW for part in ("--set", each)]
    done = cli("minnow", "--model", "plugin:minnow", "--prompts", "plugin:minnow", "--json", *options)
    values = json.loads(done.stdout)
    assert done.exit_code == 0
    assert values["pairs"] >= 100
    assert ("conflict", ["concise", "example"]) in [(each["rule"], each["principles"]) for each in values["findings"]]
    assert all("[" in each["message"] for each in values["findings"])  # with an interval


@pytest.mark.slow
def test_completions_of_ones_own(cli: Cli, tmp_path: Path) -> None:
    texts = ["Ask first, then act.", "Act now. Never ask anybody for anything at all."]
    rows = [{"prompt": f"What about case {number}?", "completion": text} for number in range(FEW) for text in texts]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = cli("interventions", "--model", "plugin:minnow", "--completions", "c.jsonl", "--json")
    values = json.loads(done.stdout)
    assert (values["prompts"], values["pairs"]) == (FEW, FEW)
    (tmp_path / "one.jsonl").write_text(json.dumps(rows[0]))
    one = cli("interventions", "--model", "plugin:minnow", "--completions", "one.jsonl")
    assert (one.exit_code, "no prompt has two different completions" in one.stderr) == (1, True)
