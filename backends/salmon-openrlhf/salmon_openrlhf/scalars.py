"""TensorBoard's files, read with the standard library: what OpenRLHF logs becomes salmon's logged steps.

A library for it would be tensorboard itself, which is no dependency here and a second's import for a few numbers.
A file is a row of records (length, check sum, a protocol-buffer `Event`, check sum). Of an Event we need the step and
the scalars; the rest is skipped. A file may be growing, or may have been cut off by a kill: a torn record ends it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

#: OpenRLHF's names -> the ones that salmon's backends share
NAMES: Mapping[str, str] = {
    "policy_loss": "loss",
    "gpt_loss": "loss",
    "loss_mean": "loss",
    "acc_mean": "accuracy",
    "rollout/reward_mean": "reward",
    "rollout/reward_std": "reward_std",
    "rollout/response_length_mean": "completions/mean_length",
    "rollout/truncated_rate": "completions/clipped_ratio",
    "entropy_loss": "entropy",  # the entropy itself, which its loss takes a multiple of
    "lr": "learning_rate",
    "actor_lr": "learning_rate",
    "grad_norm": "grad_norm",
    "actor_grad_norm": "grad_norm",
}
#: said by another name already: of one micro-batch where there is a mean, or twice the same
_LEFT_OUT = ("score", "loss", "acc", "reward", "truncated", "response_length", "total_length", "response_clip_ratio")
_HEADER = struct.Struct("<QI")
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5


def read_scalars(folder: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """(step, values) in order of step, with salmon's names.

    A resumed run writes a file of its own and repeats the steps after its checkpoint: the later file counts.
    """
    steps: dict[int, dict[str, float]] = {}
    for file in sorted(folder.rglob("events.out.tfevents.*"), key=_started):
        fresh: dict[int, dict[str, float]] = {}
        for step, tag, value in _scalars(file):
            fresh.setdefault(step, {})[tag] = value
        if fresh:
            first = min(fresh)
            steps = {step: values for step, values in steps.items() if step < first} | fresh
    for step in sorted(steps):
        if values := _named(steps[step]):
            yield step, values


def _started(file: Path) -> tuple[int, str]:
    """When the writer was made: the number after `tfevents`."""
    part = file.name.split("tfevents.")[-1].split(".")[0]
    return (int(part) if part.isdigit() else 0, file.name)


def _named(tags: Mapping[str, float]) -> dict[str, float]:
    named = {}
    for tag, value in tags.items():
        part, _, name = tag.partition("/")
        if part == "train" and name in NAMES:
            named[NAMES[name]] = value
        elif part == "train" and name not in _LEFT_OUT:
            named[name] = value
    return named


def _scalars(file: Path) -> Iterator[tuple[int, str, float]]:
    data = file.read_bytes()
    at = 0
    while at + _HEADER.size <= len(data):
        length, _ = _HEADER.unpack_from(data, at)
        start = at + _HEADER.size
        if start + length + 4 > len(data):
            return
        yield from _event(data[start : start + length])
        at = start + length + 4


def _event(record: bytes) -> Iterator[tuple[int, str, float]]:
    """Event: 2 is the step, 5 the Summary, whose 1 are Values: 1 the tag, 2 the number."""
    step, summaries = 0, []
    for field, value in _fields(record):
        if field == 2 and isinstance(value, int):
            step = value
        elif field == 5 and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for field, item in _fields(summary):
            if field != 1 or not isinstance(item, bytes):
                continue
            tag, number = "", None
            for key, value in _fields(item):
                if key == 1 and isinstance(value, bytes):
                    tag = value.decode(errors="replace")
                elif key == 2 and isinstance(value, float):
                    number = value
            if number is not None:
                yield step, tag, number


def _fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Fields of a protocol-buffer message; stops at what it does not understand."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
        elif kind == _DOUBLE and at + 8 <= len(message):
            yield key >> 3, struct.unpack_from("<d", message, at)[0]
            at += 8
        elif kind == _FLOAT and at + 4 <= len(message):
            yield key >> 3, struct.unpack_from("<f", message, at)[0]
            at += 4
        elif kind == _BYTES:
            size, at = _varint(message, at)
            yield key >> 3, message[at : at + size]
            at += size
        else:
            return


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    return value, at
