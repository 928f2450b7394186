"""Credentials as pods get them: from the environment's default chain, renewed before they expire."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from s3sink_ingester.errors import StoreRefused, StoreUnavailable
from s3sink_ingester.objects import PutOutcome
from s3sink_ingester.objects.s3 import S3Store

from tests.rig.flaky_proxy import FlakyProxy, flaky_proxy
from tests.rig.object_store_contract import seal
from tests.rig.s3servers import CREDENTIALS
from tests.rig.stores import SMALL_PARTS, Bucket


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials from this machine, and no look for an instance's metadata."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))


def store_of(bucket: Bucket, endpoint: str | None = None) -> S3Store:
    store = S3Store(bucket.destination(endpoint), SMALL_PARTS, bucket.disk)
    bucket.stores.append(store)
    return store


def keys_used(proxy: FlakyProxy) -> list[str]:
    """Access keys that the requests were signed with."""
    headers = [request.headers["authorization"] for request in proxy.requests]
    return [header.partition("Credential=")[2].partition("/")[0] for header in headers]


Issued = tuple[str, str, str]  # access key, secret key, session token
GOOD: Issued = (CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"], "")


class Agent:
    """EKS Pod Identity's agent: hands out credentials to whoever has the pod's token."""

    def __init__(self, issue: Callable[[int], Issued | None], token: str) -> None:
        self.issued = 0
        self.issue = issue
        self.token = token

    def answer(self, token: str | None) -> tuple[int, dict[str, str]]:
        if token != self.token:
            return 403, {}
        self.issued += 1
        issued = self.issue(self.issued)
        if issued is None:
            return 500, {}
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
        return 200, {
            "AccessKeyId": issued[0],
            "SecretAccessKey": issued[1],
            "Token": issued[2],
            "Expiration": soon.strftime("%Y-%m-%dT%H:%M:%SZ"),  # so soon that botocore renews before each use
        }


StartAgent = Callable[[Callable[[int], Issued | None]], Agent]


@contextmanager
def serving(agent: Agent) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server wants
            status, answer = agent.answer(self.headers.get("Authorization"))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server gives it
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/credentials"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def pod_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StartAgent]:
    """Starts an agent and tells the environment about it, as EKS does for a pod."""
    token_file = tmp_path / "eks-pod-identity-token"
    token_file.write_text("the-pods-token")
    agent = Agent(lambda _: None, "the-pods-token")
    with serving(agent) as url:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token_file))

        def start(issue: Callable[[int], Issued | None]) -> Agent:
            agent.issue = issue
            return agent

        yield start


def test_pod_identity_is_renewed(moto_bucket: Bucket, pod_identity: StartAgent) -> None:
    agent = pod_identity(lambda n: (f"KEY{n}", "secret", "session"))
    with flaky_proxy(moto_bucket.server.endpoint) as proxy:
        store = store_of(moto_bucket, proxy.endpoint)
        for n in range(3):
            store.put(seal(moto_bucket.disk, f"a/{n}.gz", b"content", chunk_id=n))
        assert all("x-amz-security-token" in request.headers for request in proxy.requests)
        assert len(set(keys_used(proxy))) == 3
    assert agent.issued >= 3


def test_credentials_that_are_mended_work_without_a_restart(
    versity_bucket: Bucket, pod_identity: StartAgent
) -> None:
    agent = pod_identity(lambda _: ("nobody", "wrong", ""))
    store = store_of(versity_bucket)
    obj = seal(versity_bucket.disk, "a/x.gz", b"content")
    with pytest.raises(StoreRefused) as refused:
        store.put(obj)
    assert refused.value.reason == "bad_credentials"
    agent.issue = lambda _: GOOD
    assert store.put(obj) is PutOutcome.CREATED


def test_an_agent_that_is_away_is_asked_again_soon(versity_bucket: Bucket, pod_identity: StartAgent) -> None:
    agent = pod_identity(lambda _: None)
    store = store_of(versity_bucket)
    obj = seal(versity_bucket.disk, "a/x.gz", b"content")
    with pytest.raises(StoreUnavailable) as unavailable:
        store.put(obj)
    assert unavailable.value.reason == "credentials"
    agent.issue = lambda _: GOOD
    assert store.put(obj) is PutOutcome.CREATED


def test_no_credentials_until_there_are_some(versity_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(versity_bucket)
    obj = seal(versity_bucket.disk, "a/x.gz", b"content")
    for attempt in (store.check, lambda: store.put(obj)):
        with pytest.raises(StoreRefused) as refused:
            attempt()
        assert refused.value.reason == "no_credentials"
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    assert store.put(obj) is PutOutcome.CREATED


def test_web_identity(moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """IRSA: a projected token is exchanged for credentials at STS, and again before they expire."""
    token = tmp_path / "token"
    token.write_text("a-projected-token-of-the-service-account")
    with flaky_proxy(moto_bucket.server.endpoint) as sts, flaky_proxy(moto_bucket.server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/s3sink")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.endpoint)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        store = store_of(moto_bucket, proxy.endpoint)
        assert store.put(seal(moto_bucket.disk, "a/x.gz", b"content")) is PutOutcome.CREATED
        assert len(sts.requests) == 1
        assert "x-amz-security-token" in proxy.requests[0].headers
        assert keys_used(proxy)[0].startswith("ASIA")
