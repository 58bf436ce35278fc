"""The real OpenRLHF on this machine, and small models and data for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from salmon_core.api import LaunchPlan

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: OpenRLHF's interpreter; `make test-openrlhf` says where it is
PYTHON = os.environ.get("SALMON_OPENRLHF_PYTHON", "")

_ENVIRONMENT = {
    "SALMON_TEST_STANDIN": "1",
    "DS_ACCELERATOR": "cpu",
    "DS_SKIP_CUDA_CHECK": "1",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "RAY_OVERRIDE_RESOURCES": '{"CPU": 16, "GPU": 5}',
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
#: options of a machine without a GPU
ANYWHERE = {"attn_implementation": "eager", "gpus_per_node": 1, "zero_stage": 2}
RL_ANYWHERE = {
    **ANYWHERE,
    "colocate": "none",
    "vllm_engines": 1,
    "vllm_enforce_eager": True,
    "vllm_gpu_memory_utilization": 0.1,
    "vllm_sync_backend": "gloo",
}


def interpreter(folder: Path) -> Path:
    """OpenRLHF's interpreter with the stand-in for CUDA, as one program: what `train.python` names."""
    script = folder / "openrlhf-python"
    where = Path(PYTHON)
    values = {
        **_ENVIRONMENT,
        "PYTHONPATH": str(HERE / "standin"),
        "TORCH_EXTENSIONS_DIR": str(where.parents[1] / "extensions"),  # FusedAdam is compiled once
    }
    lines = [f"export {name}='{value}'" for name, value in values.items()]
    lines += [f'export PATH="{where.parent}:$PATH"', f'exec "{where}" "$@"']
    script.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    script.chmod(0o755)
    return script


def minnow(folder: Path) -> Path:
    """The embedded policy, in a form that vLLM's CPU build knows; made once."""
    from widen import widen

    target = folder / "minnow32"
    if not target.exists():
        widen(ROOT / "plugins" / "salmon-minnow" / "salmon_minnow" / "data" / "model", target)
    return target


def write_config(path: Path, document: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(dict(document), sort_keys=False))
    return path


def salmon(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The command, as a user would call it."""
    argv = [sys.executable, "-m", "salmon_core", *map(str, words)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr[-3000:] + done.stdout[-1000:]
    return done


_PARSE = """
import importlib.util, json, os, sys
from importlib.util import find_spec
from unittest.mock import MagicMock
name, argv = sys.argv[1], sys.argv[2:]
root = find_spec("openrlhf").submodule_search_locations[0]
# The parser and the checks after it are the real ones; the trainers that the program would import next are not needed.
for module in ("ray", "ray.util", "ray.util.placement_group", "openrlhf.utils", "openrlhf.models", "openrlhf.datasets",
               "openrlhf.datasets.utils", "openrlhf.trainer", "openrlhf.trainer.ray", "openrlhf.trainer.ray.launcher",
               "openrlhf.trainer.ray.ppo_actor", "openrlhf.trainer.ray.ppo_critic", "openrlhf.trainer.rm_trainer",
               "openrlhf.trainer.sft_trainer", "openrlhf.trainer.dpo_trainer"):
    sys.modules[module] = MagicMock()
spec = importlib.util.spec_from_file_location("openrlhf.utils.config", os.path.join(root, "utils", "config.py"))
sys.modules["openrlhf.utils.config"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["openrlhf.utils.config"])
path = os.path.join(root, "cli", name + ".py")
source = open(path).read().rstrip()
assert source.endswith("train(args)")
sys.argv = [path, *argv]
scope = {"__name__": "__main__"}
exec(compile(source[: -len("train(args)")] + "RESULT = args", path, "exec"), scope)
print("RESULT", json.dumps(scope["RESULT"], default=vars))
"""


def parsed(program: str, argv: tuple[str, ...], python: Path) -> dict[str, Any]:
    """OpenRLHF's own parser and checks over a planned command line."""
    done = subprocess.run([str(python), "-c", _PARSE, program, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    return json.loads(line.removeprefix("RESULT "))  # type: ignore[no-any-return]


def training_step(found: LaunchPlan) -> tuple[str, tuple[str, ...]]:
    (step,) = [step for step in found.steps if step.name not in ("prepare", "merge", "export")]
    at = next(index for index, word in enumerate(step.argv) if word.startswith("openrlhf.cli."))
    return step.argv[at].removeprefix("openrlhf.cli."), step.argv[at + 1 :]
