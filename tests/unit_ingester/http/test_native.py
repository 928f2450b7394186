"""Which endpoint a head leads to. What the endpoints do is tested over a socket in test_replies."""

from __future__ import annotations

import pytest
from s3sink_ingester.errors import RequestError
from s3sink_ingester.http.heads import Head, parse_head
from s3sink_ingester.http.native import (
    INLINE_BYTES,
    INLINE_ENCODED_BYTES,
    MAX_ENDPOINTS_KEPT,
    NativeApi,
)
from s3sink_ingester.http.responses import Replies
from s3sink_ingester.records import Layout, Partitioning, Router

from tests.unit_ingester.http.rig import REGEX, MemoryIntake, post


def _api(partitioning: Partitioning = REGEX) -> NativeApi:
    return NativeApi(
        Router(partitioning, Layout("{path}/" if partitioning.regex else "{key}/"), 1000),
        MemoryIntake(),
        Replies(0.0),
        max_request_bytes=1000,
        key_header=partitioning.header,
        key_in_path=partitioning.url_path,
    )


def _head(*headers: str, target: str = "/", length: int = 5) -> Head:
    return parse_head(post(b"x" * length, *headers, target=target)[:-length])


def test_heads_that_differ_in_what_does_not_matter_share_an_endpoint() -> None:
    api = _api()
    endpoint = api.resolve(_head("traceparent: a"))
    assert api.resolve(_head("traceparent: b", length=7)) is endpoint
    assert api.resolve(_head("Content-Type: application/json")) is not endpoint


def test_endpoints_kept_are_bounded() -> None:
    api = _api()
    first = api.resolve(_head(target="/0"))
    for number in range(MAX_ENDPOINTS_KEPT):
        api.resolve(_head(target=f"/{number}"))
    assert api.resolve(_head(target="/0")) is first
    api.resolve(_head(target="/another"))
    assert api.resolve(_head(target="/0")) is not first


def test_encoded_bodies_go_to_a_thread_sooner() -> None:
    api = _api()
    assert api.resolve(_head()).inline_bytes == INLINE_BYTES
    assert api.resolve(_head("Content-Encoding: Identity")).inline_bytes == INLINE_BYTES
    assert api.resolve(_head("Content-Encoding: gzip")).inline_bytes == INLINE_ENCODED_BYTES


_PATH = _api(Partitioning(url_path=True))
_HEADER = _api(Partitioning(header="X-Key"))


@pytest.mark.parametrize(
    ("path", "header", "name"),
    [("a", "a", "a/"), ("%C3%A4", "\xc3\xa4", "ä/"), ("a%20b", "a b", None), ("a%2Fb+%zz", "a/b+%zz", None)],
)
def test_keys_of_a_request(path: str, header: str, name: str | None) -> None:
    """Whatever a key holds reaches the router, which makes a safe name of it."""
    ((in_path, _, _),) = _PATH.resolve(_head(target=f"/ingest/{path}?x")).route(b"hello")[0]
    ((in_header, _, _),) = _HEADER.resolve(_head(f"x-key: {header}")).route(b"hello")[0]
    assert in_path.name == in_header.name
    assert name is None or in_path.name == name


def test_keys_that_are_no_text() -> None:
    for endpoint in (_PATH.resolve(_head(target="/ingest/a%FF")), _HEADER.resolve(_head("x-key: a\xff"))):
        with pytest.raises(RequestError) as caught:
            endpoint.route(b"hello")
        assert caught.value.status == 400
