"""What changed, as data (`report.json`): targets before and after, the reward model, deviations from the paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import salmon_core
from salmon_core.resolve import Resolved
from salmon_core.runs import read_json

#: (dotted path in the configuration, the paper's value, what it is); arXiv 2310.05910, sections 3 and 4, appendices
PAPER: tuple[tuple[str, Any, str], ...] = (
    ("sample.samples", 2, "completions per prompt"),
    ("sample.temperature", 0.7, "sampling temperature"),
    ("sample.top_p", 1.0, "nucleus"),
    ("sample.max_new_tokens", 768, "tokens sampled at most"),
    ("judge.model", "policy", "who judges"),
    ("judge.generator.repeats", 4, "preference rows drawn per pair"),
    ("judge.generator.geometric_p", 0.2, "geometric distribution of the number of principles"),
    ("judge.generator.cap", 8, "principles at most"),
    ("judge.generator.negate_probability", 0.5, "share of negated principles"),
    ("judge.generator.label", "dominant", "which principle decides a label"),
    ("judge.generator.normalise", "variance", "scores are divided by"),
    ("judge.generator.flip", 0.1, "label noise"),
    ("judge.generator.flip_by_rule", 0.25, "label noise where a rule decided"),
    ("judge.generator.min_margin", 0.0, "weakest score that makes a row"),
    ("judge.generator.min_characters", 16, "shortest completion that is judged"),
    ("limits.prompt", 128, "prompt tokens the reward model sees"),
    ("limits.completion", 768, "completion tokens the reward model sees"),
    ("limits.total", 1280, "tokens the reward model sees"),
    ("reward_model.options.learning_rate", 3e-5, "reward model: learning rate"),
    ("reward_model.options.num_train_epochs", 1, "reward model: epochs"),
    ("reward.show", 3, "principles shown per rollout"),
    ("reward.combine", "joint", "how several principles are scored"),
    ("reward.rm_weight", 1.0, "weight of the reward model"),
    ("train.algorithm", "ppo", "RL algorithm"),
    ("train.epochs", 2, "visits of each prompt"),
    ("train.options.learning_rate", 2e-5, "RL: learning rate"),
    ("train.options.temperature", 0.7, "RL: temperature"),
    ("train.options.beta", 0.01, "RL: KL coefficient"),
    ("train.options.kl_coef", 0.01, "RL: KL coefficient"),
    ("train.options.sharing", "adapters", "RL: policy, critic and reward model on one base"),
    ("train.options.num_iterations", 2, "RL: epochs per batch"),
    ("train.options.max_completion_length", 1024, "RL: tokens at most"),
)
#: true of every run
ALWAYS: tuple[dict[str, str], ...] = (
    {
        "what": "order in the reward model's text",
        "paper": "completion, instruction, principles",
        "here": "instruction, completion, principles, each with a closing marker (the judge's order)",
    },
    {
        "what": "preference-model pre-training",
        "paper": "HH-RLHF and SHP first",
        "here": "none, unless `reward_model.init` names such a model",
    },
)


def build_report(resolved: Resolved, folder: Path, manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The report of a run whose stages are done.

    Evaluators fill it: a `targets` list (name, before, after, change, ci) and an `rm` group in an evaluator's values
    come to the top; everything stands under `evaluators`.
    """
    config = resolved.config
    targets: list[Any] = []
    rm: dict[str, Any] = {}
    evaluators: dict[str, Any] = {}
    for file in sorted((folder / "evaluate").glob("[0-9]*.json")) if "evaluate" in manifests else []:
        found = read_json(file) or {}
        values = dict(found.get("values", {}))
        targets += values.pop("targets", [])
        rm |= values.pop("rm", {})
        evaluators[found.get("name", file.stem)] = values
    report: dict[str, Any] = {
        "salmon": salmon_core.__version__,
        "run": config.run.name,
        "seed": config.run.seed,
        "algorithm": config.train.algorithm,
        "principles": {
            "judged": [p.name for p in resolved.judge_principles],
            "rewarded": {resolved.shown(p).name: resolved.shown(p).text for p in resolved.reward_principles},
            "shown": min(config.reward.show, len(resolved.reward_principles)) + len(resolved.interventions),
            "interventions": {item.shown.name: item.shown.text for item in resolved.interventions},
        },
        "bonuses": {bonus.label: bonus.weight for bonus in resolved.bonuses},
        "targets": targets,
        "rm": rm,
        "evaluators": evaluators,
        "deviations": deviations(resolved),
        "stages": {
            name: {"seconds": m.get("seconds"), "metrics": m.get("metrics", {})} for name, m in manifests.items()
        },
    }
    report["expect"] = [_check(item.model_dump(), report) for item in config.expect]
    return report


def deviations(resolved: Resolved) -> list[dict[str, Any]]:
    """Where the configuration differs from the paper's numbers."""
    document: dict[str, Any] = resolved.config.model_dump(mode="json")
    document["judge"]["generator"] = dict(resolved.generator.options)
    for section, stage in (("reward_model", "train-rm"), ("train", "train-policy")):
        if stage in resolved.backends:
            document[section]["options"] = resolved.backends[stage][1]
    found: list[dict[str, Any]] = [dict(item) for item in ALWAYS]
    for path, paper, what in PAPER:
        value = lookup(document, path)
        if value is not None and value != paper:
            found.append({"what": what, "key": path, "paper": paper, "here": value})
    for label, name, bundled in (
        ("judge", resolved.config.judge.principles.name, "salmon-rm"),
        ("reward", resolved.config.reward.principles.name, "salmon-rl"),
    ):
        if name != bundled:
            found.append({"what": f"{label} principles", "key": f"{label}.principles", "paper": bundled, "here": name})
    return found


def lookup(values: Any, path: str) -> Any:
    """A dotted path; a list is entered by index, or by an item's `name`. None where it leads nowhere."""
    for part in path.split("."):
        if isinstance(values, Mapping):
            values = values.get(part)
        elif isinstance(values, list):
            named = {item.get("name"): item for item in values if isinstance(item, Mapping)}
            numbered = {str(index): item for index, item in enumerate(values)}
            values = (numbered | named).get(part)
        else:
            return None
    return values


def _check(expectation: dict[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """One expectation with the value found and whether it holds."""
    value = lookup(report, expectation["metric"])
    number = isinstance(value, int | float) and not isinstance(value, bool)
    low, high = expectation["min"], expectation["max"]
    holds = number and (low is None or value >= low) and (high is None or value <= high)
    return expectation | {"value": value if number else None, "holds": bool(holds)}
