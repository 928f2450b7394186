"""What runs beside the operator in a cluster, in memory: StatefulSet and Job controllers, garbage collector, volumes,
kubelets, and ingesters that really keep and upload record ids. `World.tick` lets each of them do one step.

The oracle is `World.lost`: ids that were acknowledged, and are neither uploaded nor on a volume any more.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import datetime

from s3sink_operator import names
from s3sink_operator.errors import IngesterError
from s3sink_operator.planner import quantities
from s3sink_operator.state import (
    JOB,
    POD,
    STATEFUL_SET,
    STORAGE_CLASS,
    VOLUME_CLAIM,
    Drain,
    Object,
    Ref,
    Report,
    Resume,
    ref_of,
)

from tests.rig.fakecluster import NAMESPACE, FakeCluster, Json

CAPACITY = 1000
"""Records that a buffer takes."""


@dataclass
class Volume:
    """What is on the disk behind a claim."""

    records: list[int] = field(default_factory=list)
    oldest: datetime | None = None
    drain_epoch: str | None = None
    quarantine: list[str] = field(default_factory=list)


class World:
    """A cluster with one namespace, and S3."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.s3_is_up = True
        self.grows_online = True
        self.pods_flush = True
        """Whether pods upload all when they are ended; else they are killed."""
        self.uploaded: set[int] = set()
        self.acknowledged: set[int] = set()
        self.volumes: dict[str, Volume] = {}
        """By UID of the claim."""
        self.lost: set[int] = set()
        self.broken_pods: set[str] = set()
        """Names of pods that can't start."""
        self._next = 0

    # ---- state.Ingesters

    async def report(self, pod: Object) -> Report | None:
        """What the pod says."""
        volume = self._served(pod)
        if volume is None:
            return None
        name: str = pod["metadata"]["name"]
        full = len(volume.records) >= CAPACITY
        state = "draining" if volume.drain_epoch else "full" if full else "open"
        return Report(
            pod=name,
            pod_uid=pod["metadata"]["uid"],
            ready=state == "open",
            state=state,
            reason="" if state == "open" else state,
            capacity_bytes=CAPACITY,
            buffer_bytes=len(volume.records),
            oldest_record_age=(self.cluster.now - volume.oldest).total_seconds() if volume.oldest else None,
            drain_epoch=volume.drain_epoch,
            drained=volume.drain_epoch is not None and not volume.records,
            last_success=None,
            upload_failures=0,
            destination_ok=self.s3_is_up,
            last_error=None if self.s3_is_up else "connection refused",
            last_error_reason=None if self.s3_is_up else "unreachable",
            format_version=1,
            damage=tuple(volume.quarantine),
        )

    async def drain(self, action: Drain) -> None:
        """The marker is on the volume."""
        self._told(action).drain_epoch = action.epoch

    async def resume(self, action: Resume) -> None:
        """It is off."""
        self._told(action).drain_epoch = None

    # ---- clients

    def send(self, count: int = 1) -> None:
        """Records to each ingester that takes them."""
        for pod in self.cluster.select(POD):
            volume = self._served(pod)
            if volume is None or volume.drain_epoch or not _is_ready(pod):
                continue
            for _ in range(min(count, CAPACITY - len(volume.records))):
                self._next += 1
                volume.records.append(self._next)
                volume.oldest = volume.oldest or self.cluster.now
                self.acknowledged.add(self._next)

    @property
    def buffered(self) -> set[int]:
        """Ids on volumes."""
        return {one for volume in self.volumes.values() for one in volume.records}

    # ---- controllers

    def tick(self, seconds: float = 5.0) -> None:
        """Each controller does what it would do by and by."""
        self.cluster.pass_time(seconds)
        self._collect_garbage()
        for one in list(self.cluster.select(STATEFUL_SET)):
            if not one["metadata"].get("deletionTimestamp"):
                self._control(one)
        self._provision()
        self._run_pods()
        self._run_jobs()
        self._release_claims()
        self._flush()
        for one in list(self.cluster.select(STATEFUL_SET)):
            self._count(one)

    def _collect_garbage(self) -> None:
        objects = self.cluster.objects
        for ref in list(objects):
            one = objects.get(ref)
            if one is None:
                continue
            meta = one["metadata"]
            dependents = [
                other
                for other, obj in objects.items()
                if any(owner["uid"] == meta["uid"] for owner in obj["metadata"].get("ownerReferences") or ())
            ]
            if "orphan" in (meta.get("finalizers") or ()):
                for other in dependents:
                    self._disown(other, meta["uid"])
                self.cluster.drop_finalizer(ref, "orphan")
            elif "foregroundDeletion" in (meta.get("finalizers") or ()):
                for other in dependents:
                    self.cluster.remove(other, "Foreground")
                if not dependents:
                    self.cluster.drop_finalizer(ref, "foregroundDeletion")
        alive = {one["metadata"]["uid"] for one in objects.values()}
        for ref in list(objects):
            owners = (objects[ref]["metadata"].get("ownerReferences") or ()) if ref in objects else ()
            if owners and not any(owner["uid"] in alive for owner in owners):
                self.cluster.remove(ref)

    def _disown(self, ref: Ref, uid: str) -> None:
        changed = copy.deepcopy(self.cluster.objects[ref])
        changed["metadata"]["ownerReferences"] = [
            owner for owner in changed["metadata"]["ownerReferences"] if owner["uid"] != uid
        ]
        self.cluster.edit(ref, changed)

    def _control(self, stateful_set: Json) -> None:
        """The StatefulSet controller, Parallel, rolling one pod at a time from the top."""
        replicas, revision = stateful_set["spec"]["replicas"], revision_of(stateful_set)
        pods = self._pods_of(stateful_set)
        for pod in pods.values():
            if not pod["metadata"].get("ownerReferences"):
                self.cluster.patch(ref_of(pod), {"metadata": {"ownerReferences": [_owner(stateful_set)]}})
        for ordinal in range(replicas):
            if ordinal not in pods and self._ensure_claim(stateful_set, ordinal):
                self._make_pod(stateful_set, ordinal, revision)
        for ordinal, pod in pods.items():
            if ordinal >= replicas:
                self.cluster.remove(ref_of(pod))
        pods = self._pods_of(stateful_set)
        for ordinal in sorted((one for one in pods if one < replicas), reverse=True):
            pod = pods[ordinal]
            if pod["metadata"]["annotations"]["revision"] != revision:
                self.cluster.remove(ref_of(pod))
                return
            if not _is_ready(pod) or pod["metadata"].get("deletionTimestamp"):
                return

    def _pods_of(self, stateful_set: Json) -> dict[int, Json]:
        stem = stateful_set["metadata"]["name"]
        return {
            names.ordinal_of(pod["metadata"]["name"]): pod
            for pod in self.cluster.select(POD)
            if pod["metadata"]["name"].rpartition("-")[0] == stem
        }

    def _ensure_claim(self, stateful_set: Json, ordinal: int) -> bool:
        (template,) = stateful_set["spec"]["volumeClaimTemplates"]
        name = f"{template['metadata']['name']}-{stateful_set['metadata']['name']}-{ordinal}"
        ref = Ref(VOLUME_CLAIM.api_version, VOLUME_CLAIM.kind, NAMESPACE, name)
        if ref in self.cluster.objects:
            return not self.cluster.objects[ref]["metadata"].get("deletionTimestamp")
        if self.cluster.is_namespace_ending:
            return False
        self.cluster.create(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "labels": dict(stateful_set["spec"]["selector"]["matchLabels"]),
                },
                "spec": copy.deepcopy(template["spec"]),
                "status": {"phase": "Pending"},
            }
        )
        return True

    def _make_pod(self, stateful_set: Json, ordinal: int, revision: str) -> None:
        name = f"{stateful_set['metadata']['name']}-{ordinal}"
        template = copy.deepcopy(stateful_set["spec"]["template"])
        claim = {"claimName": f"{names.BUFFER_VOLUME}-{name}"}
        template["spec"]["volumes"] = [{"name": names.BUFFER_VOLUME, "persistentVolumeClaim": claim}]
        self.cluster.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "labels": template["metadata"]["labels"],
                    "annotations": {"revision": revision},
                    "ownerReferences": [_owner(stateful_set)],
                },
                "spec": template["spec"],
                "status": {"phase": "Pending"},
            }
        )

    def _count(self, stateful_set: Json) -> None:
        pods, revision = self._pods_of(stateful_set), revision_of(stateful_set)
        ready = sum(map(_is_ready, pods.values()))
        updated = sum(pod["metadata"]["annotations"]["revision"] == revision for pod in pods.values())
        is_complete = ready == updated == len(pods) == stateful_set["spec"]["replicas"]
        status = {
            "observedGeneration": stateful_set["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": ready,
            "updatedReplicas": updated,
            "updateRevision": revision,
            "currentRevision": revision
            if is_complete
            else stateful_set.get("status", {}).get("currentRevision", revision),
        }
        self.cluster.edit(ref_of(stateful_set), {**stateful_set, "status": status})

    def _provision(self) -> None:
        """Binds claims and grows volumes."""
        expands = any(one.get("allowVolumeExpansion") for one in self.cluster.select(STORAGE_CLASS))
        for claim in list(self.cluster.select(VOLUME_CLAIM)):
            status = copy.deepcopy(claim["status"])
            requested = claim["spec"]["resources"]["requests"]["storage"]
            if status["phase"] == "Pending":
                self.volumes[claim["metadata"]["uid"]] = Volume()
                status |= {"phase": "Bound", "capacity": {"storage": requested}}
                spec = {**claim["spec"], "volumeName": f"pv-{claim['metadata']['uid']}"}
                self.cluster.edit(ref_of(claim), {**claim, "spec": spec, "status": status})
            elif expands and quantities.parse(requested) > quantities.parse(status["capacity"]["storage"]):
                waits = any(one["type"] == "FileSystemResizePending" for one in status.get("conditions", ()))
                if self.grows_online or (waits and not any(map(_is_running, self._users_of(claim)))):
                    status |= {"capacity": {"storage": requested}, "conditions": []}
                elif not waits:
                    condition = {"type": "FileSystemResizePending", "status": "True"}
                    status["conditions"] = [{**condition, "lastTransitionTime": self.cluster.time()}]
                self.cluster.edit(ref_of(claim), {**claim, "status": status})

    def _run_pods(self) -> None:
        for pod in list(self.cluster.select(POD)):
            ref, name = ref_of(pod), pod["metadata"]["name"]
            if pod["metadata"].get("deletionTimestamp"):
                volume = self._served(pod)
                if volume is not None and self.s3_is_up and self.pods_flush:
                    self._upload(volume)
                self.cluster.end(ref)
                continue
            claim = self._claim_of(pod)
            if claim is None or claim["status"]["phase"] != "Bound" or name in self.broken_pods:
                continue
            volume = self.volumes[claim["metadata"]["uid"]]
            takes = volume.drain_epoch is None and len(volume.records) < CAPACITY
            conditions = [{"type": "Ready", "status": "True" if takes else "False"}]
            status = {"phase": "Running", "podIP": f"ip-{name}", "conditions": conditions}
            self.cluster.edit(ref, {**pod, "status": status})

    def _run_jobs(self) -> None:
        for job in list(self.cluster.select(JOB)):
            spec = job["spec"]["template"]["spec"]
            account = Ref("v1", "ServiceAccount", NAMESPACE, spec["serviceAccountName"])
            name = _claim_name(spec)
            ref = Ref(VOLUME_CLAIM.api_version, VOLUME_CLAIM.kind, NAMESPACE, name)
            claim = self.cluster.objects.get(ref)
            if account not in self.cluster.objects or claim is None or job.get("status"):
                continue
            if job["metadata"].get("deletionTimestamp") or any(self._users_of(claim)) or not self.s3_is_up:
                continue
            volume = self.volumes[claim["metadata"]["uid"]]
            self._upload(volume)
            volume.drain_epoch = job["metadata"]["annotations"][names.DRAIN].partition("/")[2]
            if not volume.quarantine:
                done = {"type": "Complete", "status": "True", "lastTransitionTime": self.cluster.time()}
                self.cluster.edit(ref_of(job), {**job, "status": {"conditions": [done]}})

    def _release_claims(self) -> None:
        for claim in list(self.cluster.select(VOLUME_CLAIM)):
            if claim["metadata"].get("deletionTimestamp") and not self._users_of(claim):
                volume = self.volumes.pop(claim["metadata"]["uid"], Volume())
                self.lost |= set(volume.records)
                self.cluster.drop_finalizer(ref_of(claim), "kubernetes.io/pvc-protection")

    def _flush(self) -> None:
        """Ingesters that drain upload all."""
        for pod in self.cluster.select(POD):
            volume = self._served(pod)
            if volume is not None and volume.drain_epoch and self.s3_is_up:
                self._upload(volume)

    # ---- facts

    def _upload(self, volume: Volume) -> None:
        self.uploaded.update(volume.records)
        volume.records.clear()
        volume.oldest = None

    def _users_of(self, claim: Json) -> list[Json]:
        return [pod for pod in self.cluster.select(POD) if self._claim_of(pod) is claim]

    def _claim_of(self, pod: Object) -> Json | None:
        name = _claim_name(pod["spec"])
        ref = Ref(VOLUME_CLAIM.api_version, VOLUME_CLAIM.kind, NAMESPACE, name)
        return self.cluster.objects.get(ref)

    def _served(self, pod: Object) -> Volume | None:
        """The volume that a running pod serves."""
        live = self.cluster.objects.get(ref_of(pod))
        if live is None or live["metadata"]["uid"] != pod["metadata"]["uid"]:
            return None
        claim = self._claim_of(live)
        if claim is None or live["status"]["phase"] != "Running":
            return None
        return self.volumes.get(claim["metadata"]["uid"])

    def _told(self, action: Drain | Resume) -> Volume:
        ref = Ref(POD.api_version, POD.kind, NAMESPACE, action.pod)
        live = self.cluster.objects.get(ref)
        volume = self._served(live) if live is not None else None
        if live is None or volume is None or live["metadata"]["uid"] != action.pod_uid:
            raise IngesterError(f"{action.pod} can't be asked")
        return volume


def revision_of(stateful_set: Object) -> str:
    """Digest of the pod template."""
    return str(hash(repr(sorted(_flat(stateful_set["spec"]["template"])))))


def _flat(value: object, at: str = "") -> list[str]:
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in _flat(item, f"{at}.{key}")]
    if isinstance(value, list):
        return [line for index, item in enumerate(value) for line in _flat(item, f"{at}[{index}]")]
    return [f"{at}={value!r}"]


def _owner(stateful_set: Object) -> Json:
    meta = stateful_set["metadata"]
    kind = {"apiVersion": STATEFUL_SET.api_version, "kind": STATEFUL_SET.kind}
    return {**kind, "name": meta["name"], "uid": meta["uid"], "controller": True, "blockOwnerDeletion": True}


def _claim_name(spec: Object) -> str:
    name: str
    (name,) = (
        one["persistentVolumeClaim"]["claimName"] for one in spec["volumes"] if "persistentVolumeClaim" in one
    )
    return name


def _is_running(pod: Object) -> bool:
    """Its volumes are mounted."""
    return bool(pod["status"]["phase"] == "Running")


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
