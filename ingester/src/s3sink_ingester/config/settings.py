"""The ingester's settings: frozen, grouped, a docstring under each field.

Fields are spelt in camelCase in a file (``maxBytes``), as in an S3Sink's ``spec``, whose groups these are. Sizes are
bytes, durations seconds. What a field accepts is its ``Kind``; a default that other settings decide is told by
``Follows``. ``docs/settings.md`` is made from this file, so the docstrings are Markdown for whoever writes settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from s3sink_ingester.config import patterns, shapes
from s3sink_ingester.config.kinds import Choice, Duration, Flag, Quantity, Text, TextMap, Whole, WholeSeconds

KI, MI, GI = 2**10, 2**20, 2**30


@dataclass(frozen=True, slots=True)
class Follows:
    """The default as other settings decide it, in words for the docs."""

    words: str


class AddressingStyle(StrEnum):
    AUTO = "Auto"
    PATH = "Path"
    VIRTUAL = "Virtual"


class EncryptionType(StrEnum):
    AES256 = "AES256"
    KMS = "aws:kms"


class OnInvalid(StrEnum):
    REJECT = "Reject"
    QUARANTINE = "Quarantine"


class Compression(StrEnum):
    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "none"


class Format(StrEnum):
    LINES = "Lines"


class Durability(StrEnum):
    FSYNC = "Fsync"
    RELAXED = "Relaxed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """How the store encrypts objects at rest. Left out: as the bucket says."""

    type: Annotated[EncryptionType | None, Choice(EncryptionType)] = None
    """`AES256` (keys of the store) or `aws:kms` (a key in KMS)."""

    kms_key_id: Annotated[str | None, Text("ARN, id or alias", shapes.kms_key_id)] = None
    """Key of KMS to encrypt with; only with type `aws:kms`. Left out: the account's own key for S3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where objects go: a bucket, or a directory in its place. Credentials come from the environment."""

    bucket: Annotated[str | None, Text("bucket name", shapes.bucket)] = None
    """The bucket. Exactly one of `bucket` and `path` is needed."""

    path: Annotated[str | None, Text("directory", shapes.directory)] = None
    """A directory that objects are written to instead of a bucket, for development."""

    region: Annotated[
        str | None,
        Text("region", shapes.region),
        Follows("`AWS_REGION`; `us-east-1` at stores other than AWS"),
    ] = None
    """The bucket's region. Needed for a bucket on AWS, here or in the environment."""

    endpoint: Annotated[
        str | None, Text("URL", shapes.endpoint), Follows("`AWS_ENDPOINT_URL_S3`, else AWS")
    ] = None
    """URL of an S3-compatible store, such as `https://minio.storage.svc:9000`."""

    addressing_style: Annotated[AddressingStyle, Choice(AddressingStyle)] = AddressingStyle.AUTO
    """Where the bucket's name stands in a URL: in the path, in the host name, or as fits the endpoint (`Auto`)."""

    encryption: Encryption = Encryption()

    storage_class: Annotated[
        str | None, Text("storage class", shapes.storage_class), Follows("the bucket's")
    ] = None
    """Storage class of the objects, such as `STANDARD_IA`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """Who may send records: clients with an API key. They send `Authorization: Bearer <key>` or `X-Api-Key: <key>`,
    and get 401 without a good one. The admin port asks for none. Keys are sent as they are: use them with TLS, or in a
    network that you trust."""

    path: Annotated[str | None, Text("directory", shapes.directory)] = None
    """A directory, such as a mounted Secret, in which the content of each file is one key: 1 to 4096 visible ASCII
    characters; blanks around it don't count, nor do files that begin with a dot. It is looked at every second. A key
    that is gone is refused from then on. A directory without a key is taken for a mistake: those in use stay in use,
    and the log and `s3sink_secret_reload_failures_total` say so. Left out: whoever reaches the port may send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """HTTPS on the data port, TLS 1.2 or newer. Plain HTTP isn't answered then; the admin port goes on with it."""

    path: Annotated[str | None, Text("directory", shapes.directory)] = None
    """A directory, such as a mounted Secret of type `kubernetes.io/tls`, with `tls.crt` (PEM, with its chain) and
    `tls.key` (PEM, not encrypted). It is looked at every second; a change is used for new connections and leaves others
    alone. One that can't be used is told in the log and `s3sink_secret_reload_failures_total`, and the one before it
    stays in use. Left out: plain HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The data port, where records come in over HTTP."""

    host: Annotated[str, Text("address", shapes.host)] = "0.0.0.0"
    """Address to listen on; `::` for IPv6 and IPv4."""

    port: Annotated[int, Whole(0, 65535)] = 8888
    """Port to listen on; 0 takes any free one."""

    max_request_bytes: Annotated[int, Quantity("1Ki", "512Mi")] = 32 * MI
    """Largest request body, as sent and decompressed; larger ones get 413."""

    max_record_bytes: Annotated[
        int, Quantity("1", "512Mi"), Follows("`1000Ki`, or `maxRequestBytes` if that is smaller")
    ] = 1000 * KI
    """Largest record; larger ones are invalid records."""

    keep_alive: Annotated[float, Duration("100ms", "1h")] = 10.0
    """How long a connection may be idle. Short ones spread load over new pods sooner."""

    header_timeout: Annotated[float, Duration("100ms", "1h")] = 10.0
    """How long a request's head may take to arrive, from its first byte; then 408. A TLS handshake may take as long."""

    body_timeout: Annotated[float, Duration("100ms", "1h")] = 60.0
    """How long a request's body may take to arrive, from the end of its head; then 408."""

    max_connections: Annotated[int, Whole(1, 1_000_000)] = 4096
    """Connections that **each worker** holds open; further ones are closed with 503."""

    auth: Auth = Auth()
    tls: Tls = Tls()


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitioning:
    """How a record's key is found. Exactly one of `regex`, `jsonPointers`, `header` and `urlPath` is needed."""

    regex: Annotated[str | None, Text("regular expression", patterns.regex)] = None
    r"""Matched against each whole record, `.` matching line ends too. Its named groups are the key's fields; a group
    named `content` is what is stored instead of the record: `'^(?P<path>\S+) (?P<content>.+)$'`."""

    json_pointers: Annotated[
        Mapping[str, str] | None,
        TextMap("names to JSON Pointers", "{customer: /customer_id}", patterns.json_pointers),
    ] = None
    """Fields of the key, taken from each record, which is a JSON document: `{customer: /customer_id}`."""

    header: Annotated[str | None, Text("header name", patterns.header)] = None
    """The request header whose value is the key; `{key}` and `{path}` are both it."""

    url_path: Annotated[bool, Flag()] = False
    """The key is what follows `/ingest/` in the URL; `{key}` and `{path}` are both it."""

    on_invalid: Annotated[OnInvalid, Choice(OnInvalid)] = OnInvalid.REJECT
    """A record without a key: `Reject` answers 400 and stores nothing of the request, `Quarantine` stores the record
    under `object.errorPrefix`."""

    max_partitions: Annotated[int, Whole(1, 1_000_000)] = 10_000
    """Keys that may be open at a time; records of further ones go to `object.errorPrefix` with reason `overflow`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """When an object is finished: by the end of its window, by size or by age, whichever comes first."""

    window: Annotated[int, WholeSeconds("1s", "24h")] = 3600
    """Slice of wall-clock time (UTC) that groups records, in whole seconds; no object holds records of two."""

    max_bytes: Annotated[int, Quantity("1Ki", "5Gi")] = 25 * MI
    """Size of an object before compression, passed by at most one request."""

    max_age: Annotated[float, Duration("1s", "24h"), Follows("`window`")] = 3600.0
    """Age of an object's first record at which it is finished anyway. More than `window` has no effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSettings:
    """What objects are called and hold. A prefix is followed by a file name that no two objects share."""

    prefix: Annotated[
        str, Text("template", shapes.any_text), Follows("the key's fields, a folder each: `'{path}/'`")
    ] = "{path}/"
    """What object names begin with. May use the key's fields and `{time:...}` (strftime, UTC, start of the window):
    `'customer={customer}/dt={time:%Y-%m-%d}/'`."""

    error_prefix: Annotated[str, Text("template", shapes.any_text)] = "errors/{reason}/{time:%Y/%m/%d/%H}/"
    """The prefix of invalid records and of those beyond `maxPartitions`. May use `{reason}` and `{time:...}`."""

    compression: Annotated[Compression, Choice(Compression)] = Compression.GZIP
    """Compression of an object, which also names its extension: `.gz`, `.zst` or `.txt`."""

    level: Annotated[int, Whole(0, 19)] = 1
    """Compression level: 0 to 3 for gzip, 1 to 19 for zstd."""

    format: Annotated[
        Format, Choice(Format, {"Parquet": "Parquet is planned, but not in this version; write 'Lines'"})
    ] = Format.LINES
    """`Lines`: records as they came, one a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """The volume that holds records until they are in objects."""

    path: Annotated[str, Text("directory", shapes.directory)] = "/var/lib/s3sink"
    """Directory of the buffer; used by one process at a time."""

    size: Annotated[int, Quantity("1Mi", "64Ti")] = 10 * GI
    """Bytes that the buffer may take of its volume. The one setting that is followed while the ingester runs: a changed
    file is seen within seconds."""

    high_watermark_percent: Annotated[int, Whole(10, 99)] = 85
    """Percentage of `size` above which requests get 503 and `Retry-After`; the rest is for finishing objects."""

    durability: Annotated[Durability, Choice(Durability)] = Durability.FSYNC
    """`Fsync`: 2xx means on stable storage. `Relaxed`: 2xx means written, and a node that crashes loses the
    last moments; what was half written may then count as damage, which a person has to look at."""

    segment_bytes: Annotated[
        int, Quantity("64Ki", "1Gi"), Follows("`64Mi`, or twice `source.maxRequestBytes` if that is larger")
    ] = 64 * MI
    """Size of the journal's segments: how much recovery reads. At least twice `source.maxRequestBytes`."""

    memory_bytes: Annotated[int, Quantity("64Ki", "16Gi")] = 32 * MI
    """Bytes of records that may wait in memory of **each worker**, already in the journal, to be written to their
    object's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """The admin port: probes, metrics, status, drain. It has no authentication, so clients shouldn't reach it."""

    host: Annotated[str, Text("address", shapes.host)] = "0.0.0.0"
    """Address to listen on; `::` for IPv6 and IPv4."""

    port: Annotated[int, Whole(0, 65535)] = 8889
    """Port to listen on; 0 takes any free one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """How objects are sent to the bucket."""

    concurrency: Annotated[int, Whole(1, 64)] = 4
    """Objects that **each worker** sends at a time."""

    multipart_threshold: Annotated[int, Quantity("5Mi", "5Gi")] = 64 * MI
    """Size of a finished object from which it is sent in parts."""

    part_size: Annotated[int, Quantity("5Mi", "5Gi")] = 16 * MI
    """Size of a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one ingester."""

    name: Annotated[str, Text("name", shapes.object_name_part), Follows("`POD_NAME`, else the host's name")]
    """What the names of this ingester's objects begin with, after the prefix: the pod's name."""

    workers: Annotated[int, Whole(1, 64)] = 1
    """Processes that share the data port. Each has a directory of its own in the buffer, of which `buffer.size` is the
    sum. `source.maxConnections`, `partitioning.maxPartitions`, `buffer.segmentBytes`, `buffer.memoryBytes` and
    `uploads.concurrency` are for each of them."""

    destination: Destination
    source: Source = Source()
    partitioning: Partitioning
    batch: Batch = Batch()
    object: ObjectSettings = ObjectSettings()
    buffer: Buffer = Buffer()
    admin: Admin = Admin()
    uploads: Uploads = Uploads()
