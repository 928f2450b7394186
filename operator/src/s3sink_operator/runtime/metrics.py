"""The operator's metrics, and the conditions of all sinks as `s3sink_condition`. A registry of its own, no globals."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from s3sink_operator.runtime.logs import Key
from s3sink_operator.state import Object

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
RESULTS: Final = ("done", "refused", "conflict", "unavailable", "failed")


class Metrics:
    """What `GET /metrics` says."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._sinks = _Sinks()
        self.registry.register(self._sinks)
        self._seconds = Histogram(
            "s3sink_operator_reconcile_seconds",
            "How long reconciles took, from observing to the status written.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._reconciles = Counter(
            "s3sink_operator_reconciles",
            "Reconciles by result: done, refused (by the API server; shown in the sink's status), conflict (made again"
            " soon), unavailable (the API server; made again later), failed (a bug: see the log).",
            ["result"],
            registry=self.registry,
        )
        for result in RESULTS:
            self._reconciles.labels(result)
        self._actions = Counter(
            "s3sink_operator_actions",
            "Changes made to children, volumes, ingesters and finalizers.",
            registry=self.registry,
        )
        self._depth = Gauge(
            "s3sink_operator_queue_depth", "Sinks that wait for a worker.", registry=self.registry
        )
        self._running = Gauge(
            "s3sink_operator_reconciling", "Sinks that are reconciled right now.", registry=self.registry
        )
        self._oldest = Gauge(
            "s3sink_operator_queue_oldest_seconds",
            "How long the sink that has waited, or been reconciled, longest has been at it.",
            registry=self.registry,
        )
        self.leader = Gauge(
            "s3sink_operator_leader",
            "1 while this process is the one at work; 0 while another one holds the lease.",
            registry=self.registry,
        )
        self._build = Gauge(
            "s3sink_operator_info", "1; which version runs.", ["version"], registry=self.registry
        )
        self._build.labels(version).set(1)

    def follow_queue(
        self, depth: Callable[[], float], running: Callable[[], float], oldest: Callable[[], float]
    ) -> None:
        """Where the figures of the queue come from, at each scrape."""
        self._depth.set_function(depth)
        self._running.set_function(running)
        self._oldest.set_function(oldest)

    def reconciled(self, seconds: float, result: str, actions: int = 0) -> None:
        """One reconcile came to its end. ``result``: one of ``RESULTS``."""
        self._seconds.observe(seconds)
        self._reconciles.labels(result).inc()
        self._actions.inc(actions)

    def conditions(self, key: Key, conditions: Sequence[Object]) -> None:
        """A sink's conditions as they are now; none: it is gone, and so are its series."""
        self._sinks.put(key, conditions)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


class _Sinks:
    """Made anew at each scrape, so that a reason that no longer holds leaves no series behind."""

    def __init__(self) -> None:
        self._conditions: dict[Key, tuple[tuple[str, str, str], ...]] = {}

    def put(self, key: Key, conditions: Sequence[Object]) -> None:
        if conditions:
            self._conditions[key] = tuple(
                (str(one["type"]), str(one["status"]), str(one.get("reason", ""))) for one in conditions
            )
        else:
            self._conditions.pop(key, None)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        family = GaugeMetricFamily(
            "s3sink_condition",
            "1 for each condition of each S3Sink, as its status has it.",
            labels=["namespace", "name", "type", "status", "reason"],
        )
        for key, conditions in self._conditions.items():
            for condition in conditions:
                family.add_metric([*key, *condition], 1)
        yield family
        states = GaugeMetricFamily("s3sink_operator_sinks", "S3Sinks by state.", labels=["state"])
        tally = Tally(state_of(conditions) for conditions in self._conditions.values())
        for state in STATES:
            states.add_metric([state], tally[state])
        yield states


STATES: Final = ("ready", "stalled", "paused", "reconciling", "unready")


def state_of(conditions: Sequence[tuple[str, str, str]]) -> str:
    """One word for a sink: the one that needs attention most."""
    true = {type_ for type_, status, _ in conditions if status == "True"}
    if "Stalled" in true:
        return "stalled"
    if "ReconciliationPaused" in true:
        return "paused"
    if "Ready" in true:
        return "ready"
    return "reconciling" if "Reconciling" in true else "unready"
