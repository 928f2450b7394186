"""One reconcile against a cluster that fails, and the work that it doesn't do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

import pytest
from s3sink_operator import names
from s3sink_operator.errors import Conflict, IngesterError, Refused, Unavailable
from s3sink_operator.reconcile import REFUSED_SECONDS, Edges, Outcome, reconcile
from s3sink_operator.state import STATEFUL_SET, Object, Ref, Resource

from tests.rig.fakecontrollers import World
from tests.rig.fakesinks import IMAGE, SINK, Operator, new_world, sink

SET = Ref(STATEFUL_SET.api_version, STATEFUL_SET.kind, SINK.namespace, names.child(SINK.name))


class Failing(Operator):
    """`fail` is asked before each change and may raise. `unreadable`: a kind that can't be listed."""

    fail: Callable[[str], None] | None = None
    unreadable: str | None = None

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        if resource.kind == self.unreadable:
            raise Refused(f"you may not read any {resource.kind}")
        return await super().list(resource, namespace, labels)

    def _note(self, what: str) -> None:
        super()._note(what)
        if self.fail is not None:
            self.fail(what)


def raises(error: Exception, *, at: str) -> Callable[[str], None]:
    def fail(what: str) -> None:
        if at in what:
            raise error

    return fail


async def converged(**spec: Any) -> tuple[World, Failing]:
    world = new_world()
    world.cluster.create(sink(**spec))
    operator = Failing(world)
    await operator.converge()
    operator.log.clear()
    return world, operator


async def run(operator: Operator) -> Outcome:
    return await reconcile(SINK, Edges(operator, operator, IMAGE, lambda: operator.world.cluster.now))


def condition(world: World, type_: str) -> Any:
    (found,) = (one for one in world.cluster.objects[SINK]["status"]["conditions"] if one["type"] == type_)
    return found


async def test_no_sink_no_work() -> None:
    operator = Operator(new_world())
    assert await run(operator) == Outcome()
    assert operator.log == []


async def test_a_second_reconcile_changes_nothing() -> None:
    _, operator = await converged()
    outcome = await run(operator)
    assert (outcome.actions, outcome.requeue_after, operator.log) == (0, None, [])
    assert len(outcome.conditions) == 9


async def test_the_status_is_written_once_and_then_events_are_told() -> None:
    world, operator = await converged()
    world.cluster.patch(SINK, {"spec": {"replicas": 1}})
    await run(operator)
    assert operator.log == [
        "apply PersistentVolumeClaim buffer-events-s3sink-1 ",
        "drain events-s3sink-1",
        "apply S3Sink events status",
        "emit ScalingDown",
        "emit Draining",
    ]


class TestRefused:
    async def test_the_rest_isn_t_done_and_the_status_says_why(self) -> None:
        world, operator = await converged()
        world.cluster.patch(SINK, {"spec": {"batch": {"window": "5m"}}})
        operator.fail = raises(Refused("admission webhook denied it"), at="ConfigMap")
        outcome = await run(operator)
        assert operator.log == [
            "apply ConfigMap events-s3sink ",
            "apply S3Sink events status",
            "emit RollingOut",
            "emit ApplyRefused",
        ]
        assert (outcome.requeue_after, outcome.refused is not None) == (REFUSED_SECONDS, True)
        stalled = condition(world, "Stalled")
        assert (stalled["status"], stalled["reason"]) == ("True", "ApplyRefused")
        assert stalled["message"].startswith("apply ConfigMap events-s3sink: ")
        assert stalled["message"].endswith(": admission webhook denied it")

    async def test_again_nothing_is_news(self) -> None:
        world, operator = await converged()
        world.cluster.patch(SINK, {"spec": {"batch": {"window": "5m"}}})
        operator.fail = raises(Refused("denied"), at="ConfigMap")
        await run(operator)
        operator.log.clear()
        world.cluster.pass_time(300)
        await run(operator)
        assert operator.log == ["apply ConfigMap events-s3sink "]

    async def test_it_passes(self) -> None:
        world, operator = await converged()
        world.cluster.patch(SINK, {"spec": {"batch": {"window": "5m"}}})
        operator.fail = raises(Refused("denied"), at="ConfigMap")
        await run(operator)
        operator.fail = None
        await operator.converge()
        assert condition(world, "Stalled")["reason"] == "NotStalled"


class TestUnreadable:
    """The API server refuses a read."""

    async def test_the_status_keeps_what_was_known_and_says_why(self) -> None:
        world, operator = await converged()
        world.cluster.patch(SINK, {"spec": {"replicas": 1}})
        before = world.cluster.objects[SINK]
        operator.unreadable = "Pod"
        outcome = await run(operator)
        assert operator.log == ["apply S3Sink events status", "emit ReadRefused"]
        assert (outcome.requeue_after, outcome.refused) == (REFUSED_SECONDS, "you may not read any Pod")
        stalled = condition(world, "Stalled")
        assert (stalled["status"], stalled["reason"]) == ("True", "ReadRefused")
        assert stalled["message"] == "you may not read any Pod"
        now = world.cluster.objects[SINK]
        assert now["status"]["observedGeneration"] == now["metadata"]["generation"]
        assert now["status"]["replicas"] == before["status"]["replicas"]
        assert condition(world, "Ready")["observedGeneration"] < now["metadata"]["generation"]

    async def test_again_nothing_is_news_and_it_passes(self) -> None:
        world, operator = await converged()
        operator.unreadable = "Pod"
        await run(operator)
        operator.log.clear()
        world.cluster.pass_time(300)
        await run(operator)
        assert operator.log == []
        operator.unreadable = None
        await run(operator)
        assert condition(world, "Stalled")["reason"] == "NotStalled"

    async def test_of_a_new_sink_only_that_is_said(self) -> None:
        world = new_world()
        world.cluster.create(sink())
        operator = Failing(world)
        operator.unreadable = "Job"
        outcome = await run(operator)
        assert [one["type"] for one in outcome.conditions] == ["Stalled"]
        assert condition(world, "Stalled")["reason"] == "ReadRefused"

    async def test_a_status_that_can_t_be_written_is_for_the_log(self) -> None:
        _, operator = await converged()
        operator.unreadable = "Pod"
        operator.fail = raises(Refused("nor may you write"), at="status")
        with pytest.raises(Refused, match="you may not read any Pod"):
            await run(operator)


@pytest.mark.parametrize("error", [Unavailable("503", 3.0), Conflict("it was changed")])
async def test_what_passes_by_itself_is_for_the_caller(error: Exception) -> None:
    world, operator = await converged()
    world.cluster.patch(SINK, {"spec": {"batch": {"window": "5m"}}})
    operator.fail = raises(error, at="ConfigMap")
    with pytest.raises(type(error)):
        await run(operator)
    assert operator.log == ["apply ConfigMap events-s3sink "]


async def test_an_ingester_that_doesn_t_drain_holds_up_nothing_else() -> None:
    world, operator = await converged(replicas=3)
    world.cluster.patch(SINK, {"spec": {"replicas": 1}})
    operator.fail = raises(IngesterError("timeout"), at="drain events-s3sink-1")
    await run(operator)
    assert operator.log[2:5] == [
        "drain events-s3sink-1",
        "drain events-s3sink-2",
        "apply S3Sink events status",
    ]


async def test_a_sink_that_is_let_go_gets_no_status() -> None:
    world, operator = await converged(replicas=0)
    world.cluster.remove(SINK)
    await run(operator)
    world.tick()
    operator.log.clear()
    assert (await run(operator)).conditions == ()
    assert operator.log == ["apply S3Sink events "]
    assert SINK not in world.cluster.objects


async def test_a_finalizer_that_somebody_else_wants_as_well_is_told() -> None:
    """Else a sink that was restored from a backup could not be deleted, and nobody would know why."""
    world, operator = await converged(replicas=0)

    def restore(what: str) -> None:
        if what == "apply S3Sink events ":
            world.cluster.also_wanted.append(names.FINALIZER)

    operator.fail = restore
    world.cluster.remove(SINK)
    await operator.work(3)
    stalled = condition(world, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ApplyRefused")
    assert "another field manager has put s3sink.dev/drain" in stalled["message"]


async def test_a_sink_that_went_meanwhile_isn_t_made_again() -> None:
    """Its UID is a precondition of its status, as of its finalizer."""
    world, operator = await converged()
    world.cluster.patch(SINK, {"spec": {"replicas": 1}})

    def vanish(what: str) -> None:
        if what == "apply S3Sink events status":
            world.cluster.end(SINK)

    operator.fail = vanish
    with pytest.raises(Conflict):
        await run(operator)
    assert SINK not in world.cluster.objects


async def test_an_upgrade_waits_for_its_turn() -> None:
    world, operator = await converged()
    newer = Edges(operator, operator, "example.org/s3sink-ingester:2", lambda: world.cluster.now)
    waiting = await reconcile(SINK, newer, may_upgrade=False)
    assert (waiting.actions, waiting.is_upgrading) == (0, True)
    assert (await reconcile(SINK, newer)).actions == 1
    operator.image = newer.image
    await operator.converge()
    assert not (await reconcile(SINK, newer)).is_upgrading


async def test_a_release_that_renders_the_same_is_noted_and_rolls_nothing() -> None:
    world, operator = await converged()
    later = Edges(operator, operator, IMAGE, lambda: world.cluster.now, release="2")
    before = world.cluster.objects[SET]
    outcome = await reconcile(SINK, later, may_upgrade=False)
    assert (outcome.actions, outcome.is_upgrading) == (1, True)
    after = world.cluster.objects[SET]
    assert after["metadata"]["annotations"][names.RELEASE] == "2"
    assert after["spec"] == before["spec"]
    outcome = await reconcile(SINK, later, may_upgrade=False)
    assert (outcome.actions, outcome.is_upgrading) == (0, False)


async def test_times_are_utc() -> None:
    world, _ = await converged()
    assert world.cluster.now.tzinfo is UTC
    assert condition(world, "Ready")["lastTransitionTime"].endswith("Z")
