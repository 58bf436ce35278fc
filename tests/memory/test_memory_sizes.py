"""Sizes of models and bytes of what is kept, against models and files that are really there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    Qwen2Config,
)

from salmon_core.api import KeptModel, LowRank, ModelPass, ModelSpec, Phase, ProcessMemory
from salmon_core.errors import SalmonError
from salmon_core.memory.activations import cache_bytes
from salmon_core.memory.devices import Estimated, changes, fits, on_gpu
from salmon_core.memory.estimate import CONTEXT, Estimate, estimate
from salmon_core.memory.found import FoundShapes
from salmon_core.memory.shapes import read_shape, shape_of
from salmon_core.memory.weights import NF4, adapter_numbers, parameters, weights

COMMON = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
CONFIGS = {
    "llama": LlamaConfig(**COMMON, num_key_value_heads=2, intermediate_size=80),
    "tied": LlamaConfig(**COMMON, intermediate_size=80, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**COMMON, num_key_value_heads=2, intermediate_size=80),
    "gpt2": GPT2Config(vocab_size=320, n_embd=32, n_layer=3, n_head=4, n_positions=64),
    "mixtral": MixtralConfig(**COMMON, num_key_value_heads=2, intermediate_size=80, num_local_experts=4),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_those_of_the_model(name: str, tmp_path: Path) -> None:
    """By the configuration within a per cent, by the weights' header exactly."""
    model = AutoModelForCausalLM.from_config(CONFIGS[name])
    real = sum(value.numel() for value in model.parameters())
    guessed = shape_of(json.loads(CONFIGS[name].to_json_string()), name)
    assert guessed.parameters == pytest.approx(real, rel=0.01)
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    assert read_shape(tmp_path).parameters == real
    assert read_shape(tmp_path).dtype == "bfloat16"


def test_heads_and_adapters_are_counted_as_peft_makes_them(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    CONFIGS["llama"].save_pretrained(tmp_path)
    shape = read_shape(tmp_path)
    config = LlamaConfig(**{**CONFIGS["llama"].to_dict(), "num_labels": 1})
    scorer = AutoModelForSequenceClassification.from_config(config)
    kept = KeptModel("reward", ModelSpec(str(tmp_path)), head="score")
    assert parameters(kept, shape) == sum(value.numel() for value in scorer.parameters())
    for targets in (None, ("q_proj", "v_proj")):
        model = AutoModelForCausalLM.from_config(CONFIGS["llama"])
        lora = LoraConfig(r=4, target_modules="all-linear" if targets is None else list(targets))
        made = sum(v.numel() for v in get_peft_model(model, lora).parameters() if v.requires_grad)
        assert adapter_numbers(LowRank(4, targets), shape) == made


def test_what_is_kept_of_weights() -> None:
    shape = shape_of(json.loads(CONFIGS["llama"].to_json_string()), "llama")
    whole = KeptModel("policy", ModelSpec("m", dtype="float32"), trained="all", optimizer=8)
    count = shape.parameters
    assert weights(whole, shape).parameters == 4 * count
    assert (weights(whole, shape).gradients, weights(whole, shape).optimizer) == (4 * count, 8 * count)
    divided = KeptModel("policy", ModelSpec("m", dtype="float32"), trained="all", over=(1, 4, 4))
    assert weights(divided, shape).gradients == count
    away = KeptModel("policy", ModelSpec("m", dtype="float32"), trained="all", on_host=frozenset(("optimizer",)))
    assert weights(away, shape).optimizer == 0
    four_bits = KeptModel("policy", ModelSpec("m", dtype="bfloat16"), "nf4")
    assert weights(four_bits, shape).parameters == shape.blocks * NF4 + 2 * (count - shape.blocks)
    assert cache_bytes(10, 2, shape) == 2 * 3 * (2 * 8) * 10 * 2  # layers, two heads of 8 numbers, tokens, bytes


def test_the_peak_is_of_the_largest_phase(tmp_path: Path) -> None:
    """A step begins with activations and ends with gradients, unless gradients are there from an earlier pass."""
    CONFIGS["llama"].save_pretrained(tmp_path)
    kept = KeptModel("policy", ModelSpec(str(tmp_path), dtype="float32"), trained="all")
    small = ModelPass("policy", 1, 1, 4, backward=True)

    def peak(*phases: Phase, host: bool = True) -> Estimate:
        return estimate(ProcessMemory((kept,), phases, host=host), FoundShapes())

    once = peak(Phase("training", (small,), trains=True))
    again = peak(Phase("training", (small,), trains=True, accumulates=True))
    assert once.activations == 0 < again.activations
    assert again.gradients == once.gradients
    asked = peak(Phase("training", (small,), trains=True), Phase("reading", (ModelPass("policy", 64, 512, 4),)))
    assert asked.phase == "reading"
    assert asked.gradients == 0 < asked.optimizer
    assert peak(Phase("reading", (small,)), host=False).total - peak(Phase("reading", (small,))).total == CONTEXT


def _estimated(total: float, **more: object) -> Estimated:
    process = ProcessMemory((KeptModel("m", ModelSpec("m")),), (), **more)  # type: ignore[arg-type]
    return Estimated(process, Estimate(total * 1e9, 0, 0, 0, 0, 0, asleep=2e9))


def test_what_lies_on_one_gpu_counts_together() -> None:
    assert fits([_estimated(30)]) == [40, 48, 80, 141]
    assert fits([_estimated(30), _estimated(30)]) == [80, 141]
    assert fits([_estimated(30, gpu="a"), _estimated(30, gpu="b")]) == [40, 48, 80, 141]
    assert fits([_estimated(60, turn="a"), _estimated(60, turn="b")]) == [80, 141]  # and 2 GB that stay asleep
    assert not on_gpu([_estimated(79, turn="a"), _estimated(60, turn="b")], 80)
    assert fits([_estimated(30, share=0.5)]) == [80, 141]
    assert fits([_estimated(500)]) == []
    assert "weights" in next(changes([_estimated(500)]))


def test_models_that_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes come from a file that stands for a model, from what a model is made of, and from the hub's cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(SalmonError, match=r"config\.json is not here"):
        FoundShapes()(ModelSpec("lab/model"))
    CONFIGS["llama"].save_pretrained(tmp_path / "given")
    given = {"lab/model": tmp_path / "given" / "config.json"}
    made = {"/runs/x/sft/model": ("lab/model", "bfloat16")}
    assert FoundShapes(given, made)(ModelSpec("/runs/x/sft/model")).dtype == "bfloat16"
    CONFIGS["tied"].save_pretrained(tmp_path / "hub/models--lab--model/snapshots/1")
    assert FoundShapes()(ModelSpec("lab/model")).tied
    (tmp_path / "odd.json").write_text("[]")
    with pytest.raises(SalmonError, match="no JSON object"):
        FoundShapes({"m": tmp_path / "odd.json"})(ModelSpec("m"))
    (tmp_path / "odd.json").write_text('{"hidden_size": 3}')
    with pytest.raises(SalmonError, match="has no num_hidden_layers"):
        FoundShapes({"m": tmp_path / "odd.json"})(ModelSpec("m"))
