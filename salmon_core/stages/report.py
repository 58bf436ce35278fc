"""Stage `report`: what changed, as data (`report.json`): targets before and after, the reward model, deviations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

import salmon_core
from salmon_core.api.evaluation import Metrics, Section
from salmon_core.config.choices import PrincipleChoice
from salmon_core.config.run_config import RunConfig
from salmon_core.data.interventions import STAGE as TRAINING
from salmon_core.data.interventions import Intervention, read_record
from salmon_core.data.json import read_json, write_json
from salmon_core.data.rollouts import read_rollout_rows
from salmon_core.plugins.options import options_model
from salmon_core.run.monitoring import alarms_of
from salmon_core.stages.base import Process, Stage
from salmon_core.stages.results import metrics_from_json
from salmon_core.stages.signatures import signatures
from salmon_core.stages.sources import Sources
from salmon_core.stages.verdict import FILE as VERDICT_FILE
from salmon_core.stages.verdict import STAGE as VERDICT_STAGE
from salmon_core.stages.work import Work

FILE = "report.json"
_PRETRAINING = "preference-model pre-training"
#: true of every run that says nothing else
ALWAYS: tuple[dict[str, str], ...] = (
    {
        "what": "order in the reward model's text",
        "paper": "completion, instruction, principles",
        "here": "instruction, completion, principles, each with a closing marker (the judge's order)",
    },
    {
        "what": _PRETRAINING,
        "paper": "HH-RLHF and SHP first",
        "here": "none, unless `reward_model.init` names such a model",
    },
)


@dataclass(frozen=True)
class ReportInputs:
    """The report is made anew each time, from all that is there."""

    sources: Sources


class Report(Stage[ReportInputs]):
    """Puts the results of all stages together."""

    name = "report"
    outputs = (FILE,)
    keeps = False

    def inputs(self, sources: Sources) -> ReportInputs:
        return ReportInputs(sources)

    def work(self, inputs: ReportInputs, work: Work) -> None:
        raise NotImplementedError

    def execute(self, inputs: ReportInputs, process: Process) -> Mapping[str, Any]:
        run, stages = process.run, inputs.sources.stages
        files = sorted((run.path / "evaluate").glob("[0-9]*.json")) if "evaluate" in stages else []
        results = [metrics_from_json(file.read_text(encoding="utf-8")) for file in files]
        manifests = {name: run.stage(name).manifest for name in stages if name != self.name}
        verdict = read_json(run.stage(VERDICT_STAGE.name).path / VERDICT_FILE) if VERDICT_STAGE.name in stages else None
        trained = run.stage(TRAINING).path
        rollouts = read_rollout_rows(trained) if TRAINING in stages else ()
        steered = read_record(run.record) if TRAINING in stages else []
        alarms = alarms_of(run.path) if run.config.monitors else []
        found = build_report(run.config, results, manifests, verdict, rollouts, steered, alarms)
        if run.config.monitors:
            found["alarms"] = alarms
        write_json(run.path / FILE, found)
        return {}


def build_report(
    config: RunConfig,
    results: Sequence[Metrics],
    manifests: Mapping[str, Mapping[str, Any]],
    verdict: Mapping[str, Any] | None = None,
    rollouts: Iterable[Mapping[str, Any]] = (),
    steered: Sequence[Intervention] = (),
    alarms: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The report of a run whose stages are done.

    Args:
        results: of the evaluators, in order.
        manifests: of the stages.
        verdict: on the judge, where one was asked.
        rollouts: of the training, as they were written down.
        steered: what was put on the record while the policy was trained.
        alarms: of the monitors, as `alarms_of` has them.
    """
    section = config.config
    accuracy = next((metrics.reward_model for metrics in results if metrics.reward_model is not None), None)
    report: dict[str, Any] = {
        "salmon": salmon_core.__version__,
        "run": section.run.name,
        "seed": section.run.seed,
        "algorithm": section.train.algorithm,
        "principles": {
            "judged": list(config.judge_principles.names),
            "rewarded": {
                config.shown(p).name: config.shown(p).text
                for p in (config.reward_principles if section.reward.rm_weight != 0 else ())
            },
            "shown": min(section.reward.show, len(config.reward_principles)) + len(config.interventions),
            "interventions": {item.shown.name: item.shown.text for item in config.interventions},
        },
        "steered": [asdict(each) | {"words": each.words} for each in steered],
        "bonuses": {bonus.label: bonus.weight for bonus in config.bonuses},
        "targets": [asdict(target) | {"change": target.change} for each in results for target in each.targets],
        "judge": verdict or {},
        "rm": {} if accuracy is None else asdict(accuracy),
        "evaluators": _by_name(results),
        "sections": [_section(part, verdict) for metrics in results for part in metrics.sections],
        "deviations": deviations(config),
        "stages": {
            name: {"seconds": m.get("seconds"), "metrics": m.get("metrics", {})} for name, m in manifests.items()
        },
    }
    shown = {each.name for each in (*config.reward_principles, *(item.shown for item in config.interventions))}
    shown |= {each.name for each in steered if each.what == "principle"}
    checklist = signatures(
        report,
        rollouts,
        judged=tuple(config.judge_principles) if config.makes_preferences else (),
        shown=shown,
        interventions=[
            *((item.shown.name, item.start) for item in config.interventions),
            *((f"{each.id} ({each.name})", each.from_rollout) for each in steered if each.what != "undo"),
        ],
        alarms=alarms,
    )
    report["signatures"] = [asdict(each) for each in checklist]
    report["expect"] = [_check(item.model_dump(), report) for item in section.expect]
    return report


def _section(section: Section, verdict: Mapping[str, Any] | None) -> dict[str, Any]:
    """Below what a judge said stands whether it can be believed."""
    found = asdict(section)
    judged = found.pop("judged")
    if not found["card"]:
        del found["card"]
    if judged:
        said = verdict["whole"]["verdict"] if verdict else "there is none"
        found["note"] = " ".join(filter(None, (section.note, f"The run's judge said so; the verdict on it: {said}.")))
    return found


def _by_name(results: Sequence[Metrics]) -> dict[str, dict[str, Any]]:
    """Values by evaluator; of one that is configured twice, the second time as `NAME-2`."""
    found: dict[str, dict[str, Any]] = {}
    for metrics in results:
        name, count = metrics.name, 1
        while name in found:
            count += 1
            name = f"{metrics.name}-{count}"
        found[name] = dict(metrics.values)
    return found


def deviations(config: RunConfig) -> list[dict[str, Any]]:
    """Where the configuration differs from the numbers that its options say the paper has."""
    found: list[dict[str, Any]] = [dict(item) for item in ALWAYS]
    if config.pretraining is not None and config.pretrains_reward_model:
        own = next(item for item in found if item["what"] == _PRETRAINING)
        own |= {"key": "reward_model.pretrain", "here": f"{config.pretraining.source.name} first"}
    found += _in_model(config.config, "")
    chosen = [("judge.judge", config.judge), ("label", config.labeller)]
    chosen += [(f"reward.bonuses.{bonus.label}", bonus.component) for bonus in config.bonuses]
    for key, spec in chosen:
        model = options_model(config.registry.owned(spec).load())
        if model is not None:
            found += _in_model(model.model_validate(dict(spec.options)), key)
    stages = (("pretrain-rm", "reward_model.pretrain"), ("train-rm", "reward_model"), ("train-policy", "train"))
    for stage, key in stages:
        if stage in config.backends:
            choice = config.backends[stage]
            backend = config.registry.build(choice.component)
            algorithm = config.config.train.algorithm if stage == "train-policy" else None
            options = backend.options_for(stage, algorithm).model_validate(dict(choice.options))
            found += _in_model(options, f"{key}.options")
    return found


def _in_model(section: BaseModel, prefix: str) -> Iterator[dict[str, Any]]:
    """Deviations of one section of the configuration, or of a component's options, and of what lies in it."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        key = f"{prefix}.{name}" if prefix else name
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "paper" in extra:
            here = value.name if isinstance(value, PrincipleChoice) else to_jsonable_python(value)
            if here is not None and here != extra["paper"]:
                what = extra.get("paper_what") or field.description or name
                yield {"what": what, "key": key, "paper": extra["paper"], "here": here}
        elif isinstance(value, BaseModel):
            yield from _in_model(value, key)


def lookup(values: Any, path: str) -> Any:
    """A dotted path; a list is entered by index, or by an item's `name`. None where it leads nowhere."""
    for part in path.split("."):
        if isinstance(values, Mapping):
            values = values.get(part)
        elif isinstance(values, list | tuple):
            named = {item.get("name"): item for item in values if isinstance(item, Mapping)}
            numbered = {str(index): item for index, item in enumerate(values)}
            values = (numbered | named).get(part)
        else:
            return None
    return values


#: keys of an estimate as the report has it
_ESTIMATE = {"value", "low", "high", "n"}


def _check(expectation: dict[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """One expectation with the value found and whether it holds."""
    value = lookup(report, expectation["metric"])
    if isinstance(value, Mapping) and value.keys() >= _ESTIMATE:  # an estimate is expected by its value
        value = value["value"]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    low, high = expectation["min"], expectation["max"]
    holds = number and (low is None or value >= low) and (high is None or value <= high)
    return expectation | {"value": value if number else None, "holds": bool(holds)}


STAGE = Report()
