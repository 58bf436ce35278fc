"""Who watches a run, looked up."""

from __future__ import annotations

from functools import partial

from salmon_core.api.component import ComponentSpec
from salmon_core.config.choices import Selection
from salmon_core.config.lookup import Lookup
from salmon_core.config.monitoring import MonitorsSection
from salmon_core.config.names import find_principle_set
from salmon_core.config.training import LOGGED
from salmon_core.plugins.options import require


def monitors(look: Lookup) -> tuple[ComponentSpec, ...]:
    """The monitors of the configuration, or those that plugins have as their defaults."""
    section, where = look.config.monitors, "monitors"
    if section is None:
        return ()
    if look.config.train.algorithm == "none":
        look.problem(where, "would see nothing: train.algorithm is none", "leave it out")
    if look.config.train.options.get(LOGGED) == 0:
        look.problem(where, f"would see nothing: train.options.{LOGGED} is 0", "set it to 1, or leave it out")
    chosen = section.use
    if chosen is None:
        chosen = [Selection(name=own.address) for own in look.registry.components("monitors") if own.component.default]
        if not chosen:
            hint = "pip install salmon-monitors, or name some in monitors.use"
            look.problem(where, "no installed plugin has monitors as defaults", hint)
    found = []
    for index, choice in enumerate(chosen):
        place = f"{where}.use[{index}]"
        spec = look.select("monitors", choice, place)
        if spec is not None:
            owned = look.registry.owned(spec)
            look.attempt(place, lambda owned=owned, spec=spec: require(owned, look.registry.build(spec), "see"))  # type: ignore[misc]
            found.append(spec)
    _answers(look, section)
    return tuple(found)


def _answers(look: Lookup, section: MonitorsSection) -> None:
    """What becomes of an alarm."""
    if section.on_alarm == "apply" and section.apply is None:
        hint = "apply: {at_most: 1, kl: 10}, for instance"
        look.problem("monitors.apply", "`on_alarm: apply` needs bounds: how many, and up to which KL", hint)
    if section.on_alarm != "apply" and section.apply is not None:
        look.problem("monitors.apply", f"nothing is applied with `on_alarm: {section.on_alarm}`", "leave it out")
    if section.on_alarm not in ("propose", "apply"):
        return
    if look.config.reward.rm_weight == 0:
        look.problem("monitors.on_alarm", "the reward asks no reward model, so none can be tried on it", "use `note`")
    for index, name in enumerate(section.from_sets):
        look.attempt(f"monitors.from_sets[{index}]", partial(find_principle_set, look.registry, name, look.base))
