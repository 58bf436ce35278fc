"""The evaluator `lm-eval`. The harness is imported only when it is asked."""

from __future__ import annotations

from typing import Any

from salmon_core.api import EvaluatedRun, Evaluator, KnownRun, Metrics, Role, Section, Target
from salmon_core.errors import SalmonError
from salmon_lm_eval import options
from salmon_lm_eval.comparing import Compared, compared

_ROLES: dict[Role, str] = {"initial": "before", "policy": "after"}
_COLUMNS = ("task", "metric", "before", "after", "change", "95 % interval", "paired", "n")


class LMEval(Evaluator):
    """Tasks of EleutherAI's LM Evaluation Harness for the policy before and after, with the same settings.

    The harness loads the models itself, one after the other. Prompts, scores and standard errors are its own.
    """

    needs = frozenset({"initial", "policy"})

    Options = options.Options

    def __init__(self, options: options.Options):
        self.options = options

    def check(self, run: KnownRun) -> None:
        """What the harness can tell of the tasks; see `Tasks.check`."""
        from salmon_lm_eval.tasks import Tasks

        Tasks(self.options).check()

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """Values: `tasks`, by task or group and metric (`acc,none`) `before` and `after`, each with its `stderr` where
        the harness gives one, and `change` with its interval; and `versions` of the tasks, `fewshot`, `harness`.

        Targets: the metrics of whatever is not part of a group that is there as well, where the change has an interval.

        Raises:
            SalmonError: a task cannot be loaded, or the harness found nothing to tell.
        """
        from importlib.metadata import version

        from salmon_lm_eval.harness import results_of
        from salmon_lm_eval.tasks import Tasks

        tasks: Tasks | None = None

        def load() -> list[Any]:
            nonlocal tasks
            tasks = tasks or Tasks(self.options)
            return tasks.load()  # anew for each model: a task keeps what it was asked

        seed = run.seed % 2**32 if self.options.seed is None else self.options.seed
        results = {}
        for role, name in _ROLES.items():
            results[role] = results_of(
                name,
                run.model(role),
                load,
                self.options,
                seed=seed,
                folder=run.folder,
                progress=lambda kind, total, name=name: run.progress(f"{kind} requests, {name}", total),  # type: ignore[misc]
            )
        found = list(compared(results["initial"], results["policy"]))
        if not found:
            raise SalmonError("the harness gave no number", where="lm-eval", hint="look at the tasks' metric_list")
        values: dict[str, Any] = {"tasks": {}}
        for each in found:
            values["tasks"].setdefault(each.task, {})[each.metric] = each.to_json()
        after = results["policy"]
        values["versions"] = {name: str(own) for name, own in after.get("versions", {}).items() if own is not None}
        values["fewshot"] = after.get("n-shot", {})
        values["harness"] = version("lm_eval")
        targets = tuple(
            Target(each.name, each.before, each.after, each.ci, each.wanted, n=each.n)
            for each in found
            if each.ci is not None and not each.inner
        )
        return Metrics("lm-eval", values, targets=targets, sections=(self._section(found, values["harness"]),))

    def _section(self, found: list[Compared], harness: str) -> Section:
        rows = tuple(
            (
                each.task,
                each.metric.removesuffix(",none"),
                _number(each.before, each.errors[0]),
                _number(each.after, each.errors[1]),
                f"{each.after - each.before:+.4f}",
                None if each.ci is None else f"{each.ci[0]:+.4f} .. {each.ci[1]:+.4f}",
                "yes" if each.paired else "no",
                each.n,
            )
            for each in found
        )
        note = f"By LM Evaluation Harness {harness}; ± its standard errors. Paired: document by document."
        return Section("Tasks of the LM Evaluation Harness", _COLUMNS, rows, note)


def _number(value: float, error: float | None) -> str:
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"
