"""File plugins that cannot be imported, whose hooks fail, and whose components keep no promise."""

from __future__ import annotations

from typing import Any

from bad_case import Bad
from bad_configs import section

TRY = {"SALMON_QUICK": ""}
HEAD = """\
import sys
from salmon_core import Component, hookimpl
from salmon_core.api import *
from salmon_core.records import Completion, Judgment
from pydantic import BaseModel


"""
#: where the configuration names a component of each kind
NAMED: dict[str, dict[str, Any]] = {
    "prompts": {"prompts": "mine"},
    "judges": section("judge", judge="mine"),
    "labellers": {"label": "mine"},
    "engines": section("sample", engine="mine"),
    "bonuses": section("reward", bonuses=["mine"]),
    "backends": section("train", backend="mine"),
    "evaluators": {"evaluate": ["mine"]},
    "templates": section("policy", template="mine"),
    "principle_sets": section("reward", principles="mine"),
    "models": section("policy", model="plugin:mine"),
}
#: the shortest run that asks a component of each kind
SHORT: dict[str, dict[str, Any]] = {
    "evaluators": {**section("reward", rm_weight=0), **section("train", algorithm="none")},
    "backends": {**section("reward", rm_weight=0)},
}


def broken(name: str, says: tuple[str, ...], source: str, **values: Any) -> Bad:
    """A plugin beside the working one."""
    return Bad(name, ("bad.py", *says), changes={"plugins": ["world.py", "bad.py"]}, files={"bad.py": source}, **values)


def hook(kind: str, body: str) -> str:
    return f"{HEAD}@hookimpl\ndef salmon_{kind}():\n    {body}\n"


def component(
    kind: str, name: str, says: tuple[str, ...], body: str, command: str = "check salmon.yaml", **more: Any
) -> Bad:
    """A component `mine` of a kind, which the configuration names."""
    text = HEAD + body.strip() + f"\n\n\n@hookimpl\ndef salmon_{kind}():\n    yield Component('mine', Mine, 'broken')\n"
    changes = {"plugins": ["world.py", "bad.py"], **NAMED[kind], **more.pop("changes", {})}
    for key, value in NAMED[kind].items():
        if isinstance(value, dict) and key in SHORT.get(kind, {}):
            changes[key] = {**changes[key], **value}
    code = more.pop("code", 2 if command.startswith("check") else 1)
    return Bad(f"{kind}: {name}", says, command, changes=changes, files={"bad.py": text}, env=TRY, code=code, **more)


def _class(base: str, method: str, body: str, more: str = "") -> str:
    return f"class Mine({base}):\n{more}    def {method}:\n        {body}\n"


PROMPTS_RUN = "run salmon.yaml --quick --until prompts"
JUDGE_RUN = "run salmon.yaml --quick --until judge"
LABEL_RUN = "run salmon.yaml --quick --until label"
SAMPLE_RUN = "run salmon.yaml --quick --until sample"
RUN = "run salmon.yaml --quick"
SAMPLE, JUDGE = "sample(self, prompts, sampling)", "judge(self, pairs, principles, context)"
LABEL, PLAN = "label(self, pairs, judgments, principles, rng)", "plan(self, job)"
ENGINE = """\
class Codec:
    eos_token, eos_id, bos_token, special_tokens, max_length = "</s>", 257, None, ("</s>",), 4096

    def encode(self, text):
        return list(text.encode())

    def decode(self, ids, *, skip_special=False):
        return bytes(ids).decode(errors="replace")

    def chat(self, messages):
        return messages[-1]["content"]


class Mine(Engine):
    def codec(self, model):
        return {codec}

    def sampler(self, model):
        return {sampler}


class Opened(Sampler):
    codec = None

    def __init__(self, found):
        self.found = found

    def sample(self, prompts, sampling):
        return self.found

    def close(self):
        pass
"""
BACKEND = """\
class Empty(BaseModel):
    pass


class Mine(Backend):
    stages = frozenset({{"sft", "train-rm", "train-policy"}})
    algorithms = frozenset({{"toy"}})

    def options_for(self, stage, algorithm=None):
        {options}

    def plan(self, job):
        {plan}

    def steps(self, folder):
        {steps}

    def finish(self, job, folder):
        {finish}
"""


def backend(**bodies: str) -> str:
    plain = {"options": "return Empty", "plan": "return LaunchPlan((), expects=())", "steps": "return []",
             "finish": "return StageResult({})"}  # fmt: skip
    return BACKEND.format(**{**plain, **bodies})


PLUGINS = [
    broken("a module that is missing", ("ModuleNotFoundError", "line 1", "no_such_module"), "import no_such_module\n"),
    broken("ends the process", ("SystemExit", "line 2"), "import sys\nsys.exit(0)\n"),
    broken("raises", ("RuntimeError", "line 1", "out of order"), 'raise RuntimeError("out of order")\n'),
    broken("recursion without end", ("RecursionError",), "def f():\n    f()\nf()\n"),
    broken("binary", ("SyntaxError",), "\x00\x01"),
    broken("no hook at all", ("implements no hook",), "x = 1\n"),
    broken("no marker", ("lacks the marker @hookimpl",), "def salmon_judges():\n    return []\n"),
    broken("a mistyped hook", ("there is no hook 'salmon_judge'", "salmon_judges"),
           HEAD + "@hookimpl\ndef salmon_judge():\n    return []\n"),
    broken("a hook with an argument", ("salmon_judges", "more"),
              HEAD + "@hookimpl\ndef salmon_judges(more):\n    return []\n"),
    broken("a hook that raises", ("salmon_judges: RuntimeError: out of order",),
           hook("judges", 'raise RuntimeError("out of order")')),
    broken("a hook that ends the process", ("salmon_judges: SystemExit",), hook("judges", "sys.exit(0)")),
    broken("a hook that returns nothing", ("salmon_judges: TypeError: returned None",), hook("judges", "return None")),
    broken("a hook that returns a number", ("salmon_judges: TypeError",), hook("judges", "return 3")),
    broken("a hook that yields a text", ("salmon_judges: yields str, not a Component",),
              hook("judges", "return ['a']")),
    broken("a name twice", ("salmon_judges: yields 'a' twice",),
           hook("judges", "return [Component('a', Judge, ''), Component('a', Judge, '')]")),
    broken("a component without a name", ("salmon_judges: TypeError", "name"), hook("judges", "yield Component()")),
    component("prompts", "no `load`", ("prompts", "bad.py", "load"), "class Mine:\n    pass"),
    component("prompts", "wants what nobody gives", ("prompts", "path"),
              _class("PromptSource", "__init__(self, path: str)", "pass") + "    def load(self):\n        return []"),
    component("prompts", "raises when made", ("prompts", "bad.py", "RuntimeError: no"),
              _class("PromptSource", "__init__(self)",
              'raise RuntimeError("no")') + "    def load(self):\n        return []"),
    component("prompts", "raises when read", ("bad.py", "OSError: no network"),
              _class("PromptSource", "load(self)", 'raise OSError("no network")'), PROMPTS_RUN),
    component("prompts", "gives nothing", ("bad.py", "prompt"), _class("PromptSource", "load(self)", "return None"),
              PROMPTS_RUN),
    component("prompts", "gives texts", ("bad.py", "prompt"), _class("PromptSource", "load(self)", "return ['Why?']"),
              PROMPTS_RUN),
    component("prompts", "ends the process", ("bad.py", "sys.exit(0)"),
              _class("PromptSource", "load(self)", "sys.exit(0)"),
              PROMPTS_RUN),
    component("judges", "no `judge`", ("judge.judge", "bad.py", "judge"), "class Mine:\n    pass"),
    component("judges", "options that are none", ("judge.judge", "bad.py"),
              _class("Judge", JUDGE, "return []", "    Options = 3\n")),
    component("judges", "gives nothing", ("bad.py", "judge"), _class("Judge", JUDGE, "return None"), JUDGE_RUN),
    component("judges", "gives texts", ("bad.py", "judge"),
              _class("Judge", JUDGE, "return ['a'] * len(pairs) * len(principles)"), JUDGE_RUN),
    component("judges", "gives too few", ("bad.py", "judge"), _class("Judge", JUDGE, "return []"), JUDGE_RUN),
    component("judges", "gives what is no number", ("bad.py", "nan"),
              _class("Judge", JUDGE,
              "return [Judgment(p.id, q.name, float('nan'), 0.0) for p in pairs for q in principles]"),
              JUDGE_RUN),
    component("labellers", "gives a list", ("bad.py", "label"), _class("Labeller", LABEL, "return []"), LABEL_RUN),
    component("labellers", "gives texts", ("bad.py", "label"), _class("Labeller", LABEL, "return Labels(['a'], {})"),
              LABEL_RUN),
    component("labellers", "raises", ("bad.py", "KeyError"), _class("Labeller", LABEL, "raise KeyError('a')"),
              LABEL_RUN),
    component("engines", "no engine", ("bad.py", "engine"), "class Mine:\n    pass"),
    component("engines", "opens nothing", ("bad.py", "opened a NoneType", "sample"),
              ENGINE.format(codec="Codec()", sampler="None"), SAMPLE_RUN),
    component("engines", "samples nothing", ("bad.py", "sample"),
              ENGINE.format(codec="Codec()", sampler="Opened(None)"), SAMPLE_RUN),
    component("engines", "samples too few", ("bad.py", "sample"),
              ENGINE.format(codec="Codec()", sampler="Opened([])"), SAMPLE_RUN),
    component("engines", "samples texts", ("bad.py", "sample"),
              ENGINE.format(codec="Codec()", sampler="Opened(['a'] * 8)"), SAMPLE_RUN),
    component("engines", "a codec that is none", ("prompts", "bad.py", "codec: gave a int"),
              ENGINE.format(codec="3", sampler="Opened([])")),
    component("engines", "no codec, when run", ("bad.py", "engine 'mine', codec: gave a NoneType", "no encode"),
              ENGINE.format(codec="None", sampler="Opened([])"), PROMPTS_RUN),
    component("bonuses", "gives a mapping", ("reward.bonuses[0]", "bad.py"),
              _class("Bonus", "score(self, rollouts)", "return {}")),
    component("bonuses", "gives nothing", ("reward.bonuses[0]", "bad.py"),
              _class("Bonus", "score(self, rollouts)", "return None")),
    component("bonuses", "a function", ("reward.bonuses[0]", "bad.py"), "def Mine(rollouts):\n    return []"),
    component("backends", "no backend", ("train.backend", "bad.py"), "class Mine:\n    pass"),
    component("backends", "options that are none", ("bad.py", "options"), backend(options="return 3")),
    component("backends", "options that raise", ("bad.py", "RuntimeError"),
              backend(options="raise RuntimeError('no')")),
    component("backends", "plans nothing", ("bad.py", "plan of train-policy: gave a NoneType"),
              backend(plan="return None"), changes=SHORT["backends"], code=1),
    component("backends", "plans a mapping", ("bad.py", "plan of train-policy: gave a dict"),
              backend(plan="return {}"), changes=SHORT["backends"], code=1),
    component("backends", "plans numbers", ("bad.py", "'a' has an argv", "not all text"),
              backend(plan="return LaunchPlan((Step('a', (1, 2)),))"), changes=SHORT["backends"], code=1),
    component("backends", "the plan raises", ("bad.py", "plan of train-policy", "RuntimeError: no"),
              backend(plan="raise RuntimeError('no')"), changes=SHORT["backends"], code=1),
    component("backends", "ends with nothing", ("bad.py", "finish of train-policy"), backend(finish="return None"),
              RUN + " --until train-policy", changes=SHORT["backends"]),
    component("backends", "ends with a text", ("bad.py", "finish of train-policy"),
              backend(finish="return StageResult('a')"),
              RUN + " --until train-policy", changes=SHORT["backends"]),
    component("evaluators", "gives a mapping", ("bad.py", "evaluator 'mine'"),
              _class("Evaluator", "evaluate(self, run)", "return {'a': 1}"), RUN, changes=SHORT["evaluators"]),
    component("evaluators", "gives what JSON cannot say", ("bad.py", "evaluator 'mine'"),
              _class("Evaluator", "evaluate(self, run)", "return Metrics('a', {'a': object()})"), RUN,
              changes=SHORT["evaluators"]),
    component("evaluators", "raises", ("bad.py", "evaluator 'mine'", "ZeroDivisionError"),
              _class("Evaluator", "evaluate(self, run)", "1 / 0"), RUN, changes=SHORT["evaluators"]),
    component("templates", "a text", ("policy.template", "bad.py"), "Mine = 'a'"),
    component("principle_sets", "a number", ("reward.principles", "bad.py"), "Mine = 3"),
    component("models", "a number", ("policy.model", "bad.py"), "Mine = 3"),
    component("models", "a folder that is gone", ("policy.model", "bad.py", "/no/such/folder"),
              "Mine = '/no/such/folder'"),
]  # fmt: skip
