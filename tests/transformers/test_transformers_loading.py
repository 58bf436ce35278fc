"""What is loaded, what is refused, and that a refusal says what to do."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from salmon_core.api import Engine, ModelSpec, PrefixRequest, Sampling
from salmon_core.errors import SalmonError
from salmon_core.records import Prompt
from salmon_transformers import plugin
from salmon_transformers.engine import TransformersEngine

REQUEST = [PrefixRequest("the salmon swims\n", ("words\n</s>", "and more words\n</s>"))]


def copy_of(folder: str, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(spec: ModelSpec | Path | str, purpose="sampler") -> str:
    """-> the message; one line, short enough to read."""
    engine = TransformersEngine()
    with pytest.raises(SalmonError) as caught:
        getattr(engine, purpose)(spec if isinstance(spec, ModelSpec) else ModelSpec(str(spec), device="cpu"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value)


def test_the_hook_names_the_engine_and_imports_nothing_heavy():
    (component,) = plugin.salmon_engines()
    assert (component.name, component.target) == ("transformers", "salmon_transformers.engine:TransformersEngine")
    code = (
        "import sys, salmon_transformers.plugin as p; list(p.salmon_engines());"
        "assert not {'torch', 'transformers', 'numpy', 'pydantic'} & set(sys.modules);"
        "import salmon_transformers.engine; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_options_are_validated():
    assert issubclass(TransformersEngine, Engine)
    with pytest.raises(ValueError, match="batch_tokns"):
        TransformersEngine.Options(batch_tokns=1)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        TransformersEngine.Options(batch_tokens=0)


def test_missing_things(tmp_path):
    assert "no such model folder" in refused(tmp_path / "nothing")
    assert "no such model folder" in refused("./runs/x/model")
    (tmp_path / "file").write_text("x")
    assert "is a file" in refused(tmp_path / "file")
    assert "no config.json" in refused(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "PEFT adapter" in refused(tmp_path)


def test_a_hub_id_out_of_reach_is_one_clear_error():
    message = refused("salmon-core-tests/no-such-model")
    assert "salmon-core-tests/no-such-model" in message
    assert "check the hub id, the network" in message


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused_unless_opted_in(make, tmp_path, name):
    folder = copy_of(make(), tmp_path / "model")
    edit(folder / name, auto_map={"AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    message = refused(folder)
    assert f"auto_map` in {name}" in message
    assert "trust_remote_code: true" in message
    with pytest.raises(SalmonError, match="auto_map"):
        TransformersEngine().codec(ModelSpec(str(folder)))


def test_pickles_are_refused(make, tmp_path):
    folder = copy_of(make(), tmp_path / "model")
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    message = refused(folder)
    assert "pickled weights only (pytorch_model.bin)" in message
    assert "save_pretrained" in message
    (folder / "pytorch_model.bin").unlink()
    assert "no weights" in refused(folder)


def network_of(loaded):
    part = loaded._part
    return part._network.model if hasattr(part, "_network") else part._model


def test_dtype_and_device(make):
    assert "unknown dtype 'int3'" in refused(ModelSpec(make(), dtype="int3"))
    assert "unknown device 'toaster'" in refused(ModelSpec(make(), device="toaster"))
    if not torch.cuda.is_available():
        assert "torch sees 0 GPUs" in refused(ModelSpec(make(), device="cuda"))
    for dtype, kind in (("bfloat16", torch.bfloat16), ("auto", torch.float32)):
        with TransformersEngine().sampler(ModelSpec(make(), dtype=dtype, device="cpu")) as model:
            assert network_of(model).dtype == kind


def test_reward_models_that_would_score_wrongly(make, tmp_path):
    assert "2 labels" in refused(make(reward=True, num_labels=2), "scorer")
    assert "not a reward model but LlamaForCausalLM" in refused(make(), "scorer")
    same = copy_of(make(reward=True), tmp_path / "pad-is-eos")
    edit(same / "config.json", pad_token_id=1)
    edit(same / "tokenizer_config.json", pad_token="</s>")
    assert "pad token of this reward model is its EOS" in refused(same, "scorer")
    none = copy_of(make(reward=True), tmp_path / "no-pad")
    edit(none / "config.json", pad_token_id=None)
    assert "model's config of this reward model has no pad token" in refused(none, "scorer")
    other = copy_of(make(reward=True), tmp_path / "other-pad")
    edit(other / "config.json", pad_token_id=5)
    assert "pad token is 5 in the model's config, but 2" in refused(other, "scorer")


def test_a_model_without_its_head_is_refused(make):
    assert "is not a language model: no weights for lm_head" in refused(make(reward=True), "sampler")


@pytest.mark.parametrize("ability", ["sampler", "chooser", "scorer"])
def test_a_closed_model_says_so_and_is_freed(make, engine, ability):
    import weakref

    loaded = engine(make(reward=ability == "scorer"), ability)
    network = weakref.ref(network_of(loaded))
    loaded.close()
    loaded.close()
    assert network() is None
    ask = {
        "sampler": lambda: loaded.sample([], Sampling()),
        "chooser": lambda: loaded.choose(REQUEST, ("a", "b")),
        "scorer": lambda: loaded.score(REQUEST),
    }[ability]
    with pytest.raises(SalmonError, match="the model was closed"):
        ask()
    assert loaded.codec.eos_token == "</s>"


class TestAdapters:
    @pytest.fixture(autouse=True)
    def peft(self):
        return pytest.importorskip("peft")

    def saved(self, peft, folder, target: Path, task: str, **options) -> Path:
        auto = AutoModelForCausalLM if task == "CAUSAL_LM" else AutoModelForSequenceClassification
        model = auto.from_pretrained(folder, **({} if task == "CAUSAL_LM" else {"num_labels": 1}))
        config = peft.LoraConfig(task_type=task, r=4, target_modules=["q_proj", "v_proj"], **options)
        wrapped = peft.get_peft_model(model, config)
        with torch.no_grad():
            for name, parameter in wrapped.named_parameters():
                if "lora_B" in name or "score" in name:
                    parameter.normal_(0, 0.3)
        wrapped.save_pretrained(target)
        self.trained = wrapped.eval()
        return target

    def test_a_language_models_adapter_is_merged(self, peft, make, tmp_path):
        adapter = self.saved(peft, make(), tmp_path / "a", "CAUSAL_LM")
        engine = TransformersEngine().chooser(ModelSpec(make(), device="cpu", adapter=str(adapter)))
        assert not any("lora" in name for name, _ in network_of(engine).named_parameters())
        ids = torch.tensor([engine.codec.encode(REQUEST[0].texts[0])])
        with torch.no_grad():
            expected = self.trained(ids).logits[0, -1, [engine.codec.encode(c)[0] for c in "ab"]]
        got = torch.tensor(engine.choose(REQUEST, ("a", "b"))[0][0])
        assert torch.allclose(got, expected, atol=1e-4)
        plain = TransformersEngine().chooser(ModelSpec(make(), device="cpu"))
        assert not torch.allclose(got, torch.tensor(plain.choose(REQUEST, ("a", "b"))[0][0]), atol=1e-2)

    def test_a_reward_adapter_brings_its_head(self, peft, make, tmp_path):
        adapter = self.saved(peft, make(), tmp_path / "a", "SEQ_CLS", modules_to_save=["score"])
        engine = TransformersEngine().scorer(ModelSpec(make(), device="cpu", adapter=str(adapter)))
        ids = torch.tensor([engine.codec.encode(REQUEST[0].texts[1])])
        with torch.no_grad():
            expected = self.trained(ids).logits[0, 0].item()
        assert engine.score(REQUEST)[0][1] == pytest.approx(expected, abs=1e-4)

    def test_refusals(self, peft, make, tmp_path):
        adapter = self.saved(peft, make(), tmp_path / "a", "CAUSAL_LM")
        assert "no weights for score" in refused(ModelSpec(make(), adapter=str(adapter)), "scorer")
        assert "no such folder" in refused(ModelSpec(make(), adapter=str(tmp_path / "b")))
        assert "cannot fetch it" in refused(ModelSpec(make(), adapter="salmon-core-tests/none"))
        assert "does not fit" in refused(ModelSpec(make("gpt2"), adapter=str(adapter)))
        (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
        assert "pickled weights are not loaded" in refused(ModelSpec(make(), adapter=str(adapter)))


def test_a_loaded_model_leaves_the_folder_as_it_was(make, engine, caplog):
    folder = Path(make())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with caplog.at_level(logging.WARNING, "salmon"):
        loaded = engine(folder, "sampler")
        loaded.sample([(Prompt.from_text("x"), "x")], Sampling(max_new_tokens=2))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not caplog.records
    assert AutoTokenizer.from_pretrained(folder).get_vocab() == loaded.codec.tokenizer.get_vocab()
