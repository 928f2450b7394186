"""The ingesters' client against servers that answer well, badly or not at all."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import pytest
from s3sink_operator.errors import IngesterError
from s3sink_operator.ingesters import HttpIngesters, admin_port
from s3sink_operator.state import Drain, Resume

from tests.rig.scripted_api import Answer, Script, hangs, hangs_up, says, scripted

DOCUMENT: dict[str, Any] = {
    "worker": "",
    "name": "events-s3sink-0",
    "podUid": "u",
    "version": "1",
    "state": "draining",
    "ready": False,
    "reason": "draining",
    "storeId": "0123",
    "formatVersion": 1,
    "capacityBytes": 1000,
    "bufferBytes": 17,
    "diskBytes": 170,
    "oldestRecordAgeSeconds": 4,
    "drainEpoch": "7",
    "drained": False,
    "damage": ["a segment"],
    "uploads": {"lastSuccess": "1970-01-01T00:00:01.500Z", "failures": 3, "running": 0},
    "destination": {"ok": False, "lastError": "AccessDenied: no", "lastErrorReason": "access_denied"},
    "workers": [],
    "aFieldOfALaterVersion": {"x": 1},
}
POD = {"metadata": {"name": "events-s3sink-0", "uid": "u"}, "status": {"podIP": "10.0.0.1"}}
JOB_POD = {
    "metadata": {"name": "drain-events-s3sink-0-x7k2p", "uid": "v"},
    "status": {"podIP": "10.0.0.2"},
}
DRAIN = Drain("events-s3sink-0", "u", "10.0.0.1", "7", "scale down")
RESUME = Resume("events-s3sink-0", "u", "10.0.0.1", "scale up")


def ingesters(script: Script) -> HttpIngesters:
    return HttpIngesters(lambda _: script.address)


def changed(**fields: Any) -> dict[str, Any]:
    return {**copy.deepcopy(DOCUMENT), **fields}


async def test_a_status_becomes_a_report() -> None:
    async with scripted(says(DOCUMENT)) as script, ingesters(script) as them:
        report = await them.report(POD)
    assert script.asked == [("GET", "/status")]
    assert report is not None
    assert (report.pod, report.pod_uid, report.ready, report.state) == (
        "events-s3sink-0",
        "u",
        False,
        "draining",
    )
    assert (report.capacity_bytes, report.buffer_bytes, report.oldest_record_age) == (1000, 17, 4.0)
    assert report.disk_bytes == 170
    assert (report.drain_epoch, report.drained, report.damage) == ("7", False, ("a segment",))
    assert (report.destination_ok, report.last_error_reason, report.upload_failures) == (
        False,
        "access_denied",
        3,
    )
    assert report.last_success == "1970-01-01T00:00:01.500Z"


async def test_a_drain_jobs_pod_answers_for_itself_under_the_name_of_another() -> None:
    async with scripted(says(changed(podUid="v")), says(DOCUMENT)) as script, ingesters(script) as them:
        report = await them.report(JOB_POD)
        assert await them.report(JOB_POD) is None
    assert report is not None
    assert (report.pod, report.pod_uid) == ("drain-events-s3sink-0-x7k2p", "v")


async def test_a_pod_without_an_address_isnt_asked() -> None:
    async with scripted(says(DOCUMENT)) as script, ingesters(script) as them:
        assert await them.report({**POD, "status": {}}) is None
    assert script.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        says("no JSON"),
        says([1, 2]),
        says({}),
        says(changed(podUid="another", drained=True)),  # of the same name, in another namespace
        says(changed(podUid=None)),
        says(changed(ready="yes")),
        says(changed(bufferBytes=True)),
        says(changed(bufferBytes="17")),
        says(changed(diskBytes=1.5)),
        says(changed(oldestRecordAgeSeconds="old")),
        says(changed(damage=None)),
        says(changed(uploads=[])),
        says(changed(drained=None)),
        says(DOCUMENT, 503),
        says(DOCUMENT, 301, Location="/elsewhere"),
        says(json.dumps("x" * (5 << 20))),
        hangs_up,
    ],
)
async def test_nonsense_is_no_report(answer: Answer) -> None:
    async with scripted(answer) as script, ingesters(script) as them:
        assert await them.report(POD) is None


async def test_one_that_hangs_holds_nobody_up() -> None:
    async with scripted(hangs) as script, HttpIngesters(lambda _: script.address, seconds=0.05) as them:
        reports = await asyncio.gather(*(them.report(POD) for _ in range(100)))
        assert reports == [None] * 100
        with pytest.raises(IngesterError, match="TimeoutError"):
            await them.drain(DRAIN)


async def test_nobody_there_is_no_report() -> None:
    async with HttpIngesters(lambda _: "127.0.0.1:1") as them:
        assert await them.report(POD) is None
        with pytest.raises(IngesterError, match=r"127\.0\.0\.1"):
            await them.resume(RESUME)


async def test_a_drain_is_done_when_the_ingester_has_its_epoch() -> None:
    async with scripted(says(changed(drainEpoch="7"), 202)) as script, ingesters(script) as them:
        await them.drain(DRAIN)
    assert script.asked == [("POST", "/drain")]
    assert json.loads(script.bodies[0]) == {"epoch": "7"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (says(changed(drainEpoch="6"), 202), "has drain '6'"),
        (says(changed(drainEpoch=None), 202), "has drain None"),
        (
            says(changed(name="others-s3sink-0", podUid="another"), 202),
            "at the address of events-s3sink-0 answers others-s3sink-0, the pod with UID another",
        ),
        (says({"error": "recovering"}, 503), "HTTP 503"),
        (hangs_up, "POST"),
    ],
)
async def test_a_drain_that_wasnt_taken_is_an_error(answer: Answer, message: str) -> None:
    async with scripted(answer) as script, ingesters(script) as them:
        with pytest.raises(IngesterError, match=message):
            await them.drain(DRAIN)


async def test_a_resume_is_done_when_no_epoch_is_left() -> None:
    wrong = changed(drainEpoch=None, name="others-s3sink-0", podUid="another")
    answers = says(changed(drainEpoch=None)), says(changed(drainEpoch="7")), says(wrong)
    async with scripted(*answers) as script, ingesters(script) as them:
        await them.resume(RESUME)
        with pytest.raises(IngesterError, match="still has drain '7'"):
            await them.resume(RESUME)
        with pytest.raises(IngesterError, match="answers others-s3sink-0"):
            await them.resume(RESUME)
    assert script.asked == [("POST", "/resume")] * 3


def test_addresses_of_both_families() -> None:
    assert admin_port("10.1.2.3") == "10.1.2.3:8889"
    assert admin_port("fd00::17") == "[fd00::17]:8889"
