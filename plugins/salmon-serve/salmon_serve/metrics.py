"""What the server counts, for Prometheus. The number of series depends on the reward's components, never on traffic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from salmon_core.records import RewardBreakdown
from salmon_serve.connections import Connections, State
from salmon_serve.scorer import BatchTiming

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0)
#: routes that score, whose latency is measured
SCORING = frozenset({"/v1/rewards", "/get_reward/{token}"})


class Metrics:
    """Metrics in a registry of their own.

    Args:
        components: of the reward.
        queued: rollouts that wait now.
        kept: answers kept for retries now.
        connections: of the server.
    """

    def __init__(
        self, components: Sequence[str], queued: Callable[[], int], kept: Callable[[], int], connections: Connections
    ):
        self._registry = CollectorRegistry(auto_describe=True)
        own: dict[str, Any] = {"namespace": "salmon", "registry": self._registry}
        self._requests = Counter("requests", "requests answered", ["route", "status"], **own)
        self._scored = Counter("rollouts_scored", "rollouts scored", **own)
        self._repeated = Counter("rollouts_repeated", "rollouts answered from memory", **own)
        self._truncated = Counter("rollouts_truncated", "rollouts cut for the reward model", **own)
        Gauge("rollouts_queued", "rollouts waiting", **own).set_function(queued)
        Gauge("answers_kept", "answers in memory, for retries", **own).set_function(kept)
        # Gauges, because rewards may be negative, which a counter cannot add.
        self._total = Gauge("reward_sum", "sum of all rewards; by rollouts_scored_total, their mean", **own)
        sums = Gauge("component_sum", "the same by component, weighted", ["component"], **own)
        fallbacks = Counter("fallbacks", "failures replaced by the fallback", ["component"], **own)
        self._sums = {name: sums.labels(name) for name in components}
        self._fallbacks = {name: fallbacks.labels(name) for name in components}
        self._latency = Histogram("request_seconds", "scoring requests, head to answer", buckets=_SECONDS, **own)
        self._scoring = Histogram("batch_seconds", "scoring of a batch", buckets=_SECONDS, **own)
        open_now = Gauge("connections", "connections by what they wait for", ["state"], **own)
        cut = Counter("connections_cut", "connections closed as too slow or too many", ["state"], **own)
        for state in State:
            open_now.labels(state.value).set_function(partial(connections.count, state))
        self._cut = {state: cut.labels(state.value) for state in State}
        connections.on_cut = lambda state: self._cut[state].inc()
        self._sizes = Histogram("batch_rollouts", "rollouts in a batch", buckets=_SIZES, **own)

    def requested(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is a path template, or `other`."""
        self._requests.labels(route, status).inc()
        if status == 200 and route in SCORING:
            self._latency.observe(seconds)

    def repeated(self, count: int) -> None:
        """So many rollouts were answered from memory."""
        if count:
            self._repeated.inc(count)

    def scored(self, breakdown: RewardBreakdown) -> None:
        """A rollout was scored."""
        self._scored.inc()
        if breakdown.truncated:
            self._truncated.inc()
        self._total.inc(breakdown.total)
        for name, value in breakdown.components.items():
            self._sums[name].inc(value)
        for name in breakdown.fallbacks:
            self._fallbacks[name].inc()

    def batch(self, timing: BatchTiming) -> None:
        """A batch was scored."""
        self._sizes.observe(timing.size)
        self._scoring.observe(timing.seconds)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All of them and their content type, in the best format that an Accept header takes."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
