"""What the API server is to accept and to refuse, each with its message: changes of the shortest manifest.

Also what only the operator can tell (``late``): the same cases hold its ``spec.parse`` to the CRD's rules.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

BASE: Final[Mapping[str, Any]] = {
    "apiVersion": "s3sink.dev/v1alpha1",
    "kind": "S3Sink",
    "metadata": {"name": "case"},
    "spec": {
        "destination": {"bucket": "the-output-bucket", "region": "us-east-1"},
        "partitioning": {"regex": r"^(?P<path>\S+) (?P<content>.+)$"},
    },
}
GONE: Final = object()
"""In a change: the field is taken out."""

Change = Mapping[str, object]


@dataclass(frozen=True)
class Case:
    """A change of ``BASE`` (dotted path → value) and what it gets: ``refused`` by the API server, or ``late``."""

    title: str
    change: Change
    refused: str = ""
    late: str = ""
    before: Change | None = None
    """Where the case is an update: what the object is before, as a change of ``BASE`` too."""
    problems: int = 1
    """Messages that a refusal has."""
    admission: bool = False
    """Only the API server can tell: it is about a change, or about parts of a pod."""

    def manifest(self) -> dict[str, Any]:
        """The object that is applied."""
        return changed({**(self.before or {}), **self.change})

    def first(self) -> dict[str, Any] | None:
        """The object that is there already, if it is an update."""
        return None if self.before is None else changed(self.before)


def changed(change: Change) -> dict[str, Any]:
    """``BASE`` with a change."""
    manifest: dict[str, Any] = copy.deepcopy(dict(BASE))
    for path, value in change.items():
        *parents, last = path.split(".")
        holder = manifest
        for parent in parents:
            holder = holder.setdefault(parent, {})
        if value is GONE:
            holder.pop(last, None)
        else:
            holder[last] = value
    return manifest


def key(**source: object) -> Change:
    """Another way to find the key."""
    return {"spec.partitioning": source}


NAMES: Final = (
    Case("the shortest manifest", {}),
    Case("a name of 45 characters", {"metadata.name": "a" * 45}),
    Case("a name of 46 characters", {"metadata.name": "a" * 46}, "write at most 45 characters"),
    Case(
        "a name with a dot", {"metadata.name": "my.events"}, "it can't name a Service; write a-z, 0-9 and '-'"
    ),
    Case("a name that begins with a digit", {"metadata.name": "1st"}, "it can't name a Service"),
    Case("a field that is misspelt", {"spec.batch.maxByte": "25Mi"}, 'unknown field "spec.batch.maxByte"'),
    Case("no spec", {"spec": GONE}, "spec: Required value"),
)
DESTINATION: Final = (
    Case("no bucket", {"spec.destination.bucket": GONE}, "spec.destination.bucket: Required value"),
    Case(
        "a bucket as a URL",
        {"spec.destination.bucket": "s3://the-output-bucket/logs"},
        "write the bucket alone and the folder in object.prefix",
    ),
    Case(
        "a bucket in capitals",
        {"spec.destination.bucket": "Events"},
        "not a bucket's name; write 3 to 63 of a-z",
    ),
    Case("a bucket like an address", {"spec.destination.bucket": "10.0.0.1"}, "not a bucket's name"),
    Case(
        "a directory bucket",
        {"spec.destination.bucket": "events--use1-az4--x-s3"},
        "write the name of a general purpose bucket",
    ),
    Case(
        "AWS without a region",
        {"spec.destination.region": GONE},
        "a bucket on AWS needs its region; write one such as 'us-east-1'",
    ),
    Case(
        "an availability zone", {"spec.destination.region": "us-east-1a"}, "a bucket on AWS needs its region"
    ),
    Case("a government's region", {"spec.destination.region": "us-gov-west-1"}),
    Case(
        "another store, without a region",
        {"spec.destination": {"bucket": "events", "endpoint": "http://minio.storage.svc:9000"}},
    ),
    Case(
        "another store's own region and storage class",
        {
            "spec.destination.endpoint": "https://s3.example.com",
            "spec.destination.region": "Zone_1",
            "spec.destination.storageClass": "fast",
        },
    ),
    Case(
        "a region that is no word",
        {"spec.destination.endpoint": "https://s3.example.com", "spec.destination.region": "Zone 1"},
        "not a region; write one such as 'us-east-1'",
    ),
    Case(
        "a storage class that is no word",
        {"spec.destination.endpoint": "https://s3.example.com", "spec.destination.storageClass": "very fast"},
        "not a storage class; write one such as 'STANDARD_IA'",
    ),
    Case("an endpoint that is an address", {"spec.destination.endpoint": "http://[fd00::1]:9000/s3"}),
    Case(
        "an endpoint without a scheme",
        {"spec.destination.endpoint": "minio:9000"},
        "not a URL; write one such as 'https://minio.storage.svc:9000'",
    ),
    Case(
        "credentials in the endpoint",
        {"spec.destination.endpoint": "https://key:secret@minio:9000"},
        "name the Secret in credentials.secretRef",
    ),
    Case(
        "an endpoint with a query",
        {"spec.destination.endpoint": "https://minio:9000/?x=1"},
        "more than an endpoint; write 'https://host:port' alone",
    ),
    Case(
        "the bucket's name in the endpoint",
        {"spec.destination.endpoint": "https://the-output-bucket.s3.us-east-1.amazonaws.com"},
        "holds the bucket's name; write the URL without it",
    ),
    Case(
        "a storage class that AWS doesn't have",
        {"spec.destination.storageClass": "COLD"},
        "not a storage class of Amazon S3; write one of STANDARD, STANDARD_IA",
    ),
    Case(
        "a dotted bucket in the host name",
        {"spec.destination.bucket": "my.bucket", "spec.destination.addressingStyle": "Virtual"},
        "write 'Auto' or 'Path'",
    ),
    Case("no encryption asked for", {"spec.destination.encryption": {}}),
    Case(
        "a key of KMS",
        {"spec.destination.encryption": {"type": "aws:kms", "kmsKeyId": "alias/data-lake"}},
    ),
    Case(
        "a key of KMS that is none",
        {"spec.destination.encryption": {"type": "aws:kms", "kmsKeyId": "my key"}},
        "not a KMS key; write its ARN, its id or 'alias/name'",
    ),
    Case(
        "a key of KMS with AES256",
        {"spec.destination.encryption": {"type": "AES256", "kmsKeyId": "alias/data-lake"}},
        "needs type 'aws:kms' beside it",
    ),
    Case(
        "a Secret's name that none has",
        {"spec.destination.credentials": {"secretRef": {"name": "My Secret"}}},
        "not an object's name; write a-z, 0-9, '-' and '.'",
    ),
)
SOURCE: Final = (
    Case("requests of 512Mi", {"spec.source.maxRequestBytes": "512Mi"}),
    Case(
        "requests of 1Gi",
        {"spec.source.maxRequestBytes": "1Gi"},
        "out of range; write a size from '1Ki' to '512Mi'",
    ),
    Case(
        "a size as a number",
        {"spec.source.maxRequestBytes": 33554432},
        'spec.source.maxRequestBytes: Invalid value: "integer"',
    ),
    Case(
        "a size in MB",
        {"spec.batch.maxBytes": "25MB"},
        "not a size; write a whole number with a unit, such as '25Mi'",
    ),
    Case(
        "a size with a fraction",
        {"spec.buffer.size": "1.5Gi"},
        "not a size; write a whole number with a unit",
    ),
    Case("objects of 6Gi", {"spec.batch.maxBytes": "6Gi"}, "out of range; write a size from '1Ki' to '5Gi'"),
    Case(
        "a Secret of keys without a name",
        {"spec.source.auth": {"secretRef": {"name": "-"}}},
        "spec.source.auth.secretRef.name: Invalid value",
    ),
    Case(
        "a Secret for TLS in capitals",
        {"spec.source.tls": {"secretRef": {"name": "TLS"}}},
        "spec.source.tls.secretRef.name: Invalid value",
    ),
    Case(
        "records larger than requests",
        {"spec.source.maxRequestBytes": "512Ki"},
        "a record can't be larger than a request; write at most maxRequestBytes, '512Ki'",
    ),
    Case(
        "a keep-alive of a day",
        {"spec.source.keepAlive": "24h"},
        "out of range; write a duration from '100ms' to '1h'",
    ),
    Case(
        "a keep-alive without a unit",
        {"spec.source.keepAlive": "10"},
        "not a duration; write one such as '10s', '5m' or '1h30m'",
    ),
    Case(
        "the Firehose API",
        {"spec.source.firehose": {"enabled": True}},
        "the Firehose API is planned, but not in this version; write false or take it out",
    ),
)
PARTITIONING: Final = (
    Case("no key source", key(), "exactly one finds a record's key; write one of regex, jsonPointers"),
    Case(
        "two key sources",
        key(header="X-Shard-Key", urlPath=True),
        "exactly one finds a record's key; write one of regex, jsonPointers",
    ),
    Case("a header", key(header="X-Shard-Key")),
    Case("a header's name with a space", key(header="Shard Key"), "not the name of an HTTP header"),
    Case("a header of HTTP's own", key(header="Content-Type"), "has a meaning of its own in HTTP"),
    Case("the URL", key(urlPath=True)),
    Case("JSON Pointers", key(jsonPointers={"customer": "/customer_id", "site": "/site/~1id"})),
    Case(
        "a JSON Pointer without its '/'",
        key(jsonPointers={"a": "customer_id"}),
        "a JSON Pointer begins with '/'",
    ),
    Case("a JSON Pointer with a lone '~'", key(jsonPointers={"a": "/x~y"}), "has ~0 for '~' and ~1 for '/'"),
    Case(
        "a field called time", key(jsonPointers={"time": "/t"}), "and is not time; write one such as customer"
    ),
    Case("no JSON Pointer", key(jsonPointers={}), "empty; write at least one field"),
    Case(
        "Ruby's slashes",
        key(regex=r"/^(?P<path>\S+) (?P<content>.+)$/m"),
        "stands between slashes, as in Ruby",
    ),
    Case(
        "Ruby's groups",
        key(regex=r"^(?<path>\S+) (?<content>.+)$"),
        "(?<name>...) is Ruby's; write (?P<name>...)",
    ),
    Case("no group", key(regex=r"^\S+ .+$"), "needs a named group that is the key"),
    Case("only what is stored", key(regex=r"^\S+ (?P<content>.+)$"), "needs a named group that is the key"),
    Case("a letter beyond ASCII", key(regex=r"^é(?P<path>\S+)$"), "only ASCII can be used"),
    Case("a lookbehind", key(regex=r"(?<=key=)(?P<path>\w+)")),
    Case(
        "an expression that doesn't compile",
        key(regex=r"^(?P<path>\S+ (?P<content>.+)$"),
        late="unterminated",
    ),
    Case(
        "an unknown choice",
        {"spec.partitioning.onInvalid": "Drop"},
        'Unsupported value: "Drop": supported values: "Reject", "Quarantine"',
    ),
)
BATCH: Final = (
    Case("a window of 90 s", {"spec.batch.window": "1m30s"}),
    Case("a window in words", {"spec.batch.window": "1 hour"}, "not a duration; write one such as '10s'"),
    Case(
        "an age of a week",
        {"spec.batch.maxAge": "168h"},
        "out of range; write a duration from '1s'",
        problems=2,
    ),
    Case("a window of half a second", {"spec.batch.window": "500ms"}, "write a duration from '1s' to '24h'"),
    Case(
        "a window of 1.5 s",
        {"spec.batch.window": "1s500ms"},
        "not a whole number of seconds; write one such as '90s'",
    ),
    Case(
        "an age beyond the window",
        {"spec.batch.window": "5m", "spec.batch.maxAge": "10m"},
        "an object ends with its window anyway; write at most '5m', or take it out",
    ),
    Case("an age as long as the window", {"spec.batch.window": "1h", "spec.batch.maxAge": "60m"}),
)
OBJECT: Final = (
    Case(
        "a Hive layout",
        {
            **key(jsonPointers={"customer": "/customer_id"}),
            "spec.object.prefix": "customer={customer}/dt={time:%Y-%m-%d}/",
        },
    ),
    Case(
        "a field that the expression doesn't have",
        {"spec.object.prefix": "{customer}/"},
        "uses a field that the key lacks; write one of the named groups of partitioning.regex",
    ),
    Case(
        "what is stored, as a field",
        {"spec.object.prefix": "{content}/"},
        "uses a field that the key lacks; write one of the named groups",
    ),
    Case(
        "a field that no pointer is given to",
        {**key(jsonPointers={"customer": "/id"}), "spec.object.prefix": "{site}/"},
        "write one of the names in partitioning.jsonPointers",
    ),
    Case(
        "a field that a header doesn't have",
        {**key(header="X-Shard-Key"), "spec.object.prefix": "{customer}/"},
        "uses a field that the key lacks; write {key}",
    ),
    Case(
        "a brace without a partner",
        {"spec.object.prefix": "{path/"},
        "a brace has no partner; write fields as {name} and times as {time:%Y-%m-%d}",
    ),
    Case(
        "a token that is no name",
        {"spec.object.prefix": "{path-1}/"},
        "a field's name has letters, digits and _",
    ),
    Case(
        "a time without a format",
        {"spec.object.prefix": "{path}/{time}/"},
        "{time} needs a format",
    ),
    Case("a month's name", {"spec.object.prefix": "{path}/{time:%b}/"}, "only digits of a fixed width"),
    Case("no '/' at the end", {"spec.object.prefix": "{path}"}, "write a '/' at the end"),
    Case("a '/' at the start", {"spec.object.prefix": "/{path}/"}, "S3 keys don't begin with '/'"),
    Case("an empty segment", {"spec.object.prefix": "a//{path}/"}, "has an empty segment"),
    Case("a folder above", {"spec.object.prefix": "../{path}/"}, "'.' and '..' can't be segments"),
    Case(
        "a character that breaks readers", {"spec.object.prefix": "a#b/{path}/"}, "a character can't be used"
    ),
    Case(
        "two fields in a segment",
        {**key(jsonPointers={"a": "/a", "b": "/b"}), "spec.object.prefix": "{a}-{b}/"},
        "two fields in one segment could give one prefix for two keys; write a '/' between them",
    ),
    Case(
        "two fields with a time and a '/' between",
        {**key(jsonPointers={"a": "/a", "b": "/b"}), "spec.object.prefix": "{a}{time:%Y/%m}{b}/"},
    ),
    Case("errors without a reason", {"spec.object.errorPrefix": "errors/"}, "write {reason} somewhere in it"),
    Case(
        "errors by key",
        {"spec.object.errorPrefix": "errors/{reason}/{path}/"},
        "a bad record has no key; write only {reason} and {time:...}",
    ),
    Case("errors with a lone brace", {"spec.object.errorPrefix": "e/{reason}/}/"}, "a brace has no partner"),
    Case(
        "errors by a month's name",
        {"spec.object.errorPrefix": "e/{reason}/{time:%b}/"},
        "only digits of a fixed",
    ),
    Case(
        "errors without a '/' at the end",
        {"spec.object.errorPrefix": "errors/{reason}"},
        "write a '/' at the end",
    ),
    Case("errors without a beginning", {"spec.object.errorPrefix": "{reason}/"}, "write some at the start"),
    Case(
        "data among the errors",
        {"spec.object.prefix": "errors/{path}/"},
        "object.prefix begins like it; write another beginning",
    ),
    Case("zstd at 19", {"spec.object.compression": "zstd", "spec.object.level": 19}),
    Case("gzip at 9", {"spec.object.level": 9}, "gzip has levels 0 to 3; write one of them"),
    Case(
        "zstd at 0",
        {"spec.object.compression": "zstd", "spec.object.level": 0},
        "zstd has levels 1 to 19; write one of them",
    ),
    Case(
        "a level without compression",
        {"spec.object.compression": "none", "spec.object.level": 1},
        "no compression, no levels; take it out",
    ),
    Case(
        "an unknown compression",
        {"spec.object.compression": "snappy"},
        'Unsupported value: "snappy": supported values: "gzip", "zstd", "none"',
    ),
    Case(
        "Parquet",
        {"spec.object.format": "Parquet"},
        "Parquet is planned, but not in this version; write 'Lines'",
    ),
)
BUFFER: Final = (
    Case(
        "a small buffer for small things",
        {
            "spec.buffer.size": "256Mi",
            "spec.batch.maxBytes": "1Mi",
            "spec.source.maxRequestBytes": "1Mi",
        },
    ),
    Case(
        "a buffer for less than two objects",
        {"spec.buffer.size": "10Gi", "spec.batch.maxBytes": "5Gi"},
        "too small for objects of 5Gi and requests of 32Mi; write 20Gi, which is enough",
    ),
    Case(
        "a buffer for less than three segments",
        {"spec.buffer.size": "1Gi", "spec.source.maxRequestBytes": "512Mi"},
        "too small for objects of 25Mi and requests of 512Mi; write 5Gi, which is enough",
    ),
    Case("the smallest default buffer", {"spec.buffer.size": "310Mi"}),
    Case("less than that", {"spec.buffer.size": "309Mi"}, "too small for objects of 25Mi"),
    Case(
        "a watermark of 100 %",
        {"spec.buffer.highWatermarkPercent": 100},
        "should be less than or equal to 99",
    ),
    Case("a buffer that grows", {"spec.buffer.size": "10240Mi"}, before={"spec.buffer.size": "10Gi"}),
    Case(
        "a buffer that shrinks",
        {"spec.buffer.size": "9Gi"},
        "volumes can't shrink; write at least '10Gi'",
        before={"spec.buffer.size": "10Gi"},
        admission=True,
    ),
    Case(
        "another class of volumes",
        {"spec.buffer.storageClassName": "fast"},
        "the class of volumes can't be changed; write 'gp3', or make another S3Sink",
        before={"spec.buffer.storageClassName": "gp3"},
        admission=True,
    ),
    Case(
        "a class of volumes afterwards",
        {"spec.buffer.storageClassName": "fast"},
        "the class of volumes can't be changed; write '', or make another S3Sink",
        before={},
        admission=True,
    ),
    Case(
        "a class of volumes that none has",
        {"spec.buffer.storageClassName": "fast disks"},
        "not an object's name; write a-z, 0-9, '-' and '.'",
    ),
    Case(
        "another key source",
        key(header="X-Shard-Key"),
        before={"spec.buffer.storageClassName": "gp3"},
    ),
    Case(
        "an unknown fate of volumes",
        {"spec.buffer.whenDeleted": "Delete"},
        'supported values: "DrainThenDelete", "DrainThenRetain", "Retain", "DiscardData"',
    ),
)
PODS: Final = (
    Case("no pods", {"spec.replicas": 0}),
    Case("fewer than none", {"spec.replicas": -1}, "should be greater than or equal to 0", problems=2),
    Case("autoscaling", {"spec.autoscaling": {"minReplicas": 2, "maxReplicas": 10}}),
    Case(
        "autoscaling without a bound", {"spec.autoscaling": {}}, "spec.autoscaling.maxReplicas: Required value"
    ),
    Case(
        "bounds the wrong way round",
        {"spec.autoscaling": {"minReplicas": 5, "maxReplicas": 3}},
        "more than maxReplicas; write a smaller number",
    ),
    Case(
        "replicas beyond autoscaling's",
        {"spec.replicas": 11, "spec.autoscaling": {"maxReplicas": 10}},
        "more than autoscaling.maxReplicas; take replicas out: autoscaling sets them",
        admission=True,
    ),
    Case(
        "a lower bound for more pods than that",
        {"spec.autoscaling": {"maxReplicas": 3}},
        before={"spec.replicas": 8, "spec.autoscaling": {"maxReplicas": 10}},
    ),
    Case("a quarter may be away", {"spec.podDisruptionBudget.maxUnavailable": "25%"}),
    Case(
        "a word for a number",
        {"spec.podDisruptionBudget.maxUnavailable": "one"},
        "not a number of pods; write one such as 1, or a percentage such as '25%'",
    ),
    Case(
        "a label of the operator's",
        {"spec.podTemplate.labels": {"s3sink.dev/sink": "other"}},
        "set by the operator; take out those that begin with s3sink.dev/ or app.kubernetes.io/",
    ),
    Case(
        "an annotation of the operator's",
        {"spec.podTemplate.annotations": {"s3sink.dev/settings-hash": "x"}},
        "set by the operator; take out those that begin with s3sink.dev/ or app.kubernetes.io/",
    ),
    Case(
        "a priority that none has",
        {"spec.podTemplate.priorityClassName": "High!"},
        "spec.podTemplate.priorityClassName: Invalid value",
    ),
    Case(
        "a service account's ARN",
        {"spec.podTemplate.serviceAccountName": "arn:aws:iam::1:role/x"},
        "spec.podTemplate.serviceAccountName: Invalid value",
    ),
    Case("secrets to pull with", {"spec.podTemplate.imagePullSecrets": [{"name": "a"}, {"name": "b.c"}]}),
    Case(
        "a secret to pull with that none is called",
        {"spec.podTemplate.imagePullSecrets": [{"name": "regcred"}, {"name": "Registry!"}]},
        "spec.podTemplate.imagePullSecrets[1].name: Invalid value",
    ),
    Case(
        "a secret to pull with that has no name",
        {"spec.podTemplate.imagePullSecrets": [{}]},
        "spec.podTemplate.imagePullSecrets[0].name: Required value",
    ),
    Case("labels that Prometheus selects by", {"spec.monitoring.labels": {"release": "prometheus"}}),
    Case(
        "a label of the operator's on what it makes for Prometheus",
        {"spec.monitoring.labels": {"app.kubernetes.io/name": "x"}},
        "set by the operator; take out those that begin with s3sink.dev/ or app.kubernetes.io/",
    ),
    Case("CPUs as a number", {"spec.podTemplate.resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}),
    Case(
        "the pod's name as a variable",
        {"spec.podTemplate.env": [{"name": "POD_NAME", "value": "x"}]},
        "POD_NAME and POD_UID are set by the operator; take them out",
    ),
    Case(
        "the pod's UID as a variable",
        {"spec.podTemplate.env": [{"name": "POD_UID", "value": "x"}]},
        "POD_NAME and POD_UID are set by the operator; take them out",
    ),
    Case(
        "credentials twice",
        {
            "spec.destination.credentials": {"secretRef": {"name": "s3"}},
            "spec.podTemplate.env": [{"name": "AWS_ACCESS_KEY_ID", "value": "x"}],
        },
        "credentials come from destination.credentials.secretRef; take them out here",
    ),
    Case(
        "authorities twice",
        {
            "spec.destination.caBundle": {"secretRef": {"name": "authorities"}},
            "spec.podTemplate.env": [{"name": "AWS_CA_BUNDLE", "value": "/etc/ca.crt"}],
        },
        "AWS_CA_BUNDLE comes from destination.caBundle.secretRef; take it out here",
    ),
    Case(
        "a toleration that is misspelt",
        {"spec.podTemplate.tolerations": [{"keys": "dedicated"}]},
        'unknown field "spec.podTemplate.tolerations[0].keys"',
        admission=True,
    ),
    Case(
        "a memory limit that is no quantity",
        {"spec.podTemplate.resources": {"limits": {"memory": "1 GB"}}},
        "spec.podTemplate.resources.limits.memory",
        admission=True,
    ),
    Case("a port beyond the last", {"spec.service.port": 70000}, "should be less than or equal to 65535"),
    Case(
        "alerts that don't exist yet",
        {"spec.monitoring.prometheusRule": "Enabled"},
        'supported values: "Auto", "Disabled"',
    ),
)  # fmt: skip
LABELS: Final = (
    Case("a label of one's own", {"spec.podTemplate.labels": {"team": "data"}}),
    Case(
        "the longest label",
        {"spec.podTemplate.labels": {f"{'d' * 253}/{'n' * 63}": "v" * 63, "a.B-c_1": ""}},
    ),
    Case(
        "a label whose name has a space",
        {"spec.podTemplate.labels": {"team": "data", "cost center": "7"}},
        "no label has such a name: cost center; write at most 63 letters, digits,",
    ),
    Case(
        "a label whose name is too long",
        {"spec.podTemplate.labels": {"n" * 64: ""}},
        f"no label has such a name: {'n' * 64}; write at most 63",
    ),
    Case(
        "a label whose domain is too long",
        {"spec.podTemplate.labels": {f"{'d' * 254}/n": ""}},
        "no label has such a name: ddd",
    ),
    Case(
        "a label whose domain has capitals",
        {"spec.podTemplate.labels": {"Example.com/team": ""}},
        "no label has such a name: Example.com/team; write",
    ),
    Case(
        "a label with two slashes",
        {"spec.podTemplate.labels": {"a/b/c": ""}},
        "no label has such a name: a/b/c; write",
    ),
    Case(
        "a label without a name", {"spec.podTemplate.labels": {"": "x"}}, "no label has such a name: ; write"
    ),
    Case(
        "a label whose value is an address",
        {"spec.podTemplate.labels": {"team": "data", "owner": "data@example.com"}},
        "no label has such a value as that of: owner; write at most 63 letters, digits,",
    ),
    Case(
        "a label whose value is too long",
        {"spec.podTemplate.labels": {"team": "v" * 64}},
        "spec.podTemplate.labels.team: Too long: may not be more than 63",
    ),
    Case(
        "a label of what is made for Prometheus with a space",
        {"spec.monitoring.labels": {"release": "kube prometheus"}},
        "no label has such a value as that of: release; write",
    ),
    Case("nodes of one kind", {"spec.podTemplate.nodeSelector": {"kubernetes.io/arch": "arm64", "gpu": ""}}),
    Case(
        "nodes by an expression",
        {"spec.podTemplate.nodeSelector": {"pool": "!spot"}},
        "no label has such a value as that of: pool; write",
    ),
    Case(
        "nodes by a label that none has",
        {"spec.podTemplate.nodeSelector": {"node pool": "a"}},
        "no label has such a name: node pool; write",
    ),
    Case(
        "annotations of any text",
        {
            "spec.podTemplate.annotations": {"Example.com/note": "anything: é, {}", "empty": ""},
            "spec.service.annotations": {"service.beta.kubernetes.io/aws-load-balancer-type": "external"},
        },
    ),
    Case(
        "an annotation whose name ends in a slash",
        {"spec.podTemplate.annotations": {"example.com/": "x"}},
        "no annotation has such a name: example.com/; write",
    ),
    Case(
        "annotations that are too long together",
        {"spec.podTemplate.annotations": {f"a{number}": "é" * 4000 for number in range(32)}},
        "too long together; write at most 250000 bytes of names and values",
    ),
    Case(
        "an annotation of the Service with a colon",
        {"spec.service.annotations": {"aws:type": "external"}},
        "no annotation has such a name: aws:type; write",
    ),
    Case(
        "an annotation of the Service that is the operator's",
        {"spec.service.annotations": {"s3sink.dev/applied-hash": "x"}},
        "set by the operator; take out those that begin with s3sink.dev/ or app.kubernetes.io/",
    ),
)
CASES: Final = (*NAMES, *DESTINATION, *SOURCE, *PARTITIONING, *BATCH, *OBJECT, *BUFFER, *PODS, *LABELS)
