"""Scaling without losing a record: what is to become of each volume, and how many replicas there may be. Pure.

| state | what is done | goes on when |
| --- | --- | --- |
| cordon | the claim is marked ``drain=requested/<epoch>``, the pod is told | the pod says that epoch |
| flush | the pod takes no records, seals and uploads all | it says that nothing is left |
| prove | the claim is marked ``drained=<uid of the pod>/<epoch>`` | that is observed |
| shrink | the StatefulSet gets fewer replicas, from the top, as far as everything above is proven | the pod is gone |
| reclaim | the claim is deleted, if nobody has changed it since it was observed | it is gone |

All surplus ordinals flush at once. The epoch is the sink's generation at the time of asking: between two requests for
one ordinal the number of replicas was raised, which is another generation. What holds it together: *marks are cleared
before a pod may take records again*, so a proof that is there is true. A volume without a pod is emptied by a Job (see
``orphans``); one that was left by another sink of the same name is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from s3sink_operator import names
from s3sink_operator.planner.fleet import Fleet, Slot, is_mounted, is_terminating, uid_of
from s3sink_operator.planner.pods import is_hanging, trouble_of
from s3sink_operator.state import Action, Delete, Drain, Object, Report, Resume, ref_of


class Phase(StrEnum):
    """Of a volume, as the status shows it."""

    ACTIVE = "Active"
    """A pod has it, or is to have it."""
    DRAINING = "Draining"
    """Its pod uploads what is left."""
    DRAINED = "Drained"
    """Nothing is left on it, which is proven."""
    UNDRAINED = "Undrained"
    """It has no pod, and something may be left on it."""
    RESIZING = "Resizing"
    """A larger size was asked for and isn't there yet."""
    ORPHANED = "Orphaned"
    """Left by an earlier sink of this name. It is not touched unless the sink is scaled up to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to become of one ordinal."""

    slot: Slot
    phase: Phase
    marks: Mapping[str, str] | None = None
    """Annotations that its claim is to have; None: it is left as it is."""
    why: str = ""
    """Why the marks are these."""
    actions: tuple[Action, ...] = ()
    """What is done once the marks are there."""
    is_released: bool = False
    """Its replica may go: nothing can be lost with it."""
    holds: str | None = None
    """Why it can't have a replica yet."""
    blocked: str | None = None
    """Why its drain makes no progress, and what helps."""
    needs_job: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Of all ordinals."""

    replicas: int
    """What the StatefulSet is to have now: on the way to what is desired."""
    verdicts: tuple[Verdict, ...] = field(default=())

    @property
    def holds(self) -> tuple[str, ...]:
        """Why there are fewer replicas than desired."""
        return tuple(one.holds for one in self.verdicts if one.holds)


Policy = Literal["DeleteAfterDrain", "Retain"]

CLEARED: Final[Mapping[str, str]] = {}


def scale(fleet: Fleet, desired: int, policy: Policy, pods: tuple[Object, ...], now: datetime) -> Scaling:
    """Decide. ``pods``: all that may have one of the volumes mounted. ``now``: UTC."""
    epoch = str(fleet.sink["metadata"].get("generation", 1))
    verdicts = {
        ordinal: _verdict(slot, desired, policy, epoch, pods, now) for ordinal, slot in fleet.slots.items()
    }
    return Scaling(
        replicas=_replicas(fleet.replicas, desired, verdicts),
        verdicts=tuple(verdicts.values()),
    )


def _replicas(live: int, desired: int, verdicts: Mapping[int, Verdict]) -> int:
    """Up as far as nothing holds, down as far as everything above is released."""
    replicas = live
    while replicas < desired and not (replicas in verdicts and verdicts[replicas].holds):
        replicas += 1
    while replicas > desired and verdicts[replicas - 1].is_released:
        replicas -= 1
    return replicas


def _verdict(
    slot: Slot, desired: int, policy: Policy, epoch: str, pods: tuple[Object, ...], now: datetime
) -> Verdict:
    if slot.ordinal < desired:
        return _doomed(slot, epoch, now) if slot.has_live_pod and slot.is_claim_ending else _wanted(slot)
    if not slot.is_ours:
        return Verdict(slot=slot, phase=Phase.ORPHANED)
    if slot.was_never_bound:
        return _never_bound(slot, reclaim=policy == "DeleteAfterDrain" and desired > 0)
    if slot.has_replica or slot.pod is not None:
        return _draining(slot, epoch, now)
    if slot.claim is None or slot.proof is None:
        return Verdict(
            slot=slot,
            phase=Phase.UNDRAINED,
            marks={names.DRAIN: f"requested/{slot.requested or epoch}"},
            why=f"ordinal {slot.ordinal} isn't wanted, has no pod, and isn't proven to be empty",
            needs_job=slot.claim is not None and not slot.is_claim_ending,
        )
    return _drained(slot, slot.claim, pods, reclaim=policy == "DeleteAfterDrain" and desired > 0)


def _wanted(slot: Slot) -> Verdict:
    """No marks first, which the order of a plan's actions sees to; then records are taken again."""
    actions: list[Action] = list(_without_job(slot, "the volume is to have a pod again"))
    holds = None
    if slot.job is not None and not slot.has_replica:
        holds = f"the drain Job of ordinal {slot.ordinal} isn't gone yet"
    if slot.claim is not None and slot.is_claim_ending and not slot.has_replica:
        holds = f"the volume claim {slot.claim['metadata']['name']} of an earlier replica isn't gone yet"
    if slot.pod is not None and slot.report is not None and _is_draining(slot.report):
        address = _address(slot.pod)
        actions.append(
            Resume(slot.report.pod, uid_of(slot.pod), address, f"ordinal {slot.ordinal} is wanted")
        )
    return Verdict(
        slot=slot,
        phase=Phase.ACTIVE,
        marks=None if slot.claim is None or slot.is_claim_ending else CLEARED,
        why=f"ordinal {slot.ordinal} is wanted: its volume holds records, or will",
        actions=tuple(actions),
        holds=holds,
    )


def _doomed(slot: Slot, epoch: str, now: datetime) -> Verdict:
    """Somebody deleted the claim of a pod that is wanted: its volume goes as soon as the pod ends. It is emptied first;
    then the pod ends, and comes back with a new volume."""
    verdict = _draining(slot, epoch, now)
    if not verdict.is_released or slot.pod is None:
        return verdict
    why = "its volume claim was deleted; a new one is made once it is gone"
    return replace(verdict, actions=(Delete(ref_of(slot.pod), uid_of(slot.pod), why),), is_released=False)


def _never_bound(slot: Slot, *, reclaim: bool) -> Verdict:
    """There is no volume. Nobody is told anything; a claim that gets bound meanwhile is seen with the next pass."""
    actions: tuple[Action, ...] = _without_job(slot, "there is no volume to empty")
    if slot.claim is not None and not slot.has_replica and slot.pod is None and reclaim:
        actions += _delete_claim(slot.claim, "it never had a volume, and its ordinal isn't wanted")
    return Verdict(slot=slot, phase=Phase.DRAINED, actions=actions, is_released=True)


def _draining(slot: Slot, epoch: str, now: datetime) -> Verdict:
    """Cordon, flush, prove; with a proof, the replica may go."""
    epoch = slot.requested or epoch
    requested = {names.DRAIN: f"requested/{epoch}"}
    report = slot.report
    agrees = report is not None and report.drain_epoch == epoch and report.drained and not report.damage
    if slot.proof is not None and _still_holds(slot, agrees=agrees):
        return Verdict(
            slot=slot,
            phase=Phase.DRAINED,
            marks={**requested, names.DRAINED: f"{slot.proof}/{epoch}"},
            why="nothing is left on it",
            is_released=True,
        )
    if agrees and slot.pod is not None:
        return Verdict(
            slot=slot,
            phase=Phase.DRAINING,
            marks={**requested, names.DRAINED: f"{uid_of(slot.pod)}/{epoch}"},
            why=f"{slot.pod['metadata']['name']} says that nothing is left",
        )
    return Verdict(
        slot=slot,
        phase=Phase.DRAINING,
        marks=requested,
        why=f"ordinal {slot.ordinal} isn't wanted: its volume is emptied first",
        actions=_tell(slot, epoch),
        blocked=_blocked(slot, epoch, now),
    )


def _still_holds(slot: Slot, *, agrees: bool) -> bool:
    """A proof of the pod that is there now holds while the pod doesn't say otherwise; that of another one, or of a Job,
    only if the pod agrees: it might have taken records."""
    if slot.pod is None or slot.report is not None:
        return agrees or slot.pod is None
    return slot.proof == uid_of(slot.pod)


def _tell(slot: Slot, epoch: str) -> tuple[Action, ...]:
    if slot.report is None or slot.pod is None or slot.report.drain_epoch == epoch:
        return ()
    why = f"ordinal {slot.ordinal} isn't wanted"
    return (Drain(slot.report.pod, uid_of(slot.pod), _address(slot.pod), epoch, why),)


def _blocked(slot: Slot, epoch: str, now: datetime) -> str | None:
    if slot.pod is None or (is_terminating(slot.pod) and not is_hanging(slot.pod, now)):
        return None  # a new one comes, or a Job
    name, report = slot.pod["metadata"]["name"], slot.report
    if slot.claim is None:
        return f"{name}: no volume claim of it has the label {names.SINK_LABEL}; put it back"
    if report is None:
        trouble = trouble_of(slot.pod, None, now)
        return f"{name} can't be asked" + (f": {trouble.message}" if trouble is not None else "")
    if report.destination_ok is False:
        return cant_upload(name, report)
    if report.drain_epoch == epoch and report.drained and report.damage:
        return f"{name}: damaged files in its quarantine need a person: {report.damage[0]}"
    return None


def cant_upload(who: str, report: Report) -> str:
    """For a report of failing uploads."""
    return f"{who} can't upload: {report.last_error or report.last_error_reason or 'the store refuses'}"


def _drained(slot: Slot, claim: Object, pods: tuple[Object, ...], *, reclaim: bool) -> Verdict:
    """Proven, and without a replica."""
    actions = _without_job(slot, "the volume is empty")
    if reclaim and slot.job is None and not is_mounted(claim, pods):
        actions += _delete_claim(claim, "its ordinal isn't wanted, and nothing is left on it")
    return Verdict(slot=slot, phase=Phase.DRAINED, actions=actions, is_released=True)


def _delete_claim(claim: Object, reason: str) -> tuple[Action, ...]:
    """Deletion of just what was observed: whoever changes or binds it meanwhile wins."""
    if is_terminating(claim):
        return ()
    version: str = claim["metadata"]["resourceVersion"]
    return (Delete(ref_of(claim), uid_of(claim), reason, resource_version=version),)


def _without_job(slot: Slot, reason: str) -> tuple[Action, ...]:
    """The Job's pod goes with it; it has the volume's lock until then."""
    if slot.job is None or is_terminating(slot.job):
        return ()
    return (Delete(ref_of(slot.job), uid_of(slot.job), reason, propagation="Foreground"),)


def _is_draining(report: Report) -> bool:
    """Also partly: with several workers, the epoch is None while they don't agree on one."""
    return report.drain_epoch is not None or report.state == "draining"


def _address(pod: Object) -> str:
    address: str = pod.get("status", {}).get("podIP", "")
    return address
