"""The status document, and that of several workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s3sink_ingester.status import (
    STATES,
    Document,
    Figures,
    UploadFacts,
    Worker,
    as_worker,
    combine,
    document,
    unreachable,
)
from s3sink_ingester.store import StoreStatus

NO_UPLOADS = UploadFacts(
    last_success=None, failures=0, running=0, destination_ok=None, last_error=None, last_error_reason=None
)


def volume(**changes: Any) -> StoreStatus:
    values: dict[str, Any] = {
        "state": "open",
        "store_id": "0b3c3c2e-0000-4000-8000-000000000000",
        "format_version": 1,
        "capacity_bytes": 1000,
        "buffer_bytes": 100,
        "disk_bytes": 150,
        "oldest_record_age_seconds": None,
        "open_partitions": 2,
        "open_chunks": 3,
        "unsealed_backlog": 1,
        "sealed_backlog": 4,
        "sealed_backlog_bytes": 40,
        "accepted_records": 10,
        "uploaded_records": 5,
        "quarantined_records": 1,
        "buffered_records": 4,
        "journal_segments": 1,
        "drain_epoch": None,
        "drained": False,
        "damage": (),
    }
    return StoreStatus(**(values | changes))


def process(
    *,
    reason: str | None = None,
    state: str = "open",
    store: StoreStatus | None = None,
    uploads: UploadFacts = NO_UPLOADS,
) -> Document:
    return document(
        name="events-0",
        pod_uid="u-0",
        version="1.2.3",
        state=state,
        reason=reason,
        store=store or volume(),
        uploads=uploads,
    )


def silent(worker: str, state: str, reason: str) -> Worker:
    return unreachable(worker, name="events-0", pod_uid="u-0", version="1.2.3", state=state, reason=reason)


def one(worker: str, document: Mapping[str, object]) -> Worker:
    return as_worker(worker, document)


def test_every_field_of_the_document_is_there_and_camel_case() -> None:
    alone = process()
    assert set(alone) == set(Document.__annotations__)
    assert all("_" not in key for key in alone)
    assert set(silent("worker-0", "recovering", "starting")) == set(Worker.__annotations__)


def test_a_volume_that_is_not_open_has_no_figures() -> None:
    closed = document(
        name="events-0",
        pod_uid=None,
        version="1",
        state="recovering",
        reason="the buffer is being recovered",
        store=None,
        uploads=NO_UPLOADS,
    )
    assert [closed[key] for key in Figures.__annotations__] == [None] * len(Figures.__annotations__)  # type: ignore[literal-required]  # all keys of the type
    assert (closed["ready"], closed["drained"], closed["storeId"]) == (False, False, None)


def test_uploads_and_destination() -> None:
    facts = UploadFacts(
        last_success=1_800_000_000.25,
        failures=3,
        running=2,
        destination_ok=False,
        last_error="Access Denied",
        last_error_reason="access_denied",
    )
    alone = process(uploads=facts)
    assert alone["uploads"] == {"lastSuccess": "2027-01-15T08:00:00.250Z", "failures": 3, "running": 2}
    assert alone["destination"] == {
        "ok": False,
        "lastError": "Access Denied",
        "lastErrorReason": "access_denied",
    }


def test_workers_add_up() -> None:
    workers = [
        one("worker-0", process(store=volume(oldest_record_age_seconds=3.0))),
        one("worker-1", process(store=volume(oldest_record_age_seconds=70.5, accepted_records=90))),
    ]
    whole = combine(workers)
    assert set(whole) == set(Document.__annotations__)
    assert (whole["acceptedRecords"], whole["bufferBytes"], whole["capacityBytes"]) == (100, 200, 2000)
    assert whole["diskBytes"] == 300
    assert whole["oldestRecordAgeSeconds"] == 70.5
    assert (whole["name"], whole["podUid"]) == ("events-0", "u-0")
    assert (whole["state"], whole["ready"], whole["reason"]) == ("open", True, "")
    assert whole["workers"] == workers


def test_one_worker_that_is_not_ready_is_named_and_unknown_figures_make_no_sum() -> None:
    down = silent("worker-1", "recovering", "starting")
    whole = combine([one("worker-0", process()), down])
    assert (whole["ready"], whole["state"], whole["reason"]) == (False, "recovering", "worker-1: starting")
    assert whole["acceptedRecords"] is None
    assert whole["drained"] is False


def test_the_state_that_needs_attention_most_is_the_states() -> None:
    for index, state in enumerate(STATES):
        calmer = STATES[index:]
        assert (
            combine([one(str(n), process(state=other)) for n, other in enumerate(calmer)])["state"] == state
        )


def test_drained_is_all_drained_and_epochs_must_agree() -> None:
    drained = volume(drain_epoch="e1", drained=True)
    busy = volume(drain_epoch="e1")
    other = volume(drain_epoch="e2", drained=True)
    assert combine([one("0", process(store=drained)), one("1", process(store=drained))])["drained"]
    assert not combine([one("0", process(store=drained)), one("1", process(store=busy))])["drained"]
    assert combine([one("0", process(store=drained)), one("1", process(store=busy))])["drainEpoch"] == "e1"
    assert combine([one("0", process(store=drained)), one("1", process(store=other))])["drainEpoch"] is None


def test_left_over_volumes_count_but_do_not_make_it_unready() -> None:
    left = silent("worker-1", "draining", "left over")
    workers = [one("worker-0", process(store=volume(drain_epoch="e", drained=True)))]
    whole = combine(workers, [left])
    assert (whole["ready"], whole["state"]) == (True, "open")
    assert not whole["drained"]
    assert [each["worker"] for each in whole["workers"]] == ["worker-0", "worker-1"]
    emptying = one("worker-1", process(store=volume(oldest_record_age_seconds=9.0)))
    whole = combine(workers, [emptying])
    assert (whole["bufferedRecords"], whole["capacityBytes"]) == (8, 1000)
    assert whole["oldestRecordAgeSeconds"] == 9.0


def test_damage_says_which_worker_and_a_failing_destination_wins() -> None:
    failing = UploadFacts(
        last_success=1.0,
        failures=2,
        running=0,
        destination_ok=False,
        last_error="timeout",
        last_error_reason="timeout",
    )
    fine = UploadFacts(
        last_success=2_000_000_000.0,
        failures=0,
        running=1,
        destination_ok=True,
        last_error=None,
        last_error_reason=None,
    )
    whole = combine(
        [
            one("worker-0", process(store=volume(damage=("objects/1: gone",)), uploads=fine)),
            one("worker-1", process(uploads=failing)),
        ]
    )
    assert whole["damage"] == ["worker-0: objects/1: gone"]
    assert whole["destination"]["lastError"] == "timeout"
    assert whole["uploads"] == {"lastSuccess": "2033-05-18T03:33:20.000Z", "failures": 2, "running": 1}
    untried = one("worker-1", process())
    assert combine([untried, one("worker-0", process(uploads=fine))])["destination"]["ok"] is True
