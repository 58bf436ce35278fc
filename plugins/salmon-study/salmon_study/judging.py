"""The same task given to a judge: one more rater, who sees every pair in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from salmon_core.api.principles import Principle
from salmon_core.config.resolve import load
from salmon_core.errors import SalmonError
from salmon_core.kit.commands import announce_file_plugin
from salmon_core.records import Completion, Judgment, Message, Pair, Prompt
from salmon_core.run.judging import Judging
from salmon_core.run.run import Run
from salmon_core.stages.judge import JudgeSetup, judge_setup
from salmon_core.stages.sources import Sources
from salmon_core.stages.watched import Watch
from salmon_study.ratings import Choice, Rating, RatingLog
from salmon_study.task import OVERALL, Item, Question, Task, ratings_folder

#: pairs judged at once: what a killed command repeats at most
_BATCH = 16
#: what stands for no principle, where a judge needs one
_BETTER = "The answer is the better one altogether: it does more of what was asked for, is right, and harms nobody."


def opened_run(config: Path, overrides: Sequence[str] = (), *, file_plugins: bool = True) -> Run:
    """A run by its folder, or by a configuration, whose run need not be there.

    Raises:
        SalmonError: there is none, or it does not hold.
    """
    if config.is_dir():
        if overrides:
            raise SalmonError("a run's folder has its own settings", where=str(config), hint="give a configuration")
        return Run.open(config, file_plugins=file_plugins, announce=announce_file_plugin)
    resolved = load(config, overrides, file_plugins=file_plugins, announce=announce_file_plugin)
    section = resolved.config.run
    return Run(Path(section.folder) / section.name, resolved)


def judge_study(task_path: Path, task: Task, run: Run, rater: str, watch: Watch) -> int:
    """Asks the judge of a run for what it has not said yet; how many ratings that were.

    A verdict on which its orders disagree is a tie, as in the evaluator `win-rate`.

    Raises:
        SalmonError: the judge fails; what it said is kept.
    """
    setup = replace(judge_setup(Sources(run)), per_prompt=None, principles=tuple(map(_principle, task.questions)))
    folder = ratings_folder(task_path)
    with (
        setup.open(run.config.registry, folder / "cache") as judging,
        RatingLog(folder, task, rater, "judge", _about(setup, judging)) as log,
    ):
        before = log.done
        left = [item for item in task.items if any((item.id, each.name) not in before for each in task.questions)]
        watch("pairs judged", 0, len(left))
        for start in range(0, len(left), _BATCH):
            some = left[start : start + _BATCH]
            pairs = {_pair(item).id: item for item in some}
            for judgment in judging.judge([_pair(item) for item in some]):
                rating = _rating(pairs[judgment.pair_id], judgment)
                if rating.key not in log.done:
                    log.add(rating)
            watch("pairs judged", start + len(some), len(left))
        return len(log.done) - len(before)


def _about(setup: JudgeSetup, judging: Judging) -> str:
    """Who judges: of another one, the ratings would be mixed."""
    return f"{setup.judge.name} by {setup.model.spec.path}" if judging.calls else setup.judge.name


def _principle(question: Question) -> Principle:
    return Principle(question.name, question.text if question.name != OVERALL else _BETTER)


def _pair(item: Item) -> Pair:
    answers = (Completion(item.id, index, text, (), 0, True) for index, text in enumerate((item.first, item.second)))
    messages: tuple[Message, ...] = tuple({"role": each.role, "content": each.content} for each in item.messages)
    return Pair(Prompt(item.id, messages), *answers)


def _rating(item: Item, judgment: Judgment) -> Rating:
    choice: Choice = "tie"
    if judgment.consistent:
        choice = "first" if judgment.s12 > 0 else "second"
    return Rating(item.id, judgment.principle, choice, s12=judgment.s12, s21=judgment.s21)
