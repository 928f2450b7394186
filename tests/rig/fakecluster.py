"""An API server in memory: as much of one as the operator's decisions depend on. A `state.Cluster` for tests.

Server-side apply by one manager (fields that it drops go, unless somebody else set them), UID and resourceVersion
preconditions, generations, finalizers, immutable fields, quotas of none. Lists are one value, but for finalizers and
owner references. What controllers do is in `fakecontrollers`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from s3sink_operator import names
from s3sink_operator.errors import Conflict, Refused
from s3sink_operator.planner import quantities
from s3sink_operator.state import (
    SERVICE_MONITOR,
    STATEFUL_SET,
    STORAGE_CLASS,
    VOLUME_CLAIM,
    Delete,
    Event,
    Object,
    Ref,
    Resource,
    ref_of,
)

Json = dict[str, Any]

NAMESPACE = "team"
SINK = Resource(names.API_VERSION, names.KIND)
_OPTIONAL = frozenset({SERVICE_MONITOR})
_FIXED_OF_STATEFUL_SETS = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
_GRACEFUL = frozenset({"Pod"})
_PROTECTION = "kubernetes.io/pvc-protection"


class FakeCluster:
    """`served`: optional kinds that there are. Time stands still but for `pass_time`."""

    def __init__(self) -> None:
        self.objects: dict[Ref, Json] = {}
        self.served: set[Resource] = set()
        self.events: list[Event] = []
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
        self.changes = 0
        self.is_namespace_ending = False
        self.also_wanted: list[str] = []
        """Finalizers that another field manager wants as well."""
        self._applied: dict[Ref, Json] = {}
        self._others: dict[Ref, set[tuple[str, ...]]] = {}
        self._uids = 0

    # ---- state.Cluster

    async def get(self, ref: Ref) -> Object | None:
        """Objects are never changed in place, so this needn't be a copy."""
        return self.objects.get(ref)

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """See `state.Cluster`."""
        return [*self.select(resource, labels)]

    async def apply(self, manifest: Object, *, subresource: Literal["", "status"] = "") -> Object:
        """See `state.Cluster`."""
        ref = ref_of(manifest)
        live = self.objects.get(ref)
        self._check_preconditions(ref, manifest["metadata"])
        if subresource == "status":
            if live is None:
                raise Refused(f"{ref.kind} {ref.name} not found")
            return self.edit(ref, {**live, "status": _copy(manifest["status"])})
        wanted = _copy(manifest)
        for field in ("uid", "resourceVersion"):
            wanted["metadata"].pop(field, None)
        if live is None:
            self._check_creation(ref)
            self._applied[ref] = wanted
            return self._create(ref, _copy(wanted))
        merged = _copy(live)
        for path in _leaves(self._applied.get(ref, {})) - _leaves(wanted) - self._others.get(ref, set()):
            _remove(merged, path)
        _drop_from_sets(merged, self._applied.get(ref, {}), wanted, self.also_wanted)
        _merge(merged, wanted)
        result = self.edit(ref, merged)
        self._applied[ref] = wanted
        return result

    async def delete(self, action: Delete) -> None:
        """See `state.Cluster`."""
        live = self.objects.get(action.ref)
        if live is None:
            return
        meta = live["metadata"]
        if meta["uid"] != action.uid:
            raise Conflict(f"the UID of {action.ref.name} is {meta['uid']}")
        if action.resource_version not in (None, meta["resourceVersion"]):
            raise Conflict(f"{action.ref.name} was changed")
        self.remove(action.ref, action.propagation)

    async def serves(self, resource: Resource) -> bool:
        """See `state.Cluster`."""
        return resource in self.served

    async def emit(self, sink: Object, event: Event) -> None:
        """See `state.Cluster`."""
        self.events.append(event)

    # ---- what users and controllers do

    def select(self, resource: Resource, labels: Mapping[str, str] | None = None) -> Iterator[Json]:
        """The objects themselves, by name."""
        for ref in sorted(self.objects):
            one = self.objects[ref]
            if ref.resource == resource and (labels or {}).items() <= _labels(one).items():
                yield one

    def create(self, obj: Object) -> Json:
        """As somebody else than the operator."""
        ref = ref_of(obj)
        self._others[ref] = _leaves(dict(obj))
        return self._create(ref, _copy(obj))

    def edit(self, ref: Ref, changed: Json) -> Json:
        """Put another version of an object, if it is another one, and if it is admitted."""
        live = self.objects[ref]
        if changed == live:
            return live
        _admit(live, changed, self)
        meta = {**changed["metadata"]}
        changed = {**changed, "metadata": meta}
        if changed.get("spec") != live.get("spec"):
            meta["generation"] = live["metadata"]["generation"] + 1
        self.changes += 1
        meta["resourceVersion"] = str(self.changes)
        self.objects[ref] = changed
        self._let_go(ref)
        return changed

    def patch(self, ref: Ref, change: Object) -> Json:
        """Merge patch, as somebody else than the operator; None removes."""
        changed = _copy(self.objects[ref])
        _merge_patch(changed, change)
        self._others.setdefault(ref, set()).update(_leaves(dict(change)))
        return self.edit(ref, changed)

    def remove(
        self, ref: Ref, propagation: Literal["Background", "Foreground", "Orphan"] = "Background"
    ) -> None:
        """Delete it, as far as its finalizers let it."""
        live = self.objects[ref]
        if live["metadata"].get("deletionTimestamp"):
            return
        changed = _copy(live)
        meta = changed["metadata"]
        finalizers = {"Foreground": ["foregroundDeletion"], "Orphan": ["orphan"]}.get(propagation, [])
        meta["finalizers"] = [*meta.get("finalizers", []), *finalizers]
        meta["deletionTimestamp"] = self.time()
        meta["generation"] += 1
        self.edit(ref, changed)

    def end(self, ref: Ref) -> None:
        """A pod has ended; or whatever it is, is gone now."""
        del self.objects[ref]
        self._applied.pop(ref, None)
        self._others.pop(ref, None)
        self.changes += 1

    def drop_finalizer(self, ref: Ref, finalizer: str) -> None:
        """As its controller does."""
        changed = _copy(self.objects[ref])
        changed["metadata"]["finalizers"] = [
            one for one in changed["metadata"].get("finalizers", []) if one != finalizer
        ]
        self.edit(ref, changed)

    def time(self) -> str:
        """Now, as the API has it."""
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def pass_time(self, seconds: float) -> None:
        """Time goes by."""
        self.now += timedelta(seconds=seconds)

    # ---- inside

    def _create(self, ref: Ref, obj: Json) -> Json:
        self._uids += 1
        self.changes += 1
        _defaults(obj)
        if ref.resource == VOLUME_CLAIM:
            obj["metadata"].setdefault("finalizers", []).append(_PROTECTION)
        obj["metadata"] |= {
            "uid": f"uid-{self._uids}",
            "resourceVersion": str(self.changes),
            "generation": 1,
            "creationTimestamp": self.time(),
        }
        self.objects[ref] = obj
        return obj

    def _let_go(self, ref: Ref) -> None:
        meta = self.objects[ref]["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and ref.kind not in _GRACEFUL:
            self.end(ref)

    def _check_preconditions(self, ref: Ref, meta: Mapping[str, Any]) -> None:
        live = self.objects.get(ref)
        there = {} if live is None else live["metadata"]
        for field in ("uid", "resourceVersion"):
            if field in meta and meta[field] != there.get(field):
                raise Conflict(f"{ref.kind} {ref.name}: {field} isn't {meta[field]}")

    def _check_creation(self, ref: Ref) -> None:
        if ref.resource in _OPTIONAL and ref.resource not in self.served:
            raise Refused(f"no matches for kind {ref.kind}")
        if self.is_namespace_ending:
            raise Refused(f"{ref.name} is forbidden: namespace {ref.namespace} is being terminated")


def _copy(obj: Object) -> Json:
    copied: Json = json.loads(json.dumps(obj))
    return copied


def _labels(obj: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
    return labels


def _defaults(obj: Json) -> None:
    """A few of those that a real API server adds."""
    if obj["kind"] == "StatefulSet":
        obj["spec"].setdefault("replicas", 1)
        obj["spec"]["template"]["spec"].setdefault("restartPolicy", "Always")
        for template in obj["spec"]["volumeClaimTemplates"]:
            template |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}}
    if obj["kind"] == "Service":
        obj["spec"].setdefault("clusterIP", "10.0.0.1")


def _admit(live: Json, changed: Json, cluster: FakeCluster) -> None:
    """Raises Refused, as validation does."""
    kind, before, after = live["kind"], live.get("spec") or {}, changed.get("spec") or {}
    added = set(changed["metadata"].get("finalizers") or ()) - set(live["metadata"].get("finalizers") or ())
    if live["metadata"].get("deletionTimestamp") and added:
        raise Refused("metadata.finalizers: no new finalizers can be added if the object is being deleted")
    if kind == STATEFUL_SET.kind:
        for field in _FIXED_OF_STATEFUL_SETS:
            if before.get(field) != after.get(field):
                raise Refused(f"spec: updates to statefulset spec.{field} are forbidden")
    if kind == VOLUME_CLAIM.kind:
        sizes = [quantities.parse(one["resources"]["requests"]["storage"]) for one in (before, after)]
        classes = list(cluster.select(STORAGE_CLASS))
        if sizes[1] < sizes[0]:
            raise Refused("spec.resources.requests.storage: can not be less than previous value")
        if sizes[1] > sizes[0] and live.get("status", {}).get("phase") != "Bound":
            raise Refused("spec: is immutable after creation except resources.requests for bound claims")
        if sizes[1] > sizes[0] and not any(one.get("allowVolumeExpansion") for one in classes):
            raise Refused("only dynamically provisioned pvc can be resized")


def _leaves(value: Json, at: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for key, item in value.items():
        if isinstance(item, dict) and item:
            found |= _leaves(item, (*at, key))
        else:
            found.add((*at, key))
    return {path for path in found if path[-1] not in ("finalizers", "ownerReferences")}


def _remove(value: Json, path: tuple[str, ...]) -> None:
    for key in path[:-1]:
        value = value.get(key) or {}
    value.pop(path[-1], None)


def _merge(value: Json, change: Json) -> None:
    for key, item in change.items():
        if key in ("finalizers", "ownerReferences"):
            value[key] = [*value.get(key, []), *(one for one in item if one not in value.get(key, []))]
        elif isinstance(item, dict) and item:
            if not isinstance(value.get(key), dict):
                value[key] = {}
            _merge(value[key], item)
        else:
            value[key] = item


def _drop_from_sets(merged: Json, before: Json, after: Json, kept: Sequence[str]) -> None:
    for key in ("finalizers", "ownerReferences"):
        old, new = (one.get("metadata", {}).get(key) or [] for one in (before, after))
        if key in merged["metadata"]:
            merged["metadata"][key] = [
                one for one in merged["metadata"][key] if one in new or one not in old or one in kept
            ]


def _merge_patch(value: Json, change: Object) -> None:
    for key, item in change.items():
        if item is None:
            value.pop(key, None)
        elif isinstance(item, dict) and isinstance(value.get(key), dict):
            _merge_patch(value[key], item)
        else:
            value[key] = item
