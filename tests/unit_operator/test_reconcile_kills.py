"""The operator is killed after every single change that it makes, in every scenario, and comes to the same end.

Also in the end: what was acknowledged is in the bucket or on a volume, and a second reconcile does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from s3sink_operator import names
from s3sink_operator.state import SERVICE_MONITOR, VOLUME_CLAIM, Ref, ref_of

from tests.rig.fakecluster import NAMESPACE, Json
from tests.rig.fakecontrollers import World
from tests.rig.fakesinks import NAME, SINK, Operator, final_state, new_world, secret, sink

CHILD = names.child(NAME)
STATEFUL_SET = Ref("apps/v1", "StatefulSet", NAMESPACE, CHILD)
SERVICE = Ref("v1", "Service", NAMESPACE, CHILD)
CONFIG_MAP = Ref("v1", "ConfigMap", NAMESPACE, CHILD)

Change = Callable[[World], object]


@dataclass(frozen=True)
class Step:
    """Something that happens, and for how many reconciles the operator works then; None: until nothing changes."""

    change: Change
    rounds: int | None = None


@dataclass(frozen=True)
class Scenario:
    """A sink that has records, and what happens to it."""

    name: str
    steps: tuple[Step, ...]
    spec: Json
    before: tuple[Json, ...] = ()
    """Objects that are there first."""
    discards: bool = False
    """Whether records are to be lost."""


def scenario(
    name: str, *steps: Change | Step, before: tuple[Json, ...] = (), discards: bool = False, **spec: Any
) -> Scenario:
    """A step by itself lets the operator come to rest."""
    return Scenario(
        name, tuple(one if isinstance(one, Step) else Step(one) for one in steps), spec, before, discards
    )


def scale(replicas: int) -> Change:
    return lambda world: world.cluster.patch(SINK, {"spec": {"replicas": replicas}})


def edit(**spec: Any) -> Change:
    return lambda world: world.cluster.patch(SINK, {"spec": spec})


def annotate(name: str, value: str | None) -> Change:
    return lambda world: world.cluster.patch(SINK, {"metadata": {"annotations": {name: value}}})


def delete(ref: Ref = SINK, propagation: Any = "Background") -> Change:
    return lambda world: world.cluster.remove(ref, propagation)


def scale_stateful_set(replicas: int) -> Change:
    return lambda world: world.cluster.patch(STATEFUL_SET, {"spec": {"replicas": replicas}})


def s3(is_up: bool) -> Change:
    return lambda world: setattr(world, "s3_is_up", is_up)


def kill_pod(ordinal: int) -> Change:
    ref = Ref("v1", "Pod", NAMESPACE, names.pod(NAME, ordinal))
    return lambda world: world.cluster.remove(ref)


def create(obj: Json) -> Change:
    return lambda world: world.cluster.create(obj)


def serve_monitors(world: World) -> None:
    world.cluster.served.add(SERVICE_MONITOR)


def drop_monitors(world: World) -> None:
    world.cluster.served.clear()
    for one in list(world.cluster.select(SERVICE_MONITOR)):
        world.cluster.remove(ref_of(one))


def grow_offline(world: World) -> None:
    world.grows_online = False


def age(seconds: float) -> Change:
    return lambda world: world.cluster.pass_time(seconds)


def scaled_by_hand(world: World) -> None:
    """While the operator is away: pods go without having been told to drain."""
    scale(1)(world)
    scale_stateful_set(1)(world)
    world.tick()
    world.tick()


def served_by_hand(world: World) -> None:
    """While the operator is away, volumes that have no replica get pods for a while, which are then killed."""
    world.pods_flush = False
    scale_stateful_set(3)(world)
    world.tick()
    world.tick()
    world.send(10)
    scale_stateful_set(1)(world)
    world.tick()
    world.tick()


def nothing(world: World) -> None:
    pass


CREDENTIALS = secret("s3", AWS_ACCESS_KEY_ID="YQ==", AWS_SECRET_ACCESS_KEY="Yg==")
WITH_CREDENTIALS: Json = {
    "destination": {
        "bucket": "the-output-bucket",
        "region": "us-east-1",
        "credentials": {"secretRef": {"name": "s3"}},
    }
}


def buffer(**fields: Any) -> Json:
    return {"size": "10Gi", **fields}


SCENARIOS = (
    scenario("created", nothing),
    scenario("scaled up", scale(4)),
    scenario("scaled down", scale(1)),
    scenario("scaled down, volumes kept", scale(1), buffer=buffer(whenScaled="Retain")),
    scenario(
        "scaled down and up again, volumes kept", scale(1), scale(3), buffer=buffer(whenScaled="Retain")
    ),
    scenario("scaled up while cordoned", Step(scale(1), 1), scale(3)),
    scenario("scaled up while proven", Step(scale(1), 2), scale(3)),
    scenario("scaled up while shrunk", Step(scale(1), 3), scale(3)),
    scenario("scaled up while volumes go", Step(scale(1), 4), scale(3)),
    scenario("scaled up and down", Step(scale(4), 1), Step(scale(1), 2), scale(2)),
    scenario("scaled to zero", scale(0)),
    scenario("scaled to zero and back", scale(0), scale(2)),
    scenario("scaled down without S3", s3(False), scale(1)),
    scenario("scaled down without S3, which comes back", s3(False), scale(1), s3(True)),
    scenario("pod dies while it drains", s3(False), Step(scale(1), 2), Step(kill_pod(2), 2), s3(True)),
    scenario("pod dies once it is proven", Step(scale(1), 2), kill_pod(2)),
    scenario("settings changed", edit(batch={"window": "5m"})),
    scenario("settings changed while scaling down", Step(scale(1), 1), edit(batch={"window": "5m"})),
    scenario("bad config", edit(partitioning={"urlPath": None, "regex": "("})),
    scenario("bad config, then scaled down", edit(partitioning={"urlPath": None, "regex": "("}), scale(1)),
    scenario(
        "bad config, scaled, repaired",
        edit(partitioning={"urlPath": None, "regex": "("}),
        scale(1),
        edit(partitioning={"urlPath": True, "regex": None}),
    ),
    scenario("Secret missing, then made", create(CREDENTIALS), **WITH_CREDENTIALS),
    scenario(
        "Secret changed",
        lambda world: world.cluster.patch(ref_of(CREDENTIALS), {"data": {"AWS_ACCESS_KEY_ID": "Yw=="}}),
        before=(CREDENTIALS,),
        **WITH_CREDENTIALS,
    ),
    scenario("Service deleted", delete(SERVICE)),
    scenario(
        "ConfigMap edited", lambda world: world.cluster.patch(CONFIG_MAP, {"data": {"settings.yaml": "x"}})
    ),
    scenario("StatefulSet deleted", delete(STATEFUL_SET)),
    scenario("StatefulSet deleted, pods kept, then scaled", delete(STATEFUL_SET, "Orphan"), scale(1)),
    scenario("StatefulSet deleted and scaled down", Step(delete(STATEFUL_SET), 0), scale(1)),
    scenario("StatefulSet scaled by hand", scale_stateful_set(1)),
    scenario("StatefulSet scaled up by hand", scale_stateful_set(5)),
    scenario(
        "scaled by hand while the operator is away",
        Step(scaled_by_hand, 0),
        nothing,
    ),
    scenario(
        "orphan is wanted again",
        s3(False),
        Step(scaled_by_hand, 3),
        s3(True),
        scale(3),
    ),
    scenario(
        "volumes that Jobs emptied are served by hand",
        Step(scaled_by_hand, 0),
        nothing,
        Step(served_by_hand, 0),
        delete(),
        buffer=buffer(whenScaled="Retain"),
    ),
    scenario("ServiceMonitor appears", serve_monitors),
    scenario("ServiceMonitor comes and goes", serve_monitors, drop_monitors),
    scenario("autoscaled", edit(autoscaling={"maxReplicas": 5}), edit(autoscaling=None)),
    scenario("volumes grow", edit(buffer=buffer(size="20Gi"))),
    scenario("volumes grow and it scales up", edit(buffer=buffer(size="20Gi"), replicas=4)),
    scenario("volumes grow and settings change", edit(buffer=buffer(size="20Gi"), batch={"window": "5m"})),
    scenario("volumes grow offline", grow_offline, edit(buffer=buffer(size="20Gi")), age(600)),
    scenario("volume claim of a pod deleted", lambda world: world.cluster.remove(claim(1))),
    scenario("deleted", delete()),
    scenario("deleted, volumes kept when drained", delete(), buffer=buffer(whenDeleted="DrainThenRetain")),
    scenario("deleted, volumes kept", delete(), buffer=buffer(whenDeleted="Retain")),
    scenario(
        "deleted, data discarded",
        s3(False),
        delete(),
        buffer=buffer(whenDeleted="DiscardData"),
        discards=True,
    ),
    scenario("deleted without S3", s3(False), delete()),
    scenario("deleted without S3, which comes back", s3(False), delete(), s3(True)),
    scenario("deleted without S3, released", s3(False), delete(), annotate(names.FORCE_RELEASE, "true")),
    scenario("deleted without S3, then kept", s3(False), delete(), edit(buffer=buffer(whenDeleted="Retain"))),
    scenario("deleted in the foreground", delete(propagation="Foreground")),
    scenario("deleted in the foreground without S3", s3(False), delete(propagation="Foreground"), s3(True)),
    scenario("deleted, children kept", delete(propagation="Orphan")),
    scenario("deleted while scaling down", Step(scale(1), 2), delete()),
    scenario(
        "deleted after data was kept, made again",
        delete(),
        lambda world: made_again(world),
        buffer=buffer(whenDeleted="Retain"),
    ),
    scenario(
        "deleted, children kept, made again", delete(propagation="Orphan"), lambda world: made_again(world)
    ),
    scenario("paused", Step(annotate(names.PAUSED, "true"), 1), scale(1), annotate(names.PAUSED, None)),
)


def claim(ordinal: int) -> Ref:
    return Ref(VOLUME_CLAIM.api_version, VOLUME_CLAIM.kind, NAMESPACE, names.volume_claim(NAME, ordinal))


def made_again(world: World) -> None:
    world.cluster.create(sink(replicas=2))


async def play(told: Scenario, dies_after: int | None, away: int) -> tuple[World, Operator]:
    """`away`: ticks that the cluster goes on without the operator after it was killed."""
    world = new_world()
    for obj in told.before:
        world.cluster.create(obj)
    world.cluster.create(sink(**{"replicas": 3, **told.spec}))
    operator = Operator(world, dies_after, away)
    await operator.converge()
    for step in told.steps:
        world.send(10)
        step.change(world)
        if step.rounds is None:
            await operator.converge()
        else:
            await operator.work(step.rounds)
    return world, operator


def check(told: Scenario, world: World) -> None:
    assert told.discards or not world.lost
    assert world.acknowledged == world.uploaded | world.buffered | world.lost


@pytest.mark.parametrize("told", SCENARIOS, ids=lambda told: told.name)
def test_a_kill_after_any_change_leads_to_the_same_end(told: Scenario) -> None:
    """After every other kill the cluster goes on for half a minute before there is an operator again."""
    world, operator = asyncio.run(play(told, None, 0))
    check(told, world)
    expected = final_state(world)
    for dies_after in range(operator.changes + 1):
        killed, _ = asyncio.run(play(told, dies_after, away=6 * (dies_after % 2)))
        check(told, killed)
        assert final_state(killed) == expected, f"killed after change {dies_after}"
