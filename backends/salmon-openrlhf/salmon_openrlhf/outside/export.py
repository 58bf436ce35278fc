"""Run in OpenRLHF's interpreter after it has trained: leaves `metrics.json`, and `model/`, a plain Hugging Face folder.

No salmon is installed here; see `prepare.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.append(os.getcwd())
from salmon_foreign import Refused, run, write_text

#: what OpenRLHF leaves in a configuration and nobody else knows
FOREIGN = ("value_head_prefix", "normalize_reward", "mean", "std")
#: what comes from the start model as it was
KEPT = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "generation_config.json",
)


def check_weights(folder: Path) -> None:
    """They exist, as safetensors, and every one is finite."""
    import torch
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise Refused("no weights were saved", str(folder), "see log.txt")
    for file in files:
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118  (not a dict)
                weight = weights.get_tensor(name)
                if weight.is_floating_point() and not torch.isfinite(weight).all():
                    raise Refused(f"{name} is not finite after training", str(file), "lower the learning rate")


def plain_config(folder: Path, settings: dict[str, Any]) -> None:
    """The configuration as any program expects it; a reward model as a sequence classifier with one label."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for name in FOREIGN:
        config.pop(name, None)
    config["use_cache"] = True  # switched off for training
    if settings["algorithm"] == "reward":
        base = json.loads((Path(settings["model"]["start"]) / "config.json").read_text())
        causal = (base.get("architectures") or ["ForCausalLM"])[0]
        config["architectures"] = [causal.replace("ForCausalLM", "ForSequenceClassification")]
        config["id2label"], config["label2id"] = {"0": "LABEL_0"}, {"LABEL_0": 0}
        config["num_labels"] = 1
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def plain_tokenizer(folder: Path, settings: dict[str, Any]) -> None:
    """The tokenizer that training started from, file by file: OpenRLHF changes padding and pad token of its copy."""
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        (folder / name).unlink(missing_ok=True)
    for name in KEPT:
        if (file := start_file(settings, name)) is not None:
            shutil.copyfile(file, folder / name)


def start_file(settings: dict[str, Any], name: str) -> Path | None:
    """A file of the model that training started from, a folder's or a hub id's."""
    start = Path(settings["model"]["start"])
    if not start.is_dir():
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(settings["model"]["start"], name)
        return Path(found) if isinstance(found, str) else None
    return start / name if (start / name).exists() else None


def plain_pad(folder: Path, settings: dict[str, Any]) -> None:
    """OpenRLHF writes its own pad token into the policy's configuration; a policy keeps the one it had."""
    start = start_file(settings, "config.json")
    if settings["algorithm"] == "reward" or start is None:
        return
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["pad_token_id"] = json.loads(start.read_text()).get("pad_token_id")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def add_template(folder: Path, template: str | None) -> None:
    """A policy whose tokenizer has no chat template is given the configured one."""
    if template is None or (folder / "chat_template.jinja").exists():
        return
    config = json.loads((folder / "tokenizer_config.json").read_text())
    if "chat_template" not in config:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def check_loads(folder: Path, settings: dict[str, Any]) -> None:
    """It is what it says: every weight in its place, nothing missing, nothing of its own to run."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    kind = AutoModelForSequenceClassification if settings["algorithm"] == "reward" else AutoModelForCausalLM
    loaded: Any = kind.from_pretrained(folder, trust_remote_code=False, output_loading_info=True)
    report = loaded[1]
    for name in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if found := report.get(name):
            raise Refused(
                f"the saved model has {name.replace('_', ' ')}: {', '.join(map(str, sorted(found)[:3]))}", str(folder)
            )


def main() -> None:
    folder = Path.cwd()
    settings = json.loads((folder / "outside.json").read_text())
    trained = folder / settings["trained"]
    if not (trained / "config.json").is_file():
        raise Refused("OpenRLHF ended without saving a model", str(trained), "see log.txt")
    check_weights(trained)
    aside = folder / "model.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(trained, aside)
    plain_config(aside, settings)
    plain_tokenizer(aside, settings)
    plain_pad(aside, settings)
    if settings["algorithm"] != "reward":
        add_template(aside, settings["chat_template"])
    check_loads(aside, settings)
    prepared = json.loads((folder / "prepared.json").read_text())
    files = sorted(path.name for path in aside.iterdir())
    metrics = {"stage": settings["stage"], "algorithm": settings["algorithm"], **prepared, "files": files}
    write_text(folder / "metrics.json", json.dumps(metrics, indent=1))
    shutil.rmtree(folder / "model", ignore_errors=True)
    os.replace(aside, folder / "model")
    for name in ("start", "output", "merged"):
        shutil.rmtree(folder / name, ignore_errors=True)


if __name__ == "__main__":
    run(main)
