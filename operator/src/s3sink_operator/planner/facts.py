"""Everything that a sink's status is made of: what was observed, and what the state machines decided about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from s3sink_operator.planner import managed
from s3sink_operator.planner.deletion import Deletion
from s3sink_operator.planner.fleet import Fleet, is_pod_ready, is_terminating, label, time_of
from s3sink_operator.planner.growth import Growth
from s3sink_operator.planner.pods import Trouble, is_hanging, is_seen, not_made, trouble_of
from s3sink_operator.planner.references import Problem
from s3sink_operator.planner.scaling import Scaling
from s3sink_operator.planner.wishes import Wishes
from s3sink_operator.state import Object, Report

_REVISION_LABEL: Final = "controller-revision-hash"
"""Of a pod: which version of the StatefulSet's template it was made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far the StatefulSet's pods are."""

    replicas: int
    ready: int
    updated: int
    is_done: bool
    """Every pod runs what was applied last, and each of them was ready since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """See each type."""

    now: datetime
    """UTC."""
    fleet: Fleet
    wishes: Wishes
    problems: tuple[Problem, ...]
    conflicts: tuple[str, ...]
    """What stands where a child should be."""
    unserved: tuple[str, ...]
    """Children of kinds that the API server doesn't have."""
    rewritten: tuple[str, ...]
    """Fields of children that admission changed."""
    is_outdated: bool
    """The StatefulSet's pods are about to be rolled: what its status says is about an earlier spec."""
    is_awaiting: bool
    """Its pods wait for their turn to be rolled to the operator's release."""
    scaling: Scaling
    growth: Growth | None
    """None while the sink is being deleted."""
    deletion: Deletion | None
    is_paused: bool

    @property
    def desired(self) -> int:
        """How many ingesters there are to be."""
        return 0 if self.deletion is not None else self.wishes.replicas

    @property
    def rollout(self) -> Rollout:
        """Of the StatefulSet; where there is none, of the pods that one made now takes over."""
        if self.fleet.stateful_set is not None:
            return rollout_of(self.fleet.stateful_set)
        pods = [slot.pod for slot in self.fleet.slots.values() if slot.pod is not None and slot.has_live_pod]
        previous = (self.fleet.sink.get("status") or {}).get("updatedReplicas", 0)
        return Rollout(
            replicas=len(pods),
            ready=sum(map(is_pod_ready, pods)),
            updated=min(previous, len(pods)),
            is_done=False,
        )

    @property
    def rolling_since(self) -> datetime | None:
        """Since when pods are on the way to what was applied last. None: they aren't, or nothing tells.

        A roll begins with an apply. Not every apply begins one (a number of replicas doesn't), so where a pod of the
        version is older, it counts; but not where it is older than one of another version, too: then the version has
        come back, and the pod has been there since before.
        """
        live = self.fleet.stateful_set
        if live is None or self.is_outdated or self.rollout.is_done or not is_seen(live):
            return None
        version = (live.get("status") or {}).get("updateRevision")
        of_it: list[datetime] = []
        of_others: list[datetime] = []
        for pod in (slot.pod for slot in self.fleet.slots.values() if slot.pod is not None):
            is_of_it = version is not None and label(pod, _REVISION_LABEL) == version
            (of_it if is_of_it else of_others).append(time_of(pod["metadata"]["creationTimestamp"]))
        times = [made for made in of_it if not of_others or made > max(of_others)]
        applied_at = managed.applied_at(live)
        return min(times if applied_at is None else (*times, applied_at), default=None)

    @property
    def reports(self) -> Mapping[str, Report]:
        """What pods say, those of drain Jobs too, by their names, in the order of their ordinals."""
        said = [one for slot in self.fleet.slots.values() for one in (slot.report, slot.job_report)]
        return {report.pod: report for report in said if report is not None}

    @property
    def takers(self) -> tuple[Report, ...]:
        """What those say that take records, or took some until they were told to drain."""
        return tuple(slot.report for slot in self.fleet.slots.values() if slot.report is not None)

    @property
    def ready(self) -> int:
        """How many of the wanted ingesters take records."""
        wanted = [slot.pod for slot in self.fleet.slots.values() if slot.ordinal < self.desired]
        return sum(pod is not None and is_pod_ready(pod) and not is_terminating(pod) for pod in wanted)

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """Of the wanted ingesters; those that won't pass by themselves first, and of these the pods that are there."""
        found = [
            trouble
            for slot in self.fleet.slots.values()
            if slot.ordinal < self.desired
            and slot.pod is not None
            and (trouble := trouble_of(slot.pod, slot.report, self.now)) is not None
        ]
        if self.deletion is None and (missing := not_made(self.fleet, self.now)) is not None:
            found.append(missing)
        return tuple(sorted(found, key=lambda trouble: not trouble.needs_help))

    @property
    def held_up(self) -> tuple[str, ...]:
        """What keeps anything that goes on from going on: pods, also such that aren't wanted, that don't end; pods that
        can't be made."""
        pods = (
            pod for slot in self.fleet.slots.values() for pod in (slot.pod, slot.job_pod) if pod is not None
        )
        hanging = (trouble_of(pod, None, self.now) for pod in pods if is_hanging(pod, self.now))
        missing = not_made(self.fleet, self.now) if self.deletion is None else None
        return tuple(trouble.message for trouble in (*hanging, missing) if trouble is not None)


def rollout_of(stateful_set: Object | None) -> Rollout:
    """Read it from a StatefulSet."""
    if stateful_set is None:
        return Rollout(replicas=0, ready=0, updated=0, is_done=False)
    status = stateful_set.get("status") or {}
    wanted = stateful_set["spec"].get("replicas", 1)
    replicas, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    # A pod counts as updated when it was created. The revision becomes the current one when all are ready: until then
    # nobody knows whether the new version starts at all.
    is_current = status.get("currentRevision") == status.get("updateRevision")
    return Rollout(
        replicas=replicas,
        ready=status.get("readyReplicas", 0),
        updated=updated,
        is_done=is_seen(stateful_set) and is_current and replicas == updated == wanted,
    )
