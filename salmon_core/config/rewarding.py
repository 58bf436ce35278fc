"""What a configuration says of principles, interventions and bonuses, looked up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from salmon_core.api.principles import PrincipleSet
from salmon_core.api.reward import BonusSpec, ScheduledPrinciple
from salmon_core.config.choices import PrincipleChoice
from salmon_core.config.lookup import Lookup
from salmon_core.config.names import find_principle_set
from salmon_core.config.reinforcing import Intervention
from salmon_core.errors import SalmonError
from salmon_core.records import ShownPrinciple


def chosen_principles(look: Lookup, choice: PrincipleChoice, where: str) -> PrincipleSet | None:
    """A set without what the choice leaves out, and with its weights."""
    found = look.attempt(where, lambda: _principle_set(look, choice.name))
    if found is None:
        return None
    names = {p.name for p in found}
    known = ", ".join(sorted(names))
    for key, wanted in (
        ("only", choice.only or []),
        ("without", choice.without),
        ("weights", list(choice.weights)),
    ):
        for name in wanted:
            if name not in names:
                look.problem(f"{where}.{key}", f"no principle {name!r} in {choice.name!r}", f"it has {known}")
    for name, weight in choice.weights.items():
        if not weight > 0:
            look.problem(f"{where}.weights.{name}", f"a weight is > 0, not {weight}")
    only = None if choice.only is None else [name for name in choice.only if name in names]
    without = [name for name in choice.without if name in names]
    weights = {name: weight for name, weight in choice.weights.items() if name in names and weight > 0}
    changed = found.reweighted(weights).select(only, without)
    if not len(changed):
        look.problem(where, "no principle is left")
    return changed


def _principle_set(look: Lookup, name: str) -> PrincipleSet:
    return find_principle_set(look.registry, name, look.base)


def reward_principles(look: Lookup) -> PrincipleSet | None:
    """The set that the reward model is shown."""
    choice = look.config.reward.principles
    principles = chosen_principles(look, choice, "reward.principles")
    if principles is None:
        return None
    negated = choice.negate if isinstance(choice.negate, list) else [p.name for p in principles if choice.negate]
    for name in negated:
        if name not in principles.names:
            look.problem("reward.principles.negate", f"there is no principle {name!r} in the set")
        elif principles[name].negated is None:
            look.problem("reward.principles.negate", f"{name!r} has no negated text")
    rules = [principle.name for principle in principles if principle.veto]
    if rules and look.config.reward.veto is None:
        look.problem(
            "reward.veto",
            f"is needed: {', '.join(rules)} {'is a hard rule' if len(rules) == 1 else 'are hard rules'}",
            "say `below` which score a rule is broken, and the `floor` that the reward is then",
        )
    return principles


def interventions(look: Lookup, own: PrincipleSet | None) -> list[ScheduledPrinciple]:
    """Principles shown from a rollout on."""
    found = [
        look.attempt(f"reward.interventions[{index}]", partial(_intervention, look, index, own))
        for index in range(len(look.config.reward.interventions))
    ]
    return [item for item in found if item is not None]


def _intervention(look: Lookup, index: int, own: PrincipleSet | None) -> ScheduledPrinciple:
    return scheduled(look.config.reward.interventions[index], partial(_principle_set, look), own)


def scheduled(
    item: Intervention, set_of: Callable[[str], PrincipleSet], own: PrincipleSet | None
) -> ScheduledPrinciple:
    """A principle from a rollout on.

    Args:
        set_of: a principle set by its name.
        own: the reward's.

    Raises:
        SalmonError: there is no such principle, or it has no negated text.
    """
    if item.until_rollout is not None and item.until_rollout <= item.from_rollout:
        raise SalmonError(f"until_rollout {item.until_rollout} is not after from_rollout {item.from_rollout}")
    if item.text is not None:
        shown = ShownPrinciple(item.principle, item.text, negated=item.negate)
        return ScheduledPrinciple(shown, item.from_rollout, item.until_rollout)
    sets = [own, set_of(item.from_set)]
    found = [p for each in sets if each is not None for p in each if p.name == item.principle]
    if not found:
        known = sorted({p.name for each in sets if each is not None for p in each})
        raise SalmonError(
            f"no principle named {item.principle!r} in the reward's set or {item.from_set!r}",
            hint="give its `text`, or one of " + ", ".join(known),
        )
    try:
        return ScheduledPrinciple(found[0].shown(negated=item.negate), item.from_rollout, item.until_rollout)
    except ValueError as error:
        raise SalmonError(str(error)) from None


def bonuses(look: Lookup) -> list[BonusSpec]:
    """Bonuses with their weights and labels."""
    found = []
    labels = {"rm", "veto"}
    for index, choice in enumerate(look.config.reward.bonuses):
        where = f"reward.bonuses[{index}]"
        spec = look.select("bonuses", choice, where)
        label = choice.label or choice.name
        if label in labels:
            look.problem(where, f"two components are called {label!r}", "give one a `label`")
        labels.add(label)
        if spec is not None:
            found.append(BonusSpec(label, choice.weight, spec))
    return found
