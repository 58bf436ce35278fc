"""What was left out of the reward model's training: a principle, a negation, a language, kinds of prompts."""

from __future__ import annotations

from statistics import fmean

from evidence.question import BASE, BOTH, ORACLE, TEXTS, Arm, Question, measured, rewarded
from evidence.results import Read, Report, Results, alone, at, rate
from evidence.samples import rate_where
from evidence.table import arms_table, differences

#: RL by one principle: on the base's reward model, and on one that was never trained on it
HELD = ("vivid", "example")
KNOWN = {name: Arm(f"{name} trained on", (*rewarded(name, 1), *BOTH)) for name in HELD}
UNKNOWN = {name: Arm(f"{name} not trained on", (f"label.exclude=[{name}]", *rewarded(name, 1), *BOTH)) for name in HELD}
#: RL by the opposite of `vivid`: negations of it trained on, of the others only, of none
_OPPOSITE = (*rewarded("vivid", 1, "negate: true"), *BOTH)
NEGATION = Arm("negations of all", _OPPOSITE)
OF_OTHERS = Arm("of all but vivid", ("judge.principles={name: one-never-negated.yaml}", *_OPPOSITE))
OF_NONE = Arm("of none", ("label.negate_probability=0", *_OPPOSITE))
_PART = measured(ORACLE, TEXTS)
LANGUAGE = Arm("without Spanish", ("prompts={name: minnow-part, languages: [en, de]}", *_PART))
KINDS_LEFT = ("sum", "greeting", "harm")
KINDS = Arm("without sums, greetings, harm", ("prompts={name: minnow-part, kinds: [capital, color, howto]}", *_PART))


def _by(group: str, *names: str) -> Read:
    def read(report: Report) -> float | None:
        found = [at("evaluators", "evidence-texts", f"by_{group}", name)(report) for name in names]
        known = [value for value in found if value is not None]
        return fmean(known) if known else None

    return read


def _write(results: Results) -> list[str]:
    lines = ["A principle that the reward model was never trained on:", ""]
    for name in HELD:
        columns: dict[str, Read] = {
            f"RM on {name}": alone(name, "positive"),
            "negated": alone(name, "negated"),
            "other wording": alone(name, "positive", 2),
            f"{name} before": rate(name, "before"),
            f"{name} after RL by it": rate(name),
        }
        lines += arms_table(results, [KNOWN[name], UNKNOWN[name]], columns)
        lines += differences(results, [UNKNOWN[name]], KNOWN[name], columns)
    lines += ["Negation, of `vivid`; then RL by its opposite:", ""]
    negation: dict[str, Read] = {
        "RM on vivid": alone("vivid", "positive"),
        "RM on not vivid": alone("vivid", "negated"),
        "other wording": alone("vivid", "negated", 2),
        "vivid before": rate("vivid", "before"),
        "vivid after": rate("vivid"),
    }
    lines += arms_table(results, [NEGATION, OF_OTHERS, OF_NONE], negation)
    lines += differences(results, [OF_OTHERS, OF_NONE], NEGATION, negation)
    lines += ["Prompts that nothing was trained on; of held-out prompts of that language, and of those kinds:", ""]
    for arm, group, names in ((LANGUAGE, "language", ("es",)), (KINDS, "kind", KINDS_LEFT)):
        lines += arms_table(results, [BASE, arm], {"RM accuracy there": _by(group, *names)})
        lines += rate_where(results, [BASE, arm], group, names, ("vivid", "example", "helpful"))
    return lines


QUESTION = Question(
    "transfer",
    "What carries over to what was not trained on?",
    """
The reward model is trained without one principle, and the policy is then rewarded by that one; without negations of
one principle, or of any, and the policy is then rewarded by the opposite; without Spanish prompts, or without whole
kinds of them, in sampling, judging, training and RL, and then both are tested there. The policy that the reward
model starts from knows all these texts and prompts from its pretraining, so this says what the reward model's
training has to cover, not what it could learn of something unheard of.
""",
    (*KNOWN.values(), *UNKNOWN.values(), NEGATION, OF_OTHERS, OF_NONE, LANGUAGE, KINDS),
    _write,
)
