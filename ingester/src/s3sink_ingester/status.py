"""What `GET /status` says: the document that the operator polls, and how those of several workers become one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypedDict, cast

from s3sink_ingester.store import StoreStatus

STATES: Final = ("failed", "recovering", "stopping", "draining", "full", "backlog", "open")
"""What a process may be at, the one that needs attention most first."""


class Uploads(TypedDict):
    """What was sent. Counts are since the process started."""

    lastSuccess: str | None
    """RFC 3339, UTC; None before there was one."""
    failures: int
    """Attempts that failed; each is made again."""
    running: int
    """Requests that are out now."""


class Destination(TypedDict):
    """Whether objects get through."""

    ok: bool | None
    """Whether the latest attempt got through; None before there was one."""
    lastError: str | None
    """The store's own words at the latest failure; kept after a success."""
    lastErrorReason: str | None
    """A short label, as in the metrics: `access_denied`, `timeout`, ..."""


class Figures(TypedDict):
    """Figures of the volume. Each is null as long as the volume isn't open (`recovering`, `failed`)."""

    capacityBytes: int | None
    bufferBytes: int | None
    """Of records that aren't in the bucket yet: uncompressed until they are sealed."""
    diskBytes: int | None
    """What the journal, chunk files and sealed objects take up: records are refused when it nears `capacityBytes`."""
    oldestRecordAgeSeconds: float | None
    """Of the oldest record that isn't uploaded; null also when there is none."""
    openPartitions: int | None
    openChunks: int | None
    """Chunks not sealed yet, closed ones included."""
    unsealedBacklog: int | None
    """Closed chunks that wait to be sealed."""
    sealedBacklog: int | None
    """Objects that wait for their upload."""
    sealedBacklogBytes: int | None
    journalSegments: int | None
    acceptedRecords: int | None
    """Since the volume was made, as the next three; accepted = uploaded + quarantined + buffered."""
    uploadedRecords: int | None
    quarantinedRecords: int | None
    bufferedRecords: int | None


class Worker(Figures):
    """One process and its volume."""

    worker: str
    """Name of its directory in the buffer; empty where there is only one."""
    name: str
    """What objects begin with: the pod's name."""
    podUid: str | None
    """`POD_UID` of the environment: whose word this is, whatever pod has an address by now. Null outside Kubernetes."""
    version: str
    state: str
    """One of `STATES`."""
    ready: bool
    reason: str
    """Why it isn't ready; empty when it is."""
    storeId: str | None
    formatVersion: int | None
    drainEpoch: str | None
    """Of the drain that was asked for; null when there is none."""
    drained: bool
    """Asked to drain, and nothing is left to seal or upload."""
    damage: list[str]
    """What recovery could not read, or an upload found corrupt, and that there are files in the volume's quarantine
    since before the start. While there is any, the volume isn't proven to be empty, though it may be `drained`."""
    uploads: Uploads
    destination: Destination


class Document(Worker):
    """The whole. With several workers the figures are sums, the age the oldest, `drained` that of all."""

    workers: list[Worker]
    """Each process, also a left-over volume that is being emptied; empty where there is only one process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFacts:
    """What an uploader knows of itself. `last_success`: epoch seconds."""

    last_success: float | None
    failures: int
    running: int
    destination_ok: bool | None
    last_error: str | None
    last_error_reason: str | None


def document(
    *,
    name: str,
    pod_uid: str | None,
    version: str,
    state: str,
    reason: str | None,
    store: StoreStatus | None,
    uploads: UploadFacts,
) -> Document:
    """The document of one process. `reason`: why it isn't ready, None when it is. `store`: None while it isn't open."""
    return {
        "worker": "",
        "name": name,
        "podUid": pod_uid,
        "version": version,
        "state": state,
        "ready": reason is None,
        "reason": reason or "",
        "storeId": None if store is None else store.store_id,
        "formatVersion": None if store is None else store.format_version,
        **_figures(store),
        "drainEpoch": None if store is None else store.drain_epoch,
        "drained": store is not None and store.drained,
        "damage": [] if store is None else list(store.damage),
        "uploads": {
            "lastSuccess": None if uploads.last_success is None else _rfc3339(uploads.last_success),
            "failures": uploads.failures,
            "running": uploads.running,
        },
        "destination": {
            "ok": uploads.destination_ok,
            "lastError": uploads.last_error,
            "lastErrorReason": uploads.last_error_reason,
        },
        "workers": [],
    }


def _figures(store: StoreStatus | None) -> Figures:
    if store is None:
        return {
            "capacityBytes": None,
            "bufferBytes": None,
            "diskBytes": None,
            "oldestRecordAgeSeconds": None,
            "openPartitions": None,
            "openChunks": None,
            "unsealedBacklog": None,
            "sealedBacklog": None,
            "sealedBacklogBytes": None,
            "journalSegments": None,
            "acceptedRecords": None,
            "uploadedRecords": None,
            "quarantinedRecords": None,
            "bufferedRecords": None,
        }
    return {
        "capacityBytes": store.capacity_bytes,
        "bufferBytes": store.buffer_bytes,
        "diskBytes": store.disk_bytes,
        "oldestRecordAgeSeconds": store.oldest_record_age_seconds,
        "openPartitions": store.open_partitions,
        "openChunks": store.open_chunks,
        "unsealedBacklog": store.unsealed_backlog,
        "sealedBacklog": store.sealed_backlog,
        "sealedBacklogBytes": store.sealed_backlog_bytes,
        "journalSegments": store.journal_segments,
        "acceptedRecords": store.accepted_records,
        "uploadedRecords": store.uploaded_records,
        "quarantinedRecords": store.quarantined_records,
        "bufferedRecords": store.buffered_records,
    }


def unreachable(
    worker: str, *, name: str, pod_uid: str | None, version: str, state: str, reason: str
) -> Worker:
    """A worker that can't be asked: starting, restarting or hanging."""
    alone = document(
        name=name,
        pod_uid=pod_uid,
        version=version,
        state=state,
        reason=reason,
        store=None,
        uploads=UploadFacts(
            last_success=None,
            failures=0,
            running=0,
            destination_ok=None,
            last_error=None,
            last_error_reason=None,
        ),
    )
    return as_worker(worker, alone)


def as_worker(worker: str, alone: Mapping[str, object]) -> Worker:
    """The document of a process, as it came over HTTP, as that of one of several."""
    kept = {key: value for key, value in alone.items() if key != "workers"}
    return cast("Worker", {**kept, "worker": worker})


_Sum = Literal[
    "capacityBytes",
    "bufferBytes",
    "diskBytes",
    "openPartitions",
    "openChunks",
    "unsealedBacklog",
    "sealedBacklog",
    "sealedBacklogBytes",
    "journalSegments",
    "acceptedRecords",
    "uploadedRecords",
    "quarantinedRecords",
    "bufferedRecords",
]


def combine(workers: Sequence[Worker], left_over: Sequence[Worker] = ()) -> Document:
    """The document of a supervisor. `workers`: at least one. `left_over`: volumes that no worker has any more: their
    records count, and it is drained only when they are; readiness doesn't depend on them."""
    everyone = [*workers, *left_over]
    first = workers[0]
    waiting = [f"{one['worker']}: {one['reason']}" for one in workers if not one["ready"]]
    epochs = {one["drainEpoch"] for one in workers}
    return {
        "worker": "",
        "name": first["name"],
        "podUid": first["podUid"],
        "version": first["version"],
        "state": min((one["state"] for one in workers), key=STATES.index),
        "ready": not waiting,
        "reason": "; ".join(waiting),
        "storeId": None,
        "formatVersion": first["formatVersion"],
        "capacityBytes": _sum(workers, "capacityBytes"),
        "bufferBytes": _sum(everyone, "bufferBytes"),
        "diskBytes": _sum(everyone, "diskBytes"),
        "oldestRecordAgeSeconds": _max(one["oldestRecordAgeSeconds"] for one in everyone),
        "openPartitions": _sum(everyone, "openPartitions"),
        "openChunks": _sum(everyone, "openChunks"),
        "unsealedBacklog": _sum(everyone, "unsealedBacklog"),
        "sealedBacklog": _sum(everyone, "sealedBacklog"),
        "sealedBacklogBytes": _sum(everyone, "sealedBacklogBytes"),
        "journalSegments": _sum(everyone, "journalSegments"),
        "acceptedRecords": _sum(everyone, "acceptedRecords"),
        "uploadedRecords": _sum(everyone, "uploadedRecords"),
        "quarantinedRecords": _sum(everyone, "quarantinedRecords"),
        "bufferedRecords": _sum(everyone, "bufferedRecords"),
        "drainEpoch": epochs.pop() if len(epochs) == 1 else None,
        "drained": all(one["drained"] for one in everyone),
        "damage": [f"{one['worker']}: {what}" for one in everyone for what in one["damage"]],
        "uploads": {
            # RFC 3339 in UTC with a fixed number of digits sorts as time does.
            "lastSuccess": max(
                filter(None, (one["uploads"]["lastSuccess"] for one in everyone)), default=None
            ),
            "failures": sum(one["uploads"]["failures"] for one in everyone),
            "running": sum(one["uploads"]["running"] for one in everyone),
        },
        "destination": _worst([one["destination"] for one in everyone]),
        "workers": everyone,
    }


def _sum(workers: Iterable[Worker], key: _Sum) -> int | None:
    """None where one isn't known: a sum without it would be taken for the whole."""
    total = 0
    for one in workers:
        value = one[key]
        if value is None:
            return None
        total += value
    return total


def _max(ages: Iterable[float | None]) -> float | None:
    return max((age for age in ages if age is not None), default=None)


def _worst(destinations: Sequence[Destination]) -> Destination:
    """Of a worker that fails, else of one that knows an error, else of any that has tried."""
    return min(
        destinations,
        key=lambda one: (one["ok"] is not False, one["lastError"] is None, one["ok"] is None),
    )


def _rfc3339(epoch_seconds: float) -> str:
    return (
        datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
