"""The kinds of plugin that `salmon new` writes. Light: `salmon --help` reads their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NewKind:
    """A kind of plugin to write.

    Attributes:
        kind: of component, as in `salmon_core.api.hooks.KINDS`.
        summary: what the written one does, in one line.
        target: what a component of it is, with what stands for the name: `@Class@`, `@CONSTANT@` or `@variable@`.
        use: how it is named in a configuration, or at the command line.
        file: whether a single file can be one: those that a configuration names.
        needs: distributions beside salmon-core.
    """

    kind: str
    summary: str
    use: str
    target: str = "@Class@"
    file: bool = True
    needs: tuple[str, ...] = ()

    @property
    def console(self) -> bool:
        """Whether it is used at the command line, not in a configuration."""
        return self.use.startswith("$ ")


#: by the word that the command takes
NEW_KINDS: Mapping[str, NewKind] = {
    "bonus": NewKind("bonuses", "answers of about so many words", "reward:\n  bonuses: [{name: @name@, weight: 1.0}]"),
    "monitor": NewKind("monitors", "answers in capital letters", "monitors:\n  use: [@name@]"),
    "judge": NewKind("judges", "prefers the shorter completion", "judge:\n  judge: @name@"),
    "labeller": NewKind("labellers", "a row for each judgment", "label: @name@"),
    "engine": NewKind("engines", "a token is a byte", "sample:\n  engine: @name@"),
    "evaluator": NewKind("evaluators", "words per answer, before and after", "evaluate: [@name@]"),
    "backend": NewKind(
        "backends",
        "trains nothing yet",
        "train:\n  backend: @name@\n  algorithm: @name@",
        needs=("pydantic>=2.7,<3",),
    ),
    "prompts": NewKind("prompts", "small sums", "prompts: {name: @name@, upto: 20}"),
    "oracle": NewKind("oracles", "knows which answer is shorter", "evaluate: [{name: EVALUATOR, truth: @name@}]"),
    "template": NewKind("templates", "few words", "policy:\n  template: @name@", target="@CONSTANT@"),
    "principles": NewKind(
        "principle_sets", "what an answer should be like", "judge:\n  principles: @name@", target="@CONSTANT@"
    ),
    "command": NewKind(
        "commands",
        "Print the principles that a configuration rewards.",
        "$ salmon @name@ salmon.yaml",
        target="@variable@_command",
        file=False,
        needs=("click>=8.1",),
    ),
    "starter": NewKind(
        "starters",
        "a first configuration of our own",
        "$ salmon init my-run --model @name@",
        target="@CONSTANT@",
        file=False,
    ),
    "report": NewKind(
        "reports",
        "targets before and after, as CSV",
        "$ salmon report RUN --write @name@ targets.csv",
        target="@variable@_report",
        file=False,
    ),
}
