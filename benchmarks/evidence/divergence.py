"""How far a trained policy is from the initial one: `python -m evidence.divergence RUN` leaves RUN/kl.json.

KL(policy || initial) of whole answers to held-out prompts, in nats, at the temperature they were sampled with: the sum
over an answer's tokens of the divergence of the next token's distributions, averaged over answers of the policy.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from salmon_core.data import parquet
from salmon_core.data.json import read_json, write_json
from salmon_core.run.run import Run
from salmon_core.stages.prompts import read_prompts
from salmon_minnow.formats import policy_text

_BATCH = 64


def divergence(folder: Path) -> float:
    """Of a finished run's policy, by the answers that its evaluators sampled."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = Run.open(folder)
    (file,) = sorted((folder / "evaluate").glob("samples-policy-*.parquet"))[-1:]
    samples = parquet.read_rows(file, parquet.COMPLETIONS, parquet.to_completion)
    prompts = {prompt.id: prompt.messages[-1]["content"] for prompt in read_prompts(folder / "prompts", "test")}
    tokenizer: Any = AutoTokenizer.from_pretrained(run.aligned.path)
    loaded: Any = AutoModelForCausalLM
    models = [loaded.from_pretrained(spec.path, dtype=torch.float32).eval() for spec in (run.aligned, run.initial)]
    section = run.config.config.sample
    asked = [tokenizer(policy_text(prompts[each.prompt_id]), add_special_tokens=False)["input_ids"] for each in samples]
    found: list[float] = []
    for start in range(0, len(samples), _BATCH):
        rows = [
            (own, list(each.token_ids))
            for own, each in zip(asked[start : start + _BATCH], samples[start : start + _BATCH], strict=True)
        ]
        width = max(len(own) + len(said) for own, said in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        counts = torch.zeros(len(rows), width)  # 1 where the next token is one of the answer
        for index, (own, said) in enumerate(rows):
            ids[index, : len(own) + len(said)] = torch.tensor(own + said)
            counts[index, len(own) - 1 : len(own) + len(said) - 1] = 1.0
        with torch.no_grad():  # what is padded on the right is read by no token before it
            p, q = (torch.log_softmax(model(input_ids=ids).logits / section.temperature, -1) for model in models)
        found += ((p.exp() * (p - q)).sum(-1) * counts).sum(-1).tolist()
    return fmean(found)


def main() -> None:
    """Of one run."""
    folder = Path(sys.argv[1])
    manifest = read_json(folder / "train-policy" / "manifest.json")
    write_json(folder / "kl.json", {"fingerprint": manifest["fingerprint"], "kl": divergence(folder)})


if __name__ == "__main__":
    main()
