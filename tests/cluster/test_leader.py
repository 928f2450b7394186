"""Several operators and one Lease, on a real API server."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from s3sink_operator.kube.apiserver import ApiServer
from s3sink_operator.kube.leader import Elector, Timing, lease_ref

from tests.rig.kubeapi import LEASES, wait_for
from tests.rig.operators import Operator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.rig.controlplane import ControlPlane

QUICK = Timing(lease=3.0, deadline=2.0, retry=0.3)


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[ApiServer]:
    api = await ApiServer.connect(str(control_plane.kubeconfig))
    yield api
    await api.close()


@asynccontextmanager
async def running(work: asyncio.Task[None]) -> AsyncIterator[asyncio.Task[None]]:
    try:
        yield work
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


def elector(api: ApiServer, namespace: str, identity: str) -> Elector:
    return Elector(api, lease_ref(namespace, "operators"), identity, timing=QUICK)


async def test_one_of_many_gets_it(api: ApiServer, namespace: str) -> None:
    candidates = [elector(api, namespace, f"candidate-{number}") for number in range(8)]
    tasks = [asyncio.create_task(one.acquire()) for one in candidates]
    done, pending = await asyncio.wait(tasks, timeout=2.0)
    assert len(done) == 1
    for task in pending:
        task.cancel()


async def test_a_release_lets_the_next_one_begin_at_once(
    control_plane: ControlPlane, api: ApiServer, namespace: str
) -> None:
    first, second = elector(api, namespace, "first"), elector(api, namespace, "second")
    await first.acquire()
    async with running(asyncio.create_task(second.acquire())) as waiting:
        await asyncio.sleep(1.0)
        assert not waiting.done()
        await first.release()
        await asyncio.wait_for(waiting, 30)
    lease = control_plane.api.get(LEASES, namespace, "operators")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == "second"
    assert lease["spec"]["leaseTransitions"] == 1


async def test_a_holder_that_renews_keeps_it_and_one_that_doesnt_loses_it(
    api: ApiServer, namespace: str
) -> None:
    first, second = elector(api, namespace, "first"), elector(api, namespace, "second")
    await first.acquire()
    async with running(asyncio.create_task(second.acquire())) as waiting:
        async with running(asyncio.create_task(first.keep())) as keeping:
            await asyncio.sleep(2 * QUICK.lease)
            assert not keeping.done()
            assert not waiting.done()
        await asyncio.wait_for(waiting, 30)
    # The first one wakes up again, as after a long pause of its machine.
    await asyncio.wait_for(first.keep(), 30)


async def test_who_finds_another_one_in_its_place_has_lost(
    control_plane: ControlPlane, api: ApiServer, namespace: str
) -> None:
    first = elector(api, namespace, "first")
    await first.acquire()
    async with running(asyncio.create_task(first.keep())) as keeping:
        lease = control_plane.api.get(LEASES, namespace, "operators")
        assert lease is not None
        patch = {"spec": {"holderIdentity": "another"}}
        control_plane.api.request(
            "PATCH", LEASES.path(namespace, "operators"), patch, "application/merge-patch+json"
        )
        await asyncio.wait_for(keeping, 30)
    await first.release()
    lease = control_plane.api.get(LEASES, namespace, "operators")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == "another", "what isn't held isn't released"


async def test_a_lease_that_somebody_deletes_is_made_again(
    control_plane: ControlPlane, api: ApiServer, namespace: str
) -> None:
    first = elector(api, namespace, "first")
    await first.acquire()
    async with running(asyncio.create_task(first.keep())) as keeping:
        control_plane.api.delete(LEASES, namespace, "operators")
        await asyncio.to_thread(
            wait_for, lambda: control_plane.api.get(LEASES, namespace, "operators"), "new lease"
        )
        assert not keeping.done()


async def test_without_the_right_to_leases_nobody_leads(control_plane: ControlPlane, namespace: str) -> None:
    api = await ApiServer.connect(str(control_plane.kubeconfig_for(namespace, "default")))
    async with running(asyncio.create_task(elector(api, namespace, "first").acquire())) as waiting:
        await asyncio.sleep(1.0)
        assert not waiting.done()
    await api.close()


def test_without_the_right_to_leases_an_operator_isnt_ready_and_says_why(
    control_plane: ControlPlane, namespace: str
) -> None:
    flags = ("--leader-elect", "--lease-namespace", namespace)
    rights = control_plane.kubeconfig_for(namespace, "default")
    operator = Operator(control_plane, *flags, namespaces=(namespace,), kubeconfig=rights)
    operator.start(wait=False)
    try:
        wait_for(lambda: "forbidden" in operator.waits_for(), "word of it", why=operator.output)
        assert "waiting for the lease s3sink-operator: " in operator.waits_for()
        assert operator.get("/healthz"), "a restart would help nobody"
        kubectl = ("-n", namespace, "create")
        control_plane.kubectl(*kubectl, "role", "elects", "--verb=get,create,update", "--resource=leases")
        control_plane.kubectl(
            *kubectl, "rolebinding", "elects", "--role=elects", f"--serviceaccount={namespace}:default"
        )
        wait_for(operator.leads, "leader", why=operator.output)
    finally:
        operator.stop()


def holder(plane: ControlPlane, namespace: str) -> str:
    lease = plane.api.get(LEASES, namespace, "s3sink-operator")
    return str(lease["spec"].get("holderIdentity") or "") if lease else ""


def test_of_two_operators_one_is_at_work_and_the_other_takes_over(
    control_plane: ControlPlane, namespace: str
) -> None:
    flags = ("--leader-elect", "--lease-namespace", namespace)
    first, second, third = (Operator(control_plane, *flags, namespaces=(namespace,)) for _ in range(3))

    def leads(operator: Operator) -> bool:
        return "s3sink_operator_leader 1.0" in (operator.get("/metrics") or "")

    with first:
        wait_for(lambda: leads(first), "leader")
        with second:
            assert not leads(second)
            assert holder(control_plane, namespace)
            first.kill()
            killed = time.monotonic()
            wait_for(lambda: leads(second), "second leader after a kill -9")
            print(f"took over {time.monotonic() - killed:.1f} s after a kill -9")
            with third:
                assert not leads(third)
                stopped = time.monotonic()
                assert second.stop() == 0
                print(f"stopped in {time.monotonic() - stopped:.1f} s")
                wait_for(lambda: leads(third), "third leader after a clean end")
                print(f"took over {time.monotonic() - stopped:.1f} s after SIGTERM")
        assert holder(control_plane, namespace) == ""


def test_an_operator_that_loses_its_lease_ends_with_an_error(
    control_plane: ControlPlane, namespace: str
) -> None:
    operator = Operator(
        control_plane, "--leader-elect", "--lease-namespace", namespace, namespaces=(namespace,)
    )
    with operator:
        wait_for(lambda: holder(control_plane, namespace), "holder")
        patch = {"spec": {"holderIdentity": "another"}}
        control_plane.api.request(
            "PATCH", LEASES.path(namespace, "s3sink-operator"), patch, "application/merge-patch+json"
        )
        wait_for(lambda: not operator.process.alive, "end")
        assert operator.stop() == 1
    assert "lost the lease" in operator.output()
