"""The commands end to end, as processes: records in over HTTP, objects out, and every exit code on the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.rig.processes import Process, free_port
from tests.unit_ingester.cli.commands import (
    PATIENCE,
    Serving,
    ask,
    command,
    records_in,
    run,
    settings_file,
)


def tree(directory: Path) -> dict[str, tuple[int, int]]:
    """Every file below: size and time of the last change."""
    return {
        str(path.relative_to(directory)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in directory.rglob("*")
    }


def test_serve_local_takes_uploads_and_accounts_for_records(tmp_path: Path) -> None:
    local = tmp_path / "local"
    with Serving(tmp_path / "log", "--local", local, "--port", "0", "--admin-port", "0") as serving:
        serving.wait_until_ready()
        assert serving.send("LAX one", "JFK two", "LAX three").json() == {"accepted": 3}
        assert serving.send("no-content").status == 400
        assert ask(f"{serving.admin}/livez").status == 200
        page = ask(f"{serving.admin}/metrics").body.decode()
        assert 's3sink_accepted_records_total{kind="data"} 3.0' in page

        before = run("inspect", local / "buffer", "--json")
        assert before.code == 0
        (volume,) = json.loads(before.stdout)["volumes"]
        assert {one["partition"]: one["records"] for one in volume["openChunks"]} == {"LAX/": 2, "JFK/": 1}

        drained = serving.drain()
        assert (drained["acceptedRecords"], drained["uploadedRecords"], drained["state"]) == (
            3,
            3,
            "draining",
        )
        assert ask(f"{serving.admin}/readyz").status == 503
        assert serving.send("LAX four").status == 503
        assert ask(f"{serving.admin}/drain", b"").status == 200
        assert ask(f"{serving.admin}/resume", b"").status == 200
        assert serving.send("LAX four").status == 200
        assert serving.process.stop() == 0
    assert records_in(local / "objects") == Counter(["one", "two", "three", "four"])
    assert {path.parent.name for path in (local / "objects").rglob("*.gz")} == {"LAX", "JFK"}
    after = run("inspect", local / "buffer")
    assert after.code == 0
    assert "all accounted for" in after.stdout


def test_the_announcement_says_what_there_is(tmp_path: Path) -> None:
    settings = settings_file(tmp_path)
    with Serving(tmp_path / "log", "--config", settings) as serving:
        line = next(one for one in serving.lines() if str(one["message"]).startswith("serving:"))
    assert line["buffer"] == str(tmp_path / "buffer")
    assert line["destination"] == str(tmp_path / "objects")
    assert (line["workers"], line["data_port"] > 0, line["admin_port"] > 0) == (1, True, True)


def test_a_volume_has_one_process_and_a_port_one_listener(tmp_path: Path) -> None:
    settings = settings_file(tmp_path)
    with Serving(tmp_path / "log", "--config", settings) as serving:
        serving.wait_until_ready()
        second = run("serve", "--config", settings)
        assert second.code == 3
        assert "in use by another process" in second.stderr
        drain = run("drain", "--config", settings)
        assert drain.code == 3
        assert "in use by another process" in drain.stderr
        (tmp_path / "other").mkdir()
        other = settings_file(tmp_path / "other")
        for flag, port in (("--port", serving.data_port), ("--admin-port", serving.admin_port)):
            taken = run("serve", "--config", other, flag, str(port))
            assert taken.code == 2
            assert f"can't listen on 127.0.0.1 port {port} (Address already in use)" in taken.stderr
        assert ask(f"{serving.admin}/readyz").status == 200


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    settings = settings_file(tmp_path)
    volume = tmp_path / "buffer" / "worker-0"
    volume.mkdir(parents=True)
    identity = {"format": 99, "store": "0b3c3c2e-0000-4000-8000-000000000000"}
    (volume / "store.json").write_text(json.dumps(identity))
    for arguments in (
        ("serve", "--config", settings),
        ("drain", "--config", settings),
        ("inspect", tmp_path / "buffer"),
    ):
        ended = run(*arguments)
        assert ended.code == 4
        assert "format 99" in ended.stderr


def killed_with_records(tmp_path: Path, settings: Path, count: int) -> None:
    """A buffer with records that no process had the time to upload."""
    with Serving(tmp_path / "log", "--config", settings) as serving:
        serving.wait_until_ready()
        assert serving.send(*(f"key{n % 7} record-{n}" for n in range(count))).status == 200
        serving.process.kill()


def test_drain_empties_what_a_killed_process_left(tmp_path: Path) -> None:
    settings = settings_file(tmp_path)
    killed_with_records(tmp_path, settings, 100)
    drained = run("drain", "--config", settings)
    assert (drained.code, drained.stdout.splitlines()[-1]) == (
        0,
        f"{tmp_path}/buffer/worker-0: nothing is left",
    )
    assert records_in(tmp_path / "objects") == Counter(f"record-{n}" for n in range(100))
    again = run("drain", "--config", settings)
    assert again.code == 0
    # Nobody asked for a drain mark: who serves next takes records.
    with Serving(tmp_path / "log", "--config", settings) as serving:
        serving.wait_until_ready()
        assert serving.send("LAX one").status == 200


def test_a_volume_that_was_drained_for_an_epoch_takes_no_records_until_it_is_resumed(tmp_path: Path) -> None:
    settings = settings_file(tmp_path)
    killed_with_records(tmp_path, settings, 100)
    assert run("drain", "--config", settings, "--epoch", "7").code == 0
    assert records_in(tmp_path / "objects") == Counter(f"record-{n}" for n in range(100))
    with Serving(tmp_path / "log", "--config", settings) as serving:
        serving.wait(lambda: serving.status()["drained"] is True, "drained")
        assert serving.status()["drainEpoch"] == "7"
        assert serving.send("LAX one").status == 503


def test_a_drain_for_an_epoch_takes_no_other(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way of the directory: every upload fails")
    settings = settings_file(tmp_path)
    killed_with_records(tmp_path, settings, 30)
    port = free_port()
    settings = settings_file(tmp_path, admin={"port": port})
    admin, log = f"http://127.0.0.1:{port}", tmp_path / "drain-log"
    with Process(command("drain", "--config", settings, "--epoch", "7"), log=log) as process:
        process.wait_until(lambda: "the destination fails" in log.read_text(), "failing", PATIENCE)
        assert ask(f"{admin}/drain", b'{"epoch": "7"}').status == 202
        other = ask(f"{admin}/drain", b'{"epoch": "8"}')
        assert other.status == 409
        assert "for epoch 7" in other.json()["detail"]
        assert ask(f"{admin}/resume", b"").status == 409
        assert ask(f"{admin}/status").json()["drainEpoch"] == "7"
    assert (tmp_path / "buffer" / "worker-0" / "drain").read_text() == "7"


def test_a_drain_that_is_stopped_says_so_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way of the directory: every upload fails")
    settings = settings_file(tmp_path)
    killed_with_records(tmp_path, settings, 30)
    log = tmp_path / "drain-log"
    with Process(command("drain", "--config", settings), log=log) as process:
        process.wait_until(lambda: "the destination fails" in log.read_text(), "failing", PATIENCE)
        assert process.stop() == 1
    assert "30 records are left" in log.read_text()
    assert "30 records in 7 objects left" in log.read_text()
    assert run("inspect", tmp_path / "buffer").code == 0
    (tmp_path / "objects").unlink()
    assert run("drain", "--config", settings).code == 0
    assert records_in(tmp_path / "objects") == Counter(f"record-{n}" for n in range(30))


def test_a_drain_answers_how_it_is_and_does_without_a_port_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way of the directory: every upload fails")
    settings = settings_file(tmp_path)
    killed_with_records(tmp_path, settings, 30)
    log = tmp_path / "drain-log"

    def announced() -> dict[str, int] | None:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        return next((line for line in lines if "admin_port" in line), None)

    def status(admin: int) -> dict[str, Any]:
        answer: dict[str, Any] = ask(f"http://127.0.0.1:{admin}/status").json()
        return answer

    with Process(command("drain", "--config", settings, "--log-format", "json"), log=log) as process:
        process.wait_until(lambda: announced() is not None, "announced", PATIENCE)
        admin = (announced() or {})["admin_port"]
        process.wait_until(lambda: status(admin)["destination"]["ok"] is False, "failing", PATIENCE)
        said = status(admin)
        assert (said["name"], said["state"], said["bufferedRecords"]) == ("pod-0", "draining", 30)
        assert said["destination"]["lastError"]
        admin_url = f"http://127.0.0.1:{admin}"
        for path, body, why in (("resume", b"", "no port for records"), ("drain", b"", "without an epoch")):
            refused = ask(f"{admin_url}/{path}", body)
            assert refused.status == 409
            assert why in refused.json()["detail"]
        assert (status(admin)["state"], status(admin)["drainEpoch"]) == ("draining", None)
    (tmp_path / "objects").unlink()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = settings_file(tmp_path, admin={"port": other.getsockname()[1]})
        drained = run("drain", "--config", taken)
    assert drained.code == 0
    assert "can't be asked: can't listen on 127.0.0.1" in drained.stderr
    assert records_in(tmp_path / "objects") == Counter(f"record-{n}" for n in range(30))


def test_sigterm_keeps_what_cannot_be_uploaded_and_the_next_start_has_it(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way")
    settings = settings_file(tmp_path)
    with Serving(tmp_path / "log", "--config", settings, "--grace", "4s") as serving:
        serving.wait_until_ready()
        serving.send("LAX one", "JFK two")
        serving.wait(lambda: serving.status()["destination"]["ok"] is False, "failing")
        assert ask(f"{serving.admin}/readyz").status == 200, (
            "an outage with room left is no reason not to be ready"
        )
        assert serving.process.stop() == 0
    (tmp_path / "objects").unlink()
    with Serving(tmp_path / "log", "--config", settings) as serving:
        serving.wait(lambda: serving.status()["uploadedRecords"] == 2, "uploaded")
    assert records_in(tmp_path / "objects") == Counter(["one", "two"])


def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way")
    settings = settings_file(tmp_path)
    with Serving(tmp_path / "log", "--config", settings, "--grace", "1h") as serving:
        serving.wait_until_ready()
        serving.send("LAX one")
        os.kill(serving.process.pid, signal.SIGTERM)
        serving.wait(lambda: any("SIGTERM" in str(one["message"]) for one in serving.lines()), "stopping")
        os.kill(serving.process.pid, signal.SIGTERM)
        assert serving.process.stop() == 1
    report = json.loads(run("inspect", tmp_path / "buffer", "--json").stdout)
    assert (report["balanced"], report["volumes"][0]["bufferedRecords"]) == (True, 1)


def test_inspect_touches_nothing(tmp_path: Path) -> None:
    settings = settings_file(tmp_path)
    killed_with_records(tmp_path, settings, 50)
    buffer = tmp_path / "buffer"
    before = tree(buffer)
    whole = run("inspect", buffer)
    assert whole.code == 0
    assert "open chunks: 7" in whole.stdout
    assert run("inspect", buffer / "worker-0").code == 0
    assert tree(buffer) == before


def test_inspect_tells_of_damage(tmp_path: Path) -> None:
    settings = settings_file(tmp_path)
    with Serving(tmp_path / "log", "--config", settings) as serving:
        serving.wait_until_ready()
        for n in range(3):
            assert serving.send(f"LAX record-{n}").status == 200
        serving.process.kill()
    (segment,) = (tmp_path / "buffer" / "worker-0" / "journal").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"record-1\n")] ^= 1  # in the middle: what follows is there
    segment.write_bytes(data)
    before = tree(tmp_path / "buffer")
    damaged = run("inspect", tmp_path / "buffer")
    assert damaged.code == 5
    assert "NOT all accounted for" in damaged.stdout
    assert "corrupt" in damaged.stdout
    assert json.loads(run("inspect", tmp_path / "buffer", "--json").stdout)["balanced"] is False
    assert tree(tmp_path / "buffer") == before
    # Draining saves what is whole, keeps what isn't, and says that a person has to look.
    drained = run("drain", "--config", settings)
    assert drained.code == 1
    assert "in its quarantine need a person" in drained.stdout
    assert {"record-0", "record-2"} <= set(records_in(tmp_path / "objects"))
    quarantine = [
        one["name"]
        for one in json.loads(run("inspect", tmp_path / "buffer", "--json").stdout)["volumes"][0][
            "quarantine"
        ]
    ]
    assert quarantine
    # Nor is it ever taken for empty later: neither by a drain nor by who asks a process that serves it.
    assert run("drain", "--config", settings).code == 1
    with Serving(tmp_path / "log", "--config", settings) as serving:
        serving.wait_until_ready()
        status = serving.drain()
        assert (status["bufferedRecords"], status["bufferBytes"]) == (0, 0)
        assert status["diskBytes"] > 0
        assert [quarantine[0] in what for what in status["damage"]] == [True]
        assert "s3sink_damage_findings 1.0" in ask(f"{serving.admin}/metrics").body.decode()


@pytest.mark.parametrize("arguments", [["serve", "--local", "x"], ["drain", "--local", "x"]])
def test_interrupts_are_no_tracebacks(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "x" / "buffer").mkdir(parents=True)
    if arguments[0] == "serve":
        arguments = [*arguments, "--port", "0", "--admin-port", "0"]
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command(*arguments), cwd=tmp_path, stdout=output, stderr=output)
    if arguments[0] == "serve":
        while "the volume is open" not in log.read_text():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    assert "Traceback" not in log.read_text()


def test_serve_follows_the_size_in_its_settings(tmp_path: Path) -> None:
    path = settings_file(tmp_path, buffer={"size": "64Mi"})
    with Serving(tmp_path / "log", "--config", path) as serving:
        serving.wait_until_ready()
        assert serving.status()["capacityBytes"] == 64 * 2**20
        settings_file(tmp_path, buffer={"size": "lots"})
        serving.wait(lambda: any("stays as it is" in one["message"] for one in serving.lines()), "told")
        settings_file(tmp_path, buffer={"size": "96Mi"})
        serving.wait(lambda: serving.status()["capacityBytes"] == 96 * 2**20, "larger")
        assert serving.send("LAX one").json() == {"accepted": 1}
