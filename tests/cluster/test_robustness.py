"""The operator is killed, doubled, and cut off from the API server."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

from tests.rig.kubeapi import LEASES, STATEFUL_SETS, wait_for
from tests.rig.operators import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.controlplane import ControlPlane
    from tests.rig.sinks import LiveSink

HOUR = {"batch": {"window": "1h"}}


def life(sink: LiveSink) -> None:
    """A sink from its first apply to its end, with records that are to be found in the bucket."""
    sink.apply(replicas=2, **HOUR)
    sink.wait_ready(2)
    with sink.traffic(pause=0.05):
        sink.wait(lambda: len(sink.ledger.sent) > 10, "records")
        sink.patch({"batch": {"maxBytes": "2Mi"}})
        sink.scale(3)
        sink.wait_ready(3)
        sink.scale(1)
        sink.wait_ready(1)
        sink.wait(lambda: len(sink.claims()) == 1, "end of two claims")
    sink.delete()
    sink.wait_gone(timeout=120.0)
    assert not sink.claims()
    sink.verdict()


@contextmanager
def killed_again_and_again(operator: Operator) -> Iterator[list[float]]:
    """kill -9 after a random time of work, and a new start, until the block ends; yields how long each one lived."""
    rng = random.Random(3)
    lives: list[float] = []
    done = Event()

    def run() -> None:
        while True:
            seconds = rng.choice((rng.uniform(0.05, 0.5), rng.uniform(0.5, 4.0)))
            if done.wait(seconds):
                return
            operator.kill()
            lives.append(seconds)
            operator.start()

    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(run)
        try:
            yield lives
        finally:
            done.set()
        killer.result()


def test_killed_at_random_it_converges(operator: Operator, sink: LiveSink) -> None:
    with killed_again_and_again(operator) as lives:
        life(sink)
    assert len(lives) >= 5, "it was killed several times"


def test_of_two_operators_one_works_and_the_other_takes_over(
    operator: Operator, control_plane: ControlPlane, sink: LiveSink
) -> None:
    operator.stop()
    flags = ("--leader-elect", "--lease-namespace", sink.namespace)
    pair = [Operator(control_plane, *flags, namespaces=(sink.namespace,)) for _ in range(2)]
    try:
        for one in pair:
            one.start(wait=False)
        leader = wait_for(lambda: next((one for one in pair if one.leads()), None), "leader")
        (other,) = [one for one in pair if one is not leader]
        sink.apply(**HOUR)
        sink.wait_ready(1)
        sink.send(3)
        assert not other.leads()
        assert other.reconciles() == 0
        leader.kill()
        sink.scale(2)
        sink.wait_ready(2)
        assert other.leads()
        # One that is stopped in order hands over at once.
        leader.start(wait=False)
        other.stop()
        wait_for(leader.leads, "leader again", 10.0)
        assert control_plane.api.find(LEASES, sink.namespace)
        sink.delete()
        sink.wait_gone()
        sink.verdict()
    finally:
        for one in pair:
            one.stop()


def test_the_api_server_is_restarted(operator: Operator, control_plane: ControlPlane, sink: LiveSink) -> None:
    """While it is away records are taken and uploaded; afterwards changes are seen again."""
    sink.apply(replicas=2, batch={"window": "1s"})
    sink.wait_ready(2)
    with sink.traffic() as sender:
        sink.wait(lambda: sender.acked, "records")

        def away() -> None:
            acked = sender.acked
            wait_for(lambda: sender.acked >= acked + 20, "records that are taken meanwhile")
            assert operator.process.alive

        control_plane.restart_apiserver(away)
        sink.scale(1)
        sink.wait_ready(1)
        found = sink.child(STATEFUL_SETS)
        assert found is not None
        assert found["spec"]["replicas"] == 1
    assert operator.get("/healthz") is not None
    sink.verdict()
