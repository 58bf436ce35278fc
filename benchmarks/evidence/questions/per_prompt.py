"""Principles of single prompts, and how many are shown at once: what a policy makes of them."""

from __future__ import annotations

from evidence.question import BASE, ORACLE, SHIFT, Arm, Question, made_by, measured
from evidence.results import Results, at, rate
from evidence.rubric import FILE, GROUPS
from evidence.samples import group_rate
from evidence.table import arms_table, differences, markdown

OPPOSITE = Arm(
    "opposite",
    (
        f"reward_model={{path: {made_by(BASE)}/train-rm/model}}",
        f"prompts={{name: 'plugin:minnow', kinds: [{', '.join(GROUPS)}], rubrics: {FILE}}}",
        "reward.principles={name: minnow, only: [vivid], per_prompt: only}",
        "reward.show=1",
        "train.options.max_steps=40",
        *measured(ORACLE),
    ),
)
ALL_SHOWN = Arm("all four shown", ("reward.show=4", *measured(ORACLE, SHIFT, "{name: evidence-all-shown, samples: 8}")))


def _write(results: Results) -> list[str]:
    rows, apart = [], {}
    for kind, asked in GROUPS.items():
        before, after = (
            group_rate(results, OPPOSITE, role, "vivid", "kind", (kind,)) for role in ("initial", "policy")
        )
        if before is not None and after is not None:
            rows.append([f"`{asked}`, questions for a {kind}", str(len(after.values)), before.text(), after.text()])
            apart[asked] = after
    lines = ["One policy, opposite principles:", ""]
    lines += markdown(["asked for", "seeds", "vivid before", "vivid after"], rows) if rows else ["No runs yet.", ""]
    if len(apart) == 2:
        wanted, unwanted = apart.values()
        least = min(wanted.values[seed] - unwanted.values[seed] for seed in wanted.values)
        holds = "holds" if least > 0.3 else "FAILS"
        lines += [f"The groups end at least {least:.2f} apart in every seed; claimed is > 0.3: {holds}.", ""]
    two = Arm("two of four shown", BASE.settings)
    columns = {
        **{name: rate(name) for name in ("helpful", "vivid", "example", "self_praise")},
        "RM under all four, before": at("evaluators", "evidence-all-shown", "before"),
        "after": at("evaluators", "evidence-all-shown", "after"),
    }
    lines += ["Two of four principles drawn for each rollout, or all four in every text; after RL:", ""]
    return lines + arms_table(results, [two, ALL_SHOWN], columns) + differences(results, [ALL_SHOWN], two, columns)


QUESTION = Question(
    "per-prompt",
    "Principles of single prompts",
    """
Questions for a capital bring the principle `vivid`, questions for a colour its opposite (`prompts.rubrics`,
`per_prompt: only`), and ONE policy is trained on the base's reward model. Then a policy that is shown two of four
principles for each rollout, drawn anew as the paper draws, beside one that is shown all four; the reward model
scores the answers of both under all four.
""",
    (OPPOSITE, ALL_SHOWN),
    _write,
)
