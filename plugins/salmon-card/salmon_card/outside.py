"""Cards made outside of a run's stages: of a run's reward model, or of one in a folder or on the hub.

What was sampled, judged and scored lies in a folder named by what it was made from: a command that was killed goes on
there, and the same command again reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from salmon_card.card import Card
from salmon_card.evaluator import JUDGE, ReportCard, by_oracle, nothing, rows
from salmon_card.examine import Extent, examine
from salmon_card.subjects import subjects_of, telling, trained_on
from salmon_core.config.names import find_principle_set
from salmon_core.data.json import read_json
from salmon_core.errors import SalmonError
from salmon_core.plugins.oracles import find_oracle
from salmon_core.plugins.registry import Registry
from salmon_core.run.folder import StageFolder
from salmon_core.run.identity import fingerprint, identity, path_identity
from salmon_core.run.run import CONFIG, Run
from salmon_core.sharing.document import FILE as DOCUMENT
from salmon_core.sharing.document import read_document
from salmon_core.sharing.facts import HUB_ID
from salmon_core.sharing.loaded import load_reward
from salmon_core.stages.evaluate import Evaluate
from salmon_core.stages.evaluated_run import StageRun
from salmon_core.stages.sources import Sources
from salmon_core.stages.watched import Watch, WatchedWork

#: in a run's folder
FOLDER = "card"
#: the last card of a run, in that folder
CARD = "card.json"


@dataclass(frozen=True)
class Wanted:
    """What a card is made of.

    Attributes:
        truth: name of an oracle, `judge`, or None: of a run, what its own evaluators go by, else its judge; of a model,
            the preferences.
        pairs: preferences with a column `principle`.
        principles: names of sets, or files, with unseen principles and other wordings.
        samples: completions per held-out prompt.
        most: comparisons for each figure; `largest` set of principles.
    """

    truth: str | None = None
    pairs: Path | None = None
    principles: tuple[str, ...] = ()
    samples: int = 8
    most: int = 200
    largest: int = 4


def is_run(path: Path) -> bool:
    """Whether a run lies there, and no model."""
    saved = read_json(path / CONFIG)
    return isinstance(saved, dict) and "source" in saved and not (path / DOCUMENT).exists()


def card_of_run(run: Run, wanted: Wanted, watch: Watch = lambda what, done, total: None) -> Card:
    """Of a run's reward model.

    Args:
        run: with a trained reward model.

    Raises:
        SalmonError: it has none, no prompts are held out, or the truth says nothing of the pairs.
    """
    for stage, file in (("prompts", "prompts.parquet"), ("train-rm", "model")):
        if stage in Sources(run).stages:
            run.stage(stage).need(file)
    sources = Sources(run)
    if sources.reward_model() is None:
        raise SalmonError("the run has no reward model", where=str(run.path))
    inputs = replace(Evaluate().inputs(sources), evaluators=(), judges={})
    truth = wanted.truth or _own_truth(run)
    names, files = _split(wanted.principles)
    options = ReportCard.Options(
        truth=truth,
        pairs=wanted.pairs,
        sets=names,
        files=files,
        samples=wanted.samples,
        max_pairs=wanted.most,
        max_set=wanted.largest,
    )
    key = fingerprint(identity(inputs, run.config.registry))
    folder = StageFolder(run.path / FOLDER, key)
    folder.path.mkdir(parents=True, exist_ok=True)
    work = WatchedWork(folder, run.path / "cache", run.config.registry, watch)
    with StageRun(inputs, work) as opened:
        evaluator = ReportCard(options)
        seen = opened.seen_by(evaluator, "salmon-card", "report card", 0)
        evaluator.check(seen)
        return _told(evaluator.card(seen))


def card_of_model(
    model: str,
    wanted: Wanted,
    folder: Path,
    watch: Watch = lambda what, done, total: None,
    *,
    device: str = "auto",
    seed: int = 0,
) -> Card:
    """Of a reward model in a folder, or on the hub.

    Args:
        wanted: with pairs.
        folder: where scores are kept.

    Raises:
        SalmonError: no pairs, no such model, or the truth says nothing of the pairs.
    """
    if wanted.pairs is None:
        raise SalmonError(
            "a model without its run brings no pairs to examine it on",
            where=model,
            hint="give preferences with a column `principle`: --pairs FILE",
        )
    registry = Registry.discover()
    others = [each for name in wanted.principles for each in find_principle_set(registry, name, Path.cwd())]
    oracle = None if wanted.truth in (None, JUDGE) else find_oracle(registry, str(wanted.truth))
    local = Path(model).expanduser()
    if local.is_dir():  # what is wrong with the rows is said before a large model is opened
        rows(wanted.pairs, subjects_of(trained_on(read_document(local)), others).all)
    with load_reward(model, device=device) as reward:
        trained = trained_on(reward.document)
        subjects = subjects_of(trained, others)
        source = rows(wanted.pairs, subjects.all)
        # Principles that only rows name were never seen in training either.
        known = {each.name for each in subjects.all}
        subjects = subjects_of(trained, [*others, *(own for name, own in source.texts.items() if name not in known)])
        if oracle is not None:
            source = by_oracle(oracle, str(wanted.truth), source, [principle.name for principle in subjects.all])
        subjects = telling(subjects, source.items)
        total = len(source.items)
        extent = Extent(wanted.most, wanted.largest, seed)
        own = folder / fingerprint(_content(model))
        own.mkdir(parents=True, exist_ok=True)

        def progress(done: int) -> None:
            watch("pairs scored by the reward model", done, total)

        return _told(examine(reward, model, source, subjects, own, extent=extent, progress=progress))


def _told(card: Card) -> Card:
    """
    Raises:
        SalmonError: there is nothing on it.
    """
    if not card.figures:
        hint = "more prompts or samples, another truth (--truth), or preferences (--pairs)"
        raise SalmonError(nothing(card), where=card.model, hint=hint)
    return card


def _content(model: str) -> object:
    """Of a folder its files; an id on the hub counts by its name."""
    path = Path(model).expanduser()
    return path_identity(path) if path.is_dir() else model


def checked_target(target: str) -> Path | str:
    """A run's folder, or a model as `load_reward` takes it.

    Raises:
        SalmonError: it is neither.
    """
    path = Path(target).expanduser()
    if path.is_dir():
        if is_run(path):
            return path
        if (path / DOCUMENT).is_file():
            return target
        hint = "a run has config.json and stages, a reward model salmon.json"
        raise SalmonError("is neither a run's folder nor a reward model's", where=target, hint=hint)
    if path.exists() or not HUB_ID.fullmatch(target):
        raise SalmonError("no such folder", where=target, hint="give a run, a reward model's folder, or a hub id")
    return target


def _own_truth(run: Run) -> str:
    """What the run's own evaluators go by, where one names an oracle."""
    for spec in run.config.evaluators:
        for option in ("truth", "oracle"):
            if isinstance(name := spec.options.get(option), str) and name not in ("", JUDGE):
                return name
    return JUDGE


def _split(principles: Sequence[str]) -> tuple[list[str], list[Path]]:
    files = [Path(name).resolve() for name in principles if Path(name).suffix in (".yaml", ".yml", ".json")]
    return [name for name in principles if Path(name).suffix not in (".yaml", ".yml", ".json")], files
