"""Every metric: its name, what it means, and where its value comes from."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from s3sink_ingester.journal.log import SYNC_BUCKETS_SECONDS
from s3sink_ingester.metrics.metric import (
    Distribution,
    Metric,
    Observed,
    Reading,
    Sample,
    Type,
    each,
    of_status,
    of_store,
    one,
)
from s3sink_ingester.metrics.uploads import UPLOAD_BUCKETS_SECONDS
from s3sink_ingester.records import Kind
from s3sink_ingester.status import STATES
from s3sink_ingester.store import Store


def _requests(process: Observed) -> Mapping[str, float]:
    return {"200": process.http.accepted, **{str(code): n for code, n in process.http.refused.items()}}


def _reloads(process: Observed) -> Mapping[str, float]:
    return {secret: counts.taken for secret, counts in process.http.access.reloads.items()}


def _reload_failures(process: Observed) -> Mapping[str, float]:
    return {secret: counts.failures for secret, counts in process.http.access.reloads.items()}


def _accepted_by_kind(reading: Reading) -> Iterator[Sample]:
    if reading.store is not None:
        for kind in Kind:
            yield kind.name.lower(), reading.store.counts.accepted_by_kind[kind]


def _seals(reading: Reading) -> Iterator[Sample]:
    if reading.store is not None:
        yield from reading.store.counts.seals.by_reason.items()


def _syncs(store: Store) -> Distribution:
    stats = store.counts.syncs
    return Distribution(SYNC_BUCKETS_SECONDS, stats.buckets, stats.seconds)


def _uploads(reading: Reading) -> Iterator[Sample]:
    stats = reading.process.uploads
    yield "", Distribution(UPLOAD_BUCKETS_SECONDS, stats.buckets, stats.seconds)


def _states(process: Observed) -> Mapping[str, float]:
    return {state: float(state == process.state) for state in STATES}


def _build(process: Observed) -> Mapping[str, float]:
    return {f"{process.version} (Python {platform.python_version()})": 1.0}


C, G, H = Type.COUNTER, Type.GAUGE, Type.HISTOGRAM

CATALOG: Final[Mapping[str, Sequence[Metric]]] = {
    "Requests": (
        Metric(
            "s3sink_http_requests_total",
            C,
            "Requests answered, by status code. 200 means that every record of the request is on stable storage.",
            each(_requests),
            "code",
        ),
        Metric(
            "s3sink_http_overloaded_total",
            C,
            "Requests answered 503, by the reason why no records were taken.",
            each(lambda p: p.http.overloaded),
            "reason",
        ),
        Metric(
            "s3sink_http_received_bytes_total",
            C,
            "Bytes read from clients, heads and bodies as sent.",
            one(lambda p: p.http.bytes_received),
        ),
        Metric(
            "s3sink_http_in_flight_bytes",
            G,
            "Bytes of requests that are in memory and not durable yet.",
            one(lambda p: p.bytes_in_flight),
        ),
        Metric(
            "s3sink_http_connections", G, "Open connections of clients.", one(lambda p: p.http.connections)
        ),
        Metric(
            "s3sink_http_connections_accepted_total",
            C,
            "Connections of clients that were accepted.",
            one(lambda p: p.http.connections_total),
        ),
        Metric(
            "s3sink_http_connections_refused_total",
            C,
            "Connections over the limit of source.maxConnections.",
            one(lambda p: p.http.connections_refused),
        ),
        Metric(
            "s3sink_http_connections_aborted_total",
            C,
            "Connections that clients gave up while replies were owed.",
            one(lambda p: p.http.aborted),
        ),
        Metric(
            "s3sink_http_timeouts_total",
            C,
            "Connections ended because nothing came in time: head and body (408), write (the client doesn't read "
            "its replies), idle (normal).",
            each(lambda p: p.http.timeouts),
            "phase",
        ),
    ),
    "Access": (
        Metric(
            "s3sink_http_unauthorized_total",
            C,
            "Requests answered 401, by what was wrong with their API key: missing, wrong.",
            each(lambda p: p.http.access.unauthorized),
            "reason",
        ),
        Metric(
            "s3sink_api_keys",
            G,
            "API keys that are accepted now; missing where source.auth.path isn't set and none is needed.",
            one(lambda p: p.http.access.keys),
        ),
        Metric(
            "s3sink_http_tls_handshakes_total",
            C,
            "TLS handshakes begun. Those that are no accepted connection have failed, or are under way.",
            one(lambda p: p.http.access.handshakes),
        ),
        Metric(
            "s3sink_certificate_expiry_timestamp_seconds",
            G,
            "When the certificate that is in use expires, or one of its chain before it; missing without TLS.",
            one(lambda p: p.http.access.certificate_expires),
        ),
        Metric(
            "s3sink_secret_reloads_total",
            C,
            "Times that changed API keys (auth) or a changed certificate (tls) came into use.",
            each(_reloads),
            "secret",
        ),
        Metric(
            "s3sink_secret_reload_failures_total",
            C,
            "Attempts, one a second, to take changed API keys (auth) or a changed certificate (tls) that failed; what "
            "was in use stays in use.",
            each(_reload_failures),
            "secret",
        ),
    ),
    "Records": (
        Metric(
            "s3sink_accepted_records_total",
            C,
            "Records that were acknowledged, by kind: data, invalid (no key; onInvalid Quarantine) and overflow "
            "(beyond maxPartitions).",
            _accepted_by_kind,
            "kind",
        ),
        Metric(
            "s3sink_accepted_bytes_total",
            C,
            "Bytes of the records that were acknowledged, as stored and before compression.",
            of_store(lambda s: s.counts.accepted_bytes),
        ),
        Metric(
            "s3sink_quarantined_records",
            G,
            "Records that were put aside on the volume because their bytes were damaged, since the volume was made.",
            of_status(lambda s: s.quarantined_records),
        ),
        Metric(
            "s3sink_damage_findings",
            G,
            "Things found damaged since the start, and 1 if the quarantine held files before; /status says what.",
            of_status(lambda s: len(s.damage)),
        ),
    ),
    "Journal": (
        Metric(
            "s3sink_journal_groups_total",
            C,
            "Group commits: requests that came in during one sync share the next.",
            of_store(lambda s: s.counts.groups),
        ),
        Metric(
            "s3sink_journal_sync_seconds", H, "Time that one fdatasync of the journal took.", of_store(_syncs)
        ),
        Metric(
            "s3sink_journal_segments",
            G,
            "Segments of the journal on the disk; one or two unless the checkpoint can't keep up.",
            of_status(lambda s: s.journal_segments),
        ),
        Metric(
            "s3sink_checkpoints_total",
            C,
            "Checkpoints, after each of which older segments are deleted.",
            of_store(lambda s: s.counts.flushes.checkpoints),
        ),
        Metric(
            "s3sink_checkpoint_seconds_total",
            C,
            "Time spent in checkpoints.",
            of_store(lambda s: s.counts.flushes.checkpoint_seconds),
        ),
        Metric(
            "s3sink_chunk_flushes_total",
            C,
            "Writes of waiting records to a chunk's file.",
            of_store(lambda s: s.counts.flushes.flushes),
        ),
        Metric(
            "s3sink_chunk_flushed_bytes_total",
            C,
            "Bytes written to chunk files.",
            of_store(lambda s: s.counts.flushes.flushed_bytes),
        ),
    ),
    "Buffer": (
        Metric(
            "s3sink_buffer_bytes",
            G,
            "Bytes that the journal, chunk files and sealed objects take up.",
            of_status(lambda s: s.disk_bytes),
        ),
        Metric(
            "s3sink_buffer_capacity_bytes",
            G,
            "Bytes that the buffer may take up. Records are refused from buffer.highWatermarkPercent of it on.",
            of_status(lambda s: s.capacity_bytes),
        ),
        Metric(
            "s3sink_buffer_records",
            G,
            "Acknowledged records that are not uploaded yet.",
            of_status(lambda s: s.buffered_records),
        ),
        Metric(
            "s3sink_oldest_record_age_seconds",
            G,
            "Age of the oldest record that isn't uploaded yet, 0 when there is none: how fresh the bucket is.",
            of_status(lambda s: s.oldest_record_age_seconds or 0.0),
        ),
        Metric(
            "s3sink_open_partitions",
            G,
            "Keys that have an open chunk.",
            of_status(lambda s: s.open_partitions),
        ),
        Metric(
            "s3sink_open_chunks",
            G,
            "Chunks that aren't sealed yet, closed ones included.",
            of_status(lambda s: s.open_chunks),
        ),
        Metric(
            "s3sink_unsealed_backlog_chunks",
            G,
            "Closed chunks that wait to be sealed.",
            of_status(lambda s: s.unsealed_backlog),
        ),
        Metric(
            "s3sink_sealed_backlog_objects",
            G,
            "Sealed objects that wait for their upload.",
            of_status(lambda s: s.sealed_backlog),
        ),
        Metric(
            "s3sink_sealed_backlog_bytes",
            G,
            "Bytes of the sealed objects that wait for their upload.",
            of_status(lambda s: s.sealed_backlog_bytes),
        ),
    ),
    "Seals": (
        Metric(
            "s3sink_seals_total",
            C,
            "Chunks that became an object, by why they were closed: bytes, age, window, drain, pressure.",
            _seals,
            "reason",
        ),
        Metric(
            "s3sink_seal_failures_total",
            C,
            "Attempts to seal a chunk that failed; each is made again.",
            of_store(lambda s: s.counts.seals.failures),
        ),
        Metric(
            "s3sink_seal_raw_bytes_total",
            C,
            "Bytes of sealed chunks before compression.",
            of_store(lambda s: s.counts.seals.raw_bytes),
        ),
        Metric(
            "s3sink_seal_stored_bytes_total",
            C,
            "Bytes of the objects made of them.",
            of_store(lambda s: s.counts.seals.stored_bytes),
        ),
        Metric(
            "s3sink_seal_seconds_total", C, "Time spent sealing.", of_store(lambda s: s.counts.seals.seconds)
        ),
    ),
    "Uploads": (
        Metric(
            "s3sink_uploads_total",
            C,
            "Objects that are in the store, by outcome: created, or already_there (an earlier attempt, whose answer "
            "was lost, had stored it).",
            each(lambda p: p.uploads.objects),
            "outcome",
        ),
        Metric(
            "s3sink_uploaded_bytes_total", C, "Bytes of uploaded objects.", one(lambda p: p.uploads.bytes)
        ),
        Metric(
            "s3sink_uploaded_records_total",
            C,
            "Records in uploaded objects.",
            one(lambda p: p.uploads.records),
        ),
        Metric("s3sink_upload_seconds", H, "Time that one successful upload took.", _uploads),
        Metric(
            "s3sink_upload_failures_total",
            C,
            "Attempts to upload that failed, by reason; each is made again.",
            each(lambda p: p.uploads.failures),
            "reason",
        ),
        Metric(
            "s3sink_uploads_running", G, "Uploads that are out now.", one(lambda p: p.upload_facts.running)
        ),
        Metric(
            "s3sink_upload_last_success_timestamp_seconds",
            G,
            "When the last object was uploaded; missing before there was one.",
            one(lambda p: p.upload_facts.last_success),
        ),
        Metric(
            "s3sink_destination_up",
            G,
            "Whether the latest attempt to reach the destination got through; missing before there was one.",
            one(lambda p: p.upload_facts.destination_ok),
        ),
    ),
    "Process": (
        Metric(
            "s3sink_state", G, "1 for the state the process is in, 0 for the others.", each(_states), "state"
        ),
        Metric("s3sink_ready", G, "Whether records are taken, as /readyz says.", one(lambda p: p.ready)),
        Metric(
            "s3sink_recoveries_total",
            C,
            "How often the volume was opened: the start, and each time that its journal failed.",
            one(lambda p: p.recoveries),
        ),
        Metric(
            "s3sink_recovery_seconds",
            G,
            "How long the last opening of the volume took.",
            one(lambda p: p.recovery_seconds),
        ),
        Metric("s3sink_build_info", G, "The version that is running; always 1.", each(_build), "version"),
    ),
}
