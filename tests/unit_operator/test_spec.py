"""From an S3Sink to its spec, or to everything that is wrong with it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError
from s3sink_operator.errors import SpecError
from s3sink_operator.spec import Buffer, Spec, parse, usable_bytes

SHORTEST: dict[str, Any] = {
    "destination": {"bucket": "the-output-bucket", "region": "us-east-1"},
    "partitioning": {"regex": r"^(?P<path>\S+) (?P<content>.+)$"},
}


def sink(name: str = "events", **groups: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {**copy.deepcopy(SHORTEST), **groups}}


def problems(manifest: dict[str, Any]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse(manifest)
    assert str(caught.value) == "; ".join(caught.value.problems)
    return list(caught.value.problems)


def test_the_storys_defaults() -> None:
    spec = parse(sink())
    assert spec.replicas == 1
    assert (spec.source.max_request_bytes, spec.source.keep_alive) == ("32Mi", "10s")
    assert (spec.batch.window, spec.batch.max_bytes, spec.batch.max_age) == ("1h", "25Mi", None)
    assert (spec.object.prefix, spec.object.compression, spec.object.level) == (None, "gzip", None)
    assert (spec.buffer.size, spec.buffer.durability) == ("10Gi", "Fsync")
    assert spec.autoscaling is None
    assert spec.destination.encryption is None


def test_sizes_and_durations_stay_as_written() -> None:
    spec = parse(sink(batch={"window": "60m", "maxBytes": "26214400"}, buffer={"size": "10240Mi"}))
    assert (spec.batch.window, spec.batch.max_bytes, spec.buffer.size) == ("60m", "26214400", "10240Mi")


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        parse(sink()).replicas = 2


def test_encryption_without_a_type_is_none() -> None:
    manifest = sink()
    manifest["spec"]["destination"]["encryption"] = {}
    assert parse(manifest).destination.encryption is None


def test_what_of_a_volume_the_buffer_takes() -> None:
    assert usable_bytes("100M") == 92_000_000
    assert Buffer(size="100M").usable_bytes == 92_000_000


def test_every_problem_is_told_at_once() -> None:
    manifest = sink(
        name="My.Events",
        replicas=True,
        batch={"maxBytes": "25MB", "window": "1h", "maxAge": "2h", "size": 1},
        partitioning={"regex": "(?<path>.+)"},
        object={"prefix": "{a}{b}", "compression": "bzip2"},
        podTemplate={"labels": {"s3sink.dev/sink": "x", "app.kubernetes.io/name": "y", "team": "z"}},
    )
    del manifest["spec"]["destination"]["region"]
    assert problems(manifest) == [
        "metadata.name: 'My.Events' can't name a Service; write a-z, 0-9 and '-', beginning with a letter",
        "spec.replicas: True is not a whole number; write a whole number",
        "spec.partitioning.regex: is not a regular expression of Python: unknown extension ?<p at position 1;"
        " named groups are written (?P<name>...)",
        "spec.batch.maxBytes: '25MB' is not a size; write a whole number with a unit, such as '25Mi'",
        "spec.batch.size: is not known to this version of the operator; take it out, or upgrade the operator",
        "spec.object.prefix: must end in '/': the file name follows directly",
        "spec.object.prefix: has two fields in one segment, where two keys could give one prefix; put a '/' between",
        "spec.object.compression: 'bzip2' is not allowed; write 'gzip', 'zstd' or 'none'",
        "spec.podTemplate.labels: 's3sink.dev/sink' is set by the operator; take it out",
        "spec.podTemplate.labels: 'app.kubernetes.io/name' is set by the operator; take it out",
        "spec.destination.region: is needed for a bucket on AWS; write one such as 'us-east-1'",
        "spec.batch.maxAge: an object ends with its window anyway; write at most batch.window, '1h', or take it out",
    ]


def test_labels_that_kubernetes_would_refuse() -> None:
    manifest = sink(
        podTemplate={
            "labels": {"cost center": "7", "s3sink.dev/a b": "", "n" * 64: "", "fits": "v" * 63},
            "annotations": {"Example.com/note": "any text: é", "a/b/c": ""},
            "nodeSelector": {"pool": "!spot", "app.kubernetes.io/name": "x"},
        },
        service={"annotations": {"aws:type": "nlb", "app.kubernetes.io/name": "x"}},
        monitoring={"labels": {"release": "v" * 64}},
    )
    text = "letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
    name = f"write at most 63 {text}; a domain may stand before it, as in example.com/team"
    assert problems(manifest) == [
        f"spec.podTemplate.nodeSelector.pool: '!spot' is not the value of a label; write at most 63 {text}",
        f"spec.podTemplate.labels: 'cost center' is not the name of a label; {name}",
        "spec.podTemplate.labels: 's3sink.dev/a b' is set by the operator; take it out",
        f"spec.podTemplate.labels: '{'n' * 64}' is not the name of a label; {name}",
        f"spec.podTemplate.annotations: 'a/b/c' is not the name of an annotation; {name}",
        f"spec.service.annotations: 'aws:type' is not the name of an annotation; {name}",
        "spec.service.annotations: 'app.kubernetes.io/name' is set by the operator; take it out",
        "spec.monitoring.labels.release: has 64 characters; at most 63 are allowed",
    ]


def test_annotations_are_counted_in_bytes() -> None:
    annotations = {f"a{number}": "é" * 4000 for number in range(10, 42)}
    assert problems(sink(podTemplate={"annotations": annotations})) == [
        "spec.podTemplate.annotations: has 256096 bytes; write at most 250000 bytes of names and values: Kubernetes"
        " takes no more"
    ]
    parse(sink(podTemplate={"annotations": {name: value[:3900] for name, value in annotations.items()}}))


def test_what_is_missing() -> None:
    assert problems({"metadata": {"name": "a"}, "spec": {"autoscaling": {"minReplicas": 2}}}) == [
        "spec.destination: is needed; write it",
        "spec.partitioning: is needed; write it",
        "spec.autoscaling.maxReplicas: is needed; write it",
    ]
    assert problems({"metadata": {"name": "a"}}) == [
        "spec.destination: is needed; write it",
        "spec.partitioning: is needed; write it",
    ]


@pytest.mark.parametrize("spec", [[], "text", {"destination": [], "partitioning": 1}, {"destination": None}])
def test_a_spec_of_another_kind(spec: Any) -> None:
    assert problems({"metadata": {"name": "a"}, "spec": spec or {}})


def test_a_wrong_secret_does_not_hide_other_problems() -> None:
    manifest = sink(source={"firehose": {"enabled": True}, "tls": {"secretRef": {"name": ""}}})
    assert problems(manifest) == [
        "spec.source.tls.secretRef.name: '' is not an object's name; write a-z, 0-9, '-' and '.', beginning and ending"
        " with a letter or digit",
        "spec.source.firehose.enabled: the Firehose API is planned, but not in this version; write false or take it"
        " out",
    ]


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        ({"replicas": "3"}, "spec.replicas: '3' is not a whole number; write a whole number"),
        ({"replicas": 3.5}, "spec.replicas: 3.5 is not a whole number; write a whole number"),
        ({"replicas": 1001}, "spec.replicas: 1001 is out of range; write a whole number from 0 to 1000"),
        ({"networkPolicy": {"enabled": "yes"}}, "spec.networkPolicy.enabled: 'yes' is not true or false;"),
        ({"source": {"keepAlive": 10}}, "spec.source.keepAlive: 10 is not text; write text"),
        ({"source": {"keepAlive": "2h"}}, "spec.source.keepAlive: '2h' is too long; write at most '1h'"),
        ({"batch": {"window": "0s"}}, "spec.batch.window: '0s' is too short; write at least '1s'"),
        (
            {"batch": {"window": "1s600ms"}},
            "spec.batch.window: '1s600ms' is not a whole number of seconds; write '2s'",
        ),
        ({"batch": {"maxBytes": "6Gi"}}, "spec.batch.maxBytes: '6Gi' is too large; write at most '5Gi'"),
        ({"batch": {"maxBytes": "1"}}, "spec.batch.maxBytes: '1' is too small; write at least '1Ki'"),
        (
            {"source": {"maxRequestBytes": "1Mi", "maxRecordBytes": "2Mi"}},
            "spec.source.maxRecordBytes: a record can't be larger than a request; write at most maxRequestBytes, '1Mi'",
        ),
        (
            {"partitioning": {"header": "Host"}},
            "spec.partitioning.header: 'Host' has a meaning of its own in HTTP; write one such as 'X-Shard-Key'",
        ),
        (
            {"partitioning": {"header": "X-Key", "urlPath": True}},
            "spec.partitioning: header and urlPath are set; keep the one that finds a record's key",
        ),
        (
            {"partitioning": {}},
            "spec.partitioning: needs one of regex, jsonPointers, header and urlPath to find a record's key",
        ),
        (
            {"partitioning": {"jsonPointers": {"time": "/t"}}},
            "spec.partitioning.jsonPointers: 'time' can't be a field; write letters, digits and _",
        ),
        (
            {"partitioning": {"jsonPointers": {"a": "b"}}},
            "spec.partitioning.jsonPointers.a: 'b' is not a JSON Pointer: it begins with '/'",
        ),
        (
            {"partitioning": {"jsonPointers": {f"f{number}": "/a" for number in range(17)}}},
            "spec.partitioning.jsonPointers: has 17 entries; at most 16 are allowed",
        ),
        (
            {"partitioning": {"regex": r"/^(?<path>\S+)$/m"}},
            r"spec.partitioning.regex: '/^(?<path>\\S+)$/m' stands between slashes; write '^(?P<path>\\S+)$'",
        ),
        (
            {"partitioning": {"regex": "(?P<time>.+)"}},
            "spec.object.prefix: is left out, and can't be made of the key's fields: {time} needs a format",
        ),
        (
            {"object": {"prefix": "{customer}/"}},
            "spec.object.prefix: {customer} is not a field of the key; it has {path}",
        ),
        (
            {"object": {"prefix": "e/{path}/", "errorPrefix": "e/{reason}/"}},
            "spec.object.errorPrefix: object.prefix begins with 'e/' too",
        ),
        (
            {"object": {"format": "Parquet"}},
            "spec.object.format: Parquet is planned, but not in this version;",
        ),
        ({"object": {"level": 5}}, "spec.object.level: 5 is out of range; gzip has levels 0 to 3"),
        (
            {"object": {"compression": "none", "level": 0}},
            "spec.object.level: compression 'none' has no levels",
        ),
        (
            {"buffer": {"size": "1Gi"}, "source": {"maxRequestBytes": "512Mi"}},
            "spec.buffer.size: '1Gi' is too small for objects of 25Mi and requests of 512Mi; write at least '3993Mi'",
        ),
        (
            {"autoscaling": {"minReplicas": 5, "maxReplicas": 3}},
            "spec.autoscaling.minReplicas: 5 is more than maxReplicas; write at most 3",
        ),
        (
            {"podDisruptionBudget": {"maxUnavailable": "101%"}},
            "spec.podDisruptionBudget.maxUnavailable: '101%' is not a number of pods;",
        ),
        (
            {"podDisruptionBudget": {"maxUnavailable": True}},
            "spec.podDisruptionBudget.maxUnavailable: True is not a number of pods;",
        ),
        (
            {"podTemplate": {"env": [{"name": "POD_NAME", "value": "x"}]}},
            "spec.podTemplate.env: POD_NAME is set by the operator; take it out",
        ),
        (
            {"monitoring": {"dashboard": "Enabled"}},
            "spec.monitoring.dashboard: 'Enabled' is not allowed; write 'Auto'",
        ),
    ],
)
def test_one_mistake_is_one_problem(groups: dict[str, Any], problem: str) -> None:
    found = problems(sink(**groups))
    assert len(found) == 1, found
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"bucket": "a/b"}, "bucket: 'a/b' is more than a bucket's name; write the bucket alone"),
        ({"bucket": "a" * 64}, "bucket: has 64 characters; at most 63 are allowed"),
        ({"region": "us-east-1a"}, "region: 'us-east-1a' is not an AWS region"),
        (
            {"storageClass": "COLD"},
            "storageClass: 'COLD' is not a storage class of Amazon S3; write one of STANDARD",
        ),
        ({"endpoint": "minio:9000"}, "endpoint: 'minio:9000' is not a URL; write one such as"),
        ({"endpoint": "http://k:s@minio"}, "endpoint: holds an '@': credentials come from a Secret"),
        (
            {"endpoint": "https://the-output-bucket.s3.amazonaws.com"},
            "endpoint: holds the bucket's name; write 'https://s3.amazonaws.com'",
        ),
        ({"bucket": "a.b", "addressingStyle": "Virtual"}, "addressingStyle: no certificate covers a bucket"),
        (
            {"encryption": {"type": "AES256", "kmsKeyId": "k"}},
            "encryption.kmsKeyId: needs type 'aws:kms' beside it",
        ),
        ({"encryption": {"kmsKeyId": "k"}}, "encryption.type: is needed; write it"),
    ],
)
def test_destinations(change: dict[str, Any], problem: str) -> None:
    found = problems(sink(destination={**SHORTEST["destination"], **change}))
    assert len(found) == 1, found
    assert found[0].startswith(f"spec.destination.{problem}")


def test_credentials_are_not_shown() -> None:
    (problem,) = problems(
        sink(destination={"bucket": "events", "endpoint": "https://key:hunter2@minio:9000"})
    )
    assert "hunter2" not in problem


def test_credentials_from_two_places() -> None:
    manifest = sink(podTemplate={"env": [{"name": "AWS_ACCESS_KEY_ID", "value": "x"}]})
    parse(manifest)
    manifest["spec"]["destination"]["credentials"] = {"secretRef": {"name": "s3"}}
    assert problems(manifest) == [
        "spec.podTemplate.env: AWS_ACCESS_KEY_ID comes from destination.credentials.secretRef; take one of them out"
    ]


def test_authorities_from_two_places() -> None:
    manifest = sink(podTemplate={"env": [{"name": "AWS_CA_BUNDLE", "value": "/etc/ca.crt"}]})
    parse(manifest)
    manifest["spec"]["destination"]["caBundle"] = {"secretRef": {"name": "authorities"}}
    assert problems(manifest) == [
        "spec.podTemplate.env: AWS_CA_BUNDLE comes from destination.caBundle.secretRef; take one of them out"
    ]


def test_a_long_value_is_shown_in_part() -> None:
    (problem,) = problems(sink(object={"compression": "x" * 500}))
    assert len(problem) < 120


def test_fields_of_every_key_source_can_stand_in_a_prefix() -> None:
    parse(sink(partitioning={"header": "X-Key"}, object={"prefix": "{key}/"}))
    parse(sink(partitioning={"urlPath": True}, object={"prefix": "a/{path}/"}))
    parse(
        sink(partitioning={"jsonPointers": {"a": "/a", "b": "/b"}}, object={"prefix": "{a}/x={b}/{time:%Y}/"})
    )
    parse(sink(partitioning={"jsonPointers": {"a": "/a", "b": "/b"}}))


def test_nothing_is_changed_in_what_is_read() -> None:
    manifest = sink(batch={"maxBytes": "1"}, destination={})
    before = copy.deepcopy(manifest)
    problems(manifest)
    assert manifest == before


def test_a_spec_is_made_of_attributes_too() -> None:
    assert Spec.model_validate(SHORTEST).model_dump(by_alias=True)["batch"]["maxBytes"] == "25Mi"
