"""What single fields can't tell: fields that contradict each other. Pure.

A check is skipped while a field that it looks at has a problem of its own: one mistake, one message. As far as the
API server's rules can express them, they are in the CRD too (``crd/rules.py``), which refuses at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from s3sink_operator.spec import patterns, pods, shapes, templates
from s3sink_operator.spec.types import USABLE_PERCENT, Partitioning, Spec
from s3sink_operator.units import format_size, parse_duration, parse_size

LEVELS: Final = {"gzip": (0, 3), "zstd": (1, 19)}
MI: Final = 2**20
SEGMENTS: Final = 3
"""Of the ingester's journal, that a buffer must hold: the one written, the one before it, the next one."""
OBJECTS: Final = 2
"""A buffer must hold: one being finished, its raw file beside its compressed one."""
SEGMENT: Final = "64Mi"
"""Size of a segment, if two requests fit."""

Problem = tuple[str, str]
"""A path below ``spec`` in camelCase, and the message."""


def contradictions(spec: Spec, bad: Collection[str]) -> Iterator[Problem]:
    """``bad``: paths that have problems already, and whose values are stand-ins."""
    for paths, judge in CHECKS:
        if not any(_is_bad(path, bad) for path in paths):
            for message in judge(spec):
                yield paths[0], message


def usable_bytes_needed(spec: Spec) -> int:
    """What the ingester's buffer must have at least: objects and segments of its journal below the high watermark."""
    segment = max(parse_size(SEGMENT), 2 * parse_size(spec.source.max_request_bytes))
    needed = SEGMENTS * segment + OBJECTS * parse_size(spec.batch.max_bytes)
    return -(-needed * 100 // spec.buffer.high_watermark_percent)


def _is_bad(path: str, bad: Collection[str]) -> bool:
    """Whether the field, a group that it is in, or anything in it has a problem."""
    return any(path == other or path.startswith(other + ".") or other.startswith(path + ".") for other in bad)


def _one_key_source(spec: Spec) -> Iterator[str]:
    given = list(_key_sources(spec.partitioning))
    if len(given) > 1:
        yield f"{' and '.join(given)} are set; keep the one that finds a record's key"
    elif not given:
        yield "needs one of regex, jsonPointers, header and urlPath to find a record's key"


def _key_sources(key: Partitioning) -> Iterator[str]:
    if key.regex is not None:
        yield "regex"
    if key.json_pointers is not None:
        yield "jsonPointers"
    if key.header is not None:
        yield "header"
    if key.url_path:
        yield "urlPath"


def _key_fields(key: Partitioning) -> tuple[str, ...]:
    if key.regex is not None:
        return patterns.regex_fields(key.regex)
    return patterns.REQUEST_KEY_FIELDS if key.json_pointers is None else tuple(key.json_pointers)


def _region(spec: Spec) -> Iterator[str]:
    region = spec.destination.region
    if shapes.is_aws(spec.destination.endpoint):
        if not region:
            yield "is needed for a bucket on AWS; write one such as 'us-east-1'"
        else:
            yield from _advice(shapes.aws_region, region)


def _storage_class(spec: Spec) -> Iterator[str]:
    name = spec.destination.storage_class
    if name and shapes.is_aws(spec.destination.endpoint):
        yield from _advice(shapes.aws_storage_class, name)


def _addressing(spec: Spec) -> Iterator[str]:
    to = spec.destination
    if "." in to.bucket and to.addressing_style == "Virtual" and shapes.is_aws(to.endpoint):
        yield "no certificate covers a bucket whose name holds a '.' in the host name; write 'Auto' or 'Path'"


def _bucket_in_endpoint(spec: Spec) -> Iterator[str]:
    endpoint = spec.destination.endpoint
    if endpoint:
        bare = shapes.without_bucket(endpoint, spec.destination.bucket)
        if bare != endpoint.rstrip("/"):
            yield f"holds the bucket's name; write '{bare}'"


def _kms(spec: Spec) -> Iterator[str]:
    encryption = spec.destination.encryption
    if encryption is not None and encryption.kms_key_id is not None and encryption.type != "aws:kms":
        yield "needs type 'aws:kms' beside it; write that, or take kmsKeyId out"


def _record_in_request(spec: Spec) -> Iterator[str]:
    request = spec.source.max_request_bytes
    if parse_size(spec.source.max_record_bytes) > parse_size(request):
        yield f"a record can't be larger than a request; write at most maxRequestBytes, '{request}'"


def _firehose(spec: Spec) -> Iterator[str]:
    if spec.source.firehose.enabled:
        yield "the Firehose API is planned, but not in this version; write false or take it out"


def _max_age(spec: Spec) -> Iterator[str]:
    batch = spec.batch
    if batch.max_age is not None and parse_duration(batch.max_age) > parse_duration(batch.window):
        yield f"an object ends with its window anyway; write at most batch.window, '{batch.window}', or take it out"


def _level(spec: Spec) -> Iterator[str]:
    level, compression = spec.object.level, spec.object.compression
    if level is None:
        return
    if compression not in LEVELS:
        yield f"compression '{compression}' has no levels; take it out"
        return
    low, high = LEVELS[compression]
    if not low <= level <= high:
        yield f"{level} is out of range; {compression} has levels {low} to {high}"


def _prefix(spec: Spec) -> Iterator[str]:
    key = _key_fields(spec.partitioning)
    if spec.object.prefix is None:
        yield from _default_prefix(key)
        return
    known = ", ".join(f"{{{field}}}" for field in key)
    for field in templates.fields(spec.object.prefix):
        if field not in key:
            yield f"{{{field}}} is not a field of the key; it has {known}"


def _default_prefix(key: Sequence[str]) -> Iterator[str]:
    """The one that the ingester makes of the key's fields."""
    names = ("path",) if "path" in key else key
    for message in _advice(templates.prefix, "".join(f"{{{name}}}/" for name in names)):
        yield f"is left out, and can't be made of the key's fields: {message}"


def _error_prefix(spec: Spec) -> Iterator[str]:
    head = templates.head(spec.object.error_prefix)
    if templates.head(spec.object.prefix or "").startswith(head):
        yield f"object.prefix begins with '{head}' too; write another one: data would be among the errors"


def _buffer_size(spec: Spec) -> Iterator[str]:
    least = usable_bytes_needed(spec)
    if spec.buffer.usable_bytes < least:
        size = -(-least * 100 // (USABLE_PERCENT * MI))
        yield (
            f"'{spec.buffer.size}' is too small for objects of {spec.batch.max_bytes} and requests of"
            f" {spec.source.max_request_bytes}; write at least '{format_size(size * MI)}'"
        )


def _autoscaling(spec: Spec) -> Iterator[str]:
    bounds = spec.autoscaling
    if bounds is not None and bounds.min_replicas > bounds.max_replicas:
        yield f"{bounds.min_replicas} is more than maxReplicas; write at most {bounds.max_replicas}"


def _env(spec: Spec) -> Iterable[str]:
    to = spec.destination
    return pods.env_problems(
        spec.pod_template.env,
        has_credentials=to.credentials.secret_ref is not None,
        has_authorities=to.ca_bundle.secret_ref is not None,
    )


def _advice(check: Callable[[str], None], text: str) -> Sequence[str]:
    try:
        check(text)
    except ValueError as error:
        return [str(message) for message in error.args]
    return []


KEY: Final = ("partitioning", "partitioning.regex", "partitioning.jsonPointers")

CHECKS: Final[Sequence[tuple[tuple[str, ...], Callable[[Spec], Iterable[str]]]]] = (
    # the fields that a check looks at, its message standing at the first
    (("destination.region", "destination.endpoint"), _region),
    (("destination.storageClass", "destination.endpoint"), _storage_class),
    (("destination.addressingStyle", "destination.bucket", "destination.endpoint"), _addressing),
    (("destination.endpoint", "destination.bucket"), _bucket_in_endpoint),
    (("destination.encryption.kmsKeyId", "destination.encryption.type"), _kms),
    (("source.maxRecordBytes", "source.maxRequestBytes"), _record_in_request),
    (("source.firehose.enabled",), _firehose),
    (("partitioning",), _one_key_source),
    (("batch.maxAge", "batch.window"), _max_age),
    (("object.level", "object.compression"), _level),
    (("object.prefix", "partitioning"), _prefix),
    (("object.errorPrefix", "object.prefix"), _error_prefix),
    (
        ("buffer.size", "buffer.highWatermarkPercent", "batch.maxBytes", "source.maxRequestBytes"),
        _buffer_size,
    ),
    (("autoscaling.minReplicas", "autoscaling.maxReplicas"), _autoscaling),
    (("podTemplate.env", "destination.credentials", "destination.caBundle"), _env),
)
