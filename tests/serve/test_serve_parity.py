"""The server's rewards are the reward's: by row, free, and through the raw protocol."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from core_world import SALMON, salmon
from serve_world import Server, by_row, free, make_bytes_world
from trl_world import words

from salmon_core.api import Job
from salmon_core.records import RewardBreakdown, Rollout
from salmon_core.reward.reward import Reward
from salmon_serve.load import read_rows

CLOSE = 1e-5


def assert_equal(served: Sequence[dict[str, Any]], own: Sequence[RewardBreakdown]) -> None:
    for one, other in zip(served, own, strict=True):
        assert one["total"] == pytest.approx(other.total, abs=CLOSE)
        assert one["components"] == pytest.approx(dict(other.components), abs=CLOSE)
        assert one["raw"] == pytest.approx(dict(other.raw), abs=CLOSE)
        assert one["principles"] == list(other.principles)
        assert (one["truncated"], one["fallbacks"]) == (other.truncated, list(other.fallbacks))
        for name in ("by_principle", "shares", "left_out"):
            assert one[name] == pytest.approx(dict(getattr(other, name)), abs=CLOSE)
        assert one["vetoed"] == list(other.vetoed)
        assert one["interventions"] == list(other.interventions)


class InProcess:
    """The same reward, rows and tokenizer, used as the TRL backend uses them."""

    def __init__(self, job_file: Path):
        from transformers import AutoTokenizer

        job = Job.from_json(job_file.read_text())
        assert job.reward is not None
        self.reward = Reward.from_spec(job.reward)
        self.rows = read_rows(Path(job.data["train"]))
        self.tokenizer = AutoTokenizer.from_pretrained(job.model.path)

    def __call__(self, items: Sequence[dict[str, Any]]) -> list[RewardBreakdown]:
        texts = self.tokenizer.batch_decode(
            [item["completion_ids"] for item in items], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return self.reward(
            [
                Rollout.from_row(
                    self.rows[item["row"]],
                    text,
                    completion_ids=item["completion_ids"],
                    stopped=item["stopped"],
                    rollout_index=item["rollout_index"],
                )
                for item, text in zip(items, texts, strict=True)
            ]
        )


@pytest.fixture(scope="module")
def in_process(tiny_job: Path) -> InProcess:
    return InProcess(tiny_job)


def rollouts(count: int, in_process: InProcess, seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    top, eos = len(in_process.tokenizer), in_process.tokenizer.eos_token_id
    return [{"id": f"{seed}-{i}", **by_row(i, rng=rng, top=top, eos=eos)} for i in range(count)]


def test_by_row_in_one_request(tiny_server: Server, in_process: InProcess) -> None:
    items = rollouts(160, in_process, 1)
    answer = tiny_server.score(items)
    assert answer.status == 200, answer.body
    served = answer.json["rewards"]
    assert [reward["id"] for reward in served] == [item["id"] for item in items]
    assert_equal(served, in_process(items))
    assert len({round(reward["components"]["rm"], 4) for reward in served}) > 100  # they really differ
    assert {len(reward["principles"]) for reward in served} == {1, 2}  # with and without the intervention


def test_by_row_one_by_one_from_many_clients(tiny_server: Server, in_process: InProcess) -> None:
    """Batches form by chance; every answer is its own question's."""
    items = rollouts(120, in_process, 2)
    before = tiny_server.metric("salmon_batch_rollouts_count")
    with ThreadPoolExecutor(16) as pool:
        served = list(pool.map(lambda item: tiny_server.score([item]).json["rewards"][0], items))
    assert [reward["id"] for reward in served] == [item["id"] for item in items]
    assert_equal(served, in_process(items))
    assert tiny_server.metric("salmon_batch_rollouts_count") - before < 100  # they were batched


def test_raw_is_the_same_reward(tiny_server: Server, in_process: InProcess) -> None:
    """Special tokens in the query give back the ids, whether it stopped, and where padding begins."""
    rng, tokenizer = random.Random(3), in_process.tokenizer
    items: list[dict[str, Any]] = []
    for i in range(40):
        stopped = rng.random() < 0.7
        ids = tokenizer(words(rng, 1, 40), add_special_tokens=False)["input_ids"]  # spelled as a tokenizer does
        ids += [tokenizer.eos_token_id] * stopped
        items.append({"row": i, "completion_ids": ids, "stopped": stopped, "rollout_index": 0})
    own = in_process(items)
    for item, expected in zip(items, own, strict=True):
        prompt = in_process.rows[item["row"]]["prompt"]
        text = tokenizer.decode(item["completion_ids"], skip_special_tokens=False)
        text += tokenizer.eos_token * (2 * item["stopped"])  # as padding, where pad is eos
        answer = tiny_server.raw(prompt + text, prompt, str(item["row"]))
        assert answer.status == 200, answer.body
        values = answer.json
        assert values["rewards"] == values["scores"] == pytest.approx(expected.total, abs=CLOSE)
        logs = {"truncated": float(expected.truncated > 0), "fallbacks": 0.0, **expected.components}
        assert values["extra_logs"] == pytest.approx(logs, abs=CLOSE)


def test_free_is_what_salmon_score_says(tmp_path: Path) -> None:
    config = make_bytes_world(tmp_path)
    assert salmon("run", "salmon.yaml", "--until", "prompts", cwd=tmp_path).code == 0
    rows = [
        {"prompt": f"Where is number {i}?", "completion": "over there " * (i % 5), "category": "general"}
        for i in range(30)
    ]
    rows += [{"messages": [{"role": "user", "content": "Hm"}, {"role": "assistant", "content": "Yes"},
                           {"role": "user", "content": "So?"}], "completion": "so", "stopped": False}]  # fmt: skip
    rows += [{"prompt": "Ids", "completion": "ab", "completion_ids": [97, 98, 257]}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = salmon("score", "runs/toy", "rows.jsonl", cwd=tmp_path)
    assert done.code == 0, done.text
    expected = [json.loads(line) for line in done.out.splitlines()]
    for place in (config, tmp_path / "runs" / "toy"):  # a configuration, or the folder of its run
        with Server([str(SALMON), "serve", str(place)], tmp_path / f"server-{place.name}") as server:
            answer = server.score([{"id": str(i), **row} for i, row in enumerate(rows)])
            assert answer.status == 200, answer.body
            for one, other in zip(answer.json["rewards"], expected, strict=True):
                assert {key: value for key, value in one.items() if key != "id"} == {
                    key: value for key, value in other.items() if key != "prompt_id"
                }


def test_named_and_written_principles(server: Server) -> None:
    text = {"name": "own", "text": "The answer is green.", "negated": False}
    answer = server.score(
        [
            free("one", principles=["kind", "not short", text]),
            free("one", principles=[]),
            free("one", principles=[{**text, "negated": True}]),
        ]
    )
    shown = [reward["principles"] for reward in answer.json["rewards"]]
    assert shown == [["kind", "not short", "own"], [], ["not own"]]
