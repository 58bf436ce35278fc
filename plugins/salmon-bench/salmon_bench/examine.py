"""From rows and a subject to its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from salmon_bench.answers import Answers
from salmon_bench.board import ALL, Result
from salmon_bench.figures import Figure, figure, judged
from salmon_bench.rows import Row
from salmon_bench.subject import Orders, Question, Subject
from salmon_core.errors import SalmonError
from salmon_core.records import Message

#: (what is gone through, how much of it is done, of how much)
Watch = Callable[[str, int, int], None]
#: what each measure is of, for people
MEASURES = {
    "right": "right, under principles' own texts and under their negations alike",
    "own": "right under principles' own texts",
    "negated": "right under their negations, by which the other answer is better",
    "turns round": "how often the preference is another one under the negation",
    "reworded": "right under the same principles in other words",
    "stays": "how often the preference in other words is the one in its own",
    "sets": "right by 2 to 4 principles, some of them negated, that agree",
    "conflicts": "how often the heavier of two principles that disagree wins, at 2 to 1 and 4 to 1",
    "dressed up": "right where the wrong answer was made longer and better to look at",
    "shorter is right": "right where the right answer is the shorter one by a tenth",
    "longer is right": "right where it is the longer one",
    "both orders": "right in both orders; a coin would be in a quarter",
    "orders agree": "how often both orders prefer the same answer",
    "first shown wins": "how often the answer that is shown first is preferred; 0.5 is no bias",
}
_SINGLE = ("own", "negated")


def questions_of(row: Row, joint: bool) -> list[Question]:
    """All principles at once where the subject reads several and none is heavier, else each."""
    messages = (Message(role="user", content=row.prompt),)
    shown = [each.principle for each in row.principles]
    even = len({each.weight for each in row.principles}) == 1
    if len(shown) == 1 or (joint and even):
        return [Question(messages, row.answers, tuple(shown))]
    return [Question(messages, row.answers, (each,)) for each in shown]


def readable(subject: Subject, rows: Sequence[Row]) -> tuple[list[Row], int]:
    """Rows that it can read without a cut, and how many it cannot."""
    kept = [row for row in rows if all(map(subject.fits, questions_of(row, subject.joint)))]
    return kept, len(rows) - len(kept)


def examine(
    subject: Subject,
    rows: Sequence[Row],
    folder: Path,
    *,
    left_out: int = 0,
    watch: Watch = lambda what, done, total: None,
) -> Result:
    """What a subject makes of the rows.

    Args:
        rows: that it can read.
        folder: where its answers are kept, and found again.
        left_out: rows that it cannot read.

    Raises:
        SalmonError: there is no row, or it cannot be asked.
    """
    if not rows:
        hint = "its limits of length, or those of its salmon.json, are shorter than every row"
        raise SalmonError(f"can read none of {left_out} rows without cutting it", where=subject.name, hint=hint)
    asked = {row.id: questions_of(row, subject.joint) for row in rows}
    every = list({each.key: each for own in asked.values() for each in own}.values())
    said = Answers(folder, subject).of(every, lambda done: watch(subject.name, done, len(every)))
    margins = {row.id: _margin(row, [said[each.key] for each in asked[row.id]]) for row in rows}
    figures = judged(_figures(rows, margins, subject.sort == "judge"))
    return Result(
        name=subject.name,
        sort=subject.sort,
        rows=len(rows),
        pairs=len({row.pair for row in rows}),
        left_out=left_out,
        figures=figures,
    )


def _margin(row: Row, said: Sequence[Orders]) -> Orders:
    """In each order, what speaks for the first answer: the mean over principles by weight."""
    weights = [each.weight for each in row.principles] if len(said) > 1 else [1.0]
    total = sum(weights)
    one, two = (
        sum(weight * orders[side] for weight, orders in zip(weights, said, strict=True)) / total for side in (0, 1)
    )
    return one, two


def _mean(orders: Orders) -> float:
    return orders[0] + orders[1]


def _right(row: Row, margin: float) -> float:
    """1 if the right answer is ahead, a half where none is."""
    return 0.5 if margin == 0 else float((margin > 0) == (row.right == 0))


def _same(one: float, other: float) -> float:
    """1 if both prefer the same answer, a half where one prefers none."""
    return 0.5 if one * other == 0 else float(one * other > 0)


def _grouped(values: Iterable[tuple[Row, float]]) -> dict[str, list[float]]:
    """By the two answers, whatever they are asked about by."""
    found: dict[str, list[float]] = {}
    for row, value in values:
        found.setdefault(row.id.partition("/")[0], []).append(value)
    return found


def _figures(
    rows: Sequence[Row], margins: dict[str, Orders], judge: bool
) -> Iterator[tuple[Figure, float | None] | None]:
    def right(what: str, about: str, some: Iterable[Row]) -> tuple[Figure, float | None] | None:
        return figure(what, about, _grouped((row, _right(row, _mean(margins[row.id]))) for row in some))

    single = [row for row in rows if row.kind in _SINGLE]
    yield right("right", ALL, single)
    for family in dict.fromkeys(row.family for row in single):
        yield right("right", family, [row for row in single if row.family == family])
    for writer in dict.fromkeys(row.writer for row in single):
        yield right("right", f"by {writer}", [row for row in single if row.writer == writer])
    for what, kind in (("own", "own"), ("negated", "negated"), ("reworded", "reworded"), ("sets", "set")):
        yield right(what, ALL, [row for row in rows if row.kind == kind])
    yield right("conflicts", ALL, [row for row in rows if row.kind == "conflict"])
    own = {row.pair: row for row in rows if row.kind == "own"}
    yield figure("turns round", ALL, _grouped(_against(rows, "negated", own, margins, turned=True)))
    yield figure("stays", ALL, _grouped(_against(rows, "reworded", own, margins, turned=False)))
    yield right("dressed up", ALL, [row for row in single if row.trap])
    yield right("shorter is right", ALL, [row for row in single if row.longer is False])
    yield right("longer is right", ALL, [row for row in single if row.longer])
    if judge:
        yield figure("both orders", ALL, _grouped(_each_order(single, margins)), 0.25)
        yield figure("orders agree", ALL, _grouped((row, _same(*margins[row.id])) for row in single), None)
        yield figure("first shown wins", ALL, _grouped(_first(single, margins)), None)


def _against(
    rows: Sequence[Row], kind: str, own: dict[str, Row], margins: dict[str, Orders], *, turned: bool
) -> Iterator[tuple[Row, float]]:
    """Whether the preference is the one under the principle's own text."""
    for row in rows:
        if row.kind == kind and row.pair in own:
            one, other = (_mean(margins[each.id]) for each in (own[row.pair], row))
            value = _same(one, other)  # the answers of a pair are in one order, see `building.singles`
            yield row, 1 - value if turned else value


def _each_order(rows: Sequence[Row], margins: dict[str, Orders]) -> Iterator[tuple[Row, float]]:
    for row in rows:
        yield row, float(all(_right(row, each) == 1 for each in margins[row.id]))


def _first(rows: Sequence[Row], margins: dict[str, Orders]) -> Iterator[tuple[Row, float]]:
    """Both scores are positive for the first answer, which is shown second in the second order."""
    for row in rows:
        one, two = margins[row.id]
        yield row, (_win(one) + _win(-two)) / 2


def _win(margin: float) -> float:
    return 0.5 if margin == 0 else float(margin > 0)
