"""Starting: what is waited for, and what is told when it can't."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from s3sink_operator.kube.apiserver import ApiServer
from s3sink_operator.runtime.health import Vitals
from s3sink_operator.runtime.run import wait_for_kind

from tests.rig.scripted_api import Script, kubeconfig, refuses, says, scripted


async def test_it_waits_for_the_api_server_and_for_the_crd_and_says_for_which(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = says({"resources": [{"kind": "Other", "name": "others"}]})
    there = says({"resources": [{"kind": "S3Sink", "name": "s3sinks"}]})
    vitals = Vitals(lambda: 0.0)
    told: list[str | None] = []

    async def pause(_: float) -> None:
        told.append(vitals.waiting_for)

    async with scripted(refuses(503, "starting"), refuses(404), other, refuses(401), there) as script:
        api = await ApiServer.connect(kubeconfig(tmp_path, script))
        await wait_for_kind(api, vitals, pause)
        await api.close()
    crd = "the CRD s3sinks.s3sink.dev: install it, it comes with the Helm chart"
    assert told[0] == f"the API server at http://{script.address}: starting"
    assert told[1:3] == [crd, crd]
    assert (told[3] or "").startswith("the API server at")
    assert vitals.waiting_for is None
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("s3sink")]
    assert ours == [f"waiting for {told[0]}"], "once a minute"


def started(kubeconfig_path: str, listen: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "s3sink_operator", "--ingester-image", "i", "--listen", listen]
    return subprocess.run(
        command,
        env={**os.environ, "KUBECONFIG": kubeconfig_path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_a_cluster_it_ends_with_a_message(tmp_path: Path) -> None:
    ended = started(str(tmp_path / "missing"), "127.0.0.1:0")
    assert ended.returncode == 1
    assert "no cluster to talk to" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = started(kubeconfig(tmp_path, Script(address="127.0.0.1:1")), address)
    assert ended.returncode == 1
    assert f"can't listen on {address}" in ended.stderr
    assert "Traceback" not in ended.stderr
