"""Conditions, each in a table: what is observed, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from s3sink_operator import names
from s3sink_operator.planner.plan import plan
from s3sink_operator.state import STATEFUL_SET, Observed, Ref, SecretFacts

from tests.rig.observations import IMAGE, NAME, NAMESPACE, children, claim, observed, pod, report, sink

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
CHILD = names.child(NAME)
SET = Ref(STATEFUL_SET.api_version, STATEFUL_SET.kind, NAMESPACE, CHILD)
SERVICE = Ref("v1", "Service", NAMESPACE, CHILD)

CLAIMS = (claim(0), claim(1))
PODS = (pod(0), pod(1))
REPORTS = (report(0), report(1))


def healthy(of: Any = None, **seen: Any) -> Observed:
    """Two of two ingesters are ready."""
    return observed(of, **{"claims": CLAIMS, "pods": PODS, "reports": REPORTS} | seen)


def broken(**fields: Any) -> Any:
    """A sink whose spec can't be acted on, but whose StatefulSet is there."""
    return healthy(sink(partitioning={"regex": "("}, **fields), kids=children(sink(), replicas=2))


def waiting(
    ordinal: int,
    reason: str,
    message: str = "",
    ended: dict[str, Any] | None = None,
    name: str = names.CONTAINER,
) -> Any:
    container = {
        "name": name,
        "image": IMAGE,
        "ready": False,
        "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": ended} if ended else {},
    }
    return pod(ordinal, ready=False, containerStatuses=[container])


def unscheduled(ordinal: int) -> Any:
    text = "0/3 nodes are available: 3 Insufficient memory."
    scheduled = {"type": "PodScheduled", "status": "False", "message": text}
    return pod(ordinal, conditions=[{"type": "Ready", "status": "False"}, scheduled])


def kids(**status: Any) -> dict[Ref, Any]:
    """Children whose StatefulSet has another status."""
    found = children(sink(), replicas=2)
    found[SET]["status"] |= status
    return found


def shrunk() -> dict[Ref, Any]:
    """Children whose StatefulSet is to have one pod, and still has two."""
    found = children(sink(replicas=1), replicas=1)
    found[SET]["status"] |= {"replicas": 2, "updatedReplicas": 2}
    return found


def not_made(
    *, told: str = "2026-11-24T12:10:00Z", replicas_wanted: int = 2, **status: Any
) -> dict[Ref, Any]:
    """Children whose StatefulSet has one pod only; `told`: when its controller last had news."""
    found = children(sink(replicas=replicas_wanted), replicas=replicas_wanted)
    found[SET]["status"] |= {"replicas": 1, "updatedReplicas": 1, **status}
    entry = {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "subresource": "status",
        "time": told,
    }
    found[SET]["metadata"]["managedFields"] = [
        {"manager": "kubectl", "operation": "Update", "subresource": "scale"},
        {**entry, "time": "2026-11-24T11:00:00Z"},
        entry,
    ]
    return found


def ending(ordinal: int, by: str, **meta: Any) -> Any:
    """A pod on a node whose grace period ends, or ended, at a time."""
    found = pod(ordinal)
    found["metadata"] |= {"deletionTimestamp": by, **meta}
    found["spec"]["nodeName"] = "node-a"
    return found


def taken(ref: Ref, **meta: Any) -> dict[Ref, Any]:
    """Something that isn't ours has the name."""
    found = children(sink(), replicas=2)
    stranger = {"name": ref.name, "namespace": ref.namespace, "uid": "x", "resourceVersion": "1", **meta}
    return {**found, ref: {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": stranger, "spec": {}}}


WITHOUT_SET = {ref: live for ref, live in children(sink(), replicas=2).items() if ref != SET}
PAUSED = sink(meta={"annotations": {names.PAUSED: "true"}})
PAUSED_END = sink(meta={"annotations": {names.PAUSED: "true"}, "deletionTimestamp": "2026-11-24T12:00:00Z"})
OUTGROWN = sink(buffer={"size": "50Gi"}, batch={"maxBytes": "5Gi"})
HANGS = (
    "events-s3sink-1 is Terminating on node-a though its grace period ended at 2026-11-24T12:00:00Z, as when that node "
    "is lost: only if that machine is off for good, kubectl delete pod events-s3sink-1 --force --grace-period=0, or "
    "taint the node node.kubernetes.io/out-of-service"
)
NOT_MADE = (
    "events-s3sink-1 can't be made, since 2026-11-24T12:10:00Z or longer: kubectl describe statefulset events-s3sink "
    "says why under Events, such as a quota, an admission webhook or Pod Security that refuses pods"
)
GOING = sink(meta={"deletionTimestamp": "2026-11-24T12:00:00Z"}, buffer={"whenDeleted": "Retain"})
EXPANDS = {"metadata": {"name": "fast"}, "allowVolumeExpansion": True}
BAD_REGEX = "spec.partitioning.regex: "
CREDENTIALS = {
    "bucket": "the-output-bucket",
    "region": "us-east-1",
    "credentials": {"secretRef": {"name": "s3"}},
}


@dataclass(frozen=True)
class Case:
    """What is said of one type. A message is compared where it is given."""

    name: str
    seen: Observed
    type: str
    said: tuple[str, str]
    message: str | None = None


CASES = (
    Case("ready", healthy(), "Ready", ("True", "AllReady"), "2 of 2 ingesters are ready"),
    Case("not made yet", observed(kids={}), "Ready", ("False", "Creating")),
    Case(
        "no pods yet",
        healthy(pods=[], reports=[]),
        "Ready",
        ("False", "PodsNotReady"),
        "0 of 2 ingesters are ready; pods are being made",
    ),
    Case(
        "starting",
        healthy(pods=[pod(0), pod(1, ready=False)], reports=REPORTS[:1]),
        "Ready",
        ("False", "PodsNotReady"),
        "1 of 2 ingesters are ready; events-s3sink-1 is starting",
    ),
    Case(
        "recovering",
        healthy(
            pods=[pod(0), pod(1, ready=False)],
            reports=[
                report(0),
                report(1, ready=False, state="recovering", reason="the volume is being recovered"),
            ],
        ),
        "Ready",
        ("False", "PodsNotReady"),
        "1 of 2 ingesters are ready; events-s3sink-1: the volume is being recovered",
    ),
    Case(
        "full",
        healthy(
            pods=[pod(0), pod(1, ready=False)],
            reports=[report(0), report(1, ready=False, state="full", reason="the buffer is full")],
        ),
        "Ready",
        ("False", "BufferFull"),
        "1 of 2 ingesters are ready; events-s3sink-1: the buffer is full",
    ),
    Case("no node", healthy(pods=[pod(0), unscheduled(1)]), "Ready", ("False", "Unschedulable")),
    Case(
        "no image",
        healthy(pods=[pod(0), waiting(1, "ImagePullBackOff", "no such image")]),
        "Ready",
        ("False", "ImagePullBackOff"),
        "1 of 2 ingesters are ready; events-s3sink-1: ImagePullBackOff: no such image",
    ),
    Case(
        "ready, S3 away",
        healthy(reports=[report(0), report(1, destination_ok=False, last_error="no route")]),
        "Ready",
        ("True", "DestinationUnreachable"),
    ),
    Case("bad config", broken(), "Ready", ("False", "ConfigInvalid")),
    Case("none wanted", observed(sink(replicas=0), replicas=0), "Ready", ("True", "ScaledToZero")),
    Case("name taken", healthy(kids=taken(SERVICE)), "Ready", ("False", "NameConflict")),
    # ---- pods that hang, or aren't made
    Case(
        "a pod that ends in its time",
        healthy(pods=[pod(0), ending(1, "2026-11-24T12:29:30Z")]),
        "Ready",
        ("False", "PodEnding"),
        "1 of 2 ingesters are ready; events-s3sink-1 is ending",
    ),
    Case(
        "one that should have ended long ago",
        healthy(pods=[pod(0), ending(1, "2026-11-24T12:00:00Z")]),
        "Ready",
        ("False", "PodStuckTerminating"),
        f"1 of 2 ingesters are ready; {HANGS}",
    ),
    Case(
        "it holds up a rollout",
        healthy(kids=kids(updatedReplicas=1), pods=[pod(0), ending(1, "2026-11-24T12:00:00Z")]),
        "Reconciling",
        ("True", "RollingOut"),
        f"1 of 2 ingesters run what was applied last; {HANGS}",
    ),
    Case(
        "one that isn't wanted any more, and was emptied before",
        healthy(
            sink(replicas=1),
            kids=shrunk(),
            claims=[claim(0), claim(1, drain="7", drained="uid-of-pod-1/7")],
            pods=[pod(0), ending(1, "2026-11-24T12:00:00Z")],
        ),
        "Reconciling",
        ("True", "ScalingDown"),
        f"2 replicas become 1; {HANGS}",
    ),
    Case(
        "it holds up a deletion",
        healthy(GOING, kids={}, pods=[ending(1, "2026-11-24T12:00:00Z")]),
        "Ready",
        ("False", "Deleting"),
        f"pods and Jobs are ending; {HANGS}",
    ),
    Case(
        "finalizers hold it",
        healthy(
            pods=[
                pod(0),
                ending(
                    1, "2026-11-24T12:00:00Z", finalizers=["a.example/b", "c"], deletionGracePeriodSeconds=0
                ),
            ]
        ),
        "Ready",
        ("False", "PodStuckTerminating"),
        "1 of 2 ingesters are ready; events-s3sink-1 is Terminating on node-a though its grace period ended at "
        "2026-11-24T12:00:00Z: it is held by its finalizers a.example/b, c; see who set them",
    ),
    Case(
        "a pod that can't be made",
        healthy(kids=not_made(), pods=[pod(0)]),
        "Ready",
        ("False", "PodsNotCreated"),
        f"1 of 2 ingesters are ready; {NOT_MADE}",
    ),
    Case(
        "many of them",
        healthy(sink(replicas=9), kids=not_made(replicas_wanted=9), pods=[pod(0)]),
        "Stalled",
        ("True", "PodsNotCreated"),
        NOT_MADE.replace(" can't", ", events-s3sink-2, events-s3sink-3 and 5 more can't"),
    ),
    Case(
        "it waits for a person",
        healthy(kids=not_made(), pods=[pod(0)]),
        "Stalled",
        ("True", "PodsNotCreated"),
        NOT_MADE,
    ),
    Case(
        "what is on its way waits for it",
        healthy(kids=not_made(), pods=[pod(0)]),
        "Reconciling",
        ("True", "RollingOut"),
        f"1 of 2 ingesters run what was applied last; {NOT_MADE}",
    ),
    Case(
        "one that went a moment ago",
        healthy(kids=not_made(told="2026-11-24T12:29:30Z"), pods=[pod(0)]),
        "Ready",
        ("False", "PodsNotReady"),
        "1 of 2 ingesters are ready; pods are being made",
    ),
    Case(
        "a change that the controller hasn't seen",
        healthy(kids=not_made(observedGeneration=2), pods=[pod(0)]),
        "Ready",
        ("False", "PodsNotReady"),
        "1 of 2 ingesters are ready; pods are being made",
    ),
    Case(
        "a pod that was made while all this was read",
        healthy(kids=not_made(), pods=[pod(0), pod(1, ready=False)]),
        "Stalled",
        ("False", "NotStalled"),
    ),
    Case(
        "of a sink that goes none are wanted",
        healthy(GOING, kids=not_made(), pods=[pod(0)]),
        "Stalled",
        ("False", "NotStalled"),
    ),
    # ---- Reconciling
    Case("nothing to do", healthy(), "Reconciling", ("False", "UpToDate")),
    Case("made", observed(kids={}), "Reconciling", ("True", "Creating")),
    Case(
        "rolled out",
        healthy(kids=kids(updatedReplicas=1)),
        "Reconciling",
        ("True", "RollingOut"),
        "1 of 2 ingesters run what was applied last",
    ),
    Case(
        "about to be rolled out: what is known is about the earlier spec",
        healthy(sink(batch={"window": "5m"}), kids=kids()),
        "Reconciling",
        ("True", "RollingOut"),
        "the StatefulSet is being brought up to date",
    ),
    Case(
        "made, but never ready",
        healthy(kids=kids(currentRevision="a", updateRevision="b")),
        "Reconciling",
        ("True", "RollingOut"),
    ),
    Case(
        "not seen by its controller",
        healthy(kids=kids(observedGeneration=2)),
        "Reconciling",
        ("True", "RollingOut"),
    ),
    Case(
        "scaled down",
        healthy(sink(replicas=1)),
        "Reconciling",
        ("True", "ScalingDown"),
        "2 replicas become 1",
    ),
    Case("scaled up", healthy(sink(replicas=3)), "Reconciling", ("True", "ScalingUp"), "2 replicas become 3"),
    Case("waits", healthy(pods=[pod(0), pod(1, ready=False)]), "Reconciling", ("True", "WaitingForPods")),
    Case(
        "stalled before it was made",
        observed(sink(partitioning={"regex": "("}), kids={}),
        "Reconciling",
        ("False", "Stalled"),
    ),
    # ---- Stalled
    Case("goes on", healthy(), "Stalled", ("False", "NotStalled")),
    Case(
        "somebody's Service",
        healthy(kids=taken(SERVICE)),
        "Stalled",
        ("True", "NameConflict"),
        "Service events-s3sink isn't this sink's: delete it, or label it s3sink.dev/sink=events to have it taken over",
    ),
    Case(
        "a controller's Service",
        healthy(
            kids=taken(
                SERVICE, ownerReferences=[{"kind": "App", "name": "web", "uid": "y", "controller": True}]
            )
        ),
        "Stalled",
        ("True", "NameConflict"),
        "Service events-s3sink belongs to the App web: delete it, or give the sink another name",
    ),
    Case("bad config waits for a person", broken(), "Stalled", ("True", "ConfigInvalid")),
    Case(
        "an injected container's exit code means nothing",
        healthy(pods=[pod(0), waiting(1, "CrashLoopBackOff", "back-off", {"exitCode": 4}, name="proxy")]),
        "Stalled",
        ("True", "CrashLoopBackOff"),
        "events-s3sink-1, container proxy: CrashLoopBackOff: back-off",
    ),
    Case(
        "a volume of a newer version",
        healthy(pods=[pod(0), waiting(1, "CrashLoopBackOff", "back-off", {"exitCode": 4})]),
        "Stalled",
        ("True", "FormatDowngrade"),
        f"events-s3sink-1: its volume was written by a newer version than {IMAGE}; go back to the newer operator",
    ),
    Case(
        "crashes",
        healthy(
            pods=[
                pod(0),
                waiting(1, "CrashLoopBackOff", "back-off", {"exitCode": 2, "message": "no bucket\n"}),
            ]
        ),
        "Stalled",
        ("True", "CrashLoopBackOff"),
        "events-s3sink-1: CrashLoopBackOff: back-off: no bucket",
    ),
    Case(
        "a kind that isn't there is asked for",
        healthy(sink(monitoring={"serviceMonitor": "Enabled"})),
        "Stalled",
        ("True", "KindNotServed"),
        "the cluster has no ServiceMonitor (monitoring.coreos.com/v1); install its definition, or don't ask for one",
    ),
    # ---- ConfigValid
    Case("valid", healthy(), "ConfigValid", ("True", "Valid")),
    Case("invalid", broken(), "ConfigValid", ("False", "InvalidSpec")),
    Case(
        "no Secret",
        healthy(sink(destination=CREDENTIALS), secrets={"s3": None}),
        "ConfigValid",
        ("False", "SecretNotFound"),
        "spec.destination.credentials.secretRef: there is no Secret s3 in the namespace team; create it",
    ),
    Case(
        "no key in it",
        healthy(
            sink(destination=CREDENTIALS),
            secrets={"s3": SecretFacts(keys=frozenset({"AWS_ACCESS_KEY_ID"}), digest="d")},
        ),
        "ConfigValid",
        ("False", "SecretKeyMissing"),
        "spec.destination.credentials.secretRef: the Secret s3 has no key AWS_SECRET_ACCESS_KEY; add it",
    ),
    Case(
        "no certificates in it",
        healthy(
            sink(destination={**CREDENTIALS, "credentials": {}, "caBundle": {"secretRef": {"name": "ca"}}}),
            secrets={"ca": SecretFacts(keys=frozenset({"tls.crt"}), digest="d")},
        ),
        "ConfigValid",
        ("False", "SecretKeyMissing"),
        "spec.destination.caBundle.secretRef: the Secret ca has no key ca.crt; add it",
    ),
    Case(
        "several problems",
        healthy(
            sink(source={"auth": {"secretRef": {"name": "keys"}}, "tls": {"secretRef": {"name": "tls"}}}),
            secrets={
                "keys": SecretFacts(keys=frozenset(), digest="d"),
                "tls": SecretFacts(keys=frozenset(), digest="d"),
            },
        ),
        "ConfigValid",
        ("False", "SecretKeyMissing"),
        "spec.source.auth.secretRef: the Secret keys is empty; each of its values is to be a key for clients; "
        "spec.source.tls.secretRef: the Secret tls has no key tls.crt and no key tls.key; add it",
    ),
    Case(
        "no value that a client could send as a key",
        healthy(
            sink(source={"auth": {"secretRef": {"name": "keys"}}}),
            secrets={
                "keys": SecretFacts(
                    keys=frozenset({"a", "b", ".c"}), digest="d", unsendable=frozenset({"a", "b"})
                )
            },
        ),
        "ConfigValid",
        ("False", "SecretKeyUnusable"),
        "spec.source.auth.secretRef: no value in the Secret keys can be an API key: one is 1 to 4096 visible ASCII "
        "characters without blanks, under a name that doesn't begin with a dot",
    ),
    Case(
        "one value is enough, whatever the others are",
        healthy(
            sink(source={"auth": {"secretRef": {"name": "keys"}}}),
            secrets={
                "keys": SecretFacts(keys=frozenset({"a", "b"}), digest="d", unsendable=frozenset({"a"}))
            },
        ),
        "ConfigValid",
        ("True", "Valid"),
    ),
    Case(
        "an empty certificate",
        healthy(
            sink(source={"tls": {"secretRef": {"name": "tls"}}}),
            secrets={
                "tls": SecretFacts(
                    keys=frozenset({"tls.crt", "tls.key"}), digest="d", blank=frozenset({"tls.crt"})
                )
            },
        ),
        "ConfigValid",
        ("False", "SecretKeyUnusable"),
        "spec.source.tls.secretRef: in the Secret tls the value of tls.crt is empty; fill it in",
    ),
    Case(
        "settings that need more than the volumes have",
        healthy(OUTGROWN, kids=children(sink(), replicas=2), storage_class=EXPANDS),
        "ConfigValid",
        ("False", "VolumesTooSmall"),
        "spec.buffer.size: a volume still has 10Gi, too little for objects of 5Gi and requests of 32Mi; settings wait "
        "until it has grown to 50Gi",
    ),
    Case(
        "what passes by itself",
        healthy(OUTGROWN, kids=children(sink(), replicas=2), storage_class=EXPANDS),
        "Stalled",
        ("False", "NotStalled"),
    ),
    Case(
        "until settings can be used",
        healthy(OUTGROWN, kids=children(sink(), replicas=2), storage_class=EXPANDS),
        "Reconciling",
        ("True", "Resizing"),
    ),
    Case(
        "no class",
        healthy(sink(buffer={"storageClassName": "fast"})),
        "ConfigValid",
        ("False", "StorageClassNotFound"),
        "spec.buffer.storageClassName: there is no StorageClass fast; create it (it can't be changed here)",
    ),
    # ---- DestinationReachable
    Case("uploads get through", healthy(), "DestinationReachable", ("True", "Reachable")),
    Case(
        "nothing was uploaded",
        healthy(reports=[report(0, destination_ok=None)]),
        "DestinationReachable",
        ("Unknown", "NotTried"),
    ),
    Case("nobody can be asked", healthy(reports=[]), "DestinationReachable", ("Unknown", "NotTried")),
    Case(
        "refused",
        healthy(
            reports=[
                report(
                    one, destination_ok=False, last_error="Access Denied", last_error_reason="access_denied"
                )
                for one in (0, 1)
            ]
        ),
        "DestinationReachable",
        ("False", "AccessDenied"),
        "events-s3sink-0, events-s3sink-1: Access Denied",
    ),
    # ---- BufferPressure
    Case("room", healthy(), "BufferPressure", ("False", "EnoughRoom")),
    Case(
        "filling",
        healthy(reports=[report(0), report(1, buffer_bytes=640)]),
        "BufferPressure",
        ("True", "Filling"),
        "events-s3sink-1: near 85 % of the buffer, where records are refused",
    ),
    Case(
        "filling, by what its files take up",
        healthy(reports=[report(0), report(1, buffer_bytes=0, disk_bytes=640)]),
        "BufferPressure",
        ("True", "Filling"),
    ),
    Case(
        "large records, small files",
        healthy(reports=[report(0, buffer_bytes=900, disk_bytes=100)]),
        "BufferPressure",
        ("False", "EnoughRoom"),
    ),
    Case(
        "full buffer",
        healthy(reports=[report(0), report(1, buffer_bytes=860, state="full")]),
        "BufferPressure",
        ("True", "Full"),
        "events-s3sink-1: full; records are refused with 503 until uploads make room",
    ),
    Case(
        "not known",
        healthy(reports=[report(0, buffer_bytes=None)]),
        "BufferPressure",
        ("Unknown", "NotKnown"),
    ),
    # ---- Draining
    Case("no drain", healthy(), "Draining", ("False", "NothingToDrain")),
    Case("drain", healthy(sink(replicas=1)), "Draining", ("True", "Draining"), "volume 1: being emptied"),
    Case(
        "drain of several",
        healthy(sink(replicas=0)),
        "Draining",
        ("True", "Draining"),
        "volumes 0, 1: being emptied",
    ),
    Case(
        "blocked",
        healthy(
            sink(replicas=1), reports=[report(0), report(1, destination_ok=False, last_error="no route")]
        ),
        "Draining",
        ("True", "Blocked"),
        "volume 1: events-s3sink-1 can't upload: no route",
    ),
    # ---- the others
    Case("large enough", healthy(), "StorageResized", ("True", "UpToDate")),
    Case("works", healthy(), "ReconciliationPaused", ("False", "NotPaused")),
    Case(
        "paused",
        healthy(sink(meta={"annotations": {names.PAUSED: "true"}})),
        "ReconciliationPaused",
        ("True", "Paused"),
    ),
    Case(
        "paused, nothing moves",
        healthy(sink(replicas=1, meta={"annotations": {names.PAUSED: "true"}})),
        "Reconciling",
        ("False", "Paused"),
    ),
    Case("paused, it isn't deleted", healthy(PAUSED_END), "Reconciling", ("False", "Paused")),
    Case(
        "paused, it isn't emptied",
        healthy(PAUSED_END),
        "Draining",
        ("False", "Paused"),
        "volumes 0, 1: no step is taken while the sink is paused",
    ),
    Case("paused, there may be nothing to empty", healthy(PAUSED), "Draining", ("False", "NothingToDrain")),
    # ---- a StatefulSet that is made again around its pods
    Case("pods without a set", healthy(kids=WITHOUT_SET), "Ready", ("True", "AllReady")),
    Case(
        "pods without a set",
        healthy(kids=WITHOUT_SET),
        "Reconciling",
        ("True", "Creating"),
        "the StatefulSet is made again around its pods",
    ),
    Case(
        "a bucket that there isn't",
        healthy(
            reports=[
                report(
                    0,
                    destination_ok=False,
                    last_error="The specified bucket does not exist",
                    last_error_reason="no_such_bucket",
                )
            ]
        ),
        "DestinationReachable",
        ("False", "NoSuchBucket"),
        "events-s3sink-0: The specified bucket does not exist (spec.destination.bucket is the-output-bucket)",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.type}: {case.name}")
def test_conditions(case: Case) -> None:
    status = plan(case.seen, IMAGE, NOW).status
    (found,) = (one for one in status["conditions"] if one["type"] == case.type)
    assert (found["status"], found["reason"]) == case.said
    if case.message is not None:
        assert found["message"] == case.message


def reconciling(seen: Observed, *, image: str = IMAGE, release: str = "") -> tuple[str, str]:
    status = plan(seen, image, NOW, release=release, may_upgrade=False).status
    (found,) = (one for one in status["conditions"] if one["type"] == "Reconciling")
    return found["status"], found["reason"]


def test_a_sink_that_waits_for_its_turn_says_so() -> None:
    changed = sink(batch={"window": "5m"})
    awaiting = ("True", "AwaitingUpgrade")
    assert reconciling(healthy(), image="another:2") == awaiting
    assert reconciling(healthy(changed), image="another:2") == awaiting
    assert reconciling(healthy(changed, kids=children(sink(), replicas=2)), release="2") == awaiting
    assert reconciling(healthy(), release="2") == ("False", "UpToDate"), "its pods are as they are to be"
    assert reconciling(healthy()) == ("False", "UpToDate")
    assert reconciling(healthy(kids=kids(updatedReplicas=1)), image="another:2") == ("True", "RollingOut")


def test_while_a_set_is_made_again_its_pods_are_counted() -> None:
    """An autoscaler reads replicas, and would see none."""
    before = plan(healthy(), IMAGE, NOW).status
    counts = ("replicas", "readyReplicas", "updatedReplicas", "image")
    again = plan(healthy(sink(status=dict(before)), kids=WITHOUT_SET), IMAGE, NOW).status
    assert [again[key] for key in counts] == [before[key] for key in counts] == [2, 2, 2, IMAGE]


def test_bad_config_says_that_the_earlier_one_goes_on() -> None:
    (ready, *_) = plan(broken(), IMAGE, NOW).status["conditions"]
    assert ready["message"].startswith(BAD_REGEX)
    assert ready["message"].endswith("; 2 of 2 ingesters are ready, with the earlier config")


def test_all_conditions_are_there_each_with_its_generation() -> None:
    conditions = plan(healthy(), IMAGE, NOW).status["conditions"]
    assert [one["type"] for one in conditions] == [
        "Ready",
        "Reconciling",
        "Stalled",
        "ConfigValid",
        "DestinationReachable",
        "BufferPressure",
        "Draining",
        "StorageResized",
        "ReconciliationPaused",
    ]
    assert {one["observedGeneration"] for one in conditions} == {7}
