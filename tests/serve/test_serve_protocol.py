"""What is answered: ids and retries, every status, metrics, and who may ask."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from core_world import SALMON, environment, make_folder, salmon
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from serve_world import Server, free, make_bytes_job, make_bytes_world, row_of

from salmon_core.kit.reward_client import RewardClient, RewardServerError

# -- ids ---------------------------------------------------------------------------------------------------------------


def test_a_retried_id_is_answered_once_and_equally(server: Server) -> None:
    asked = [free("over there"), free("once more")]
    first = server.score(asked)
    scored = server.metric("salmon_rollouts_scored_total")
    for _ in range(3):
        assert server.score(asked).body == first.body
    assert server.score(asked[::-1]).json["rewards"] == first.json["rewards"][::-1]
    assert server.metric("salmon_rollouts_scored_total") == scored


def test_a_retry_of_what_is_being_computed_waits_for_it(server: Server) -> None:
    asked = [free("SLEEP0.5 o")]
    scored = server.metric("salmon_rollouts_scored_total")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.score(asked), range(8)))
    assert {answer.body for answer in answers} == {answers[0].body}
    assert answers[0].status == 200
    assert server.metric("salmon_rollouts_scored_total") == scored + 1


def test_defaults_written_out_are_the_same_content(server: Server) -> None:
    plain = free("the same")
    full = {**plain, "category": "general", "rollout_index": 0, "stopped": True, "completion_ids": []}
    assert server.score([plain]).body == server.score([full]).body


def test_an_id_for_other_content_is_a_conflict(server: Server) -> None:
    used = free("one thing")
    server.score([used])
    other = free("fresh")
    answer = server.score([other, {**used, "completion": "another thing"}])
    assert (answer.status, answer.error["where"]) == (409, "rollouts[1].id")
    assert server.score([{**other, "completion": "still free"}]).status == 200  # nothing of a refused request counts
    twice = free("a")
    assert server.score([twice, {**twice, "completion": "b"}]).status == 409
    assert len(server.score([twice, twice]).totals) == 2
    slow = free("SLEEP1.5")
    thread = threading.Thread(target=server.score, args=([slow],))
    thread.start()
    time.sleep(0.7)
    assert server.score([{**slow, "completion": "x"}]).status == 409
    thread.join()


def _until(holds: Any, tries: int = 50) -> bool:
    return any(holds() for _ in range(tries))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "oo", "é o"])), min_size=1, max_size=4)))
def test_ids_behave_like_a_dictionary(server: Server, requests: list[list[tuple[int, str]]]) -> None:
    """The first content of an id wins; a request with any conflict leaves no trace."""
    run, model = uuid.uuid4().hex, dict[int, str]()
    for request in requests:
        after = dict(model)
        fits = all(after.setdefault(number, text) == text for number, text in request)
        answer = server.score(
            [{"id": f"{run}-{number}", "prompt": "p", "completion": text, "principles": []} for number, text in request]
        )
        assert answer.status == (200 if fits else 409)
        if fits:
            model = after
            assert [r["raw"]["moody"] for r in answer.json["rewards"]] == [t.count("o") / 8 for _, t in request]


# -- statuses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "wrong-but-long-enough", "é" * 20])
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/rewards"), ("GET", "/metrics")])
def test_no_token_no_answer(server: Server, method: str, path: str, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": b"Bearer " + token.encode("latin-1")}
    answer = server.ask(method, path, b"{}", token=None, headers=headers)  # type: ignore[arg-type]
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert server.token not in answer.body.decode()


def test_the_raw_path_takes_the_token_as_its_last_part(server: Server) -> None:
    body = {"query": ["hi"], "prompts": ["hi"], "labels": [None]}
    for path in ("/get_reward/wrong", "/get_reward/" + "x" * len(server.token), f"/get_reward/{server.token}x"):
        assert server.ask("POST", path, body, token=None).status == 401
    assert server.ask("POST", "/get_reward", body).status == 404
    assert server.ask("POST", f"/get_reward/{server.token}", body, token=None).status == 200


BAD = [
    (b"", "body"),
    (b"{", "body"),
    (b"[]", "body"),
    (b'{"rollouts": []}', "rollouts"),
    (b'{"rollouts": [1]}', "rollouts[0]"),
    (b'{"rollouts": [{"id": "", "prompt": "a", "completion": "b"}]}', "rollouts[0].id"),
    (b'{"rollouts": [{"id": "x", "completion": "b"}]}', "rollouts[0]"),
    (b'{"rollouts": [{"id": "x", "prompt": "a", "messages": [], "completion": "b"}]}', "rollouts[0].messages"),
    (b'{"rollouts": [{"id": "x", "prompt": "a", "completion": "\\ud800"}]}', "body"),
    (b'{"rollouts": [{"id": "x", "prompt": "a", "completion": "b", "colour": 1}]}', "rollouts[0].colour"),
    (b'{"rollouts": [{"id": "x", "prompt": "a", "completion": "b", "n_tokens": -1}]}', "rollouts[0].n_tokens"),
    (b'{"rollouts": [{"id": "x", "prompt": "a", "completion": "b", "principles": ["odd"]}]}', "rollouts[0].principles"),
    (b'{"rollouts": [{"id": "x", "row": 99, "completion_ids": [], "stopped": false}]}', "rollouts[0].row"),
    (b'{"rollouts": [{"id": "x", "row": 1, "completion_ids": [], "stopped": true}]}', "rollouts[0]"),
    (
        b'{"rollouts": [{"id": "x", "row": 1, "completion_ids": [-1], "stopped": true}]}',
        "rollouts[0].completion_ids[0]",
    ),
    (b"[" * 100_000, "body"),
]


@pytest.mark.parametrize(("body", "where"), BAD, ids=lambda value: str(value)[:60])
def test_bad_input_has_a_place(server: Server, body: bytes, where: str) -> None:
    answer = server.ask("POST", "/v1/rewards", body)
    assert answer.status == 422, answer.body
    assert answer.error["where"] == where
    assert len(answer.error["message"]) < 1000


def test_bad_input_harms_nobody_in_the_same_batch(server: Server) -> None:
    """Principles that leave no room are the asker's mistake, not a failure of the reward."""
    endless = {"name": "endless", "text": "e" * 3000}
    asked = [[free("SLEEP0.3")], *([free("o" * i)] for i in range(8)), [free("o", principles=[endless])]]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(server.score, asked))
    assert [answer.status for answer in answers] == [200] * 9 + [422]
    assert answers[-1].error["where"] == "rollouts[0].principles"
    assert [a.json["rewards"][0]["raw"]["moody"] for a in answers[1:9]] == [i / 8 for i in range(8)]


def test_too_large_is_413(server: Server) -> None:
    assert server.score([free("x") for _ in range(1025)]).status == 413
    assert server.score([free("x" * 200_001)]).status == 413
    answer = server.ask("POST", "/v1/rewards", b"x" * (9 << 20))
    assert answer.status == 413
    headers = {"Content-Length": str(1 << 40)}
    assert server.ask("POST", "/v1/rewards", b"", headers=headers).status == 413  # before anything of it arrives


def test_raw_refuses_what_it_cannot_use(server: Server) -> None:
    prompt = "<|user|>Hm<|assistant|>"
    assert server.raw("other", prompt).error["where"] == "query[0]"
    assert server.raw(prompt + "o", prompt, '{"colour": 1}').error["where"] == "labels[0]"
    assert server.raw(prompt + "o", prompt, '{"principles": "kind"}').error["where"].startswith("labels[0].principles")
    assert server.raw(prompt + "o", prompt, 77).error["where"] == "row"
    two = {"query": ["a", "b"], "prompts": ["a", "b"], "labels": [1, 2]}
    assert server.ask("POST", f"/get_reward/{server.token}", two, token=None).status == 413


def test_raw_labels(server: Server) -> None:
    """A row's number, what to ask, or nothing that helps."""
    prompt = row_of(7)["prompt"]
    by_row = server.raw(f"{prompt}foo</s>", prompt, 7).json
    assert by_row == server.raw(f"{prompt}foo</s></s>", prompt, "7").json
    told = {"prompt": "Question number 7?", "principles": ["kind"]}
    assert by_row == server.raw(f"{prompt}foo</s>", prompt, told).json
    assert by_row == server.raw(f"{prompt}foo</s>", prompt, json.dumps(told)).json
    for label in (None, "", "some answer", True, [1]):
        assert server.raw(f"{prompt}foo</s>", prompt, label).json["extra_logs"]["moody"] == 2 / 8


def test_unknown_paths_and_methods(server: Server) -> None:
    for method, path, status in (("GET", "/", 404), ("GET", "/v1/rewards", 405), ("DELETE", "/health", 405)):
        answer = server.ask(method, path)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
        assert answer.error["message"]
    assert server.ask("GET", "/docs").status == 404  # would load scripts from elsewhere


# -- around it ---------------------------------------------------------------------------------------------------------


def test_health_and_metrics(server: Server) -> None:
    assert server.ask("GET", "/health", token=None).json["status"] == "ok"
    before = server.metric("salmon_rollouts_scored_total")
    server.score([free("oo"), free("e")])
    assert server.metric("salmon_rollouts_scored_total") == before + 2
    text = server.ask("GET", "/metrics").body.decode()
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert kinds["salmon_requests"] == kinds["salmon_fallbacks"] == "counter"
    assert kinds["salmon_component_sum"] == kinds["salmon_rollouts_queued"] == "gauge"
    assert kinds["salmon_request_seconds"] == "histogram"
    assert server.metric('salmon_requests_total{route="/v1/rewards",status="200"}') >= 1
    parts = sum(server.metric(f'salmon_component_sum{{component="{name}"}}') for name in ("rm", "letters", "moody"))
    assert parts == pytest.approx(server.metric("salmon_reward_sum"))
    size = len(text.splitlines())
    for i in range(30):
        server.ask("GET", f"/{i}")
        server.score([free("o" * i, category=f"c{i}")])
    assert len(server.ask("GET", "/metrics").body.decode().splitlines()) <= size + 3
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = server.ask("GET", "/metrics", headers=wanted)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


def test_another_reward_model_than_the_runs(tmp_path: Path) -> None:
    """By `--rm`, even if the run has trained none yet."""
    reward = {"principles": "rules.yaml", "show": 1, "engine": "bytes"}
    config = make_folder(tmp_path / "world", reward=reward)
    done = salmon("serve", config, cwd=tmp_path)
    assert done.code == 1
    assert "train-rm" in done.err
    argv = [str(SALMON), "serve", str(config), "--rm", str(config.parent / "policy")]
    with Server(argv, tmp_path / "server") as server:
        (reward,) = server.score([free("e" * 5, principles=[])]).json["rewards"]
        assert reward["components"] == {"rm": reward["total"]}


def test_the_ready_file_and_the_token_are_for_their_owner(bytes_world: Path, tmp_path: Path) -> None:
    with Server.of(bytes_world, tmp_path, "--raw") as server:
        assert stat.S_IMODE(server.ready.stat().st_mode) == 0o600
        assert set(json.loads(server.ready.read_text())) == {"url", "token", "pid"}
        assert server.host == "127.0.0.1"
        server.score([free("o")])
        server.raw("ab", "a")
        server.ask("POST", f"/get_reward/{server.token}", b"{", token=None)
        server.ask("GET", f"/nowhere/{server.token}")
        for process in [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]:
            assert not any(server.token in part for part in process.cmdline())
    assert server.token not in server.log.read_text()
    assert not server.ready.exists()


@pytest.mark.parametrize("way", ["file", "environment"])
def test_a_token_of_ones_own(way: str, bytes_world: Path, tmp_path: Path) -> None:
    token = "a-token-of-my-own.0123456789"
    file = tmp_path / "token"
    file.write_text(token + "\n")
    file.chmod(0o600)
    options, env = (["--token-file", str(file)], {}) if way == "file" else ([], {"SALMON_SERVE_TOKEN": token})
    with Server.of(bytes_world, tmp_path / "server", *options, env=env) as server:
        assert server.token == token
        assert server.score([free("o")]).status == 200
        assert server.ask("POST", f"/get_reward/{token}", b"{}", token=None).status == 404  # not without --raw


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_token_file_others_can_read_is_refused(mode: int, bytes_world: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("0123456789abcdef0123")
    file.chmod(mode)
    done = salmon("serve", bytes_world, "--token-file", file, cwd=tmp_path)
    assert done.code == 1
    assert f"chmod 600 {file}" in done.err
    assert "0123456789abcdef" not in done.text


def test_what_cannot_be_served_is_said_in_one_line(bytes_world: Path, tmp_path: Path) -> None:
    config, other = bytes_world, make_bytes_world(tmp_path / "other", engine={"name": "bytes", "scale": 2})
    (other.parent / "rm" / "config.json").unlink()
    (tmp_path / "short").write_text("short")
    (tmp_path / "short").chmod(0o600)
    (tmp_path / "job.json").write_text("{}")
    for args, message in [
        ([], "give either CONFIG or --job"),
        ([config, "--job", "x"], "give either CONFIG or --job"),
        ([tmp_path / "none.yaml"], "none.yaml"),
        ([tmp_path], "there is no run in this folder"),
        ([config, "--rm", tmp_path / "none"], "there is no reward model"),
        ([config, "--rows", tmp_path / "short"], "not a readable Parquet file"),
        ([config, "--token-file", tmp_path / "short"], "the token is too short"),
        ([config, "--host", "no.such.host.invalid"], "cannot listen there"),
        ([config, "--max-queue", "10"], "--max-queue"),
        ([other], "it has no config.json"),
        (["--job", tmp_path / "job.json"], "is no job"),
        (["--job", tmp_path / "job.json", "--rm", tmp_path], "a job brings its own"),
        ([config, "--log-rollouts", "2"], "only a job's rollouts are written"),
        ([config, "--ready-file", tmp_path], f"{tmp_path}: Is a directory (name a file)"),
    ]:
        done = salmon("serve", *args, cwd=tmp_path)
        assert done.code in (1, 2), (args, done.text)
        assert message in done.err, (args, done.text)
        assert "Traceback" not in done.text


def test_a_job_without_a_reward_model(tmp_path: Path, bytes_world: Path) -> None:
    """Its rows say which principles may be named; nothing says which to draw."""
    job = make_bytes_job(tmp_path, bytes_world)
    with Server([str(SALMON), "serve", "--job", str(job)], tmp_path / "server") as server:
        by_row = {"id": "r", "row": 7, "completion_ids": [*b"foo", 257], "stopped": True}
        answer = server.score([by_row, free("foo", principles=["kind"])])
        assert answer.totals == [0.5, 0.5]
        assert [reward["principles"] for reward in answer.json["rewards"]] == [["kind"], ["kind"]]
        assert server.score([free("foo")]).error["where"] == "rollouts[0].principles"


def test_a_service_that_cannot_start_tells_its_pipeline(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{}")
    argv = [sys.executable, "-m", "salmon_serve", "job.json"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, env=environment())
    assert done.returncode == 1
    assert "is no job" in json.loads((tmp_path / "error.json").read_text())["message"]
    assert "Traceback" not in done.stderr


def test_a_taken_port(server: Server, bytes_world: Path, tmp_path: Path) -> None:
    done = salmon("serve", bytes_world, "--port", str(server.port), cwd=tmp_path)
    assert done.code == 1
    assert "cannot listen there" in done.err


def test_the_client(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = RewardClient.from_ready_file(server.ready)
    rewards = client.score([{"prompt": "p", "completion": "o" * i, "principles": []} for i in range(600)])
    assert [reward["raw"]["moody"] for reward in rewards] == [i / 8 for i in range(600)]
    with pytest.raises(RewardServerError, match=r"rollouts\[0\].row: .*no row 99") as refused:
        client.score([{"row": 99, "completion_ids": [], "stopped": False}])
    assert refused.value.status == 422
    with pytest.raises(RewardServerError, match="HTTP 401"):
        RewardClient(server.url, "wrong" * 5).score([free("o")])
    monkeypatch.setenv("SALMON_REWARD_SERVICE", str(server.ready))
    assert RewardClient.from_ready_file().score([free("o")])[0]["raw"]["moody"] == 1 / 8
    with pytest.raises(RewardServerError, match="is the server running"):
        RewardClient.from_ready_file(tmp_path / "none.json")


def test_the_default_ready_file_lies_in_the_run(bytes_world: Path, tmp_path: Path) -> None:
    started = subprocess.Popen([str(SALMON), "serve", str(bytes_world)], cwd=tmp_path, env=environment())
    ready = tmp_path / "runs" / "toy" / "services" / "reward.json"
    try:
        assert _until(lambda: ready.exists() or time.sleep(0.1), 300)
    finally:
        started.terminate()
        assert started.wait(30) == 0
    assert not ready.exists()
