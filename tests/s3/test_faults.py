"""A store that fails on a real socket: what the client makes of it, and that the next put mends it."""

from __future__ import annotations

import pytest
from s3sink_ingester.errors import StoreRefused, StoreUnavailable
from s3sink_ingester.objects import PutOutcome
from s3sink_ingester.objects.content import body
from s3sink_ingester.objects.s3.client import Description, S3Requests
from s3sink_ingester.objects.s3.errors import RequestFailed, judge

from tests.rig.flaky_proxy import Fault, flaky_proxy
from tests.rig.object_store_contract import noise, seal
from tests.rig.stores import Bucket, session


@pytest.mark.parametrize(
    ("fault", "reason", "stored"),
    [
        (Fault.SLOW_DOWN, "slow_down", False),
        (Fault.INTERNAL_ERROR, "internal_error", False),
        (Fault.CONFLICT, "conflict", False),
        (Fault.NOT_S3, "http_502", False),
        (Fault.CUT_BEFORE, "reset", False),
        (Fault.CUT_AFTER, "reset", True),
    ],
)
def test_what_passes_by_itself(bucket: Bucket, fault: Fault, reason: str, stored: bool) -> None:
    obj = seal(bucket.disk, "a/x.gz", noise(300_000))
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.script.append(fault)
        store = bucket.new_store(proxy.endpoint)
        with pytest.raises(StoreUnavailable) as unavailable:
            store.put(obj)
        assert unavailable.value.reason == reason
        assert len(proxy.requests) == 1, "the uploader owns retrying"
        assert bucket.listing() == (["a/x.gz"] if stored else [])
        assert store.put(obj) is (PutOutcome.ALREADY_THERE if stored else PutOutcome.CREATED)
    assert bucket.read("a/x.gz") == noise(300_000)


def test_a_store_that_hangs(bucket: Bucket) -> None:
    obj = seal(bucket.disk, "a/x.gz", noise(300_000))
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.script.append(Fault.HANG)
        store = bucket.new_store(proxy.endpoint, read_timeout=0.2)
        with pytest.raises(StoreUnavailable) as unavailable:
            store.put(obj)
    assert unavailable.value.reason == "timeout"


def test_a_store_that_is_gone_and_comes_back(bucket: Bucket) -> None:
    obj = seal(bucket.disk, "a/x.gz", noise(300_000))
    with flaky_proxy(bucket.server.endpoint) as proxy:
        store = bucket.new_store(proxy.endpoint)
        store.check()
        proxy.stop()
        for attempt in (lambda: store.put(obj), store.check):
            with pytest.raises(StoreUnavailable) as unavailable:
                attempt()
            assert unavailable.value.reason in ("unreachable", "reset")
            told = str(unavailable.value)
            assert proxy.endpoint in told or unavailable.value.reason == "reset"
            assert "x.gz" not in told, "what is wrong is the same for every object"
        proxy.start()
        assert store.put(obj) is PutOutcome.CREATED


def test_a_store_that_refuses_says_why(bucket: Bucket) -> None:
    """In the same words each time; which request it was is told beside them."""
    obj = seal(bucket.disk, "a/x.gz", b"content")
    with flaky_proxy(bucket.server.endpoint) as proxy:
        store = bucket.new_store(proxy.endpoint)
        for number in (1, 2):
            proxy.script.append(Fault.FORBIDDEN)
            with pytest.raises(StoreRefused) as refused:
                store.put(obj)
            assert refused.value.reason == "access_denied"
            assert str(refused.value) == "PutObject: AccessDenied: Access Denied (HTTP 403)"
            assert refused.value.request_id == f"PROXY{number}"


@pytest.mark.parametrize(
    ("access_key", "secret_key"), [("nobody", "wrong"), (None, "wrong")], ids=["unknown key", "wrong secret"]
)
def test_wrong_credentials(versity_bucket: Bucket, access_key: str | None, secret_key: str) -> None:
    store = versity_bucket.new_store(session=session(access_key, secret_key))
    with pytest.raises(StoreRefused) as refused:
        store.put(seal(versity_bucket.disk, "a/x.gz", b"content"))
    assert refused.value.reason == "bad_credentials", str(refused.value)
    with pytest.raises(StoreRefused):
        store.check()


def test_bytes_that_change_on_the_way_are_refused_by_the_store(versity_bucket: Bucket) -> None:
    """The digest is sent along, and a server that checks it stores nothing else."""
    obj = seal(versity_bucket.disk, "a/x.gz", b"content")
    requests = S3Requests(versity_bucket.destination(), connections=1, session=session())
    with pytest.raises(RequestFailed) as failed:
        requests.put_object(
            obj.key,
            body(versity_bucket.disk, obj.path, 0, obj.size),
            obj.size,
            Description("text/plain", {}),
            sha256=bytes(32),
            create_only=True,
        )
    requests.close()
    verdict = judge(failed.value.failure)
    assert isinstance(verdict, StoreUnavailable)
    assert verdict.reason == "bad_digest"
    assert versity_bucket.listing() == []
