"""The types of an S3Sink's spec. The docstring under a field is what ``kubectl explain`` and the reference say. Pure.

Sizes and durations stay as they were written (``25Mi``, ``1h30m``): the ingester reads the same notation, and a
volume claim is to show what the user asked for. A field without a default here has none in the CRD either: what it
means when it is left out stands in its docstring.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from s3sink_operator.spec import labels, patterns, pods, shapes, templates
from s3sink_operator.spec.kinds import Bounded, Duration, Embedded, Later, Named, Size, Text, Whole
from s3sink_operator.units import parse_size

USABLE_PERCENT = 92
"""What of a volume the buffer may take; the rest is the file system's. Measured with ext4 as Kubernetes makes it
(``mkfs.ext4 -m0``), a new volume has left: 93.1 % of 512Mi, 93.5 % of 1Gi, 94.2 % of 2Gi, 96.0 % of 4Gi, 97.3 % of
10Gi, 97.8 % of 50Gi, 98.3 % of 1Ti. One that was made otherwise, with 5 % for root, has that much less, which the
default high watermark still keeps clear of."""

PARQUET_LATER = "Parquet is planned, but not in this version; write 'Lines'"

ObjectName = Annotated[str, Text("name", shapes.object_name, 253, optional=False)]
OptionalObjectName = Annotated[str, Text("name", shapes.object_name, 253)]
LabelValue = Annotated[str, Text("label's value", labels.label_value, labels.LONGEST_VALUE)]
Labels = Annotated[dict[str, LabelValue], Bounded(64), Named((labels.label_name,))]
AddedLabels = Annotated[dict[str, LabelValue], Bounded(64), Named((labels.not_ours, labels.label_name))]
AddedAnnotations = Annotated[
    dict[str, str],
    Bounded(64),
    Named((labels.not_ours, labels.annotation_name)),
    AfterValidator(labels.few_bytes),
]


def usable_bytes(size: str) -> int:
    """Bytes that the buffer may take of a volume of this size."""
    return parse_size(size) * USABLE_PERCENT // 100


class Model(BaseModel):
    """Frozen, camelCase, strict about types, and no field that it doesn't know."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class SecretRef(Model):
    """A Secret in the sink's namespace."""

    name: ObjectName
    """Name of the Secret."""


class Credentials(Model):
    """Where the credentials for the bucket come from. Left out: the pods' workload identity (IRSA, EKS Pod Identity)
    through their service account."""

    secret_ref: SecretRef | None = None
    """Secret with the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, and `AWS_SESSION_TOKEN` if there is one.
    A change of it rolls the pods, one by one."""


class CaBundle(Model):
    """Who may have signed the store's certificate. Left out: the public certificate authorities."""

    secret_ref: SecretRef | None = None
    """Secret with the key `ca.crt`, PEM certificates of authorities, as cert-manager makes it. They are trusted in
    place of the public ones. A change of it rolls the pods, one by one."""


class Encryption(Model):
    """How the store encrypts objects at rest. Left out: as the bucket says."""

    type: Literal["AES256", "aws:kms"]
    """`AES256` (keys of the store) or `aws:kms` (a key in KMS)."""

    kms_key_id: Annotated[str, Text("ARN, id or alias", shapes.kms_key_id, 2048)] | None = None
    """Key of KMS to encrypt with; only with type `aws:kms`. Left out: the account's own key for S3."""


class Destination(Model):
    """The bucket that objects go to."""

    bucket: Annotated[str, Text("bucket name", shapes.bucket, 63, optional=False)]
    """The bucket's name."""

    region: Annotated[str, Text("region", shapes.region, 64)] = ""
    """The bucket's region. Needed for a bucket on AWS; other stores have `us-east-1` unless told otherwise."""

    endpoint: Annotated[str, Text("URL", shapes.endpoint, 512)] = ""
    """URL of an S3-compatible store, such as `https://minio.storage.svc:9000`. Empty: Amazon S3."""

    addressing_style: Literal["Auto", "Path", "Virtual"] = "Auto"
    """Where the bucket's name stands in a URL: in the path, in the host name, or as fits the endpoint (`Auto`)."""

    credentials: Credentials = Credentials()

    ca_bundle: CaBundle = CaBundle()

    encryption: Encryption | None = None

    storage_class: Annotated[str, Text("storage class", shapes.storage_class, 64)] = ""
    """Storage class of the objects, such as `STANDARD_IA`. Empty: the bucket's."""

    @field_validator("encryption", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == {} else value


class Auth(Model):
    """Who may send records. Left out: everybody who reaches the Service."""

    secret_ref: SecretRef | None = None
    """Secret whose every value is a key that clients send as `Authorization: Bearer <key>` or `X-Api-Key: <key>`.
    Read again when it changes; no pod is restarted."""


class Tls(Model):
    """TLS on the data port. Left out: plain HTTP."""

    secret_ref: SecretRef | None = None
    """Secret of type `kubernetes.io/tls`, as cert-manager makes it. Read again when it changes; no pod is restarted."""


class Firehose(Model):
    """The Firehose API (PutRecord, PutRecordBatch), which comes in a later version."""

    enabled: bool = False
    """Only `false` in this version."""


class Source(Model):
    """The data port, where records come in over HTTP."""

    max_request_bytes: Annotated[str, Size("1Ki", "512Mi")] = "32Mi"
    """Largest request body, as sent and decompressed; larger ones get 413."""

    max_record_bytes: Annotated[str, Size("1", "512Mi")] = "1000Ki"
    """Largest record; larger ones are invalid records. At most `maxRequestBytes`."""

    keep_alive: Annotated[str, Duration("100ms", "1h")] = "10s"
    """How long a connection may be idle. Short ones spread load over new pods sooner."""

    auth: Auth = Auth()

    tls: Tls = Tls()

    firehose: Firehose = Firehose()


class Partitioning(Model):
    """How a record's key is found. Exactly one of `regex`, `jsonPointers`, `header` and `urlPath` is needed."""

    regex: Annotated[str, Text("regular expression", patterns.regex, 1024, optional=False)] | None = None
    r"""Python's regular expression, searched in each whole record, `.` matching line ends too. Its named groups are
    the key's fields; a group named `content` is what is stored instead of the record:
    `'^(?P<path>\S+) (?P<content>.+)$'`."""

    json_pointers: (
        Annotated[
            dict[str, Annotated[str, Text("JSON Pointer", patterns.json_pointer, 256, optional=False)]],
            Bounded(16),
        ]
        | None
    ) = None
    """Fields of the key, taken from each record, which is a JSON document: `{customer: /customer_id}`."""

    header: Annotated[str, Text("header name", shapes.header, 128, optional=False)] | None = None
    """The request header whose value is the key; in templates `{key}` and `{path}` are both it."""

    url_path: bool = False
    """The key is what follows `/ingest/` in the URL; in templates `{key}` and `{path}` are both it."""

    on_invalid: Literal["Reject", "Quarantine"] = "Reject"
    """A record without a key: `Reject` answers 400 and stores nothing of the request, `Quarantine` stores the record
    under `object.errorPrefix`."""

    max_partitions: Annotated[int, Whole(1, 1_000_000)] = 10000
    """Keys that may be open at a time in a pod; records of further ones go to `object.errorPrefix` with reason
    `overflow`."""

    @field_validator("json_pointers")
    @classmethod
    def _named(cls, pointers: dict[str, str] | None) -> dict[str, str] | None:
        if pointers is not None:
            patterns.pointer_names(pointers)
        return pointers


class Batch(Model):
    """When an object is finished: by the end of its window, by size or by age, whichever comes first."""

    window: Annotated[str, Duration("1s", "24h", whole=True)] = "1h"
    """Slice of wall-clock time (UTC) that groups records, in whole seconds; no object holds records of two."""

    max_bytes: Annotated[str, Size("1Ki", "5Gi")] = "25Mi"
    """Size of an object before compression, passed by at most one request."""

    max_age: Annotated[str, Duration("1s", "24h")] | None = None
    """Age of an object's first record at which it is finished anyway: how fresh the bucket is. At most `window`, which
    it is if left out."""


class ObjectLayout(Model):
    """What objects are called and hold. A prefix is followed by a file name that no two objects share."""

    prefix: Annotated[str, Text("template", templates.prefix, 412, optional=False)] | None = None
    """What object names begin with. May use the key's fields and `{time:...}` (strftime, UTC, start of the window):
    `'customer={customer}/dt={time:%Y-%m-%d}/'`. Left out: `'{path}/'` if the key has a field `path`, else its fields,
    a folder each."""

    error_prefix: Annotated[str, Text("template", templates.error_prefix, 412, optional=False)] = (
        "errors/{reason}/{time:%Y/%m/%d/%H}/"
    )
    """The prefix of invalid records and of those beyond `maxPartitions`. Uses `{reason}`, may use `{time:...}`."""

    compression: Literal["gzip", "zstd", "none"] = "gzip"
    """Compression of an object, which also names its extension: `.gz`, `.zst` or `.txt`."""

    level: Annotated[int, Whole(0, 19)] | None = None
    """Compression level: 0 to 3 for gzip, 1 to 19 for zstd. Left out: 1."""

    format: Annotated[Literal["Lines"], Later("Parquet", PARQUET_LATER)] = "Lines"
    """`Lines`: records as they came, one a line. Parquet comes in a later version."""


class Buffer(Model):
    """The volume of each pod, which holds records until they are in objects."""

    size: Annotated[str, Size("1Mi", "64Ti")] = "10Gi"
    """Size of each volume. May grow, never shrink. The buffer takes 92 % of it, the rest is the file system's."""

    storage_class_name: OptionalObjectName = ""
    """StorageClass of the volumes; can't be changed. Empty: the cluster's default one."""

    high_watermark_percent: Annotated[int, Whole(10, 99)] = 85
    """Percentage of the buffer above which requests get 503 and `Retry-After`; the rest is for finishing objects."""

    durability: Literal["Fsync", "Relaxed"] = "Fsync"
    """`Fsync`: 2xx means on stable storage. `Relaxed`: 2xx means written, and a node that crashes loses the last
    moments."""

    when_scaled: Literal["DeleteAfterDrain", "Retain"] = "DeleteAfterDrain"
    """What becomes of the volume of a pod that is scaled away. It is emptied into the bucket first, then deleted or
    kept (`Retain`)."""

    when_deleted: Literal["DrainThenDelete", "DrainThenRetain", "Retain", "DiscardData"] = "DrainThenDelete"
    """What becomes of the volumes when the S3Sink is deleted: emptied into the bucket and deleted, emptied and kept,
    kept as they are (`Retain`), or deleted with what is on them (`DiscardData`)."""

    @property
    def usable_bytes(self) -> int:
        """Bytes that the buffer may take of each volume."""
        return usable_bytes(self.size)


class PodTemplate(Model):
    """What the pods have besides what the operator gives them. Parts of it are as in any pod."""

    resources: Annotated[dict[str, Any], Embedded("ResourceRequirements")] = {}
    """Requests and limits of the container."""

    node_selector: Labels = {}
    """Labels of the nodes that pods may run on."""

    tolerations: Annotated[list[dict[str, Any]], Bounded(64), Embedded("Toleration")] = []
    """Taints of nodes that pods don't mind."""

    affinity: Annotated[dict[str, Any], Embedded("Affinity")] = {}
    """Nodes and neighbours that pods want or shun. Without a `podAntiAffinity` in it, and without
    `topologySpreadConstraints`, pods shun zones where others of the sink are."""

    topology_spread_constraints: (
        Annotated[list[dict[str, Any]], Bounded(16), Embedded("TopologySpreadConstraint")] | None
    ) = None
    """How pods are spread. Left out: over nodes, and by `affinity` over zones, as well as they go; an empty list: not
    at all."""

    labels: AddedLabels = {}
    """Labels of the pods, besides the operator's own."""

    annotations: AddedAnnotations = {}
    """Annotations of the pods, besides the operator's own."""

    priority_class_name: OptionalObjectName = ""
    """PriorityClass of the pods."""

    service_account_name: OptionalObjectName = ""
    """ServiceAccount of the pods, such as one with a role in AWS. Empty: one that the operator makes."""

    termination_grace_period_seconds: Annotated[int, Whole(1, 86_400)] | None = None
    """Seconds that a pod has to finish objects and upload them before it is killed. What it doesn't get done stays on
    its volume. Left out: 300."""

    image_pull_secrets: Annotated[list[SecretRef], Bounded(16)] = []
    """Secrets in the sink's namespace that the ingester's image is pulled with: `[{name: registry}]`."""

    env: Annotated[list[dict[str, Any]], Bounded(100), Embedded("EnvVar")] = []
    """Environment of the container, such as `HTTPS_PROXY`."""


class Service(Model):
    """The Service that clients send to, round-robin."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service."""

    port: Annotated[int, Whole(1, 65_535)] = 80
    """Port of the Service."""

    annotations: AddedAnnotations = {}
    """Annotations of the Service, besides the operator's own, such as those of a load balancer."""


class PodDisruptionBudget(Model):
    """How many pods a node drain or upgrade may take away at a time."""

    max_unavailable: Annotated[int | str, pods.CountOrPercent()] = 1
    """A number or a percentage, such as `1` or `25%`."""


class Autoscaling(Model):
    """A HorizontalPodAutoscaler on the S3Sink's own scale, so that a pod is emptied before it goes. It sets `replicas`:
    leave that out."""

    min_replicas: Annotated[int, Whole(1, pods.MAX_REPLICAS)] = 1
    """Fewest pods, also while `replicas` says fewer; `replicas: 0` stops all of them, and the autoscaler."""

    max_replicas: Annotated[int, Whole(1, pods.MAX_REPLICAS)]
    """Most pods."""

    target_cpu_utilization_percentage: Annotated[
        int, Whole(1, 1000), Field(alias="targetCPUUtilizationPercentage")
    ] = 70
    """Average use of CPU, in percent of what pods request, that the number of pods is chosen for."""


class NetworkPolicy(Model):
    """A NetworkPolicy for the pods."""

    enabled: bool = False
    """Whether there is one: everybody reaches the data port, and only the operator and collectors of metrics the admin
    port."""


class Monitoring(Model):
    """Objects for the Prometheus operator."""

    service_monitor: Literal["Auto", "Enabled", "Disabled"] = "Auto"
    """A ServiceMonitor for the pods' metrics. `Auto`: as soon as the cluster knows the kind."""

    prometheus_rule: Literal["Auto", "Disabled"] = "Auto"
    """Alerts. There are none yet in this version: `Auto` does nothing."""

    dashboard: Literal["Auto", "Disabled"] = "Auto"
    """A Grafana dashboard. There is none yet in this version: `Auto` does nothing."""

    labels: AddedLabels = {}
    """Labels of the ServiceMonitor, besides the operator's own: what your Prometheus selects by, such as
    `{release: prometheus}`."""


class Spec(Model):
    """What the sink is to be."""

    replicas: Annotated[int, Whole(0, pods.MAX_REPLICAS)] = 1
    """Number of ingesters; `kubectl scale` sets it. One that is scaled away is emptied into the bucket first.
    0: all are emptied and gone, and their volumes kept."""

    destination: Destination

    source: Source = Source()

    partitioning: Partitioning

    batch: Batch = Batch()

    object: ObjectLayout = ObjectLayout()

    buffer: Buffer = Buffer()

    pod_template: PodTemplate = PodTemplate()

    service: Service = Service()

    pod_disruption_budget: PodDisruptionBudget = PodDisruptionBudget()

    autoscaling: Autoscaling | None = None

    network_policy: NetworkPolicy = NetworkPolicy()

    monitoring: Monitoring = Monitoring()
