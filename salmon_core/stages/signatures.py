"""The failure signatures of SALMON as a checklist (arXiv 2310.05910): what a run's numbers say of each, and no more.

A reward model that does not follow its principles wants more diverse and clearer data; a policy that exploits the
reward wants an intervention; a task that gets worse shows which principle is missing. What a run did not measure is
`not measured`: nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from salmon_core.api.principles import Principle
from salmon_core.kit.significance import clustered
from salmon_core.records import FEW
from salmon_core.run.alarms import tried_words

Found = Literal["yes", "no", "unclear", "not measured"]
_Z = 1.959964
_CHANCE = 0.5
#: half of the way from chance to always
_HALF_WAY = 0.75
TOTAL = "reward"
#: begins the names of rewards in training by category
REWARD_OF = "reward, "


@dataclass(frozen=True, slots=True)
class Measured:
    """One number that a signature goes by.

    Attributes:
        before: None where only one moment was measured.
        low: and `high`: the 95 % interval of the change, or of `after` where there is no `before`.
        n: prompts.
    """

    what: str
    before: float | None
    after: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.what} {self.after:.2f} [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.what} {self.before:.2f} -> {self.after:.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """One line of the checklist.

    Attributes:
        found: whether the run shows it.
        numbers: that say so.
        remedy: what the paper does about it, with what this run's own numbers add; empty where there is nothing to do.
    """

    name: str
    found: Found
    numbers: tuple[Measured, ...] = ()
    remedy: str = ""


def signatures(
    report: Mapping[str, Any],
    rollouts: Iterable[Mapping[str, Any]] = (),
    *,
    judged: Sequence[Principle] = (),
    shown: Iterable[str] = (),
    interventions: Iterable[tuple[str, int]] = (),
    alarms: Sequence[Mapping[str, Any]] = (),
) -> tuple[Signature, ...]:
    """The checklist.

    Args:
        report: the rest of the run's report.
        rollouts: of its training, as `data.rollouts` reads them; gone through once.
        judged: principles that the judge was asked by.
        shown: names of those that the reward shows, interventions included.
        interventions: (name, rollout index from which on it counts).
        alarms: of the monitors, as `salmon_core.run.monitoring.alarms_of` has them.
    """
    moments = _Moments(tuple(interventions))
    for row in rollouts:
        moments.add(row)
    return (
        _inconsistent(report),
        _exploited(report, moments, alarms),
        _degraded(report, moments, [each for each in judged if each.name not in set(shown)]),
    )


# ------------------------------------------------------------------------------------------------ the three of them
def _inconsistent(report: Mapping[str, Any]) -> Signature:
    name = "the reward model does not follow its principles"
    rm = report.get("rm") or {}
    own = {f"right by principles, {polarity}": rm.get(polarity) for polarity in ("positive", "negated")}
    for way, sets in (rm.get("sets") or {}).items():
        own |= {f"right by {size} at once, {way}": found for size, found in sets.items()}
    numbers = tuple(
        Measured(what, None, each["value"], each["low"], each["high"], each["n"])
        for what, each in own.items()
        if each and each["n"] >= FEW
    )
    if not numbers:
        return Signature(name, "not measured")
    if any(each.low <= _CHANCE for each in numbers):
        found: Found = "yes"
    else:
        found = "no" if all(each.after >= _HALF_WAY for each in numbers) else "unclear"
    return Signature(name, found, numbers, "" if found == "no" else _data_of(report))


def _data_of(report: Mapping[str, Any]) -> str:
    """What is known of the data: how much, how diverse, how clearly judged."""
    parts = ["make its data more diverse and its principles clearer"]
    metrics = ((report.get("stages") or {}).get("label") or {}).get("metrics") or {}
    if isinstance(rows := metrics.get("rows"), int):
        parts.append(f"it has {rows} rows")
    own = metrics.get("principles")
    own = {key: each for key, each in own.items() if isinstance(each, Mapping)} if isinstance(own, Mapping) else {}
    decided = {key: each["decided"] for key, each in own.items() if isinstance(each.get("decided"), int)}
    if decided:
        fewest = min(decided, key=lambda key: decided[key])
        parts.append(f"the fewest, {decided[fewest]}, are decided by {fewest}")
    never = [key for key, each in own.items() if each.get("negated") == 0]
    if never:
        parts.append(f"never negated: {', '.join(never)}")
    judge = (report.get("judge") or {}).get("principles") or {}
    weak = [key for key, each in judge.items() if each.get("verdict") in ("unclear", "backwards")]
    if weak:
        parts.append(f"the judge itself cannot be believed by {', '.join(weak)}")
    return "; ".join(parts)


def _exploited(report: Mapping[str, Any], moments: _Moments, alarms: Sequence[Mapping[str, Any]]) -> Signature:
    name = "the policy exploits the reward"
    reward = [each for each in moments.overall() if each.what == TOTAL and each.n >= FEW]
    targets = [(_of_target(each), each["wanted"]) for each in report.get("targets") or () if _telling(each)]
    raised = _Raised.of(alarms)
    effects = [measured for each in raised for measured in each.effects()]
    numbers = (*reward, *(each for each, _ in targets), *effects, *moments.interventions())
    if (not reward or not targets) and not raised:
        return Signature(name, "not measured", numbers)
    rose = bool(reward) and reward[0].low > 0
    against = [each.what for each, wanted in targets if (each.high < 0 if wanted == "more" else each.low > 0)]
    along = [each for each, wanted in targets if (each.low > 0 if wanted == "more" else each.high < 0)]
    found: Found = "unclear"
    goes_on = any(each.goes_on for each in raised)
    if rose and (against or along):
        found = "yes" if against else "unclear" if goes_on else "no"
    elif not targets and not goes_on:
        found = "not measured"  # what there was is over
    remedy = ""
    if found != "no":
        remedy = "forbid what it exploits by an intervention (reward.interventions), from a rollout on"
        remedy += f"; against what was wanted: {', '.join(against)}" if against else ""
        told = moments.told_of_interventions()
        remedy += f"; {told}" if told else ""
    if raised:
        remedy += ("; " if remedy else "") + "; ".join(map(str, raised))
    return Signature(name, found, numbers, remedy)


@dataclass(frozen=True)
class _Raised:
    """An alarm with all its tellings."""

    tellings: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, alarms: Iterable[Mapping[str, Any]]) -> list[_Raised]:
        found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for each in alarms:
            found.setdefault((each["monitor"], each["about"]), []).append(each)
        return [cls(tuple(each)) for each in found.values()]

    @property
    def _followed(self) -> Mapping[str, Any]:
        return self.tellings[-1].get("followed") or {}

    @property
    def _tried(self) -> Sequence[Mapping[str, Any]]:
        return self._followed.get("tried") or self.tellings[-1].get("tried") or ()

    @property
    def goes_on(self) -> bool:
        """Whether nothing says that it is over."""
        return self._followed.get("state") not in ("cured", "gone")

    def effects(self) -> list[Measured]:
        """What interventions did to what it is about."""
        about = f"{self.tellings[0]['about']} ({self.tellings[0]['monitor']})"
        return [
            Measured(
                f"{about} around intervention {each['id']} (from {each['from_rollout']})",
                *(each[key] for key in ("before", "after", "low", "high", "n")),
            )
            for each in self._tried
            if each["low"] is not None and each["n"] >= FEW
        ]

    def __str__(self) -> str:
        first, *again = self.tellings
        said = f"alarm {first['monitor']}: {first['about']}, batch {first['rollout_index']}"
        said += f", told again at {', '.join(str(each['rollout_index']) for each in again)}" if again else ""
        said += "".join(f"; {tried_words(each)}" for each in self._tried) or "; no intervention answered it"
        return f"{said}; {self._followed['text']}" if self._followed else said


def _degraded(report: Mapping[str, Any], moments: _Moments, missing: Sequence[Principle]) -> Signature:
    name = "a task gets worse"
    measured = [each for each in (*_categories(report), *moments.categories()) if each.n >= FEW]
    numbers = tuple(sorted(measured, key=lambda each: each.high >= 0))  # those that fall first
    if not numbers:
        return Signature(name, "not measured")
    worse = [each.what for each in numbers if each.high < 0]
    if not worse:
        return Signature(name, "no", numbers)
    for_them = [each.name for each in missing if any(kind in what for kind in each.categories for what in worse)]
    judged = for_them or [each.name for each in missing]
    remedy = f"{', '.join(worse)}: show the reward model a principle that asks for it (reward.principles)"
    remedy += f"; judged by, but not shown: {', '.join(judged)}" if judged else ""
    return Signature(name, "yes", numbers, remedy)


def _telling(target: Mapping[str, Any]) -> bool:
    return target["wanted"] in ("more", "less") and target["n"] >= FEW


def _of_target(target: Mapping[str, Any]) -> Measured:
    low, high = target["ci"]
    return Measured(target["name"], target["before"], target["after"], low, high, target["n"])


def _categories(report: Mapping[str, Any]) -> Iterator[Measured]:
    """What evaluators say of categories: `categories.NAME` with `before`, `after` and `change` among their values."""
    for evaluator, values in (report.get("evaluators") or {}).items():
        own = values.get("categories")
        for category, each in own.items() if isinstance(own, Mapping) else ():
            try:
                change = each["change"]
                yield Measured(
                    f"{category} ({evaluator})",
                    each["before"]["value"],
                    each["after"]["value"],
                    change["low"],
                    change["high"],
                    min(change["n"], each["before"]["n"]),
                )
            except (KeyError, TypeError):
                continue


# ------------------------------------------------------------------------------------------------------ from rollouts
_Values = dict[str, list[float]]


class _Moments:
    """Rewards of a training run by component and category, early and late, and around interventions.

    Early and late are the first and the last quarter of the batches that were written down.

    Args:
        interventions: (name, rollout index from which on it is shown).
    """

    def __init__(self, interventions: Sequence[tuple[str, int]]):
        self._interventions = interventions
        #: by batch, then by (kind, name), then by prompt
        self._batches: dict[int, dict[tuple[str, str], _Values]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """One rollout."""
        batch = self._batches.setdefault(row["rollout_index"], {})
        told = {("component", name): value for name, value in row["components"].items()}
        told |= {("component", TOTAL): row["reward"], ("category", row["category"]): row["reward"]}
        for key, value in told.items():
            if math.isfinite(value):
                batch.setdefault(key, {}).setdefault(row["prompt_id"], []).append(value)

    def overall(self) -> list[Measured]:
        """Of each component, early and late."""
        return self._early_and_late("component")

    def categories(self) -> list[Measured]:
        """The reward of each category, early and late; of one alone nothing that the whole does not say."""
        found = self._early_and_late("category")
        return [Measured(f"{REWARD_OF}{each.what}", *_rest(each)) for each in found] if len(found) > 1 else []

    def interventions(self) -> list[Measured]:
        """Of each component, in the batches before an intervention and from it on, each as far as the next one."""
        found = []
        starts = {start for _, start in self._interventions}
        for name, start in self._interventions:
            since = max((each for each in starts if each < start), default=0)
            until = min((each for each in starts if each > start), default=math.inf)
            before = [index for index in self._batches if since <= index < start]
            after = [index for index in self._batches if start <= index < until]
            for each in self._compared("component", before, after):
                if each.n >= FEW:
                    found.append(Measured(f"{each.what} around {name} (from {start})", *_rest(each)))
        return found

    def told_of_interventions(self) -> str:
        """Which there were, and whether their effect could be measured."""
        if not self._interventions:
            return "there was none"
        measured = self.interventions()
        return "; ".join(
            f"{name} from {start}: "
            + (", ".join(str(each) for each in measured if f"around {name} " in each.what) or "effect not measured")
            for name, start in self._interventions
        )

    def _early_and_late(self, kind: str) -> list[Measured]:
        order = sorted(self._batches)
        size = max(1, len(order) // 4)
        return self._compared(kind, order[:size], order[-size:]) if len(order) > 1 else []

    def _compared(self, kind: str, before: Sequence[int], after: Sequence[int]) -> list[Measured]:
        keys = dict.fromkeys(key for index in sorted(self._batches) for key in self._batches[index] if key[0] == kind)
        found = []
        for key in keys:
            one, other = (clustered(self._joined(key, chosen)) for chosen in (before, after))
            if one.clusters > 1 and other.clusters > 1:
                half = _Z * math.hypot(one.error, other.error)
                change = other.mean - one.mean
                n = min(one.clusters, other.clusters)
                found.append(Measured(key[1], one.mean, other.mean, change - half, change + half, n))
        return found

    def _joined(self, key: tuple[str, str], batches: Sequence[int]) -> _Values:
        found: _Values = {}
        for index in batches:
            for prompt, values in self._batches[index].get(key, {}).items():
                found.setdefault(prompt, []).extend(values)
        return found


def _rest(measured: Measured) -> tuple[float | None, float, float, float, int]:
    return measured.before, measured.after, measured.low, measured.high, measured.n
