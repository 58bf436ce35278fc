"""DPO on OpenRLHF: its plan, what is refused and why, and the rows that it trains on, id by id."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openrlhf_world import interpreter, parsed, training_step, write_config
from tiny_models import byte_bpe, llama_config, save_model, tokenizer_of

from salmon_core.api import Job, LaunchPlan, ModelSpec
from salmon_core.cli.main import main
from salmon_core.errors import ConfigError
from salmon_openrlhf.backend import OUTSIDE, OpenRLHFBackend
from salmon_openrlhf.options import LOSSES_OF_TRL, ONLY_TRL, DPOOptions

WORDS = ["red", "green", "blue", "small", "large", "quick", "house", "tree", "river", "bird"]
#: ends a prompt with a line break, with which an answer that begins with one makes another token
CHAT = "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:\n"
PROMPT = "<s>user: a small bird\nassistant:\n"
ROWS = [
    {"prompt": PROMPT, "chosen": "a red tree</s>", "rejected": "a blue tree</s>"},
    {"prompt": "<s>user: river\nassistant:\n", "chosen": "red\n</s>", "rejected": "</s>"},
    {"prompt": PROMPT, "chosen": " red <s> house</s>", "rejected": "a blue house, \u00e9\u00e9 \u6cb3\n\n</s>"},
    {"prompt": PROMPT, "chosen": "\nred river</s>", "rejected": "blue river</s>"},  # "\n\n" is one token
    {"prompt": PROMPT, "chosen": "large" * 30 + "</s>", "rejected": "quick quick</s>"},
    {"prompt": PROMPT, "chosen": "green</s>", "rejected": "\n\nquick</s>"},  # here too
]
MERGED = (3, 5)
SMALL = {"per_device_train_batch_size": 2, "total_batch_size": 2, "max_length": 256}


def job(folder: Path | str = "/runs/x", model: Path | str = "/models/m", **more: Any) -> Job:
    data = {"train": f"{folder}/rows.parquet"}
    values = {"seed": 1, "python": "/opt/openrlhf/bin/python", **more}
    return Job("train-policy", "dpo", str(folder), ModelSpec(str(model)), data, **values)


def plan(**options: Any) -> LaunchPlan:
    return OpenRLHFBackend().plan(job(options=options))


def flags(found: LaunchPlan) -> dict[str, str]:
    """Flags that take one value, of the training step."""
    _, words = training_step(found)
    return {name[2:]: value for name, value in zip(words, (*words[1:], ""), strict=True) if name.startswith("--")}


def problems(**options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        plan(**options)
    return str(caught.value)


def test_its_own_program_on_prepared_rows_without_a_reward() -> None:
    found = plan()
    assert [step.name for step in found.steps] == ["prepare", "train-policy", "export"]
    assert training_step(found)[0] == "train_dpo"
    assert not found.services
    said = flags(found)
    assert said["data.dataset"] == "/runs/x/data/pairs.parquet"
    assert (said["data.prompt_key"], said["data.chosen_key"], said["data.rejected_key"]) == (
        "prompt",
        "chosen",
        "rejected",
    )
    assert said["model.model_name_or_path"] == said["ref.model_name_or_path"] == "/models/m"
    assert float(said["model.beta"]) == 0.1
    assert float(said["adam.lr"]) == 1e-6
    assert "model.ipo_enable" not in said
    assert OpenRLHFBackend().rows_needed(job()) is None
    assert OpenRLHFBackend().plan(job(model="/m")) == OpenRLHFBackend().plan(job(model="/m"))


def test_options_become_flags() -> None:
    said = flags(plan(beta=0.3, label_smoothing=0.1, nll_loss_coef=0.2, num_train_epochs=3))
    assert [said[f"model.{name}"] for name in ("beta", "label_smoothing", "nll_loss_coef")] == ["0.3", "0.1", "0.2"]
    assert said["train.max_epochs"] == "3"
    more = flags(plan(loss_type="ipo_sum", offload_reference=True, zero_stage=3, extra={"model.aux_loss_coef": 0.01}))
    assert {"model.ipo_enable", "ref.offload", "model.aux_loss_coef"} <= more.keys()
    adapted = plan(lora={"r": 8})
    assert [step.name for step in adapted.steps] == ["prepare", "train-policy", "merge", "export"]
    assert flags(adapted)["ds.lora.rank"] == "8"
    half = Job(**{**vars_of(job()), "model": ModelSpec("/m", dtype="float16")})
    assert flags(OpenRLHFBackend().plan(half))["ds.param_dtype"] == "fp16"  # no vLLM here
    merged = Job(**{**vars_of(job()), "model": ModelSpec("/m", adapter="/a")})
    said = flags(OpenRLHFBackend().plan(merged))
    assert said["model.model_name_or_path"] == said["ref.model_name_or_path"] == "/runs/x/start"


def vars_of(made: Job) -> dict[str, Any]:
    return {name: getattr(made, name) for name in Job.__dataclass_fields__}


def test_what_backend_trl_has_is_here_or_refused_with_a_reason() -> None:
    from salmon_trl.options import DPOOptions as OfTRL

    assert not OfTRL.model_fields.keys() - DPOOptions.model_fields.keys() - ONLY_TRL.keys()
    for name in ("beta", "label_smoothing", "learning_rate", "max_length", "num_train_epochs", "total_batch_size"):
        assert OfTRL.model_fields[name].annotation == DPOOptions.model_fields[name].annotation
    losses = set(OfTRL.model_fields["loss_type"].annotation.__args__)  # type: ignore[union-attr]
    assert losses == {"sigmoid", *LOSSES_OF_TRL}
    text = problems(loss_type="ipo", beta=0, lora={"rr": 1}, **dict.fromkeys(ONLY_TRL, 1))
    for name, reason in ONLY_TRL.items():
        assert f"options.{name}: {reason}" in text
    for said in ("options.beta: Input should be greater than 0", "options.lora.rr: there is no such option"):
        assert said in text
    assert f"options.loss_type: 'ipo' is refused: {LOSSES_OF_TRL['ipo']}" in text
    assert "OpenRLHF has no such loss" in problems(loss_type="hinge")
    assert "label_smoothing means nothing to loss_type: ipo_sum" in problems(loss_type="ipo_sum", label_smoothing=0.1)
    assert "needs zero_stage: 3" in problems(offload_reference=True)
    for name in ("model.beta", "model.ipo_enable", "ref.model_name_or_path", "ref.offload"):
        assert "is set by salmon" in problems(extra={name: True})


def test_check_and_plan_take_it(tmp_path: Path) -> None:
    """By the command line: everything wrong at once, and then every process of a run."""
    (tmp_path / "own.jsonl").write_text('{"prompt": "Who?", "chosen": "A.", "rejected": "B.", "principle": "vivid"}\n')
    document: dict[str, Any] = {
        "run": {"name": "own", "folder": str(tmp_path)},
        "policy": {"model": "plugin:minnow", "template": "minnow"},
        "prompts": "plugin:minnow",
        "judge": {"principles": "minnow"},
        "preferences": "own.jsonl",
        "train": {"backend": "openrlhf", "algorithm": "dpo", "options": {"loss_type": "apo_zero", "max_steps": 3}},
    }
    done = CliRunner().invoke(main, ["check", "--quick", str(write_config(tmp_path / "salmon.yaml", document))])
    assert done.exit_code == 2
    assert f"train.options.max_steps: {ONLY_TRL['max_steps']}" in done.stderr
    assert "train.options.loss_type: 'apo_zero' is refused" in done.stderr
    document["train"]["options"] = {"beta": 0.2}
    planned = CliRunner().invoke(main, ["plan", "--json", str(write_config(tmp_path / "salmon.yaml", document))])
    assert planned.exit_code == 0, planned.stderr
    stages = json.loads(planned.stdout)
    assert "train-rm" not in stages
    assert [step["name"] for step in stages["train-policy"]["steps"]][-3:] == ["prepare", "train-policy", "export"]


# -- the rows ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that puts a BOS before texts by itself, has no pad token, and merges two line breaks."""
    from transformers import LlamaForCausalLM

    corpus = [" ".join(WORDS), "red\n\nblue\n\ngreen\n\nred"] * 4
    backend = byte_bpe(corpus, vocab_size=360, specials=["<s>", "</s>"], bos="<s>", split=r" ?\S+|\s+")
    tokenizer = tokenizer_of(backend, chat=CHAT, bos_token="<s>", eos_token="</s>")
    folder = tmp_path_factory.mktemp("policy") / "model"
    return save_model(folder, llama_config(tokenizer), LlamaForCausalLM, tokenizer, seed=0)


_PREPARE = """
import json, os, pathlib, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from salmon_foreign import run
from texts import prepare_pairs
for folder in sys.argv[2:]:
    os.chdir(folder)
    settings = json.loads(pathlib.Path("outside.json").read_text())
    try:
        run(lambda: print(json.dumps(prepare_pairs(settings, pathlib.Path.cwd()))))
    except SystemExit:
        print(pathlib.Path("error.json").read_text())
"""


def prepare(policy: Path, *cases: tuple[Path, list[dict[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
    """What the first step makes of each folder's rows with its options: its numbers, or its reason against them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for folder, rows, options in cases:
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist([{**row, "margin": 1.0} for row in rows]), folder / "rows.parquet")
        for name, text in OpenRLHFBackend().plan(job(folder, policy, options={**SMALL, **options})).files.items():
            (folder / name).write_text(text)
    argv = [sys.executable, "-c", _PREPARE, str(OUTSIDE), *(str(folder) for folder, _, _ in cases)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def prepared(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    (found,) = prepare(policy, (folder, ROWS, {}))
    assert found == {"rows": len(ROWS) - len(MERGED), "rows_left_out": len(MERGED)}
    return folder


def test_rows_whose_border_is_merged_are_left_out_and_told(prepared: Path) -> None:
    import pyarrow.parquet as pq

    assert pq.read_table(prepared / "data" / "pairs.parquet").to_pylist() == [
        row for number, row in enumerate(ROWS) if number not in MERGED
    ]
    (note,) = map(json.loads, (prepared / "notes.jsonl").read_text().splitlines())
    assert note.startswith("2 of 6 rows: the tokenizer merges the prompt's end with an answer's beginning")


def test_rows_that_cannot_be_trained_on_are_refused(policy: Path, tmp_path: Path) -> None:
    cases: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = [
        ([ROWS[3], ROWS[5]], {}, "2 of 2 rows: the tokenizer merges"),
        ([ROWS[0], ROWS[3]], {}, "has 1 rows, fewer than one batch of 2"),
        (ROWS, {"max_length": 40}, "1 of 12 texts are longer than 40 tokens"),
        ([{**ROWS[0], "chosen": "red"}, ROWS[1]], {}, "a text does not end with '</s>'"),
    ]
    found = prepare(policy, *((tmp_path / str(i), rows, options) for i, (rows, options, _) in enumerate(cases)))
    for (_, _, says), error in zip(cases, found, strict=True):
        assert says in error["message"]


def of_trl(policy: Path, folder: Path) -> list[list[list[int]]]:
    """For each pair ids and completion mask of both texts, as TRL's trainer is given them, in any order."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl.trainer.dpo_config import DPOConfig

    from salmon_trl.common import load_tokenizer
    from salmon_trl.data import SimilarLengths
    from salmon_trl.dpo import PreferenceTuner, pair_rows, row_lengths

    tokenizer = load_tokenizer(ModelSpec(str(policy)))
    data = pair_rows(tokenizer, str(folder / "rows.parquet"))
    args = DPOConfig(str(folder / "trl"), max_length=None, use_cpu=True, bf16=False, per_device_train_batch_size=3)
    model = AutoModelForCausalLM.from_pretrained(policy)
    trainer = PreferenceTuner(model, args=args, train_dataset=Dataset.from_dict(data), processing_class=tokenizer)
    trainer.order = SimilarLengths(row_lengths(data), 3, 0)
    found = []
    for batch in trainer.get_train_dataloader():
        ids, real, said = batch["input_ids"], batch["attention_mask"].bool(), batch["completion_mask"]
        half = len(ids) // 2
        texts = [[ids[i][real[i]].tolist(), said[i][real[i]].tolist()] for i in range(len(ids))]
        found += [[*texts[i], *texts[half + i]] for i in range(half)]
    return found


_READ = """
import json, sys
from types import SimpleNamespace
import torch
from openrlhf.datasets import RewardDataset
from openrlhf.datasets.utils import blending_datasets
from openrlhf.models import DPOLoss
from openrlhf.trainer.dpo_trainer import DPOTrainer
from openrlhf.utils import get_tokenizer

args = json.loads(sys.argv[1], object_hook=lambda values: SimpleNamespace(**values))
strategy = SimpleNamespace(args=args, print=lambda *_: None, is_rank_0=lambda: False)
# as train_dpo.py makes it
tokenizer = get_tokenizer(args.model.model_name_or_path, None, "right", strategy)
data = blending_datasets(args.data.dataset, args.data.dataset_probs, strategy, args.train.seed,
                         max_count=args.data.max_samples, dataset_split=args.data.dataset_split)
rows = RewardDataset(data, tokenizer, args.data.max_len, strategy, input_template=args.data.input_template,
                     is_dpo=True, num_processors=1)
trainer, found = SimpleNamespace(tokenizer=tokenizer), []
for batch in torch.utils.data.DataLoader(rows, batch_size=3, collate_fn=rows.collate_fn):
    # as DPOTrainer.fit and concatenated_forward take it apart
    *tensors, asked = batch
    ids, mask, asked = DPOTrainer.concatenated_inputs(trainer, *[each.squeeze(1) for each in tensors], asked)
    logps = torch.zeros(ids.shape[0], ids.shape[1] - 1, requires_grad=True)
    sums, _ = DPOTrainer._get_batch_logps(trainer, logps, mask, asked)
    (counted,) = torch.autograd.grad(sums.sum(), logps)  # 1 where a token's log-probability is in the sum
    counted = torch.cat((torch.zeros(len(ids), 1), counted), 1)
    texts = [[ids[i][mask[i].bool()].tolist(), counted[i][mask[i].bool()].int().tolist()] for i in range(len(ids))]
    half = len(ids) // 2
    found += [[*texts[i], *texts[half + i]] for i in range(half)]
gaps = torch.tensor([-3.0, 0.0, 0.5, 4.0])
def losses(**options):
    loss = DPOLoss(**options)
    return [loss(gap[None], torch.zeros(1), torch.zeros(1), torch.zeros(1))[0].item() for gap in gaps]
print("FOUND", json.dumps({"rows": found, "sigmoid": losses(beta=0.2), "smooth": losses(beta=0.2, label_smoothing=0.1),
                           "ipo_sum": losses(beta=0.2, ipo=True)}))
"""


@pytest.fixture(scope="module")
def read(policy: Path, prepared: Path) -> dict[str, Any]:
    """What OpenRLHF's own data set, collation, masks and losses make of the prepared rows."""
    python = interpreter(prepared)
    args = parsed(*training_step(OpenRLHFBackend().plan(job(prepared, policy, options=SMALL))), python)
    argv = [str(python), "-c", _READ, json.dumps(args)]
    done = subprocess.run(argv, cwd=prepared, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    return json.loads(line.removeprefix("FOUND "))  # type: ignore[no-any-return]


@pytest.mark.openrlhf
def test_ids_and_masks_are_those_of_backend_trl(policy: Path, prepared: Path, read: dict[str, Any]) -> None:
    """Prompt, answer and EOS, id by id, and which of them the loss counts; of all rows but those left out."""
    from transformers import AutoTokenizer

    from salmon_core.kit.hf import HFCodec

    ours, theirs = sorted(read["rows"]), of_trl(policy, prepared)
    assert len(theirs) == len(ROWS)
    assert len(ours) == len(ROWS) - len(MERGED)
    codec = HFCodec(AutoTokenizer.from_pretrained(policy), name="policy")
    expected = []
    for number, row in enumerate(ROWS):
        if number not in MERGED:
            prompt, chosen, rejected = (codec.encode(row[name]) for name in ("prompt", "chosen", "rejected"))
            masks = [[0] * len(prompt) + [1] * len(said) for said in (chosen, rejected)]
            expected.append([[*prompt, *chosen], masks[0], [*prompt, *rejected], masks[1]])
    assert ours == sorted(expected)
    assert [row for row in sorted(theirs) if row in ours] == ours


@pytest.mark.openrlhf
def test_losses_are_what_the_options_say(read: dict[str, Any]) -> None:
    from math import exp, log1p

    def softplus(value: float) -> float:
        return log1p(exp(value))

    gaps, beta = (-3.0, 0.0, 0.5, 4.0), 0.2
    assert read["sigmoid"] == pytest.approx([softplus(-beta * gap) for gap in gaps], abs=1e-6)
    assert read["smooth"] == pytest.approx(
        [0.9 * softplus(-beta * gap) + 0.1 * softplus(beta * gap) for gap in gaps], abs=1e-6
    )
    assert read["ipo_sum"] == pytest.approx([(gap - 1 / (2 * beta)) ** 2 for gap in gaps], abs=1e-5)
