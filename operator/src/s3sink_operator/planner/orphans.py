"""Volumes that may hold records and have no pod: a Job empties each. Pure.

They come from a StatefulSet that was scaled or deleted by somebody else, from a node that was lost, from a sink that is
deleted in the foreground. The Job runs the ingester's ``drain``, which ends well only when nothing is left, and leaves
the volume marked, so that no pod takes records onto it; then the Job's UID is the proof. It has no owner reference, so
that it outlives the sink's children; the volume's lock file keeps it and a pod from working on one volume at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from s3sink_operator import names
from s3sink_operator.planner.fleet import Slot, condition, is_terminating, time_of, uid_of
from s3sink_operator.planner.pods import PATIENCE, is_hanging, trouble_of
from s3sink_operator.planner.scaling import Phase, Verdict, cant_upload
from s3sink_operator.state import Apply, Delete, Object, ref_of

RETRY_AFTER: Final = timedelta(minutes=5)
"""How long a Job that gave up is left, to be looked at, before the next one is made."""

_PASSING: Final = frozenset({"PodsNotReady", "PodEnding"})
"""Troubles of a Job's pod that are told by nobody: it starts, or makes room for the next one."""

JobBuilder = Callable[[int, str], Object]
"""The manifest of the Job for an ordinal and the epoch of its drain."""


def empty(verdict: Verdict, build: JobBuilder | None, now: datetime, *, may_remake: bool = True) -> Verdict:
    """The verdict with what is to be done, if the volume needs a Job. ``build``: None while the spec is no good.
    ``may_remake``: False while the sink waits to be upgraded; a Job that runs goes on then."""
    slot = verdict.slot
    if not verdict.needs_job or verdict.marks is None or slot.claim is None:
        return verdict
    epoch = verdict.marks[names.DRAIN].partition("/")[2]
    if slot.job is None:
        return _start(verdict, build, epoch)
    if is_terminating(slot.job):
        is_held = slot.job_pod is not None and is_hanging(slot.job_pod, now)
        return replace(verdict, blocked=_stuck(slot, slot.job, now) if is_held else None)
    if not _is_for(slot.job, slot.claim, epoch):
        return replace(verdict, actions=(_delete(slot.job, "it was made for an earlier drain"),))
    if _has(slot.job, "Complete"):
        return replace(
            verdict,
            phase=Phase.DRAINING,
            marks={**verdict.marks, names.DRAINED: f"{uid_of(slot.job)}/{epoch}"},
            why="its drain Job says that nothing is left",
            needs_job=False,
        )
    if _has(slot.job, "Failed"):
        return _failed(verdict, slot.job, now)
    if may_remake and build is not None and _hash(build(slot.ordinal, epoch)) != _hash(slot.job):
        return replace(verdict, actions=(_delete(slot.job, "what it runs has changed"),))
    return replace(verdict, phase=Phase.DRAINING, blocked=_stuck(slot, slot.job, now))


def _stuck(slot: Slot, job: Object, now: datetime) -> str | None:
    """Why a Job that hasn't ended makes no progress: its ingester tries for ever."""
    meta = job["metadata"]
    name = meta["name"]
    if slot.job_report is not None and slot.job_report.destination_ok is False:
        return cant_upload(f"the Job {name}", slot.job_report)
    if slot.job_pod is None:
        is_new = now - time_of(meta["creationTimestamp"]) < PATIENCE
        return (
            None
            if is_new
            else f"the Job {name} has no pod: kubectl describe job {name} says why under Events"
        )
    trouble = trouble_of(slot.job_pod, None, now)
    if trouble is None or trouble.reason in _PASSING:
        return None
    return f"the Job {name} makes no progress: {trouble.message}"


def _start(verdict: Verdict, build: JobBuilder | None, epoch: str) -> Verdict:
    ordinal = verdict.slot.ordinal
    if build is None:
        return replace(
            verdict, blocked=f"the volume of ordinal {ordinal} has no pod, and the spec is no good for a Job"
        )
    why = f"the volume of ordinal {ordinal} has no pod to empty it"
    return replace(verdict, actions=(Apply(build(ordinal, epoch), why),))


def _failed(verdict: Verdict, job: Object, now: datetime) -> Verdict:
    failed = condition(job, "Failed") or {}
    name, text = job["metadata"]["name"], failed.get("message", "see the log of its pods")
    said = _last_word(verdict.slot.job_pod)
    blocked = f"the Job {name} could not empty the volume of ordinal {verdict.slot.ordinal}: {said or text}"
    since = failed.get("lastTransitionTime")
    if since is not None and now - time_of(since) < RETRY_AFTER:
        return replace(verdict, blocked=blocked)
    return replace(verdict, blocked=blocked, actions=(_delete(job, "it failed; the next one"),))


def _last_word(pod: Object | None) -> str | None:
    """The last line of what its ingester printed: why it ended as it did."""
    for container in (pod or {}).get("status", {}).get("containerStatuses") or ():
        ended = container.get("state", {}).get("terminated") or {}
        if container["name"] == names.CONTAINER and ended.get("message", "").strip():
            last: str = ended["message"].strip().splitlines()[-1]
            return last
    return None


def _delete(job: Object, reason: str) -> Delete:
    return Delete(ref_of(job), uid_of(job), reason, propagation="Foreground")


def _is_for(job: Object, claim: Object, epoch: str) -> bool:
    """Whether it was made for this claim and this request; its success proves nothing for another one."""
    annotations = job["metadata"].get("annotations") or {}
    made, claimed = (time_of(one["metadata"]["creationTimestamp"]) for one in (job, claim))
    return annotations.get(names.DRAIN) == f"requested/{epoch}" and made >= claimed


def _has(job: Object, type_: str) -> bool:
    found = condition(job, type_)
    return found is not None and found["status"] == "True"


def _hash(job: Object) -> str | None:
    annotations = job["metadata"].get("annotations") or {}
    value: str | None = annotations.get(names.APPLIED_HASH)
    return value
