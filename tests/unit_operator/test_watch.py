"""Watches that break in every way, and go on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from s3sink_operator.errors import ClusterError, Refused, Unavailable
from s3sink_operator.kube.apiserver import ApiServer, Expired, NotFound
from s3sink_operator.kube.watch import Hooks, Watched, delay_after, follow

from tests.rig.scripted_api import Answer, Script, kubeconfig, refuses, says, scripted, streams

WATCHED = Watched(path="/api/v1/pods", labels="s3sink.dev/sink")


def page(version: int) -> Answer:
    return says({"metadata": {"resourceVersion": str(version)}, "items": []})


def change(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {"name": name, "resourceVersion": str(version)}}}


class Told:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.relists = 0
        self.signs: list[str] = []
        self.pauses: list[float] = []

    @property
    def hooks(self) -> Hooks:
        return Hooks(
            changed=lambda meta: self.names.append(meta["name"]),
            relisted=self._relisted,
            alive=self.signs.append,
        )

    def _relisted(self) -> None:
        self.relists += 1

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


async def followed(directory: Path, until: int, *answers: Answer, quiet: float = 60.0) -> tuple[Told, Script]:
    """Follow until so many requests were made and the last one is being answered."""
    told = Told()
    async with scripted(*answers, streams(then_waits=True)) as script:
        api = await ApiServer.connect(kubeconfig(directory, script), quiet=quiet)
        task = asyncio.create_task(follow(api, WATCHED, told.hooks, pause=told.pause, jitter=lambda: 0.0))
        async with asyncio.timeout(20):
            await script.requests(until)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await api.close()
    return told, script


def versions(script: Script) -> list[str]:
    """Of each request the version that it watches from; of a list, ``list``."""
    found = []
    for _, path in script.asked:
        assert "labelSelector=s3sink.dev/sink" in path.replace("%2F", "/")
        query = dict(pair.split("=", 1) for pair in path.partition("?")[2].split("&"))
        found.append(query["resourceVersion"] if query.get("watch") else "list")
    return found


async def test_changes_are_told_and_a_stream_that_ends_goes_on_from_its_last_version(tmp_path: Path) -> None:
    told, script = await followed(
        tmp_path,
        3,
        page(10),
        streams(change("ADDED", "a", 11), change("DELETED", "b", 12), change("BOOKMARK", "", 15)),
    )
    assert told.names == ["a", "b"]
    assert versions(script) == ["list", "10", "15"]
    assert told.relists == 0, "nothing was missed"


async def test_a_quiet_stream_that_ends_goes_on(tmp_path: Path) -> None:
    told, script = await followed(tmp_path, 4, page(10), streams(), streams())
    assert versions(script) == ["list", "10", "10", "10"]
    assert told.relists == 0
    assert all(pause > 0 for pause in told.pauses), "one that always ends at once makes no busy loop"


async def test_a_stream_that_hangs_goes_on(tmp_path: Path) -> None:
    hung = streams(change("ADDED", "a", 11), then_waits=True)
    told, script = await followed(tmp_path, 4, page(10), hung, streams(then_waits=True), quiet=0.2)
    assert versions(script) == ["list", "10", "11", "11"]
    assert (told.names, told.relists) == (["a"], 0)


async def test_a_stream_that_breaks_goes_on(tmp_path: Path) -> None:
    told, script = await followed(
        tmp_path, 3, page(10), streams(change("MODIFIED", "a", 11), then_breaks=True)
    )
    assert (told.names, versions(script)) == (["a"], ["list", "10", "11"])


@pytest.mark.parametrize(
    "answer",
    [
        refuses(410, "too old resource version"),
        streams({"type": "ERROR", "object": {"code": 410, "message": "too old"}}),
        streams(change("ADDED", "a", 11), {"type": "ERROR", "object": {"code": 410, "message": "too old"}}),
    ],
)
async def test_a_version_that_is_too_old_begins_anew_and_tells(tmp_path: Path, answer: Answer) -> None:
    told, script = await followed(tmp_path, 4, page(10), answer, page(20))
    assert versions(script) == ["list", "10", "list", "20"]
    assert told.relists == 1


async def test_an_api_server_that_is_away_is_asked_again_less_and_less_often(tmp_path: Path) -> None:
    told, script = await followed(
        tmp_path,
        7,
        refuses(503, "starting", retryAfterSeconds=9),
        refuses(429, "busy"),
        says("no JSON"),
        refuses(500, "etcd"),
        page(10),
        streams(change("ADDED", "a", 11)),
    )
    assert told.pauses[:4] == [9.0, 0.5, 1.0, 2.0]
    assert versions(script)[-1] == "11"
    assert told.relists == 0, "it was never watched before"
    assert told.signs.count("trying") >= 6


async def test_one_that_goes_away_while_watching_is_told(tmp_path: Path) -> None:
    told, script = await followed(tmp_path, 5, page(10), refuses(503), says("no JSON"), page(20))
    assert versions(script) == ["list", "10", "list", "list", "20"]
    assert told.relists == 1


@pytest.mark.parametrize(
    ("error", "failures", "chance", "expected"),
    [
        (Unavailable("away"), 0, 0.0, 0.25),
        (Unavailable("away"), 0, 1.0, 0.5),
        (Unavailable("away"), 20, 1.0, 30.0),
        (Unavailable("busy", retry_after=40.0), 0, 0.0, 40.0),
        (Expired("old"), 0, 1.0, 0.5),
        (Refused("you may not"), 0, 0.0, 150.0),
        (NotFound("no such kind"), 5, 1.0, 300.0),
    ],
)
def test_delays(error: ClusterError, failures: int, chance: float, expected: float) -> None:
    assert delay_after(error, failures, chance) == pytest.approx(expected)
