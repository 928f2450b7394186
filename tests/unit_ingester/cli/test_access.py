"""`serve` with API keys and TLS, as processes: one and several, refused starts, and a drain that needs neither."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.rig.certificates import Authority
from tests.rig.mounted import MountedSecret, files_of
from tests.rig.processes import free_port
from tests.unit_ingester.cli.commands import Serving, ask, eventually, records_in, run, settings_file, words

OLD, NEW = "the-old-key", "the-new-key"


class Mounts:
    """Both Secrets, and an authority that clients trust."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.auth = MountedSecret(directory / "auth", {"key": OLD.encode()})
        self.tls = MountedSecret(directory / "tls", files_of(self.authority.issue("first")))
        self.trust = ssl.create_default_context(cafile=str(self.authority.path))

    def settings(self, directory: Path, **changes: Any) -> Path:
        source = {
            "port": free_port(),
            "auth": {"path": str(self.auth.path)},
            "tls": {"path": str(self.tls.path)},
        }
        return settings_file(directory, source=source, **changes)

    def connect(self, port: int) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=30.0, context=self.trust)


def post(connection: http.client.HTTPSConnection, key: str, body: str) -> int:
    connection.request("POST", "/", body.encode(), {"Authorization": f"Bearer {key}"})
    response = connection.getresponse()
    response.read()
    return response.status


def metric(serving: Serving, name: str) -> list[float]:
    """Its values, of all workers."""
    lines = ask(f"{serving.admin}/metrics").body.decode().splitlines()
    return [
        float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0].partition(" ")[0] == name
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_keys_and_certificates_change_while_it_serves(tmp_path: Path, workers: int) -> None:
    mounts = Mounts(tmp_path)
    log = tmp_path / "log"
    with Serving(
        log, "--config", mounts.settings(tmp_path, workers=workers), "--log-level", "debug"
    ) as serving:
        serving.wait_until_ready()
        connections = [mounts.connect(serving.data_port) for _ in range(12 * workers)]
        for connection in connections:
            assert [post(connection, OLD, "LAX old") for _ in range(3)] == [200, 200, 200]
            assert post(connection, "hunter2", "LAX no") == 401
        assert metric(serving, "s3sink_api_keys") == [1.0] * workers
        assert min(metric(serving, "s3sink_http_connections")) > 0, "every worker has some"

        mounts.auth.write({"key": NEW.encode()})
        mounts.tls.write(files_of(mounts.authority.issue("second")))
        eventually(
            lambda: metric(serving, "s3sink_secret_reloads_total") == [1.0] * 2 * workers, "read them again"
        )
        for connection in connections:  # over connections from before
            assert post(connection, OLD, "LAX no") == 401
            assert post(connection, NEW, "LAX new") == 200
            connection.close()
        fresh = mounts.connect(serving.data_port)
        assert post(fresh, NEW, "LAX new") == 200
        fresh.close()
        assert ask(f"{serving.admin}/readyz").status == 200, "the admin port asks for nothing"
        assert len(metric(serving, "s3sink_certificate_expiry_timestamp_seconds")) == workers
        serving.drain()
        assert serving.process.stop() == 0
    assert records_in(tmp_path / "objects") == {"old": 36 * workers, "new": 12 * workers + 1}
    for secret in (OLD, NEW, "hunter2"):
        assert secret not in log.read_text(), "no key in any log"


@pytest.mark.parametrize("workers", [1, 2])
def test_secrets_that_can_not_be_used_refuse_the_start(tmp_path: Path, workers: int) -> None:
    mounts = Mounts(tmp_path)
    settings = mounts.settings(tmp_path, workers=workers)
    mounts.tls.write({"tls.crt": b"nonsense", "tls.key": b"nonsense"})
    refused = run("serve", "--config", settings)
    assert refused.code == 2
    said = f"source.tls.path: {mounts.tls.path}: tls.crt holds no certificate in PEM"
    assert said in words([refused.stderr])
    mounts.auth.write({})
    refused = run("serve", "--config", settings)
    assert refused.code == 2
    assert f"source.auth.path: {mounts.auth.path}: no file in it holds an API key" in words([refused.stderr])


def test_a_drain_needs_neither(tmp_path: Path) -> None:
    mounts = Mounts(tmp_path)
    settings = mounts.settings(tmp_path)
    (tmp_path / "objects").symlink_to("objects")  # a loop: nothing can be uploaded
    with Serving(tmp_path / "log", "--config", settings, "--grace", "3s") as serving:
        serving.wait_until_ready()
        connection = mounts.connect(serving.data_port)
        assert post(connection, OLD, "LAX kept") == 200
        connection.close()
        assert serving.process.stop() == 0
    (tmp_path / "objects").unlink()
    mounts.tls.write({})
    mounts.auth.write({})
    drained = run("drain", "--config", settings)
    assert drained.code == 0
    assert records_in(tmp_path / "objects") == {"kept": 1}
