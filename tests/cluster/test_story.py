"""The manifest of the 2018 story, applied: its children, its records, and what kubectl says of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import yaml

from tests.rig import kubetools
from tests.rig.kubeapi import (
    ACCOUNTS,
    AUTOSCALERS,
    BUDGETS,
    CONFIG_MAPS,
    PODS,
    POLICIES,
    SERVICES,
    STATEFUL_SETS,
    Object,
)
from tests.rig.operators import IMAGE
from tests.rig.sinks import SECRET, LiveSink, merged

if TYPE_CHECKING:
    from tests.rig.operators import Operator

STORY: Final = kubetools.ROOT / "docs" / "samples" / "story-2018.yaml"
CHILDREN: Final = {
    ACCOUNTS: ["events-s3sink"],
    AUTOSCALERS: [],
    BUDGETS: ["events-s3sink"],
    CONFIG_MAPS: ["events-s3sink"],
    PODS: ["events-s3sink-0", "events-s3sink-1", "events-s3sink-2"],
    POLICIES: [],
    SERVICES: ["events-s3sink", "events-s3sink-pods"],
    STATEFUL_SETS: ["events-s3sink"],
}


def story(sink: LiveSink) -> Object:
    """The sample; only where the bucket is and how it is reached is another place here."""
    sample: Object = yaml.safe_load(STORY.read_text())
    sink.bucket = sample["spec"]["destination"]["bucket"]
    changes = {
        "metadata": {"namespace": sink.namespace},
        "spec": {
            "destination": {
                "endpoint": sink.s3.endpoint,
                "addressingStyle": "Path",
                "credentials": {"secretRef": {"name": SECRET}},
            }
        },
    }
    applied: Object = merged(sample, changes)
    return applied


def columns(table: str) -> dict[str, str]:
    """The first row of what ``kubectl get`` printed, by column."""
    head, row, *_ = table.splitlines()
    starts = [found.start() for found in re.finditer(r"\S+", head)]
    ends = [*starts[1:], None]
    return {head[a:b].strip(): row[a:b].strip() for a, b in zip(starts, ends, strict=True)}


def test_the_story(operator: Operator, sink: LiveSink) -> None:
    manifest = story(sink)
    sink.client.create_bucket(Bucket=sink.bucket)
    sink.apply_manifest(manifest)
    sink.wait_ready(3)

    # Children: these and no others.
    assert {
        kind: sorted(one["metadata"]["name"] for one in sink.owned(kind)) for kind in CHILDREN
    } == CHILDREN
    uid = sink.now["metadata"]["uid"]
    for kind in CHILDREN.keys() - {PODS}:
        for child in sink.owned(kind):
            (owner,) = child["metadata"]["ownerReferences"]
            assert (owner["kind"], owner["uid"], owner["controller"]) == ("S3Sink", uid, True)
    check_stateful_set(sink)
    check_services(sink)
    assert sink.owned(BUDGETS)[0]["spec"]["maxUnavailable"] == 1

    # Records: through the pods to the bucket, once, under the key that the regular expression found.
    sink.send(30)
    assert sink.missing() == sum(sent.records for sent in sink.ledger.sent), "windows of an hour: all wait"
    check_what_kubectl_says(sink)
    sink.scale(0)
    sink.wait_ready(0)
    assert sink.verdict().acked == 150
    keys = sorted({key.split("/")[0] for key, _ in sink.objects()})
    assert keys == ["p0", "p1", "p2", "p3"]
    names = {key.split("/")[1].split("-s3sink-")[0] for key, _ in sink.objects()}
    assert names == {"events"}, "objects are called after their pod"


def check_stateful_set(sink: LiveSink) -> None:
    found = sink.child(STATEFUL_SETS)
    assert found is not None
    spec = found["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert (spec["replicas"], spec["podManagementPolicy"], spec["serviceName"]) == (
        3,
        "Parallel",
        "events-s3sink-pods",
    )
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["volumeClaimTemplates"][0]["spec"]["resources"]["requests"] == {"storage": "10Gi"}
    assert container["image"] == IMAGE
    assert [port["containerPort"] for port in container["ports"]] == [8888, 8889]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    settings = sink.child(CONFIG_MAPS)
    assert settings is not None
    told = yaml.safe_load(settings["data"]["settings.yaml"])
    assert told["source"] == {
        "port": 8888,
        "maxRequestBytes": "32Mi",
        "maxRecordBytes": "1000Ki",
        "keepAlive": "10s",
    }
    assert told["batch"]["window"] == "1h"
    assert told["batch"]["maxBytes"] == "25Mi"


def check_services(sink: LiveSink) -> None:
    headless, client = sink.child(SERVICES, "events-s3sink-pods"), sink.child(SERVICES)
    assert headless is not None
    assert client is not None
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"] is True
    (port,) = client["spec"]["ports"]
    assert (client["spec"]["type"], port["port"], port["targetPort"]) == ("ClusterIP", 80, "http")
    assert client["spec"]["selector"] == {"s3sink.dev/sink": "events"}


def check_what_kubectl_says(sink: LiveSink) -> None:
    sink.wait(lambda: columns(sink.kubectl("get", "s3sink")).get("OLDEST"), "age of the oldest record")
    row = columns(sink.kubectl("get", "s3sink"))
    assert list(row) == ["NAME", "READY", "REASON", "REPLICAS", "DESIRED", "BUFFERED", "OLDEST", "AGE"]
    assert (row["NAME"], row["READY"], row["REPLICAS"], row["DESIRED"]) == ("events", "True", "3", "3")
    assert re.fullmatch(r"[\d.]+(B|Ki|Mi|Gi)?", row["BUFFERED"])
    wide = columns(sink.kubectl("get", "s3s", "-o", "wide"))
    assert (wide["BUCKET"], wide["IMAGE"]) == ("the-output-bucket", IMAGE)
    assert sink.kubectl("get", "s3sink", "-o", "name") == sink.kubectl(
        "get", "s3sinks.s3sink.dev", "-o", "name"
    )
    described = sink.kubectl("describe", "s3sink", "events")
    for expected in ("AllReady", "3 of 3 ingesters are ready", "buffer-events-s3sink-2", "Active"):
        assert expected in described
    events = described.partition("Events:")[2]
    assert "s3sink-operator" in events
    assert "Warning" not in events
