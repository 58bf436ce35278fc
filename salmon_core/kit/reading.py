"""What engines on models of Hugging Face do alike when they read the last token of texts: ids, checked."""

from __future__ import annotations

from collections.abc import Sequence

from salmon_core.api.models import PrefixRequest
from salmon_core.errors import SalmonError
from salmon_core.kit.hf import HFCodec


def text_ids(
    requests: Sequence[PrefixRequest], codec: HFCodec, limit: int | None, *, pad: int | None = None
) -> list[list[int]]:
    """The ids of all whole texts, request by request.

    Args:
        limit: the longest sequence the model takes, in tokens, where known.
        pad: of a reward model: what no text may end with, as transformers scores the last token that is another.

    Raises:
        SalmonError: a text is empty, too long, or ends with the pad token.
    """
    encoded = codec.encode_batch([text for request in requests for text in request.texts])
    rows = (row for row, request in enumerate(requests) for _ in request.suffixes)
    for row, ids in zip(rows, encoded, strict=True):
        if not ids:
            raise SalmonError("an empty text cannot be scored", where=f"request {row}")
        if limit is not None and len(ids) > limit:
            raise SalmonError(
                f"a text of {len(ids)} tokens exceeds the model's {limit}",
                where=f"request {row}",
                hint="lower the length limits of the renderer",
            )
        if pad is not None and ids[-1] == pad:
            raise SalmonError(
                "a text ends with the reward model's pad token, so transformers would score the one before",
                where=f"request {row}",
                hint="set another pad_token_id in the model's config.json and its tokenizer",
            )
    return encoded


def choice_ids(suffixes: Sequence[str], choices: tuple[str, str], codec: HFCodec) -> list[tuple[int, int]]:
    """For each suffix, the ids of the two choices behind it.

    Raises:
        SalmonError: a choice is not one single token behind a suffix, or both are the same.
    """
    unique = list(dict.fromkeys(suffixes))
    plain = codec.encode_batch(unique)
    ids: dict[str, list[int]] = {suffix: [] for suffix in unique}
    for choice in choices:
        longer = codec.encode_batch([suffix + choice for suffix in unique])
        for suffix, short, long in zip(unique, plain, longer, strict=True):
            if len(long) != len(short) + 1 or long[:-1] != short:
                same = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
                before, after = codec.pieces(short[same:]), codec.pieces(long[same:])
                raise SalmonError(
                    f"the choice {choice!r} is not one token behind {suffix[-24:]!r}: "
                    f"the tokenizer makes {after} where {before or 'nothing'} was",
                    hint="let the template's verdict end so that each choice is one token of this tokenizer",
                )
            ids[suffix].append(long[-1])
    found = {suffix: (one, two) for suffix, (one, two) in ids.items()}
    for suffix, (one, two) in found.items():
        if one == two:
            raise SalmonError(f"the choices {choices} are the same token behind {suffix[-24:]!r}")
    return [found[suffix] for suffix in suffixes]
