"""Run in OpenRLHF's interpreter before it trains: checks what only that interpreter can check, readies the folder.

No salmon is installed here: what salmon needs in any foreign interpreter lies in the working directory, the stage's
folder, as `salmon_foreign.py`. Settings come from `outside.json` there; an error goes to `error.json`, where the
pipeline finds it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
import zlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path += [os.getcwd(), str(Path(__file__).parent)]
from salmon_foreign import Refused, leave_note, run, write_text
from texts import check_lengths, check_positions, load_tokenizer, prepare_pairs, prepare_rows, read_table, write_table

#: names tried for a pad token, the first that the tokenizer does not have yet
PAD_NAMES = ("<|pad|>", "<pad>", "[PAD]", "<|salmon_pad|>")


def check_versions(wanted: str) -> None:
    """This has to be the OpenRLHF whose flags the plan knows."""
    try:
        found = metadata.version("openrlhf")
    except metadata.PackageNotFoundError:
        raise Refused(
            "there is no OpenRLHF in this interpreter", sys.executable, "set train.python to the one that has it"
        ) from None
    if not found.startswith(wanted):
        raise Refused(f"OpenRLHF {found} is not {wanted}x, whose flags salmon knows", sys.executable)


def check_code(path: str) -> None:
    """OpenRLHF runs any code that a model brings along; a model that has some is refused, loaded with nothing run."""
    from transformers import PreTrainedConfig
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    try:
        config, _ = PreTrainedConfig.get_config_dict(path)
        tokenizer = get_tokenizer_config(path)
    except (OSError, ValueError) as error:
        raise Refused(f"cannot read the model's configuration: {str(error).splitlines()[0]}", path) from None
    for name, values in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        if "auto_map" in values:
            raise Refused(
                f"wants to run code that it brings along (`auto_map` in {name}), and OpenRLHF would, unasked",
                path,
                "train it with backend trl, or convert it to an architecture that transformers has",
            )


def start_model(settings: dict[str, Any]) -> None:
    """Makes `start/` where training cannot start from the model's own folder: see `start_of` of the plan."""
    model, target = settings["model"], Path(settings["model"]["start"])
    if model["start"] == model["path"] or (target / "config.json").exists():
        return
    aside = target.with_name("start.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    tokenizer = load_tokenizer(model["path"])
    reward = settings["algorithm"] == "reward"
    new_pad = reward and (tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id)
    if new_pad:
        vocabulary = tokenizer.get_vocab()
        tokenizer.add_special_tokens({"pad_token": next(name for name in PAD_NAMES if name not in vocabulary)})
    if model["adapter"] is None and (not new_pad or len(tokenizer) <= embedding_rows(model["path"])):
        link_files(model["path"], aside)
    else:
        import torch
        from transformers import AutoModelForCausalLM

        loaded = AutoModelForCausalLM.from_pretrained(model["path"], dtype="auto", trust_remote_code=False)
        if model["adapter"] is not None:
            from peft import PeftModel

            loaded = PeftModel.from_pretrained(loaded, model["adapter"]).merge_and_unload()
        embeddings: Any = loaded.get_input_embeddings()
        if len(tokenizer) > embeddings.weight.shape[0]:
            with torch.no_grad():
                loaded.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        loaded.save_pretrained(aside)
    if new_pad or not (aside / "tokenizer_config.json").exists():
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            (aside / name).unlink(missing_ok=True)  # a link: its target stays
        tokenizer.save_pretrained(aside)
    os.replace(aside, target)


def embedding_rows(path: str) -> int:
    """How many tokens the model has room for, by its configuration."""
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(path, trust_remote_code=False).get_text_config().vocab_size)


def link_files(path: str, target: Path) -> None:
    """The same model at another place: links to its files."""
    folder = Path(path)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(path, ignore_patterns=["*.bin", "*.pt", "*.pth", "original/*", "*.gguf"]))
    for file in folder.iterdir():
        if file.is_file() and file.suffix not in (".bin", ".pt", ".pth", ".gguf", ".py"):
            (target / file.name).symlink_to(file.resolve())


def tidy_checkpoints(folder: Path, *, resume: bool, critic: bool) -> int:
    """Makes what a killed run left loadable.

    A policy and its critic are saved one after the other, so a kill may leave one step between them; and OpenRLHF
    stumbles over a folder whose first checkpoint was never finished.

    Returns:
        the step to continue from.
    """
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    parts = [folder / "_actor", *([folder / "_critic"] if critic else [])] if (folder / "_actor").exists() else []
    if not parts:
        parts = [folder] if (folder / "latest").exists() else []
    if not parts:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    common = min(step_of(part) for part in parts)
    while common and (fault := fault_of(parts, common)) is not None:
        before = step_before(parts, common)
        goes_on = f"from step {before}" if before else "from the beginning"
        leave_note(Path.cwd(), f"{fault}: training goes on {goes_on}")
        common = before
    if common == 0:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    for part in parts:
        if step_of(part) != common:
            (part / "latest").write_text(f"global_step{common}")
        for other in part.glob("global_step*"):
            if other.is_dir() and int(other.name.removeprefix("global_step")) > common:
                shutil.rmtree(other)  # half a checkpoint, or a damaged one
    return common


def step_before(parts: Sequence[Path], step: int) -> int:
    """The newest step before this one that all parts have saved; 0 where there is none."""
    saved = [{int(path.name.removeprefix("global_step")) for path in part.glob("global_step*")} for part in parts]
    return max((number for number in set.intersection(*saved) if number < step), default=0)


def fault_of(parts: Sequence[Path], step: int) -> str | None:
    """What is wrong with a checkpoint, in words. PyTorch's files are zip archives, with a checksum for each entry."""
    for part in parts:
        folder = part / f"global_step{step}"
        if not folder.is_dir():
            return f"{folder} is missing"
        files = sorted(folder.rglob("*.pt"))
        if not files:
            return f"{folder} holds no state"
        for file in files:
            try:
                with zipfile.ZipFile(file) as archive:
                    if (entry := archive.testzip()) is not None:
                        return f"{file} is damaged ({entry})"
            except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, zlib.error) as error:
                return f"{file} is damaged ({error})"
    return None


def step_of(folder: Path) -> int:
    """DeepSpeed names the newest complete checkpoint in `latest`, written last."""
    try:
        text = (folder / "latest").read_text().strip()
        return int(text.removeprefix("global_step"))
    except (OSError, ValueError):
        return 0


def prepare_rl(settings: dict[str, Any], folder: Path, done: int) -> dict[str, Any]:
    """Whole batches of visits for OpenRLHF's prompt loader, which shuffles them; the executor and where it starts."""
    where = settings["data"]["train"]
    table = read_table(where)
    batch = settings["prompts"]
    batches = table.num_rows // batch
    wanted = settings["rollouts"] or max(1, batches)
    if wanted > batches:
        raise Refused(
            f"has {table.num_rows} rows, but {wanted * batch} are needed: {batch} prompts for each of {wanted} batches",
            where,
            "draw more epochs, or lower max_steps or generation_batch_size",
        )
    if table.num_rows > wanted * batch and settings["rollouts"] is None:
        print(f"the last {table.num_rows - wanted * batch} of {table.num_rows} rows fill no batch", file=sys.stderr)
    used = table.slice(0, wanted * batch)
    prompts = used["prompt"].to_pylist()
    tokenizer = load_tokenizer(settings["model"]["start"])
    hint = "raise max_prompt_length, or leave long prompts out"
    check_lengths(tokenizer, list(dict.fromkeys(prompts)), settings["max_length"], where, "prompts", hint)
    check_positions(settings["model"]["start"], settings["longest"], "max_prompt_length + max_completion_length")
    write_table(used.select(["prompt", "row"]), folder / "data" / "visits.parquet")
    shutil.copyfile(Path(__file__).with_name("agent.py"), folder / "agent.py")
    agent = json.loads((folder / "agent.json").read_text())
    write_text(folder / "agent.json", json.dumps({**agent, "first": done}))
    return {"rows": table.num_rows, "rows_unused": table.num_rows - wanted * batch, "rollouts": wanted}


def main() -> None:
    folder = Path.cwd()
    settings = json.loads((folder / "outside.json").read_text())
    check_versions(settings["openrlhf"])
    for path in settings["models"]:
        check_code(path)
    if not settings["resume"]:
        shutil.rmtree(folder / "tb", ignore_errors=True)
    start_model(settings)
    done = tidy_checkpoints(folder / "checkpoints", resume=settings["resume"], critic=settings.get("critic", False))
    for name in ("output", "merged", "model.tmp"):
        shutil.rmtree(folder / name, ignore_errors=True)
    program = settings["program"]
    if program == "train_ppo_ray":
        found = prepare_rl(settings, folder, done)
    else:
        found = (prepare_pairs if program == "train_dpo" else prepare_rows)(settings, folder)
    write_text(folder / "prepared.json", json.dumps({**found, "resumed_from": done}))
    if done:
        print(f"continues from step {done}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
