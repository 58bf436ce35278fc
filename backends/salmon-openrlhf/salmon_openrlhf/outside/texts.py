"""Texts of rows, checked as OpenRLHF will tokenize them: nothing is cut, dropped or changed behind the user's back.

Part of `prepare.py`, which see.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(os.getcwd())
from salmon_foreign import Refused, leave_note

EVALUATED = 16


def load_tokenizer(path: str) -> Any:
    """As OpenRLHF loads it, but for code of the model's own."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path, trust_remote_code=False)


def check_ends(tokenizer: Any, texts: Sequence[str], where: str) -> None:
    """OpenRLHF adds nothing to a text that ends with EOS; line breaks at its end it removes before it looks."""
    odd = next((text for text in texts if not text.rstrip("\n").endswith(tokenizer.eos_token)), None)
    if odd is not None:
        raise Refused(f"a text does not end with {tokenizer.eos_token!r}: {odd[-60:]!r}", where)


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Ids as OpenRLHF's data sets make them of whole texts."""
    found: list[list[int]] = []
    for start in range(0, len(texts), 1000):
        found += tokenizer(list(texts[start : start + 1000]), add_special_tokens=False, verbose=False)["input_ids"]
    return found


def check_lengths(tokenizer: Any, texts: Sequence[str], limit: int, where: str, what: str, hint: str) -> int:
    """Nothing is cut or dropped behind the user's back. -> the longest."""
    return limited([len(ids) for ids in encode(tokenizer, texts)], limit, where, what, hint)


def limited(lengths: Sequence[int], limit: int, where: str, what: str, hint: str) -> int:
    """-> the longest, if it is within the limit."""
    long = sum(length > limit for length in lengths)
    if long:
        raise Refused(
            f"{long} of {len(lengths)} {what} are longer than {limit} tokens (the longest: {max(lengths)})", where, hint
        )
    return max(lengths)


def read_table(path: str) -> Any:
    """Rows of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise Refused(f"cannot be read: {str(error).splitlines()[0]}", path) from None
    if not table.num_rows:
        raise Refused("has no rows", path, "earlier stages dropped everything; see their reports")
    return table


def write_table(table: Any, path: Path) -> None:
    """Appears complete or not at all."""
    import pyarrow.parquet as pq

    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, f"{path}.tmp")
    os.replace(f"{path}.tmp", path)


def check_positions(path: str, longest: int, what: str) -> None:
    """vLLM would say so too, but later and at length."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(path, trust_remote_code=False).get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    if limit and longest > limit:
        raise Refused(f"{what} is {longest} tokens, but the model has {limit} positions", path)


def prepare_rows(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Of SFT or of the reward model, all of them."""
    where = settings["data"]["train"]
    table = read_table(where)
    if table.num_rows < settings["batch"]:
        raise Refused(f"has {table.num_rows} rows, fewer than one batch of {settings['batch']}", where)
    tokenizer = load_tokenizer(settings["model"]["start"])
    limit, reward = settings["max_length"], settings["algorithm"] == "reward"
    columns = [table[name].to_pylist() for name in (("chosen", "rejected") if reward else ("prompt", "completion"))]
    texts = [*columns[0], *columns[1]] if reward else [a + b for a, b in zip(*columns, strict=True)]
    check_ends(tokenizer, texts, where)
    # SFT drops a row whose prompt leaves fewer than two tokens.
    longest = check_lengths(tokenizer, texts, limit, where, "texts", "raise max_length, or lower the text limits")
    check_positions(settings["model"]["start"], longest, "the longest text")
    if not reward:
        check_lengths(tokenizer, columns[0], limit - 3, where, "prompts", "raise max_length")
    elif "test" not in settings["data"]:
        write_table(table.slice(0, EVALUATED), folder / "data" / "eval.parquet")
    return {"rows": table.num_rows}


def prepare_pairs(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Of DPO, those whose ids will be the prompt's, as a policy is given it, and then the answer's.

    OpenRLHF's RewardDataset encodes prompt and answer as one text and takes for the prompt as many ids as it has alone.
    Where a tokenizer merges characters across the border, these are other ids, and the answer begins elsewhere.
    """
    where = settings["data"]["train"]
    table = read_table(where)
    tokenizer = load_tokenizer(settings["model"]["start"])
    limit = settings["max_length"]
    prompts, *answers = (table[name].to_pylist() for name in ("prompt", "chosen", "rejected"))
    texts = [prompt + answer for column in answers for prompt, answer in zip(prompts, column, strict=True)]
    check_ends(tokenizer, texts, where)
    asked, wholes = encode(tokenizer, prompts), encode(tokenizer, texts)
    longest = limited(list(map(len, wholes)), limit, where, "texts", "raise max_length, or lower the text limits")
    check_positions(settings["model"]["start"], longest, "the longest text")
    # A row whose prompt leaves fewer than two tokens is dropped there.
    limited(list(map(len, asked)), limit - 3, where, "prompts", "raise max_length")
    if any(whole[-1] != tokenizer.eos_token_id for whole in wholes):
        raise Refused(f"{tokenizer.eos_token!r} at the end of a text is not one token", where, "use backend trl")
    kept = [True] * len(prompts)
    for number, whole in enumerate(wholes):
        prompt = asked[number % len(asked)]
        kept[number % len(asked)] &= whole[: len(prompt)] == prompt
    if (merged := kept.count(False)) > 0:
        text = f"{merged} of {len(kept)} rows: the tokenizer merges the prompt's end with an answer's beginning"
        if not any(kept):
            raise Refused(text, where, "use backend trl, which encodes them apart, or another template")
        leave_note(folder, f"{text}; they are left out, for OpenRLHF would train on other tokens than a policy writes")
    if len(kept) - merged < settings["batch"]:
        raise Refused(f"has {len(kept) - merged} rows, fewer than one batch of {settings['batch']}", where)
    used = table.filter(kept).select(["prompt", "chosen", "rejected"])
    write_table(used, folder / "data" / "pairs.parquet")
    return {"rows": used.num_rows, "rows_left_out": merged}
