"""Deletion: what is done, in order, under each `whenDeleted`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from s3sink_operator import names
from s3sink_operator.planner.plan import plan
from s3sink_operator.state import Mark, Observed, Plan

from tests.rig.actions import told
from tests.rig.observations import IMAGE, LATER, children, claim, job, observed, pod, report, sink

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
RELEASE = "take the finalizer off"


def deleted(
    when: str = "DrainThenDelete", *, finalizers: tuple[str, ...] = (), **meta: Any
) -> dict[str, Any]:
    return sink(
        buffer={"whenDeleted": when},
        meta={"deletionTimestamp": LATER, "finalizers": [names.FINALIZER, *finalizers], **meta},
    )


def planned(seen: Observed) -> Plan:
    return plan(seen, IMAGE, NOW)


EMPTY = [claim(one, drain="7", drained=f"uid-of-pod-{one}/7") for one in (0, 1)]
FULL = [claim(0), claim(1)]
STOPPED = [pod(one, ready=False) for one in (0, 1)]
RUNNING = [pod(0), pod(1)]
SAY_EMPTY = [report(one, epoch="7", drained=True) for one in (0, 1)]
SAY_FULL = [report(0), report(1)]


@dataclass(frozen=True)
class Case:
    """Two ordinals as they are found, and what is done."""

    name: str
    sink: Any
    actions: tuple[str, ...]
    claims: Any = ()
    pods: Any = ()
    reports: Any = ()
    jobs: Any = ()
    kids: Any = None
    draining: tuple[str, str] = ("False", "NothingToDrain")


CASES = (
    Case(
        "all are cordoned at once",
        deleted(),
        (
            "mark buffer-events-s3sink-0 drain=requested/7",
            "mark buffer-events-s3sink-1 drain=requested/7",
            "drain events-s3sink-0 7",
            "drain events-s3sink-1 7",
        ),
        claims=FULL,
        pods=RUNNING,
        reports=SAY_FULL,
        draining=("True", "Draining"),
    ),
    Case(
        "one is proven: the StatefulSet shrinks, the other is waited for",
        deleted(),
        ("apply StatefulSet events-s3sink replicas=1",),
        claims=[claim(0, drain="7"), EMPTY[1]],
        pods=STOPPED,
        reports=[report(0, epoch="7"), SAY_EMPTY[1]],
        draining=("True", "Draining"),
    ),
    Case(
        "blocked: it waits and says so",
        deleted(),
        (),
        claims=[claim(0, drain="7"), claim(1, drain="7")],
        pods=STOPPED,
        reports=[report(one, epoch="7", destination_ok=False, last_error="no route") for one in (0, 1)],
        draining=("True", "Blocked"),
    ),
    Case(
        "all proven: the pods go first",
        deleted(),
        ("delete StatefulSet events-s3sink",),
        claims=EMPTY,
        pods=STOPPED,
        reports=SAY_EMPTY,
    ),
    Case(
        "without a StatefulSet, a Job empties what lost its pod, though a higher ordinal still has its own",
        deleted(),
        ("apply Job drain-events-s3sink-0",),
        claims=[claim(0, drain="7"), EMPTY[1]],
        pods=[pod(1, owned=False)],
        reports=[SAY_EMPTY[1]],
        kids={ref: one for ref, one in children(sink(), replicas=2).items() if ref.kind != "StatefulSet"},
        draining=("True", "Draining"),
    ),
    Case("pods are waited for", deleted(), (), claims=EMPTY, pods=[pod(1, ending=True)], kids={}),
    Case(
        "then the volumes, as they were observed",
        deleted(),
        (
            "delete PersistentVolumeClaim buffer-events-s3sink-0 @100",
            "delete PersistentVolumeClaim buffer-events-s3sink-1 @101",
        ),
        claims=EMPTY,
        kids={},
    ),
    Case("volumes that are kept when drained", deleted("DrainThenRetain"), (RELEASE,), claims=EMPTY, kids={}),
    Case(
        "kept: nothing is drained",
        deleted("Retain"),
        ("delete StatefulSet events-s3sink",),
        claims=FULL,
        pods=RUNNING,
        reports=SAY_FULL,
    ),
    Case("kept: volumes stay", deleted("Retain"), (RELEASE,), claims=FULL, kids={}),
    Case(
        "discarded: pods go first here as well",
        deleted("DiscardData"),
        ("delete StatefulSet events-s3sink",),
        claims=FULL,
        pods=RUNNING,
        reports=SAY_FULL,
    ),
    Case(
        "discarded: with what is on them",
        deleted("DiscardData"),
        (
            "delete PersistentVolumeClaim buffer-events-s3sink-0",
            "delete PersistentVolumeClaim buffer-events-s3sink-1",
        ),
        claims=FULL,
        kids={},
    ),
    Case(
        "discarded: not those of an earlier sink",
        deleted("DiscardData"),
        (RELEASE,),
        claims=[claim(0, marked="uid-of-another-sink")],
        kids={},
    ),
    Case(
        "volumes without pods: Jobs, for which account and settings are made again",
        deleted(finalizers=("foregroundDeletion",)),
        (
            "mark buffer-events-s3sink-0 drain=requested/7",
            "mark buffer-events-s3sink-1 drain=requested/7",
            "apply ServiceAccount events-s3sink without owner",
            "apply ConfigMap events-s3sink without owner",
            "apply Job drain-events-s3sink-0",
            "apply Job drain-events-s3sink-1",
        ),
        claims=FULL,
        kids={},
        draining=("True", "Draining"),
    ),
    Case(
        "Jobs that are done are the proof",
        deleted(),
        ("mark buffer-events-s3sink-0 drain=requested/7 drained=uid-of-job-0/7",),
        claims=[claim(0, drain="7")],
        jobs=[job(0, epoch="7", ended="Complete")],
        kids={},
        draining=("True", "Draining"),
    ),
    Case(
        "Jobs go before the volumes",
        deleted(),
        ("delete Job drain-events-s3sink-0",),
        claims=[claim(0, drain="7", drained="uid-of-job-0/7")],
        jobs=[job(0, epoch="7", ended="Complete")],
        kids={},
    ),
    Case(
        "released by force: volumes are kept, Jobs are not",
        deleted(annotations={names.FORCE_RELEASE: "true"}),
        ("delete Job drain-events-s3sink-1", RELEASE),
        claims=[claim(0, drain="7"), claim(1, drain="7")],
        pods=[STOPPED[0]],
        jobs=[job(1, epoch="7")],
    ),
    Case(
        "children are to stay: the garbage collector is waited for",
        deleted(finalizers=("orphan",)),
        (),
        claims=FULL,
        pods=RUNNING,
        reports=SAY_FULL,
    ),
    Case(
        "volumes that are being deleted are waited for, or a new sink of this name would get them",
        deleted(),
        (),
        claims=[claim(0, drain="7", drained="u/7", ending=True)],
        kids={},
    ),
    Case("no volume is left, or ever was: then the sink", deleted(), (RELEASE,), kids={}),
    Case(
        "the finalizer isn't there",
        deleted() | {"metadata": {**deleted()["metadata"], "finalizers": []}},
        (),
        claims=FULL,
    ),
    Case(
        "pods that have no StatefulSet are ended one by one",
        deleted(),
        ("delete Pod events-s3sink-0", "delete Pod events-s3sink-1"),
        claims=EMPTY,
        pods=[pod(one, ready=False, owned=False) for one in (0, 1)],
        reports=SAY_EMPTY,
        kids={},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_deletion(case: Case) -> None:
    seen = observed(
        case.sink, claims=case.claims, pods=case.pods, reports=case.reports, jobs=case.jobs, kids=case.kids
    )
    found = planned(seen)
    assert tuple(map(told, found.actions)) == case.actions
    (draining,) = (one for one in found.status["conditions"] if one["type"] == "Draining")
    assert (draining["status"], draining["reason"]) == case.draining


def test_children_that_were_to_stay_are_let_go() -> None:
    """Their StatefulSet has no owner any more."""
    seen = observed(deleted(), claims=FULL, pods=RUNNING, reports=SAY_FULL)
    kids = {}
    for ref, live in seen.children.items():
        kids[ref] = {**live, "metadata": {**live["metadata"], "ownerReferences": []}}
    seen = observed(deleted(), claims=FULL, pods=RUNNING, reports=SAY_FULL, kids=kids)
    assert tuple(map(told, planned(seen).actions)) == (RELEASE,)


def test_a_block_says_the_ways_out() -> None:
    seen = observed(
        deleted(),
        claims=[claim(0, drain="7")],
        pods=[STOPPED[0]],
        reports=[report(0, epoch="7", destination_ok=False, last_error="no route")],
    )
    (draining,) = (one for one in planned(seen).status["conditions"] if one["type"] == "Draining")
    assert draining["message"] == (
        "volume 0: events-s3sink-0 can't upload: no route. To delete the sink and keep its volumes, set "
        "spec.buffer.whenDeleted to Retain or annotate it with s3sink.dev/force-release=true"
    )


def test_a_spec_that_is_repaired_reaches_the_pods_while_they_drain() -> None:
    """Else a sink whose credentials are wrong could never be deleted without losing records."""
    seen = observed(deleted(), claims=[claim(one, drain="7") for one in (0, 1)], pods=STOPPED)
    changed = {**seen.sink, "spec": {**seen.sink["spec"], "batch": {"window": "5m"}}}
    seen = observed(changed, claims=seen.volumes, pods=STOPPED, kids=seen.children)
    assert tuple(map(told, planned(seen).actions)) == (
        "apply ConfigMap events-s3sink",
        "apply StatefulSet events-s3sink replicas=2",
    )


def test_nothing_is_made_while_the_namespace_ends() -> None:
    """Children that are gone aren't made again for a sink that goes."""
    seen = observed(deleted(), claims=FULL, pods=[pod(0, ending=True), pod(1, ending=True)], kids={})
    assert not [one for one in map(told, planned(seen).actions) if one.startswith("apply")]


def test_a_child_that_is_refused_holds_up_no_drain() -> None:
    """What is refused ends a pass, as a policy may refuse a Service for good: pods are told before."""
    kids = children(sink(), replicas=2)
    service = next(ref for ref in kids if ref.kind == "Service" and ref.name == "events-s3sink")
    kids[service]["spec"] = {**kids[service]["spec"], "sessionAffinity": "ClientIP"}
    seen = observed(deleted(), claims=FULL, pods=RUNNING, reports=SAY_FULL, kids=kids)
    assert [told(one) for one in planned(seen).actions if not isinstance(one, Mark)] == [
        "drain events-s3sink-0 7",
        "drain events-s3sink-1 7",
        "apply Service events-s3sink",
    ]


def test_a_spec_that_is_no_good_doesn_t_keep_a_sink_from_being_drained() -> None:
    seen = observed(deleted(), claims=FULL, pods=RUNNING, reports=SAY_FULL)
    broken = {**seen.sink, "spec": {**seen.sink["spec"], "partitioning": {"regex": "("}}}
    seen = observed(broken, claims=FULL, pods=RUNNING, reports=SAY_FULL, kids=seen.children)
    assert [one for one in map(told, planned(seen).actions) if one.startswith("drain")] == [
        "drain events-s3sink-0 7",
        "drain events-s3sink-1 7",
    ]
