"""Stage `verdict`: whether the judge can be believed, before a reward model is trained on what it said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from salmon_core.api.principles import Principle
from salmon_core.config.run_config import RunConfig
from salmon_core.data import parquet
from salmon_core.data.gold import GoldRow, read_gold
from salmon_core.errors import StageError
from salmon_core.plugins.registry import Registry
from salmon_core.records import FEW, Estimate, Judgment, Pair, Prompt, prompt_of
from salmon_core.run.identity import uncounted
from salmon_core.run.judging import Judging, PrinciplesOf
from salmon_core.stages.base import Held, Opens, Stage
from salmon_core.stages.judge import JudgeSetup, judge_setup, read_judgments
from salmon_core.stages.judge_verdict import Answers, JudgeVerdict, judge_verdict
from salmon_core.stages.prompts import StoredPrompts
from salmon_core.stages.sample import read_pairs
from salmon_core.stages.sources import Sources, StageOutput
from salmon_core.stages.work import Work, write_metrics

FILE = "verdict.json"
#: prompts at most by which the judge's orders are compared: with so many, an interval is 0.04 wide
COMPARED = 10_000
#: so many times the pairs that are judged again are kept in mind to choose them from, of each principle
_AMONG = 16
_TRY = (
    "try another judge.model or judge.judge, judge.orders: mean where first_shown is far from 0.5, principles in"
    " plainer words, or leave out those it cannot judge (judge.principles.without); judge.on_weak: warn goes on all the"
    " same"
)


@dataclass(frozen=True)
class VerdictInputs:
    """Attributes:
    probe: pairs that are judged again.
    gold: a file of pairs with known answers.
    on_weak: what becomes of a judge that cannot be told from chance.
    """

    prompts: StageOutput
    sample: StageOutput
    judge: StageOutput
    setup: JudgeSetup
    probe: int
    gold: Path | None
    on_weak: Literal["stop", "warn"] = uncounted()


class Verdict(Stage[VerdictInputs]):
    """Asks the judge again, by negated principles and in other words, and about pairs with known answers."""

    name = "verdict"
    outputs = (FILE,)
    records = ("*.parquet",)

    def active(self, config: RunConfig) -> bool:
        return config.makes_preferences

    def inputs(self, sources: Sources) -> VerdictInputs:
        section = sources.config.config.judge
        return VerdictInputs(
            sources.output("prompts"),
            sources.output("sample"),
            sources.output("judge"),
            judge_setup(sources),
            section.probe,
            sources.config.files.get("gold"),
            section.on_weak,
        )

    def holds(self, inputs: VerdictInputs) -> Held:
        return inputs.setup.held

    def opens(self, inputs: VerdictInputs, registry: Registry) -> tuple[Opens, ...]:
        return inputs.setup.opens(registry)

    def work(self, inputs: VerdictInputs, work: Work) -> None:
        pairs = read_pairs(inputs.prompts, inputs.sample)
        principles = inputs.setup.principles
        names = tuple(principle.name for principle in principles)
        gold = [] if inputs.gold is None else read_gold(inputs.gold, names)
        judgments = read_judgments(inputs.judge.path)
        probe = _chosen(judgments, inputs.probe)
        with inputs.setup.open(work.registry, work.cache) as judging:
            asked = _Asked(judging, work, [pair for pair in pairs if pair.id in probe] if probe else [], gold)
            answers = Answers(
                judgments,
                _said(asked.negated(inputs.setup.of)),
                _said(asked.reworded(inputs.setup.of)),
                asked.known(principles),
            )
        share = COMPARED / max(1, len(StoredPrompts(inputs.prompts.path, "train")))
        found = judge_verdict(answers, names, share=share)
        work.write_text(FILE, json.dumps(found.to_json(), indent=1))
        write_metrics(work, _numbers(found))
        _tell(found, work.note, stop=inputs.on_weak == "stop")


def _chosen(judgments: Iterable[Judgment], count: int) -> set[str]:
    """So many pairs at most: those of which the judge said most, each principle in turn, one of each prompt first.

    Of a pair whose answers follow a principle alike there is nothing to say again. A judge that knows nothing says no
    more of these pairs when it is asked again than of any others.
    """
    queues: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        own = queues.setdefault(judgment.principle, [])
        own.append(judgment)
        if len(own) > 2 * _AMONG * count:
            _sort(own)
            del own[_AMONG * count :]
    for own in queues.values():
        _sort(own)
    turns = [judgment.pair_id for row in zip_longest(*queues.values()) for judgment in row if judgment is not None]
    rounds: dict[str, int] = {}
    order: dict[str, int] = {}
    for pair in dict.fromkeys(turns):
        prompt = prompt_of(pair)
        order[pair] = rounds[prompt] = rounds.get(prompt, -1) + 1
    return set(sorted(order, key=lambda pair: order[pair])[:count])  # sorting keeps the turns within a round


def _sort(judgments: list[Judgment]) -> None:
    judgments.sort(key=lambda each: (-abs(each.s12 + each.s21), each.pair_id))


@dataclass(frozen=True)
class _Asked:
    """What a judge says when asked again; each answer is a file, so that nothing is asked twice."""

    judging: Judging
    work: Work
    probe: Sequence[Pair]
    gold: Sequence[GoldRow]

    def negated(self, principles: PrinciplesOf) -> list[Judgment]:
        """By what is the opposite of each principle, where it says what that is."""

        def turned(prompt: Prompt) -> list[Principle]:
            found = principles(prompt)
            return [replace(each, text=each.negated, negated=None) for each in found if each.negated is not None]

        if not (self.judging.reads_principles and any(turned(pair.prompt) for pair in self.probe)):
            return []
        return self._kept("negated.parquet", "by negated principles", lambda: self.judging.judge(self.probe, turned))

    def reworded(self, principles: PrinciplesOf) -> list[Judgment]:
        """With the template's other wording of the question."""
        if not (self.probe and self.judging.reads_principles and self.judging.rewordings):
            return []
        ask = partial(self.judging.judge, self.probe, principles, wording=1)
        return self._kept("reworded.parquet", "in other words", ask)

    def known(self, principles: Sequence[Principle]) -> dict[tuple[str, str], tuple[Judgment, bool]]:
        """About pairs with known answers."""
        by_name = {principle.name: principle for principle in principles}
        rows = {(row.pair.id, row.principle): row for row in self.gold}

        def ask() -> list[Judgment]:
            found = []
            for name, principle in by_name.items():
                pairs = [row.pair for row in self.gold if row.principle == name]
                found += self.judging.judge(pairs, [principle])
            return found

        said = _said(self._kept("gold.parquet", "with known answers", ask) if rows else [])
        return {key: (judgment, rows[key].first_better) for key, judgment in said.items()}

    def _kept(self, name: str, how: str, ask: Callable[[], list[Judgment]]) -> list[Judgment]:
        if not self.work.has(name):
            count = len({row.pair.id for row in self.gold}) if name == "gold.parquet" else len(self.probe)
            with self.work.progress(f"pairs judged {how}", count).upto(count):
                self.work.write_rows(name, ask(), parquet.JUDGMENTS)
        return parquet.read_rows([self.work.path / name], parquet.JUDGMENTS, parquet.to_judgment)


def _said(judgments: Sequence[Judgment]) -> dict[tuple[str, str], Judgment]:
    return {(judgment.pair_id, judgment.principle): judgment for judgment in judgments}


def _numbers(found: JudgeVerdict) -> dict[str, Any]:
    """For the console and the manifest."""
    whole = found.whole
    named = ("agreement", "first_shown", "orders", "turns_round", "stays", "right")
    values: dict[str, Estimate | None] = {name: getattr(whole, name) for name in named}
    shown = {name: round(own.value, 3) for name, own in values.items() if own is not None and own.n >= FEW}
    return {"verdict": whole.verdict, **shown}


def _tell(found: JudgeVerdict, note: Callable[[str], None], *, stop: bool) -> None:
    """What a person should know; a judge that cannot be told from chance ends the run.

    Raises:
        StageError: it cannot, and that is not to be gone on with.
    """
    whole = found.whole
    if whole.verdict == "too few":
        note("too few prompts to tell whether the judge can be believed")
        return
    said = "; ".join(
        f"{what} {_shown(own)}"
        for what, own in (
            ("right on known answers", whole.right),
            ("both orders agree", whole.agreement),
            ("prefers what is shown first", whole.first_shown),
            ("correlation of the orders", whole.orders),
            ("turns round by negated principles", whole.turns_round),
            ("stays in other words", whole.stays),
        )
        if own is not None
    )
    if whole.unread:
        said += f"; {whole.unread} of {whole.answers} answers are no verdict or missing"
    if whole.verdict == "good":
        if found.weak:
            note(f"the judge cannot be told from chance by {', '.join(found.weak)}; see {FILE}")
        return
    message = (
        "the judge says the same whatever the principle says, or mostly the wrong thing"
        if whole.verdict == "backwards"
        else "the judge cannot be told from chance"
    )
    if stop:
        raise StageError(f"{message}: {said}", where="verdict", hint=_TRY)
    note(f"{message}: {said}; {_TRY}")


def _shown(own: Estimate) -> str:
    return f"{own.value:.2f} [{own.low:.2f}, {own.high:.2f}]"


STAGE = Verdict()
