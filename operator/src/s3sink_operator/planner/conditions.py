"""The conditions of a sink, a function each; their order is that of ``kubectl describe``. Pure.

Each says in a word what is so (``reason``: kept stable, people and alerts go by it) and in a sentence what to do about
it. Messages hold no figure that changes with each look, or every look would write the status. ``Ready``,
``Reconciling`` and ``Stalled`` mean what kstatus means by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from s3sink_operator import names
from s3sink_operator.planner.facts import Facts
from s3sink_operator.planner.pods import FORMAT_DOWNGRADE
from s3sink_operator.planner.scaling import Phase
from s3sink_operator.state import Report

Status = Literal["True", "False", "Unknown"]

AWAITING: Final = "AwaitingUpgrade"
"""A sink that waits for others: nothing about it moves."""
_FILLING_PERCENT: Final = 75
"""Of the high watermark: a buffer this full is told before it refuses records."""
_MOVING: Final = frozenset({Phase.DRAINING, Phase.UNDRAINED})


@dataclass(frozen=True, slots=True)
class Condition:
    """What one function decides; the rest of a ``metav1.Condition`` is added when the status is made."""

    type: str
    status: Status
    reason: str
    message: str = ""


def ready(facts: Facts) -> Condition:
    """Every ingester that is wanted takes records; whether the spec is what they run, `reconciling` says. Its reason is
    the column REASON."""
    count = f"{facts.ready} of {facts.desired} ingesters are ready"
    if facts.deletion is not None:
        return Condition("Ready", "False", "Deleting", _with_hold_ups(facts.deletion.message, facts))
    if facts.conflicts:
        return Condition("Ready", "False", "NameConflict", "; ".join(facts.conflicts))
    if facts.problems:
        goes_on = f"; {count}, with the earlier config" if facts.fleet.stateful_set is not None else ""
        return Condition("Ready", "False", "ConfigInvalid", _problems(facts) + goes_on)
    if facts.fleet.stateful_set is None and not facts.rollout.replicas:
        return Condition("Ready", "False", "Creating", "the StatefulSet is being made")
    if facts.troubles and facts.ready < facts.desired:
        trouble = facts.troubles[0]
        return Condition("Ready", "False", trouble.reason, f"{count}; {trouble.message}")
    if facts.ready < facts.desired:
        waits = "; ".join(facts.scaling.holds) or "pods are being made"
        return Condition("Ready", "False", "PodsNotReady", f"{count}; {waits}")
    if not facts.desired:
        reason = "ScaledToZero" if not _undrained(facts) else "Draining"
        return Condition("Ready", "True", reason, "no ingesters are wanted; records are refused")
    unreachable = destination_reachable(facts)
    if unreachable.status == "False":
        text = f"{count} and keep records on their volumes: {unreachable.message}"
        return Condition("Ready", "True", "DestinationUnreachable", text)
    return Condition("Ready", "True", "AllReady", count)


def reconciling(facts: Facts) -> Condition:
    """Something is on its way and goes on by itself, unless a pod holds it up."""
    step = _step(facts)
    return replace(step, message=_with_hold_ups(step.message, facts)) if step.status == "True" else step


def _step(facts: Facts) -> Condition:
    if facts.is_paused:
        return Condition("Reconciling", "False", "Paused", "nothing is changed")
    if facts.deletion is not None:
        return Condition("Reconciling", "True", "Deleting", facts.deletion.message)
    if facts.fleet.stateful_set is None:
        if facts.problems or facts.conflicts:
            return Condition("Reconciling", "False", "Stalled", "see the condition Stalled")
        what = (
            "the StatefulSet is made again around its pods"
            if facts.rollout.replicas
            else "children are being made"
        )
        return Condition("Reconciling", "True", "Creating", what)
    rollout = facts.rollout
    replicas = max(facts.fleet.replicas, rollout.replicas)
    if replicas > facts.desired:
        text = f"{replicas} replicas become {facts.desired}"
        return Condition("Reconciling", "True", "ScalingDown", text)
    if facts.fleet.replicas < facts.desired:
        text = "; ".join((f"{facts.fleet.replicas} replicas become {facts.desired}", *facts.scaling.holds))
        return Condition("Reconciling", "True", "ScalingUp", text)
    if _undrained(facts):
        return Condition("Reconciling", "True", "Draining", "see the condition Draining")
    if facts.is_outdated and not facts.is_awaiting:
        return Condition("Reconciling", "True", "RollingOut", "the StatefulSet is being brought up to date")
    if not rollout.is_done:
        text = f"{rollout.updated} of {facts.fleet.replicas} ingesters run what was applied last"
        return Condition("Reconciling", "True", "RollingOut", text)
    if facts.growth is not None and facts.growth.reason in ("Resizing", "FileSystemResizePending"):
        return Condition("Reconciling", "True", "Resizing", facts.growth.message)
    if facts.ready < facts.desired:
        return Condition("Reconciling", "True", "WaitingForPods", "see the condition Ready")
    if facts.is_awaiting:
        text = (
            "sinks are rolled to a new release of the operator one after the other, and this one's turn is still to "
            "come; until then its pods stay as they are, also where the spec changes"
        )
        return Condition("Reconciling", "True", AWAITING, text)
    if facts.rewritten:
        text = f"everything is as it was applied, but for what admission made of it: {', '.join(facts.rewritten)}"
        return Condition("Reconciling", "False", "UpToDate", text)
    return Condition("Reconciling", "False", "UpToDate", "everything is as it should be")


def stalled(facts: Facts) -> Condition:
    """Somebody has to do something. ``ApplyRefused`` is added when the API server refuses what is applied."""
    if facts.conflicts:
        return Condition("Stalled", "True", "NameConflict", "; ".join(facts.conflicts))
    if any(not one.passes for one in facts.problems) and facts.deletion is None:
        return Condition("Stalled", "True", "ConfigInvalid", _problems(facts))
    if facts.unserved:
        return Condition("Stalled", "True", "KindNotServed", "; ".join(facts.unserved))
    stuck = [trouble for trouble in facts.troubles if trouble.needs_help]
    downgrade = [trouble for trouble in stuck if trouble.reason == FORMAT_DOWNGRADE]
    for trouble in (*downgrade, *stuck):
        return Condition("Stalled", "True", trouble.reason, trouble.message)
    return Condition("Stalled", "False", "NotStalled", "nothing waits for a person")


def config_valid(facts: Facts) -> Condition:
    """The spec can be acted on."""
    if not facts.problems:
        return Condition("ConfigValid", "True", "Valid", "the spec can be acted on")
    return Condition("ConfigValid", "False", facts.problems[0].reason, _problems(facts))


def destination_reachable(facts: Facts) -> Condition:
    """Uploads get through; if not, the store's own words."""
    tried = [report for report in facts.reports.values() if report.destination_ok is not None]
    failing = [report for report in tried if not report.destination_ok]
    if failing:
        reason = _camel(failing[0].last_error_reason or "unreachable")
        # Ingesters mostly fail alike: then it is said once.
        texts = dict.fromkeys(report.last_error or "the store can't be reached" for report in failing)
        who = ", ".join(report.pod for report in failing)
        return Condition(
            "DestinationReachable", "False", reason, f"{who}: {'; '.join(texts)}{_bucket(facts, reason)}"
        )
    if tried:
        return Condition("DestinationReachable", "True", "Reachable", "the latest uploads got through")
    return Condition("DestinationReachable", "Unknown", "NotTried", "nothing was uploaded yet")


def buffer_pressure(facts: Facts) -> Condition:
    """A volume is full, or will soon be."""
    watermark = facts.wishes.high_watermark_percent
    full = [report.pod for report in facts.takers if report.state == "full"]
    if full:
        text = f"{', '.join(full)}: full; records are refused with 503 until uploads make room"
        return Condition("BufferPressure", "True", "Full", text)
    filling = [
        report.pod
        for report in facts.takers
        if (used := _used_percent(report)) is not None and used * 100 >= watermark * _FILLING_PERCENT
    ]
    if filling:
        text = f"{', '.join(filling)}: near {watermark} % of the buffer, where records are refused"
        return Condition("BufferPressure", "True", "Filling", text)
    if not any(_used_percent(report) is not None for report in facts.takers):
        return Condition("BufferPressure", "Unknown", "NotKnown", "no ingester could be asked")
    return Condition("BufferPressure", "False", "EnoughRoom", "every buffer has room")


def draining(facts: Facts) -> Condition:
    """Volumes are being emptied, since their pods are to go."""
    ordinals = _undrained(facts)
    if not ordinals or (facts.deletion is not None and not facts.deletion.is_draining):
        return Condition("Draining", "False", "NothingToDrain", "no volume is being emptied")
    which = f"volume{'s' if len(ordinals) > 1 else ''} {', '.join(map(str, ordinals))}"
    if facts.is_paused:
        return Condition("Draining", "False", "Paused", f"{which}: no step is taken while the sink is paused")
    blocked = [one.blocked for one in facts.scaling.verdicts if one.blocked]
    if not blocked:
        return Condition("Draining", "True", "Draining", f"{which}: being emptied")
    ways_out = ""
    if facts.deletion is not None:
        ways_out = (
            f". To delete the sink and keep its volumes, set spec.buffer.whenDeleted to Retain or annotate it with "
            f"{names.FORCE_RELEASE}=true"
        )
    return Condition("Draining", "True", "Blocked", f"{which}: {'; '.join(blocked)}{ways_out}")


def storage_resized(facts: Facts) -> Condition:
    """The volumes are as large as ``buffer.size`` says."""
    if facts.growth is None:
        return Condition("StorageResized", "Unknown", "Deleting", "the sink is being deleted")
    status: Status = "True" if facts.growth.reason == "UpToDate" else "False"
    return Condition("StorageResized", status, facts.growth.reason, facts.growth.message)


def reconciliation_paused(facts: Facts) -> Condition:
    """Somebody asked that nothing be changed."""
    if facts.is_paused:
        text = f"nothing is changed until the annotation {names.PAUSED} is taken off"
        return Condition("ReconciliationPaused", "True", "Paused", text)
    return Condition("ReconciliationPaused", "False", "NotPaused")


ALL: Final[tuple[Callable[[Facts], Condition], ...]] = (
    ready,
    reconciling,
    stalled,
    config_valid,
    destination_reachable,
    buffer_pressure,
    draining,
    storage_resized,
    reconciliation_paused,
)


def _with_hold_ups(message: str, facts: Facts) -> str:
    return "; ".join((message, *facts.held_up))


def _problems(facts: Facts) -> str:
    return "; ".join(problem.message for problem in facts.problems)


def _bucket(facts: Facts, reason: str) -> str:
    """Which bucket there isn't: stores don't say."""
    return f" (spec.destination.bucket is {facts.wishes.bucket})" if reason == "NoSuchBucket" else ""


def _undrained(facts: Facts) -> list[int]:
    return [one.slot.ordinal for one in facts.scaling.verdicts if one.phase in _MOVING]


def _used_percent(report: Report) -> float | None:
    # An ingester of before there was diskBytes says it as bufferBytes.
    used = report.buffer_bytes if report.disk_bytes is None else report.disk_bytes
    if used is None or not report.capacity_bytes:
        return None
    return 100 * used / report.capacity_bytes


def _camel(label: str) -> str:
    """``access_denied`` as a reason: ``AccessDenied``."""
    return "".join(part[:1].upper() + part[1:] for part in label.split("_"))
