"""What engines on models of Hugging Face do alike when they sample: prompts checked, texts cut, completions made."""

from __future__ import annotations

from collections.abc import Sequence

from salmon_core.api.models import Sampling
from salmon_core.errors import SalmonError
from salmon_core.kit.hf import HFCodec
from salmon_core.records import Completion, Prompt


class StopStrings:
    """Finds the first stop string in what is being generated, token by token.

    Args:
        stop: strings; empty ones are ignored.
        codec: special tokens may be part of a stop string, so texts are decoded with them.
    """

    def __init__(self, stop: Sequence[str], codec: HFCodec):
        self._stop = tuple(dict.fromkeys(text for text in stop if text))
        self._codec = codec
        # A token holds at least one byte; a few more, because some tokenizers drop a leading space.
        self._window = max((len(text.encode("utf-8", "surrogatepass")) for text in self._stop), default=0) + 4

    def __bool__(self) -> bool:
        return bool(self._stop)

    def hit(self, ids: Sequence[int]) -> bool:
        """Whether the text of all these ids has a stop string; looks at the end only, so ask after every token."""
        return self._first(self._codec.decode(ids[-self._window :])) >= 0

    def text(self, ids: Sequence[int]) -> str:
        """The text up to the first stop string, special tokens stripped."""
        text = self._codec.decode(ids, skip_special=True)
        if (at := self._first(text)) >= 0:
            return text[:at]
        # The stop string holds a special token: cut with them in sight, then strip them.
        text = self._codec.decode(ids)
        if (at := self._first(text)) >= 0:
            text = text[:at]
        for special in self._codec.special_tokens:
            text = text.replace(special, "")
        return text

    def _first(self, text: str) -> int:
        return min((at for stop in self._stop if (at := text.find(stop)) >= 0), default=-1)


def prompt_ids(
    prompts: Sequence[tuple[Prompt, str]], sampling: Sampling, codec: HFCodec, limit: int | None
) -> list[list[int]]:
    """The ids of (prompt, its rendered text).

    Args:
        limit: the longest sequence the model takes, in tokens, where known.

    Raises:
        SalmonError: a prompt leaves no room for `max_new_tokens`, is empty, or the settings make no sense.
    """
    _check(sampling)
    encoded = codec.encode_batch([text for _, text in prompts])
    for (prompt, _), ids in zip(prompts, encoded, strict=True):
        if not ids:
            raise SalmonError("the rendered prompt is empty", where=f"prompt {prompt.id}")
        if limit is not None and len(ids) + sampling.max_new_tokens > limit:
            raise SalmonError(
                f"{len(ids)} tokens and {sampling.max_new_tokens} new ones exceed the model's {limit}",
                where=f"prompt {prompt.id}",
                hint="shorten or drop the prompt, or lower max_new_tokens",
            )
    return encoded


def completion(
    prompt: str, index: int, ids: Sequence[int], ended: str | None, stop: StopStrings, codec: HFCodec
) -> Completion:
    """What was generated, as a record.

    Args:
        prompt: its id.
        index: of the sample.
        ids: generated, with the EOS where there is one.
        ended: `eos`, `stop` for a stop string, None at the limit.
    """
    length = len(ids) - (ended == "eos")
    body = ids[:length]
    text = stop.text(body) if ended == "stop" else codec.decode(body, skip_special=True)
    return Completion(prompt, index, text, tuple(ids), length, ended is not None)


def _check(sampling: Sampling) -> None:
    for name, value, fine in (
        ("temperature", sampling.temperature, 0 <= sampling.temperature < float("inf")),
        ("top_p", sampling.top_p, 0 < sampling.top_p <= 1),
        ("max_new_tokens", sampling.max_new_tokens, sampling.max_new_tokens >= 1),
        ("samples", sampling.samples, sampling.samples >= 1),
        ("batch_size", sampling.batch_size, sampling.batch_size >= 1),
    ):
        if not fine:
            raise SalmonError(f"{name} = {value} makes no sense", where="sampling")
