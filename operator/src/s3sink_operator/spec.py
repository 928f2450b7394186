"""An S3Sink's spec as frozen types: what the API server has admitted, read again with every error at once. Pure.

Sizes and durations stay as they were written (``25Mi``, ``1h30m``): the ingester reads the same notation, and a
volume claim is to show what the user asked for. ``crds/`` is made from these types.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Quantity = Annotated[str, Field(pattern=r"^[0-9]{1,15}(Ki|Mi|Gi|Ti|k|M|G|T)?$")]
"""Bytes, as ``25Mi``."""
Duration = Annotated[str, Field(pattern=r"^([0-9]{1,9}(h|m|s|ms))+$")]
"""As ``1h30m``."""


class Model(BaseModel):
    """Frozen, camelCase, and no field that it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class SecretRef(Model):
    name: str


class SecretKey(Model):
    name: str
    key: str | None = None


class Credentials(Model):
    secret_ref: SecretRef | None = None


class Encryption(Model):
    type: Literal["AES256", "aws:kms"]
    kms_key_id: str | None = None


class Destination(Model):
    bucket: str
    region: str = ""
    endpoint: str = ""
    addressing_style: Literal["Auto", "Path", "Virtual"] = "Auto"
    credentials: Credentials = Credentials()
    encryption: Encryption | None = None
    storage_class: str = ""


class Auth(Model):
    """Who may send records. Left out: everybody who reaches the Service."""

    secret_ref: SecretRef | None = None
    """Secret whose every value is a key that clients send as ``Authorization: Bearer <key>`` or ``X-Api-Key``."""


class Tls(Model):
    secret_ref: SecretRef | None = None
    """Secret of type ``kubernetes.io/tls``."""


class Firehose(Model):
    enabled: bool = False


class Source(Model):
    max_request_bytes: Quantity = "32Mi"
    max_record_bytes: Quantity = "1000Ki"
    keep_alive: Duration = "10s"
    auth: Auth = Auth()
    tls: Tls = Tls()
    firehose: Firehose = Firehose()


class Partitioning(Model):
    regex: str | None = None
    json_pointers: dict[str, str] | None = None
    header: str | None = None
    url_path: bool = False
    on_invalid: Literal["Reject", "Quarantine"] = "Reject"
    max_partitions: int = 10000


class Batch(Model):
    window: Duration = "1h"
    max_bytes: Quantity = "25Mi"
    max_age: Duration | None = None


class ObjectLayout(Model):
    prefix: str | None = None
    error_prefix: str = "errors/{reason}/{time:%Y/%m/%d/%H}/"
    compression: Literal["gzip", "zstd", "none"] = "gzip"
    level: int | None = None
    format: Literal["Lines"] = "Lines"


class Buffer(Model):
    size: Quantity = "10Gi"
    storage_class_name: str = ""
    high_watermark_percent: int = 85
    durability: Literal["Fsync", "Relaxed"] = "Fsync"
    when_scaled: Literal["DeleteAfterDrain", "Retain"] = "DeleteAfterDrain"
    when_deleted: Literal["DrainThenDelete", "DrainThenRetain", "Retain", "DiscardData"] = "DrainThenDelete"


class PodTemplate(Model):
    resources: dict[str, Any] = {}
    node_selector: dict[str, str] = {}
    tolerations: list[dict[str, Any]] = []
    affinity: dict[str, Any] = {}
    topology_spread_constraints: list[dict[str, Any]] | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    priority_class_name: str = ""
    service_account_name: str = ""
    termination_grace_period_seconds: int | None = None
    env: list[dict[str, Any]] = []


class Service(Model):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    port: int = 80
    annotations: dict[str, str] = {}


class PodDisruptionBudget(Model):
    max_unavailable: int | str = 1


class Autoscaling(Model):
    min_replicas: int = 1
    max_replicas: int
    target_cpu_utilization_percentage: Annotated[int, Field(alias="targetCPUUtilizationPercentage")] = 70


class NetworkPolicy(Model):
    enabled: bool = False


class Monitoring(Model):
    service_monitor: Literal["Auto", "Enabled", "Disabled"] = "Auto"
    prometheus_rule: Literal["Auto", "Enabled", "Disabled"] = "Auto"
    dashboard: Literal["Auto", "Enabled", "Disabled"] = "Auto"


class Spec(Model):
    replicas: int = 1
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
