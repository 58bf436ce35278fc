"""Weights in 4 or 8 bits, and layers over devices: the engine computes what transformers and PEFT compute with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BitsAndBytesConfig

from salmon_core.api import ModelSpec, PrefixRequest, Sampling
from salmon_core.errors import SalmonError
from salmon_core.records import Prompt
from salmon_transformers.engine import TransformersEngine

REQUEST = [PrefixRequest("The river runs to the sea", (" and the salmon", ". An answer"))]
WIDE = {"hidden_size": 64, "intermediate_size": 128}
#: 8 bits are multiplied in float16
CLOSE = {"nf4": 1e-3, "int8": 3e-2}


def rounded(auto: Any, folder: str, kind: str) -> Any:
    """transformers' own, heads as they are."""
    options: dict[str, Any] = (
        {"load_in_8bit": True}
        if kind == "int8"
        else {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": torch.float32,
        }
    )
    config = BitsAndBytesConfig(**options, llm_int8_skip_modules=["lm_head", "score"])
    more = {} if auto is AutoModelForCausalLM else {"num_labels": 1}
    return auto.from_pretrained(
        folder, quantization_config=config, dtype=torch.float32, device_map="cpu", **more
    ).eval()


def engine_of(**options: Any) -> TransformersEngine:
    return TransformersEngine(TransformersEngine.Options(**options))


@pytest.fixture(params=["nf4", "int8"])
def kind(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("bitsandbytes")
    return str(request.param)


def test_judging_and_sampling_are_those_of_the_rounded_model(make, kind):
    folder = make(**WIDE)
    expected = rounded(AutoModelForCausalLM, folder, kind)
    spec = ModelSpec(folder, dtype="float32", device="cpu")
    with engine_of(quantization=kind).chooser(spec) as model:
        whole = model.codec.encode(REQUEST[0].texts[1])
        choices = [model.codec.encode(c)[0] for c in "ab"]
        with torch.no_grad():
            logits = expected(torch.tensor([whole])).logits[0, -1, choices]
        got = torch.tensor(model.choose(REQUEST, ("a", "b"))[0][1])
        assert torch.allclose(got, logits, atol=CLOSE[kind])
    with TransformersEngine().chooser(spec) as plain:
        assert not torch.allclose(got, torch.tensor(plain.choose(REQUEST, ("a", "b"))[0][1]), atol=1e-4)
    if kind == "nf4":
        ids = torch.tensor([whole])
        with torch.no_grad():
            out = expected.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8, pad_token_id=2
            )
        with engine_of(quantization=kind).sampler(spec) as model:
            asked = [(Prompt.from_text("x"), REQUEST[0].texts[1])]
            found = model.sample(asked, Sampling(temperature=0, max_new_tokens=8, samples=1))
        assert found[0].token_ids == tuple(out[0, len(whole) :].tolist())


def test_a_reward_adapter_stays_beside_rounded_weights(make, kind, tmp_path):
    peft = pytest.importorskip("peft")
    folder = make(**WIDE)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    config = peft.LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["q_proj", "v_proj"], modules_to_save=["score"])
    wrapped = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name or "score" in name:
                parameter.normal_(0, 0.3)
    wrapped.save_pretrained(tmp_path / "a")
    base = rounded(AutoModelForSequenceClassification, folder, kind)
    expected = peft.PeftModel.from_pretrained(base, tmp_path / "a").eval()
    spec = ModelSpec(folder, dtype="float32", device="cpu", adapter=str(tmp_path / "a"))
    with engine_of(quantization=kind).scorer(spec) as scorer:
        ids = torch.tensor([scorer.codec.encode(REQUEST[0].texts[0])])
        with torch.no_grad():
            score = expected(ids).logits[0, 0].item()
        assert scorer.score(REQUEST)[0][0] == pytest.approx(score, abs=CLOSE[kind])


def test_layers_over_devices_compute_the_same(make):
    folder = make()
    spec = ModelSpec(folder, dtype="float32", device="cpu")
    with engine_of(device_map="auto").chooser(spec) as spread, TransformersEngine().chooser(spec) as plain:
        assert torch.allclose(
            torch.tensor(spread.choose(REQUEST, ("a", "b"))), torch.tensor(plain.choose(REQUEST, ("a", "b"))), atol=1e-5
        )


def test_without_bitsandbytes(make, monkeypatch):
    # As if it were not installed; for us alone, since transformers remembers what it found.
    monkeypatch.setattr("salmon_core.kit.quantization.find_spec", lambda name: None)
    engine, spec = engine_of(quantization="nf4"), ModelSpec(make(), device="cpu")
    for ask in (lambda: engine.check(spec, "sampler"), lambda: engine.sampler(spec)):
        with pytest.raises(SalmonError, match="quantization: nf4 needs bitsandbytes") as caught:
            ask()
        assert caught.value.hint == "pip install bitsandbytes"
    assert Path(spec.path).is_dir()
