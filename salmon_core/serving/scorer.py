"""The one thread that owns the reward. It takes whatever is queued, without waiting for more."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from salmon_core.errors import PluginError, SalmonError
from salmon_core.records import RewardBreakdown, Rollout
from salmon_core.serving.intake import Intake, Refused

_log = logging.getLogger("salmon")


class Failed(SalmonError):
    """A component of the reward failed, and the configuration says that this stops the run."""

    def __init__(self, message: str, *, component: str, owner: str):
        super().__init__(message, hint="the server answers this from now on; see its log, then start it anew")
        self.component, self.owner = component, owner


Outcome = RewardBreakdown | SalmonError


@dataclass(frozen=True, slots=True)
class Ticket:
    """One rollout to be scored.

    Attributes:
        request: number of the request it belongs to.
        make: the rollout; called in the scoring thread.
        deliver: takes the outcome; called in the event loop.
    """

    request: int
    make: Callable[[Intake], Rollout]
    deliver: Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Batch:
    """What was scored at once, for the metrics."""

    size: int
    seconds: float


class Scorer:
    """Queues rollouts and scores them in a thread of its own.

    The engine sorts a batch by length and pads little; here they stay in the order they came.

    Args:
        build: loads the reward; called in that thread, so that a model never meets another one.
        max_batch: rollouts scored at once.
        max_queue: rollouts waiting at most.

    Attributes:
        observe: told of every batch, in the event loop.
        failure: what every request is answered once the reward has failed for good.
    """

    def __init__(self, build: Callable[[], Intake], *, max_batch: int, max_queue: int):
        self._build, self._max_batch, self._max_queue = build, max_batch, max_queue
        self.observe: Callable[[Batch], None] = lambda _: None
        self._queue: deque[Ticket] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._undelivered = 0
        self._rate = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started: Future[Intake] = Future()
        self._thread = threading.Thread(target=self._run, name="scoring", daemon=True)
        self.failure: Failed | None = None

    def start(self) -> Intake:
        """Loads the reward, and raises what its loading raises."""
        self._thread.start()
        return self._started.result()

    def close(self, timeout: float) -> None:
        """Ends the thread after the batch at hand."""
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

    def wait_hint(self) -> int:
        """Seconds after which asking again makes sense."""
        return max(1, min(60, math.ceil(len(self._queue) / self._rate))) if self._rate else 1

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Called in the event loop."""
        self._loop = self._loop or asyncio.get_running_loop()
        self._undelivered += len(tickets)
        with self._wake:
            self._queue.extend(tickets)
            self._wake.notify()

    # -- in the scoring thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            intake = self._build()
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(intake)
        while tickets := self._take():
            start = time.perf_counter()
            outcomes = self._answer(intake, tickets)
            seconds = time.perf_counter() - start
            self._rate = 0.8 * self._rate + 0.2 * len(tickets) / max(seconds, 1e-6)
            assert self._loop is not None
            try:
                self._loop.call_soon_threadsafe(self._deliver, tickets, outcomes, Batch(len(tickets), seconds))
            except RuntimeError:  # the loop has ended, and with it everyone who waited
                return

    def _take(self) -> list[Ticket]:
        with self._wake:
            while not self._queue and not self._closing:
                self._wake.wait()
            if self._closing:
                return []
            return [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch))]

    def _answer(self, intake: Intake, tickets: Sequence[Ticket]) -> list[Outcome]:
        """One outcome per ticket, whatever happens."""
        outcomes: dict[int, Outcome] = {}
        rollouts: dict[int, Rollout] = {}
        if self.failure is not None:  # not raised: each raising would make its trace longer
            return [self.failure] * len(tickets)
        try:
            for index, ticket in enumerate(tickets):
                try:
                    rollouts[index] = ticket.make(intake)
                except Refused as error:
                    outcomes[index] = error
            outcomes |= self._score(intake, rollouts, tickets)
        except Failed as error:
            self.failure = error
        except PluginError as error:
            self._fail(error, error.what.removeprefix("reward component ").strip("'"), error.plugin)
        except BaseException as error:
            self._fail(error, "server", "salmon-core")
        return [outcomes.get(index) or self.failure or _LOST for index in range(len(tickets))]

    def _score(self, intake: Intake, rollouts: dict[int, Rollout], tickets: Sequence[Ticket]) -> dict[int, Outcome]:
        breakdowns = dict(zip(rollouts, intake.reward(list(rollouts.values())), strict=True))
        requests: dict[int, list[int]] = {}
        for index in rollouts:
            requests.setdefault(tickets[index].request, []).append(index)
        if len(requests) > 1 and any(breakdown.fallbacks for breakdown in breakdowns.values()):
            # A fallback replaces a component of all that was scored at once; it must not reach other requests.
            for members in requests.values():
                own = intake.reward([rollouts[index] for index in members])
                breakdowns |= dict(zip(members, own, strict=True))
        for breakdown in breakdowns.values():
            if not math.isfinite(breakdown.total):
                bad = [name for name, value in breakdown.components.items() if not math.isfinite(value)]
                named = ", ".join(bad) or "the sum"
                raise Failed(f"the reward is {breakdown.total}, from {named}", component=named, owner="salmon-core")
        return dict(breakdowns)

    def _fail(self, error: BaseException, component: str, owner: str) -> None:
        message = error.message if isinstance(error, SalmonError) else f"{type(error).__name__}: {error}"
        self.failure = Failed(message, component=component, owner=owner)
        _log.error("scoring failed for good: %s (%s)", message, owner, exc_info=error.__cause__ or error)

    # -- back in the event loop ------------------------------------------------------------------------------------

    def _deliver(self, tickets: Sequence[Ticket], outcomes: Sequence[Outcome], batch: Batch) -> None:
        self._undelivered -= len(tickets)
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            ticket.deliver(outcome)
        self.observe(batch)


_LOST = Failed("the server lost the answer", component="server", owner="salmon-core")
