"""Growing volumes and emptying those without a pod, as plans."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from s3sink_operator import names
from s3sink_operator.planner.plan import plan
from s3sink_operator.state import STATEFUL_SET, Apply, Object, Observed, Plan, Ref, Report

from tests.rig.actions import told
from tests.rig.observations import (
    IMAGE,
    LATER,
    NAME,
    NAMESPACE,
    children,
    claim,
    job,
    job_pod,
    job_report,
    observed,
    pod,
    report,
    sink,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FAST = {"metadata": {"name": "fast"}, "allowVolumeExpansion": True}
SLOW = {"metadata": {"name": "slow"}}
SET = Ref(STATEFUL_SET.api_version, STATEFUL_SET.kind, NAMESPACE, names.child(NAME))


def condition(plan: Plan, type_: str) -> Any:
    (found,) = (one for one in plan.status["conditions"] if one["type"] == type_)
    return found


def changed(**spec: Any) -> Object:
    return sink(buffer={"size": "20Gi"}, **spec)


def grown(kids_of: Object | None = None, *, rolled_out: bool = True, **seen: Any) -> Observed:
    """Two healthy pods of a StatefulSet that was made for 10Gi; the spec says 20Gi."""
    of = seen.pop("of", None) or changed()
    kids = children(sink() if kids_of is None else kids_of, replicas=2)
    if not rolled_out:
        kids[SET]["status"]["updatedReplicas"] = 1
    reports = [report(0), report(1)]
    return observed(
        of, **{"kids": kids, "pods": [pod(0), pod(1)], "reports": reports, "storage_class": FAST} | seen
    )


def large(ordinal: int, **fields: Any) -> Object:
    return claim(ordinal, **{"requested": "20Gi", "capacity": "20Gi"} | fields)


def waiting(ordinal: int) -> Object:
    pending = {"type": "FileSystemResizePending", "status": "True", "lastTransitionTime": LATER}
    return large(ordinal, capacity="10Gi", conditions=[pending])


@dataclass(frozen=True)
class Case:
    """What is seen, and what is done about it."""

    name: str
    seen: Observed
    resized: tuple[str, str]
    actions: tuple[str, ...] = ()
    phases: tuple[str, str] = ("Active", "Active")
    minutes: int = 0
    """Since noon, which is when file systems began to wait."""


RESIZING = ("Resizing", "Resizing")
TOLD = "apply ConfigMap events-s3sink"
"""Of the size, which running ingesters follow."""
SETTLED = children(changed(), replicas=2, claim_size="10Gi")
"""As applied once the volumes have grown."""

CASES = (
    Case(
        "all smaller ones are patched, and nothing else is done",
        grown(claims=[claim(0), claim(1)]),
        ("False", "Resizing"),
        ("mark buffer-events-s3sink-0 20Gi", "mark buffer-events-s3sink-1 20Gi"),
        RESIZING,
    ),
    Case(
        "one that somebody made larger is left so",
        grown(claims=[claim(0), claim(1, requested="1.5Ti", capacity="1.5Ti")]),
        ("False", "Resizing"),
        (TOLD, "mark buffer-events-s3sink-0 20Gi"),
        ("Resizing", "Active"),
    ),
    Case(
        "one that isn't bound yet can't be patched",
        grown(claims=[claim(0), claim(1, phase="Pending")]),
        ("False", "Resizing"),
        ("mark buffer-events-s3sink-0 20Gi",),
        ("Resizing", "Active"),
    ),
    Case(
        "patched: they are waited for",
        grown(claims=[large(0, capacity="10Gi"), large(1, capacity="10Gi")]),
        ("False", "Resizing"),
        (),
        RESIZING,
    ),
    Case(
        "one has grown: its ingester is told, and the others know the size of their own",
        grown(claims=[large(0, capacity="10Gi"), large(1)]),
        ("False", "Resizing"),
        (TOLD,),
        ("Resizing", "Active"),
    ),
    Case(
        "the class doesn't allow it",
        grown(claims=[claim(0), claim(1)], storage_class=SLOW),
        ("False", "NotExpandable"),
        (),
        RESIZING,
    ),
    Case(
        "there is no class",
        grown(claims=[claim(0), claim(1)], storage_class=None),
        ("False", "NotExpandable"),
        (),
        RESIZING,
    ),
    Case(
        "the storage can't",
        grown(
            claims=[
                large(
                    0,
                    capacity="10Gi",
                    conditions=[{"type": "ControllerResizeError", "status": "True", "message": "quota"}],
                ),
                large(1),
            ]
        ),
        ("False", "ResizeFailed"),
        (TOLD,),
        ("Resizing", "Active"),
    ),
    Case(
        "file systems have some minutes",
        grown(claims=[waiting(0), waiting(1)]),
        ("False", "FileSystemResizePending"),
        (),
        RESIZING,
        4,
    ),
    Case(
        "then pods are restarted, one at a time",
        grown(claims=[waiting(0), waiting(1)]),
        ("False", "FileSystemResizePending"),
        ("delete Pod events-s3sink-1",),
        RESIZING,
        6,
    ),
    Case(
        "not while another one isn't ready",
        grown(claims=[waiting(0), waiting(1)], pods=[pod(0), pod(1, ready=False)]),
        ("False", "FileSystemResizePending"),
        ("delete Pod events-s3sink-1",),
        RESIZING,
        6,
    ),
    Case(
        "not while the one that was restarted isn't ready",
        grown(claims=[waiting(0), large(1)], pods=[pod(0), pod(1, ready=False)]),
        ("False", "FileSystemResizePending"),
        (TOLD,),
        ("Resizing", "Active"),
        6,
    ),
    Case(
        "not in the middle of a rollout",
        grown(claims=[waiting(0), waiting(1)], rolled_out=False),
        ("False", "FileSystemResizePending"),
        (),
        RESIZING,
        6,
    ),
    Case(
        "all are as large: ingesters are told, and the StatefulSet goes without its pods for its claim template",
        grown(claims=[large(0), large(1)]),
        ("False", "Resizing"),
        (TOLD, "delete StatefulSet events-s3sink Orphan"),
    ),
    Case(
        "not in the middle of a rollout, which telling isn't",
        grown(claims=[large(0), large(1)], rolled_out=False),
        ("True", "UpToDate"),
        (TOLD,),
    ),
    Case(
        "they are told once",
        grown(claims=[large(0), large(1)], kids=SETTLED),
        ("False", "Resizing"),
        ("delete StatefulSet events-s3sink Orphan",),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_growth(case: Case) -> None:
    found = plan(case.seen, IMAGE, NOON.replace(minute=case.minutes))
    resized = condition(found, "StorageResized")
    assert (resized["status"], resized["reason"]) == case.resized
    assert tuple(map(told, found.actions)) == case.actions
    assert tuple(one["phase"] for one in found.status["volumes"]) == case.phases


def test_the_stateful_set_is_made_again_around_its_pods() -> None:
    """With the pod template that it had before it grew, so that no pod is restarted, and the new claim template."""
    kids = {ref: live for ref, live in SETTLED.items() if ref != SET}
    pods = [pod(one, owned=False) for one in (0, 1)]
    found = plan(grown(claims=[large(0), large(1)], kids=kids, pods=pods), IMAGE, NOON)
    (made,) = found.actions
    assert isinstance(made, Apply)
    assert made.manifest["spec"]["replicas"] == 2
    assert made.manifest["spec"]["template"] == children(sink(), replicas=2)[SET]["spec"]["template"]
    (template,) = made.manifest["spec"]["volumeClaimTemplates"]
    assert template["spec"]["resources"]["requests"]["storage"] == "20Gi"


def test_what_can_t_grow_says_why_and_what_helps() -> None:
    found = plan(grown(claims=[claim(0), claim(1)], storage_class=SLOW), IMAGE, NOON)
    assert condition(found, "StorageResized")["message"] == (
        "volumes 0, 1 can't grow to 20Gi: the StorageClass slow doesn't allow it (allowVolumeExpansion); "
        "let the class expand volumes, or make another S3Sink"
    )


def test_growth_comes_last_since_a_quota_may_refuse_it() -> None:
    """Nothing else waits for it: not settings, not a drain. Nor does a drain wait for a child. A claim that is marked
    grows with the next pass."""
    of = changed(replicas=1, batch={"window": "5m"})
    found = plan(grown(of=of, claims=[claim(0), claim(1)]), IMAGE, NOON)
    assert tuple(map(told, found.actions)) == (
        "mark buffer-events-s3sink-1 drain=requested/7",
        "drain events-s3sink-1 7",
        "apply ConfigMap events-s3sink",
        "apply StatefulSet events-s3sink replicas=2",
        "mark buffer-events-s3sink-0 20Gi",
    )
    found = plan(grown(of=changed(), claims=[claim(0, drain="3"), claim(1)]), IMAGE, NOON)
    assert tuple(map(told, found.actions)) == (
        "mark buffer-events-s3sink-0",
        "mark buffer-events-s3sink-1 20Gi",
    )


class TestOrphans:
    """One ordinal is wanted, two volumes are there, and the second has no pod."""

    EPOCH = "mark buffer-events-s3sink-1 drain=requested/7"

    def plan(
        self,
        *jobs: Object,
        now: datetime = NOON,
        drain: str | None = "7",
        may_upgrade: bool = True,
        image: str = IMAGE,
        job_pods: tuple[Object, ...] = (),
        job_reports: tuple[Report, ...] = (),
        **spec: Any,
    ) -> Plan:
        of = sink(replicas=1, **spec)
        kids = children(sink(replicas=1), replicas=1)
        return plan(
            observed(
                of,
                kids=kids,
                pods=[pod(0)],
                reports=[report(0), *job_reports],
                claims=[claim(0), claim(1, drain=drain)],
                jobs=jobs,
                job_pods=job_pods,
                storage_class=FAST,
            ),
            image,
            now,
            may_upgrade=may_upgrade,
        )

    def told(self, *jobs: Object, **how: Any) -> list[str]:
        return [told(one) for one in self.plan(*jobs, **how).actions]

    def test_it_is_marked_and_a_job_is_made(self) -> None:
        assert self.told(drain=None) == [self.EPOCH, "apply Job drain-events-s3sink-1"]
        assert self.told() == ["apply Job drain-events-s3sink-1"]

    def test_the_job_says_for_which_request_it_is(self) -> None:
        (made,) = self.plan().actions
        assert isinstance(made, Apply)
        assert made.manifest["metadata"]["annotations"][names.DRAIN] == "requested/7"

    def made(self) -> str:
        (made,) = self.plan().actions
        assert isinstance(made, Apply)
        digest: str = made.manifest["metadata"]["annotations"][names.APPLIED_HASH]
        return digest

    def test_the_job_is_waited_for(self) -> None:
        found = self.plan(job(1, epoch="7", applied_hash=self.made()))
        assert found.actions == ()
        assert condition(found, "Draining")["reason"] == "Draining"

    def test_a_job_that_cant_upload_says_so_in_the_stores_words(self) -> None:
        says = job_report(1, destination_ok=False, last_error="no route", last_error_reason="unreachable")
        runs = job(1, epoch="7", applied_hash=self.made())
        found = self.plan(runs, job_pods=(job_pod(1),), job_reports=(says,))
        assert found.actions == ()
        told = condition(found, "Draining")
        assert (told["reason"], told["message"]) == (
            "Blocked",
            "volume 1: the Job drain-events-s3sink-1 can't upload: no route",
        )
        reachable = condition(found, "DestinationReachable")
        assert (reachable["reason"], reachable["message"]) == (
            "Unreachable",
            "drain-events-s3sink-1-x7k2p: no route",
        )
        assert [one.get("bufferedBytes") for one in found.status["volumes"]] == [100, 100]
        assert found.status["buffer"]["bytes"] == 200

    def test_a_job_whose_uploads_get_through_again_is_draining(self) -> None:
        runs = job(1, epoch="7", applied_hash=self.made())
        found = self.plan(runs, job_pods=(job_pod(1),), job_reports=(job_report(1),))
        assert condition(found, "Draining")["reason"] == "Draining"

    def test_what_an_earlier_pod_of_the_job_said_is_past(self) -> None:
        earlier = job_pod(1, name="first", created="2026-11-24T11:30:00Z")
        says = job_report(1, name="first", destination_ok=False)
        runs = job(1, epoch="7", applied_hash=self.made())
        found = self.plan(runs, job_pods=(earlier, job_pod(1)), job_reports=(says,))
        assert condition(found, "Draining")["reason"] == "Draining"

    def test_a_volume_that_is_emptied_by_a_job_presses_nobody(self) -> None:
        says = job_report(1, state="full", disk_bytes=1000)
        runs = job(1, epoch="7", applied_hash=self.made())
        found = self.plan(runs, job_pods=(job_pod(1),), job_reports=(says,))
        assert condition(found, "BufferPressure")["reason"] == "EnoughRoom"

    @pytest.mark.parametrize(
        ("status", "text"),
        [
            (
                {
                    "containerStatuses": [
                        {
                            "name": names.CONTAINER,
                            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
                        }
                    ]
                },
                "drain-events-s3sink-1-x7k2p: ImagePullBackOff: no such image",
            ),
            (
                {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]},
                "drain-events-s3sink-1-x7k2p has no node: 0/3 nodes",
            ),
        ],
    )
    def test_a_job_whose_pod_can_t_run_says_so(self, status: dict[str, Any], text: str) -> None:
        runs = job(1, epoch="7", applied_hash=self.made())
        cant = job_pod(1, **{"phase": "Pending", "conditions": []} | status)
        told = condition(self.plan(runs, job_pods=(cant,)), "Draining")
        assert (told["reason"], told["message"]) == (
            "Blocked",
            f"volume 1: the Job drain-events-s3sink-1 makes no progress: {text}",
        )
        starts = job_pod(1, phase="Pending", conditions=[])
        assert condition(self.plan(runs, job_pods=(starts,)), "Draining")["reason"] == "Draining"

    def test_a_job_without_a_pod_says_where_the_reason_is(self) -> None:
        runs = job(1, epoch="7", applied_hash=self.made())
        assert condition(self.plan(runs, now=NOON.replace(second=30)), "Draining")["reason"] == "Draining"
        assert condition(self.plan(runs, now=NOON.replace(minute=2)), "Draining")["message"] == (
            "volume 1: the Job drain-events-s3sink-1 has no pod: kubectl describe job drain-events-s3sink-1 says why "
            "under Events"
        )

    @pytest.mark.parametrize("is_job_ending", [False, True])
    def test_a_pod_of_a_job_that_can_t_end_is_told(self, is_job_ending: bool) -> None:
        runs, hangs = job(1, epoch="7", applied_hash=self.made()), job_pod(1)
        hangs["metadata"] |= {
            "deletionTimestamp": "2026-11-24T11:00:00Z",
            "deletionGracePeriodSeconds": 30,
            "finalizers": ["batch.kubernetes.io/job-tracking"],
        }
        if is_job_ending:
            runs["metadata"]["deletionTimestamp"] = "2026-11-24T11:00:00Z"
        told = condition(self.plan(runs, job_pods=(hangs,)), "Draining")
        assert told["reason"] == "Blocked"
        assert "drain-events-s3sink-1-x7k2p is Terminating on its node though" in told["message"]
        assert "as when that node is lost" in told["message"]

    def test_a_job_that_is_done_is_the_proof(self) -> None:
        assert self.told(job(1, epoch="7", ended="Complete")) == [f"{self.EPOCH} drained=uid-of-job-1/7"]

    def test_a_job_of_an_earlier_request_proves_nothing(self) -> None:
        assert self.told(job(1, epoch="5", ended="Complete")) == ["delete Job drain-events-s3sink-1"]

    def test_a_job_for_another_volume_of_the_name_proves_nothing(self) -> None:
        earlier = job(1, epoch="7", ended="Complete")
        earlier["metadata"]["creationTimestamp"] = "2026-11-24T11:00:00Z"
        assert self.told(earlier) == ["delete Job drain-events-s3sink-1"]

    def test_a_job_that_would_run_something_else_now_is_made_again(self) -> None:
        assert self.told(job(1, epoch="7", applied_hash="of before")) == ["delete Job drain-events-s3sink-1"]

    def test_a_job_goes_on_while_the_sink_waits_to_be_upgraded(self) -> None:
        newer = "example.org/s3sink-ingester:2"
        runs = job(1, epoch="7", applied_hash="of before")
        assert self.told(runs, image=newer, may_upgrade=False) == []
        assert self.told(image=newer, may_upgrade=False) == ["apply Job drain-events-s3sink-1"]
        assert "delete Job drain-events-s3sink-1" in self.told(runs, image=newer)

    def test_a_job_that_gave_up_is_told_and_tried_again(self) -> None:
        failed = job(1, epoch="7", ended="Failed")
        found = self.plan(failed)
        assert found.actions == ()
        assert condition(found, "Draining")["message"] == (
            "volume 1: the Job drain-events-s3sink-1 could not empty the volume of ordinal 1: gave up"
        )
        ended = {"exitCode": 1, "message": "0 records left\n2 damaged files need a person\n"}
        proxy = {"name": "a-proxy", "state": {"terminated": {"exitCode": 0, "message": "bye"}}}
        ours = {"name": names.CONTAINER, "state": {"terminated": ended}}
        pods = (job_pod(1, phase="Failed", containerStatuses=[proxy, ours]),)
        assert condition(self.plan(failed, job_pods=pods), "Draining")["message"] == (
            "volume 1: the Job drain-events-s3sink-1 could not empty the volume of ordinal 1: "
            "2 damaged files need a person"
        )
        assert self.told(failed, now=NOON.replace(minute=6)) == ["delete Job drain-events-s3sink-1"]

    def test_no_job_is_made_of_a_spec_that_is_no_good(self) -> None:
        found = self.plan(partitioning={"regex": "("})
        assert found.actions == ()
        assert condition(found, "Draining")["message"] == (
            "volume 1: the volume of ordinal 1 has no pod, and the spec is no good for a Job"
        )


class TestOutgrown:
    """Settings that need more than the volumes have, and a larger `buffer.size`, came together."""

    OF = sink(buffer={"size": "50Gi"}, batch={"maxBytes": "5Gi"})

    def told(self, requested: str, capacity: str, **fields: Any) -> list[str]:
        claims = [claim(one, requested=requested, capacity=capacity, **fields) for one in (0, 1)]
        return [told(one) for one in plan(grown(of=self.OF, claims=claims), IMAGE, NOON).actions]

    def test_volumes_grow_and_pods_go_on_with_the_earlier_settings(self) -> None:
        assert self.told("10Gi", "10Gi") == [
            "mark buffer-events-s3sink-0 50Gi",
            "mark buffer-events-s3sink-1 50Gi",
        ]
        assert self.told("50Gi", "10Gi") == []

    def test_then_the_settings_are_used(self) -> None:
        assert self.told("50Gi", "50Gi") == [
            "apply ConfigMap events-s3sink",
            "apply StatefulSet events-s3sink replicas=2",
        ]

    def test_pods_are_restarted_all_the_same_where_file_systems_need_it(self) -> None:
        """Else the settings would wait for the volumes, and these for a rollout."""
        since = {
            "type": "FileSystemResizePending",
            "status": "True",
            "lastTransitionTime": "2026-11-24T11:00:00Z",
        }
        assert self.told("50Gi", "10Gi", conditions=[since])[:1] == ["delete Pod events-s3sink-1"]

    def test_a_sink_that_goes_waits_for_no_growth(self) -> None:
        of = sink(
            buffer={"size": "50Gi"},
            batch={"maxBytes": "5Gi"},
            meta={"deletionTimestamp": LATER, "finalizers": [names.FINALIZER]},
        )
        found = plan(grown(of=of, claims=[claim(0), claim(1)]), IMAGE, NOON)
        assert condition(found, "ConfigValid")["reason"] == "Valid"
