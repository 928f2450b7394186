"""The scale-down machine: a table of what is observed of one ordinal and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from s3sink_operator import names
from s3sink_operator.planner.fleet import MOST_ORDINALS, fleet_of
from s3sink_operator.planner.scaling import Phase, Scaling, scale
from s3sink_operator.state import Delete, Drain, Observed, Report, Resume

from tests.rig.observations import children, claim, job, observed, pod, report, sink

NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
"""Pods that end were to do so half a minute ago."""
REQUESTED = {names.DRAIN: "requested/7"}


def proven(by: str) -> dict[str, str]:
    return {**REQUESTED, names.DRAINED: f"{by}/7"}


def decide(seen: Observed, desired: int, policy: Any = "DeleteAfterDrain") -> Scaling:
    return scale(fleet_of(seen), desired, policy, seen.pods, NOW)


@dataclass(frozen=True)
class Case:
    """What is observed of ordinal 1, which isn't wanted, beside a healthy ordinal 0; and what is decided."""

    name: str
    phase: Phase
    replicas: int
    """That the StatefulSet is to have."""
    live: int = 2
    """That it has."""
    claim: Any = None
    pod: Any = None
    report: Report | None = None
    job: Any = None
    marks: dict[str, str] | None = None
    does: tuple[str, ...] = ()
    blocked: str | None = None
    needs_job: bool = False
    policy: str = field(default="DeleteAfterDrain")


CASES = (
    Case(
        "cordon: marked and told at once",
        Phase.DRAINING,
        2,
        claim=claim(1),
        pod=pod(1),
        report=report(1),
        marks=REQUESTED,
        does=("drain 7",),
    ),
    Case(
        "the epoch is that of the mark, not of now",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="5"),
        pod=pod(1),
        report=report(1),
        marks={names.DRAIN: "requested/5"},
        does=("drain 5",),
    ),
    Case(
        "an answer for an earlier epoch is none",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7"),
        pod=pod(1),
        report=report(1, epoch="5", drained=True),
        marks=REQUESTED,
        does=("drain 7",),
    ),
    Case(
        "flush: it is waited for",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7"),
        pod=pod(1, ready=False),
        report=report(1, epoch="7"),
        marks=REQUESTED,
    ),
    Case(
        "flush without S3",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7"),
        pod=pod(1, ready=False),
        report=report(1, epoch="7", destination_ok=False, last_error="connection refused"),
        marks=REQUESTED,
        blocked="events-s3sink-1 can't upload: connection refused",
    ),
    Case(
        "a pod that can't be asked",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7"),
        pod=pod(1, ready=False),
        marks=REQUESTED,
        blocked="events-s3sink-1 can't be asked: events-s3sink-1 is starting",
    ),
    Case(
        "a pod whose node is lost",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7"),
        pod=pod(
            1,
            ending=True,
            conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}],
        ),
        marks=REQUESTED,
        blocked="events-s3sink-1 can't be asked: events-s3sink-1 can't end on its node, which doesn't answer: only "
        "if that machine is off for good, kubectl delete pod events-s3sink-1 --force --grace-period=0, or taint the "
        "node node.kubernetes.io/out-of-service",
    ),
    Case(
        "a pod that should have ended long ago",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7"),
        pod=pod(1, ending=True)
        | {"metadata": pod(1)["metadata"] | {"deletionTimestamp": "2026-11-24T11:58:00Z"}},
        marks=REQUESTED,
        blocked="events-s3sink-1 can't be asked: events-s3sink-1 is Terminating on its node though its grace period "
        "ended at 2026-11-24T11:58:00Z, as when that node is lost: only if that machine is off for good, kubectl "
        "delete pod events-s3sink-1 --force --grace-period=0, or taint the node node.kubernetes.io/out-of-service",
    ),
    Case(
        "a pod that is ending is waited for",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7"),
        pod=pod(1, ending=True),
        marks=REQUESTED,
    ),
    Case(
        "a pod that has damaged files is never proven",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7"),
        pod=pod(1, ready=False),
        report=report(1, epoch="7", drained=True, damage=("a.raw: bad checksum",)),
        marks=REQUESTED,
        blocked="events-s3sink-1: damaged files in its quarantine need a person: a.raw: bad checksum",
    ),
    Case(
        "a pod that isn't there yet is waited for",
        Phase.DRAINING,
        2,
        claim=claim(1),
        marks=REQUESTED,
    ),
    Case(
        "a claim that lost its label",
        Phase.DRAINING,
        2,
        pod=pod(1),
        report=report(1),
        marks=REQUESTED,
        does=("drain 7",),
        blocked="events-s3sink-1: no volume claim of it has the label s3sink.dev/sink; put it back",
    ),
    Case(
        "prove: what the pod says is written down",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7"),
        pod=pod(1, ready=False),
        report=report(1, epoch="7", drained=True),
        marks=proven("uid-of-pod-1"),
    ),
    Case(
        "shrink: once the proof is observed",
        Phase.DRAINED,
        1,
        claim=claim(1, drain="7", drained="uid-of-pod-1/7"),
        pod=pod(1, ready=False),
        report=report(1, epoch="7", drained=True),
        marks=proven("uid-of-pod-1"),
    ),
    Case(
        "shrink: the proof of the very pod holds though it can't be asked any more",
        Phase.DRAINED,
        1,
        claim=claim(1, drain="7", drained="uid-of-pod-1/7"),
        pod=pod(1, ready=False),
        marks=proven("uid-of-pod-1"),
    ),
    Case(
        "the proof of an earlier pod holds only if the new one agrees",
        Phase.DRAINED,
        1,
        claim=claim(1, drain="7", drained="uid-of-an-earlier-pod/7"),
        pod=pod(1, ready=False),
        report=report(1, epoch="7", drained=True),
        marks=proven("uid-of-an-earlier-pod"),
    ),
    Case(
        "the proof of an earlier pod, and the new one can't be asked",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7", drained="uid-of-an-earlier-pod/7"),
        pod=pod(1, ready=False),
        marks=REQUESTED,
        blocked="events-s3sink-1 can't be asked: events-s3sink-1 is starting",
    ),
    Case(
        "a proof that the pod contradicts is taken back",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7", drained="uid-of-pod-1/7"),
        pod=pod(1),
        report=report(1),
        marks=REQUESTED,
        does=("drain 7",),
    ),
    Case(
        "a proof of another request is none",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="7", drained="uid-of-pod-1/5"),
        pod=pod(1, ready=False),
        report=report(1, epoch="7"),
        marks=REQUESTED,
    ),
    Case(
        "marks of an earlier sink mean nothing",
        Phase.DRAINING,
        2,
        claim=claim(1, drain="3", drained="uid-of-pod-1/3", marked="uid-of-another-sink"),
        pod=pod(1),
        report=report(1),
        marks=REQUESTED,
        does=("drain 7",),
    ),
    Case(
        "a claim that was never bound keeps no replica",
        Phase.DRAINED,
        1,
        claim=claim(1, phase="Pending"),
        pod=pod(1, ready=False),
    ),
    Case(
        "shrunk: the pod is waited for",
        Phase.DRAINED,
        1,
        live=1,
        claim=claim(1, drain="7", drained="uid-of-pod-1/7"),
        pod=pod(1, ready=False, ending=True),
        marks=proven("uid-of-pod-1"),
    ),
    Case(
        "reclaim: deleted as it was observed",
        Phase.DRAINED,
        1,
        live=1,
        claim=claim(1, drain="7", drained="uid-of-pod-1/7"),
        does=("delete PersistentVolumeClaim buffer-events-s3sink-1 uid-of-claim-1 101",),
    ),
    Case(
        "reclaim: kept if it is to be",
        Phase.DRAINED,
        1,
        live=1,
        claim=claim(1, drain="7", drained="uid-of-pod-1/7"),
        policy="Retain",
    ),
    Case(
        "reclaim: already being deleted",
        Phase.DRAINED,
        1,
        live=1,
        claim=claim(1, drain="7", drained="uid-of-pod-1/7", ending=True),
    ),
    Case(
        "reclaim: what was never bound",
        Phase.DRAINED,
        1,
        live=1,
        claim=claim(1, phase="Pending"),
        does=("delete PersistentVolumeClaim buffer-events-s3sink-1 uid-of-claim-1 101",),
    ),
    Case(
        "reclaim: the Job that emptied it goes first",
        Phase.DRAINED,
        1,
        live=1,
        claim=claim(1, drain="7", drained="uid-of-job-1/7"),
        job=job(1, epoch="7", ended="Complete"),
        does=("delete Job drain-events-s3sink-1 uid-of-job-1 None",),
    ),
    Case(
        "no pod and no proof: a Job is needed",
        Phase.UNDRAINED,
        1,
        live=1,
        claim=claim(1),
        marks=REQUESTED,
        needs_job=True,
    ),
    Case(
        "no pod, no proof, and somebody deleted it",
        Phase.UNDRAINED,
        1,
        live=1,
        claim=claim(1, ending=True),
        marks=REQUESTED,
    ),
    Case(
        "left by an earlier sink: not touched",
        Phase.ORPHANED,
        1,
        live=1,
        claim=claim(1, drain="7", drained="uid-of-pod-1/7", marked="uid-of-another-sink"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_surplus_ordinals(case: Case) -> None:
    seen = observed(
        sink(replicas=1),
        replicas=case.live,
        pods=[pod(0), *filter(None, [case.pod])],
        claims=[claim(0), *filter(None, [case.claim])],
        reports=[report(0), *filter(None, [case.report])],
        jobs=filter(None, [case.job]),
    )
    decided = decide(seen, 1, case.policy)
    one = decided.verdicts[1]
    assert decided.replicas == case.replicas
    assert (one.phase, one.marks, one.blocked, one.needs_job) == (
        case.phase,
        case.marks,
        case.blocked,
        case.needs_job,
    )
    assert tuple(map(told, one.actions)) == case.does


def told(action: object) -> str:
    match action:
        case Drain():
            return f"drain {action.epoch}"
        case Resume():
            return f"resume {action.pod}"
        case Delete():
            ref = action.ref
            return f"delete {ref.kind} {ref.name} {action.uid} {action.resource_version}"
    raise AssertionError(action)


class TestWanted:
    def test_a_volume_that_has_a_pod_is_only_labelled(self) -> None:
        seen = observed(pods=[pod(0), pod(1)], claims=[claim(0), claim(1)], reports=[report(0), report(1)])
        decided = decide(seen, 2)
        assert decided.replicas == 2
        assert [(one.phase, one.marks, one.actions) for one in decided.verdicts] == [
            (Phase.ACTIVE, {}, ())
        ] * 2

    def test_upscale_before_the_shrink_clears_the_marks_and_resumes(self) -> None:
        seen = observed(
            pods=[pod(0), pod(1, ready=False)],
            claims=[claim(0), claim(1, drain="6", drained="uid-of-pod-1/6")],
            reports=[report(0), report(1, epoch="6", drained=True)],
        )
        one = decide(seen, 2).verdicts[1]
        assert (one.marks, [told(action) for action in one.actions]) == ({}, ["resume events-s3sink-1"])

    def test_a_pod_that_is_drained_in_part_is_resumed(self) -> None:
        seen = observed(
            pods=[pod(0), pod(1, ready=False)],
            claims=[claim(0), claim(1)],
            reports=[report(0), report(1, state="draining")],
        )
        assert [told(one) for one in decide(seen, 2).verdicts[1].actions] == ["resume events-s3sink-1"]

    def test_upscale_after_the_shrink_clears_the_proof_and_raises_replicas(self) -> None:
        seen = observed(replicas=1, pods=[pod(0)], claims=[claim(0), claim(1, drain="6", drained="u/6")])
        decided = decide(seen, 2)
        assert (decided.replicas, decided.verdicts[1].marks) == (2, {})

    def test_a_volume_that_goes_is_waited_for(self) -> None:
        seen = observed(replicas=1, pods=[pod(0)], claims=[claim(0), claim(1, ending=True), claim(2)])
        decided = decide(seen, 3)
        assert decided.replicas == 1
        assert decided.holds == (
            "the volume claim buffer-events-s3sink-1 of an earlier replica isn't gone yet",
        )

    def test_a_drain_job_is_deleted_before_there_is_a_pod(self) -> None:
        seen = observed(replicas=1, pods=[pod(0)], claims=[claim(0), claim(1)], jobs=[job(1, epoch="6")])
        decided = decide(seen, 2)
        assert decided.replicas == 1
        assert decided.holds == ("the drain Job of ordinal 1 isn't gone yet",)
        assert [told(one) for one in decided.verdicts[1].actions] == [
            "delete Job drain-events-s3sink-1 uid-of-job-1 None"
        ]

    def test_the_volume_of_an_earlier_sink_is_taken_over_without_its_marks(self) -> None:
        left = claim(1, drain="6", drained="u/6", marked="uid-of-another-sink")
        decided = decide(observed(replicas=1, pods=[pod(0)], claims=[claim(0), left]), 2)
        assert (decided.replicas, decided.verdicts[1].marks) == (2, {})

    def test_a_claim_that_was_deleted_under_a_pod_is_emptied_and_then_let_go(self) -> None:
        seen = observed(
            pods=[pod(0), pod(1)], claims=[claim(0), claim(1, ending=True)], reports=[report(0), report(1)]
        )
        one = decide(seen, 2).verdicts[1]
        assert (one.phase, one.marks) == (Phase.DRAINING, REQUESTED)
        assert [told(action) for action in one.actions] == ["drain 7"]
        seen = observed(
            pods=[pod(0), pod(1, ready=False)],
            claims=[claim(0), claim(1, ending=True, drain="7", drained="uid-of-pod-1/7")],
            reports=[report(0), report(1, epoch="7", drained=True)],
        )
        decided = decide(seen, 2)
        assert decided.replicas == 2
        assert [told(action) for action in decided.verdicts[1].actions] == [
            "delete Pod events-s3sink-1 uid-of-pod-1 None"
        ]


class TestSeveral:
    def test_all_flush_at_once_and_shrink_from_the_top(self) -> None:
        """Ordinal 2 is proven and 3 isn't: nothing goes before 3."""
        seen = observed(
            replicas=4,
            pods=[pod(one) for one in range(4)],
            claims=[claim(0), claim(1), claim(2, drain="7", drained="uid-of-pod-2/7"), claim(3)],
            reports=[report(0), report(1), report(2, epoch="7", drained=True), report(3)],
        )
        decided = decide(seen, 1)
        assert decided.replicas == 4
        assert [one.phase for one in decided.verdicts] == [
            Phase.ACTIVE,
            Phase.DRAINING,
            Phase.DRAINED,
            Phase.DRAINING,
        ]

    def test_what_is_proven_at_the_top_goes_together(self) -> None:
        seen = observed(
            replicas=4,
            pods=[pod(one) for one in range(4)],
            claims=[claim(0), claim(1), *(claim(one, drain="7", drained="u/7") for one in (2, 3))],
            reports=[report(0), report(1), *(report(one, epoch="7", drained=True) for one in (2, 3))],
        )
        assert decide(seen, 1).replicas == 2

    def test_scaled_to_zero_keeps_volumes(self) -> None:
        seen = observed(replicas=0, claims=[claim(0, drain="7", drained="u/7"), claim(1, phase="Pending")])
        decided = decide(seen, 0)
        assert decided.replicas == 0
        assert [one.actions for one in decided.verdicts] == [(), ()]

    def test_a_stateful_set_made_again_takes_over_all_pods(self) -> None:
        """Fewer, and it would end the others before they are empty."""
        seen = observed(
            kids={},
            pods=[pod(one, owned=False) for one in range(3)],
            claims=[claim(one) for one in range(3)],
            reports=[report(one) for one in range(3)],
        )
        assert decide(seen, 1).replicas == 3


def test_names_and_numbers_of_others_cost_no_memory() -> None:
    """A pod of such a name, or a StatefulSet that somebody scaled: whoever may write them mustn't end the operator."""
    assert fleet_of(observed(sink(), kids={}, pods=[pod(2_000_000_000)])).slots == {}
    kids = children(sink(), replicas=2)
    (found,) = (live for live in kids.values() if live["kind"] == "StatefulSet")
    found["spec"] = {**found["spec"], "replicas": 2_147_483_647}
    fleet = fleet_of(observed(sink(), kids=kids))
    assert (fleet.replicas, len(fleet.slots)) == (MOST_ORDINALS, MOST_ORDINALS)
    # All the way back, as none of them has a pod or a volume.
    assert scale(fleet, 2, "Retain", (), NOW).replicas == 2


def test_a_claim_of_almost_that_name_is_somebody_else_s() -> None:
    """A copy of a volume, say."""
    copy = claim(1)
    copy["metadata"]["name"] = "buffer-events-s3sink-01"
    assert fleet_of(observed(sink(), kids={}, claims=[claim(0), copy])).slots.keys() == {0}
