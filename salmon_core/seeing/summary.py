"""Did it work? A run's report in a few sentences: what was asked for, how sure, what it cost, what was exploited.

Nothing is guessed: each sentence goes by numbers of the report, and says so where there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from salmon_core.data.json import read_json
from salmon_core.records import FEW
from salmon_core.run.run import CONFIG
from salmon_core.seeing.changes import COMPONENTS, TARGETS, TRAINING, Change, changes
from salmon_core.seeing.eventlog import EventLog
from salmon_core.stages.signatures import REWARD_OF

State = Literal["good", "bad", "unclear", "none", "live"]
_EXPLOITED = "It worked, and the reward was exploited"
#: the sum of a reward's components, as evaluators call it
_TOTALS = ("total", "reward")


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence, and whether it is good news."""

    state: State
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "did it work?".

    Attributes:
        word: the shortest answer.
        worked: what moved of what was to move.
        sure: how sure that is: intervals, numbers of prompts, judge and reward model.
        given_up: what became worse.
        exploited: what the policy got its reward by.
    """

    word: Said
    worked: Said
    sure: Said
    given_up: Said
    exploited: Said


@dataclass(frozen=True, slots=True)
class Summary:
    """A run as one looks at it first.

    Attributes:
        document: its configuration, with defaults.
        report: what `report.json` holds; empty where it is not there yet.
        live: whether somebody works on it now.
    """

    path: Path
    name: str
    algorithm: str
    seed: int | None
    document: Mapping[str, Any]
    report: Mapping[str, Any]
    live: bool
    changes: tuple[Change, ...]
    verdict: Verdict

    @property
    def watched(self) -> bool:
        """Whether monitors looked at its rollouts."""
        return self.document.get("monitors") is not None


def summary(run: Path, log: EventLog, training: Sequence[Change] = ()) -> Summary:
    """Of a run's folder, finished or not; needs none of the plugins that it was made with.

    Args:
        training: rewards early and late in training, where rollouts were read; they stand in where nothing else was
            measured.
    """
    saved = read_json(run / CONFIG)
    document = saved.get("document") if isinstance(saved, Mapping) else None
    document = document if isinstance(document, Mapping) else {}
    read = read_json(run / "report.json")
    live = log.live
    report = read if isinstance(read, Mapping) and not _older(run, log) else {}
    own, train = document.get("run") or {}, document.get("train") or {}
    found = (*changes(report), *training)
    return Summary(
        run,
        str(own.get("name") or run.name),
        str(report.get("algorithm") or train.get("algorithm") or ""),
        own.get("seed"),
        document,
        report,
        live,
        found,
        verdict(report, found, log, live=live, watched=document.get("monitors") is not None),
    )


def rewarded(report: Mapping[str, Any]) -> list[str]:
    """What a run was rewarded for, by its report: principles by their names, and bonuses, which are said to be some."""
    principles = (report.get("principles") or {}).get("rewarded") or ()
    return [*principles, *(f"{name} (bonus)" for name in report.get("bonuses") or ())]


def _older(run: Path, log: EventLog) -> bool:
    """Whether the report is of before the run was last started, and it is not done."""
    try:
        return log.started is not None and not log.ended and (run / "report.json").stat().st_mtime < log.started
    except OSError:
        return False


def verdict(report: Mapping[str, Any], found: Sequence[Change], log: EventLog, *, live: bool, watched: bool) -> Verdict:
    """The answer, by a report and what is known so far.

    Args:
        watched: whether monitors looked at the rollouts.
    """
    worked = _worked(report, found)
    exploited = _exploited(report, log, watched=watched)
    return Verdict(
        _word(worked, exploited, found, log, live=live),
        worked,
        _sure(report, found),
        _given_up(report, found),
        exploited,
    )


# ------------------------------------------------------------------------------------------------ the single sentences
def _word(worked: Said, exploited: Said, found: Sequence[Change], log: EventLog, *, live: bool) -> Said:
    if live:
        batch = max(log.training.rollouts, default=None)
        at = next((name for name in reversed(log.stages) if log.stage(name).status == "running"), "")
        said = f"Running: {at}" if at else "Running"
        return Said("live", said + (f", {batch + 1} batches rewarded" if batch is not None else ""))
    if log.error or any(log.stage(name).status == "failed" for name in log.stages):
        return Said("bad", "It failed")
    if log.started is not None and not log.ended:
        return Said("unclear", "It was interrupted")
    words: dict[State, str] = {"good": "It worked", "bad": "It did not work", "unclear": "It worked in part"}
    if not any(each.group == TARGETS and each.wanted for each in found):
        words = {"good": "The reward rose", "bad": "The reward fell", "unclear": "The reward did not surely change"}
    word = Said(worked.state, words.get(worked.state, "Nothing measured says whether it worked"))
    if word.state == "good" and exploited.state == "bad":
        return Said("unclear", f"{word.text}, and it was exploited" if "reward" in word.text else _EXPLOITED)
    return word


def _worked(report: Mapping[str, Any], found: Sequence[Change]) -> Said:
    targets = [each for each in found if each.group == TARGETS and each.wanted]
    if targets:
        by = {moved: [each.what for each in targets if each.moved == moved] for moved in ("as wanted", "against")}
        few = [each.what for each in targets if each.moved == "too few"]
        good, bad = by["as wanted"], by["against"]
        rest = [each.what for each in targets if each.moved == "not shown"]
        parts = [f"{len(good)} of {len(targets)} targets moved as wanted"]
        parts += [f"against what was wanted: {', '.join(bad)}"] if bad else []
        parts += [f"not shown to move: {', '.join(rest)}"] if rest else []
        parts += [f"too few prompts for {', '.join(few)}"] if few else []
        state: State = "good" if len(good) == len(targets) else "unclear" if good else "bad" if bad or rest else "none"
        return Said(state, "; ".join(parts))
    total = next((each for each in found if each.group == COMPONENTS and each.what in _TOTALS), None)
    if total is not None:
        state = {"up": "good", "down": "bad", "not shown": "unclear"}.get(total.moved, "none")  # type: ignore[assignment]
        return Said(state, f"no targets were set; the reward on held-out prompts went {told(total)}")
    reward = next((each for each in found if each.group == TRAINING and each.what == "reward"), None)
    if reward is not None:
        state = {"up": "good", "down": "bad", "not shown": "unclear"}.get(reward.moved, "none")  # type: ignore[assignment]
        return Said(state, f"no targets were set; the reward in training went {told(reward)}")
    return Said("none", "no targets and no reward were measured")


def _sure(report: Mapping[str, Any], found: Sequence[Change]) -> Said:
    sizes = [each.n for each in found if each.group in (TARGETS, COMPONENTS) and each.n]
    parts: list[str] = []
    state: State = "good"
    if sizes:
        parts.append(f"95 % intervals over {min(sizes)} held-out prompts")
        if min(sizes) < FEW:
            state = "unclear"
            parts[-1] += ", which are too few"
    else:
        state = "none"
        parts.append("nothing was measured on held-out prompts")
    judge = ((report.get("judge") or {}).get("whole") or {}).get("verdict")
    if judge:
        parts.append(f"the judge is {judge}" if judge != "too few" else "too few prompts to believe the judge")
        state = state if judge == "good" else "unclear"
    follows = next(iter(_signatures(report, "follow its principles")), None)
    if follows and follows.get("found") != "not measured":
        words = {"yes": "does not follow its principles", "no": "follows its principles"}
        parts.append(f"the reward model {words.get(follows['found'], 'may not follow its principles')}")
        state = state if follows["found"] == "no" else "unclear"
    return Said(state, "; ".join(parts))


def _given_up(report: Mapping[str, Any], found: Sequence[Change]) -> Said:
    worse = [each for each in found if each.moved == "against"]
    parts = [f"{each.what} went {told(each)}" for each in worse]
    sign = next(iter(_signatures(report, "gets worse")), None)
    if sign and sign.get("found") == "yes":
        own = [each for each in sign.get("numbers") or () if each.get("before") is not None and each["high"] < 0]
        parts += [f"{each['what']} went from {each['before']:.2f} to {each['after']:.2f}" for each in own]
    if parts:
        return Said("bad", "; ".join(parts))
    if sign and sign.get("found") == "no":
        numbers = [str(each.get("what")) for each in sign.get("numbers") or ()]
        if any(each.group == TARGETS for each in found) or not all(name.startswith(REWARD_OF) for name in numbers):
            return Said("good", "nothing that was measured became worse")
        # A reward that is exploited rises everywhere.
        return Said("none", "the reward fell in no category; nothing but the reward was measured")
    if sign and sign.get("found") == "unclear":
        return Said("unclear", "no category surely became worse, nor surely stayed")
    return Said("none", "not measured: no evaluator looks at categories or other skills")


def _exploited(report: Mapping[str, Any], log: EventLog, *, watched: bool) -> Said:
    raised = _last_tellings(report, log)
    if raised:
        lasting = [each for each, state, _ in raised if state not in ("cured", "gone")]
        alarm, _, followed = next((each for each in reversed(raised) if each[0] in lasting), raised[-1])
        told_again = ", told again" if alarm.get("again") else ""
        said = f"{alarm.get('monitor')}: {alarm.get('text')}{told_again}" + (f"; {followed}" if followed else "")
        more = f" (and {len(raised) - 1} more)" if len(raised) > 1 else ""
        return Said("bad" if lasting else "unclear", said + more)
    quiet = "no alarm was raised" if watched else "no monitor watched"
    sign = next(iter(_signatures(report, "exploits")), None)
    if sign is None or sign.get("found") == "not measured":
        return Said("good" if watched and report else "none", quiet if watched else f"not measured: {quiet}")
    words: dict[str, Said] = {
        "yes": Said("bad", f"the reward rose while a target moved against what was wanted; {quiet}"),
        "no": Said("good", f"the reward rose and targets moved as wanted; {quiet}"),
    }
    return words.get(str(sign.get("found")), Said("unclear", f"no target says what the reward rose for; {quiet}"))


def _last_tellings(report: Mapping[str, Any], log: EventLog) -> list[tuple[Mapping[str, Any], str, str]]:
    """Of each alarm the last telling, what has become of it, and the same in words."""
    alarms: list[Mapping[str, Any]] = [
        {**each, "followed": log.training.followed.get(number)} for number, each in enumerate(log.training.alarms, 1)
    ]
    last: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    for number, each in enumerate(alarms or report.get("alarms") or ()):
        about = each.get("about", number)
        last.pop((each.get("monitor"), about), None)
        last[each.get("monitor"), about] = each
    found = []
    for each in last.values():
        followed = each.get("followed") or {}
        found.append((each, str(followed.get("state") or ""), str(followed.get("text") or "")))
    return found


def _signatures(report: Mapping[str, Any], part: str) -> list[Mapping[str, Any]]:
    return [each for each in report.get("signatures") or () if part in str(each.get("name"))]


def told(change: Change) -> str:
    """From what to what, with the interval of the change."""
    return f"from {change.before:.2f} to {change.after:.2f} [{change.low:+.2f}, {change.high:+.2f}]"
