"""What ingesters say of themselves is what the operator reads."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from s3sink_ingester import status
from s3sink_ingester.store import StoreStatus
from s3sink_ingester.volume import tell_aside
from s3sink_operator import names
from s3sink_operator.ingesters import report_of
from s3sink_operator.planner.fleet import fleet_of
from s3sink_operator.planner.scaling import scale
from s3sink_operator.state import Report

from tests.rig.observations import claim, observed, pod

NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
FACTS = status.UploadFacts(
    last_success=1.5,
    failures=3,
    running=0,
    destination_ok=False,
    last_error="AccessDenied: no",
    last_error_reason="access_denied",
)


def said(
    state: str, reason: str | None = None, store: StoreStatus | None = None, *, ordinal: int = 0
) -> status.Document:
    """By the ingester with that ordinal."""
    return status.document(
        name=f"events-s3sink-{ordinal}",
        pod_uid=f"uid-of-pod-{ordinal}",
        version="1",
        state=state,
        reason=reason,
        store=store,
        uploads=FACTS,
    )


def heard(document: status.Document, *, ordinal: int = 0) -> Report:
    """As the operator reads it."""
    return report_of(json.loads(json.dumps(document)), f"events-s3sink-{ordinal}", f"uid-of-pod-{ordinal}")


def test_one_process() -> None:
    report = heard(said("recovering", "reading"))
    assert (report.state, report.ready, report.reason, report.drained) == (
        "recovering",
        False,
        "reading",
        False,
    )
    assert (report.buffer_bytes, report.capacity_bytes, report.oldest_record_age) == (None, None, None)
    assert (report.last_success, report.upload_failures) == ("1970-01-01T00:00:01.500Z", 3)
    assert (report.destination_ok, report.last_error, report.last_error_reason) == (
        False,
        "AccessDenied: no",
        "access_denied",
    )


def test_several_workers() -> None:
    one = status.as_worker("worker-0", said("open"))
    two = status.unreachable(
        "worker-1",
        name="events-s3sink-0",
        pod_uid="uid-of-pod-0",
        version="1",
        state="failed",
        reason="it hangs",
    )
    report = heard(status.combine([one, two]))
    assert (report.state, report.ready, report.reason) == ("failed", False, "worker-1: it hangs")
    assert report.destination_ok is False


def volume(**changes: Any) -> StoreStatus:
    """Of a volume of whose records all are uploaded."""
    known: dict[str, Any] = {
        **dict.fromkeys((one.name for one in fields(StoreStatus)), 0),
        "state": "draining",
        "store_id": "0b3c3c2e-0000-4000-8000-000000000000",
        "format_version": 1,
        "capacity_bytes": 1000,
        "disk_bytes": 130,
        "oldest_record_age_seconds": None,
        "drain_epoch": "7",
        "drained": True,
        "damage": (),
    }
    return StoreStatus(**known | changes)


def told(store: StoreStatus) -> Report:
    """As the operator reads it, of a pod with one process that is drained."""
    return heard(said("draining", "draining", store, ordinal=1), ordinal=1)


def test_what_is_buffered_is_not_what_its_files_take_up() -> None:
    report = told(volume(buffer_bytes=17))
    assert (report.buffer_bytes, report.disk_bytes, report.capacity_bytes) == (17, 130, 1000)


@pytest.mark.parametrize(
    ("damage", "proof"), [((), {names.DRAINED: "uid-of-pod-1/7"}), ((tell_aside(["1.obj"]),), {})]
)
def test_a_drained_volume_is_proven_empty_unless_files_are_in_its_quarantine(
    damage: tuple[str, ...], proof: dict[str, str]
) -> None:
    seen = observed(
        pods=[pod(0), pod(1, ready=False)],
        claims=[claim(0), claim(1, drain="7")],
        reports=[told(volume(damage=damage))],
    )
    scaling = scale(fleet_of(seen), 1, "DeleteAfterDrain", seen.pods, NOW)
    (verdict,) = (one for one in scaling.verdicts if one.slot.ordinal == 1)
    assert verdict.marks == {names.DRAIN: "requested/7", **proof}
    assert (verdict.blocked is not None) == bool(damage)
