"""What `salmon export --format openrlhf` writes, read by OpenRLHF's own data sets."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from openrlhf_world import ROOT, interpreter

from salmon_core.cli.export import export_run
from salmon_core.config.resolve import load
from salmon_core.run.run import Run

ROWS = [
    {"prompt": f"What is {number}?", "chosen": "A number.", "rejected": "No<|eos|>.", "principle": "vivid", "margin": 2}
    for number in range(4)
]
#: as train_rm and train_dpo make their data sets, with `--data.apply_chat_template`
READ = """
import json, sys
from types import SimpleNamespace as N
from datasets import load_dataset
from openrlhf.datasets.reward_dataset import RewardDataset
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
data = load_dataset("json", data_files=sys.argv[2], split="train", cache_dir=sys.argv[3])
keys = dict(prompt_key=None, chosen_key="chosen", rejected_key="rejected", tokenizer_chat_template=None)
strategy = N(args=N(data=N(apply_chat_template=True, **keys)))
found = []
for dpo in (False, True):
    read = RewardDataset(data, tokenizer, 256, strategy, is_dpo=dpo, num_processors=1)
    chosen, _, rejected, _, extra = read[0]
    found.append([len(read), tokenizer.decode(chosen[0]), tokenizer.decode(rejected[0]), extra])
print(json.dumps(found))
"""


def minnow_with(folder: Path, **changes: object) -> Path:
    """A configuration on minnow with rows of one's own."""
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    document = {
        "run": {"name": "own", "folder": str(folder)},
        "policy": {"model": "plugin:minnow", "template": "minnow"},
        "prompts": "plugin:minnow",
        "judge": {"principles": "minnow"},
        "reward": {"principles": "minnow"},
        "preferences": "own.jsonl",
        **changes,
    }
    file = folder / "salmon.yaml"
    file.write_text(json.dumps(document))
    return file


@pytest.mark.openrlhf
def test_its_data_sets_read_what_is_exported(tmp_path: Path) -> None:
    run = Run(tmp_path / "own", load(minnow_with(tmp_path)))
    run.path.mkdir()
    run.save()
    export_run(run.path, "openrlhf", tmp_path / "out", None)
    model = ROOT / "plugins" / "salmon-minnow" / "salmon_minnow"
    folder = next(path.parent for path in sorted(model.rglob("tokenizer_config.json")))
    argv = [interpreter(tmp_path), "-c", READ, folder, tmp_path / "out" / "train.jsonl", tmp_path / "cache"]
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (rows, chosen, rejected, margin), (same, dpo_chosen, dpo_rejected, asked) = json.loads(done.stdout.splitlines()[-1])
    assert (rows, same, margin) == (4, 4, 2.0)
    assert (chosen, rejected) == (dpo_chosen, dpo_rejected)
    assert "What is 0?" in chosen
    assert "vivid" in chosen
    assert asked > 0
    assert chosen.count("<|eos|>") == rejected.count("<|eos|>") == 1
