"""Folders that are no models, opened by the engine `transformers`: tiny real ones with something wrong."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bad_case import Bad, Folder, Gone, Link, put
from bad_configs import section
from tiny_models import byte_bpe, llama_config, save_model, tokenizer_of

CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
_KEPT = []


@cache
def tiny(kind: str, labels: int = 1) -> Path:
    """A model of two small layers, made once."""
    from transformers import LlamaForCausalLM, LlamaForSequenceClassification

    kept = tempfile.TemporaryDirectory(prefix="bad-models-")
    _KEPT.append(kept)
    backend = byte_bpe(["a plain text of a few words"] * 3, vocab_size=300, specials=["<s>", "</s>", "<pad>"])
    tokenizer = tokenizer_of(backend, chat=CHAT, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    causal = kind == "causal"
    config = llama_config(tokenizer, **({} if causal else {"num_labels": labels}))
    return save_model(kept.name, config, LlamaForCausalLM if causal else LlamaForSequenceClassification, tokenizer)


def model(kind: str, labels: int = 1, **files: Any) -> Callable[[Path], object]:
    """A copy of a tiny model with some of its files replaced; `__` stands for a dot in their names."""

    def make(path: Path) -> None:
        shutil.copytree(tiny(kind, labels), path)
        put(path, {name.replace("__", "."): content for name, content in files.items()})

    return make


def config_with(**values: Any) -> Callable[[Path], object]:
    """Replaces values of `config.json`."""

    def make(path: Path) -> None:
        path.write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"], **values}))

    return make


def sampled(name: str, says: tuple[str, ...], content: Any, *, checked: bool = False, **policy: Any) -> Bad:
    """Opened by `salmon check`, which reads no weights; or by a run, whose stage `sample` does."""
    changes = {**section("policy", model="./model", **policy), **section("sample", engine="transformers")}
    command = "check salmon.yaml" if checked else "run salmon.yaml --until sample"
    return Bad(f"policy: {name}", says, command, changes=changes, files={"model": content}, code=2 if checked else 1,
        env={"SALMON_QUICK": "" if checked else "1"}, absent=["runs/toy/sample/part-00000.parquet"])  # fmt: skip


def rewarded(name: str, says: tuple[str, ...], content: Any) -> Bad:
    """A reward model, tried by `salmon check`."""
    changes = {"reward_model": {"path": "./reward"}, **section("reward", engine="transformers")}
    return Bad(f"reward model: {name}", ("reward_model.path", *says), changes=changes, files={"reward": content},
        env={"SALMON_QUICK": ""})  # fmt: skip


MODELS = [
    Bad("policy: a folder that is gone", ("policy.model", "no model folder './gone'"), changes=section("policy",
        model="./gone")),
    Bad("policy: a file", ("policy.model", "no model folder './rules.yaml'"), changes=section("policy",
        model="./rules.yaml")),
    Bad("policy: a link to nowhere", ("policy.model", "./away"), changes=section("policy", model="./away"),
        files={"away": Link("nowhere")}),
    Bad("judge: a folder that is gone", ("judge.model", "no model folder './gone'"), changes=section("judge",
        model="./gone")),
    Bad("reward model: a folder that is gone", ("reward_model.path", "./gone"),
        changes={"reward_model": {"path": "./gone"}}),
    sampled("no config.json", ("model", "has no config.json"), Folder(), checked=True),
    sampled("a config.json cut short", ("model", "config.json"), model("causal", config__json='{"model_type": "ll'),
        checked=True),
    sampled("an empty config.json", ("model",), model("causal", config__json="{}"), checked=True),
    sampled("an unknown kind", ("model", "no-such-kind"), model("causal",
        config__json=config_with(model_type="no-such-kind"))),
    sampled("no tokenizer", ("model", "tokenizer"),
        model("causal", tokenizer__json=Gone(), tokenizer_config__json=Gone()), checked=True),
    sampled("a tokenizer cut short", ("model", "tokenizer"), model("causal", tokenizer__json='{"version": '),
        checked=True),
    sampled("no weights", ("model", "has no weights (*.safetensors)"), model("causal", model__safetensors=Gone())),
    sampled("pickled weights", ("model", "pickled weights only (pytorch_model.bin)", "save_pretrained"),
        model("causal", model__safetensors=Gone(), pytorch_model__bin=b"x")),
    sampled("weights cut short", ("model", "weights"), model("causal", model__safetensors=b"\x08\0\0\0\0\0\0\0{")),
    sampled("weights of text", ("model", "weights"), model("causal", model__safetensors="version https://git-lfs\n")),
    sampled("an unknown device", ("unknown device 'tpu'", "cpu"), model("causal"), device="tpu"),
    sampled("a GPU that is not there", ("cuda:99", "auto"), model("causal"), device="cuda:99"),
    rewarded("a language model", ("is not a reward model but LlamaForCausalLM", "train-rm"), model("causal")),
    rewarded("two labels", ("has 2 labels", "num_labels=1"), model("reward", 2)),
    rewarded("no config.json", ("has no config.json",), Folder()),
]  # fmt: skip
