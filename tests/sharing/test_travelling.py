"""A reward model without its run: what its folder carries, its card's code, `load_reward`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_world import environment, salmon
from sharing_world import ODD, RULES, make_world, rollouts, write_lines

from salmon_core import Principle, SalmonError, load_reward
from salmon_core.api import Veto
from salmon_core.data.rollout_rows import read_rollouts
from salmon_core.records import Rollout, ShownPrinciple
from salmon_core.reward.reward import Reward
from salmon_core.run.run import Run
from salmon_core.sharing.snippet import COMPLETION, PROMPT

pytestmark = pytest.mark.slow


def code_of(card: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", card, re.M | re.S)


def printed(code: str, folder: Path) -> str:
    """By a process that has no salmon on its path but what the code imports."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def copied(model: Path, target: Path) -> Path:
    shutil.copytree(model, target)
    return target


def document_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "salmon.json").read_text())
    return found


def test_the_card_has_what_was_trained_on(model: Path, tiny: Path) -> None:
    card = (model / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "apache-2.0"  # of the base model's own card
    assert front["library_name"] == "transformers"
    assert "reward-model" in front["tags"]
    assert "24 preferences between answers to 24 prompts" in card
    assert "| vivid | 12 |" in card
    for text, negated in RULES.values():
        assert text in card
        assert negated is None or negated in card
    assert str(tiny) not in card + (model / "salmon.json").read_text()


def test_the_cards_code_gives_our_scores(model: Path, tmp_path: Path) -> None:
    """Both pieces of code, as they stand in the card, in a copy of the folder."""
    folder = copied(model, tmp_path / "moved")
    ours, plain = code_of((folder / "README.md").read_text())
    assert "salmon" not in plain
    lines = [line.rpartition(" ") for line in printed(plain, folder).splitlines()]
    scores = {name: float(score) for name, _, score in lines}
    with load_reward(folder) as reward:
        found = {name: reward(PROMPT, COMPLETION, name).total for name in RULES}
    assert scores == pytest.approx(found, abs=1e-5)
    assert len(set(scores.values())) == 2
    assert float(printed(ours, folder)) == pytest.approx(scores["vivid"], abs=1e-5)


def test_a_model_that_is_an_adapter_alone(tmp_path: Path) -> None:
    """Its card's code puts it on its base; the template with conversations is the model's own."""
    make_world(tmp_path)
    options = ("reward_model.options.lora={r: 4, alpha: 8}", "reward_model.options.merge=false")
    changes = [word for option in (*options, "reward.template=conversation-user") for word in ("--set", option)]
    done = salmon("run", "salmon.yaml", *changes, cwd=tmp_path, timeout=1500)
    assert done.code == 0, done.text
    folder = tmp_path / "runs" / "tiny" / "train-rm" / "model"
    assert (folder / "adapter_config.json").is_file()
    _, plain = code_of((folder / "README.md").read_text())
    scores = {line.split()[0]: float(line.split()[1]) for line in printed(plain, folder).splitlines()}
    with load_reward(folder) as reward:
        assert reward.document.conversational
        assert scores == pytest.approx({name: reward(PROMPT, COMPLETION, name).total for name in RULES}, abs=1e-5)


def test_it_scores_as_the_run_does(tiny: Path, model: Path, tmp_path: Path) -> None:
    """Texts that try to be a part of the format, too long ones, conversations; without a run, a plugin or its rules."""
    rows = read_rollouts(write_lines(tmp_path / "rows.jsonl", rollouts()))
    made = [Rollout.from_text(r.prompt, r.completion, n_tokens=0, principles=r.principles or ()) for r in rows]
    with Reward.from_spec(Run.open(tiny / "runs" / "tiny").reward_spec()) as reward:
        expected = reward(made)
    with load_reward(copied(model, tmp_path / "moved")) as loaded:
        found = loaded.score(made)
    assert [each.total for each in found] == pytest.approx([each.raw["rm"] for each in expected], abs=1e-6)
    assert [each.truncated for each in found] == [each.truncated for each in expected]
    assert any(each.truncated for each in found)
    assert len({each.total for each in found}) > len(ODD)


def test_a_hard_rule(model: Path) -> None:
    """A veto is a run's own; whoever loads the model says what it is worth here."""
    rule = Principle("vivid", *RULES["vivid"], veto=True)
    with load_reward(model) as reward:
        score = reward("Hello?", "Hi.", rule).total
    for below, total in ((score + 1, -5.0), (score - 1, score)):
        with load_reward(model, veto=Veto(below=below, floor=-5.0)) as reward:
            found = reward("Hello?", "Hi.", [rule, "brief"])
            assert found.vetoed == (("vivid",) if total == -5.0 else ())
            assert reward("Hello?", "Hi.", rule).total == pytest.approx(total, abs=1e-6)


def test_ways_to_name_principles(model: Path) -> None:
    text, negated = RULES["vivid"]
    assert negated is not None
    with load_reward(str(model)) as reward:

        def total(principles: Any) -> float:
            return reward("Hello?", "Hi.", principles).total

        vivid = total("vivid")
        same = [
            ["vivid"],
            text,
            [text],
            ShownPrinciple("any", text),
            [Principle("any", text)],
            {"name": "any", "text": text},
        ]
        assert [total(each) for each in same] == pytest.approx([vivid] * len(same))
        assert total("not vivid") == pytest.approx(total(negated))
        assert total("not vivid") != pytest.approx(vivid)
        brief = total("brief")
        assert total(None) == pytest.approx((3 * vivid + brief) / 4)  # mean, by the weights of its principles
        assert total([]) not in (vivid, brief)
        assert [p.name for p in reward.principles] == ["vivid", "brief"]
        assert reward([{"role": "user", "content": "Hello?"}], "Hi.", "vivid").total == pytest.approx(vivid)
        batch = reward.batch([("Hello?", "Hi."), ("Hello?", "No.")], "vivid")
        assert batch[0].total == pytest.approx(vivid)
        assert batch[0].principles == ("vivid",)
        for wrong, says in (
            ("vivd", "did you mean 'vivid'"),
            ("not brief", "no negated text"),
            (3, "not iterable|is a int"),
            ([3], "a principle is a name, a text or"),
        ):
            with pytest.raises((SalmonError, TypeError), match=says):
                total(wrong)
        with pytest.raises(SalmonError, match="ends with a user's turn"):
            reward([{"role": "assistant", "content": "x"}], "y")
        with pytest.raises(SalmonError, match="not a text"):
            reward("x", None)  # type: ignore[arg-type]
    with load_reward(model, combine="joint") as joint:
        assert joint("Hello?", "Hi.").total != pytest.approx((3 * vivid + brief) / 4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (None, "has no salmon.json"),
        ({"format": 2}, "has format 2, and this salmon-core knows 1"),
        ({"limits": {"prompt": 0, "completion": 1, "total": 1}}, "limits.prompt"),
        ({"principles": [{"name": "x"}]}, "needs `text`, `negated` or both"),
        ({"bonus": 1}, "bonus: there is no such option"),
        ("[]", "is no JSON object"),
        ("{", "is no JSON object"),
    ],
)
def test_a_document_that_is_wrong(change: Any, says: str, model: Path, tmp_path: Path) -> None:
    """Before any weight is read: the folder has none."""
    values = document_of(model)
    if isinstance(change, dict):
        (tmp_path / "salmon.json").write_text(json.dumps({**values, **change}))
    elif change is not None:
        (tmp_path / "salmon.json").write_text(change)
    with pytest.raises(SalmonError, match=re.escape(says)) as caught:
        load_reward(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(SalmonError, match="no such model folder"):
        load_reward(tmp_path / "nothing")
    with pytest.raises(SalmonError, match="cannot fetch it"):
        load_reward("nobody/nothing")  # HF_HUB_OFFLINE


def test_what_was_lost_is_made_again_without_training(tiny: Path, model: Path) -> None:
    """In its own place, which a training is known by; everything is as it was when it is done."""
    before = {file.name: file.read_bytes() for file in model.iterdir()}
    weights = (model / "model.safetensors").stat().st_mtime_ns
    (model / "salmon.json").unlink()
    (model / "README.md").write_text("changed")
    done = salmon("run", "salmon.yaml", cwd=tiny, timeout=900)
    assert done.code == 0, done.text
    assert "salmon.json is missing" in done.err
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before
    assert (model / "model.safetensors").stat().st_mtime_ns == weights


def test_importing_it_is_light(tmp_path: Path) -> None:
    code = "import sys; from salmon_core import load_reward; print({*sys.modules} & {'torch', 'transformers'})"
    assert printed(code, tmp_path).strip() == "set()"
