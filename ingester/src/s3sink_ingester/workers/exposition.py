"""The metrics of several processes as one page: every sample gets the label `worker`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

LABEL = "worker"


def combine(pages: Mapping[str, str], more: Iterable[Metric] = ()) -> bytes:
    """`pages`: name of a process to its page. `more`: families that have the label already."""
    families: dict[str, Metric] = {}
    for worker, page in pages.items():
        for family in text_string_to_metric_families(page):
            whole = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type, family.unit)
            )
            for sample in family.samples:
                whole.add_sample(sample.name, {**sample.labels, LABEL: worker}, sample.value)
    registry = CollectorRegistry()
    registry.register(_Families([*families.values(), *more]))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def describe(self) -> list[Metric]:
        """Nothing, so that registering doesn't collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._families
