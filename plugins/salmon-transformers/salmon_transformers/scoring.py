"""Choice logits and reward scores: which forward pass, which head, and whether prefixes can be shared."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import torch

from salmon_core.api import PrefixRequest
from salmon_core.kit.hf import HFCodec
from salmon_core.kit.reading import choice_ids, text_ids
from salmon_transformers.cascade import attach, can_cascade, detach
from salmon_transformers.grouping import Family, Shared
from salmon_transformers.last_layer import LastBlock
from salmon_transformers.packed import ROWS, can_pack, gains, pack, unpack
from salmon_transformers.reading import Reader

_log = logging.getLogger("salmon")
#: relative deviation at which the probe calls two ways of computing the same thing different
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
#: head(features [n, F], indices of the texts) -> float32 [n, C]
Head = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]


class Scorer:
    """Reads the last token of texts with one model; checks at construction, by numbers, what this model allows.

    Args:
        model: a transformers model in evaluation mode.
        codec: its tokenizer.
        kind: `causal` or `reward`.
        budget: tokens in a batch; None chooses by device.

    Attributes:
        network: the model.
        shares: whether prefixes are shared; else every text gets a plain pass of its own.
        body_only: whether the model's head is a plain linear layer on its body, so that the body alone is asked.
    """

    def __init__(self, model: Any, codec: HFCodec, kind: Literal["causal", "reward"], budget: int | None):
        self.network = self._model = model
        self._codec, self._kind = codec, kind
        self._body = model.base_model
        self._head: Any = model.get_output_embeddings() if kind == "causal" else getattr(model, "score", None)
        pad = codec.tokenizer.pad_token_id
        on_gpu = model.device.type == "cuda"
        self._reader = Reader(
            self._read_body,
            model.device,
            model.dtype,
            codec.eos_id if pad is None else pad,
            budget or (16384 if on_gpu else 1024),
            1024 if on_gpu else 256,
        )
        self._longest_shared = _longest_shared(model.config.get_text_config())
        self._last: LastBlock | None = None
        with torch.inference_mode():
            self.body_only = self._probe_head()
            if not self.body_only:
                read = self._read_logits if kind == "causal" else self._read_scores
                # Logits of the whole vocabulary at every position kept: smaller batches.
                self._reader = replace(self._reader, read=read, budget=min(self._reader.budget, 4096))
            else:
                self._pack()
                self._last = self._probe_last_block()
            self.shares = self._probe_cascade() or self._probe_sharing()

    @torch.inference_mode()
    def choice_logits(
        self, requests: Sequence[PrefixRequest], choices: tuple[str, str]
    ) -> list[list[tuple[float, float]]]:
        """See `salmon_core.api.Chooser.choose`."""
        flat = [suffix for request in requests for suffix in request.suffixes]
        tokens = torch.tensor(choice_ids(flat, choices, self._codec), device=self._reader.device).reshape(-1, 2)

        def head(features: torch.Tensor, texts: Sequence[int]) -> torch.Tensor:
            wanted = tokens[torch.tensor(texts, device=tokens.device)]
            if not self.body_only:
                return features.float().gather(-1, wanted)
            wanted = wanted.to(self._head.weight.device)
            logits = torch.einsum("nh,nch->nc", features.float().to(wanted.device), self._head.weight[wanted].float())
            return logits if self._head.bias is None else logits + self._head.bias[wanted].float()

        return [[(row[0], row[1]) for row in rows] for rows in self._run(requests, head)]

    @torch.inference_mode()
    def reward(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        """See `salmon_core.api.Scorer.score`."""
        return [[row[0] for row in rows] for rows in self._run(requests, lambda f, _: self._reward_head(f))]

    def _reward_head(self, features: torch.Tensor) -> torch.Tensor:
        return self._head(features).float() if self.body_only else features.float()

    def _run(self, requests: Sequence[PrefixRequest], head: Head) -> list[list[list[float]]]:
        """-> for each request and suffix, what `head` makes of the features of its last token."""
        starts = [0]
        for request in requests:
            starts.append(starts[-1] + len(request.suffixes))
        results: list[list[float]] = [[] for _ in range(starts[-1])]
        shared, places, plain, plain_places = self._plan(requests, starts)

        def finish(texts: list[int], features: torch.Tensor) -> None:
            for text, values in zip(texts, head(features, texts).tolist(), strict=True):
                results[text] = values

        self._reader.shared(shared, lambda names, f: finish([places[row][i] for row, i in names], f))
        self._reader.plain(plain, lambda rows, f: finish([plain_places[row] for row in rows], f))
        return [results[start:end] for start, end in pairwise(starts)]

    def _plan(
        self, requests: Sequence[PrefixRequest], starts: Sequence[int]
    ) -> tuple[list[Shared], list[list[int]], list[list[int]], list[int]]:
        """Which texts share a prefix. -> shared requests, their texts' numbers; other texts' ids, their numbers.

        A text shares only if encode(prefix) + encode(suffix) is encode(prefix + suffix).
        """
        pad = self._model.config.get_text_config().pad_token_id if self._kind == "reward" else None
        wholes = text_ids(requests, self._codec, self._codec.max_length, pad=pad)
        alike = {suffix: None for request in requests if len(request.suffixes) > 1 for suffix in request.suffixes}
        suffix_ids = dict(zip(alike, self._codec.encode_batch(list(alike)), strict=True)) if self.shares else {}
        prefix_ids = self._codec.encode_batch([request.prefix for request in requests]) if suffix_ids else []
        shared, places, plain, plain_places = [], [], [], []
        for row, request in enumerate(requests):
            members = []
            for i, suffix in enumerate(request.suffixes):
                whole, tail = wholes[starts[row] + i], suffix_ids.get(suffix)
                if (
                    tail
                    and prefix_ids[row]
                    and len(whole) <= self._longest_shared
                    and [*prefix_ids[row], *tail] == whole
                ):
                    members.append(i)
            if len(members) < 2:
                members = []
            else:
                shared.append(Shared(prefix_ids[row], tuple(suffix_ids[request.suffixes[i]] for i in members)))
                places.append([starts[row] + i for i in members])
            for i in sorted(set(range(len(request.suffixes))) - set(members)):
                plain.append(wholes[starts[row] + i])
                plain_places.append(starts[row] + i)
        return shared, places, plain, plain_places

    def _read_body(self, keep: torch.Tensor, **inputs: Any) -> torch.Tensor:
        with nullcontext() if self._last is None else self._last.at(keep):
            hidden = self._body(**inputs).last_hidden_state
            return hidden[:, keep.to(hidden.device)]  # type: ignore[no-any-return]

    def _read_logits(self, keep: torch.Tensor, **inputs: Any) -> torch.Tensor:
        return self._model(logits_to_keep=keep, **inputs).logits.to(keep.device)  # type: ignore[no-any-return]

    def _read_scores(self, keep: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """The model pools by itself: the same score at every position asked for."""
        return self._model(**inputs).logits[:, None].expand(-1, len(keep), -1)  # type: ignore[no-any-return]

    def _probe_ids(self) -> list[list[int]]:
        """Ordinary ids, the same each time: two prefixes, then three suffixes for each."""
        special = set(self._codec.tokenizer.all_special_ids) | set(self._codec.tokenizer.added_tokens_decoder)
        rows = self._model.get_input_embeddings().weight.shape[0]
        usable = [i for i in range(min(rows, len(self._codec.tokenizer))) if i not in special] or [0]
        stream = iter(range(0, 10**6, 7919))
        return [[usable[(next(stream) + 13) % len(usable)] for _ in range(n)] for n in (23, 17, 5, 3, 9, 4, 6, 2)]

    def _probe_head(self) -> bool:
        """Whether body and head by hand give what the model gives; not so with soft-capped or scaled logits."""
        if self._head is None or not isinstance(getattr(self._head, "weight", None), torch.Tensor):
            return False
        if self._kind == "causal" and self._head.weight.ndim != 2:
            return False
        texts = self._probe_ids()[:3]
        ours: dict[int, torch.Tensor] = {}

        def finish(rows: list[int], features: torch.Tensor) -> None:
            ours.update(zip(rows, self._head(features).float(), strict=True))

        try:
            self._reader.plain(texts, finish)
            whole = [self._model(input_ids=torch.tensor([text], device=self._model.device)).logits for text in texts]
            last = [logits[0, -1] if self._kind == "causal" else logits[0] for logits in whole]
            # All at once: a single score may lie so close to 0 that its relative deviation means nothing.
            return self._close(torch.stack([ours[row] for row in range(len(texts))]), torch.stack(last).float())
        except Exception as error:  # any architecture may fail in its own way; plain passes remain
            _log.debug("asking only the model's body failed: %s", error)
            return False

    def _pack(self) -> None:
        """Faster linear layers, where they change nothing."""
        if not can_pack(self._body) or not gains():
            return
        plain = self._probe_features()
        layers = pack(self._body)
        if self._alike(self._probe_features(), plain):
            self._reader = replace(self._reader, multiple=ROWS)
        else:
            unpack(self._body, layers)

    def _probe_last_block(self) -> LastBlock | None:
        """The last layer's block, if leaving it out where nobody looks changes nothing that is read."""
        whole, last = self._probe_features(), LastBlock(self._body)
        self._last = last
        part = self._probe_features() if last.found else None
        self._last = None
        if self._alike(part, whole):
            return last
        last.remove()
        return None

    def _probe_features(self) -> list[torch.Tensor] | None:
        """Of a few texts; None where computing them fails."""
        texts, found = self._probe_ids()[:3], dict[int, torch.Tensor]()
        try:
            self._reader.plain(texts, lambda rows, f: found.update(zip(rows, f.float(), strict=True)))
        except Exception as error:  # any architecture may fail in its own way; it is computed as transformers does
            _log.debug("a faster way of computing failed: %s", error)
            return None
        return [found[row] for row in range(len(texts))]

    def _alike(self, ours: list[torch.Tensor] | None, plain: list[torch.Tensor] | None) -> bool:
        return ours is not None and plain is not None and all(map(self._close, ours, plain))

    def _probe_cascade(self) -> bool:
        """Attention in parts, if packed suffixes then give what plain passes give."""
        if not self.body_only or not can_cascade(self._body):
            return False
        plain = self._reader
        attach(self._body)
        self._reader = replace(plain, cascade=True, pack=max(plain.pack, plain.budget))
        reason = self._compare_sharing()
        if reason is not None:
            _log.debug("attention in parts: %s", reason)
            detach(self._body)
            self._reader = plain
        return reason is None

    def _probe_sharing(self) -> bool:
        """Whether packed suffixes behind a cached prefix give what plain passes give; warns where they do not."""
        accepts = inspect.signature((self._body if self.body_only else self._model).forward).parameters
        reason = None
        if self._kind == "reward" and not self.body_only:
            reason = "its head is not a plain linear layer at the last token"
        elif not {"position_ids", "past_key_values"} <= set(accepts):
            reason = "it takes no position_ids or no key/value cache"
        else:
            reason = self._compare_sharing()
        if reason is not None:
            _log.warning(
                "%s (%s): prefixes cannot be shared, since %s; every text gets a forward pass of its own, "
                "which is correct but slower",
                self._codec.tokenizer.name_or_path or "model",
                self._model.config.model_type,
                reason,
            )
        return reason is None

    def _compare_sharing(self) -> str | None:
        """-> why sharing is wrong for this model, or None."""
        first, second, *tails = self._probe_ids()
        ends = tuple(tails[:3]), tuple(tails[3:])
        prefixes = [first, [*first[:9], *second[:8]], second, [*second[:5], *first[:7]]]
        requests = [Shared(prefix, ends[i // 2]) for i, prefix in enumerate(prefixes)]
        texts = [[*request.prefix, *suffix] for request in requests for suffix in request.suffixes]
        plain: dict[int, torch.Tensor] = {}
        packed: dict[int, torch.Tensor] = {}
        again: dict[int, torch.Tensor] = {}
        try:
            self._reader.plain(texts, lambda rows, f: plain.update(zip(rows, f.float(), strict=True)))
            # All in one batch, to try padded stems, prefixes and suffixes too.
            for group, found in (
                ([Family(0, (row,)) for row in range(4)], packed),
                ([Family(9, (0, 1)), Family(5, (2, 3))], again),
            ):
                self._reader.batch(
                    range(4),
                    requests,
                    self._reader.trunk(group, requests),
                    lambda names, f, found=found: found.update(  # type: ignore[misc]
                        zip([row * 3 + i for row, i in names], f.float(), strict=True)
                    ),
                )
        except Exception as error:  # any architecture may fail in its own way; plain passes remain
            return f"a packed pass fails ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
        if all(self._close(found[i], plain[i]) for found in (packed, again) for i in range(len(texts))):
            return None
        return "packed and plain passes differ"

    def _close(self, ours: torch.Tensor, plain: torch.Tensor) -> bool:
        deviation = (ours - plain).norm() / plain.norm().clamp(min=1e-12)
        return bool(deviation <= _TOLERANCE.get(self._model.dtype, 1e-2))


def _longest_shared(config: Any) -> int:
    """Texts up to this length attend to all of themselves with unchanging positions, so sharing is exact.

    Beyond a sliding window, or where rotary frequencies change with the length, plain passes are used.
    """
    limits = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    if getattr(config, "use_sliding_window", True) is False:
        limits[0] = None
    ropes = getattr(config, "rope_parameters", None) or {}
    for rope in [ropes, *(value for value in ropes.values() if isinstance(value, dict))]:
        if rope.get("rope_type") in ("dynamic", "longrope"):
            limits.append(rope.get("original_max_position_embeddings") or config.max_position_embeddings)
    return min((int(limit) for limit in limits if limit), default=10**9)
