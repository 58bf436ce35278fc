"""Plugins that break a promise each, and the tests of the contract that have to say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salmon_core.testing import (
    BonusContract,
    ComponentContract,
    EngineContract,
    JudgeContract,
    LabellerContract,
)

ENGINE = Path(__file__).parents[1] / "fixtures" / "plugins" / "salmon-bytes" / "salmon_bytes" / "__init__.py"
_HEAD = """
import random, sys
from pathlib import Path
from pydantic import BaseModel, ConfigDict, Field
from salmon_core import Component, Principle, PrincipleSet, Prompt, hookimpl
from salmon_core.api import *
from salmon_core.records import *

class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
"""
_TAIL = """

@hookimpl
def salmon_{kind}():
    yield Component("it", It, "for a test")
"""


@dataclass(frozen=True)
class Case:
    """Attributes:
    source: defines `It`, what the plugin offers.
    caught: names of tests that fail, without `test_`; empty for a plugin that keeps all promises.
    own: what a subclass of the contract says beside plugin and name.
    """

    contract: type[ComponentContract]
    what: str
    source: str
    caught: frozenset[str] = frozenset()
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The plugin's file."""
        if self.contract is EngineContract:
            return f"{ENGINE.read_text()}\n{self.source}\n"
        return _HEAD + self.source + _TAIL.format(kind=self.contract.kind)

    def subclass(self, file: Path) -> type[ComponentContract]:
        """The contract as an author writes it down."""
        name = "letters" if self.contract is EngineContract else "it"
        return type("TestMine", (self.contract,), {"plugin": file, "name": name, **self.own})


def bonus(what: str, body: str, *caught: str, before: str = "") -> Case:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return Case(BonusContract, what, f"{before}\nclass It:\n{lines}\n", frozenset(caught))


BATCH = ("the_order_of_rows_does_not_matter", "a_batch_is_one_by_one")
SAME = ("the_same_gives_the_same",)
OPTIONS = (
    "class Options(BaseModel):\n    {}\ndef __init__(self, options):\n    pass\ndef score_one(self, r):\n    return 0.0"
)

BONUSES = (
    bonus(
        "keeps all", "def __init__(self, n: int = 3):\n    pass\ndef score_one(self, r):\n    return len(r.completion)"
    ),
    bonus("answers backwards", "def score(self, rs):\n    return [len(r.completion) for r in rs][::-1]", *BATCH),
    bonus("reverses its input", "def score(self, rs):\n    rs.reverse()\n    return [0.0 for r in rs]", *BATCH, *SAME),
    bonus(
        "looks at the batch",
        "def score(self, rs):\n    mean = sum(len(r.completion) for r in rs) / len(rs)\n"
        "    return [len(r.completion) - mean for r in rs]",
        "a_batch_is_one_by_one",
    ),
    bonus(
        "divides by words", "def score_one(self, r):\n    return 1 / len(r.completion.split())", "odd_texts_have_scores"
    ),
    bonus(
        "not a number",
        "def score_one(self, r):\n    return 1.0 if r.prompt.strip() else float('nan')",
        "odd_prompts_have_scores",
    ),
    bonus("chance", "def score_one(self, r):\n    return random.random()", *SAME, *BATCH),
    bonus("one score for all", "def score(self, rs):\n    return [0.0]", *SAME, *BATCH),
    bonus("words", "def score_one(self, r):\n    return 'good'", *SAME),
    bonus(
        "changes its input",
        "def score_one(self, r):\n    r.extra['source']['tags'].append('seen')\n    return 0.0",
        "inputs_stay_as_they_were",
    ),
    bonus(
        "remembers",
        "def score_one(self, r):\n    SEEN.append(r)\n    return len(SEEN)",
        *SAME,
        *BATCH,
        before="SEEN = []",
    ),
    bonus(
        "hashes texts", "def score_one(self, r):\n    return hash(r.completion) % 97", "a_fresh_process_gives_the_same"
    ),
    bonus(
        "leaves a file",
        "def score_one(self, r):\n    Path('left').touch()\n    return 0.0",
        "a_fresh_process_gives_the_same",
    ),
    bonus(
        "two opinions",
        "def score_one(self, r):\n    return 1.0\ndef score(self, rs):\n    return [2.0 for r in rs]",
        "one_and_many_agree",
    ),
    bonus("ignores misspelt options", OPTIONS.format("n: int = 1"), "unknown_options_are_refused"),
    bonus(
        "a default that is wrong", OPTIONS.format("n: int = Field(0, ge=1)"), "defaults_are_valid", "options_survive"
    ),
)

_JUDGE = """
class It:
    def judge(self, pairs, principles, context):
        found = []
        for pair in pairs:
            for principle in principles:
                score = float(len(pair.second.text) - len(pair.first.text))
                found.append(Judgment(pair.id, principle.name, score, score))
        return {}
"""

_REMOTE = """
class It:
    async def judge(self, pairs, principles, context):
        return [await self.one(pair, p, context) for pair in pairs for p in principles]

    async def one(self, pair, principle, context):
        request = {"texts": [pair.first.text, pair.second.text], "principle": principle.text}
        score = float(await context.call(request, self.nobody))
        return Judgment(pair.id, principle.name, score, score)

    async def nobody(self):
        raise ConnectionError
"""


def judge(what: str, returned: str, *caught: str) -> Case:
    return Case(JudgeContract, what, _JUDGE.format(returned), frozenset(caught))


JUDGES = (
    judge("keeps all", "found"),
    judge("pairs in another order", "found[::-1]", "the_order_of_pairs_does_not_matter", *SAME),
    judge(
        "by the place in the shard",
        "[Judgment(j.pair_id, j.principle, float(i), float(i)) for i, j in enumerate(found)]",
        "the_order_of_pairs_does_not_matter",
        "a_shard_is_one_by_one",
    ),
    judge("no number", "[Judgment(j.pair_id, j.principle, float('inf'), 0.0) for j in found]", *SAME),
    judge("chance", "[Judgment(j.pair_id, j.principle, random.random(), 1.0) for j in found]", *SAME),
    Case(JudgeContract, "asks an API", _REMOTE, own={"reply": lambda self, request: len(request["texts"][0])}),
    judge(
        "refuses everybody",
        "found\n    def check(self, principles):\n        raise ValueError",
        "what_it_says_of_itself",
    ),
    judge("asks for half an answer", "found\n    calls = 0.5", "what_it_says_of_itself"),
    judge("fails on nothing", "found if all(p.second.text for p in pairs) else 1 / 0", "odd_texts_are_judged"),
)

_LABELLER = """
class It:
    def label(self, pairs, judgments, principles, rng):
        rows = []
        for pair in pairs:
            shown = tuple(p.shown() for p in judged_by(pair, principles))
            chosen, rejected = pair.first.text, pair.second.text
            {}
            rows.append(PreferenceRow(pair.id, pair.prompt.messages, pair.prompt.category, shown, chosen, rejected,
                                      margin, "honest"))
        return Labels(rows, {{"rows": len(rows)}})
"""


def labeller(what: str, line: str, *caught: str) -> Case:
    return Case(LabellerContract, what, _LABELLER.format(line), frozenset(caught))


LABELLERS = (
    labeller("keeps all", "margin = rng.random()"),
    labeller("a chance of its own", "margin = random.random()", *SAME),
    labeller("a negative margin", "margin = -1.0", "preferences_become_rows"),
    labeller("texts of its own", "margin, chosen = 1.0, 'something else'", "preferences_become_rows"),
    labeller("an odd draw", "margin = 1.0 if rng.random() < 0.8 else float('nan')", "other_seeds_are_as_good"),
    labeller("other words", "margin, shown = 1.0, (ShownPrinciple('kind', 'Be kind.'),)", "preferences_become_rows"),
    labeller("no rows", "continue", "preferences_become_rows"),
    labeller("the set's", "margin, shown = 1.0, tuple(p.shown() for p in principles)", "principles_of_single_prompts"),
    labeller(
        "divides by preferences",
        "margin = 1 / len([j for j in judgments if j.score])",
        "without_a_preference_there_is_an_end",
    ),
    labeller("fails on nothing", "margin = 1 / len(rejected)", "odd_texts_are_labelled"),
    labeller("changes its input", "margin = 1.0; pair.prompt.messages[-1]['seen'] = 1", "inputs_stay_as_they_were"),
)


def engine(what: str, line: str, *caught: str) -> Case:
    return Case(EngineContract, what, line, frozenset(caught), {"refuses": False})


READ = ("texts_are_read_one_by_one",)
ONE = "from dataclasses import replace\none = Letters.one\nLetters.one = lambda self, p, i, s: one(self, p, i, {})"
PLACE = "lambda self, rs: [[s + i for s in scores] for i, scores in enumerate(score(self, rs))]"
ONCE = "Letters.__init__ = lambda self: setattr(self, 'once', 1)\nLetters.close = lambda self: delattr(self, 'once')"
ENGINES = (
    engine("keeps all", ""),
    Case(EngineContract, "opens anything", "", frozenset({"models_that_are_not_there_are_refused"})),
    engine("opens nothing", "del BytesEngine.sampler, BytesEngine.chooser, BytesEngine.scorer", "it_opens_models"),
    engine("chance", "Random = lambda seed: __import__('random')", "deterministic_is_true", *SAME),
    engine("by the place in the batch", f"score = Letters.score\nLetters.score = {PLACE}", *READ),
    engine(
        "reads beginnings",
        "Letters.choose = lambda self, rs, c: [[(len(r.prefix), 0) for t in r.suffixes] for r in rs]",
        *READ,
    ),
    engine("no number", "Letters.score = lambda self, rs: [[float('nan') for t in r.texts] for r in rs]", *READ, *SAME),
    engine("too little", "Letters.choose = lambda self, rs, c: [[(0.0, 1.0)] for r in rs]", *READ, *SAME),
    engine("goes on after a stop", ONE.format("replace(s, stop=())"), "limits_and_stop_strings_cut"),
    engine(
        "goes on after the limit",
        ONE.format("replace(s, max_new_tokens=99)"),
        "limits_and_stop_strings_cut",
        "samples_are_whole",
    ),
    engine(
        "prompts backwards",
        "sample = Letters.sample\nLetters.sample = lambda self, ps, s: sample(self, ps[::-1], s)",
        "samples_are_whole",
    ),
    engine(
        "adds an EOS",
        "Bytes.encode = lambda self, text: [*text.encode(), 3]",
        "special_tokens_are_parsed_and_none_is_added",
    ),
    engine(
        "loses letters",
        "Bytes.encode = lambda self, text: list(text.encode())[::2]",
        "the_tokenizer_reads_what_it_writes",
    ),
    engine(
        "two tokenizers",
        "class Other(Bytes):\n    encode = lambda self, text: [0]\nLetters.codec = Other()",
        "open_models_have_the_same_tokenizer",
    ),
    engine(
        "forgets the prompt",
        "Bytes.chat = lambda self, messages: 'assistant: '",
        "the_chat_template_shows_the_conversation",
    ),
    engine(
        "turns into another",
        "class Other(Letters):\n    choose = lambda self, rs, c: [[(9.0, 0.0) for t in r.suffixes] for r in rs]\n"
        "BytesEngine.turned = lambda self, opened, ability: Other()",
        "a_turned_model_answers_as_one_that_was_opened",
    ),
    engine("half a memory", "BytesEngine.memory = lambda self, model, use: 0.5", "what_it_keeps_in_memory"),
    engine("closes once", ONCE, "models_close"),
    engine("swallows errors", "Letters.__exit__ = lambda self, *error: True", "models_close"),
)

CASES = (*BONUSES, *JUDGES, *LABELLERS, *ENGINES)
