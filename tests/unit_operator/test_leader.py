"""Who may lead, as a table; and a holder whose API server hangs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from s3sink_operator.kube.apiserver import ApiServer
from s3sink_operator.kube.leader import Elector, Move, Timing, decide, lease_ref, lease_spec, released_spec

from tests.rig.scripted_api import hangs, kubeconfig, refuses, says, scripted

TIMING = Timing(lease=15.0)


def lease(holder: str | None, duration: int | None = 15) -> dict[str, Any]:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": duration, "leaseTransitions": 4}
    return {"metadata": {"resourceVersion": "1"}, "spec": {k: v for k, v in spec.items() if v is not None}}


@pytest.mark.parametrize(
    ("found", "unchanged", "move"),
    [
        (None, 0.0, Move.CREATE),
        (lease("me"), 0.0, Move.RENEW),
        (lease("me"), 999.0, Move.RENEW),
        (lease("another"), 0.0, Move.WAIT),
        (lease("another"), 14.9, Move.WAIT),
        (lease("another"), 15.0, Move.TAKE),
        (lease("another", 60), 59.0, Move.WAIT),  # what the holder says counts
        (lease("another", None), 14.9, Move.WAIT),
        (lease("another", None), 15.0, Move.TAKE),
        (lease(""), 0.0, Move.TAKE),  # released
        (lease(None), 0.0, Move.TAKE),
        ({"metadata": {"resourceVersion": "1"}}, 0.0, Move.TAKE),
    ],
)
def test_decisions(found: dict[str, Any] | None, unchanged: float, move: Move) -> None:
    assert decide(found, "me", unchanged, TIMING) is move


def test_a_renewal_keeps_when_it_was_acquired() -> None:
    taken = lease_spec(lease("another"), "me", "T1", TIMING)
    assert taken == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "T1",
        "renewTime": "T1",
        "leaseTransitions": 5,
    }
    renewed = lease_spec({"spec": taken}, "me", "T2", TIMING)
    assert renewed == {**taken, "renewTime": "T2"}
    assert lease_spec(None, "me", "T1", TIMING)["leaseTransitions"] == 0


def test_a_released_lease_has_no_holder() -> None:
    released = released_spec({"spec": lease_spec(None, "me", "T1", TIMING)}, "T2")
    assert (released["holderIdentity"], released["leaseDurationSeconds"]) == ("", 1)
    assert decide({"metadata": {}, "spec": released}, "another", 0.0, TIMING) is Move.TAKE


async def test_who_waits_tells_what_is_wrong_and_that_nothing_is(tmp_path: Path) -> None:
    held = says({"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "another"}})
    written = says({"metadata": {"resourceVersion": "2"}, "spec": {"holderIdentity": "me"}})
    refused = refuses(403, "leases is forbidden")
    async with scripted(refused, held, refuses(404), refuses(409), refuses(404), written) as script:
        api = await ApiServer.connect(kubeconfig(tmp_path, script))
        elector = Elector(api, lease_ref("team", "operators"), "me", timing=Timing(retry=0.01))
        told: list[str | None] = []
        await asyncio.wait_for(elector.acquire(told.append), 30)
        await api.close()
    assert told[0] is not None
    assert "leases is forbidden" in told[0]
    assert told[1:] == [None, None], "held by another one; somebody was faster"


@pytest.mark.parametrize("trouble", [hangs, refuses(503, "away"), refuses(403, "no"), says("no JSON")])
async def test_a_holder_that_cant_renew_gives_up_before_another_may_begin(
    tmp_path: Path, trouble: Any
) -> None:
    timing = Timing(lease=2.0, deadline=0.5, retry=0.05)
    written = says({"metadata": {"resourceVersion": "2"}, "spec": {"holderIdentity": "me"}})
    async with scripted(refuses(404), written, trouble) as script:
        api = await ApiServer.connect(kubeconfig(tmp_path, script))
        elector = Elector(api, lease_ref("team", "operators"), "me", timing=timing)
        await elector.acquire()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.wait_for(elector.keep(), 30)
        assert loop.time() - began >= timing.deadline
        await elector.release()
        await api.close()
    methods = [method for method, _ in script.asked[:2]]
    assert methods == ["GET", "POST"]
