"""What an operator might observe of the sink `events`, piece by piece, for tables of its decisions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from s3sink_operator import names
from s3sink_operator.manifests import Context, Owner, render
from s3sink_operator.spec import parse
from s3sink_operator.state import Object, Observed, Ref, Report, Resource, SecretFacts, ref_of

NAMESPACE, NAME, UID = "team", "events", "uid-of-the-sink"
IMAGE = "example.org/s3sink-ingester:1"
EARLIER, LATER = "2026-11-24T11:00:00Z", "2026-11-24T12:00:00Z"

Json = dict[str, Any]


def sink(*, generation: int = 7, status: Json | None = None, meta: Json | None = None, **spec: Any) -> Json:
    """With the finalizer. `meta` adds to the metadata, `spec` to what has to be there."""
    least = {
        "destination": {"bucket": "the-output-bucket", "region": "us-east-1"},
        "partitioning": {"urlPath": True},
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "uid": UID,
            "generation": generation,
            "creationTimestamp": EARLIER,
            "finalizers": [names.FINALIZER],
            **(meta or {}),
        },
        "spec": {"replicas": 2, **least, **spec},
        **({"status": status} if status else {}),
    }


_MERGED: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "env": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "port", "protocol"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Lists that are merged, and by which of these keys an item is known."""


def managed(manifest: Object, *, time: str = LATER) -> list[Json]:
    """What the API server notes in `managedFields` when the operator has applied this."""
    known = ("apiVersion", "kind", "status")
    fields = _owned({key: value for key, value in manifest.items() if key not in known}, "")
    by_us = {"manager": names.FIELD_MANAGER, "operation": "Apply", "time": time}
    return [{**by_us, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}]


def _owned(value: Any, field: str) -> Json:
    """A map is owned field by field, a list by the keys of its items or as a whole."""
    if isinstance(value, Mapping):
        return {f"f:{key}": _owned(below, key) for key, below in value.items()}
    if not isinstance(value, list) or field not in _MERGED:
        return {}
    owned = {}
    for item in value:
        known = {"protocol": "TCP", **item}
        keys = json.dumps({key: known[key] for key in _MERGED[field] if key in known})
        owned[f"k:{keys}"] = {".": {}, **_owned(item, "")}
    return owned


def claim(
    ordinal: int,
    *,
    drain: str | None = None,
    drained: str | None = None,
    marked: str | None = UID,
    phase: str = "Bound",
    requested: str = "10Gi",
    capacity: str | None = "10Gi",
    ending: bool = False,
    conditions: Iterable[Json] = (),
) -> Json:
    """A volume claim. `drain`: epoch; `drained`: `<uid>/<epoch>`; `marked`: UID of the sink whose it is."""
    name = names.volume_claim(NAME, ordinal)
    labels = {names.SINK_LABEL: NAME}
    if marked is not None:
        labels |= {names.SINK_UID_LABEL: marked, names.ORDINAL_LABEL: str(ordinal)}
    annotations = {}
    if drain is not None:
        annotations[names.DRAIN] = f"requested/{drain}"
    if drained is not None:
        annotations[names.DRAINED] = drained
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-of-claim-{ordinal}",
            "resourceVersion": f"10{ordinal}",
            "creationTimestamp": LATER,
            "labels": labels,
            "annotations": annotations,
            **({"deletionTimestamp": LATER} if ending else {}),
        },
        "spec": {
            "resources": {"requests": {"storage": requested}},
            **({"volumeName": f"pv-{ordinal}"} if phase == "Bound" else {}),
        },
        "status": {
            "phase": phase,
            **({"capacity": {"storage": capacity}} if capacity and phase == "Bound" else {}),
            "conditions": list(conditions),
        },
    }


def pod(ordinal: int, *, ready: bool = True, ending: bool = False, owned: bool = True, **status: Any) -> Json:
    """A pod of the StatefulSet, running."""
    name = names.pod(NAME, ordinal)
    owner = {"kind": "StatefulSet", "name": names.child(NAME), "uid": "uid-of-set", "controller": True}
    volume = {"persistentVolumeClaim": {"claimName": names.volume_claim(NAME, ordinal)}, "name": "buffer"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-of-pod-{ordinal}",
            "creationTimestamp": EARLIER,
            "labels": {names.SINK_LABEL: NAME},
            "ownerReferences": [owner] if owned else [],
            **({"deletionTimestamp": LATER} if ending else {}),
        },
        "spec": {"volumes": [volume]},
        "status": {
            "phase": "Running",
            "podIP": f"10.0.0.{ordinal}",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            **status,
        },
    }


def report(ordinal: int, *, epoch: str | None = None, drained: bool = False, **fields: Any) -> Report:
    """What a pod says; by default that all is well."""
    known: dict[str, Any] = {
        "pod": names.pod(NAME, ordinal),
        "pod_uid": f"uid-of-pod-{ordinal}",
        "ready": epoch is None,
        "state": "open" if epoch is None else "draining",
        "reason": "",
        "capacity_bytes": 1000,
        "buffer_bytes": 0 if drained else 100,
        "oldest_record_age": None if drained else 60.0,
        "drain_epoch": epoch,
        "drained": drained,
        "last_success": None,
        "upload_failures": 0,
        "destination_ok": True,
        "last_error": None,
        "last_error_reason": None,
        "format_version": 1,
    }
    return Report(**known | fields)


def job(ordinal: int, *, epoch: str, ended: str | None = None, applied_hash: str | None = None) -> Json:
    """A drain Job. `ended`: `Complete` or `Failed`."""
    condition = {"type": ended, "status": "True", "lastTransitionTime": LATER, "message": "gave up"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.drain_job(NAME, ordinal),
            "namespace": NAMESPACE,
            "uid": f"uid-of-job-{ordinal}",
            "creationTimestamp": LATER,
            "labels": {names.SINK_UID_LABEL: UID},
            "annotations": {names.DRAIN: f"requested/{epoch}", names.APPLIED_HASH: applied_hash},
        },
        "status": {"conditions": [condition] if ended else []},
    }


def job_pod(ordinal: int, *, name: str = "x7k2p", created: str = LATER, **status: Any) -> Json:
    """A pod of `job`, running. It is never a pod of the sink."""
    owner = {
        "kind": "Job",
        "name": names.drain_job(NAME, ordinal),
        "uid": f"uid-of-job-{ordinal}",
        "controller": True,
    }
    meta = {
        "name": f"{names.drain_job(NAME, ordinal)}-{name}",
        "namespace": NAMESPACE,
        "uid": f"uid-of-job-pod-{ordinal}-{name}",
        "creationTimestamp": created,
        "labels": {names.SINK_UID_LABEL: UID},
        "ownerReferences": [owner],
    }
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}, "status": ready | status}


def job_report(ordinal: int, *, name: str = "x7k2p", **fields: Any) -> Report:
    """What `job_pod` says; by default that uploads get through."""
    made = job_pod(ordinal, name=name)["metadata"]
    return report(ordinal, epoch="7", **{"pod": made["name"], "pod_uid": made["uid"]} | fields)


def children(
    of: Object,
    *,
    replicas: int,
    image: str = IMAGE,
    claim_size: str | None = None,
    served: frozenset[Resource] = frozenset(),
    release: str = "",
) -> dict[Ref, Json]:
    """Live children as they were rendered, with a few defaults; the StatefulSet is rolled out."""
    spec = parse(of)
    size = spec.buffer.size
    context = Context(
        image=image,
        replicas=replicas,
        claim_size=claim_size or size,
        volume_size=size,
        release=release,
        served=served,
    )
    found = {}
    for manifest in render(spec, Owner.of(of), context):
        meta = {**manifest["metadata"], "uid": "uid-of-set", "resourceVersion": "1", "generation": 3}
        live = {**manifest, "metadata": meta}
        if live["kind"] == "StatefulSet":
            counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas"), replicas)
            live["status"] = {"observedGeneration": 3, **counts}
        found[ref_of(live)] = live
    return found


def observed(
    of: Object | None = None,
    *,
    replicas: int = 2,
    kids: Mapping[Ref, Object] | None = None,
    pods: Iterable[Object] = (),
    claims: Iterable[Object] = (),
    jobs: Iterable[Object] = (),
    job_pods: Iterable[Object] = (),
    reports: Iterable[Report] = (),
    secrets: dict[str, SecretFacts | None] | None = None,
    storage_class: Object | None = None,
    served: Iterable[Resource] = (),
) -> Observed:
    """`replicas`: of the live StatefulSet, if `kids` isn't given."""
    of = sink() if of is None else of
    return Observed(
        sink=of,
        children=children(of, replicas=replicas) if kids is None else kids,
        pods=tuple(pods),
        volumes=tuple(claims),
        jobs=tuple(jobs),
        job_pods=tuple(job_pods),
        reports={one.pod: one for one in reports},
        secrets=secrets or {},
        storage_class=storage_class,
        served=frozenset(served),
    )
