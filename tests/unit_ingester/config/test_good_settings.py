"""Settings that are taken: what they become, what is filled in, and where from."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester import records
from s3sink_ingester.config import (
    AddressingStyle,
    Admin,
    Auth,
    Batch,
    Buffer,
    Compression,
    Destination,
    Durability,
    Encryption,
    EncryptionType,
    ObjectSettings,
    OnInvalid,
    Partitioning,
    Settings,
    Source,
    Tls,
    Uploads,
    load,
    loads,
    local_settings,
    router,
)
from s3sink_ingester.errors import ConfigError, Problem

STORY = r"""
name: events-0
destination: {bucket: the-output-bucket, region: us-east-1}
partitioning: {regex: '^(?P<path>\S+) (?P<content>.+)$'}
"""
TO_BUCKET = "destination: {bucket: events, region: eu-west-1}\n"
BY_PATH = "partitioning: {urlPath: true}\n"


def test_the_story_needs_two_lines_and_the_rest_is_as_an_s3sink_says() -> None:
    assert loads(STORY, {}) == Settings(
        name="events-0",
        destination=Destination(bucket="the-output-bucket", region="us-east-1"),
        partitioning=Partitioning(regex=r"^(?P<path>\S+) (?P<content>.+)$"),
    )


def test_every_setting() -> None:
    text = """
name: events-7
workers: 2
destination:
  bucket: events
  region: eu-central-1
  endpoint: https://s3.eu-central-1.amazonaws.com
  addressingStyle: Path
  encryption: {type: aws:kms, kmsKeyId: alias/events}
  storageClass: STANDARD_IA
source:
  host: "::"
  port: 80
  maxRequestBytes: 16Mi
  maxRecordBytes: 1M
  keepAlive: 5s
  headerTimeout: 2s
  bodyTimeout: 1m30s
  maxConnections: 100
  auth: {path: /etc/s3sink/auth}
  tls: {path: /etc/s3sink/tls}
partitioning:
  jsonPointers: {customer: /customer_id, day: /at/day}
  onInvalid: Quarantine
  maxPartitions: 500
batch: {window: 24h, maxBytes: 128Mi, maxAge: 15m}
object:
  prefix: customer={customer}/dt={time:%Y-%m-%d}/
  errorPrefix: bad/{reason}/
  compression: zstd
  level: 3
  format: Lines
buffer:
  path: /buffer
  size: 100Gi
  highWatermarkPercent: 70
  durability: Relaxed
  segmentBytes: 32Mi
  memoryBytes: 8Mi
admin: {host: 127.0.0.1, port: 81}
uploads: {concurrency: 8, multipartThreshold: 32Mi, partSize: 8Mi}
"""
    assert loads(text, {"AWS_REGION": "not-looked-at", "POD_NAME": "nor-this"}) == Settings(
        name="events-7",
        workers=2,
        destination=Destination(
            bucket="events",
            region="eu-central-1",
            endpoint="https://s3.eu-central-1.amazonaws.com",
            addressing_style=AddressingStyle.PATH,
            encryption=Encryption(type=EncryptionType.KMS, kms_key_id="alias/events"),
            storage_class="STANDARD_IA",
        ),
        source=Source(
            host="::",
            port=80,
            max_request_bytes=16 * 2**20,
            max_record_bytes=1_000_000,
            keep_alive=5.0,
            header_timeout=2.0,
            body_timeout=90.0,
            max_connections=100,
            auth=Auth(path="/etc/s3sink/auth"),
            tls=Tls(path="/etc/s3sink/tls"),
        ),
        partitioning=Partitioning(
            json_pointers={"customer": "/customer_id", "day": "/at/day"},
            on_invalid=OnInvalid.QUARANTINE,
            max_partitions=500,
        ),
        batch=Batch(window=86400, max_bytes=128 * 2**20, max_age=900.0),
        object=ObjectSettings(
            prefix="customer={customer}/dt={time:%Y-%m-%d}/",
            error_prefix="bad/{reason}/",
            compression=Compression.ZSTD,
            level=3,
        ),
        buffer=Buffer(
            path="/buffer",
            size=100 * 2**30,
            high_watermark_percent=70,
            durability=Durability.RELAXED,
            segment_bytes=32 * 2**20,
            memory_bytes=8 * 2**20,
        ),
        admin=Admin(host="127.0.0.1", port=81),
        uploads=Uploads(concurrency=8, multipart_threshold=32 * 2**20, part_size=8 * 2**20),
    )


def test_an_s3sink_s_ways_to_say_not_set() -> None:
    text = """
name: events-0
destination:
  {bucket: the-output-bucket, region: us-east-1, endpoint: "", encryption: {}, storageClass: "", path: ""}
partitioning: {regex: '^(?P<path>\\S+) (?P<content>.+)$', jsonPointers: {}, header: "", urlPath: false}
batch:
source: {auth: {}, tls: {path: ""}}
"""
    assert loads(text, {}) == loads(STORY, {})


@pytest.mark.parametrize(
    ("partitioning", "prefix"),
    [
        ("{regex: '^(?P<path>[^ ]+) (?P<content>.+)$'}", "{path}/"),
        ("{regex: '^(?P<customer>[^ ]+) (?P<kind>[^ ]+) '}", "{customer}/{kind}/"),
        ("{regex: '^(?P<customer>[^ ]+) (?P<content>.+)$'}", "{customer}/"),
        ("{jsonPointers: {customer: /id, kind: /kind}}", "{customer}/{kind}/"),
        ("{header: X-Shard-Key}", "{path}/"),
        ("{urlPath: true}", "{path}/"),
    ],
)
def test_the_default_prefix_is_the_key(partitioning: str, prefix: str) -> None:
    settings = loads(f"{TO_BUCKET}partitioning: {partitioning}", {})
    assert settings.object.prefix == prefix
    router(settings)


def test_defaults_that_follow_other_settings() -> None:
    text = TO_BUCKET + BY_PATH + "batch: {window: 10m}\nsource: {maxRequestBytes: 512Ki}"
    small = loads(text, {})
    assert small.batch.max_age == 600.0
    assert small.source.max_record_bytes == 512 * 2**10
    assert small.buffer.segment_bytes == 64 * 2**20
    large = loads(TO_BUCKET + BY_PATH + "source: {maxRequestBytes: 100Mi}", {})
    assert large.source.max_record_bytes == 1000 * 2**10
    assert large.buffer.segment_bytes == 200 * 2**20


def test_the_environment_gives_what_the_file_leaves_out() -> None:
    env = {
        "POD_NAME": "events-3",
        "AWS_DEFAULT_REGION": "eu-west-3",
        "AWS_REGION": "eu-west-2",
        "AWS_ENDPOINT_URL": "",
    }
    settings = loads("destination: {bucket: events}\n" + BY_PATH, env)
    assert (settings.name, settings.destination) == (
        "events-3",
        Destination(bucket="events", region="eu-west-2"),
    )
    env = {"AWS_ENDPOINT_URL_S3": "http://minio:9000", "AWS_ENDPOINT_URL": "http://other"}
    settings = loads("destination: {bucket: events}\n" + BY_PATH, env)
    assert settings.destination == Destination(
        bucket="events", region="us-east-1", endpoint="http://minio:9000"
    )


def test_a_directory_needs_nothing_of_a_bucket() -> None:
    env = {"AWS_REGION": "eu-west-2", "AWS_ENDPOINT_URL_S3": "http://minio:9000", "AWS_ACCESS_KEY_ID": "half"}
    assert loads("destination: {path: ./objects}\n" + BY_PATH, env).destination == Destination(
        path="./objects"
    )


def test_other_stores_have_regions_and_storage_classes_of_their_own() -> None:
    text = (
        "destination: {bucket: a.b, region: Garage, endpoint: 'http://[::1]:3900/s3/', storageClass: cold}\n"
        + BY_PATH
    )
    assert loads(text, {}).destination.region == "Garage"


def test_a_name_is_always_found() -> None:
    assert loads(TO_BUCKET + BY_PATH, {}).name


def test_the_key_s_fields_may_be_called_like_credentials() -> None:
    text = TO_BUCKET + "partitioning: {jsonPointers: {token: /token, customer: /id}}"
    assert loads(text, {}).partitioning.json_pointers == {"token": "/token", "customer": "/id"}


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("\ufeff" + STORY, encoding="utf-8")
    assert load(file, {}) == load(str(file), {}) == loads(STORY, {})


@pytest.mark.parametrize("kind", ["missing", "directory", "binary"])
def test_a_file_that_can_t_be_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "settings.yaml"
    if kind == "directory":
        path.mkdir()
    if kind == "binary":
        path.write_bytes(b"a: \xff")
    reasons = {
        "missing": "No such file or directory",
        "directory": "Is a directory",
        "binary": "not UTF-8 at byte 3",
    }
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.problems == (Problem("", f"{path}: {reasons[kind]}"),)


def test_local_settings_are_the_story_s() -> None:
    local = local_settings("here", port=1, admin_port=2)
    assert local.destination == Destination(path="here/objects")
    assert local.buffer == Buffer(path="here/buffer")
    assert (local.source.host, local.source.port, local.admin.host, local.admin.port) == (
        "127.0.0.1",
        1,
        "127.0.0.1",
        2,
    )
    assert (local.batch, local.object) == (Batch(), ObjectSettings())
    assert local.partitioning == loads(STORY, {}).partitioning
    assert local_settings("here", host="::").admin.host == "::"


def test_the_router_routes_as_the_settings_say() -> None:
    text = TO_BUCKET + "partitioning: {regex: '^(?P<c>[^ ]+) (?P<content>.+)$', onInvalid: Quarantine}"
    batches = router(loads(text, {})).route(b"7 x\nnone\n", records.Framing.LINES, None, ())
    assert [(partition.name, payload, count) for partition, payload, count in batches] == [
        ("7/", b"x\n", 1),
        ("errors/no-match/{time:%Y/%m/%d/%H}/", b"none\n", 1),
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=10,
)
names = st.sampled_from(
    ["name", "workers", "destination", "source", "partitioning", "batch", "object", "buffer", "bucket", "path",
     "endpoint", "host", "regex", "jsonPointers", "prefix", "errorPrefix", "window", "maxBytes", "port", "encryption"]
)  # fmt: skip


@given(st.dictionaries(names, json_values | st.dictionaries(names, json_values, max_size=6), max_size=6))
def test_any_document_is_settings_or_a_config_error(document: dict[str, object]) -> None:
    messages = ["nothing wrong"]
    try:
        loads(json.dumps(document), {})
    except ConfigError as error:
        messages = [problem.message for problem in error.problems]
    assert messages
    assert all(messages)
