"""What cards are made of: who trained what from what, on how many rows, and what was measured of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from salmon_core.api.principles import Principle
from salmon_core.config.run_config import RunConfig
from salmon_core.data.yaml import parse_yaml
from salmon_core.errors import SalmonError
from salmon_core.records import PreferenceRow, ShownPrinciple, prompt_id

CARD = "README.md"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Described:
    """What the cards of a run's models say beside what its stages computed.

    Attributes:
        run: its name.
        base: id on the hub of the model that training began with; empty for a folder. `began` is it for people.
        license: of that model, as its own card says; empty where that is not known.
        template: name of the reward model's.
        judge: who judged, in words.
        judged: the principles that were judged by; `rewarded` those of the reward, as shown.
        components: of the reward.
        on_preferences: whether the policy is trained on preference rows, with no reward at all.
        pretrained: on what a reward model was trained before, in words; empty where on nothing.
    """

    run: str
    base: str
    began: str
    license: str
    template: str
    combine: Literal["joint", "mean"]
    judge: str
    judged: tuple[Principle, ...]
    rewarded: tuple[ShownPrinciple, ...]
    interventions: tuple[str, ...]
    components: tuple[str, ...]
    algorithm: str
    on_preferences: bool
    pretrained: str = ""

    @classmethod
    def of(cls, config: RunConfig, *, reward_model: bool = False) -> Described:
        """As configured; nothing is asked of the hub.

        Args:
            reward_model: of the model that the reward model begins as, not of the policy.
        """
        section = config.config
        own = reward_model and "reward-init" in config.models
        name, spec = (
            (section.reward_model.init, config.models["reward-init"])
            if own
            else (section.policy.model, config.models["policy"])
        )
        folder = Path(spec.path).expanduser()
        found = folder.is_dir()
        asked = "the policy" if section.judge.model == "policy" else Path(section.judge.model).name
        return cls(
            run=section.run.name,
            base="" if found or not HUB_ID.fullmatch(spec.path) else spec.path,
            began=folder.name if found and Path(name).is_absolute() else name,
            license=license_of(folder) if found else "",
            template=config.reward_template_spec.name,
            combine=section.reward.combine,
            judge=f"the judge {config.judge.name} ({asked})" if section.preferences is None else "others",
            judged=tuple(config.judge_principles),
            rewarded=tuple(map(config.shown, config.reward_principles)),
            interventions=tuple(item.shown.name for item in config.interventions),
            components=(*(("rm",) if section.reward.rm_weight else ()), *(bonus.label for bonus in config.bonuses)),
            algorithm=section.train.algorithm,
            on_preferences=config.trains_on_preferences,
            pretrained=_pretrained(config) if reward_model else "",
        )


def _pretrained(config: RunConfig) -> str:
    first = config.pretraining
    if first is None or not config.pretrains_reward_model:
        return ""
    shown = "which show it no principles" if first.principles == "none" else "which show it those that their rows name"
    return f"the preferences of {first.source.name}, {shown}"


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What a preference data set holds.

    Attributes:
        decided: rows by the principle that decided them.
        several: rows that show more than one principle.
        negated: rows that show a negated one.
    """

    rows: int
    prompts: int
    decided: Mapping[str, int]
    several: int
    negated: int

    @classmethod
    def of(cls, rows: Iterable[PreferenceRow]) -> RowCounts:
        """Of these rows, gone through once."""
        count = several = negated = 0
        prompts: set[int] = set()
        decided: Counter[str] = Counter()
        for row in rows:
            count += 1
            prompts.add(int(prompt_id(row.messages), 16))
            decided[row.decided_by] += 1
            several += len(row.principles) > 1
            negated += any(p.negated for p in row.principles)
        return cls(count, len(prompts), decided, several, negated)


@dataclass(frozen=True, slots=True)
class Results:
    """Parts of a run's report that a card shows; empty where it has none yet."""

    accuracy: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    targets: Sequence[Mapping[str, Any]] = ()
    sections: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(cls, report: Any) -> Results:
        """Of a `report.json`."""
        if not isinstance(report, Mapping):
            return cls()
        rm = report.get("rm") or {}
        shown = {name: rm[name] for name in ("positive", "negated") if isinstance(rm.get(name), Mapping)}
        for way, sets in (rm.get("sets") or {}).items():
            shown |= {f"{size} at once, {way}": own for size, own in sets.items()}
        return cls(shown, tuple(report.get("targets") or ()), tuple(report.get("sections") or ()))


def license_of(folder: Path) -> str:
    """What a model folder's card says of its license; empty where it says nothing readable."""
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    match = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    if match is None:
        return ""
    try:
        values = parse_yaml(match[1], str(folder / CARD))
    except SalmonError:
        return ""
    found = values.get("license") if isinstance(values, Mapping) else None
    return found if isinstance(found, str) and re.fullmatch(r"[\w.-]{1,64}", found) else ""
