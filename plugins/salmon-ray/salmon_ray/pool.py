"""Workers that answer questions: each piece of work goes to whoever is free, and to another one if that one dies."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from salmon_core.calls import alive, part
from salmon_core.errors import SalmonError
from salmon_ray import wire
from salmon_ray.cluster import connected, first_line
from salmon_ray.options import Options

_log = logging.getLogger("salmon")
#: seconds between signs of life
_SIGN = 0.5
_INHERITED = ("OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")


def inherited() -> dict[str, str]:
    """Of the environment, what makes workers compute as this process would."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


@dataclass(eq=False)
class _Question:
    """What the pool is asked at present.

    Attributes:
        pieces: that it was cut into.
        sizes: how much work each is.
        answers: by piece.
        waiting: pieces that no worker has.
        died: workers, of each piece.
    """

    pieces: Sequence[bytes]
    sizes: Sequence[int]
    answers: dict[int, Any] = field(default_factory=dict)
    waiting: deque[int] = field(default_factory=deque)
    died: list[int] = field(default_factory=list)
    told: float = 0.0

    def tell(self, shares: dict[int, float]) -> None:
        """How much is done, where it has become more."""
        done = [1.0 if n in self.answers else shares.get(n, 0.0) for n in range(len(self.pieces))]
        share = sum(size * each for size, each in zip(self.sizes, done, strict=True)) / sum(self.sizes)
        if share > self.told:
            self.told = share
            part(share)


@dataclass(eq=False)
class _Actor:
    """A worker, as the pool sees it.

    Attributes:
        ref: of what it is doing; None: nothing.
        task: question and piece that it works on; None while it opens the model.
        pid: its process, once the model is open.
        sign: asked for, and not yet given.
        share: of its piece that is done.
    """

    handle: Any
    ref: Any
    task: tuple[_Question, int] | None = None
    pid: int | None = None
    sign: Any = None
    share: float = 0.0


class Pool:
    """Ray actors, each with the same model open.

    Deaths are met here and not by Ray's own restarts: Ray counts them by actor, and what has to be bounded is how many
    workers one piece of work may cost.

    Args:
        order: what they open, as `wire.order` makes it.
        where: the model, for messages.

    Raises:
        SalmonError: Ray cannot be started or reached, no worker is ready in time, or the model cannot be opened.
    """

    def __init__(self, order: bytes, options: Options, where: str):
        self._order, self._options, self._where = order, options, where
        self._actors: list[_Actor] = []
        #: workers that died one after the other while they opened the model
        self._lost = 0
        #: when a worker was last ready
        self._ready = time.monotonic()
        self._held = ExitStack()
        self._closed = False
        try:
            self._ray = self._held.enter_context(connected(options))
            self._check_room()
            self._held.callback(self._end)
            self._actors = [self._started() for _ in range(options.workers)]
            while not self.pids:
                self._step(None)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """Processes of the workers that have the model open."""
        return [actor.pid for actor in self._actors if actor.pid is not None]

    def ask(self, pieces: Sequence[bytes], sizes: Sequence[int]) -> list[Any]:
        """The answers to all pieces of one question, in order.

        Raises:
            SalmonError: the inner engine's, of whichever piece failed first; or one piece costs worker after worker.
        """
        if self._closed:
            raise SalmonError("the model was closed", where=self._where, hint="open it again")
        question = _Question(pieces, sizes, waiting=deque(range(len(pieces))), died=[0] * len(pieces))
        while len(question.answers) < len(pieces):
            for actor in self._actors:
                if question.waiting and actor.pid is not None and actor.ref is None:
                    number = question.waiting.popleft()
                    actor.task, actor.share = (question, number), 0.0
                    actor.ref = actor.handle.ask.remote(pieces[number])
            self._step(question)
            question.tell({a.task[1]: a.share for a in self._actors if a.task and a.task[0] is question})
        return [question.answers[number] for number in range(len(pieces))]

    def close(self) -> None:
        """Ends the workers, and Ray if it was started for them; may be called more than once."""
        self._closed = True
        self._held.close()

    # -- workers -------------------------------------------------------------------------------------------------------

    def _started(self) -> _Actor:
        from salmon_ray.worker import Worker

        options = self._options
        actor = self._ray.remote(Worker).options(
            num_cpus=options.num_cpus,
            num_gpus=options.num_gpus,
            resources=options.resources or None,
            # Beside the one that works, a thread that gives signs of life.
            max_concurrency=2,
            max_restarts=0,
        )
        handle = actor.remote()
        return _Actor(handle, handle.open.remote(self._order))

    def _end(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor.handle)
        self._actors = []

    def _check_room(self) -> None:
        """A cluster that was started here gets no more than it has."""
        if self._options.address is None and self._options.num_gpus:
            wanted = self._options.workers * self._options.num_gpus
            there = self._ray.cluster_resources().get("GPU", 0)
            if wanted > there:
                raise SalmonError(
                    f"{self._options.workers} workers need {wanted:g} GPUs, and this machine has {there:g}",
                    where="num_gpus",
                    hint="lower workers or num_gpus, or give the address of a cluster",
                )

    # -- what happens --------------------------------------------------------------------------------------------------

    def _step(self, question: _Question | None) -> None:
        """Waits for something to happen, a little while at most, and sees to it."""
        busy = [actor for actor in self._actors if actor.ref is not None]
        found, _ = self._ray.wait([actor.ref for actor in busy], num_returns=1, timeout=_SIGN)
        for actor in [actor for actor in busy if actor.ref in found]:
            self._heard(actor, question)
        if not found:
            self._signs(busy)
        if self.pids:
            self._ready = time.monotonic()
        else:
            self._still_starting()

    def _heard(self, actor: _Actor, question: _Question | None) -> None:
        """A worker has an answer, or is dead."""
        ref, task = actor.ref, actor.task
        actor.ref, actor.task = None, None
        try:
            text = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._replace(actor, question, task, first_line(error))
            return
        # Of a question that failed, the other pieces are of no more use.
        if task is not None and task[0] is not question:
            return
        said = wire.answer(text)
        if task is None:
            actor.pid, self._lost = said, 0
        else:
            task[0].answers[task[1]] = said

    def _replace(self, actor: _Actor, question: _Question | None, task: tuple[_Question, int] | None, why: str) -> None:
        """Another worker in the place of one that died; its piece waits again, before all others."""
        self._ray.kill(actor.handle)  # one that cannot be reached may still be there
        self._actors.remove(actor)
        if task is None:
            self._lost += 1
            if self._lost >= self._options.attempts:
                raise SalmonError(
                    f"{self._lost} workers died one after the other while they opened the model: {why}",
                    where=self._where,
                    hint="is there memory enough, and is salmon-ray installed on every machine of the cluster?",
                )
        elif task[0] is question:
            question.died[task[1]] += 1
            if question.died[task[1]] >= self._options.attempts:
                raise SalmonError(
                    f"{question.died[task[1]]} workers died one after the other of the same piece of work: {why}",
                    where=self._where,
                    hint="there may be too little memory: lower `chunk`, or how much the inner engine takes at once",
                )
            question.waiting.appendleft(task[1])
            _log.warning("a worker died, and its piece of work is done again: %s", why)
        self._actors.append(self._started())

    def _signs(self, busy: Sequence[_Actor]) -> None:
        """Asks the workers whether they move; where one does, this process is alive as well."""
        for actor in busy:
            if actor.task is None:
                continue
            if actor.sign is None:
                actor.sign = actor.handle.sign.remote()
                continue
            if not self._ray.wait([actor.sign], timeout=0)[0]:
                continue
            sign, actor.sign = actor.sign, None
            try:
                actor.share, idle = self._ray.get(sign)
            except self._ray.exceptions.RayError:
                continue  # it is dead, as its answer says too
            if idle < 2 * _SIGN:
                alive()

    def _still_starting(self) -> None:
        """While no worker is ready: a sign of life, since that has a limit of its own."""
        alive()
        if time.monotonic() - self._ready > self._options.start_timeout:
            total = self._ray.cluster_resources()
            there = ", ".join(f"{total[name]:g} {name}" for name in sorted(total) if not name.startswith("node:"))
            options = self._options
            one = ", ".join([f"{options.num_cpus:g} CPU", f"{options.num_gpus:g} GPU", *map(str, options.resources)])
            raise SalmonError(
                f"no worker was ready within {options.start_timeout:g} s; "
                f"one needs {one}, Ray has {there or 'nothing'}",
                where=self._where,
                hint="lower what a worker needs, or raise start_timeout",
            )
