"""Whatever users, controllers and S3 do in whatever order, with an operator that dies at any change: no record is lost.

The rules are what may happen; `World.lost` is the oracle. In the end S3 is back and the sink comes to rest as wanted.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from s3sink_operator import names
from s3sink_operator.state import POD, STATEFUL_SET, Ref

from tests.rig.fakecluster import NAMESPACE
from tests.rig.fakesinks import NAME, SINK, Operator, new_world, sink

CHILD = names.child(NAME)
SET = Ref(STATEFUL_SET.api_version, STATEFUL_SET.kind, NAMESPACE, CHILD)
CHILDREN = (
    SET,
    Ref("v1", "Service", NAMESPACE, CHILD),
    Ref("v1", "ConfigMap", NAMESPACE, CHILD),
    Ref("v1", "ServiceAccount", NAMESPACE, CHILD),
    Ref("policy/v1", "PodDisruptionBudget", NAMESPACE, CHILD),
)
ORDINALS = st.integers(0, 3)


class SinkLife(RuleBasedStateMachine):
    """One sink, which is deleted and made again as well."""

    def __init__(self) -> None:
        super().__init__()
        self.world = new_world()
        self.operator = Operator(self.world)
        self.loop = asyncio.new_event_loop()

    @initialize(
        replicas=ORDINALS,
        when_scaled=st.sampled_from(["DeleteAfterDrain", "Retain"]),
        when_deleted=st.sampled_from(["DrainThenDelete", "DrainThenRetain", "Retain"]),
        pods_flush=st.booleans(),
    )
    def begin(self, replicas: int, when_scaled: str, when_deleted: str, pods_flush: bool) -> None:
        self.world.pods_flush = pods_flush
        self.buffer = {"size": "10Gi", "whenScaled": when_scaled, "whenDeleted": when_deleted}
        self.world.cluster.create(sink(replicas=replicas, buffer=self.buffer))
        self.loop.run_until_complete(self.operator.converge())

    # ---- the operator and the cluster go on

    @rule()
    def reconcile(self) -> None:
        self.loop.run_until_complete(self.operator.reconcile())

    @rule(changes=st.integers(0, 6))
    def die(self, changes: int) -> None:
        """In the middle of a reconcile, after so many changes."""
        self.operator = Operator(self.world, changes)
        self.reconcile()
        self.operator = Operator(self.world)

    @rule(rounds=st.integers(1, 4))
    def work(self, rounds: int) -> None:
        self.loop.run_until_complete(self.operator.work(rounds))

    @rule()
    def tick(self) -> None:
        self.world.tick()

    @rule()
    def wait(self) -> None:
        self.world.tick(600)

    # ---- clients, users, S3

    @rule(count=st.integers(1, 5))
    def send(self, count: int) -> None:
        self.world.send(count)

    @rule(is_up=st.booleans())
    def s3(self, is_up: bool) -> None:
        self.world.s3_is_up = is_up

    def sink_is_there(self) -> bool:
        return SINK in self.world.cluster.objects

    def sink_lives(self) -> bool:
        return self.sink_is_there() and not self.world.cluster.objects[SINK]["metadata"].get(
            "deletionTimestamp"
        )

    @precondition(sink_is_there)
    @rule(replicas=ORDINALS)
    def scale(self, replicas: int) -> None:
        self.edit(replicas=replicas)

    @precondition(sink_is_there)
    @rule(window=st.sampled_from(["5m", "1h"]))
    def change_settings(self, window: str) -> None:
        self.edit(batch={"window": window})

    @precondition(sink_is_there)
    @rule(regex=st.sampled_from(["(", None]))
    def break_or_repair(self, regex: str | None) -> None:
        self.edit(partitioning={"regex": regex, "urlPath": None if regex else True})

    @precondition(sink_is_there)
    @rule()
    def grow(self) -> None:
        self.edit(buffer={"size": "20Gi"})

    @rule(
        index=st.integers(0, len(CHILDREN) - 1), how=st.sampled_from(["Background", "Foreground", "Orphan"])
    )
    def delete_child(self, index: int, how: Any) -> None:
        if CHILDREN[index] in self.world.cluster.objects:
            self.world.cluster.remove(CHILDREN[index], how)

    @rule(replicas=ORDINALS)
    def scale_stateful_set(self, replicas: int) -> None:
        if SET in self.world.cluster.objects:
            self.world.cluster.patch(SET, {"spec": {"replicas": replicas}})

    @rule(ordinal=ORDINALS)
    def kill_pod(self, ordinal: int) -> None:
        ref = Ref(POD.api_version, POD.kind, NAMESPACE, names.pod(NAME, ordinal))
        if ref in self.world.cluster.objects:
            self.world.cluster.remove(ref)

    @rule(ordinal=ORDINALS, is_broken=st.booleans())
    def break_pod(self, ordinal: int, is_broken: bool) -> None:
        """It can't start any more."""
        pod = names.pod(NAME, ordinal)
        (self.world.broken_pods.add if is_broken else self.world.broken_pods.discard)(pod)

    @precondition(sink_lives)
    @rule(how=st.sampled_from(["Background", "Foreground", "Orphan"]))
    def delete(self, how: Any) -> None:
        self.world.cluster.remove(SINK, how)

    @precondition(lambda self: not self.sink_is_there())
    @rule(replicas=ORDINALS)
    def make_again(self, replicas: int) -> None:
        self.world.cluster.create(sink(replicas=replicas, buffer=self.buffer))

    # ---- the oracle

    @invariant()
    def no_record_is_lost(self) -> None:
        world = self.world
        assert not world.lost, self.operator.log[-10:]
        assert world.acknowledged == world.uploaded | world.buffered

    def teardown(self) -> None:
        """With S3 and a good spec, the sink comes to rest as it is wanted, or goes."""
        world = self.world
        world.s3_is_up = True
        world.broken_pods.clear()
        if self.sink_is_there():
            self.break_or_repair(None)
        try:
            self.loop.run_until_complete(self.operator.converge())
            self.no_record_is_lost()
            if self.sink_is_there():
                assert self.sink_lives()
                self.check_ready()
        finally:
            self.loop.close()

    def check_ready(self) -> None:
        status = self.world.cluster.objects[SINK]["status"]
        conditions = {one["type"]: one["status"] for one in status["conditions"]}
        assert (conditions["Ready"], conditions["Reconciling"], conditions["Stalled"]) == (
            "True",
            "False",
            "False",
        )
        assert conditions["Draining"] == "False"
        assert status["replicas"] == self.world.cluster.objects[SINK]["spec"]["replicas"]

    def edit(self, **spec: Any) -> None:
        self.world.cluster.patch(SINK, {"spec": spec})


SinkLife.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestSinkLife = SinkLife.TestCase
