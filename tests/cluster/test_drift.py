"""What somebody changed or deleted is put right; what isn't the operator's business is left alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tests.rig.kubeapi import (
    ACCOUNTS,
    AUTOSCALERS,
    BUDGETS,
    CONFIG_MAPS,
    POLICIES,
    SERVICE_MONITORS,
    SERVICES,
    STATEFUL_SETS,
    Kind,
    Object,
)

if TYPE_CHECKING:
    from tests.rig.operators import Operator
    from tests.rig.sinks import LiveSink

EVERYTHING: Final = {
    "networkPolicy": {"enabled": True},
    "autoscaling": {"minReplicas": 1, "maxReplicas": 3},
    "batch": {"window": "1h"},
}
"""A spec with every optional child that needs no further kind of objects."""

EDITS: Final[dict[tuple[Kind, str], tuple[Object, str, Any]]] = {
    # child: a merge patch, and where the value stands that has to come back
    (ACCOUNTS, ""): ({"automountServiceAccountToken": True}, "automountServiceAccountToken", False),
    (CONFIG_MAPS, ""): ({"data": {"settings.yaml": "nonsense"}}, "data.settings.yaml", None),
    (SERVICES, "-pods"): (
        {"spec": {"publishNotReadyAddresses": False}},
        "spec.publishNotReadyAddresses",
        True,
    ),
    (SERVICES, ""): (
        {"spec": {"selector": {"s3sink.dev/sink": "other"}}},
        "spec.selector.s3sink.dev/sink",
        "events",
    ),
    (POLICIES, ""): ({"spec": {"ingress": []}}, "spec.ingress", None),
    (STATEFUL_SETS, ""): ({"spec": {"minReadySeconds": 3}}, "spec.minReadySeconds", 10),
    (BUDGETS, ""): ({"spec": {"maxUnavailable": 0}}, "spec.maxUnavailable", 1),
    (AUTOSCALERS, ""): ({"spec": {"maxReplicas": 100}}, "spec.maxReplicas", 3),
}


def value_at(thing: Object, path: str) -> Any:
    found: Any = thing
    parts = path.split(".", 2)
    for part in parts:
        found = (found or {}).get(part)
    return found


def children(sink: LiveSink) -> dict[tuple[Kind, str], Object]:
    return {
        (kind, suffix): found
        for kind, suffix in EDITS
        if (found := sink.child(kind, f"{sink.name}-s3sink{suffix}")) is not None
    }


def test_edited_children_are_put_right_and_deleted_ones_come_back(operator: Operator, sink: LiveSink) -> None:
    sink.apply(**EVERYTHING)
    sink.wait_ready(1)
    sink.wait(lambda: children(sink).keys() == EDITS.keys(), "every child")
    before = children(sink)
    api = sink.plane.api

    for key, (patch, path, wanted) in EDITS.items():
        api.patch(key[0], sink.namespace, before[key]["metadata"]["name"], patch)
        wanted = value_at(before[key], path) if wanted is None else wanted
        assert value_at(before[key], path) == wanted
    sink.wait(
        lambda: all(
            value_at(child, EDITS[key][1]) == value_at(before[key], EDITS[key][1])
            for key, child in children(sink).items()
        ),
        "every child as it was",
    )

    # The reference that has them collected, and the label by which they are found. (Without both they would be taken
    # for somebody else's.)
    for lost in ({"ownerReferences": None}, {"labels": {"s3sink.dev/sink": None}}):
        for key, child in before.items():
            api.patch(key[0], sink.namespace, child["metadata"]["name"], {"metadata": lost})
        sink.wait(
            lambda: all(
                child["metadata"].get(part) == before[key]["metadata"][part]
                for key, child in children(sink).items()
                for part in ("ownerReferences", "labels")
            ),
            "every child with its owner and its labels",
        )

    sink.send(5)
    for key, child in before.items():
        api.delete(key[0], sink.namespace, child["metadata"]["name"])
    sink.wait(
        lambda: (
            (now := children(sink)).keys() == before.keys()
            and all(now[key]["metadata"]["uid"] != before[key]["metadata"]["uid"] for key in now)
        ),
        "every child anew",
    )
    sink.wait_ready(1)
    sink.send(5)
    sink.scale(0)
    sink.wait_ready(0)
    sink.verdict()


def test_what_others_add_stays(operator: Operator, sink: LiveSink) -> None:
    """Annotations of a load balancer, labels of a cost report: no reason to write anything."""
    sink.apply()
    sink.wait_ready(1)
    api = sink.plane.api
    added = {
        "metadata": {"annotations": {"cost.example/team": "data"}, "labels": {"cost.example/team": "data"}}
    }
    for kind in (SERVICES, CONFIG_MAPS, STATEFUL_SETS):
        api.patch(kind, sink.namespace, "events-s3sink", added)
    # Another child's repair shows that the operator has looked since.
    api.delete(BUDGETS, sink.namespace, "events-s3sink")
    sink.wait(lambda: sink.child(BUDGETS), "budget")
    for kind in (SERVICES, CONFIG_MAPS, STATEFUL_SETS):
        found = sink.child(kind)
        assert found is not None
        assert found["metadata"]["annotations"]["cost.example/team"] == "data"
        assert found["metadata"]["labels"]["cost.example/team"] == "data"


def test_at_rest_nothing_is_written(operator: Operator, sink: LiveSink) -> None:
    """Neither children nor status change while nothing happens, though the operator looks every few seconds."""
    sink.apply(**EVERYTHING)
    sink.wait_ready(1)
    sink.wait_condition("Reconciling", "False")
    looks = operator.reconciles()
    sink.wait(lambda: operator.reconciles() >= looks + 2, "two looks more")
    generations = {key: child["metadata"].get("generation") for key, child in children(sink).items()}
    version = sink.now["metadata"]["resourceVersion"]
    looks = operator.reconciles()
    sink.wait(lambda: operator.reconciles() >= looks + 2, "two looks more")
    assert sink.now["metadata"]["resourceVersion"] == version
    assert {key: child["metadata"].get("generation") for key, child in children(sink).items()} == generations


def test_a_service_monitor_comes_as_soon_as_its_kind_is_there(
    operator: Operator, sink: LiveSink, service_monitor_crd: str
) -> None:
    sink.apply()
    sink.wait_ready(1)
    assert sink.child(SERVICE_MONITORS) is None
    insisting = sink.another("insisting")
    insisting.apply(monitoring={"serviceMonitor": "Enabled"})
    told = insisting.wait_condition("Stalled", "True")
    assert "ServiceMonitor" in told["message"]
    insisting.wait(lambda: len(insisting.ready_pods()) == 1, "a ready pod nevertheless")

    sink.plane.kubectl("apply", "--server-side", "-f", service_monitor_crd)
    for one in (sink, insisting):
        monitor = one.wait(partial(one.child, SERVICE_MONITORS), "ServiceMonitor")
        (endpoint,) = monitor["spec"]["endpoints"]
        assert (endpoint["port"], endpoint["path"]) == ("admin", "/metrics")
        (service,) = [
            service
            for service in one.owned(SERVICES)
            if any(port["name"] == "admin" for port in service["spec"]["ports"])
        ]
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        assert wanted <= service["metadata"]["labels"].items(), "it selects the Service that has such a port"
        one.wait_ready(1)
    insisting.wait_condition("Stalled", "False")
    sink.patch({"monitoring": {"serviceMonitor": "Disabled"}})
    sink.wait(lambda: sink.child(SERVICE_MONITORS) is None, "end of the ServiceMonitor")
