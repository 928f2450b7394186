"""What single fields can't tell: settings that contradict each other. Pure.

A check is skipped while a setting that it looks at has a problem of its own: one mistake, one message.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from s3sink_ingester.config import routing, shapes
from s3sink_ingester.config.reader import Found
from s3sink_ingester.config.settings import Compression, EncryptionType, Settings
from s3sink_ingester.config.units import format_quantity
from s3sink_ingester.config.words import one_of

KEY_SOURCES: Final = ("regex", "jsonPointers", "header", "urlPath")
BUCKET_ONLY: Final = ("region", "endpoint", "addressingStyle", "encryption", "storageClass")
LEVELS: Final = {Compression.GZIP: (0, 3), Compression.ZSTD: (1, 19)}
MI: Final = 2**20
SEGMENTS: Final = (
    3  # the one written, the one before it while a checkpoint runs, and the next one, preallocated
)
OBJECTS: Final = 2  # one being finished: its raw file beside its compressed one

Check = Callable[[Settings], str | None]


def alternatives(found: Found) -> None:
    """Adds a problem for each choice that the document leaves open or makes twice."""
    _one_destination(found)
    _one_key_source(found)


def contradictions(settings: Settings, found: Found) -> None:
    """Adds a problem for each contradiction in ``settings``, which were built from ``found``."""
    for paths, judge in CHECKS:
        if not any(found.bad(path) for path in paths):
            message = judge(settings)
            if message:
                found.refuse(paths[0], message)
    for path, message in list(_prefixes(settings, found)):
        found.refuse(path, message)


def _one_destination(found: Found) -> None:
    bucket, path = found.given("destination.bucket"), found.given("destination.path")
    if bucket and path:
        found.refuse("destination", "both bucket and path are set; keep one")
    elif not bucket and not path and not found.troubled("destination"):
        found.refuse("destination", "needs a bucket, or a path to write objects to a directory")
    elif path and not bucket:
        for name in BUCKET_ONLY:
            if found.given(f"destination.{name}"):
                found.refuse(
                    f"destination.{name}", "only a bucket has it; take it out, or set bucket and not path"
                )


def _one_key_source(found: Found) -> None:
    given = [source for source in KEY_SOURCES if _finds_key(found, source)]
    if len(given) > 1:
        found.refuse("partitioning", f"{' and '.join(given)} are set; exactly one finds a record's key")
    elif not given and not found.troubled("partitioning"):
        found.refuse("partitioning", f"needs {one_of(KEY_SOURCES)} to find a record's key")


def _finds_key(found: Found, source: str) -> bool:
    path = f"partitioning.{source}"
    return bool(found.values.get(path)) if source == "urlPath" else found.given(path)


def _region(settings: Settings) -> str | None:
    destination = settings.destination
    if destination.bucket is None or not shapes.is_aws(destination.endpoint):
        return None
    if destination.region is None:
        return "needed for a bucket on AWS; write one such as 'us-east-1', or set AWS_REGION"
    return _advice(shapes.aws_region, destination.region)


def _storage_class(settings: Settings) -> str | None:
    destination = settings.destination
    if destination.storage_class is None or not shapes.is_aws(destination.endpoint):
        return None
    return _advice(shapes.aws_storage_class, destination.storage_class)


def _addressing(settings: Settings) -> str | None:
    destination = settings.destination
    dotted = "." in (destination.bucket or "") and destination.addressing_style == "Virtual"
    if dotted and shapes.is_aws(destination.endpoint):
        return (
            "no certificate covers a bucket whose name holds a '.' in the host name; write 'Auto' or 'Path'"
        )
    return None


def _bucket_in_endpoint(settings: Settings) -> str | None:
    bucket, endpoint = settings.destination.bucket, settings.destination.endpoint
    if not bucket or not endpoint:
        return None
    bare = shapes.without_bucket(endpoint, bucket)
    return None if bare == endpoint.rstrip("/") else f"holds the bucket's name; write '{bare}'"


def _kms(settings: Settings) -> str | None:
    encryption = settings.destination.encryption
    if encryption.kms_key_id is not None and encryption.type is not EncryptionType.KMS:
        return "needs type 'aws:kms' beside it"
    return None


def _record_in_request(settings: Settings) -> str | None:
    source = settings.source
    if source.max_record_bytes > source.max_request_bytes:
        limit = format_quantity(source.max_request_bytes)
        return f"a record can't be larger than a request; write at most maxRequestBytes, '{limit}'"
    return None


def _request_in_segment(settings: Settings) -> str | None:
    least = 2 * settings.source.max_request_bytes
    if settings.buffer.segment_bytes < least:
        return f"a segment must hold two requests of source.maxRequestBytes; write at least '{format_quantity(least)}'"
    return None


def buffer_size(settings: Settings) -> str | None:
    """What is wrong with it beside the other settings, and what to write instead; None if it fits."""
    buffer, batch = settings.buffer, settings.batch
    needed = settings.workers * (SEGMENTS * buffer.segment_bytes + OBJECTS * batch.max_bytes)
    least = -(-needed * 100 // buffer.high_watermark_percent)
    if buffer.size >= least:
        return None
    holds = f"{SEGMENTS} segments of {format_quantity(buffer.segment_bytes)}"
    holds += f" and {OBJECTS} objects of {format_quantity(batch.max_bytes)}"
    holds += " for each worker" if settings.workers > 1 else ""
    return (
        f"'{format_quantity(buffer.size)}' is too small: {buffer.high_watermark_percent}% of it must hold {holds};"
        f" write at least '{-(-least // MI)}Mi'"
    )


def _level(settings: Settings) -> str | None:
    compression, level = settings.object.compression, settings.object.level
    low, high = LEVELS.get(compression, (level, level))
    if not low <= level <= high:
        return f"{level} is out of range; {compression} has levels {low} to {high}"
    return None


def _ports(settings: Settings) -> str | None:
    source, admin = settings.source, settings.admin
    if (
        source.port
        and source.port == admin.port
        and (source.host == admin.host or _any_address(source.host, admin.host))
    ):
        return f"{admin.port} is the data port's (source.port) too; write another one"
    return None


def _shared_port(settings: Settings) -> str | None:
    if settings.workers > 1 and settings.source.port == 0:
        return "several workers share one port, which 0 (any free one) can't be; write a port, or workers: 1"
    return None


def _directories(settings: Settings) -> str | None:
    if settings.destination.path is None:
        return None
    objects, buffer = (
        os.path.normpath(path) + os.sep for path in (settings.destination.path, settings.buffer.path)
    )
    if objects.startswith(buffer) or buffer.startswith(objects):
        return f"'{settings.destination.path}' and buffer.path, '{settings.buffer.path}', must not hold each other"
    return None


CHECKS: Final[Sequence[tuple[tuple[str, ...], Check]]] = (
    # the settings that a check looks at, its message standing at the first
    (("destination.region", "destination.bucket", "destination.endpoint"), _region),
    (("destination.storageClass", "destination.bucket", "destination.endpoint"), _storage_class),
    (("destination.addressingStyle", "destination.bucket", "destination.endpoint"), _addressing),
    (("destination.endpoint", "destination.bucket"), _bucket_in_endpoint),
    (("destination.encryption.kmsKeyId", "destination.encryption.type"), _kms),
    (("source.maxRecordBytes", "source.maxRequestBytes"), _record_in_request),
    (("buffer.segmentBytes", "source.maxRequestBytes"), _request_in_segment),
    (
        ("buffer.size", "buffer.segmentBytes", "buffer.highWatermarkPercent", "batch.maxBytes", "workers",
         "source.maxRequestBytes"),
        buffer_size,
    ),
    (("object.level", "object.compression"), _level),
    (("admin.port", "admin.host", "source.port", "source.host"), _ports),
    (("source.port", "workers"), _shared_port),
    (("destination.path", "buffer.path"), _directories),
)  # fmt: skip


def _prefixes(settings: Settings, found: Found) -> Iterator[tuple[str, str]]:
    """Problems of the two prefixes. Where the key is found wrongly, a prefix may use any field."""
    known = not any(found.bad(f"partitioning.{source}") for source in KEY_SOURCES)
    key = settings.partitioning if known else None
    if not found.bad("object.prefix") and (known or found.given("object.prefix")):
        for message in routing.prefix_problems(settings.object.prefix, key):
            yield "object.prefix", message
    if not found.bad("object.errorPrefix"):
        for message in routing.error_prefix_problems(settings.object.error_prefix, settings.object.prefix):
            yield "object.errorPrefix", message


def _advice(shape: Callable[[str], None], text: str) -> str | None:
    try:
        shape(text)
    except ValueError as error:
        return str(error)
    return None


def _any_address(*hosts: str) -> bool:
    return any(host in ("0.0.0.0", "::") for host in hosts)
