"""A sink's pods, volume claims and drain Jobs side by side, an ordinal a row: what the state machines read. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.state import STATEFUL_SET, Object, Observed, Ref, Report

MOST_ORDINALS: Final = 10_000
"""Ten times what a spec may ask for. There is a row for each ordinal below the highest, and pods and replicas are what
somebody else may have written: what is beyond is left alone."""

_ENDED: Final = frozenset({"Succeeded", "Failed"})
_ORDINAL: Final = re.compile(r"0|[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What there is of one ordinal."""

    ordinal: int
    has_replica: bool
    """Whether the StatefulSet is to have a pod of this ordinal now."""
    is_ours: bool
    """False: the claim was left by another sink of this name, and no pod of ours has it."""
    is_marked: bool = False
    """The claim carries this sink's UID: its marks are ours."""
    claim: Object | None = None
    pod: Object | None = None
    """Also one that is ending."""
    report: Report | None = None
    """What just this pod says."""
    job: Object | None = None
    """The Job that empties the volume where it has no pod."""
    job_pod: Object | None = None
    """The latest pod of the Job."""
    job_report: Report | None = None
    """What just that one says."""

    @property
    def requested(self) -> str | None:
        """Epoch of the drain that was asked for."""
        head, _, epoch = self._mark(names.DRAIN).partition("/")
        return epoch if head == "requested" and epoch else None

    @property
    def proof(self) -> str | None:
        """UID of the pod or Job that said that nothing is left on the volume, since the drain that was asked for."""
        prover, _, epoch = self._mark(names.DRAINED).rpartition("/")
        return prover if prover and epoch == self.requested else None

    @property
    def was_never_bound(self) -> bool:
        """There never was a volume, so nothing can be on it."""
        if self.claim is None:
            return self.pod is None
        is_pending = self.claim.get("status", {}).get("phase") == "Pending"
        return is_pending and not self.claim["spec"].get("volumeName")

    @property
    def is_claim_ending(self) -> bool:
        """The claim was deleted; it goes once no pod has it."""
        return self.claim is not None and is_terminating(self.claim)

    @property
    def has_live_pod(self) -> bool:
        """There is a pod, and it isn't ending."""
        return self.pod is not None and not is_terminating(self.pod)

    def _mark(self, annotation: str) -> str:
        """A mark of this sink's; what another one of the name wrote means nothing."""
        if self.claim is None or not self.is_marked:
            return ""
        marks: Mapping[str, str] = self.claim["metadata"].get("annotations") or {}
        return marks.get(annotation, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All ordinals of a sink."""

    sink: Object
    stateful_set: Object | None
    """None also if what has the name isn't ours, nor may be adopted."""
    replicas: int
    """Pods that the StatefulSet is to have now; where there is none, those that one made now would take over."""
    slots: Mapping[int, Slot]
    """By ordinal, ascending; one for each below `replicas`, and for each pod, claim and Job."""

    @property
    def owner(self) -> tuple[str, str, str]:
        """Namespace, name and UID of the sink."""
        meta = self.sink["metadata"]
        return meta["namespace"], meta["name"], meta["uid"]


def fleet_of(observed: Observed) -> Fleet:
    """Put it together."""
    meta = observed.sink["metadata"]
    namespace, name, uid = meta["namespace"], meta["name"], meta["uid"]
    stateful_set = observed.children.get(
        Ref(STATEFUL_SET.api_version, STATEFUL_SET.kind, namespace, names.child(name))
    )
    if stateful_set is not None and kinship(stateful_set, observed.sink) not in _FAMILY:
        # Then pods and claims of our names are another one's, and none of them may be touched.
        return Fleet(sink=observed.sink, stateful_set=None, replicas=0, slots={})
    pods = _by_ordinal(observed.pods, names.pod(name, 0))
    claims = _by_ordinal(observed.volumes, names.volume_claim(name, 0))
    jobs = {
        ordinal: job
        for ordinal, job in _by_ordinal(observed.jobs, names.drain_job(name, 0)).items()
        if label(job, names.SINK_UID_LABEL) == uid
    }
    replicas = _replicas(stateful_set, pods)
    # Of a sink that goes, no StatefulSet is made again: without one, what has no pod gets none, whatever its ordinal.
    gets_pods = stateful_set is not None or not is_terminating(observed.sink)

    def slot(ordinal: int) -> Slot:
        pod, claim = pods.get(ordinal), claims.get(ordinal)
        job = jobs.get(ordinal)
        job_pod = None if job is None else _latest_pod(job, observed.job_pods)
        return Slot(
            ordinal=ordinal,
            has_replica=ordinal < replicas and (gets_pods or ordinal in pods),
            is_ours=ordinal < replicas or pod is not None or claim is None or _is_ours(claim, observed.sink),
            is_marked=claim is not None and label(claim, names.SINK_UID_LABEL) == uid,
            claim=claim,
            pod=pod,
            report=_report_of(pod, observed),
            job=job,
            job_pod=job_pod,
            job_report=_report_of(job_pod, observed),
        )

    ordinals = sorted({*range(replicas), *pods, *claims, *jobs})
    return Fleet(
        sink=observed.sink,
        stateful_set=stateful_set,
        replicas=replicas,
        slots={ordinal: slot(ordinal) for ordinal in ordinals},
    )


# ---- facts of single objects


def uid_of(obj: Object) -> str:
    """An object's UID."""
    uid: str = obj["metadata"]["uid"]
    return uid


def label(obj: Object, name: str) -> str | None:
    """A label's value."""
    labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
    return labels.get(name)


def is_terminating(obj: Object) -> bool:
    """It was deleted, and is only waiting for somebody's finalizer or for its grace period."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def controller_of(obj: Object) -> Mapping[str, Any] | None:
    """The owner reference of an object's controller."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


class Kinship(Enum):
    """What an object with the name of a child is to the sink."""

    OURS = auto()
    ADOPTABLE = auto()
    """Ours, and nobody controls it: its sink was deleted with ``--cascade=orphan``, or a backup brought it back."""
    DOOMED = auto()
    """A child of an earlier sink of this name, which the garbage collector will take."""
    FOREIGN = auto()
    """Somebody else's."""


_FAMILY: Final = frozenset({Kinship.OURS, Kinship.ADOPTABLE})


def kinship(obj: Object, sink: Object) -> Kinship:
    """Judge by its controller, and by its label where it has none."""
    owner = controller_of(obj)
    if owner is None:
        is_labelled = label(obj, names.SINK_LABEL) == sink["metadata"]["name"]
        return Kinship.ADOPTABLE if is_labelled else Kinship.FOREIGN
    if owner["uid"] == uid_of(sink):
        return Kinship.OURS
    is_namesake = owner["kind"] == names.KIND and owner["name"] == sink["metadata"]["name"]
    return Kinship.DOOMED if is_namesake else Kinship.FOREIGN


def condition(obj: Object, type_: str) -> Mapping[str, Any] | None:
    """A status condition of any object."""
    conditions = obj.get("status", {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == type_), None)


def is_pod_ready(pod: Object) -> bool:
    """Its Ready condition."""
    ready = condition(pod, "Ready")
    return ready is not None and ready["status"] == "True"


def is_mounted(claim: Object, pods: tuple[Object, ...]) -> bool:
    """Whether a pod that hasn't ended has this claim among its volumes."""
    name = claim["metadata"]["name"]
    return any(
        volume.get("persistentVolumeClaim", {}).get("claimName") == name
        for pod in pods
        if pod.get("status", {}).get("phase") not in _ENDED
        for volume in pod["spec"].get("volumes") or ()
    )


def time_of(text: str) -> datetime:
    """A time of the API (RFC 3339)."""
    return datetime.fromisoformat(text)


def _by_ordinal(objects: tuple[Object, ...], first: str) -> dict[int, Object]:
    """Objects that are called as the one of ordinal 0 is, but for the ordinal."""
    stem = first.removesuffix("0")
    found: dict[int, Object] = {}
    for obj in objects:
        name = obj["metadata"]["name"]
        match = _ORDINAL.fullmatch(name.removeprefix(stem)) if name.startswith(stem) else None
        if match is not None and int(match[0]) < MOST_ORDINALS:
            found[int(match[0])] = obj
    return found


def _report_of(pod: Object | None, observed: Observed) -> Report | None:
    report = None if pod is None else observed.reports.get(pod["metadata"]["name"])
    return report if pod is not None and report and report.pod_uid == uid_of(pod) else None


def _latest_pod(job: Object, pods: tuple[Object, ...]) -> Object | None:
    made = [pod for pod in pods if (controller_of(pod) or {}).get("uid") == uid_of(job)]
    return max(made, key=lambda pod: time_of(pod["metadata"]["creationTimestamp"]), default=None)


def _replicas(stateful_set: Object | None, pods: Mapping[int, Object]) -> int:
    if stateful_set is not None:
        replicas: int = stateful_set["spec"].get("replicas", 1)
        return min(replicas, MOST_ORDINALS)
    return 1 + max((ordinal for ordinal, pod in pods.items() if not is_terminating(pod)), default=-1)


def _is_ours(claim: Object, sink: Object) -> bool:
    """Whether a claim without a pod is of this sink, not of an earlier one of its name whose volumes were kept."""
    owner = label(claim, names.SINK_UID_LABEL)
    if owner is not None:
        return owner == uid_of(sink)
    return time_of(claim["metadata"]["creationTimestamp"]) >= time_of(sink["metadata"]["creationTimestamp"])
