"""Counters in Prometheus' text format. Their number depends on the reward's components, never on the traffic."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from salmon_core.records import RewardBreakdown
from salmon_core.serving.scorer import Batch

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0)


class Histogram:
    """How often values lay under bounds."""

    def __init__(self, bounds: Sequence[float]):
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        """Samples of a metric."""
        total = 0
        for bound, count in zip([*self._bounds, float("inf")], self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{"+Inf" if bound == float("inf") else f"{bound:g}"}"}} {total}'
        yield f"{name}_sum {self._sum!r}"
        yield f"{name}_count {total}"


class Metrics:
    """What the server counts.

    Args:
        components: of the reward.
        queued: rollouts that wait now.
        kept: answers in memory now.
    """

    def __init__(self, components: Sequence[str], queued: Callable[[], int], kept: Callable[[], int]):
        self._queued, self._kept = queued, kept
        self._requests: Counter[tuple[str, int]] = Counter()
        self._sums = dict.fromkeys(components, 0.0)
        self._fallbacks = dict.fromkeys(components, 0)
        self._scored = self._truncated = self._repeated = 0
        self._total = 0.0
        self._latency, self._sizes, self._scoring = Histogram(_SECONDS), Histogram(_SIZES), Histogram(_SECONDS)

    def requested(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is a path template."""
        self._requests[route, status] += 1
        if status == 200 and route not in ("/health", "/metrics", "/openapi.json"):
            self._latency.add(seconds)

    def repeated(self) -> None:
        """A rollout was answered from memory."""
        self._repeated += 1

    def scored(self, breakdown: RewardBreakdown) -> None:
        """A rollout was scored."""
        self._scored += 1
        self._truncated += breakdown.truncated > 0
        self._total += breakdown.total
        for name, value in breakdown.components.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        for name in breakdown.fallbacks:
            self._fallbacks[name] = self._fallbacks.get(name, 0) + 1

    def batch(self, batch: Batch) -> None:
        """A batch was scored."""
        self._sizes.add(batch.size)
        self._scoring.add(batch.seconds)

    def text(self) -> str:
        """All of them."""
        requests = [
            (f'{{route="{route}",status="{status}"}}', count) for (route, status), count in self._requests.items()
        ]
        groups: list[tuple[str, str, str, Iterable[tuple[str, float]]]] = [
            ("requests_total", "counter", "requests answered", requests),
            ("rollouts_scored_total", "counter", "rollouts scored", [("", self._scored)]),
            ("rollouts_repeated_total", "counter", "rollouts answered from memory", [("", self._repeated)]),
            ("rollouts_truncated_total", "counter", "rollouts cut for the reward model", [("", self._truncated)]),
            ("rollouts_queued", "gauge", "rollouts waiting", [("", self._queued())]),
            ("answers_kept", "gauge", "answers in memory, for retries", [("", self._kept())]),
            ("reward_sum", "gauge", "sum of all rewards; with rollouts_scored_total, the mean", [("", self._total)]),
            ("component_sum", "gauge", "the same by component, weighted", _labelled(self._sums)),
            ("fallbacks_total", "counter", "failures replaced by the fallback", _labelled(self._fallbacks)),
        ]
        lines = []
        for name, kind, about, samples in groups:
            lines += [f"# HELP salmon_{name} {about}", f"# TYPE salmon_{name} {kind}"]
            lines += [f"salmon_{name}{labels} {value!r}" for labels, value in samples]
        for name, about, histogram in (
            ("request_seconds", "scoring requests, from headers to answer", self._latency),
            ("batch_seconds", "scoring of a batch", self._scoring),
            ("batch_rollouts", "rollouts in a batch", self._sizes),
        ):
            lines += [f"# HELP salmon_{name} {about}", f"# TYPE salmon_{name} histogram"]
            lines += histogram.lines(f"salmon_{name}")
        return "\n".join(lines) + "\n"


def _labelled(values: dict[str, float] | dict[str, int]) -> list[tuple[str, float]]:
    escape = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
    return [(f'{{component="{name.translate(escape)}"}}', value) for name, value in values.items()]
