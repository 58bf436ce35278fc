"""More plugins that break a promise each: of what is asked before a run, after it, or of a trainer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from broken_contracts import SAME, Case

from salmon_core.testing import (
    BackendContract,
    CommandContract,
    EvaluatorContract,
    ModelContract,
    MonitorContract,
    OracleContract,
    PrinciplesContract,
    PromptSourceContract,
    ReportContract,
    StarterContract,
    TemplateContract,
    make_job,
)
from salmon_core.testing.contracts.backend import Task

_MONITOR = """
class It:
    def see(self, batch, run):
        {}
"""


def monitor(what: str, body: str, *caught: str) -> Case:
    return Case(MonitorContract, what, _MONITOR.format(body), frozenset(caught))


MONITORS = (
    monitor("keeps all", "return []"),
    monitor("rings always", "return [Alarm('x', 'it rings', batch.rollout_index, 0.1)]",
            "nothing_happens_nothing_is_told"),
    monitor("is more than sure", "return [Alarm('x', 'it rings', 0, 2.0)] if batch.rollout_index == 3 else []",
            "alarms_say_what_is_meant", "nothing_happens_nothing_is_told"),
    monitor("measures in words", "return [Alarm('x', 'it rings', batch.rollout_index, 0.1)]"
            "\n    def shows(self, about, rollout):\n        return 'much'",
            "nothing_happens_nothing_is_told", "what_rollouts_show_is_a_number_or_nothing"),
    monitor("divides by rollouts", "1 / len(batch.rollouts); return []", "an_empty_batch_and_odd_texts"),
)  # fmt: skip

_EVALUATOR = """
class It:
    needs = frozenset({{"initial", "policy"}})
    def evaluate(self, run):
        words = {{role: [len(s.text.split()) for s in run.samples(role, 2)] for role in ("initial", "policy")}}
        return {}
"""


def evaluator(what: str, returned: str, *caught: str, more: str = "") -> Case:
    return Case(EvaluatorContract, what, _EVALUATOR.format(returned) + more, frozenset(caught))


EVALUATORS = (
    evaluator("keeps all", "Metrics('it', {'words': words})"),
    evaluator("chance", "Metrics('it', {'words': random.random()})", *SAME),
    evaluator("no metrics", "words", *SAME),
    evaluator("no number", "Metrics('it', {'words': float('nan')})", *SAME),
    evaluator("uses what it does not need", "Metrics('it', {'n': len(run.judge(run.pairs()))})", *SAME),
    evaluator("needs a teacher", "Metrics('it', words)", "it_needs_roles_that_exist",
              more="    needs = {'teacher', 'initial', 'policy'}"),
    evaluator("says nothing", "Metrics('it')", "it_says_something"),
    evaluator("compares prompts", "Metrics('it', {'x': 1 / (len({p.id for p in run.prompts()}) - 1)})",
              "one_prompt_is_enough"),
    evaluator("divides by the change", "Metrics('it', {'x': 1 / (sum(words['initial']) - sum(words['policy']))})",
              "answers_that_are_all_the_same"),
    evaluator("divides by words", "Metrics('it', {'x': [1 / n for n in words['policy']]})", "odd_texts_are_measured"),
)  # fmt: skip

_PROMPTS = """
class It:
    def load(self):
        texts = ("What?", "Why?", "How?")
        return {}
"""


def prompts(what: str, returned: str, *caught: str) -> Case:
    return Case(PromptSourceContract, what, _PROMPTS.format(returned), frozenset(caught))


PROMPTS = (
    prompts("keeps all", "[Prompt.from_text(t, split='') for t in texts]"),
    prompts("nothing", "[]", "there_are_prompts"),
    prompts("no prompts", "texts", "there_are_prompts"),
    prompts("all held out", "[Prompt.from_text(t, split='test') for t in texts]", "there_are_prompts"),
    prompts("no turn of the user", "[Prompt('x', ({'role': 'assistant', 'content': 'Hi'},))]", "there_are_prompts"),
    prompts("one id", "[Prompt.from_text(t, id='x') for t in texts]", "an_id_is_one_conversation"),
    prompts("chance", "[Prompt.from_text(str(random.random()))]", *SAME, "it_can_be_read_twice"),
    prompts("the order of a set", "[Prompt.from_text(t) for t in {f'{n}?' for n in range(99)}]",
            "a_fresh_process_gives_the_same"),
    prompts("texts of its own kind", "[Prompt.from_text(type('Text', (str,), {})('Hi'))]", "prompts_survive_pickling"),
)  # fmt: skip


def principles(what: str, listed: str, *caught: str) -> Case:
    return Case(PrinciplesContract, what, f"It = PrincipleSet('it', ({listed}))", frozenset(caught))


PRINCIPLES = (
    principles("keeps all", "Principle('brief', 'Be brief.', 'Be long.'), Principle('kind', 'Be kind.')"),
    principles("nothing", "", "there_are_principles"),
    principles("untidy", "Principle('brief', ' Be\\n brief. '),", "texts_are_tidy", "it_can_be_written_and_read"),
    principles("one text", "Principle('brief', 'Be good.'), Principle('kind', 'Be good.')", "texts_differ"),
    principles("no opposite", "Principle('brief', 'Be brief.', 'Be brief.'),", "texts_differ"),
    principles(
        "no weight",
        "type('Mine', (Principle,), {'weight_for': lambda self, category: None})('brief', 'Be brief.'),",
        "they_can_be_drawn",
    ),
)

_TEMPLATE = {
    "judge": "[[ask]] {instruction}\n[[a]] {first}\n[[b]] {second}\n[[by]]\n",
    "principle": "[[rule]] {principle} [[end]]\n",
    "verdict": "[[answer]]\n",
    "reward": "[[ask]] {instruction}\n[[reply]] {completion}\n[[by]]\n",
    "score": "[[answer]]",
    "turn": "[[{role}]] {content}\n",
    "choices": ("a", "b"),
    "markers": ("[[ask", "[[a]", "[[b]", "[[by", "[[rule", "[[end", "[[answer", "[[reply", "[[user", "[[assistant"),
}


def template(what: str, *caught: str, **changes: Any) -> Case:
    return Case(TemplateContract, what, f"It = Template(**{ ({**_TEMPLATE, **changes})!r})", frozenset(caught))


TEMPLATES = (
    template("keeps all"),
    template("misspelt", "every_slot_is_there_once", reward="[[ask]] {instructoin} [[reply]] {completion} [[by]]"),
    template("shown twice", "every_slot_is_there_once", "what_is_shown_is_shown",
             principle="[[rule]] {principle} {principle} [[end]]\n"),
    template("turned round", "what_is_shown_is_shown",
             judge="[[ask]] {instruction} [[a]] {second} [[b]] {first} [[by]]"),
    template("plain without a slot", "texts_without_principles_are_whole",
             plain=("[[ask]] {instruction} [[reply]]", "[[reply]]")),
    template("one choice", "choices_differ", choices=("a", "a")),
    template("a marker of nothing", "markers_are_there", markers=(*_TEMPLATE["markers"], "[[nothing")),
    template("no marker", "markers_are_there", markers=()),
    template("a verdict that can be forged", "markers_are_there",
             markers=tuple(m for m in _TEMPLATE["markers"] if m != "[[answer")),
    template("markers that are no texts", "odd_texts_are_rendered", "markers_cannot_be_forged", markers=(1,)),
    template("turns without words", "conversations_are_rendered", turn="[[{role}]]\n"),
)  # fmt: skip

_BACKEND = """
class It:
    stages, algorithms = {stages}, {algorithms}

    class Strict(BaseModel):
        model_config = ConfigDict(extra={extra!r})
        size: int = Field(4, ge=1)
        steps: int = 10

    def options_for(self, stage, algorithm=None):
        return self.Strict

    def plan(self, job):
        {before}
        return LaunchPlan((Step("train", {argv}),), files={{"job.json": "{{}}"}})

    def rows_needed(self, job):
        return {rows}

    def steps(self, folder):
        return {logged}

    def finish(self, job, folder):
        {finish}
"""


def backend(what: str, *caught: str, own: Mapping[str, Any] | None = None, **changes: str) -> Case:
    plain = {
        "stages": "{'train-policy', 'sft'}",
        "algorithms": "{'mine'}",
        "extra": "forbid",
        "before": "pass",
        "argv": "('python', '-m', 'mine')",
        "rows": "None",
        "logged": "iter(())",
        "finish": "raise salmon('there is no model')",
    }
    source = "from salmon_core import ConfigError, SalmonError as salmon\nfrom salmon_core.errors import Problem\n"
    return Case(BackendContract, what, source + _BACKEND.format(**{**plain, **changes}), frozenset(caught), own or {})


def strange_job(self: BackendContract, task: Task, options: Mapping[str, Any]) -> Any:
    return make_job(task.stage, task.algorithm, options={"file": Path("x")})


PLANS = (
    backend("keeps all", own={"wrong": {"mine": {"size": 0, "steps": "many"}}}),
    backend("trains nothing", "stages_and_algorithms_are_known", stages="set()", algorithms="set()"),
    backend("a stage of its own", "stages_and_algorithms_are_known", stages="{'distil'}"),
    backend("no algorithm", "stages_and_algorithms_are_known", algorithms="set()"),
    backend("ignores misspelt options", "options_of_a_stage_are_checked", extra="ignore"),
    backend(
        "one mistake after the other",
        "what_cannot_work_is_said_at_once",
        before="if job.options['size'] == 3: raise ConfigError([Problem('size', 'is odd')])",
        own={"wrong": {"mine": {"size": 3, "steps": 11}}},
    ),
    backend("finds nothing wrong", "what_cannot_work_is_said_at_once", own={"wrong": {"mine": {"size": 3}}}),
    backend("chance", *SAME, argv="('python', str(random.random()))"),
    backend("numbers among words", *SAME, argv="('python', 3)"),
    backend("reads the data", *SAME, before="Path(job.data['train']).read_bytes()"),
    backend("imports a trainer", "plans_need_nothing", before="import accelerate"),
    backend("leaves a file", "plans_need_nothing", before="Path('left').touch()"),
    backend("a job of its own", "jobs_come_back_from_json", own={"job": strange_job}),
    backend("half a row", "rows_needed_is_a_number_or_nothing", rows="0.5"),
    backend("logs too early", "nothing_is_logged_before_it_starts", logged="[LoggedStep(1, {'loss': 1.0})]"),
    backend("is always done", "an_empty_folder_is_no_result", finish="return StageResult({})"),
    backend("fails with a stack trace", "an_empty_folder_is_no_result", finish="return (folder / 'x').read_text()"),
)

_ORACLE = """
class It:
    def prefer(self, prompt, first, second, principle):
        {}
"""


def oracle(what: str, body: str, *caught: str, principles: tuple[str, ...] = ("brief",)) -> Case:
    return Case(OracleContract, what, _ORACLE.format(body), frozenset(caught), {"principles": principles})


KNOWN = "return {'brief': float(len(second) - len(first))}[principle]"
ORACLES = (
    oracle("keeps all", KNOWN),
    oracle("nothing is named", KNOWN, "it_knows_principles", principles=()),
    oracle("prefers nothing", "return {'brief': 0.0}[principle]", "it_knows_principles"),
    oracle("prefers the first", "return {'brief': 1.0}[principle]", "turned_round_it_prefers_the_other"),
    oracle("knows all", "return float(len(second) - len(first))", "it_says_what_it_knows_nothing_about"),
    oracle(
        "fails on nothing", "return {'brief': 1 / len(first) - 1 / len(second)}[principle]", "odd_texts_are_compared"
    ),
)
_COMMAND = "import click\n@click.command()\n@click.option('--n', {})\ndef It(n):\n    {}"
_STARTER = "It = Starter({!r})"
_REPORT = "def It(run, out):\n    {}"


@cache
def finished() -> Path:
    """A folder that stands for a run's."""
    folder = Path(mkdtemp(prefix="finished-"))
    (folder / "report.json").write_text("{}")
    return folder


FINISHED: Mapping[str, Any] = {"inputs": lambda self: finished()}
_CONFIG = "run: {{name: {name}}}\npolicy: {{model: {model}}}\n"
WHOLE = (
    Case(CommandContract, "keeps all", _COMMAND.format("help='how many'", '"""Count."""')),
    Case(CommandContract, "no help", _COMMAND.format("help='how many'", "pass"), frozenset({"it_explains_itself"})),
    Case(CommandContract, "an option", _COMMAND.format("", '"""Count."""'), frozenset({"it_explains_itself"})),
    Case(CommandContract, "no command", "It = print", frozenset(SAME)),
    Case(ModelContract, "keeps all", f"It = Path({str(Path(__file__).parent)!r})"),
    Case(ModelContract, "no folder", "It = Path('/nowhere/model')", frozenset({"the_folder_holds_a_model", *SAME})),
    Case(ReportContract, "keeps all", _REPORT.format("out.write_text(str(sorted(e.name for e in run.iterdir())))"),
         own=FINISHED),
    Case(ReportContract, "changes the run", _REPORT.format("out.write_text('x'); (run / 'seen').touch()"),
         frozenset({"it_leaves_the_run_as_it_is"}), own=FINISHED),
    Case(ReportContract, "writes more", _REPORT.format("out.write_text('x'); out.with_name('more').touch()"),
         frozenset(SAME), own=FINISHED),
    Case(StarterContract, "keeps all", _STARTER.format({"salmon.yaml": _CONFIG})),
    Case(StarterContract, "no configuration", _STARTER.format({"a.yaml": _CONFIG}),
         frozenset({"it_begins_with_a_configuration"})),
    Case(StarterContract, "braces", _STARTER.format({"salmon.yaml": "a: {b: 1}"}), frozenset(SAME)),
    Case(StarterContract, "elsewhere", _STARTER.format({"salmon.yaml": _CONFIG, "../x": ""}),
         frozenset({"files_stay_in_the_folder"})),
)  # fmt: skip
CASES = (*EVALUATORS, *MONITORS, *PROMPTS, *PRINCIPLES, *TEMPLATES, *PLANS, *ORACLES, *WHOLE)
