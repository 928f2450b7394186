"""Where the manifests and the ingester meet: ports, paths, the command, exit codes, probes, the image's user."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from s3sink_ingester import cli, config
from s3sink_ingester.config.units import parse_duration
from s3sink_ingester.errors import FormatTooNew, VolumeLocked
from s3sink_ingester.http.admin import AdminServer
from s3sink_operator import names
from s3sink_operator.manifests import pod, settings
from s3sink_operator.manifests.drain_job import HOPELESS

from tests.unit_operator.rendering import ROOT, children, drain_job, spec_of, stateful_set

DOCKERFILE = (ROOT / "ingester" / "Dockerfile").read_text()


def in_dockerfile(pattern: str) -> str:
    """What the pattern's group matches."""
    found = re.search(pattern, DOCKERFILE)
    assert found is not None, pattern
    return found[1]


def container_of(obj: Mapping[str, Any]) -> dict[str, Any]:
    (container,) = obj["spec"]["template"]["spec"]["containers"]
    return dict(container)


def settings_read(**fields: Any) -> config.Settings:
    return config.loads(settings.text(spec_of(**fields), "10Gi"), {"POD_NAME": "events-s3sink-0"})


# ---- ports and paths


def test_ports_are_those_that_the_ingester_listens_on() -> None:
    ports = {one["name"]: one["containerPort"] for one in container_of(stateful_set(spec_of()))["ports"]}
    read = settings_read()
    assert ports == {names.DATA_PORT_NAME: read.source.port, names.ADMIN_PORT_NAME: read.admin.port}
    assert (read.source.host, read.admin.host) == ("0.0.0.0", "0.0.0.0")


def test_ports_are_the_ingesters_defaults_too() -> None:
    assert (config.Source().port, config.Admin().port) == (names.DATA_PORT, names.ADMIN_PORT)
    assert in_dockerfile("EXPOSE (.+)").split() == [str(names.DATA_PORT), str(names.ADMIN_PORT)]


def test_the_buffer_is_where_the_volume_is_mounted() -> None:
    mounts = {one["name"]: one["mountPath"] for one in container_of(stateful_set(spec_of()))["volumeMounts"]}
    assert mounts[names.BUFFER_VOLUME] == settings_read().buffer.path == config.Buffer().path


def test_all_that_the_ingester_reads_is_mounted() -> None:
    source = {"auth": {"secretRef": {"name": "keys"}}, "tls": {"secretRef": {"name": "cert"}}}
    mounts = {one["mountPath"] for one in container_of(stateful_set(spec_of(source=source)))["volumeMounts"]}
    read = settings_read(source=source)
    assert {read.source.auth.path, read.source.tls.path, read.buffer.path} < mounts
    assert str(Path(names.SETTINGS_PATH).parent) in mounts
    assert Path(names.SETTINGS_PATH).name in children(spec_of())["ConfigMap/events-s3sink"]["data"]


# ---- the command


@pytest.mark.parametrize("grace", [None, 1, 5, 30, 86_400])
def test_pods_run_a_command_that_the_ingester_knows(grace: int | None, tmp_path: Path) -> None:
    template = {} if grace is None else {"terminationGracePeriodSeconds": grace}
    made = stateful_set(spec_of(podTemplate=template))
    flush = parse_duration(_option(container_of(made)["command"], "--grace"))
    assert 0 < flush <= made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    _understood(container_of(made)["command"], tmp_path)


def test_jobs_run_a_command_that_the_ingester_knows(tmp_path: Path) -> None:
    _understood(container_of(drain_job(spec_of()))["command"], tmp_path)


def _option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def _understood(command: list[str], folder: Path) -> None:
    """The ingester gets as far as the settings, which aren't there: a usage error would raise SystemExit."""
    program, *arguments = command
    assert program == pod.COMMAND == in_dockerfile(r'ENTRYPOINT \["(.+)"\]')
    assert _option(arguments, "--config") == names.SETTINGS_PATH
    missing = [str(folder / "none.yaml") if one == names.SETTINGS_PATH else one for one in arguments]
    assert cli.run(missing) == cli.USAGE


def test_exit_codes_that_a_job_gives_up_at(tmp_path: Path) -> None:
    broken = tmp_path / "settings.yaml"
    broken.write_text("destination: {}")
    assert cli.run(["drain", "--config", str(broken)]) in HOPELESS
    assert FormatTooNew.exit_code in HOPELESS
    # The pod that has the volume may be about to end; what was damaged is looked at again.
    assert VolumeLocked.exit_code not in HOPELESS
    assert {0, 1}.isdisjoint(HOPELESS)


def test_the_name_comes_from_the_environment_variable_that_is_set() -> None:
    variable, _ = container_of(drain_job(spec_of()))["env"]
    text = settings.text(spec_of(), "10Gi")
    assert config.loads(text, {variable["name"]: variable["value"]}).name == "events-s3sink-2"


# ---- probes and metrics


class Ready:
    """A process that takes records."""

    async def readiness(self) -> str | None:
        return None

    async def status(self) -> Mapping[str, object]:
        return {"drained": True}

    async def metrics(self) -> bytes:
        return b"s3sink_ready 1.0\n"

    async def drain(self, epoch: str) -> None:
        return

    async def resume(self) -> None:
        return


@pytest.fixture
async def admin() -> AsyncIterator[aiohttp.ClientSession]:
    server = AdminServer(Ready())
    await server.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
            yield session
    finally:
        await server.stop()


async def test_what_is_probed_and_scraped_is_answered(admin: aiohttp.ClientSession) -> None:
    container = container_of(stateful_set(spec_of()))
    (endpoint,) = children(spec_of())["ServiceMonitor/events-s3sink"]["spec"]["endpoints"]
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    assert {one["port"] for one in (*probes, endpoint)} == {names.ADMIN_PORT_NAME}
    for path in [*(one["path"] for one in probes), endpoint["path"]]:
        async with admin.get(path) as reply:
            assert reply.status == 200, path


def test_the_network_policy_lets_the_charts_operator_in() -> None:
    policy = children(spec_of(networkPolicy={"enabled": True}))["NetworkPolicy/events-s3sink"]
    (known,) = policy["spec"]["ingress"][1]["from"][0]["podSelector"]["matchExpressions"]
    helpers = (ROOT / "charts" / "s3sink" / "templates" / "_helpers.tpl").read_text()
    assert f"{known['key']}: {names.FIELD_MANAGER}\n" in helpers
    assert names.FIELD_MANAGER in known["values"]


# ---- the image


def test_pods_run_as_the_images_user() -> None:
    security = stateful_set(spec_of())["spec"]["template"]["spec"]["securityContext"]
    assert in_dockerfile("USER (.+)") == f"{security['runAsUser']}:{security['runAsGroup']}"
