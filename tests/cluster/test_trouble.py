"""The control plane is in trouble: no CRD yet, API servers that restart, refuse, hang or break off."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig import controlplane, kubetools
from tests.rig.api_proxy import api_proxy
from tests.rig.kubeapi import (
    BUDGETS,
    CONFIG_MAPS,
    CRDS,
    SERVICES,
    SINKS,
    STATEFUL_SETS,
    ApiError,
    Object,
    condition,
    wait_for,
)
from tests.rig.operators import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.controlplane import ControlPlane

LONG = "600s"
"""A resync that no test waits for: what happens, happens because of a watch."""
PATIENCE = 180.0


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """One of its own: these tests break it."""
    with controlplane.running() as plane:
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """The CRD is there, and no sink."""
    controlplane.install(control_plane, kubetools.ROOT / "crds")
    return "default"


def sink(name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "s3sink.dev/v1alpha1",
        "kind": "S3Sink",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "destination": {"bucket": "the-bucket", "region": "us-east-1"},
            "partitioning": {"urlPath": True},
            **spec,
        },
    }


def is_whole(plane: ControlPlane, name: str) -> bool:
    """All children are there, and the status is of the current generation."""
    child = f"{name}-s3sink"
    wanted = (
        (CONFIG_MAPS, child),
        (SERVICES, child),
        (SERVICES, f"{child}-pods"),
        (STATEFUL_SETS, child),
        (BUDGETS, child),
    )
    found = plane.api.get(SINKS, "default", name)
    return (
        found is not None
        and all(plane.api.get(kind, "default", one) is not None for kind, one in wanted)
        and condition(found, "ConfigValid").get("status") == "True"
        and found["status"].get("observedGeneration") == found["metadata"]["generation"]
    )


def wait_whole(plane: ControlPlane, operator: Operator, *names: str) -> None:
    for name in names:
        wait_for(partial(is_whole, plane, name), f"children of {name}", PATIENCE, why=operator.output)


def release(plane: ControlPlane, *names: str) -> None:
    """Delete sinks whose pods never ran, and wait until they are gone."""
    for name in names:
        plane.kubectl("annotate", "--overwrite", "s3sink", name, "s3sink.dev/force-release=true")
    plane.kubectl("delete", "s3sink", *names, f"--timeout={PATIENCE:.0f}s")


def created(plane: ControlPlane, name: str) -> bool:
    """A CRD is told to be established a moment before objects of it are taken."""
    try:
        plane.api.create(SINKS, sink(name))
    except ApiError as error:
        return error.status == 409
    return True


def test_it_waits_for_its_crd_says_so_and_goes_on_when_it_comes_back(control_plane: ControlPlane) -> None:
    operator = Operator(control_plane, resync=LONG)
    operator.start(wait=False)
    try:
        wait_for(lambda: "waiting for the CRD s3sinks.s3sink.dev" in operator.output(), "word of it")
        assert not operator.ready()
        assert operator.get("/healthz"), "a restart would help nobody"
        controlplane.install(control_plane, kubetools.ROOT / "crds")
        wait_for(operator.ready, "readiness")
        control_plane.api.create(SINKS, sink("first"))
        wait_whole(control_plane, operator, "first")
        release(control_plane, "first")
        control_plane.api.delete(CRDS, "", "s3sinks.s3sink.dev")
        wait_for(lambda: control_plane.api.get(CRDS, "", "s3sinks.s3sink.dev") is None, "end of the CRD")
        wait_for(lambda: not operator.ready(), "word of it", PATIENCE)
        controlplane.install(control_plane, kubetools.ROOT / "crds")
        wait_for(partial(created, control_plane, "second"), "sink")
        wait_whole(control_plane, operator, "second")
        release(control_plane, "second")
    finally:
        assert operator.stop() == 0


def test_it_outlives_restarts_of_the_api_server(control_plane: ControlPlane, namespace: str) -> None:
    with Operator(control_plane, resync=LONG) as operator:
        control_plane.api.create(SINKS, sink("before"))
        # Away while watches begin, in the middle of the first reconcile, and for longer than the first tries.
        control_plane.restart_apiserver(lambda: time.sleep(5))
        control_plane.api.create(SINKS, sink("after"))
        wait_whole(control_plane, operator, "before", "after")
        control_plane.restart_apiserver()
        control_plane.api.delete(SERVICES, namespace, "before-s3sink")
        wait_whole(control_plane, operator, "before")
        assert operator.process.alive
        assert operator.get("/healthz")
        release(control_plane, "before", "after")


@pytest.mark.parametrize("seed", [1, 2])
def test_it_converges_through_faults_of_every_kind(
    control_plane: ControlPlane, namespace: str, tmp_path: Path, seed: int
) -> None:
    names = [f"faulty-{seed}-{number}" for number in range(4)]
    with api_proxy(control_plane, seed) as proxy:
        config = proxy.kubeconfig(tmp_path / "kubeconfig")
        with Operator(control_plane, kubeconfig=config, resync="5s") as operator:
            proxy.share = 0.1
            for name in names:
                control_plane.api.create(SINKS, sink(name))
            wait_whole(control_plane, operator, *names)
            for name in names:
                control_plane.api.delete(CONFIG_MAPS, namespace, f"{name}-s3sink")
            wait_whole(control_plane, operator, *names)
            assert operator.process.alive
            assert operator.get("/healthz")
            assert len(proxy.met) >= 6, f"too few faults: {proxy.met}"
            proxy.share = 0.0
            release(control_plane, *names)
        lines = [json.loads(line) for line in operator.output().splitlines()]
        surprises = [line["error"] for line in lines if "error" in line and "s3sink" in line["logger"]]
        assert not surprises, surprises[0]


def test_every_line_about_a_sink_names_it(control_plane: ControlPlane, namespace: str) -> None:
    with Operator(control_plane, resync=LONG) as operator:
        control_plane.api.create(SINKS, sink("logged"))
        wait_whole(control_plane, operator, "logged")
        release(control_plane, "logged")
    lines = [json.loads(line) for line in operator.output().splitlines()]
    about = [line for line in lines if "apply" in line["message"]]
    assert about
    assert all((line["namespace"], line["name"]) == ("default", "logged") for line in about)


def test_it_ends_when_it_is_told_to_and_the_next_one_goes_on(
    control_plane: ControlPlane, namespace: str
) -> None:
    names = [f"many-{number}" for number in range(10)]
    with Operator(control_plane, resync=LONG) as operator:
        for name in names:
            control_plane.api.create(SINKS, sink(name))
        started = time.monotonic()
        assert operator.stop() == 0
        print(f"ended after {time.monotonic() - started:.1f} s")
        operator.start()
        wait_whole(control_plane, operator, *names)
        release(control_plane, *names)
