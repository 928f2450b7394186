"""What is gathered of a sink, from an API server in memory."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from s3sink_operator import names
from s3sink_operator.errors import Refused, Unavailable
from s3sink_operator.observe import default_class, facts_of, observe
from s3sink_operator.state import (
    SERVICE_MONITOR,
    STORAGE_CLASS,
    Delete,
    Drain,
    Event,
    Object,
    Ref,
    Report,
    Resource,
    Resume,
    ref_of,
)

SINK = Ref(names.API_VERSION, names.KIND, "team", "events")
LABELS = {names.SINK_LABEL: "events"}


class Cluster:
    """Objects that there are. ``broken``: kinds that can't be read, and what is raised instead."""

    def __init__(self, *objects: dict[str, Any], broken: Mapping[str, Exception] | None = None) -> None:
        self.objects: dict[Ref, Object] = {ref_of(one): one for one in objects}
        self.broken = broken or {}
        self.served: set[Resource] = set()

    async def get(self, ref: Ref) -> Object | None:
        self._check(ref.kind)
        return self.objects.get(ref)

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        self._check(resource.kind)
        return [
            one
            for ref, one in self.objects.items()
            if ref.resource == resource
            and ref.namespace == namespace
            and labels.items() <= one["metadata"].get("labels", {}).items()
        ]

    async def apply(self, manifest: Object, *, subresource: str = "") -> Object:
        raise AssertionError("it only reads")

    async def delete(self, action: Delete) -> None:
        raise AssertionError("it only reads")

    async def serves(self, resource: Resource) -> bool:
        return resource in self.served

    async def emit(self, sink: Object, event: Event) -> None:
        raise AssertionError("it only reads")

    def _check(self, kind: str) -> None:
        if kind in self.broken:
            raise self.broken[kind]


class Ingesters:
    """Every pod answers, but those that are mute."""

    def __init__(self, *mute: str) -> None:
        self.mute = mute
        self.asked: list[str] = []

    async def report(self, pod: Object) -> Report | None:
        name = pod["metadata"]["name"]
        self.asked.append(name)
        return None if name in self.mute else report(name)

    async def drain(self, action: Drain) -> None:
        raise AssertionError("it only reads")

    async def resume(self, action: Resume) -> None:
        raise AssertionError("it only reads")


def report(pod: str) -> Report:
    return Report(
        pod=pod,
        pod_uid="u",
        ready=True,
        state="open",
        reason="",
        capacity_bytes=1,
        buffer_bytes=0,
        oldest_record_age=None,
        drain_epoch=None,
        drained=False,
        last_success=None,
        upload_failures=0,
        destination_ok=None,
        last_error=None,
        last_error_reason=None,
        format_version=1,
    )


def thing(kind: str, name: str, api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "team", **fields.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **fields}


def sink(**spec: Any) -> dict[str, Any]:
    return thing(names.KIND, "events", names.API_VERSION, metadata={"uid": "sink-uid"}, spec=spec)


def pod(ordinal: int, phase: str = "Running", ip: str = "10.0.0.1", **meta: Any) -> dict[str, Any]:
    name = names.pod("events", ordinal)
    return thing("Pod", name, metadata={"labels": LABELS, **meta}, status={"phase": phase, "podIP": ip})


def storage_class(name: str, default: bool = False, created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    meta = {"name": name, "annotations": annotations, "creationTimestamp": created}
    return {"apiVersion": STORAGE_CLASS.api_version, "kind": STORAGE_CLASS.kind, "metadata": meta}


async def test_a_sink_that_is_gone() -> None:
    assert await observe(SINK, Cluster(), Ingesters()) is None


async def test_its_children_by_their_names_and_no_others() -> None:
    child, headless = names.child("events"), names.headless_service("events")
    mine = [
        thing("ServiceAccount", child),
        thing("ConfigMap", child),
        thing("Service", child),
        thing("Service", headless),
        thing("StatefulSet", child, "apps/v1"),
        thing("PodDisruptionBudget", child, "policy/v1"),
        thing("HorizontalPodAutoscaler", child, "autoscaling/v2"),
        thing("NetworkPolicy", child, "networking.k8s.io/v1"),
        thing("ServiceMonitor", child, SERVICE_MONITOR.api_version),
    ]
    others = [thing("ConfigMap", "events"), thing("Service", "other-s3sink")]
    cluster = Cluster(sink(), *mine, *others)
    seen = await observe(SINK, cluster, Ingesters())
    assert seen is not None
    assert set(seen.children) == {ref_of(one) for one in mine[:-1]}, (
        "of a kind that isn't served there is none"
    )
    cluster.served.add(SERVICE_MONITOR)
    seen = await observe(SINK, cluster, Ingesters())
    assert seen is not None
    assert set(seen.children) == {ref_of(one) for one in mine}
    assert seen.served == {SERVICE_MONITOR}


async def test_an_optional_kind_without_the_right_to_it_isnt_there() -> None:
    cluster = Cluster(sink(), broken={SERVICE_MONITOR.kind: Refused("you may not")})
    cluster.served.add(SERVICE_MONITOR)
    seen = await observe(SINK, cluster, Ingesters())
    assert seen is not None
    assert seen.served == frozenset()


async def test_pods_volumes_and_jobs_by_their_labels() -> None:
    job = thing("Job", "drain", "batch/v1", metadata={"labels": {names.SINK_UID_LABEL: "sink-uid"}})
    foreign = thing("Job", "old", "batch/v1", metadata={"labels": {names.SINK_UID_LABEL: "another"}})
    claim = thing("PersistentVolumeClaim", names.volume_claim("events", 0), metadata={"labels": LABELS})
    cluster = Cluster(sink(), pod(0), claim, job, foreign, thing("Pod", "stranger"))
    seen = await observe(SINK, cluster, Ingesters())
    assert seen is not None
    assert [one["metadata"]["name"] for one in seen.pods] == ["events-s3sink-0"]
    assert (seen.volumes, seen.jobs) == ((claim,), (job,))


async def test_pods_of_drain_jobs_are_asked_too() -> None:
    labels = {names.SINK_UID_LABEL: "sink-uid"}
    job = thing("Job", "drain", "batch/v1", metadata={"labels": labels})
    running = {"phase": "Running", "podIP": "10.0.0.2"}
    pods = [
        thing("Pod", "drain-1", metadata={"labels": labels}, status={"phase": "Failed"}),
        thing("Pod", "drain-2", metadata={"labels": labels}, status=running),
    ]
    ingesters = Ingesters()
    seen = await observe(SINK, Cluster(sink(), pod(0), job, *pods), ingesters)
    assert seen is not None
    assert (seen.job_pods, [one["metadata"]["name"] for one in seen.pods]) == (
        tuple(pods),
        ["events-s3sink-0"],
    )
    assert sorted(ingesters.asked) == sorted(seen.reports) == ["drain-2", "events-s3sink-0"]


async def test_pods_that_can_answer_are_asked() -> None:
    ingesters = Ingesters("events-s3sink-1")
    cluster = Cluster(
        sink(),
        pod(0),
        pod(1),
        pod(2, ip=""),
        pod(3, phase="Pending"),
        pod(4, deletionTimestamp="2026-01-01T00:00:00Z"),
        pod(5, phase="Succeeded"),
    )
    seen = await observe(SINK, cluster, ingesters)
    assert seen is not None
    assert sorted(ingesters.asked) == ["events-s3sink-0", "events-s3sink-1"]
    assert set(seen.reports) == {"events-s3sink-0"}
    assert len(seen.pods) == 6


async def test_secrets_that_a_spec_names_even_one_that_is_wrong() -> None:
    secret = thing("Secret", "s3", data={"AWS_ACCESS_KEY_ID": "eA=="})
    spec = {
        "destination": {"credentials": {"secretRef": {"name": "s3"}}},
        "source": {"auth": {"secretRef": {"name": "keys"}}, "tls": {"secretRef": 17}},
        "nonsense": True,
    }
    seen = await observe(SINK, Cluster(sink(**spec), secret, thing("Secret", "foreign")), Ingesters())
    assert seen is not None
    assert set(seen.secrets) == {"s3", "keys"}
    assert seen.secrets["keys"] is None
    assert seen.secrets["s3"] == facts_of(secret)


def test_of_a_secret_only_keys_and_a_digest_are_kept() -> None:
    def secret(**data: str) -> Object:
        return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}}

    facts = facts_of(secret(a="1", b="2"))
    assert facts.keys == {"a", "b"}
    assert facts == facts_of(secret(b="2", a="1"))
    others = [secret(a="1", b="3"), secret(a="1"), secret(a="12", b=""), secret(ab="12"), {}]
    assert len({facts.digest, *(facts_of(one).digest for one in others)}) == 6


def test_values_that_nobody_could_use_are_told_apart() -> None:
    values = {
        "good": b"key-1\n",
        "empty": b"",
        "blank": b" \n",
        "two": b"a b",
        "text": b"-----BEGIN\nx",
        "no": b"\xff",
    }
    values |= {"longest": b"x" * 4096, "longer": b"x" * 4097}
    facts = facts_of({"data": {key: base64.b64encode(value).decode() for key, value in values.items()}})
    assert facts.blank == {"empty", "blank"}
    assert facts.unsendable == {"empty", "blank", "two", "text", "no", "longer"}


async def test_the_storage_class_named_or_the_default_one() -> None:
    classes = storage_class("gp3"), storage_class("standard", default=True)
    for spec, expected in (
        ({"buffer": {"storageClassName": "gp3"}}, "gp3"),
        ({"buffer": {"storageClassName": "missing"}}, None),
        ({}, "standard"),
    ):
        cluster = Cluster(sink(**spec))
        for one in classes:
            cluster.objects[
                Ref(STORAGE_CLASS.api_version, STORAGE_CLASS.kind, "", one["metadata"]["name"])
            ] = one
        seen = await observe(SINK, cluster, Ingesters())
        assert seen is not None
        assert (seen.storage_class and seen.storage_class["metadata"]["name"]) == expected


async def test_classes_that_may_not_be_read_are_taken_to_be_there() -> None:
    cluster = Cluster(
        sink(buffer={"storageClassName": "gp3"}), broken={STORAGE_CLASS.kind: Refused("you may not")}
    )
    seen = await observe(SINK, cluster, Ingesters())
    assert seen is not None
    assert seen.storage_class is not None
    assert seen.storage_class["metadata"]["name"] == "gp3"
    assert seen.storage_class["allowVolumeExpansion"] is True


def test_of_several_defaults_the_newest_counts() -> None:
    classes = [
        storage_class("a", default=True),
        storage_class("b", default=True, created="2026-02-01T00:00:00Z"),
        storage_class("c", created="2026-03-01T00:00:00Z"),
    ]
    found = default_class(classes)
    assert found is not None
    assert found["metadata"]["name"] == "b"
    assert default_class(classes[2:]) is None


@pytest.mark.parametrize("kind", ["Pod", "ConfigMap", "Secret", "StorageClass", "Job"])
async def test_what_goes_wrong_is_raised_as_it_is(kind: str) -> None:
    spec = {"destination": {"credentials": {"secretRef": {"name": "s3"}}}}
    cluster = Cluster(sink(**spec), broken={kind: Unavailable("away", 5.0)})
    with pytest.raises(Unavailable) as caught:
        await observe(SINK, cluster, Ingesters())
    assert caught.value.retry_after == 5.0
