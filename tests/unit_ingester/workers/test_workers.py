"""Several workers as real processes: one port, one admin port, nothing lost when one is killed or goes away."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.rig.processes import free_port
from tests.unit_ingester.cli.commands import Serving, ask, eventually, records_in, run, settings_file


def several(tmp_path: Path, workers: int, **changes: Any) -> Path:
    source = {"host": "127.0.0.1", "port": free_port(), "maxRequestBytes": "64Ki"}
    return settings_file(tmp_path, workers=workers, source=source, **changes)


class Sender:
    """Sends records over connections of their own; `acked` are those that were answered with 200."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self.acked: list[str] = []
        self._sent = 0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, count: int) -> None:
        """So many records, each over a connection of its own; what is refused or cut off isn't acknowledged."""
        for _ in range(count):
            self._sent += 1
            record = f"record-{self._sent}"
            with suppress(OSError, http.client.HTTPException):
                if ask(self._serving.data, f"key{self._sent % 5} {record}".encode()).status == 200:
                    self.acked.append(record)

    def start(self) -> None:
        """Send in the background until `stop`."""

        def work() -> None:
            while not self._stopped.is_set():
                self.send(1)

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def has_acked(self, count: int) -> bool:
        return len(self.acked) >= count

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def check(self, objects: Path) -> None:
        """Every acknowledged record once, nothing twice."""
        found = records_in(objects)
        assert not Counter(self.acked) - found, "lost"
        assert max(found.values(), default=0) <= 1, "duplicated"


def workers_of(serving: Serving) -> list[psutil.Process]:
    return psutil.Process(serving.process.pid).children()


def names(status: dict[str, Any]) -> list[str]:
    return [one["worker"] for one in status["workers"]]


def test_two_workers_share_a_port_and_are_seen_as_one(tmp_path: Path) -> None:
    with Serving(tmp_path / "log", "--config", several(tmp_path, 2)) as serving:
        serving.wait_until_ready()
        sender = Sender(serving)
        sender.send(64)
        assert len(sender.acked) == 64
        status = serving.status()
        assert names(status) == ["worker-0", "worker-1"]
        each = [one["acceptedRecords"] for one in status["workers"]]
        assert (sum(each), status["acceptedRecords"]) == (64, 64)
        assert min(each) > 0, "the kernel spreads connections: one of 64 going to each is as good as certain"
        assert status["bufferBytes"] == sum(one["bufferBytes"] for one in status["workers"]) > 0
        assert status["oldestRecordAgeSeconds"] == max(
            one["oldestRecordAgeSeconds"] for one in status["workers"]
        )
        assert len({one["storeId"] for one in status["workers"]}) == 2
        page = ask(f"{serving.admin}/metrics").body.decode()
        for worker in ("worker-0", "worker-1"):
            assert f's3sink_worker_up{{worker="{worker}"}} 1.0' in page
            assert f's3sink_accepted_records_total{{kind="data",worker="{worker}"}}' in page
        assert ask(f"{serving.admin}/livez").status == 200

        inspected = json.loads(run("inspect", tmp_path / "buffer", "--json").stdout)
        assert [one["acceptedRecords"] for one in inspected["volumes"]] == each

        assert serving.drain()["uploadedRecords"] == 64
        assert ask(f"{serving.admin}/readyz").status == 503
        assert serving.send("LAX no").status == 503
        assert ask(f"{serving.admin}/drain", b"").status == 200
        assert ask(f"{serving.admin}/resume", b"").status == 200
        assert ask(f"{serving.admin}/readyz").status == 200
        sender.send(10)
        children = workers_of(serving)
        assert serving.process.stop() == 0
        assert not [child for child in children if child.is_running()]
    assert len(sender.acked) == 74
    sender.check(tmp_path / "objects")


def test_a_killed_worker_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    with Serving(tmp_path / "log", "--config", several(tmp_path, 2)) as serving:
        serving.wait_until_ready()
        sender = Sender(serving)
        sender.start()
        for killed in range(3):
            eventually(partial(sender.has_acked, 50 * (killed + 1)), "acknowledged")
            victim = workers_of(serving)[0]
            victim.kill()
            victim.wait(30)
            serving.wait_until_ready()
        sender.stop()
        assert "s3sink_worker_restarts_total" in ask(f"{serving.admin}/metrics").body.decode()
        status = serving.drain()
        assert status["acceptedRecords"] >= len(sender.acked)
        assert serving.process.stop() == 0
    assert len(sender.acked) >= 150
    sender.check(tmp_path / "objects")


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    settings = several(tmp_path, 2)
    with Serving(tmp_path / "log", "--config", settings) as serving:
        serving.wait_until_ready()
        sender = Sender(serving)
        sender.send(20)
        children = workers_of(serving)
        os.kill(serving.process.pid, signal.SIGKILL)
        eventually(lambda: not any(child.is_running() for child in children), "ended")
    assert len(sender.acked) == 20
    assert run("drain", "--config", settings).code == 0
    sender.check(tmp_path / "objects")


@pytest.mark.parametrize("fewer", [1, 2])
def test_volumes_that_no_worker_has_are_emptied_and_removed(tmp_path: Path, fewer: int) -> None:
    (tmp_path / "objects").symlink_to("objects")  # a loop: nothing is uploaded, and it is tried again soon
    with Serving(tmp_path / "log", "--config", several(tmp_path, 3), "--grace", "4s") as serving:
        serving.wait_until_ready()
        sender = Sender(serving)
        sender.send(90)
        assert serving.process.stop() == 0
    with Serving(tmp_path / "log", "--config", several(tmp_path, fewer)) as serving:
        serving.wait_until_ready()
        serving.wait(lambda: serving.status()["bufferedRecords"] == 90, "known")
        status = serving.status()
        assert names(status) == ["worker-0", "worker-1", "worker-2"]
        assert [one["state"] for one in status["workers"]] == ["open"] * fewer + ["draining"] * (3 - fewer)
        (tmp_path / "objects").unlink()
        serving.wait(lambda: not (tmp_path / "buffer" / "worker-2").exists(), "removed")
        serving.wait(lambda: names(serving.status()) == [f"worker-{n}" for n in range(fewer)], "forgotten")
        serving.drain()
        assert serving.process.stop() == 0
    assert sorted(one.name for one in (tmp_path / "buffer").iterdir()) == [
        f"worker-{n}" for n in range(fewer)
    ]
    assert len(sender.acked) == 90
    sender.check(tmp_path / "objects")
    # And up again: what was a left-over volume once is an ordinary new one.
    with Serving(tmp_path / "log", "--config", several(tmp_path, 3)) as serving:
        assert ask(f"{serving.admin}/resume", b"").status in (200, 503)
        serving.wait(lambda: ask(f"{serving.admin}/resume", b"").status == 200, "resumed")
        serving.wait_until_ready()


def test_damaged_files_of_a_volume_that_no_worker_has_are_told_of(tmp_path: Path) -> None:
    with Serving(tmp_path / "log", "--config", several(tmp_path, 2)) as serving:
        serving.wait_until_ready()
        assert serving.process.stop() == 0
    (tmp_path / "buffer" / "worker-1" / "quarantine" / "1.obj").write_bytes(b"what a person has to look at")
    with Serving(tmp_path / "log", "--config", several(tmp_path, 1)) as serving:
        serving.wait_until_ready()
        serving.wait(lambda: names(serving.status()) == ["worker-0"], "emptied")
        status = serving.drain()
        assert status["damage"] == ["worker-1: quarantine/: 1 file of earlier damage, such as 1.obj"]
        page = ask(f"{serving.admin}/metrics").body.decode()
        for worker, findings in (("worker-0", 0.0), ("worker-1", 1.0)):
            assert f's3sink_damage_findings{{worker="{worker}"}} {findings}' in page
        assert serving.process.stop() == 0
    assert (tmp_path / "buffer" / "worker-1" / "quarantine" / "1.obj").exists()


def test_a_volume_in_use_ends_the_supervisor_with_3(tmp_path: Path) -> None:
    settings = several(tmp_path, 2)
    with Serving(tmp_path / "log", "--config", settings) as serving:
        serving.wait_until_ready()
        second = run("serve", "--config", settings, "--port", str(free_port()), "--admin-port", "0")
        assert second.code == 3
        assert "in use by another process" in second.stderr
        same_port = run("serve", "--config", settings, "--admin-port", "0")
        assert same_port.code == 2
        assert "can't listen on" in same_port.stderr
        assert ask(f"{serving.admin}/readyz").status == 200


def test_a_worker_that_hangs_makes_it_unready_and_is_killed_at_the_end(tmp_path: Path) -> None:
    with Serving(tmp_path / "log", "--config", several(tmp_path, 2), "--grace", "1s") as serving:
        serving.wait_until_ready()
        hanging = workers_of(serving)[1]
        hanging.suspend()
        answer = ask(f"{serving.admin}/readyz")
        assert (answer.status, "doesn't answer" in answer.json()["detail"]) == (503, True)
        assert ask(f"{serving.admin}/livez").status == 200
        assert serving.process.stop(timeout=30.0) == 0
        eventually(lambda: not hanging.is_running(), "killed")


def test_workers_follow_the_size_in_their_settings_also_those_that_are_started_again(tmp_path: Path) -> None:
    path = several(tmp_path, 2, buffer={"size": "64Mi"})
    with Serving(tmp_path / "log", "--config", path) as serving:
        serving.wait_until_ready()
        text = path.read_text()
        path.write_text(text.replace("64Mi", "96Mi"))
        serving.wait(lambda: serving.status()["capacityBytes"] == 96 * 2**20, "larger")
        os.kill(workers_of(serving)[0].pid, signal.SIGKILL)
        serving.wait(lambda: serving.status()["capacityBytes"] != 96 * 2**20, "killed")
        serving.wait(lambda: serving.status()["capacityBytes"] == 96 * 2**20, "as large again")
