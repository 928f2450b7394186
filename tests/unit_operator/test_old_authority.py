"""An API server with a certificate of an old cluster: no key identifiers, which Python asks for since 3.13."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from s3sink_operator.errors import Unavailable
from s3sink_operator.kube.apiserver import ApiServer
from s3sink_operator.runtime.handlers import connection

from tests.rig.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    """Its URL. The authority is in ``tmp_path``, as ``ca.crt``."""
    made = Authority(tmp_path, identified=False).issue("kube-apiserver")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    app = web.Application()
    app.router.add_get("/version", _version)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    yield str(server.make_url("")).rstrip("/")
    await server.close()


async def _version(_: web.Request) -> web.Response:
    return web.json_response({"major": "1"})


async def connect(directory: Path, server: str, authority: Path) -> ApiServer:
    cluster = {"server": server, "certificate-authority": str(authority)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": {"token": "secret"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return await ApiServer.connect(str(path))


async def test_the_client_and_kopf_trust_it(tmp_path: Path, server: str) -> None:
    api = await connect(tmp_path, server, tmp_path / "ca.crt")
    try:
        assert await api.request("GET", "/version") == {"major": "1"}
        context = connection(await api.credentials()).as_ssl_context()
    finally:
        await api.close()
    async with aiohttp.ClientSession() as session, session.get(f"{server}/version", ssl=context) as answer:
        assert answer.status == 200


async def test_another_authority_is_not_trusted(tmp_path: Path, server: str) -> None:
    other = tmp_path / "other"
    other.mkdir()
    api = await connect(tmp_path, server, Authority(other).path)
    try:
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await api.request("GET", "/version")
        context = connection(await api.credentials()).as_ssl_context()
    finally:
        await api.close()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"{server}/version", ssl=context)
