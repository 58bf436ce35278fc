"""Conversations of two turns with both policies, rated and compared by a judge (after MT-Bench, arXiv 2306.05685)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import EvaluatedRun, Evaluator, KnownRun, Metrics, Question, Role, Section, Target
from salmon_core.kit.statistics import clustered_difference, clustered_mean
from salmon_core.records import Completion, Message, Prompt
from salmon_core.rng import named_rng
from salmon_evaluators.mt_wording import MARKERS, choice_question, rating_question, read_choice, read_rating
from salmon_evaluators.two_turns import OURS, TwoTurns, read_questions
from salmon_evaluators.wins import COLUMNS, LOSS, TIE, WIN, Wins, by_name

_ROLES: tuple[Role, ...] = ("initial", "policy")
_TURNS = (1, 2)
#: by role and question: what it answered to each turn
Answers = Mapping[Role, Mapping[str, tuple[str, str]]]


class MTBench(Evaluator):
    """Both policies answer a question, then a second one that follows on their own first answer.

    A judge's model is asked in words, with each answer alone (a rating from 1 to 10), and with both in both orders. A
    win is a verdict that both orders agree on; where they disagree it is a tie. What is no verdict is counted, and left
    out: it is never guessed.
    """

    needs = frozenset({"initial", "policy", "judge"})

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        questions: Path | None = Field(
            None,
            description="JSON Lines: `id`, `category`, `turns` (two), `reference` (at most two); null: eight of ours",
        )
        modes: list[Literal["rating", "pairwise"]] = Field(
            ["rating", "pairwise"], min_length=1, description="each answer alone, or both against each other"
        )
        temperature: float | None = Field(
            None, ge=0, le=10, description="of the answers; null: as `sample.temperature`"
        )
        judge_tokens: int = Field(512, ge=8, description="of a judge's answer; a longer one is cut off and unread")
        judge_temperature: float = Field(0.0, ge=0, le=10, description="of the judge's answers")

    def __init__(self, options: Options | None = None):
        self.options = options or self.Options()

    def check(self, run: KnownRun) -> None:
        """Raises DataError where the questions cannot be read."""
        self._questions()

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """Values: by mode what is said of `all`, of each turn (`turn 1`) and each category (`category math`).

        `rating` has `before`, `after` and `change`, estimates over the questions that were rated before and after;
        `pairwise` has `wins`, `ties`, `losses` and `win_rate`. Both have `asked` and `unread`, counts of verdicts.
        """
        questions = self._questions()
        answers = self._answered(run, questions)
        values: dict[str, Any] = {"questions": len(questions)}
        targets: list[Target] = []
        sections: list[Section] = []
        if "rating" in self.options.modes:
            values["rating"], found = self._rated(run, questions, answers)
            sections.append(found)
            for name in ("all", "turn 1", "turn 2"):
                if (own := values["rating"]["groups"].get(name)) is not None:
                    change = own["change"]
                    targets.append(
                        Target(
                            f"rating, {name}",
                            own["before"]["value"],
                            own["after"]["value"],
                            (change["low"], change["high"]),
                            "more",
                            n=change["n"],
                        )
                    )
        if "pairwise" in self.options.modes:
            values["pairwise"], wins, found = self._compared(run, questions, answers)
            sections.append(found)
            if wins.by_prompt:
                targets.append(wins.target("wins, two turns"))
        return Metrics("mt-bench", values, targets=tuple(targets), sections=tuple(sections))

    def _questions(self) -> list[TwoTurns]:
        return read_questions(self.options.questions or OURS)

    def _answered(self, run: EvaluatedRun, questions: Sequence[TwoTurns]) -> Answers:
        found: dict[Role, dict[str, tuple[str, str]]] = {}
        for role in _ROLES:
            said: list[list[Message]] = [[{"role": "user", "content": each.turns[0]}] for each in questions]
            turns: list[list[str]] = []
            for turn in _TURNS:
                prompts = [
                    Prompt(f"{each.id}/{turn}", tuple(messages), each.category, "test")
                    for each, messages in zip(questions, said, strict=True)
                ]
                turns.append([own.text for own in run.complete(role, prompts, temperature=self.options.temperature)])
                if turn == 1:
                    for messages, answer, each in zip(said, turns[0], questions, strict=True):
                        messages += [
                            {"role": "assistant", "content": answer},
                            {"role": "user", "content": each.turns[1]},
                        ]
            found[role] = {each.id: (first, second) for each, first, second in zip(questions, *turns, strict=True)}
        return found

    def _asked(self, run: EvaluatedRun, questions: Sequence[Question]) -> list[Completion]:
        options = self.options
        return run.ask(questions, MARKERS, max_new_tokens=options.judge_tokens, temperature=options.judge_temperature)

    def _rated(
        self, run: EvaluatedRun, questions: Sequence[TwoTurns], answers: Answers
    ) -> tuple[dict[str, Any], Section]:
        keys = [(role, each, turn) for role in _ROLES for each in questions for turn in _TURNS]
        asked = [
            rating_question(each, answers[role][each.id][:turn], f"rating {role} {each.id} {turn}")
            for role, each, turn in keys
        ]
        read = [read_rating(answer) for answer in self._asked(run, asked)]
        ratings = {(role, each.id, turn): own for (role, each, turn), own in zip(keys, read, strict=True)}
        groups: dict[str, Any] = {}
        rows = []
        for name, members in _groups(questions).items():
            by_role: dict[Role, dict[str, list[float]]] = {role: {} for role in _ROLES}
            unread = 0
            for question, turn in members:
                both = [ratings[role, question, turn] for role in _ROLES]
                unread += both.count(None)
                if None not in both:
                    for role, own in zip(_ROLES, both, strict=True):
                        by_role[role].setdefault(question, []).append(float(own or 0))
            before, after = by_role.values()
            row: tuple[str | float | int | None, ...] = (name, None, None, None, len(before), unread)
            if before:
                rng = named_rng(run.seed, "mt-bench", name)
                change = clustered_difference(before, after, rng)
                means = [clustered_mean(own, rng) for own in (before, after)]
                groups[name] = {
                    "before": asdict(means[0]), "after": asdict(means[1]), "change": asdict(change), "unread": unread
                }  # fmt: skip
                told = f"{change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}]"
                row = (name, f"{means[0].value:.2f}", f"{means[1].value:.2f}", told, len(before), unread)
            rows.append(row)
        note = "From 1 to 10, over questions rated before and after. Unread: answers of the judge without a rating."
        columns = ("group", "before", "after", "change", "questions", "unread")
        values = {"groups": groups, "asked": len(read), "unread": read.count(None)}
        return values, Section("Ratings by the judge", columns, tuple(rows), note, judged=True)

    def _compared(
        self, run: EvaluatedRun, questions: Sequence[TwoTurns], answers: Answers
    ) -> tuple[dict[str, Any], Wins, Section]:
        keys = [(each, turn) for each in questions for turn in _TURNS]
        asked = []
        for each, turn in keys:
            before, after = (answers[role][each.id][:turn] for role in _ROLES)
            asked += [
                choice_question(each, after, before, f"choice {each.id} {turn} after first"),
                choice_question(each, before, after, f"choice {each.id} {turn} before first"),
            ]
        read = [read_choice(answer) for answer in self._asked(run, asked)]
        outcomes = {
            (each.id, turn): _agreed(read[2 * index], read[2 * index + 1]) for index, (each, turn) in enumerate(keys)
        }
        groups: dict[str, Wins] = {}
        unread: dict[str, int] = {}
        for name, members in _groups(questions).items():
            groups[name], unread[name] = Wins(), 0
            for question, turn in members:
                outcome = outcomes[question, turn]
                unread[name] += outcome is None
                if outcome is not None:
                    groups[name].add(question, outcome)
        rows = tuple((name, *wins.cells(), unread[name]) for name, wins in groups.items())
        values = {"groups": by_name(groups), "asked": len(read), "unread": read.count(None)}
        note = "After against before. A win is one in both orders. Unread: comparisons without a verdict in each order."
        section = Section("Wins by the judge, two turns", ("group", *COLUMNS, "unread"), rows, note, judged=True)
        return values, groups["all"], section


def _groups(questions: Sequence[TwoTurns]) -> dict[str, list[tuple[str, int]]]:
    """What is told of together: (question, turn)."""
    found: dict[str, list[tuple[str, int]]] = {"all": []}
    for turn in _TURNS:
        found[f"turn {turn}"] = [(each.id, turn) for each in questions]
    found["all"] = [*found["turn 1"], *found["turn 2"]]
    for each in questions:
        found.setdefault(f"category {each.category}", []).extend((each.id, turn) for turn in _TURNS)
    return found


def _agreed(after_first: float | None, before_first: float | None) -> float | None:
    """What both orders say of after; a tie where they disagree, None where one says nothing."""
    if after_first is None or before_first is None:
        return None
    turned = {WIN: LOSS, LOSS: WIN, TIE: TIE}[before_first]
    return after_first if after_first == turned else TIE
