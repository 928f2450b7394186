"""Plans: children, adoption, name conflicts, bad config, pauses, upgrades; the exact list of actions of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from s3sink_operator import names
from s3sink_operator.manifests import Context, Owner, render
from s3sink_operator.planner.plan import DRAINING_SECONDS, MOVING_SECONDS, plan
from s3sink_operator.spec import parse
from s3sink_operator.state import (
    SERVICE_MONITOR,
    STATEFUL_SET,
    Apply,
    Mark,
    Object,
    Observed,
    Plan,
    Ref,
    SecretFacts,
)

from tests.rig.actions import told
from tests.rig.observations import (
    IMAGE,
    NAME,
    NAMESPACE,
    children,
    claim,
    managed,
    observed,
    pod,
    report,
    sink,
)

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
CHILD = names.child(NAME)
NEWER = "example.org/s3sink-ingester:2"
REVISION = "controller-revision-hash"


def ref(api_version: str, kind: str, name: str = CHILD) -> Ref:
    return Ref(api_version, kind, NAMESPACE, name)


SET = ref(STATEFUL_SET.api_version, STATEFUL_SET.kind)
SERVICE = ref("v1", "Service")
CONFIG_MAP = ref("v1", "ConfigMap")
MONITOR = ref(SERVICE_MONITOR.api_version, SERVICE_MONITOR.kind)
SCALER = ref("autoscaling/v2", "HorizontalPodAutoscaler")


def healthy(of: Object | None = None, **seen: Any) -> Observed:
    known: dict[str, Any] = {
        "claims": [claim(0), claim(1)],
        "pods": [pod(0), pod(1)],
        "reports": [report(0), report(1)],
    }
    return observed(of, **known | seen)


def kids(of: Object | None = None, *, without: tuple[Ref, ...] = (), **changed: Any) -> dict[Ref, Any]:
    """Children as rendered of another sink than the observed one."""
    found = children(of or sink(), **{"replicas": 2} | changed)
    return {one: live for one, live in found.items() if one not in without}


def with_meta(found: dict[Ref, Any], which: Ref, **meta: Any) -> dict[Ref, Any]:
    live = found[which]
    return {**found, which: {**live, "metadata": {**live["metadata"], **meta}}}


def with_spec(found: dict[Ref, Any], which: Ref, **spec: Any) -> dict[Ref, Any]:
    live = found[which]
    return {**found, which: {**live, "spec": {**live["spec"], **spec}}}


def rolling(found: dict[Ref, Any]) -> dict[Ref, Any]:
    return {**found, SET: {**found[SET], "status": {**found[SET]["status"], "updatedReplicas": 1}}}


def hanging(applied: str | None) -> Any:
    """A StatefulSet one of whose pods is of its version `b`, and not ready. `applied`: when the operator wrote it."""
    live = kids()[SET]
    live["status"] |= {"currentRevision": "a", "updateRevision": "b"}
    if applied is not None:
        by_us = {"manager": names.FIELD_MANAGER, "operation": "Apply", "time": applied}
        by_others = {"manager": "kubectl", "operation": "Apply", "time": "2026-11-24T11:00:00Z"}
        live["metadata"]["managedFields"] = [by_others, by_us]
    return live


def no_good(**fields: Any) -> Object:
    return sink(partitioning={"regex": "("}, **fields)


EXPANDS: Any = {"allowVolumeExpansion": True}
SERVED = frozenset({SERVICE_MONITOR})
CHANGED = sink(batch={"window": "5m"})
CREDENTIALS: Any = {
    "destination": {
        "bucket": "the-output-bucket",
        "region": "us-east-1",
        "credentials": {"secretRef": {"name": "s3"}},
    }
}
AUTHORITIES: Any = {
    "destination": {
        "bucket": "the-output-bucket",
        "region": "us-east-1",
        "caBundle": {"secretRef": {"name": "ca"}},
    }
}
KEYS = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"})


@dataclass(frozen=True)
class Case:
    """What is seen, and what is done about it."""

    name: str
    seen: Observed
    actions: tuple[str, ...] = ()
    image: str = IMAGE
    release: str = ""
    may_upgrade: bool = True
    requeue_after: float | None = field(default=None)


CASES = (
    Case(
        "all children, in the order of render, after the finalizer",
        observed(sink(meta={"finalizers": []}), kids={}),
        (
            "set the finalizer",
            "apply ServiceAccount events-s3sink",
            "apply ConfigMap events-s3sink",
            "apply Service events-s3sink-pods",
            "apply Service events-s3sink",
            "apply StatefulSet events-s3sink replicas=2",
            "apply PodDisruptionBudget events-s3sink",
        ),
        requeue_after=MOVING_SECONDS,
    ),
    Case("nothing, when all is as it should be", healthy()),
    Case(
        "volumes are labelled",
        healthy(claims=[claim(0), claim(1, marked=None)]),
        ("mark buffer-events-s3sink-1",),
    ),
    Case(
        "a child that was deleted", healthy(kids=kids(without=(SERVICE,))), ("apply Service events-s3sink",)
    ),
    Case(
        "a field that somebody changed",
        healthy(kids=with_spec(kids(), SERVICE, selector={"app": "other"})),
        ("apply Service events-s3sink",),
    ),
    Case("a field that somebody added", healthy(kids=with_spec(kids(), SERVICE, externalName="x"))),
    Case(
        "settings that changed: the ConfigMap, then the pods",
        healthy(CHANGED, kids=kids()),
        ("apply ConfigMap events-s3sink", "apply StatefulSet events-s3sink replicas=2"),
        requeue_after=MOVING_SECONDS,
    ),
    Case(
        "a credential that changed rolls the pods",
        healthy(
            sink(**CREDENTIALS),
            kids=kids(sink(**CREDENTIALS)),
            secrets={"s3": SecretFacts(keys=KEYS, digest="another")},
        ),
        ("apply StatefulSet events-s3sink replicas=2",),
        requeue_after=MOVING_SECONDS,
    ),
    Case(
        "authorities that changed roll the pods",
        healthy(
            sink(**AUTHORITIES),
            kids=kids(sink(**AUTHORITIES)),
            secrets={"ca": SecretFacts(keys=frozenset({"ca.crt"}), digest="another")},
        ),
        ("apply StatefulSet events-s3sink replicas=2",),
        requeue_after=MOVING_SECONDS,
    ),
    Case(
        "an object that is ending isn't applied",
        healthy(kids=with_meta(kids(), SET, deletionTimestamp="now")),
    ),
    # ---- whose children they are
    Case(
        "orphans are adopted",
        healthy(kids=with_meta(kids(), SET, ownerReferences=[])),
        ("apply StatefulSet events-s3sink replicas=2",),
    ),
    Case(
        "a child of an earlier sink of the name is waited for",
        healthy(
            kids=with_meta(
                kids(),
                SERVICE,
                ownerReferences=[{"kind": "S3Sink", "name": NAME, "uid": "earlier", "controller": True}],
            )
        ),
    ),
    Case(
        "somebody else's is never overwritten",
        healthy(kids=with_meta(kids(), SERVICE, labels={}, ownerReferences=[])),
    ),
    Case(
        "beside somebody's StatefulSet no volume is touched",
        healthy(
            sink(replicas=0),
            kids=with_meta(kids(), SET, labels={}, ownerReferences=[]),
            claims=[claim(0, marked=None)],
        ),
    ),
    # ---- optional children
    Case(
        "a monitor as soon as there is its kind",
        healthy(served=SERVED),
        ("apply ServiceMonitor events-s3sink",),
    ),
    Case(
        "a monitor that isn't wanted any more",
        healthy(
            sink(monitoring={"serviceMonitor": "Disabled"}),
            served=SERVED,
            kids=kids(served=SERVED),
        ),
        ("delete ServiceMonitor events-s3sink",),
    ),
    Case(
        "a monitor that isn't wanted and isn't ours",
        healthy(
            sink(monitoring={"serviceMonitor": "Disabled"}),
            served=SERVED,
            kids=with_meta(kids(served=SERVED), MONITOR, ownerReferences=[], labels={}),
        ),
    ),
    Case(
        "a monitor that is asked for without its kind",
        healthy(sink(monitoring={"serviceMonitor": "Enabled"}), kids=kids()),
    ),
    Case(
        "autoscaling comes",
        healthy(sink(autoscaling={"maxReplicas": 4})),
        (),
    ),
    Case(
        "autoscaling goes",
        healthy(kids=kids(sink(autoscaling={"maxReplicas": 4}))),
        ("delete HorizontalPodAutoscaler events-s3sink",),
    ),
    Case(
        "its account goes when there is another one",
        healthy(
            sink(podTemplate={"serviceAccountName": "mine"}),
            kids={
                **kids(sink(podTemplate={"serviceAccountName": "mine"})),
                ref("v1", "ServiceAccount"): kids()[ref("v1", "ServiceAccount")],
            },
        ),
        ("delete ServiceAccount events-s3sink",),
    ),
    Case(
        "but not before pods have the other one",
        healthy(sink(podTemplate={"serviceAccountName": "mine"}), kids=kids()),
        ("apply StatefulSet events-s3sink replicas=2",),
        requeue_after=MOVING_SECONDS,
    ),
    Case(
        "all of them",
        healthy(
            sink(podTemplate={"serviceAccountName": "mine"}),
            kids=rolling(
                {
                    **kids(sink(podTemplate={"serviceAccountName": "mine"})),
                    ref("v1", "ServiceAccount"): kids()[ref("v1", "ServiceAccount")],
                }
            ),
        ),
        requeue_after=MOVING_SECONDS,
    ),
    # ---- a spec that can't be acted on
    Case("nothing is made of it", observed(no_good(), kids={})),
    Case("what is there stays", healthy(no_good(), kids=kids(CHANGED))),
    Case(
        "it is scaled up all the same",
        healthy(no_good(replicas=3), kids=kids()),
        ("apply StatefulSet events-s3sink replicas=3",),
        requeue_after=MOVING_SECONDS,
    ),
    Case(
        "it is scaled down all the same",
        healthy(no_good(replicas=1), kids=kids()),
        ("mark buffer-events-s3sink-1 drain=requested/7", "drain events-s3sink-1 7"),
        requeue_after=DRAINING_SECONDS,
    ),
    Case(
        "a Secret that is missing is as bad",
        healthy(sink(**CREDENTIALS), kids=kids(), secrets={"s3": None}),
    ),
    # ---- paused
    Case(
        "paused, an emptying pod isn't looked at all the time",
        healthy(
            sink(replicas=1, meta={"annotations": {names.PAUSED: "true"}}),
            kids=kids(),
            claims=[claim(0), claim(1, drain="7")],
            reports=[report(0), report(1, epoch="7")],
        ),
    ),
    Case("paused", observed(sink(meta={"annotations": {names.PAUSED: "true"}}), kids={})),
    Case(
        "not paused by any other word",
        healthy(sink(meta={"annotations": {names.PAUSED: "false"}}), kids=kids(without=(SERVICE,))),
        ("apply Service events-s3sink",),
    ),
    # ---- another image
    Case(
        "upgraded in its turn",
        healthy(),
        ("apply StatefulSet events-s3sink replicas=2",),
        image=NEWER,
        requeue_after=MOVING_SECONDS,
    ),
    Case(
        "until then everything else goes on",
        healthy(CHANGED, kids=kids(CHANGED, without=(SERVICE,))),
        ("apply Service events-s3sink",),
        image=NEWER,
        may_upgrade=False,
    ),
    Case(
        "a spec that changes meanwhile waits as well: the earlier image might refuse its settings",
        healthy(CHANGED, kids=kids(without=(SERVICE,))),
        ("apply Service events-s3sink",),
        image=NEWER,
        may_upgrade=False,
    ),
    Case(
        "but for its scaling",
        healthy(sink(replicas=3, batch={"window": "5m"}), kids=kids()),
        ("apply StatefulSet events-s3sink replicas=3",),
        image=NEWER,
        may_upgrade=False,
        requeue_after=MOVING_SECONDS,
    ),
    Case(
        "orphans are adopted without a change of their pods",
        healthy(CHANGED, kids=with_meta(kids(), SET, ownerReferences=[])),
        ("apply StatefulSet events-s3sink replicas=2",),
        image=NEWER,
        may_upgrade=False,
    ),
    Case(
        "volumes grow",
        healthy(
            sink(buffer={"size": "20Gi"}), kids=kids(), storage_class={"metadata": {"name": "fast"}} | EXPANDS
        ),
        ("mark buffer-events-s3sink-0 20Gi", "mark buffer-events-s3sink-1 20Gi"),
        image=NEWER,
        may_upgrade=False,
        requeue_after=MOVING_SECONDS,
    ),
    Case(
        "a StatefulSet isn't made again while it would come back as the new release has it",
        healthy(
            sink(buffer={"size": "20Gi"}),
            kids=kids(sink(buffer={"size": "20Gi"}), claim_size="10Gi"),
            claims=[claim(0, requested="20Gi", capacity="20Gi"), claim(1, requested="20Gi", capacity="20Gi")],
        ),
        image=NEWER,
        may_upgrade=False,
    ),
    # ---- another release with the same image. What it renders otherwise looks as a changed spec does.
    Case(
        "a release that renders the same is noted at once",
        healthy(kids=kids(release="1")),
        ("apply StatefulSet events-s3sink replicas=2",),
        release="2",
        may_upgrade=False,
    ),
    Case(
        "one that renders other settings waits",
        healthy(kids=kids(CHANGED, release="1")),
        release="2",
        may_upgrade=False,
    ),
    Case(
        "one that leaves something out of pods waits",
        healthy(kids=kids(sink(podTemplate={"nodeSelector": {"disk": "ssd"}}), release="1")),
        release="2",
        may_upgrade=False,
    ),
    Case(
        "in its turn it rolls",
        healthy(kids=kids(CHANGED, release="1")),
        ("apply ConfigMap events-s3sink", "apply StatefulSet events-s3sink replicas=2"),
        release="2",
        requeue_after=MOVING_SECONDS,
    ),
    Case(
        "a spec waits for no other sink's turn",
        healthy(CHANGED, kids=kids(release="2")),
        ("apply ConfigMap events-s3sink", "apply StatefulSet events-s3sink replicas=2"),
        release="2",
        may_upgrade=False,
        requeue_after=MOVING_SECONDS,
    ),
    Case(
        "settings that are gone are made again",
        healthy(kids=kids(CHANGED, release="1", without=(CONFIG_MAP,))),
        ("apply ConfigMap events-s3sink",),
        release="2",
        may_upgrade=False,
    ),
    Case(
        "a rollout is looked at",
        healthy(kids={**kids(), SET: {**kids()[SET], "status": {}}}),
        (),
        requeue_after=MOVING_SECONDS,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plans(case: Case) -> None:
    found = plan(case.seen, case.image, NOW, release=case.release, may_upgrade=case.may_upgrade)
    assert tuple(map(told, found.actions)) == case.actions
    assert found.requeue_after == case.requeue_after


def test_every_action_says_why() -> None:
    for case in CASES:
        assert all(action.reason for action in plan(case.seen, case.image, NOW).actions)


def applied(seen: Observed, which: Ref) -> Mapping[str, Any]:
    (found,) = (
        one.manifest
        for one in plan(seen, IMAGE, NOW).actions
        if isinstance(one, Apply)
        and one.manifest["kind"] == which.kind
        and one.manifest["metadata"]["name"] == which.name
    )
    return found


class TestStatefulSet:
    def test_fields_that_can_t_be_changed_are_kept(self) -> None:
        """An earlier version of the operator may have made them otherwise."""
        fixed = {
            "podManagementPolicy": "OrderedReady",
            "serviceName": "other",
            "selector": {"matchLabels": {"a": "b"}},
        }
        spec = applied(healthy(CHANGED, kids=with_spec(kids(), SET, **fixed)), SET)["spec"]
        assert {key: spec[key] for key in fixed} == fixed

    def test_scaled_with_a_bad_spec_only_its_replicas_change(self) -> None:
        live = kids(CHANGED)[SET]
        manifest = applied(healthy(no_good(replicas=3), kids=kids(CHANGED)), SET)
        assert manifest["spec"] == {**live["spec"], "replicas": 3}
        assert manifest["metadata"]["ownerReferences"] == live["metadata"]["ownerReferences"]
        assert "resourceVersion" not in manifest["metadata"]

    def test_what_was_scaled_so_is_applied_again_once_the_spec_is_good(self) -> None:
        """Whatever the earlier spec had besides has to go."""
        live = {**applied(healthy(no_good(replicas=3), kids=kids()), SET)}
        live["metadata"] = {**live["metadata"], "uid": "u"}
        seen = healthy(sink(replicas=3), kids={**kids(sink(replicas=3), replicas=3), SET: live})
        assert "apply StatefulSet events-s3sink replicas=3" in map(told, plan(seen, IMAGE, NOW).actions)

    def test_replicas_come_from_the_scale_down_machine(self) -> None:
        """The spec says 1; the volume of ordinal 1 isn't proven to be empty."""
        assert (
            applied(healthy(sink(replicas=1, batch={"window": "5m"}), kids=kids()), SET)["spec"]["replicas"]
            == 2
        )

    def test_scaled_while_it_waits_for_its_turn_only_its_replicas_change(self) -> None:
        live = kids()[SET]
        found = plan(
            healthy(sink(replicas=3, batch={"window": "5m"}), kids=kids()), NEWER, NOW, may_upgrade=False
        )
        (manifest,) = (one.manifest for one in found.actions if isinstance(one, Apply))
        assert manifest["spec"] == {**live["spec"], "replicas": 3}
        assert found.is_upgrading

    def test_what_was_scaled_so_is_at_rest_until_its_turn(self) -> None:
        of = sink(replicas=3, batch={"window": "5m"})
        seen = healthy(
            of,
            kids=kids(),
            claims=[claim(0), claim(1), claim(2)],
            pods=[pod(0), pod(1), pod(2)],
        )
        (action,) = plan(seen, NEWER, NOW, may_upgrade=False).actions
        assert isinstance(action, Apply)
        meta = {**action.manifest["metadata"], "uid": "uid-of-set", "resourceVersion": "2", "generation": 4}
        live = {**action.manifest, "metadata": meta}
        again = replace(seen, children={**kids(), SET: live})
        assert plan(again, NEWER, NOW, may_upgrade=False).actions == ()
        assert "apply ConfigMap events-s3sink" in map(told, plan(again, NEWER, NOW).actions)


class TestAdmission:
    """A webhook gives the StatefulSet an image of a mirror, whenever it is written."""

    MIRRORED = "mirror.example/s3sink-ingester:1"

    def mirrored(self, of: Object | None = None, *, taken: bool = False, **changed: Any) -> dict[Ref, Any]:
        """Children as they are after it. `taken`: somebody else has set the image."""
        found = kids(of, **changed)
        for live in found.values():
            live["metadata"]["managedFields"] = managed(live)
        (container,) = found[SET]["spec"]["template"]["spec"]["containers"]
        container["image"] = self.MIRRORED
        (entry,) = found[SET]["metadata"]["managedFields"]
        (owned,) = entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"].values()
        if taken:
            del owned["f:image"]
        return found

    @pytest.mark.parametrize("may_upgrade", [True, False])
    def test_it_is_accepted_and_told(self, may_upgrade: bool) -> None:
        found = plan(healthy(kids=self.mirrored()), IMAGE, NOW, may_upgrade=may_upgrade)
        assert (found.actions, found.is_upgrading) == ((), False)
        (told_,) = (one for one in found.status["conditions"] if one["type"] == "Reconciling")
        assert (told_["status"], told_["reason"], told_["message"]) == (
            "False",
            "UpToDate",
            "everything is as it was applied, but for what admission made of it: StatefulSet events-s3sink "
            "spec.template.spec.containers[ingester].image",
        )
        assert found.status["image"] == self.MIRRORED, "what runs"

    def test_what_a_person_sets_is_put_back(self) -> None:
        found = plan(healthy(kids=self.mirrored(taken=True)), IMAGE, NOW)
        assert tuple(map(told, found.actions)) == ("apply StatefulSet events-s3sink replicas=2",)

    @pytest.mark.parametrize("made", [0, 1])
    def test_a_number_of_replicas_that_it_made_is_put_right_at_each_look(self, made: int) -> None:
        """By then the policy may be gone; and volumes that are wanted are emptied by their pods alone."""
        found = self.mirrored()
        found[SET]["spec"] = {**found[SET]["spec"], "replicas": made}
        planned = plan(healthy(kids=found), IMAGE, NOW)
        assert tuple(map(told, planned.actions)) == ("apply StatefulSet events-s3sink replicas=2",)

    def test_another_number_of_replicas_rolls_nothing(self) -> None:
        seen = healthy(sink(replicas=3), kids=self.mirrored())
        found = plan(seen, IMAGE, NOW)
        assert tuple(map(told, found.actions)) == ("apply StatefulSet events-s3sink replicas=3",)
        assert not plan(seen, IMAGE, NOW, may_upgrade=False).is_upgrading

    def test_other_settings_are_applied(self) -> None:
        seen = healthy(sink(batch={"window": "5m"}), kids=self.mirrored())
        assert "apply StatefulSet events-s3sink replicas=2" in map(told, plan(seen, IMAGE, NOW).actions)

    @pytest.mark.parametrize("release", ["1", "2"])
    def test_an_upgrade_waits_for_its_turn_and_is_applied(self, release: str) -> None:
        seen = healthy(kids=self.mirrored(release="1"))
        waiting = plan(seen, NEWER, NOW, release=release, may_upgrade=False)
        assert (waiting.actions, waiting.is_upgrading) == ((), True)
        (apply,) = applies(plan(seen, NEWER, NOW, release=release))
        (container,) = apply.manifest["spec"]["template"]["spec"]["containers"]
        assert container["image"] == NEWER

    def test_a_release_that_renders_the_same_is_noted_at_once(self) -> None:
        seen = healthy(kids=self.mirrored(release="1"))
        (apply,) = applies(plan(seen, IMAGE, NOW, release="2", may_upgrade=False))
        before, after = (one["metadata"]["annotations"] for one in (seen.children[SET], apply.manifest))
        assert (after[names.RELEASE], after[names.TEMPLATE_HASH]) == ("2", before[names.TEMPLATE_HASH])

    def test_what_was_applied_without_being_rendered_is_no_admission(self) -> None:
        """Scaled while it waited for its turn: the values that were there then are ours now."""
        found = self.mirrored()
        del found[SET]["metadata"]["annotations"][names.APPLIED_HASH]
        assert [told(one) for one in plan(healthy(kids=found), IMAGE, NOW).actions] == [
            "apply StatefulSet events-s3sink replicas=2"
        ]


def applies(found: Plan) -> list[Apply]:
    return [one for one in found.actions if isinstance(one, Apply)]


class TestMarks:
    def test_a_mark_is_all_that_the_operator_wants_of_just_this_claim(self) -> None:
        (mark,) = plan(healthy(claims=[claim(0), claim(1, drain="3", requested="12Gi")]), IMAGE, NOW).actions
        assert isinstance(mark, Mark)
        assert (mark.uid, mark.resource_version, mark.storage) == ("uid-of-claim-1", "101", "12Gi")
        assert mark.labels == {names.SINK_UID_LABEL: "uid-of-the-sink", names.ORDINAL_LABEL: "1"}
        assert mark.annotations == {}

    def test_marks_come_before_the_stateful_set(self) -> None:
        """A volume that is proven to be empty must not have a pod."""
        seen = healthy(
            sink(replicas=3), claims=[claim(0), claim(1), claim(2, drain="3", drained="u/3")], kids=kids()
        )
        assert tuple(map(told, plan(seen, IMAGE, NOW).actions)) == (
            "mark buffer-events-s3sink-2",
            "apply StatefulSet events-s3sink replicas=3",
        )


class TestUpgrading:
    def test_a_sink_that_runs_the_image(self) -> None:
        assert not plan(healthy(), IMAGE, NOW).is_upgrading

    def test_one_that_rolls(self) -> None:
        assert plan(healthy(kids={**kids(), SET: {**kids()[SET], "status": {}}}), IMAGE, NOW).is_upgrading

    def test_one_whose_new_pods_were_never_ready(self) -> None:
        """They count as updated from the moment they are made; whether the image starts at all isn't known yet."""
        status = {**kids()[SET]["status"], "currentRevision": "a", "updateRevision": "b"}
        assert plan(healthy(kids={**kids(), SET: {**kids()[SET], "status": status}}), IMAGE, NOW).is_upgrading

    def test_one_that_another_release_made(self) -> None:
        assert plan(healthy(kids=kids(release="1")), IMAGE, NOW, release="2").is_upgrading
        assert not plan(healthy(kids=kids(release="2")), IMAGE, NOW, release="2").is_upgrading

    @pytest.mark.parametrize(
        "of", [no_good(), sink(meta={"annotations": {names.PAUSED: "true"}})], ids=["no good", "paused"]
    )
    def test_one_that_nobody_can_roll_keeps_none_waiting(self, of: Object) -> None:
        assert not plan(healthy(of, kids=kids()), NEWER, NOW).is_upgrading

    @pytest.mark.parametrize(
        ("applied", "made", "seconds"),
        [
            ("2026-11-24T12:00:00Z", None, 600.0),
            ("2026-11-24T12:05:00Z", "2026-11-24T12:00:00Z", 600.0),  # scaled meanwhile
            ("2026-11-24T12:00:00Z", "2026-11-24T12:05:00Z", 600.0),  # a pod of it was evicted
            (None, "2026-11-24T12:00:00Z", 600.0),
            ("2026-11-24T12:11:00Z", None, 0.0),  # another clock
            (None, None, None),
        ],
    )
    def test_how_long_it_rolls_is_observed(
        self, applied: str | None, made: str | None, seconds: float | None
    ) -> None:
        of_it = pod(1, ready=False)
        of_it["metadata"]["labels"][REVISION] = "b" if made else "a"
        of_it["metadata"]["creationTimestamp"] = made or "2026-11-24T11:00:00Z"
        seen = healthy(kids={**kids(), SET: hanging(applied)}, pods=[pod(0), of_it])
        now = NOW.replace(hour=12, minute=10)
        assert plan(seen, IMAGE, now).rolling_seconds == seconds

    def test_a_version_that_comes_back_rolls_since_it_was_applied(self) -> None:
        """Its pods that weren't rolled yet are older than the first one of the version in between."""
        kept, in_between = pod(0), pod(1, ready=False)
        kept["metadata"]["labels"][REVISION] = "b"
        in_between["metadata"] |= {"creationTimestamp": "2026-11-24T11:50:00Z"}
        in_between["metadata"]["labels"][REVISION] = "a"
        seen = healthy(kids={**kids(), SET: hanging("2026-11-24T12:00:00Z")}, pods=[kept, in_between])
        assert plan(seen, IMAGE, NOW.replace(hour=12, minute=10)).rolling_seconds == 600.0

    def test_what_rolls_no_more_or_not_yet_has_no_time(self) -> None:
        applied = "2026-11-24T12:00:00Z"
        unseen, done = hanging(applied), hanging(applied)
        unseen["status"]["observedGeneration"] = 2
        done["status"]["currentRevision"] = "b"
        for live in (unseen, done):
            assert plan(healthy(kids={**kids(), SET: live}), IMAGE, NOW).rolling_seconds is None
        outdated = healthy(sink(batch={"window": "5m"}), kids={**kids(), SET: hanging(applied)})
        assert plan(outdated, IMAGE, NOW).rolling_seconds is None
        assert plan(healthy(kids={**kids(), SET: hanging(applied)}), NEWER, NOW).rolling_seconds is None

    def test_one_that_isn_t_there(self) -> None:
        assert not plan(observed(kids={}), IMAGE, NOW).is_upgrading


def test_what_is_rendered_is_what_the_builders_render() -> None:
    """The planner adds nothing to a new sink's children."""
    seen = observed(kids={})
    size = parse(seen.sink).buffer.size
    context = Context(image=IMAGE, replicas=2, claim_size=size, volume_size=size)
    manifests = [one.manifest for one in plan(seen, IMAGE, NOW).actions if isinstance(one, Apply)]
    assert manifests == list(render(parse(seen.sink), Owner.of(seen.sink), context))
