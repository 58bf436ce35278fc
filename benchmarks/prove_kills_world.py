"""Small runs through every stage for `prove_kills.py`, one for each backend, and the command that runs them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from salmon_core.data.json import read_json
from salmon_core.stages import STAGES as ALL_STAGES

ROOT = Path(__file__).resolve().parent.parent
NAME = "small"
TRAINING = ("sft", "train-rm", "train-policy")
#: seconds that a run may take
PATIENCE = 1800.0
_INPUTS = (".yaml", ".jsonl", ".py")
_THINGS = ("a red fish", "the blue bird", "one small stone", "a warm house", "the old tree")
_ASKS = ("Describe", "Write about", "Tell me about", "Explain")

#: those that the small worlds have
STAGES = tuple(name for name in ALL_STAGES if name not in ("self-align", "pretrain-rm"))


@dataclass(frozen=True)
class Ended:
    """A run that ended.

    Attributes:
        said: what it wrote to the terminal.
    """

    code: int
    said: str
    seconds: float


@dataclass(frozen=True)
class World:
    """One backend's run.

    Attributes:
        folder: of the configuration; the run is always at the same place in it.
        until: the last stage of a reference run.
        exact: whether a killed training ends with the same weights.
    """

    backend: str
    folder: Path
    until: str = STAGES[-1]
    exact: bool = True

    @property
    def run(self) -> Path:
        """Where the run is disturbed."""
        return self.folder / "runs" / NAME

    @property
    def reference(self) -> Path:
        """A copy of the undisturbed run."""
        return self.folder / "reference"

    def argv(self, until: str = "") -> list[str]:
        """`salmon run`, the same words for a run and its continuation."""
        words = [sys.executable, "-m", "salmon_core", "run", str(self.folder / "config.yaml")]
        last = until or self.until
        return words if last == STAGES[-1] else [*words, "--until", last]

    def salmon(self, until: str = "") -> Ended:
        """Runs to the end."""
        started = time.monotonic()
        done = subprocess.run(
            self.argv(until), cwd=self.folder, env=environment(), capture_output=True, text=True, timeout=PATIENCE
        )
        return Ended(done.returncode, done.stdout + done.stderr, time.monotonic() - started)

    def restore(self) -> None:
        """The run as the undisturbed one ended."""
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.copytree(self.reference, self.run)

    def make(self, tell: Callable[[str], None]) -> None:
        """The undisturbed run; one that an earlier call left is taken if it is of the same files and the same code."""
        same, now = self.folder / "reference.txt", self._made_of()
        if self.reference.exists() and same.exists() and same.read_text() == now:
            tell(f"{self.backend}: the undisturbed run in {self.reference} is taken")
            return
        for old in (self.run, self.reference):
            shutil.rmtree(old, ignore_errors=True)
        ended = self.salmon()
        if ended.code != 0:
            raise SystemExit(f"the undisturbed run of {self.backend} failed:\n{ended.said}")
        shutil.copytree(self.run, self.reference)
        same.write_text(now)
        tell(f"{self.backend}: undisturbed run {ended.seconds:.0f} s")

    def take(self, other: World) -> None:
        """The undisturbed run of another folder, as if it had been made in this one."""
        shutil.rmtree(self.reference, ignore_errors=True)
        shutil.copytree(other.reference, self.reference)
        for pattern in ("*.json", "*.jsonl"):
            for file in self.reference.rglob(pattern):
                text = file.read_text()
                if (moved := text.replace(f"{other.folder}/", f"{self.folder}/")) != text:
                    file.write_text(moved)

    def _made_of(self) -> str:
        """What the undisturbed run follows from; the embedded policy's path is one of a training's inputs."""
        digest = hashlib.sha256(f"{ROOT} {self.until}".encode())
        code = [file for name in ("salmon_core", "plugins", "backends") for file in (ROOT / name).rglob("*.py")]
        for file in sorted([*code, *(file for file in self.folder.iterdir() if file.suffix in _INPUTS)]):
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def seconds(self, stage: str) -> float:
        """What a stage of the undisturbed run took."""
        manifest = read_json(self.reference / stage / "manifest.json") or {}
        return float(manifest.get("seconds", 0.5))


def environment() -> dict[str, str]:
    """Of every run: one thread, no network, and no look at the configuration in a process before it."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "SALMON_QUICK": "1",
    }


def trl_world(folder: Path, until: str) -> World:
    """Every stage, PPO on TRL; the judge keeps its answers in the run's cache."""
    rows = {"total_batch_size": 4, "per_device_train_batch_size": 4, "max_steps": 6, "save_steps": 2}
    rows |= {"logging_steps": 1}
    document = _document("plugin:minnow")
    document["plugins"] = ["judge.py"]
    document["judge"]["judge"] = "remembered"
    document["sft"] |= {"backend": "trl", "options": {**rows, "max_length": 96}}
    document["reward_model"] = {"backend": "trl", "options": {**rows, "max_length": 160}}
    options = {"generation_batch_size": 8, "total_batch_size": 8, "per_device_train_batch_size": 8}
    options |= {"num_iterations": 2, "max_completion_length": 16, "max_steps": 6, "save_steps": 2}
    document["train"] = {"backend": "trl", "algorithm": "ppo", "options": options | {"log_rollouts_every": 1}}
    document["evaluate"] = [{"name": "rm-accuracy", "samples": 2, "max_pairs": 4}, {"name": "reward-shift"}]
    _write(folder, document)
    shutil.copy(Path(__file__).with_name("prove_kills_judge.py"), folder / "judge.py")
    return World("trl", folder, until)


def openrlhf_world(folder: Path, until: str) -> World:
    """The training stages on OpenRLHF, on a machine without a GPU, as its tests run it; to the last of them at most."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "openrlhf")]
    from openrlhf_world import ANYWHERE, RL_ANYWHERE, interpreter, minnow

    folder.mkdir(parents=True, exist_ok=True)
    rows = {**ANYWHERE, "total_batch_size": 4, "per_device_train_batch_size": 4, "num_train_epochs": 1}
    rows |= {"save_steps": 1, "learning_rate": 1e-4}
    document = _document(str(minnow(folder)))
    document["sft"] |= {"backend": "openrlhf", "options": {**rows, "max_length": 96}}
    document["reward_model"] = {"backend": "openrlhf", "options": {**rows, "max_length": 160}}
    options = {**RL_ANYWHERE, "generation_batch_size": 8, "total_batch_size": 8, "per_device_train_batch_size": 8}
    options |= {"num_iterations": 1, "max_prompt_length": 48, "max_completion_length": 16}
    options |= {"max_steps": 3, "save_steps": 1, "log_rollouts_every": 1, "learning_rate": 5e-4}
    document["train"] = {"backend": "openrlhf", "algorithm": "ppo", "options": options}
    document["train"]["python"] = str(interpreter(folder))
    _write(folder, document)
    return World("openrlhf", folder, min(until, TRAINING[-1], key=STAGES.index), exact=False)


def _document(model: str) -> dict[str, Any]:
    """What both have in common."""
    chosen = {"name": "minnow", "only": ["helpful", "vivid"]}
    return {
        "run": {"name": NAME, "seed": 1, "folder": "runs"},
        "policy": {"model": model, "template": "minnow", "dtype": "float32"},
        "prompts": "prompts.jsonl",
        "held_out": 0.2,
        "limits": {"prompt": 48, "completion": 24, "total": 160},
        "sft": {"data": "demonstrations.jsonl"},
        "sample": {"samples": 2, "temperature": 1.0, "max_new_tokens": 16, "batch_size": 4, "shard_size": 4},
        "judge": {"principles": chosen, "shard_size": 4},
        "label": {"name": "salmon", "repeats": 2, "min_margin": 0.0, "flip": 0.0, "exclude": [], "min_characters": 1}
        | {"rules": []},
        "reward": {"principles": chosen, "show": 1, "bonuses": [{"name": "missing-stop", "weight": 0.5}]},
        "expect": [],
    }


def _write(folder: Path, document: dict[str, Any]) -> None:
    """The configuration with its prompts and demonstrations."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = [{"prompt": f"{ask} {thing}.", "category": "general"} for ask in _ASKS for thing in _THINGS]
    shown = [{"prompt": f"Say {number}: {thing}", "completion": thing} for number in range(4) for thing in _THINGS]
    for name, rows in (("prompts", prompts), ("demonstrations", shown)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
