"""The catalog's values as Prometheus' text, with the process's own figures (memory, CPU, descriptors)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from s3sink_ingester.metrics.catalog import CATALOG
from s3sink_ingester.metrics.metric import Distribution, Metric, Observed, Reading, Type


class Exporter:
    """Renders the figures of one process."""

    def __init__(self, process: Observed) -> None:
        # A registry of our own: the library's default one is a global, which two apps in one test would share.
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(_CatalogCollector(process))

    def render(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)


class _CatalogCollector(Collector):
    def __init__(self, process: Observed) -> None:
        self._process = process

    def describe(self) -> list[Family]:
        """Nothing: otherwise the registry would collect once to find out, before there is anything."""
        return []

    def collect(self) -> Iterator[Family]:
        store = self._process.store
        reading = Reading(self._process, store, None if store is None else store.status())
        for metrics in CATALOG.values():
            for metric in metrics:
                yield _family(metric, reading)


def _family(metric: Metric, reading: Reading) -> Family:
    labels = [metric.label] if metric.label else []
    family: Family
    match metric.type:
        case Type.HISTOGRAM:
            family = HistogramMetricFamily(metric.name, metric.help, labels=labels)
        case Type.COUNTER:
            family = CounterMetricFamily(metric.name, metric.help, labels=labels)
        case Type.GAUGE:
            family = GaugeMetricFamily(metric.name, metric.help, labels=labels)
    for label, value in metric.read(reading):
        given = {metric.label: label} if metric.label else {}
        if isinstance(value, Distribution):
            _add_distribution(family, given, value)
        else:
            family.add_sample(metric.name, given, value)
    return family


def _add_distribution(family: Family, labels: dict[str, str], value: Distribution) -> None:
    for bound, count in zip((*map(str, value.bounds), "+Inf"), accumulate(value.counts), strict=True):
        family.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
    family.add_sample(f"{family.name}_count", labels, sum(value.counts))
    family.add_sample(f"{family.name}_sum", labels, value.total)
