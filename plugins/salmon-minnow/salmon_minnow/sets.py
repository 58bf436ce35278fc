"""The world's principles as principle sets."""

from __future__ import annotations

from salmon_core.api.principles import Principle, PrincipleSet
from salmon_minnow.principles import PRINCIPLES, UNSEEN_WORDING, WorldPrinciple
from salmon_minnow.wide.principles import PRINCIPLES as WIDE_PRINCIPLES


def _principle(
    world: WorldPrinciple, weight: float = 1.0, wording: int = 0, categories: dict[str, float] | None = None
) -> Principle:
    return Principle(
        world.name if wording == 0 else f"{world.name}-{wording + 1}",
        world.text(wording=wording),
        negated=world.text(negated=True, wording=wording),
        weight=weight,
        categories=categories or {},
    )


ALL = PrincipleSet(
    "minnow",
    tuple(_principle(world) for world in PRINCIPLES.values()),
    "All principles of the minnow world.",
)

WIDE = PrincipleSet(
    "minnow-wide",
    tuple(_principle(world) for world in WIDE_PRINCIPLES.values()),
    "All principles of the wide minnow world.",
)

WIDE_REWORDED = PrincipleSet(
    "minnow-wide-reworded",
    tuple(_principle(world, wording=1) for world in WIDE_PRINCIPLES.values()),
    "The same in their other words.",
)

#: Left out are `concise`, which the others contradict, and `no-self-praise`, which is the cure of a hack.
RL = PrincipleSet(
    "minnow-rl",
    (
        _principle(PRINCIPLES["language"], 2),
        _principle(PRINCIPLES["safe"], 1, categories={"red-teaming": 8}),
        _principle(PRINCIPLES["vivid"], 1),
        _principle(PRINCIPLES["steps"], 1, categories={"reasoning": 2}),
        _principle(PRINCIPLES["helpful"], 1),
        _principle(PRINCIPLES["example"], 1),
    ),
    "Principles of the minnow world that one answer can follow all at once.",
)

_NO_PRAISE = PRINCIPLES["no-self-praise"]

INTERVENTIONS = PrincipleSet(
    "minnow-interventions",
    (
        _principle(_NO_PRAISE),
        _principle(_NO_PRAISE, wording=1),
        Principle("no-self-praise-unseen", UNSEEN_WORDING),
    ),
    "Prohibitions of self-praise: as the reward model learned it, in other words, and in words nothing was trained on.",
)

WORDINGS = PrincipleSet(
    "minnow-wordings",
    tuple(_principle(world, wording=1) for world in PRINCIPLES.values()),
    "All principles of the minnow world in other words.",
)
