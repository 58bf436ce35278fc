"""Files of other benchmarks, by their rows' keys, and the averages that their own code makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from salmon_bench.official import averages
from salmon_bench.official.case import Case, Compare, Raw, one_of, text_of, texts_of, user
from salmon_core.errors import DataError
from salmon_core.records import Message


@dataclass(frozen=True)
class Format:
    """One of them.

    Attributes:
        recognise: whether a row is of it.
        read: (row, where, its number) -> cases.
        average: (cases, comparisons, whether a judge is asked) -> scores by name, the overall one last.
        note: what its own code does otherwise, or what cannot be said here.
    """

    name: str
    recognise: Callable[[Raw], bool]
    read: Callable[[Raw, str, int], list[Case]]
    average: Callable[[Sequence[Case], Compare, bool], Mapping[str, float]]
    note: str = ""


def _rewardbench(row: Raw, where: str, number: int) -> list[Case]:
    answers = (text_of(row, "chosen", where), text_of(row, "rejected", where))
    prompt, subset = text_of(row, "prompt", where), text_of(row, "subset", where)
    return [Case(f"{number}", user(prompt), answers, subset, f"{number}", ((0, 1),))]


def _rewardbench2(row: Raw, where: str, number: int) -> list[Case]:
    chosen, rejected = texts_of(row, "chosen", where), texts_of(row, "rejected", where)
    subset = text_of(row, "subset", where)
    own = text_of(row, "id", where) if isinstance(row.get("id"), str) else str(row.get("id", number))
    group, extra = f"{number}", {}
    needed = tuple((0, other) for other in range(1, len(chosen) + len(rejected)))
    if subset.lower() == averages.TIES:
        kind, _, place = own.partition(":")
        if kind not in ("ref", "tied") or not place:
            raise DataError(f"`id` is {own!r}", where=where, hint="in the subset Ties it is ref:N or tied:N")
        if kind == "tied" and len(chosen) < 2:
            raise DataError("has one right answer, and is called tied", where=where)
        group, extra, needed = f"ties {place}", {"kind": kind, "right": len(chosen)}, ()
    elif len(chosen) != 1:
        raise DataError(f"has {len(chosen)} chosen answers, not one", where=where)
    case = Case(f"{number}", user(text_of(row, "prompt", where)), (*chosen, *rejected), subset, group, needed, extra)
    return [case]


def _rm_bench(row: Raw, where: str, number: int) -> list[Case]:
    chosen, rejected = texts_of(row, "chosen", where), texts_of(row, "rejected", where)
    if (len(chosen), len(rejected)) != (3, 3):
        raise DataError("does not have three chosen and three rejected answers", where=where)
    domain = one_of(row, "domain", averages.DOMAINS, where)
    needed = tuple((one, 3 + other) for one in range(3) for other in range(3))
    prompt = text_of(row, "prompt", where)
    return [Case(f"{number}", user(prompt), (*chosen, *rejected), domain, f"{number}", needed)]


def _judgebench(row: Raw, where: str, number: int) -> list[Case]:
    label = text_of(row, "label", where)
    if label not in ("A>B", "B>A"):
        raise DataError(f"`label` is {label!r}", where=where, hint="it is A>B or B>A")
    source = one_of(row, "source", averages.SOURCES, where)
    answers = (text_of(row, "response_A", where), text_of(row, "response_B", where))
    extra = {"right": 0 if label == "A>B" else 1}
    return [Case(f"{number}", user(text_of(row, "question", where)), answers, source, f"{number}", ((0, 1),), extra)]


def _rmgap(row: Raw, where: str, number: int) -> list[Case]:
    domain = one_of(row, "domain", averages.GAP_DOMAINS, where)
    try:
        texts = {str(each["key"]): str(each["text"]) for each in row["responses"]}
        groups = [(str(each["winner"]), [str(own["text"]) for own in each["prompts"]]) for each in row["prompt_groups"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"is no row of RMGAP: {error}", where=where) from None
    keys = sorted(texts)
    if len(keys) != 4 or any(winner not in texts for winner, _ in groups):
        raise DataError("does not have four responses with keys of their own, the winners among them", where=where)
    if len(groups) != 4 or any(len(prompts) != 3 for _, prompts in groups):
        raise DataError("does not have four groups of three prompts", where=where)
    found = []
    for place, (winner, prompts) in enumerate(groups):
        right = keys.index(winner)
        needed = tuple((right, other) for other in range(4) if other != right)
        for index, prompt in enumerate(prompts):
            found.append(
                Case(
                    f"{number}/{place}/{index}",
                    user(prompt),
                    tuple(texts[key] for key in keys),
                    domain,
                    f"{number}/{place}",
                    needed,
                    {"right": right},
                )
            )
    return found


def _ifbench(row: Raw, where: str, number: int) -> list[Case]:
    if "instruction" in row:
        chosen, rejected = row.get("chosen"), row.get("rejected")
        if not isinstance(chosen, Mapping) or not isinstance(rejected, Mapping):
            raise DataError("`chosen` or `rejected` is no object with `content`", where=where)
        broken = rejected.get("unsatisfied_constraints")
        if not isinstance(broken, list):
            raise DataError("`rejected.unsatisfied_constraints` is no list", where=where)
        level = {1: "level-3", 2: "level-2"}.get(len(broken), "level-1")
        messages = user(text_of(row, "instruction", where))
        answers = (text_of(chosen, "content", where), text_of(rejected, "content", where))
    else:
        (messages, first), (_, second) = (_turns(row[key], key, where) for key in ("text_chosen", "text_rejected"))
        answers, level = (first, second), text_of(row, "domain", where)
    return [Case(f"{number}", messages, answers, level, f"{number}", ((0, 1),))]


def _turns(value: object, key: str, where: str) -> tuple[tuple[Message, ...], str]:
    """A conversation, apart from the answer that ends it."""
    try:
        turns = tuple(Message(role=str(each["role"]), content=str(each["content"])) for each in value)  # type: ignore[attr-defined]
    except (KeyError, TypeError):
        turns = ()
    if len(turns) < 2 or turns[-1]["role"] != "assistant" or turns[-2]["role"] != "user":
        raise DataError(f"`{key}` is no conversation that ends with an answer", where=where)
    return turns[:-1], turns[-1]["content"]


def _has(*keys: str) -> Callable[[Raw], bool]:
    return lambda row: all(key in row for key in keys)


def _lists(row: Raw) -> bool:
    return isinstance(row.get("chosen"), list) and isinstance(row.get("rejected"), list)


FORMATS = {
    each.name: each
    for each in (
        Format(
            "rewardbench",
            lambda row: _has("prompt", "subset")(row) and isinstance(row.get("chosen"), str),
            _rewardbench,
            averages.rewardbench,
            "The mean of the four sections, without Prior Sets, which the leaderboard adds at half weight.",
        ),
        Format(
            "rewardbench2",
            lambda row: _has("prompt", "subset")(row) and _lists(row),
            _rewardbench2,
            averages.rewardbench2,
            "Its own code asks a judge for the best of four, or for ratings; here the right answer has to win against"
            " each other one, and Ties, which needs ratings, is left out for judges.",
        ),
        Format(
            "rm-bench",
            lambda row: _has("prompt", "domain")(row) and _lists(row),
            _rm_bench,
            averages.rm_bench,
            "For judges, the mean of both orders decides each of the nine comparisons.",
        ),
        Format("judgebench", _has("question", "response_A", "response_B", "label"), _judgebench, averages.judgebench),
        Format(
            "rmgap",
            _has("responses", "prompt_groups", "domain"),
            _rmgap,
            averages.rmgap,
            "Consistency needs a ranking, so it is left out for judges.",
        ),
        Format(
            "ifbench",
            lambda row: _has("text_chosen", "text_rejected")(row) or _has("instruction", "chosen", "rejected")(row),
            _ifbench,
            averages.ifbench,
            "level-1 breaks three constraints or more, level-2 two, level-3 one.",
        ),
    )
}


def recognised(row: Raw, where: str) -> Format:
    """The format of a row.

    Raises:
        DataError: it is of none of them.
    """
    if "instruction_id_list" in row:
        raise DataError(
            "is a prompt of the IFBench for policies: it has no two answers to compare",
            where=where,
            hint="the reader ifbench reads the preferences of THU-KEG/IFBench",
        )
    found = next((each for each in FORMATS.values() if each.recognise(row)), None)
    if found is None:
        raise DataError("is of no format that is known", where=where, hint=f"--format {'|'.join(FORMATS)}")
    return found


def cases_of(rows: Iterable[tuple[str, Raw]], name: str | None = None) -> tuple[Format, list[Case]]:
    """The format and all cases of a file's rows.

    Args:
        name: of the format; None: as its first row looks.

    Raises:
        DataError: a row is not of the format, or there is none; names its place.
    """
    found = None if name is None else FORMATS[name]
    cases: list[Case] = []
    for number, (where, row) in enumerate(rows):
        found = found or recognised(row, where)
        cases += found.read(row, where, number)
    if found is None or not cases:
        raise DataError("has no rows")
    return found, cases
