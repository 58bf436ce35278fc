"""What is refused before any process starts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import below
from vllm_world import LENGTH, engine, model, standin

from salmon_core.api import Ability
from salmon_core.errors import ConfigError, SalmonError
from salmon_vllm.adapter import adapter_rank
from salmon_vllm.engine import _device

LORA = {"peft_type": "LORA", "r": 12, "bias": "none", "target_modules": ["q_proj"], "base_model_name_or_path": "base"}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"python": "venv/bin/python"}, "is a relative path"),
        ({"extra": {"trust_remote_code": True}}, "belongs to the model"),
        ({"extra": {"model": "x", "dtype": "auto"}}, "cannot set dtype, model: the engine does"),
        ({"extra": {"seed": {1, 2}}}, "that JSON cannot say"),
        ({"gpu_memory_utilization": 1.5}, "less than or equal to 1"),
        ({"kv_cache_gib": 0}, "greater than 0"),
        ({"tensor_parallel": 2}, "tensor_parallel"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        engine(**options)


def test_an_interpreter_without_vllm(tmp_path: Path, make: Callable[..., Path]) -> None:
    """Is told by `check`, and by every method that opens a model; nothing is started."""
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    no_program = tmp_path / "text"
    no_program.write_text("no program")
    no_program.chmod(0o755)
    cases = {
        None: "has no vLLM",
        sys.executable: "has no vLLM",
        "/nowhere/python": "there is no such interpreter",
        "no-such-python": "there is no such interpreter",
        str(broken): r"no interpreter that works \(exit code 7\)",
        str(no_program): "no interpreter that starts",
    }
    before = below()
    for python, why in cases.items():
        made = engine(python=python)
        with pytest.raises(SalmonError, match=why) as caught:
            made.check(model(make()), "sampler")
        assert "option `python`" in str(caught.value.hint)
        with pytest.raises(SalmonError, match=why):
            made.chooser(model(make()))
    assert below() == before
    engine(python=standin(tmp_path)).check(model(make()), "sampler")


@pytest.mark.parametrize("ability", ["sampler", "chooser", "scorer"])
def test_models_that_cannot_be(tmp_path: Path, make: Callable[..., Path], ability: Ability) -> None:
    made = engine(python=standin(tmp_path))
    reward = ability == "scorer"
    made.check(model(make(reward=reward)), ability)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"dtype": "float8"}, "unknown dtype"),
        ({"device": "tpu"}, "unknown device"),
        ({"device": "cpu:1"}, "unknown device"),
        ({"path": "/nowhere/at/all"}, "no such model folder"),
        ({"adapter": "/nowhere/adapter"}, "no such adapter folder"),
    ]
    for values, why in cases:
        with pytest.raises(SalmonError, match=why):
            made.check(model(**{"path": str(make(reward=reward)), **values}), ability)
    with pytest.raises(SalmonError, match="needs more than cuda:1"):
        engine(python=standin(tmp_path), tensor_parallel_size=2).check(model(make(), device="cuda:1"), "sampler")


def test_reward_models_that_cannot_be(tmp_path: Path, make: Callable[..., Path]) -> None:
    made = engine(python=standin(tmp_path))
    with pytest.raises(SalmonError, match="is not a reward model"):
        made.check(model(make()), "scorer")
    folder = tmp_path / "other"
    folder.mkdir()
    for file in make(reward=True).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForRewardModel"]}))
    with pytest.raises(SalmonError, match="in another way than its last token"):
        made.check(model(folder), "scorer")
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "code.Model"}}))
    with pytest.raises(SalmonError, match="wants to run code"):
        made.check(model(folder), "scorer")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"peft_type": "IA3"}, "is of type IA3"),
        ({"modules_to_save": ["score"]}, r"brings whole layers along \(score\)"),
        ({"use_dora": True}, "is DoRA"),
        ({"bias": "all"}, "brings biases along"),
        ({"r": 600}, "rank 600, which is over vLLM's 512"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": 4}}, "alpha_pattern"),
        ({"r": None}, "cannot read its adapter_config.json"),
    ],
)
def test_adapters(tmp_path: Path, change: dict[str, Any], why: str | None) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({**LORA, **change}))
    (tmp_path / "adapter_model.safetensors").touch()
    spec = model("base", adapter=str(tmp_path))
    if why is None:
        assert adapter_rank(spec, "sampler") == 16
        with pytest.raises(SalmonError, match="no adapter on a reward model"):
            adapter_rank(spec, "scorer")
    else:
        with pytest.raises(SalmonError, match=why):
            adapter_rank(spec, "chooser")


def test_one_gpu_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert _device("cuda:1", 1) == ("cuda", {"CUDA_VISIBLE_DEVICES": "1"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 6")
    assert _device("cuda:1", 1) == ("cuda", {"CUDA_VISIBLE_DEVICES": "6"})
    assert _device("cuda", 2) == ("cuda", {})
    with pytest.raises(SalmonError, match="there are 2 GPUs"):
        _device("cuda:2", 1)


def test_lengths_leave_room_for_a_token(make: Callable[..., Path]) -> None:
    assert engine().codec(model(make())).max_length == LENGTH - 1
    assert engine(max_model_len=100).codec(model(make())).max_length == 99
