"""Stage `prompts`: every prompt once, as the policy can be asked it, with its split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from salmon_core.api.component import ComponentSpec
from salmon_core.api.prompts import PromptSource
from salmon_core.data import parquet
from salmon_core.data.prompts import unanswered
from salmon_core.data.rubrics import Rubrics
from salmon_core.data.split import split_prompts
from salmon_core.errors import DataError, PluginError, SalmonError, boundary
from salmon_core.plugins.options import require
from salmon_core.plugins.registry import Registry
from salmon_core.principles.per_prompt import PerPrompt
from salmon_core.records import Message, Prompt
from salmon_core.reward.rendering import Renderer
from salmon_core.run.identity import uncounted
from salmon_core.stages.base import Stage
from salmon_core.stages.sources import Sources
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.work import Work, write_metrics

FILE = "prompts.parquet"
#: tokens that a template puts around a conversation of a few turns, generously
_AROUND = 256


@dataclass(frozen=True)
class PromptsInputs:
    """Attributes:
    limit: prompts to train on at most.
    held_out: share of the prompts kept for evaluation, of those whose source says nothing.
    room: tokens of a completion; a prompt has what the model's positions leave beside it.
    rubrics: a file of principles for single prompts.
    on_bad_row: of a row that is no prompt, `answers` of an assistant's turn at the end, `too_long` of a prompt that is
        too long, `system` of a system turn that the chat template refuses.
    per_prompt: what becomes of prompts' own principles; None: nothing, which is said.
    """

    seed: int
    source: ComponentSpec
    limit: int | None
    held_out: float
    texts: Texts
    room: int
    rubrics: Path | None
    on_bad_row: Literal["error", "drop"]
    answers: Literal["drop", "error"]
    too_long: Literal["error", "drop", "cut"]
    system: Literal["fold", "error"]
    per_prompt: PerPrompt | None = uncounted()


class Prompts(Stage[PromptsInputs]):
    """Reads the prompt source."""

    name = "prompts"
    outputs = (FILE,)

    def inputs(self, sources: Sources) -> PromptsInputs:
        config = sources.config
        choice = config.config.prompts
        return PromptsInputs(
            config.config.run.seed,
            config.prompts,
            choice.limit,
            config.config.held_out,
            texts_of(sources, "sample"),
            config.config.sample.max_new_tokens,
            config.files.get("rubrics"),
            choice.on_bad_row,
            choice.answers,
            choice.too_long,
            choice.system,
            config.per_prompt,
        )

    def work(self, inputs: PromptsInputs, work: Work) -> None:
        found, counts = prepared(inputs, work.registry, work.note)
        work.write_rows(FILE, map(parquet.prompt_row, found), parquet.PROMPTS)
        write_metrics(work, counts)


def prepared(
    inputs: PromptsInputs, registry: Registry, note: Callable[[str], None]
) -> tuple[list[Prompt], dict[str, int]]:
    """All prompts with their splits, and the counts to show; `note` is told of what was changed or left out.

    Raises:
        DataError: a row is no prompt, is too long, or cannot be asked; there is none to train on. Names its place.
        PluginError: the source failed.
    """
    work = _Preparation(inputs, registry)
    found: dict[str, Prompt] = {}
    repeated = 0
    for where, prompt in work.rows():
        known = found.get(prompt.id)
        if known is None:
            found[prompt.id] = prompt
        elif known.messages != prompt.messages or known.principles != prompt.principles:
            raise DataError(f"two different prompts have the id {prompt.id!r}", where=where)
        else:
            repeated += 1
    splits, alike = split_prompts(list(found.values()), inputs.held_out, inputs.seed)
    prompts = [replace(prompt, split=split) for prompt, split in zip(found.values(), splits, strict=True)]
    if inputs.limit is not None:
        prompts = _first(prompts, inputs.limit, inputs.held_out)
    counts = {split: sum(p.split == split for p in prompts) for split in ("train", "test")}
    if not counts["train"]:
        hint = f"{len(prompts)} are held out; lower `held_out`" if prompts else None
        raise DataError("there are no prompts to train on", where=work.place, hint=hint)
    counts |= {"repeated": repeated, "alike": alike, **work.counts}
    _tell_of_principles(inputs, prompts, work.unused, note)
    for count, text in (
        (repeated, "rows repeat an earlier prompt and count once"),
        (alike, "prompts differ from another only in case or spaces; both are kept, on the same side of the split"),
        (work.counts["dropped"], "rows were left out, as `on_bad_row` and `too_long` say"),
        (work.counts["answers"], "conversations end with a turn of the assistant's; it was taken for the answer and"
         " left out"),
        (work.counts["cut"], "prompts were too long and were cut at their beginning"),
        (work.counts["folded"], "conversations have a system turn, which the chat template refuses: it was put before"
         " the first user turn"),
    ):  # fmt: skip
        if count:
            note(f"{count} {text}")
    return prompts, counts


def _tell_of_principles(
    inputs: PromptsInputs, prompts: list[Prompt], unused: list[str], note: Callable[[str], None]
) -> None:
    """What becomes of principles that prompts bring along.

    Raises:
        DataError: there are none, or one is named that there is not.
    """
    own = sum(bool(prompt.principles) for prompt in prompts)
    if inputs.per_prompt is not None:
        for prompt in prompts:
            inputs.per_prompt.of(prompt, ())  # names stand for something
    if own and inputs.per_prompt is None:
        note(f"{own} prompts bring principles of their own, which are not used: see reward.principles.per_prompt")
    elif inputs.per_prompt is not None and not own and inputs.limit is None:
        where = str(inputs.rubrics) if inputs.rubrics is not None else "reward.principles.per_prompt"
        hint = "rows name prompts by `id`, `prompt` or `messages`" if inputs.rubrics else "give them `principles`"
        raise DataError("no prompt has principles of its own", where=where, hint=hint)
    if unused:
        note(f"{len(unused)} rows of {inputs.rubrics} are about no prompt of this run; the first: {unused[0]}")


def _first(prompts: list[Prompt], limit: int, held_out: float) -> list[Prompt]:
    """So many to train on, and of those held out the same share as of all, two at least."""
    share = max(2, round(limit * held_out / (1 - held_out)))
    room = {"train": limit, "test": share}
    found = []
    for prompt in prompts:
        if room[prompt.split] > 0:
            room[prompt.split] -= 1
            found.append(prompt)
    return found


class _Preparation:
    """Reads a source, and makes its prompts such as the policy can be asked.

    Attributes:
        place: of the source, for messages.
        counts: rows dropped, answers left out, prompts cut, system turns folded.
    """

    def __init__(self, inputs: PromptsInputs, registry: Registry):
        self._inputs, self._registry = inputs, registry
        spec = inputs.source
        self.place = str(spec.options.get("path") or f"prompts {spec.name}")
        self.counts = {"dropped": 0, "answers": 0, "cut": 0, "folded": 0}

    @cached_property
    def _rubrics(self) -> Rubrics | None:
        return None if self._inputs.rubrics is None else Rubrics(self._inputs.rubrics)

    @property
    def unused(self) -> list[str]:
        """Rows of the rubrics that are about no prompt."""
        return [] if self._rubrics is None else self._rubrics.unused

    @cached_property
    def _renderer(self) -> Renderer:
        return self._inputs.texts.renderer(self._registry)

    def rows(self) -> Iterator[tuple[str, Prompt]]:
        """(place, prompt) of each row that is used."""
        spec = self._inputs.source
        owned = self._registry.owned(spec)
        owner, what = str(owned.owner), f"prompts {spec.name!r}"
        with boundary(owner, what):
            source: PromptSource = require(owned, self._registry.build(spec), "load")
            located = getattr(source, "located", None)
            rows = iter(located() if located is not None else PromptSource.located(source))
        while True:
            with boundary(owner, what):
                row = next(rows, None)
            if row is None:
                return
            where, prompt = row
            try:
                if isinstance(prompt, DataError):
                    raise prompt
                if not isinstance(prompt, Prompt):
                    raise PluginError(owner, f"gave a {type(prompt).__name__}, not a Prompt", what=what)
                prompt, answered = self._unanswered(prompt, where)
                if not any(message["content"].strip() for message in prompt.messages if message["role"] == "user"):
                    raise DataError("is an empty prompt", where=where, hint="or set prompts.on_bad_row: drop")
            except DataError:
                if self._inputs.on_bad_row == "error":
                    raise
                self.counts["dropped"] += 1
                continue
            self.counts["answers"] += answered
            asked = self._asked(self._with_rubric(prompt, where), where)
            fitting = self._fitting(asked, where)
            if fitting is not None:
                yield where, fitting

    def _with_rubric(self, prompt: Prompt, where: str) -> Prompt:
        own = self._rubrics.of(prompt) if self._rubrics is not None else ()
        if own and prompt.principles:
            raise DataError(f"has principles here and in {self._inputs.rubrics}", where=where, hint="give them once")
        return replace(prompt, principles=own) if own else prompt

    def _unanswered(self, prompt: Prompt, where: str) -> tuple[Prompt, bool]:
        """Up to the user's last turn, and whether there was an answer behind it."""
        asked = unanswered(prompt)
        if asked is prompt:
            return prompt, False
        if self._inputs.answers == "error" or not asked.messages or asked.messages[-1]["role"] != "user":
            hint = "set prompts.answers: drop" if self._inputs.answers == "error" else None
            raise DataError("the last turn of a conversation has to be the user's", where=where, hint=hint)
        return asked, True

    def _asked(self, prompt: Prompt, where: str) -> Prompt:
        """With its system turn where the chat template takes one."""
        if not any(message["role"] == "system" for message in prompt.messages):
            return prompt
        try:
            self._renderer.policy(prompt)
            return prompt
        except SalmonError as error:
            refused = error
        folded = replace(prompt, messages=_folded(prompt.messages))
        try:
            if self._inputs.system == "fold":
                self._renderer.policy(folded)
                self.counts["folded"] += 1
                return folded
        except SalmonError:
            pass  # then the system turn is not what the template refuses
        hint = "set prompts.system: fold" if self._inputs.system == "error" else refused.hint
        raise DataError(refused.message, where=where, hint=hint)

    def _fitting(self, prompt: Prompt, where: str) -> Prompt | None:
        """In the room that the model's positions leave; None where it is left out."""
        longest = self._renderer.codec.max_length
        if longest is None:
            return prompt
        room = longest - self._inputs.room
        # A token is at least one byte, so most prompts need no tokenizer to be known as short.
        if sum(len(message["content"].encode()) + _AROUND for message in prompt.messages) <= room:
            return prompt
        try:
            size = self._tokens(prompt)
        except SalmonError as error:
            raise DataError(error.message, where=where, hint=error.hint) from None
        if size <= room:
            return prompt
        if self._inputs.too_long == "drop":
            self.counts["dropped"] += 1
            return None
        if self._inputs.too_long == "cut" and (cut := self._cut(prompt, room)) is not None:
            self.counts["cut"] += 1
            return cut
        raise DataError(
            f"has {size} tokens, and the model has room for {max(0, room)}: {longest} positions less"
            f" sample.max_new_tokens ({self._inputs.room})",
            where=where,
            hint="shorten it, lower sample.max_new_tokens, or set prompts.too_long: drop or cut",
        )

    def _tokens(self, prompt: Prompt) -> int:
        return len(self._renderer.codec.encode(self._renderer.policy(prompt)))

    def _cut(self, prompt: Prompt, room: int) -> Prompt | None:
        """Without its earliest turns, then without the beginning of its last one; None where that is not enough."""
        system = tuple(message for message in prompt.messages[:1] if message["role"] == "system")
        turns = prompt.messages[len(system) :]
        while len(turns) > 2:  # a question goes with its answer, so that the user's turn stays first
            turns = turns[2:]
            if self._tokens(shorter := replace(prompt, messages=(*system, *turns))) <= room:
                return shorter
        codec = self._renderer.codec
        ids = codec.encode(turns[-1]["content"])
        while ids:
            text = codec.decode(ids).strip("\ufffd").strip()
            shorter = replace(prompt, messages=(*system, *turns[:-1], {"role": "user", "content": text}))
            over = self._tokens(shorter) - room
            if over <= 0:
                return shorter if text else None
            ids = ids[over:]
        return None


def _folded(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The system turns put before the first user turn."""
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    others = [message for message in messages if message["role"] != "system"]
    first = next(index for index, message in enumerate(others) if message["role"] == "user")
    others[first] = {"role": "user", "content": f"{system}\n\n{others[first]['content']}"}
    return tuple(others)


def read_prompts(folder: Path, split: str | None = None) -> list[Prompt]:
    """What the stage left; None: both splits."""
    return list(StoredPrompts(folder, split))


class StoredPrompts:
    """What the stage left, read as one goes through it, each time again.

    Args:
        split: None: both.
    """

    def __init__(self, folder: Path, split: str | None = None):
        self._rows, self._split = parquet.Rows(folder / FILE, parquet.PROMPTS, parquet.to_prompt), split

    def __iter__(self) -> Iterator[Prompt]:
        return (prompt for prompt in self._rows if self._split in (None, prompt.split))

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return len(self._rows) if self._split is None else sum(1 for _ in self)


STAGE = Prompts()
