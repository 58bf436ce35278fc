"""The work of the stage `self-align`: questions, answers, thorough answers, and what is kept of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import Any

from salmon_core.api.models import Sampler, Sampling
from salmon_core.config.aligning import Shown
from salmon_core.data import parquet
from salmon_core.errors import DataError
from salmon_core.plugins.engines import open_model
from salmon_core.records import Prompt
from salmon_core.rng import named_rng, shuffled
from salmon_core.stages.demonstrations import (
    ANSWERS,
    DEMONSTRATIONS,
    DROPPED,
    DROPPED_ROWS,
    QUESTIONS,
    ROWS,
    Answers,
    Dropped,
    Questions,
    asked_of,
    reasons,
)
from salmon_core.stages.prompts import StoredPrompts
from salmon_core.stages.self_align import POOL, Asking, SelfAlignInputs, question_for, renderer_of, text_for
from salmon_core.stages.work import Work, write_metrics


class Making(ExitStack):
    """The work; the model is opened when it is first asked."""

    def __init__(self, inputs: SelfAlignInputs, work: Work):
        super().__init__()
        self._inputs, self._work, self._dropped = inputs, work, Dropped()
        self._renderer = renderer_of(inputs, work.registry)

    @cached_property
    def _model(self) -> Sampler:
        inputs = self._inputs
        return self.enter_context(open_model(self._work.registry, inputs.engine, inputs.model.spec, "sampler"))

    def all(self) -> None:
        """All steps, and what is told of them.

        Raises:
            DataError: no answer could be kept.
        """
        inputs, work = self._inputs, self._work
        metrics: dict[str, Any] = {}
        if inputs.asking is not None:
            kept, asked = self._questions(inputs.asking)
            counts = self._dropped.counts("question")
            metrics |= {"questions_asked": asked, "questions": len(kept), "questions_dropped": counts}
            self._tell("questions", asked, counts)
            if len(kept) < inputs.asking.how.generate:
                work.note(
                    f"{len(kept)} of the {inputs.asking.how.generate} questions that were wanted could be kept of"
                    f" {asked}; more topics or examples, or a higher questions.attempts, give more"
                )
        else:
            kept = []
        pool = list(self._pool(kept))
        if not pool:
            raise self._nothing("question", "no question could be kept")
        work.write_rows(POOL, map(parquet.prompt_row, pool), parquet.PROMPTS)
        made = self._pass(pool, inputs.shown, inputs.sampling, verbose=False)
        metrics |= {"prompts": len(pool)} | self._told("answer", made, pool)
        if inputs.verbose is not None and made:
            answered = {row["id"] for row in made}
            again = [prompt for prompt in pool if prompt.id in answered]
            sampling = replace(inputs.sampling, max_new_tokens=inputs.verbose.max_new_tokens)
            thorough = self._pass(again, inputs.verbose.shown, sampling, verbose=True)
            metrics |= {f"verbose_{k}": v for k, v in self._told("verbose answer", thorough, again).items()}
            better = set() if inputs.verbose.both else {row["id"] for row in thorough}
            made = [*(row for row in made if row["id"] not in better), *thorough]
        work.write_rows(DROPPED, self._dropped.rows, DROPPED_ROWS)
        if not made:
            raise self._nothing("answer", "no answer could be kept")
        work.write_rows(DEMONSTRATIONS, made, ROWS)
        write_metrics(work, metrics | {"demonstrations": len(made)})

    def _told(self, what: str, made: list[dict[str, Any]], pool: Sequence[Prompt]) -> dict[str, Any]:
        counts = self._dropped.counts(what)
        asked = len(pool) * self._inputs.sampling.samples
        self._tell(f"{what}s", asked, counts)
        return {"answers": asked, "answers_kept": len(made), "answers_dropped": counts}

    def _tell(self, what: str, asked: int, counts: dict[str, int]) -> None:
        if 2 * sum(counts.values()) > asked:
            self._work.note(f"most of {asked} {what} were left out: {reasons(counts)}; see {DROPPED}")

    def _nothing(self, what: str, message: str) -> DataError:
        said = reasons(self._dropped.counts(what))
        return DataError(
            f"{message}: {said or 'there were none'}",
            where="self_align",
            hint=f"look at {self._work.path / DROPPED}; a model that leaves the form of the exemplars may need another"
            " template, more exemplars, or more max_new_tokens",
        )

    # -- questions ---------------------------------------------------------------------------------------------------

    def _questions(self, asking: Asking) -> tuple[list[Any], int]:
        """Kept questions, as many as are wanted at most, and how many were asked for."""
        inputs, work, how = self._inputs, self._work, asking.how
        held_out = asked_of(StoredPrompts(inputs.prompts.path, "test"))
        examples = [each.prompt for each in asking.topics.questions]
        found = Questions(how, self._renderer, examples, held_out, self._dropped)
        progress = work.progress("questions", how.generate)
        most, size, asked = how.generate * how.attempts, inputs.shard_size, 0
        for start in range(0, most, size):
            indexes = range(start, min(most, start + size))
            name = f"questions-{start // size:05d}.parquet"
            if not work.has(name):
                with progress.upto(min(how.generate, len(found.kept) + len(indexes))):
                    work.write_rows(name, self._asked(asking, indexes), QUESTIONS)
            for row in parquet.stream(work.path / name, QUESTIONS):
                asked += 1
                found.add(row)
            progress(min(how.generate, len(found.kept)))
            if len(found.kept) >= how.generate:
                break
        return found.kept[: how.generate], asked

    def _asked(self, asking: Asking, indexes: Sequence[int]) -> Iterator[dict[str, Any]]:
        how, seed = asking.how, self._inputs.seed
        texts, wanted = [], []
        for index in indexes:
            one = question_for(asking.topics, index, seed)
            rng = named_rng(seed, "self-align", "examples", index)
            shown = shuffled(asking.topics.questions, rng)[: how.show]
            text = self._renderer.inventing(shown, one, where=f"question {index}")
            texts.append((Prompt.from_text(text, id=f"question-{index}"), text))
            wanted.append(one)
        sampling = Sampling(
            how.temperature,
            how.top_p,
            how.max_new_tokens,
            1,
            (self._renderer.stop_inventing,),
            seed,
            self._inputs.sampling.batch_size,
        )
        for index, one, said in zip(indexes, wanted, self._model.sample(texts, sampling), strict=True):
            yield {
                "index": index,
                "topic": one.topic,
                "kind": one.kind,
                "category": one.category,
                "text": said.text,
                "stopped": said.stopped,
            }

    def _pool(self, kept: Sequence[Any]) -> Iterator[Prompt]:
        """The run's prompts, where they are asked for, then the questions; each conversation once."""
        seen: set[str] = set()
        own = StoredPrompts(self._inputs.prompts.path, "train") if self._inputs.run else ()
        for prompt in own:
            seen.add(prompt.text)
            yield replace(prompt, split="run", principles=())
        for row in kept:
            if row["text"] not in seen:
                yield Prompt.from_text(row["text"], category=row["category"], split="generated")

    # -- answers -----------------------------------------------------------------------------------------------------

    def _pass(self, pool: Sequence[Prompt], shown: Shown, sampling: Sampling, *, verbose: bool) -> list[dict[str, Any]]:
        """Demonstrations of one pass over the prompts."""
        inputs, work = self._inputs, self._work
        name, what = ("verbose", "verbose answers") if verbose else ("answers", "answers")
        progress = work.progress(what, len(pool) * sampling.samples)
        for part, start, prompts in work.shards(pool, len(pool), inputs.shard_size, name):
            progress(start * sampling.samples)
            with progress.upto((start + len(prompts)) * sampling.samples):
                work.write_rows(part, self._answered(prompts, shown, sampling, verbose=verbose), ANSWERS)
        said = "verbose answer" if verbose else "answer"
        found = Answers(inputs.filters, self._renderer, shown.principles.principles, self._dropped, said)
        parts = sorted(work.path.glob(f"{name}-*.parquet"))
        rows = (row for part in parts for row in parquet.stream(part, ANSWERS))
        return list(found.kept(rows, "verbose" if verbose else "principles"))

    def _answered(
        self, prompts: Sequence[Prompt], shown: Shown, sampling: Sampling, *, verbose: bool
    ) -> Iterator[dict[str, Any]]:
        longest = self._renderer.codec.max_length
        asked, without = [], set()
        for prompt in prompts:
            text = text_for(self._inputs, self._renderer, shown, prompt, verbose=verbose)
            name = f"{prompt.id}/verbose" if verbose else prompt.id  # other noise than in the first pass
            if longest is not None and len(self._renderer.codec.encode(text)) + sampling.max_new_tokens > longest:
                without.add(name)
            else:
                asked.append((Prompt.from_text(text, id=name), text))
        said = self._model.sample(asked, replace(sampling, stop=(self._renderer.stop,))) if asked else []
        by_id: dict[str, list[Any]] = {}
        for each in said:
            by_id.setdefault(each.prompt_id, []).append(each)
        for prompt in prompts:
            name = f"{prompt.id}/verbose" if verbose else prompt.id
            row = {"id": prompt.id, "messages": list(prompt.messages), "category": prompt.category}
            row["source"] = prompt.split
            if name in without:
                for _ in range(sampling.samples):
                    yield row | {"text": "", "stopped": False, "unasked": True}
            for each in by_id.get(name, []):
                yield row | {"text": each.text, "stopped": each.stopped, "unasked": False}
