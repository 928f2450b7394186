"""The exposition of a real store's figures: conventions, values, and the page that documents them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from s3sink_ingester.http.stats import HttpStats
from s3sink_ingester.metrics import Exporter, UploadStats
from s3sink_ingester.metrics.catalog import CATALOG
from s3sink_ingester.metrics.metric import Metric as Entry
from s3sink_ingester.metrics.metric import Type
from s3sink_ingester.metrics.reference import reference
from s3sink_ingester.objects import PutOutcome, SealedObject
from s3sink_ingester.records import Kind
from s3sink_ingester.status import UploadFacts
from s3sink_ingester.store import Store

from tests.rig.volumes import Machine

METRICS = [metric for metrics in CATALOG.values() for metric in metrics]
UNITS = ("_bytes", "_seconds", "_records", "_objects", "_chunks", "_segments", "_connections", "_partitions")


@dataclass
class Observed:
    """A process of plain values."""

    store: Store | None = None
    version: str = "1.2.3"
    state: str = "open"
    ready: bool = True
    http: HttpStats = field(default_factory=HttpStats)
    bytes_in_flight: int = 0
    uploads: UploadStats = field(default_factory=UploadStats)
    upload_facts: UploadFacts = field(
        default_factory=lambda: UploadFacts(
            last_success=None,
            failures=0,
            running=0,
            destination_ok=None,
            last_error=None,
            last_error_reason=None,
        )
    )
    recoveries: int = 1
    recovery_seconds: float | None = 0.5


def scrape(process: Observed) -> dict[str, Metric]:
    text = Exporter(process).render().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
    found = [
        one.value
        for family in families.values()
        for one in family.samples
        if one.name == sample and labels.items() <= one.labels.items()
    ]
    assert len(found) == 1, f"{sample}{labels}: {found}"
    return float(found[0])


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_and_help_follow_the_conventions(metric: Entry) -> None:
    assert re.fullmatch(r"s3sink(_[a-z0-9]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.type is Type.COUNTER)
    assert metric.help.endswith(".")
    assert len(metric.help) > 15
    if metric.type is Type.HISTOGRAM:
        assert metric.name.endswith(UNITS)
    # Whatever clients choose (keys, paths, names) has no bound.
    assert metric.label in {"", "code", "reason", "phase", "kind", "outcome", "state", "version", "secret"}


def test_names_are_unique() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


async def test_a_process_without_a_volume_says_what_it_knows() -> None:
    families = scrape(Observed(state="recovering", ready=False, recovery_seconds=None))
    assert value(families, "s3sink_state", state="recovering") == 1
    assert value(families, "s3sink_state", state="open") == 0
    assert value(families, "s3sink_ready") == 0
    assert value(families, "s3sink_http_requests_total", code="200") == 0
    assert families["s3sink_buffer_bytes"].samples == []
    assert families["s3sink_destination_up"].samples == []
    assert value(families, "process_resident_memory_bytes") > 0


async def test_a_stores_figures() -> None:
    machine = Machine(seed=1)
    store = await machine.start()
    request = machine.send(partitions=3, records=20)
    await machine.settle()
    assert request.outcome is True
    process = Observed(store)
    families = scrape(process)
    assert value(families, "s3sink_accepted_records_total", kind="data") == 20
    assert value(families, "s3sink_accepted_records_total", kind="overflow") == 0
    assert value(families, "s3sink_buffer_records") == store.status().buffered_records
    assert value(families, "s3sink_journal_sync_seconds_count") == store.counts.syncs.count > 0
    buckets = families["s3sink_journal_sync_seconds"].samples
    counts = [one.value for one in buckets if one.name.endswith("_bucket")]
    assert counts == sorted(counts)
    assert counts[-1] == store.counts.syncs.count
    await machine.drain()
    families = scrape(process)
    assert value(families, "s3sink_buffer_records") == 0
    assert value(families, "s3sink_seals_total", reason="drain") >= 1
    assert value(families, "s3sink_oldest_record_age_seconds") == 0
    await machine.stop()


async def test_keys_are_no_labels() -> None:
    machine = Machine(seed=2)
    process = Observed(await machine.start())
    before = sum(len(family.samples) for family in scrape(process).values())
    requests = [machine.send(partitions=500, records=50) for _ in range(20)]
    for _ in range(500):
        await machine.settle()
        if all(request.outcome for request in requests):
            break
    after = scrape(process)
    assert value(after, "s3sink_accepted_records_total", kind="data") == 1000
    seals = len(after["s3sink_seals"].samples)
    assert sum(len(family.samples) for family in after.values()) - seals == before
    await machine.stop()


async def test_requests_and_uploads() -> None:
    process = Observed()
    process.http.accepted = 7
    process.http.refused[503] = 2
    process.http.overloaded["full"] = 2
    process.uploads.uploaded(sealed(size=100), PutOutcome.CREATED, 0.02)
    process.uploads.uploaded(sealed(size=50), PutOutcome.ALREADY_THERE, 500.0)
    process.uploads.failed(None, "timeout", "no answer")
    families = scrape(process)
    assert value(families, "s3sink_http_requests_total", code="200") == 7
    assert value(families, "s3sink_http_requests_total", code="503") == 2
    assert value(families, "s3sink_http_overloaded_total", reason="full") == 2
    assert value(families, "s3sink_uploads_total", outcome="already_there") == 1
    assert value(families, "s3sink_uploaded_bytes_total") == 150
    assert value(families, "s3sink_uploaded_records_total") == 6
    assert value(families, "s3sink_upload_seconds_bucket", le="0.025") == 1
    assert value(families, "s3sink_upload_seconds_bucket", le="+Inf") == 2
    assert value(families, "s3sink_upload_seconds_sum") == pytest.approx(500.02)
    assert value(families, "s3sink_upload_failures_total", reason="timeout") == 1


async def test_what_is_exposed_is_what_the_catalog_says() -> None:
    machine = Machine(seed=3)
    families = scrape(Observed(await machine.start()))
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert family.type == metric.type.value
        assert family.documentation == metric.help
    await machine.stop()


def test_the_page_is_up_to_date() -> None:
    page = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert page.read_text() == reference(), "run: python -m s3sink_ingester.metrics > docs/metrics.md"


def sealed(size: int) -> SealedObject:
    return SealedObject(
        chunk_id=1,
        key="a/b.gz",
        path="objects/1.obj",
        size=size,
        sha256=bytes(32),
        records=3,
        raw_bytes=size * 3,
        kind=Kind.DATA,
        sealed_at=1.0,
        oldest_at=0.5,
    )
