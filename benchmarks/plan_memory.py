"""What `salmon plan` says of memory, beside the measured peak of the same work.

    python benchmarks/plan_memory.py              # models of 20 to 60 M parameters, float32, on a CPU; a few minutes
    python benchmarks/plan_memory.py --only sft rm-lora

Every row is a process of its own that trains by the real worker's functions, or opens a model by the real engine.
Measured is its highest resident memory less what it held after its imports, before the model is loaded. Estimated is
what backend or engine say of the same job, without the constant for a GPU's context. Weights are random and texts as
long as the options allow: an estimate is for the longest. Exit code 1 if one is more than 15 % from what was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from rl_world import child, import_all, make_job, make_world, memory, words

LIMIT = 0.15
#: a freed piece of memory goes back to the system at once, so that the peak is of what is in use
_HONEST = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        make: data and job, or what an engine is asked, of a folder with models.
        world: sizes of the models.
    """

    what: str
    make: Callable[[Path, Mapping[str, Any]], dict[str, Any]]
    options: Mapping[str, Any] = field(default_factory=dict)
    world: Mapping[str, Any] = field(default_factory=dict)


def _texts(count: int, tokens: int, folder: Path) -> tuple[list[str], int]:
    """So many texts of about so many tokens, and how long the longest is."""
    from transformers import AutoTokenizer

    tokenizer, rng = AutoTokenizer.from_pretrained(folder / "policy"), random.Random(1)
    texts = []
    for _ in range(count):
        ids = tokenizer(words(rng, tokens))["input_ids"][:tokens]
        texts.append(tokenizer.decode(ids))
    return texts, max(len(ids) for ids in tokenizer(texts)["input_ids"])


def _rows(folder: Path, options: Mapping[str, Any], *, reward: bool) -> dict[str, Any]:
    """A job of SFT or of a reward model: four optimizer steps."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from salmon_core.api import Job, ModelSpec

    given = dict(options)
    texts, longest = _texts(64, given.pop("tokens"), folder)
    end = "</s>"
    if reward:
        rows = [{"chosen": a + end, "rejected": b + end, "margin": 1.0} for a, b in pairwise(texts)]
    else:
        rows = [{"prompt": text[:20], "completion": text[20:] + end} for text in texts]
    stage = folder / "stage"
    stage.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), stage / "train.parquet")
    job = Job(
        stage="train-rm" if reward else "sft",
        algorithm="reward" if reward else "sft",
        folder=str(stage),
        model=ModelSpec(str(folder / "policy"), dtype="float32", device="cpu"),
        data={"train": str(stage / "train.parquet")},
        seed=0,
        options={"max_steps": 4, "bf16": False, "max_length": longest + 4, "save_steps": 4, **given},
    )
    return {"job": job.to_json()}


def _sft(folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    return _rows(folder, options, reward=False)


def _rm(folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    return _rows(folder, options, reward=True)


def _ppo(folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"job": make_job(folder, options, device="cpu", dtype="float32", bonuses=["missing-stop"])}


def _engine(folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    texts, longest = _texts(options["texts"], options["tokens"], folder)
    return {"engine": {**options, "folder": str(folder), "texts": texts, "longest": longest}}


_SMALL = {"hidden": 512, "layers": 10, "prompts": 32, "prompt_words": 10}
CASES = {
    "sft": Case("SFT, all weights", _sft, {"tokens": 256, "per_device_train_batch_size": 4, "total_batch_size": 8}),
    "sft-words": Case(
        "SFT, many tokens",
        _sft,
        {"tokens": 512, "per_device_train_batch_size": 8, "total_batch_size": 8},
        {"hidden": 256, "layers": 2},
    ),
    "rm": Case(
        "RM, checkpointing",
        _rm,
        {"tokens": 512, "per_device_train_batch_size": 4, "total_batch_size": 8, "gradient_checkpointing": True},
    ),
    "rm-lora": Case(
        "RM, adapter",
        _rm,
        {"tokens": 256, "per_device_train_batch_size": 4, "total_batch_size": 4, "lora": {"r": 16}, "merge": False},
    ),
    "ppo": Case(
        "PPO, own critic",
        _ppo,
        {
            "per_device_train_batch_size": 4,
            "total_batch_size": 4,
            "generation_batch_size": 8,
            "num_iterations": 1,
            "max_completion_length": 64,
            "max_steps": 4,
            "save_steps": 4,
            "bf16": False,
        },
    ),
    "sampling": Case("sampling", _engine, {"ability": "sampler", "texts": 32, "tokens": 128, "new": 96}, {"layers": 6}),
    "judging": Case("judging", _engine, {"ability": "chooser", "texts": 8, "tokens": 512}, {"layers": 16}),
}


def prepared(name: str, folder: str) -> None:
    """In a process of its own: models and work of a row, as JSON."""
    case = CASES[name]
    size = make_world(Path(folder), **{**_SMALL, **case.world})
    print(json.dumps({"size": size, **case.make(Path(folder), case.options)}))


def measured(text: str) -> None:
    """In the process that is measured."""
    work = json.loads(text)
    import_all()
    import salmon_trl.reward_model
    import salmon_trl.sft
    from salmon_core.api import Job
    from salmon_core.plugins.registry import Registry
    from salmon_trl.backend import TRLBackend

    registry = Registry.discover()
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    if "job" in work:
        job = Job.from_json(work["job"])
        options: Any = TRLBackend().options_of(job)
        trained = {"sft": salmon_trl.sft.train_sft, "train-rm": salmon_trl.reward_model.train_reward_model}
        trained.get(job.stage, salmon_trl.policy.train_policy)(job, options, Path(job.folder))
    else:
        _asked(registry, work["engine"])
    print(json.dumps({"own": memory("VmHWM") - before}))


def _asked(registry: Any, work: Mapping[str, Any]) -> None:
    """Opens the model and asks it once."""
    from salmon_core.api import ComponentSpec, ModelSpec, PrefixRequest, Sampling
    from salmon_core.plugins.engines import open_model
    from salmon_core.records import Prompt

    engine = ComponentSpec("engines", "transformers", "salmon-transformers")
    model = ModelSpec(str(Path(work["folder"]) / "policy"), dtype="float32", device="cpu")
    with open_model(registry, engine, model, work["ability"]) as opened:
        asked: Any = opened
        if work["ability"] == "sampler":
            prompts = [
                (Prompt(f"p{i}", ({"role": "user", "content": text},)), text) for i, text in enumerate(work["texts"])
            ]
            sampling = Sampling(max_new_tokens=work["new"], samples=1, batch_size=len(prompts))
            asked.sample(prompts, sampling)
        else:
            asked.choose([PrefixRequest(text, (" ba", " do ba")) for text in work["texts"]], ("b", "d"))


def estimated(work: Mapping[str, Any]) -> tuple[float, str]:
    """MiB by what plan says, and the parts of it."""
    from salmon_core.api import ComponentSpec, Job, ModelSpec, Use
    from salmon_core.memory.estimate import estimate
    from salmon_core.memory.found import FoundShapes
    from salmon_core.plugins.engines import engine_memory
    from salmon_core.plugins.registry import Registry
    from salmon_trl.backend import TRLBackend

    if "job" in work:
        job = Job.from_json(work["job"])
        if job.reward is not None:  # the texts are as short as that
            job = replace(job, reward=replace(job.reward, limits=replace(job.reward.limits, prompt=40, total=256)))
        (process,) = TRLBackend().memory(job)
    else:
        asked = work["engine"]
        engine = ComponentSpec("engines", "transformers", "salmon-transformers")
        model = ModelSpec(str(Path(asked["folder"]) / "policy"), dtype="float32", device="cpu")
        rows, new = len(asked["texts"]), asked.get("new", 0)
        use = Use(asked["ability"], rows=rows, prompt=asked["longest"], new=new, text=asked["longest"] + 8)
        (process,) = engine_memory(Registry.discover(), engine, model, use) or ()
    found = estimate(process, FoundShapes())
    parts = ("parameters", "gradients", "optimizer", "activations", "cache")
    return found.total / 2**20, "".join(f"{getattr(found, part) / 2**20:12.0f}" for part in parts)


def main() -> int:
    """Measures and prints. -> exit code"""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="these rows")
    parser.add_argument("--limit", type=float, default=LIMIT, help="how far an estimate may be off, as a share")
    parser.add_argument("--prepare", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare:
        prepared(*args.prepare)
        return 0
    if args.measure:
        measured(args.measure)
        return 0
    os.environ.update(_HONEST)
    names = ("parameters", "gradients", "optimizer", "activations", "cache", "estimated", "measured", "off")
    print(f"{'MiB':20}{'M weights':>10}" + "".join(f"{name:>12}" for name in names))
    wrong = []
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            work = child(__file__, "--prepare", name, folder)
            guess, parts = estimated(work)
            own = child(__file__, "--measure", json.dumps(work))["own"]
        off = guess / own - 1
        print(f"{CASES[name].what:20}{work['size']:10.1f}{parts}{guess:12.0f}{own:12.0f}{off:>+12.1%}", flush=True)
        if abs(off) > args.limit:
            wrong.append(CASES[name].what)
    print(f"\nwithin {args.limit:.0%} of what was measured: {'FAILS for ' + ', '.join(wrong) if wrong else 'holds'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
