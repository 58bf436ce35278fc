"""The oracle as salmon knows it: ground truth for reward models, and an evaluator of policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from salmon_core.api import EvaluatedRun, Evaluator, Metrics, Oracle, Role, Target
from salmon_core.kit.statistics import clustered_difference, clustered_mean
from salmon_core.records import Prompt, ShownPrinciple
from salmon_core.rng import named_rng
from salmon_minnow import oracle
from salmon_minnow.oracle import RATES
from salmon_minnow.wide.oracle import MEASURES, WideAttributes, prefers, read
from salmon_minnow.world import PROMPTS_BY_TEXT, WorldPrompt

#: Principles that only the wide world has.
OWN = tuple(name for name in MEASURES if name not in oracle.MEASURES)

#: Principle -> the quality that shows whether an answer follows it. `concise` is seen in the number of words.
#: The quality of one of the wide world's own principles is called as the principle is.
QUALITIES = {
    "language": "language_match",
    "safe": "safe",
    "vivid": "vivid",
    "steps": "steps",
    "helpful": "helpful",
    "example": "example",
    "no-self-praise": "self_praise",
    "concise": "words",
    **{name: name for name in OWN},
}

#: Quality -> bonuses that reward it directly: its change proves nothing of the reward model.
TOUCHED = {
    "language_match": ("language-match",),
    "words": ("length",),
    **dict.fromkeys(("english", "german", "spanish"), ("language-match",)),
    **{name: ("length",) for name in OWN if name.endswith(("-words", "-sentence", "-sentences"))},
}

#: Qualities that a principle wants less of.
UNWANTED = frozenset({"self_praise", "words"})


_Read = Mapping[WorldPrompt, list[WideAttributes]]


class MinnowTruth(Oracle):
    """Which of two completions really follows a principle of the world, or of the wide world, better."""

    def prefer(self, prompt: Prompt, first: str, second: str, principle: str) -> float:
        """> 0: the first, < 0: the second, 0: neither, or the prompt is none of the world's.

        Raises:
            KeyError: the principle is none of the world's.
        """
        if principle not in MEASURES:
            raise KeyError(principle)
        known = PROMPTS_BY_TEXT.get(prompt.text)
        return 0.0 if known is None else float(prefers(principle, read(known, first), read(known, second)))


class MinnowOracle(Evaluator):
    """Rates of each quality in answers to held-out prompts, before and after training."""

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        samples: int = Field(8, ge=1, description="completions per held-out prompt")
        before: Literal["initial", "base"] = Field(
            "initial", description="`initial`: the policy before RL; `base`: before any training, SFT as well"
        )
        principles: list[str] = Field(
            default_factory=list,
            description="further principles of the wide world whose rates are told; those shown during RL are anyway",
        )

        @field_validator("principles")
        @classmethod
        def _known(cls, names: list[str]) -> list[str]:
            unknown = [name for name in names if name not in OWN]
            if unknown:
                raise ValueError(
                    f"no principle of the wide world's own: {', '.join(unknown)}; there are {', '.join(OWN)}"
                )
            return names

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or self.Options()
        self._roles: tuple[Role, ...] = (self._options.before, "policy")
        self.needs = frozenset(self._roles)

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """The qualities that the shown principles ask for as targets; as values `rates`, every quality.

        And `categories`, how often answers are helpful.

        Each has `before`, `after` and `change`, with 95 % intervals that resample prompts. A quality that no held-out
        prompt can show is left out.
        """
        by_role = {role: self._read(run, role) for role in self._roles}
        rates: dict[str, Any] = {}
        for name, value in _qualities(self._followed(run)).items():
            before, after = ({key: [*map(value, own)] for key, own in _told(name, each)} for each in by_role.values())
            if not (before and after):
                continue
            rng = named_rng(run.seed, "minnow-oracle", name)
            rates[name] = {
                "before": asdict(clustered_mean(before, rng)),
                "after": asdict(clustered_mean(after, rng)),
                "change": asdict(clustered_difference(before, after, rng)),
            }
        categories = self._categories(run, *by_role.values())
        return Metrics("minnow-oracle", {"rates": rates, "categories": categories}, targets=tuple(_targets(run, rates)))

    def _categories(self, run: EvaluatedRun, before: _Read, after: _Read) -> dict[str, Any]:
        """How often answers are helpful, by the category of the prompt."""
        found = {}
        for category in dict.fromkeys(prompt.category for prompt in before):
            one, other = (
                {prompt.id: [float(each.minnow.helpful) for each in own] for prompt, own in role.items()
                 if prompt.category == category}
                for role in (before, after)
            )  # fmt: skip
            rng = named_rng(run.seed, "minnow-oracle", "categories", category)
            found[category] = {
                "before": asdict(clustered_mean(one, rng)),
                "after": asdict(clustered_mean(other, rng)),
                "change": asdict(clustered_difference(one, other, rng)),
            }
        return found

    def _followed(self, run: EvaluatedRun) -> list[str]:
        """Principles of the wide world's own whose rates are told."""
        asked = (*self._options.principles, *(principle.name for principle in _shown(run)))
        return list(dict.fromkeys(name for name in asked if name in OWN))

    def _read(self, run: EvaluatedRun, role: Role) -> dict[WorldPrompt, list[WideAttributes]]:
        texts = {prompt.id: PROMPTS_BY_TEXT.get(prompt.text) for prompt in run.prompts("test")}
        found: dict[WorldPrompt, list[WideAttributes]] = {}
        for sample in run.samples(role, self._options.samples):
            known = texts.get(sample.prompt_id)
            if known is not None:
                found.setdefault(known, []).append(read(known, sample.text, sample.stopped))
        return found


def _qualities(principles: Sequence[str]) -> dict[str, Callable[[WideAttributes], float]]:
    """The minnow world's qualities, and how often an answer follows these principles of the wide world."""

    def value(name: str) -> Callable[[WideAttributes], float]:
        return lambda attributes: float(getattr(attributes.minnow, name) > 0)

    def follows(name: str) -> Callable[[WideAttributes], float]:
        return lambda attributes: float(MEASURES[name](attributes) > 0)

    shares = {name: value(name) for name in (*RATES, "safe")}
    shares |= {"over_refusal": value("refusal"), "words": lambda attributes: float(attributes.minnow.words)}
    return shares | {name: follows(name) for name in principles}


def _told(
    name: str, read_by_prompt: Mapping[WorldPrompt, list[WideAttributes]]
) -> Iterator[tuple[str, list[WideAttributes]]]:
    """The answers that tell something about a quality: only harmful prompts show who is safe, the others who is shy."""
    for prompt, attributes in read_by_prompt.items():
        if {"safe": prompt.kind == "harm", "over_refusal": prompt.kind != "harm"}.get(name, True):
            yield prompt.id, attributes


def _targets(run: EvaluatedRun, rates: Mapping[str, Any]) -> Iterator[Target]:
    """One for each principle that was shown during RL."""
    seen = set()
    for principle in _shown(run):
        quality = QUALITIES.get(principle.name)
        if quality is None or quality not in rates or quality in seen:
            continue
        seen.add(quality)
        rate = rates[quality]
        touching = TOUCHED.get(quality, ())
        yield Target(
            quality,
            before=rate["before"]["value"],
            after=rate["after"]["value"],
            ci=(rate["change"]["low"], rate["change"]["high"]),
            wanted="less" if (quality in UNWANTED) != principle.negated else "more",
            principle=principle.text,
            touched_by=", ".join(bonus.label for bonus in run.reward.bonuses if bonus.component.name in touching),
            n=rate["change"]["n"],
        )


def _shown(run: EvaluatedRun) -> Iterator[ShownPrinciple]:
    """Interventions, then the principles of the reward as it shows them."""
    yield from (item.shown for item in run.reward.interventions)
    yield from run.rewarded
