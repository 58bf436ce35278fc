"""What a word on the command line names: a baseline, a run, a reward model, or a judge's model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmon_bench.judging import JudgeModel
from salmon_bench.scalar import RewardModel, has_document
from salmon_bench.subject import Coin, Length, Subject
from salmon_core.data.json import read_json
from salmon_core.errors import SalmonError
from salmon_core.reward.forms import Form
from salmon_core.run.run import CONFIG, Run

_HINT = "give length, random, a run, a reward model's folder, rm:MODEL, or judge:MODEL"


@dataclass(frozen=True)
class Choices:
    """How models are asked.

    Attributes:
        rm_template: of reward models without `salmon.json`.
        file_plugins: whether a run may name some.
    """

    folder: Path
    judge: str | None = None
    judge_options: tuple[str, ...] = ()
    engine: str | None = None
    engine_options: tuple[str, ...] = ()
    template: str | None = None
    rm_template: str = "conversation-system"
    form: Form = "auto"
    device: str = "auto"
    dtype: str | None = None
    concurrency: int = 8
    seed: int = 0
    file_plugins: bool = True


def subject_of(word: str, choices: Choices) -> Subject:
    """What is meant by it.

    Raises:
        SalmonError: nothing that is known.
    """
    if word == "length":
        return Length()
    if word == "random":
        return Coin(choices.seed)
    kind, colon, rest = word.partition(":")
    if colon and kind == "rm":
        return _foreign(rest, choices)
    if colon and kind == "judge":
        return _judge(rest, choices)
    path = Path(word).expanduser()
    if has_document(path):
        return RewardModel(word, device=choices.device, dtype=choices.dtype)
    saved = read_json(path / CONFIG) if path.is_dir() else None
    if isinstance(saved, dict) and "source" in saved:
        return _of_run(path, choices)
    if not isinstance(saved, dict):
        raise SalmonError("is no subject" if not path.exists() else "holds no model", where=word, hint=_HINT)
    named = saved.get("architectures")
    scalar = isinstance(named, list) and any("SequenceClassification" in str(each) for each in named)
    return _foreign(word, choices) if scalar else _judge(word, choices)


def _of_run(path: Path, choices: Choices) -> Subject:
    from salmon_core.kit.commands import announce_file_plugin

    run = Run.open(path, file_plugins=choices.file_plugins, announce=announce_file_plugin)
    model = run.reward_model
    if model is None:
        raise SalmonError("the run has no reward model", where=str(path))
    if not has_document(Path(model.path)):
        hint = "finish the stage train-rm; of a reward model from elsewhere give the model itself, as rm:MODEL"
        raise SalmonError("the run's reward model is not there, or not its own", where=str(path), hint=hint)
    return RewardModel(model.path, device=choices.device, dtype=choices.dtype, name=str(path))


def _foreign(model: str, choices: Choices) -> Subject:
    if has_document(Path(model).expanduser()):
        return RewardModel(model, device=choices.device, dtype=choices.dtype)
    _there(model)
    return RewardModel(model, template=choices.rm_template, device=choices.device, dtype=choices.dtype)


def _judge(model: str, choices: Choices) -> Subject:
    if choices.engine is None:
        _there(model)
    return JudgeModel(
        model,
        folder=choices.folder,
        judge=choices.judge,
        options=options_of(choices.judge_options, "--judge-option"),
        engine=choices.engine,
        engine_options=options_of(choices.engine_options, "--engine-option"),
        template=choices.template,
        form=choices.form,
        device=choices.device,
        dtype=choices.dtype,
        concurrency=choices.concurrency,
        seed=choices.seed,
    )


def _there(model: str) -> None:
    """
    Raises:
        SalmonError: it is neither a model's folder nor an id on the hub.
    """
    from salmon_core.sharing.facts import HUB_ID

    path = Path(model).expanduser()
    if not (path / "config.json").is_file() and (path.exists() or not HUB_ID.fullmatch(model)):
        raise SalmonError("no such model", where=model, hint=_HINT)


def options_of(words: Sequence[str], where: str) -> dict[str, Any]:
    """Options as KEY=VALUE, where a value is JSON, or else a text.

    Raises:
        SalmonError: one is not.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise SalmonError(f"{word!r} is not KEY=VALUE", where=where)
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
