"""The whole status of a sink, and the events that tell what has changed since the one before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from s3sink_operator import names, units
from s3sink_operator.planner.conditions import ALL, Condition
from s3sink_operator.planner.facts import Facts
from s3sink_operator.planner.fleet import time_of
from s3sink_operator.planner.scaling import Phase, Verdict
from s3sink_operator.state import Event, EventType, Object

_MAX_MESSAGE: Final = 1024
_AGE_JITTER: Final = timedelta(seconds=5)
"""How much the time of the oldest record may seem to move without being written: it is a difference of two clocks."""

_GOOD: Final = {
    "Ready": "True",
    "Stalled": "False",
    "ConfigValid": "True",
    "DestinationReachable": "True",
    "BufferPressure": "False",
    "StorageResized": "True",
}
"""The status of each condition that is as it should be. Others are neither good nor bad."""
_WARNINGS: Final = frozenset(
    {("Draining", "Blocked"), ("StorageResized", "NotExpandable"), ("StorageResized", "ResizeFailed")}
)
_TOLD_BY_OTHERS: Final = frozenset(
    {
        ("Ready", "ConfigInvalid"),
        ("Stalled", "ConfigInvalid"),
        ("Ready", "NameConflict"),
        ("Ready", "Deleting"),
        ("Reconciling", "Draining"),
        ("Reconciling", "Resizing"),
    }
)
_STEPS: Final = frozenset({"Reconciling", "Draining", "StorageResized", "ReconciliationPaused"})
"""Conditions whose every reason is a step of something that goes on, and is told."""


def status_of(facts: Facts, now: datetime) -> dict[str, Any]:
    """The document; see the CRD. What isn't known is left out."""
    sink = facts.fleet.sink
    namespace, name, _ = facts.fleet.owner
    generation: int = sink["metadata"].get("generation", 1)
    previous = sink.get("status") or {}
    rollout = facts.rollout
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "replicas": rollout.replicas,
        "readyReplicas": rollout.ready,
        "updatedReplicas": rollout.updated,
        "selector": ",".join(f"{key}={value}" for key, value in names.selector(name).items()),
        "endpoint": _endpoint(facts, f"{names.child(name)}.{namespace}.svc"),
        "volumes": [_volume(facts, one) for one in facts.scaling.verdicts if one.slot.claim is not None],
        "conditions": with_times([one(facts) for one in ALL], previous, generation, now),
    }
    known = {
        "image": image_of(facts.fleet.stateful_set) or (previous.get("image") if rollout.replicas else None),
        "buffer": _buffer(facts, previous.get("buffer") or {}, now),
        "uploads": _uploads(facts),
    }
    return status | {key: value for key, value in known.items() if value}


def with_times(
    conditions: Iterable[Condition], previous: Object, generation: int, now: datetime
) -> list[dict[str, Any]]:
    """As ``metav1.Condition``. The time of the last transition changes only with the status of a condition."""
    before = {one["type"]: one for one in previous.get("conditions") or ()}
    return [
        {
            "type": one.type,
            "status": one.status,
            "observedGeneration": generation,
            "lastTransitionTime": before[one.type]["lastTransitionTime"]
            if one.type in before and before[one.type]["status"] == one.status
            else rfc3339(now),
            "reason": one.reason,
            "message": one.message[:_MAX_MESSAGE],
        }
        for one in conditions
    ]


def refused(status: Object, previous: Object, message: str, now: datetime) -> dict[str, Any]:
    """The status after the API server refused an action, in its words."""
    generation = status["observedGeneration"]
    stalled = Condition("Stalled", "True", "ApplyRefused", message)
    (condition,) = with_times([stalled], previous, generation, now)
    conditions = [condition if one["type"] == "Stalled" else one for one in status["conditions"]]
    return {**status, "conditions": conditions}


def unreadable(sink: Object, message: str, now: datetime) -> dict[str, Any]:
    """The status of a sink that can't be looked at, since the API server refused a read. What was known stays."""
    previous, generation = sink.get("status") or {}, sink["metadata"].get("generation", 1)
    stalled = Condition("Stalled", "True", "ReadRefused", message)
    (condition,) = with_times([stalled], previous, generation, now)
    known = {one["type"]: one for one in previous.get("conditions") or ()} | {"Stalled": condition}
    return {**previous, "observedGeneration": generation, "conditions": list(known.values())}


def events_of(previous: Object, status: Object) -> tuple[Event, ...]:
    """What to tell: transitions, never a state that goes on."""
    before = {one["type"]: one for one in previous.get("conditions") or ()}
    told = []
    for one in status["conditions"]:
        if _is_told(one, before.get(one["type"])):
            text = one["message"] or f"{one['type']} is {one['status']}"
            told.append(Event(_type_of(one), one["reason"], text))
    return tuple(told)


def rfc3339(time: datetime) -> str:
    """Whole seconds, UTC, as the API has times."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def image_of(stateful_set: Object | None) -> str | None:
    """The ingesters' image, as a StatefulSet has it."""
    if stateful_set is None:
        return None
    containers: Sequence[Mapping[str, str]] = stateful_set["spec"]["template"]["spec"].get("containers") or ()
    return next((one["image"] for one in containers if one["name"] == names.CONTAINER), None)


def _is_told(new: Mapping[str, str], old: Mapping[str, str] | None) -> bool:
    kind, status = new["type"], new["status"]
    if status == "Unknown" or (kind, new["reason"]) in _TOLD_BY_OTHERS:
        return False
    good = _GOOD.get(kind)
    if (
        old is None or old["status"] == "Unknown"
    ):  # nothing is news of a new sink but what is wrong, or goes on
        is_wrong = good is not None and status != good
        return (is_wrong and kind != "Ready") or (good is None and status == "True")
    if old["status"] != status:
        return True
    is_usual = status == (good if good is not None else "False")
    return old["reason"] != new["reason"] and (kind in _STEPS or kind == "Stalled") and not is_usual


def _type_of(condition: Mapping[str, str]) -> EventType:
    kind, status, reason = condition["type"], condition["status"], condition["reason"]
    if (kind, reason) in _WARNINGS:
        return EventType.WARNING
    if kind == "StorageResized" or (kind == "Ready" and reason in ("Deleting", "Creating")):
        return EventType.NORMAL
    return EventType.WARNING if _GOOD.get(kind, status) != status else EventType.NORMAL


def _endpoint(facts: Facts, host: str) -> str:
    scheme, usual = ("https", 443) if facts.wishes.has_tls else ("http", 80)
    return f"{scheme}://{host}" + (f":{facts.wishes.port}" if facts.wishes.port != usual else "")


def _volume(facts: Facts, verdict: Verdict) -> dict[str, Any]:
    claim: Object = verdict.slot.claim or {}
    is_growing = facts.growth is not None and verdict.slot.ordinal in facts.growth.resizing
    volume: dict[str, Any] = {
        "ordinal": verdict.slot.ordinal,
        "pvc": claim["metadata"]["name"],
        "phase": str(Phase.RESIZING if is_growing and verdict.phase is Phase.ACTIVE else verdict.phase),
    }
    capacity = claim.get("status", {}).get("capacity", {}).get("storage")
    if capacity is not None:
        volume["capacity"] = capacity
    report = verdict.slot.report or verdict.slot.job_report
    if report is not None and report.buffer_bytes is not None:
        volume["bufferedBytes"] = report.buffer_bytes
    return volume


def _buffer(facts: Facts, previous: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    known = [one for one in facts.reports.values() if one.buffer_bytes is not None]
    if not known:
        return {}
    used = sum(one.buffer_bytes or 0 for one in known)
    buffer = {
        "bytes": used,
        "capacity": sum(one.capacity_bytes or 0 for one in known),
        "used": units.show_size(used),
    }
    ages = [one.oldest_record_age for one in known if one.oldest_record_age is not None]
    if ages:
        buffer["oldestRecordTime"] = _steady(
            now - timedelta(seconds=max(ages)), previous.get("oldestRecordTime")
        )
    return buffer


def _steady(time: datetime, previous: str | None) -> str:
    """The time as it was said before, if it is the same but for jitter."""
    if previous is not None and abs(time_of(previous) - time) < _AGE_JITTER:
        return previous
    return rfc3339(time)


def _uploads(facts: Facts) -> dict[str, Any]:
    reports = list(facts.reports.values())
    if not reports:
        return {}
    uploads: dict[str, Any] = {"failures": sum(one.upload_failures for one in reports)}
    successes = [time_of(one.last_success) for one in reports if one.last_success is not None]
    if successes:
        uploads["lastSuccess"] = rfc3339(max(successes))
    return uploads
