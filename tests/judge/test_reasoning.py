"""The judge `reasoning`, by the command line: a server whose answers are known, and tiny models that vote."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from openai_engine.openai_engine_server import OpenAIServer
from run_world import rows, salmon, write
from voting_models import CHATML, SPECIALS, TURNS, save, tokenizer

from salmon_core.kit.hf import HFCodec

SHOWN = re.compile(
    r"\[\[response a\]\]\n(.*)\n\[\[response b\]\]\n(.*)\n\[\[judged by\]\]\n\[\[principle\]\] (.*) \[\[end", re.DOTALL
)


# --- a server that argues ---


def opinion(body: Mapping[str, Any]) -> tuple[str, str]:
    """What is said, and the verdict in it: `a`, `b`, or `none`; by texts and seed alone."""
    found = SHOWN.search(body["messages"][0]["content"])
    assert found, body
    a, b, rule = found.groups()
    chance = int(hashlib.sha256(str(body["seed"]).encode()).hexdigest(), 16) % 9
    counted = [len(each) if rule in (LONG, SHORT) else len(re.findall("[aeiou]", each)) for each in (a, b)]
    less = rule in (SHORT, FEW)
    verdict = "a" if (counted[0] < counted[1]) == less else "b"
    if chance == 0:
        return f"Both have merits, {chance}.", "none"
    if chance == 1:
        return f"I go on and on, and never come to\nVerdict: {verdict}", "cut"
    if chance == 2:
        verdict = "ab"[verdict == "a"]
    line = ("Verdict: {}", "**Verdict: {}**", "verdict: ({}).", "Verdict: [{}]!")[chance % 4].format(verdict.upper())
    return f"They have {counted[0]} and {counted[1]}.\n\n{line}\n", verdict


SHORT, LONG, FEW = "The answer is short.", "The answer is long.", "The answer has few vowels."


class Arguing(OpenAIServer):
    def choice(self, text: str, body: dict[str, Any]) -> dict[str, Any]:
        if "holds the verdict" not in text:
            return super().choice(text, body)
        said, verdict = opinion(body)
        return {"text": said, "finish_reason": "length" if verdict == "cut" else "stop"}


def far(url: str, **judge: Any) -> dict[str, Any]:
    chosen = {"name": "openai", "base_url": url, "cache": "answers.sqlite"}
    return {
        "policy": {"model": "served"},
        "sample": {"engine": chosen, "max_new_tokens": 24, "shard_size": 4},
        "judge": {
            "judge": {"name": "reasoning", "max_new_tokens": 64, "batch_pairs": 3, **judge},
            "engine": chosen,
            "principles": "rules.yaml",
            "shard_size": 4,
        },
    }


def by_hand(bodies: list[dict[str, Any]], folder: Path) -> dict[tuple[str, str], tuple[float, float, int]]:
    """(s12, s21, unread) by pair and principle, from what the server was asked and said."""
    texts = {(row["prompt_id"], row["index"]): row["text"] for row in rows(folder / "sample")}
    ballots: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for body in bodies:
        found = SHOWN.search(body["messages"][0]["content"])
        if found:
            ballots[found.groups()].append(opinion(body)[1])  # type: ignore[index]
    expected = {}
    for prompt in {prompt for prompt, _ in texts}:
        one, two = texts[prompt, 0], texts[prompt, 1]
        for name, rule in (("short", SHORT), ("plain", FEW)):
            order12, order21 = ballots[one, two, rule], ballots[two, one, rule]
            s12, s21 = (
                math.log((said.count(mine) + 0.5) / (said.count(other) + 0.5))
                for said, mine, other in ((order12, "a", "b"), (order21, "b", "a"))
            )
            lost = sum(each in ("none", "cut") for each in order12 + order21)
            expected[f"{prompt}/0-1", name] = (s12, s21, lost)
    return expected


@pytest.mark.slow
def test_a_run_whose_judge_argues_behind_an_endpoint(tmp_path: Path) -> None:
    with Arguing() as server:
        write(tmp_path, prompts=30, **far(server.url, votes=3))
        told = salmon(tmp_path, "run", "salmon.yaml", "--until", "verdict")
        run = tmp_path / "runs" / "far"
        judged = rows(run / "judge")
        first = json.loads(json.dumps(server.bodies))
        asked = [body for body in first if "holds the verdict" in json.dumps(body)]
        expected = by_hand([body for body in asked if "Someone gave" not in json.dumps(body)], run)
        assert len(judged) == 2 * 27
        for row in judged:
            s12, s21, lost = expected[row["pair_id"], row["principle"]]
            assert (row["s12"], row["s21"]) == (pytest.approx(s12), pytest.approx(s21))
            assert (row["answers"], row["unread"]) == (6, lost)
        lost = sum(row["unread"] for row in judged)
        assert lost > 0.1 * 6 * len(judged)
        # Said while judging, in the verdict, and in the stage's numbers.
        assert f"{lost} of {6 * len(judged)} answers of the judge are no verdict or missing" in told
        verdict = json.loads((run / "verdict" / "verdict.json").read_text())
        assert (verdict["whole"]["answers"], verdict["whole"]["unread"]) == (6 * len(judged), lost)
        assert sum(own["unread"] for own in verdict["principles"].values()) == lost
        assert verdict["whole"]["verdict"] == "good"
        assert verdict["whole"]["turns_round"]["low"] > 0.3
        manifest = json.loads((run / "judge" / "manifest.json").read_text())["metrics"]
        assert (manifest["answers"], manifest["unread"]) == (6 * len(judged), lost)
        # One conversation each; a prompt's turns and sections came as text.
        for body in asked:
            assert [message["role"] for message in body["messages"]] == ["user"]
            assert body["messages"][0]["content"].endswith("Choose one of them even where they are close.\n")
            assert body["messages"][0]["content"].count("[[verdict") == 0
            assert (body["temperature"], body["max_tokens"]) == (0.7, 64)
        # An argument of the majority, which is read by its own order.
        reasons = [row["reason"] for row in judged if row["reason"] is not None]
        assert any(reason.startswith("They have ") for reason in reasons)
        assert all("erdict" not in reason for reason in reasons)
        # Nothing is paid for twice, and the same is said again.
        answered = Counter(server.answered)
        assert set(answered.values()) == {1}
        salmon(tmp_path, "run", "salmon.yaml", "--until", "verdict", "--set", "run.name=again")
        assert server.answered == answered
        assert rows(tmp_path / "runs" / "again" / "judge") == judged
        # Nor by other shards and batches.
        other = ["--set", "judge.shard_size=7", "--set", "judge.judge.batch_pairs=2", "--set", "run.name=other"]
        salmon(tmp_path, "run", "salmon.yaml", "--until", "judge", *other)
        assert server.answered == answered
        assert rows(tmp_path / "runs" / "other" / "judge") == judged


def test_what_can_be_told_before(tmp_path: Path) -> None:
    write(tmp_path, **far("http://127.0.0.1:9/v1", votes=5))
    said = salmon(tmp_path, "check", "salmon.yaml", quick=False)
    assert "the judge served is asked in a conversation, by its chat template (judge.form: auto)" in said
    plan = json.loads(salmon(tmp_path, "plan", "--json", "salmon.yaml", quick=False))
    # 9 pairs, 2 principles, 2 orders, 5 votes; and again by negated principles and in other words.
    assert plan["judge"]["counts"]["calls"] == 9 * 2 * 2 * 5
    assert plan["verdict"]["counts"]["calls"] == 9 * 4 * 2 * 5
    assert "in 2 orders, 5 answers to each" in salmon(tmp_path, "plan", "salmon.yaml", quick=False)
    wrong = salmon(tmp_path, "check", "salmon.yaml", "--set", "judge.judge.temperature=0", code=2)
    assert "judge.judge: at temperature 0 all 5 votes are the same; set votes: 1" in wrong


# --- models on this machine ---


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`policy` writes letters; `judge` and `base` vote, the one by another chat format, the other by none."""
    folder = tmp_path_factory.mktemp("models")
    letters = {"\n": "qrstuv", **dict.fromkeys("qrstuv", "qrstuv\n$")}
    save(folder / "policy", CHATML, says=letters)
    save(folder / "judge", TURNS)
    save(folder / "base", None)
    return folder


SPY = '''
import json
from salmon_core import Component, hookimpl
from salmon_core.api import Judge
from salmon_core.records import Judgment


class Spy(Judge):
    """Writes down what models would read."""

    def __init__(self, ability: str):
        self.ability = ability

    def judge(self, pairs, principles, context):
        getattr(context, self.ability)
        shown, found = [principle.shown() for principle in principles], []
        with open(FILE, "a") as file:
            for pair in pairs:
                for asked in (context.render(pair, shown), context.ask(pair, shown, "Why?\\n", room=8)):
                    for request in asked:
                        file.write("".join(json.dumps([pair.id, text]) + "\\n" for text in request.texts))
                found += [Judgment(pair.id, each.name, 1.0, 1.0) for each in principles]
        return found


@hookimpl
def salmon_judges():
    yield Component("spy", Spy, "for a test")
'''


def near(models: Path, judge: Any, model: str = "judge") -> dict[str, Any]:
    return {
        "policy": {"model": str(models / "policy"), "dtype": "float32"},
        "sample": {"max_new_tokens": 24, "temperature": 1.0, "batch_size": 16},
        "judge": {
            "judge": judge,
            "model": str(models / model),
            "engine": {"name": "transformers", "batch_tokens": 4096},
            "principles": "rules.yaml",
            "shard_size": 4,
            "on_weak": "warn",
        },
    }


@pytest.mark.slow
def test_another_models_judge_votes(models: Path, tmp_path: Path) -> None:
    """And each vote is a draw of its own, the same in every batch."""
    judge = {"name": "reasoning", "votes": 4, "temperature": 1.0, "max_new_tokens": 16, "batch_pairs": 3}
    write(tmp_path, **near(models, judge))
    said = salmon(tmp_path, "check", "salmon.yaml", quick=False)
    assert f"the judge {models / 'judge'} is asked in a conversation, by its chat template" in said
    salmon(tmp_path, "run", "salmon.yaml", "--until", "verdict")
    run = tmp_path / "runs" / "far"
    judged = rows(run / "judge")
    assert len(judged) == 9 * 2
    possible = {math.log((a + 0.5) / (b + 0.5)) for a in range(5) for b in range(5 - a)}
    assert all(min(abs(row[key] - each) for each in possible) < 1e-5 for row in judged for key in ("s12", "s21"))
    answers, unread = (sum(row[key] for row in judged) for key in ("answers", "unread"))
    assert answers == 8 * len(judged)
    assert 0.15 < unread / answers < 0.5, "a third says no"
    assert len({(row["s12"], row["s21"]) for row in judged}) > 5
    again = ["--set", "run.name=again", "--set", "judge.judge.batch_pairs=1"]
    salmon(tmp_path, "run", "salmon.yaml", "--until", "judge", *again)
    assert rows(tmp_path / "runs" / "again" / "judge") == judged
    # Chance that is asked again says something else.
    negated = {(row["pair_id"], row["principle"]): row["s12"] for row in rows(run / "verdict", "negated.parquet")}
    assert sum(negated[row["pair_id"], row["principle"]] != row["s12"] for row in judged) > 4
    # A base model is asked as plain text, and another model is another stage.
    base = ["--set", f"judge.model={models / 'base'}"]
    assert "is asked as plain text" in salmon(tmp_path, "check", "salmon.yaml", *base, quick=False)
    assert "judge         already done" not in salmon(tmp_path, "run", "salmon.yaml", "--until", "judge", *base)
    assert sum(row["unread"] for row in rows(run / "judge")) < answers


@pytest.mark.slow
def test_another_model_judges_by_logits(models: Path, tmp_path: Path) -> None:
    write(tmp_path, **near(models, "self-judge"))
    said = salmon(tmp_path, "check", "salmon.yaml", quick=False)
    assert f"the judge {models / 'judge'} is asked in a conversation, by its chat template" in said
    salmon(tmp_path, "run", "salmon.yaml", "--until", "verdict")
    judged = rows(tmp_path / "runs" / "far" / "judge")
    assert len(judged) == 9 * 2
    # Its two letters are alike after every text.
    assert {round(row["s12"], 3) for row in judged} == {0.0}
    assert {(row["answers"], row["unread"]) for row in judged} == {(0, 0)}


@pytest.mark.parametrize("ability", ["chooser", "sampler"])
def test_texts_are_safe_for_judge_and_policy(ability: str, models: Path, tmp_path: Path) -> None:
    """No text has a special token of either tokenizer but those that the judge's own format puts there."""
    (tmp_path / "spy.py").write_text(SPY.replace("FILE", repr(str(tmp_path / "texts.jsonl"))))
    write(tmp_path, **near(models, {"name": "spy", "ability": ability}), plugins=["spy.py"])
    salmon(tmp_path, "run", "salmon.yaml", "--until", "judge")
    texts = [json.loads(line)[1] for line in (tmp_path / "texts.jsonl").read_text().splitlines()]
    assert len(texts) == 9 * 2 * 2 * 2
    codecs = {chat: HFCodec(tokenizer(chat), name="tiny") for chat in (CHATML, TURNS)}
    control = {
        chat: {codec.encode(token)[0] for token in (*SPECIALS[chat], codec.eos_token)} for chat, codec in codecs.items()
    }
    turns = codecs[TURNS].encode("<turn:user><end><turn:assistant>")
    for text in texts:
        assert [i for i in codecs[TURNS].encode(text) if i in control[TURNS]] == turns
        assert not [i for i in codecs[CHATML].encode(text) if i in control[CHATML]]
        assert text.count("[[verdict") == (1 if text.endswith("[[verdict]]\n") else 0)


def test_a_judge_without_room_for_its_answers(models: Path, tmp_path: Path) -> None:
    judge = {"name": "reasoning", "max_new_tokens": 8000}
    write(tmp_path, **near(models, judge))
    said = salmon(tmp_path, "check", "salmon.yaml", quick=False, code=2)
    assert "judge.judge: the template and the principles alone need" in said
    assert "beside the 8000 that are kept for the answer" in said
