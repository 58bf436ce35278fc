"""The kit for authors: makers make sense, and a contract fails where its promise is broken."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import broken_contracts
import broken_plans
import pytest
from broken_contracts import Case

import salmon_core.testing
from salmon_core.api import hooks
from salmon_core.testing import (
    ComponentContract,
    make_breakdown,
    make_completion,
    make_estimate,
    make_job,
    make_judgment,
    make_pair,
    make_preference,
    make_principle,
    make_principles,
    make_prompt,
    make_rollout,
)
from salmon_core.testing.comparing import difference

CASES = (*broken_contracts.CASES, *broken_plans.CASES)
#: tests that start a process each; run where they are to fail, or nothing is to fail
SLOW = {"a_fresh_process_gives_the_same", "plans_need_nothing"}


def names_of(contract: type[ComponentContract]) -> list[str]:
    return [name.removeprefix("test_") for name in dir(contract) if name.startswith("test_")]


def fails(contract: type[ComponentContract], test: str, folder: Path) -> bool:
    """Whether a test of a contract fails for what it is about: an assertion, or an error that is said."""
    method = getattr(contract(), f"test_{test}")
    wanted = inspect.signature(method).parameters
    folder.mkdir(parents=True)
    for ability in ("chooser", "scorer") if "ability" in wanted else ("",):
        given = {name: {"tmp_path": folder, "ability": ability}[name] for name in wanted}
        try:
            method(**given)
        except pytest.skip.Exception:
            continue
        except (Exception, pytest.fail.Exception):
            return True
    return False


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.contract.__name__}-{case.what}".replace(" ", "-"))
def test_a_contract_says_what_is_broken(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And passes what keeps it."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.py"
    file.write_text(case.text, encoding="utf-8")
    contract = case.subclass(file)
    assert case.caught <= set(names_of(contract)), "the case names a test that does not exist"
    asked = [test for test in names_of(contract) if not case.caught or test in case.caught or test not in SLOW]
    found = {test for test in asked if fails(contract, test, tmp_path / test)}
    assert case.caught <= found, f"these did not fail: {case.caught - found}"
    assert case.caught or not found


def test_each_kind_has_a_contract_and_each_contract_is_tried() -> None:
    named = [getattr(salmon_core.testing, name) for name in salmon_core.testing.__all__ if name.endswith("Contract")]
    contracts = [contract for contract in named if contract is not ComponentContract]
    assert sorted(contract.kind for contract in contracts) == sorted(hooks.KINDS)
    for contract in contracts:
        own = [case for case in CASES if case.contract is contract]
        assert any(not case.caught for case in own), f"{contract.__name__}: nothing keeps it"
        assert any(case.caught for case in own), f"{contract.__name__}: nothing breaks it"


def test_every_test_of_a_contract_can_fail() -> None:
    """But for those of the base, tried with bonuses."""
    caught = {(case.contract, test) for case in CASES for test in case.caught}
    base = set(names_of(ComponentContract))
    unbroken = {
        f"{case.contract.__name__}.{test}"
        for case in CASES
        for test in names_of(case.contract)
        if test not in base and (case.contract, test) not in caught
    }
    assert not unbroken


def test_pytest_collects_a_subclass_and_shows_values(tmp_path: Path) -> None:
    """In a process of its own, with the file that the page on plugins shows."""
    (tmp_path / "mine.py").write_text(broken_contracts.BONUSES[3].text, encoding="utf-8")
    lines = [
        "from pathlib import Path",
        "from salmon_core.testing import BonusContract",
        "class TestMine(BonusContract):",
        '    plugin = Path(__file__).parent / "mine.py"',
        '    name = "it"',
    ]
    (tmp_path / "test_mine.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "batch or listed", "test_mine.py"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert re.search(r"scores one by one: the result\[0\] is 0.0, not -?\d", done.stdout), done.stdout


def test_makers_need_no_pytest(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['pytest'] = None\n"
        "import salmon_core.testing as kit\n"
        "assert {'BonusContract', 'make_rollout'} <= set(dir(kit))\n"
        "kit.make_rollout(), kit.make_job(), kit.registry_of(), kit.MadeUpRun(), kit.ByteModel()\n"
        "assert not any(name.startswith('salmon_core.testing.contracts') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_all_names_are_there() -> None:
    for name in salmon_core.testing.__all__:
        assert getattr(salmon_core.testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'make_tea'"):
        salmon_core.testing.make_tea  # noqa: B018


def test_records_fit_together() -> None:
    """What is made without a word is what another maker would ask for."""
    pair = make_pair("One.", "Two.", prompt="Which?")
    assert pair.prompt == make_prompt("Which?")
    assert (pair.first.index, pair.second.index) == (0, 1)
    assert {pair.first.prompt_id, pair.second.prompt_id} == {pair.prompt.id}
    assert make_judgment(pair).pair_id == pair.id
    assert make_judgment().pair_id == make_pair().id
    assert make_judgment(pair, make_principle("kind"), -2.0).score == -2.0
    for completion in (make_completion("a b c"), make_completion("a b c", stopped=False), make_completion("")):
        assert completion.n_tokens == len(completion.token_ids) - completion.stopped
    row = make_preference("good", "bad", prompt="Which?", principles=make_principles("kind", "brief"))
    assert (row.messages, row.decided_by) == (pair.prompt.messages, "kind")
    assert [shown.name for shown in row.principles] == ["kind", "brief"]
    assert make_rollout("Hi", "a b").n_tokens == 2
    assert make_rollout(make_prompt("Hi", category="own")).category == "own"
    assert make_breakdown(1.5, length=0.5).total == 2.0
    assert make_estimate(0.5, 0.25).low == 0.25
    assert make_principle("sure", negated=None).negated is None
    assert make_job("sft").reward is None
    assert make_job(algorithm="grpo", options={"n": 1}).options == {"n": 1}


def test_differences_are_said_where_they_are() -> None:
    assert difference((1, {"a": [1.0]}), (1, {"a": [1.0]})) is None
    assert difference([1.0], [1.0 + 1e-9], 1e-6) is None
    assert difference([1.0], [1.1], 1e-6) == "the result[0] is 1.0, not 1.1"
    assert difference({"a": 1}, {"b": 1}) == "the result has [\"['a']\"], not [\"['b']\"]"
    assert difference(make_prompt("a"), make_prompt("a", split="test")) == "the result.split is 'train', not 'test'"
    assert difference(True, 1.5) == "the result is True, not 1.5"
    assert difference("ab", ["a", "b"]) == "the result is 'ab', not ['a', 'b']"
