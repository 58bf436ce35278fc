"""The one thread that has the reward. It takes whatever is queued, and never waits for more."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass

from salmon_core.errors import PluginError, SalmonError
from salmon_core.records import RewardBreakdown, Rollout
from salmon_core.reward.reward import Reward
from salmon_serve.decoding import Decoder, ItemError
from salmon_serve.rollouts import IDLE, RolloutWriter

_log = logging.getLogger("salmon")
_OURS = "salmon-serve"


class RewardFailedError(SalmonError):
    """A component of the reward failed, and the configuration says that this ends the run."""

    def __init__(self, message: str, *, component: str, owner: str):
        super().__init__(message, hint="the server answers this from now on; see its log, then start it anew")
        self.component, self.owner = component, owner


Outcome = RewardBreakdown | SalmonError


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One rollout to be scored.

    Attributes:
        request: number of the request that it belongs to.
        decode: makes the rollout, or raises an ItemError; called in the scoring thread.
        deliver: takes the outcome; called in the event loop.
        row: of `rl_prompts.parquet`, where the rollout may be logged under it.
        explain: say what each principle of its joint text gives.
    """

    request: int
    decode: Callable[[Decoder], Rollout]
    deliver: Callable[[Outcome], None]
    row: int | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class BatchTiming:
    """What was scored at once, for the metrics."""

    size: int
    seconds: float


class Scorer:
    """Queues rollouts and scores them in a thread of its own, in the order they came.

    Args:
        open_reward: opens the reward and its decoder; entered and left in that thread, as not every model may be used
            from several.
        max_batch: rollouts scored at once.
        max_queue: rollouts waiting at most.
        writer: writes the rollouts of a job.

    Attributes:
        on_batch: called in the event loop after every batch.
        failure: what every request is answered once the reward has failed for good.
    """

    def __init__(
        self,
        open_reward: Callable[[], AbstractContextManager[tuple[Reward, Decoder]]],
        *,
        max_batch: int,
        max_queue: int,
        writer: RolloutWriter | None = None,
    ):
        self._open_reward, self._max_batch, self._max_queue = open_reward, max_batch, max_queue
        self._writer = writer
        self.on_batch: Callable[[BatchTiming], None] = lambda _: None
        self._queue: deque[WorkItem] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._undelivered = 0
        self._rate = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started: Future[tuple[str, ...]] = Future()
        self._thread = threading.Thread(target=self._run, name="scoring", daemon=True)
        self.failure: RewardFailedError | None = None

    def start(self) -> tuple[str, ...]:
        """Opens the reward, and raises what its opening raises.

        Returns:
            the names of its components.
        """
        self._thread.start()
        return self._started.result()

    def close(self, timeout: float) -> None:
        """Ends the thread after the batch at hand; waits for it so many seconds at most."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout)

    @property
    def queued(self) -> int:
        """Rollouts that wait."""
        return len(self._queue)

    @property
    def pending(self) -> int:
        """Rollouts accepted and not yet answered."""
        return self._undelivered

    def has_room(self, count: int) -> bool:
        """Whether so many more may wait."""
        return len(self._queue) + count <= self._max_queue

    def retry_after(self) -> int:
        """Seconds after which a refused request may succeed."""
        return max(1, min(60, math.ceil(len(self._queue) / self._rate))) if self._rate else 1

    def submit(self, items: Sequence[WorkItem]) -> None:
        """Queues them; called in the event loop."""
        self._loop = self._loop or asyncio.get_running_loop()
        self._undelivered += len(items)
        with self._wake:
            self._queue.extend(items)
            self._wake.notify()

    # -- in the scoring thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._open_reward() as (reward, decoder):
                self._started.set_result(reward.names)
                while not self._closing:
                    self._step(reward, decoder)
                self._write_rollouts()
        except BaseException as error:  # whatever ends this thread must be seen by whoever started it, or in the log
            if self._started.done():
                _log.error("the scoring thread ended", exc_info=error)
            else:
                self._started.set_exception(error)

    def _step(self, reward: Reward, decoder: Decoder) -> None:
        """Scores one batch, or writes rollouts because there is none."""
        items = self._take()
        if items:
            start = time.perf_counter()
            outcomes = self._outcomes(reward, decoder, items)
            timing = BatchTiming(len(items), time.perf_counter() - start)
            self._rate = 0.8 * self._rate + 0.2 * timing.size / max(timing.seconds, 1e-6)
            assert self._loop is not None
            try:
                self._loop.call_soon_threadsafe(self._deliver, items, outcomes, timing)
            except RuntimeError:  # the loop has ended, and with it everyone who waited
                self._closing = True
        if self._writer is not None and (not items or self._writer.due):
            self._write_rollouts()

    def _take(self) -> list[WorkItem]:
        """The next batch; empty when closing, or when rollouts are to be written."""
        with self._wake:
            while not self._queue and not self._closing:
                unwritten = self._writer is not None and self._writer.pending
                if not self._wake.wait(IDLE if unwritten else None):
                    return []
            if self._closing:
                return []
            return [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch))]

    def _outcomes(self, reward: Reward, decoder: Decoder, items: Sequence[WorkItem]) -> list[Outcome]:
        """One outcome per item, whatever happens."""
        if self.failure is not None:  # not raised again: each raising would make its trace longer
            return [self.failure] * len(items)
        outcomes: dict[int, Outcome] = {}
        rollouts: dict[int, Rollout] = {}
        try:
            for index, item in enumerate(items):
                try:
                    rollouts[index] = item.decode(decoder)
                except ItemError as error:
                    outcomes[index] = error
            breakdowns = self._score(reward, rollouts, items)
            outcomes |= breakdowns
            if self._writer is not None:
                rows = ((items[index].row, index) for index in rollouts)
                numbered = [(row, index) for row, index in rows if row is not None]
                self._writer.add([(row, reward.shown(rollouts[i]), breakdowns[i]) for row, i in numbered])
        except RewardFailedError as error:
            self.failure = error
        except PluginError as error:
            self._fail(error, error.what.removeprefix("reward component ").strip("'"), error.plugin)
        except BaseException as error:  # a plugin that exits must not leave its clients without an answer
            self._fail(error, "server", _OURS)
        if self.failure is not None:
            return [outcomes.get(index, self.failure) for index in range(len(items))]
        return [outcomes[index] for index in range(len(items))]

    def _score(
        self, reward: Reward, rollouts: Mapping[int, Rollout], items: Sequence[WorkItem]
    ) -> dict[int, RewardBreakdown]:
        explain = self._explained(reward, rollouts, items)
        # Only rollouts by row are the training's own.
        foreign = [place for place, index in enumerate(rollouts) if items[index].row is None]
        places = [place for place, index in enumerate(rollouts) if index in explain]
        scored = reward(list(rollouts.values()), places, foreign=foreign)
        breakdowns = dict(zip(rollouts, scored, strict=True))
        requests: dict[int, list[int]] = {}
        for index in rollouts:
            requests.setdefault(items[index].request, []).append(index)
        if len(requests) > 1 and any(breakdown.fallbacks for breakdown in breakdowns.values()):
            # A fallback replaces a component of all that was scored at once; it must not reach other requests.
            for members in requests.values():
                others = [place for place, index in enumerate(members) if items[index].row is None]
                own = reward([rollouts[index] for index in members], foreign=others)
                breakdowns |= dict(zip(members, own, strict=True))
        for breakdown in breakdowns.values():
            if not math.isfinite(breakdown.total):
                bad = [name for name, value in breakdown.components.items() if not math.isfinite(value)]
                named = ", ".join(bad) or "the sum"
                message = f"the reward is {breakdown.total}, from {named}"
                raise RewardFailedError(message, component=named, owner="salmon-core")
        return breakdowns

    def _explained(self, reward: Reward, rollouts: Mapping[int, Rollout], items: Sequence[WorkItem]) -> set[int]:
        """Those that ask for it, and every so many-th of those that are written down."""
        asked = {index for index in rollouts if items[index].explain}
        if self._writer is not None and reward.explain_every:
            for index, rollout in rollouts.items():
                row = items[index].row
                if row is not None and self._writer.explains(row, rollout.rollout_index, reward.explain_every):
                    asked.add(index)
        return asked

    def _write_rollouts(self) -> None:
        try:
            if self._writer is not None:
                self._writer.write()
        except Exception as error:  # a full disk, for instance; a training must not go on without its rollouts unseen
            self._fail(error, "rollouts", _OURS)

    def _fail(self, error: BaseException, component: str, owner: str) -> None:
        message = error.message if isinstance(error, SalmonError) else f"{type(error).__name__}: {error}"
        self.failure = RewardFailedError(message, component=component, owner=owner)
        _log.error("scoring failed for good: %s (%s)", message, owner, exc_info=error.__cause__ or error)

    # -- back in the event loop ------------------------------------------------------------------------------------

    def _deliver(self, items: Sequence[WorkItem], outcomes: Sequence[Outcome], timing: BatchTiming) -> None:
        self._undelivered -= len(items)
        for item, outcome in zip(items, outcomes, strict=True):
            item.deliver(outcome)
        self.on_batch(timing)
