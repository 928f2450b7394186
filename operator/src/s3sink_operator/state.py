"""What is observed, what is to be done, and what came of it: the types that the pure core and its edges share. Pure.

Objects of Kubernetes are plain dicts in the API's own words (typed models of a client refuse fields they don't know).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

Object = Mapping[str, Any]
"""A Kubernetes object as its JSON. Never changed in place."""


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """A kind of objects."""

    api_version: str
    kind: str


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """One object. ``namespace`` is empty for objects that have none."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def resource(self) -> Resource:
        """Its kind."""
        return Resource(self.api_version, self.kind)


def ref_of(manifest: Object) -> Ref:
    """The reference of an object."""
    meta = manifest["metadata"]
    return Ref(manifest["apiVersion"], manifest["kind"], meta.get("namespace", ""), meta["name"])


POD = Resource("v1", "Pod")
VOLUME_CLAIM = Resource("v1", "PersistentVolumeClaim")
SECRET = Resource("v1", "Secret")
STATEFUL_SET = Resource("apps/v1", "StatefulSet")
JOB = Resource("batch/v1", "Job")
STORAGE_CLASS = Resource("storage.k8s.io/v1", "StorageClass")
SERVICE_MONITOR = Resource("monitoring.coreos.com/v1", "ServiceMonitor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one ingester says at ``/status``. Bytes, seconds."""

    pod: str
    pod_uid: str
    ready: bool
    state: str
    reason: str
    capacity_bytes: int | None
    buffer_bytes: int | None
    """Of records that aren't in the bucket yet."""
    oldest_record_age: float | None
    drain_epoch: str | None
    drained: bool
    last_success: str | None
    """RFC 3339 of the latest upload."""
    upload_failures: int
    destination_ok: bool | None
    last_error: str | None
    last_error_reason: str | None
    format_version: int | None
    damage: tuple[str, ...] = ()
    disk_bytes: int | None = None
    """What the buffer's files take up: records are refused when it nears the capacity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFacts:
    """All that is kept of a Secret: its keys, a digest of its data, and which values can't be used for what."""

    keys: frozenset[str]
    digest: str
    blank: frozenset[str] = frozenset()
    """Keys whose values are empty, or nothing but white space."""
    unsendable: frozenset[str] = frozenset()
    """Keys whose values aren't what a client could send as an API key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The cluster as far as one sink goes, read at the start of a reconcile."""

    sink: Object
    children: Mapping[Ref, Object]
    """Live objects with the names of children; one that isn't there has no entry."""
    pods: tuple[Object, ...] = ()
    volumes: tuple[Object, ...] = ()
    """PersistentVolumeClaims with the sink's label."""
    jobs: tuple[Object, ...] = ()
    """Those that empty a volume of the sink's."""
    job_pods: tuple[Object, ...] = ()
    reports: Mapping[str, Report] = field(default_factory=dict)
    """By pod name; a pod that could not be asked has no entry."""
    secrets: Mapping[str, SecretFacts | None] = field(default_factory=dict)
    """Each Secret that the spec names; None where there is no such Secret."""
    storage_class: Object | None = None
    """The class of the volumes: the one named by the spec, else the cluster's default one."""
    served: frozenset[Resource] = frozenset()
    """Optional kinds that the API server has now, such as ``ServiceMonitor``."""


# ---- actions: what a plan asks for. Each is safe to do again.


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of a child."""

    manifest: Object
    reason: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Server-side apply of labels, annotations and size on a volume claim, if it is still the one that was observed.

    They are the whole of what the operator wants on it: what was marked before and is left out here goes away.
    """

    ref: Ref
    uid: str
    resource_version: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    storage: str
    """The size that is requested; a larger one grows the volume."""
    reason: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletion of just this object: another one of its name, or a later version where given, is left alone."""

    ref: Ref
    uid: str
    reason: str
    resource_version: str | None = None
    propagation: Literal["Background", "Foreground", "Orphan"] = "Background"


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell an ingester to take no more records and to empty its volume. ``address``: IP of the pod."""

    pod: str
    pod_uid: str
    address: str
    epoch: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Tell an ingester to take records again."""

    pod: str
    pod_uid: str
    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class SetFinalizer:
    """Put the operator's finalizer on the sink, or take it off: then it may go."""

    present: bool
    reason: str


Action = Apply | Mark | Delete | Drain | Resume | SetFinalizer


class EventType(StrEnum):
    """Types of Kubernetes events."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """A transition that ``kubectl describe`` shows."""

    type: EventType
    reason: str
    """CamelCase, as a condition's."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one reconcile is to do. ``status`` is the whole of the sink's new status; ``requeue_after`` in seconds."""

    actions: tuple[Action, ...]
    status: Object
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None
    """None: only at the next event or resync."""
    is_upgrading: bool = False
    """Not all of its ingesters run the operator's image yet."""
    rolling_seconds: float | None = None
    """How long they have been on the way to what was applied last; None if they aren't, or if nothing tells."""


# ---- edges


class Cluster(Protocol):
    """The API server. All raise ``Unavailable``, ``Conflict`` or ``Refused``."""

    async def get(self, ref: Ref) -> Object | None:
        """One object, None if there is none (or no such kind)."""

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """Objects that have all of these labels."""

    async def apply(self, manifest: Object, *, subresource: Literal["", "status"] = "") -> Object:
        """Server-side apply as ``FIELD_MANAGER``, forced. A ``uid`` or ``resourceVersion`` in it is a precondition."""

    async def delete(self, action: Delete) -> None:
        """Delete one object; it is no error if it is gone."""

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server has this kind now."""

    async def emit(self, sink: Object, event: Event) -> None:
        """Record an event about a sink."""


class Ingesters(Protocol):
    """The ingesters' admin ports. ``drain`` and ``resume`` raise ``IngesterError``."""

    async def report(self, pod: Object) -> Report | None:
        """What the pod says of itself, None if it can't be asked."""

    async def drain(self, action: Drain) -> None:
        """Returns when the ingester has the epoch durably."""

    async def resume(self, action: Resume) -> None:
        """Returns when it takes records again."""
