"""What single PUTs say, and what a store does when it doesn't know a header."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest
from s3sink_ingester.config import AddressingStyle, Encryption, EncryptionType
from s3sink_ingester.errors import StoreRefused, StoreUnavailable
from s3sink_ingester.objects import PutOutcome
from s3sink_ingester.objects.s3 import S3Store

from tests.rig.flaky_proxy import Fault, Request, flaky_proxy
from tests.rig.object_store_contract import noise, seal
from tests.rig.stores import SMALL_PARTS, Bucket, session


def test_headers_of_a_put(bucket: Bucket) -> None:
    obj = seal(bucket.disk, "a/x.gz", b"one\ntwo\n")
    with flaky_proxy(bucket.server.endpoint) as proxy:
        bucket.new_store(proxy.endpoint).put(obj)
    headers = proxy.requests[0].headers
    assert headers["x-amz-checksum-sha256"] == base64.b64encode(obj.sha256).decode()
    assert headers["x-amz-content-sha256"] == obj.sha256.hex(), "signed: this is plain HTTP"
    assert headers["if-none-match"] == "*"
    assert headers["content-type"] == "application/gzip"
    assert headers["content-length"] == "8"
    assert "content-encoding" not in headers
    assert "transfer-encoding" not in headers


def test_metadata_tells_the_records(bucket: Bucket) -> None:
    obj = seal(bucket.disk, "a/x.gz", b"one\ntwo\n")
    bucket.new_store().put(obj)
    head = bucket.client.head_object(Bucket=bucket.name, Key="a/x.gz")
    assert head["Metadata"] == {"records": "2", "raw-bytes": "24", "sha256": obj.sha256.hex()}
    assert head["ContentType"] == "application/gzip"


def test_a_put_of_a_taken_key_is_answered_412(bucket: Bucket) -> None:
    obj = seal(bucket.disk, "a/x.gz", b"content")
    bucket.client.put_object(Bucket=bucket.name, Key="a/x.gz", Body=b"content")
    with flaky_proxy(bucket.server.endpoint) as proxy:
        assert bucket.new_store(proxy.endpoint).put(obj) is PutOutcome.ALREADY_THERE
    assert proxy.operations == ["PutObject"]


def test_encryption_and_storage_class(bucket: Bucket) -> None:
    destination = bucket.destination(
        encryption=Encryption(type=EncryptionType.KMS, kms_key_id="alias/s3sink"), storage_class="STANDARD_IA"
    )
    obj = seal(bucket.disk, "a/x.gz", b"content")
    with flaky_proxy(bucket.server.endpoint) as proxy:
        # Not every server takes them; what matters is that they are asked for.
        proxy.decide = lambda _: Fault.FORBIDDEN
        through = dataclasses.replace(destination, endpoint=proxy.endpoint)
        store = S3Store(through, SMALL_PARTS, bucket.disk, session=session())
        with pytest.raises(StoreRefused):
            store.put(obj)
        with pytest.raises(StoreRefused):
            store.check()
    assert proxy.operations == ["PutObject", "CreateMultipartUpload"]
    for request in proxy.requests:
        assert request.headers["x-amz-server-side-encryption"] == "aws:kms"
        assert request.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/s3sink"
        assert request.headers["x-amz-storage-class"] == "STANDARD_IA"


@pytest.mark.parametrize("style", [AddressingStyle.AUTO, AddressingStyle.PATH])
def test_at_an_endpoint_the_bucket_is_in_the_path(bucket: Bucket, style: AddressingStyle) -> None:
    obj = seal(bucket.disk, "a/x.gz", b"content")
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.decide = lambda _: Fault.FORBIDDEN
        destination = bucket.destination(proxy.endpoint, bucket="the-bucket", addressing_style=style)
        with pytest.raises(StoreRefused):
            S3Store(destination, SMALL_PARTS, bucket.disk, session=session()).put(obj)
    assert proxy.requests[0].path == "/the-bucket/a/x.gz"


def test_virtual_addressing_puts_the_bucket_into_the_host_name(bucket: Bucket) -> None:
    destination = bucket.destination(
        "http://s3.invalid", bucket="the-bucket", addressing_style=AddressingStyle.VIRTUAL
    )
    store = S3Store(destination, SMALL_PARTS, bucket.disk, session=session())
    with pytest.raises(StoreUnavailable, match=r"http://the-bucket\.s3\.invalid\"") as unavailable:
        store.put(seal(bucket.disk, "a/x.gz", b"content"))
    assert unavailable.value.reason == "unreachable", "no such host: RFC 6761"


def refuse(*headers: str) -> Any:
    def decide(request: Request) -> Fault | None:
        return Fault.NOT_IMPLEMENTED if any(header in request.headers for header in headers) else None

    return decide


@pytest.mark.parametrize(
    ("unknown", "first_puts"),
    [
        ((), 1),
        (("if-none-match",), 2),
        (("x-amz-checksum-sha256",), 3),
        (("if-none-match", "x-amz-checksum-sha256"), 4),
    ],
)
def test_headers_that_the_store_does_not_know_are_found_out_once(
    bucket: Bucket, unknown: tuple[str, ...], first_puts: int
) -> None:
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.decide = refuse(*unknown)
        store = bucket.new_store(proxy.endpoint)
        assert store.put(seal(bucket.disk, "a/1.gz", b"first", chunk_id=1)) is PutOutcome.CREATED
        assert len(proxy.requests) == first_puts
        assert store.put(seal(bucket.disk, "a/2.gz", b"second", chunk_id=2)) is PutOutcome.CREATED
        assert len(proxy.requests) == first_puts + 1
    last = proxy.requests[-1].headers
    assert not any(header in last for header in unknown)
    known = {"if-none-match", "x-amz-checksum-sha256"} - set(unknown)
    assert known <= last.keys()
    assert bucket.read("a/2.gz") == b"second"


def test_a_store_that_implements_nothing_is_refused_and_keeps_its_chance(bucket: Bucket) -> None:
    obj = seal(bucket.disk, "a/x.gz", b"content")
    with flaky_proxy(bucket.server.endpoint) as proxy:
        store = bucket.new_store(proxy.endpoint)
        proxy.decide = lambda _: Fault.NOT_IMPLEMENTED
        with pytest.raises(StoreRefused) as refused:
            store.put(obj)
        assert refused.value.reason == "not_implemented"
        proxy.decide = lambda _: None
        assert store.put(obj) is PutOutcome.CREATED
    assert proxy.requests[-1].headers["if-none-match"] == "*"


def test_the_check_begins_and_aborts_an_upload(bucket: Bucket) -> None:
    with flaky_proxy(bucket.server.endpoint) as proxy:
        bucket.new_store(proxy.endpoint, probe_key="data/.s3sink-probe").check()
    assert proxy.operations == ["CreateMultipartUpload", "AbortMultipartUpload"]
    assert all(request.path.startswith(f"/{bucket.name}/data/.s3sink-probe?") for request in proxy.requests)
    assert bucket.listing() == []
    assert bucket.unfinished() == []


def test_a_check_whose_abort_is_refused_passes(bucket: Bucket) -> None:
    """Credentials that may only put are enough for objects that go in one piece."""
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.script.extend([None, Fault.FORBIDDEN])
        bucket.new_store(proxy.endpoint).check()


def test_a_check_of_a_store_without_multipart_passes(bucket: Bucket) -> None:
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.script.append(Fault.NOT_IMPLEMENTED)
        bucket.new_store(proxy.endpoint).check()


def test_no_bucket(bucket: Bucket) -> None:
    destination = bucket.destination(bucket="there-is-no-such-bucket")
    store = S3Store(destination, SMALL_PARTS, bucket.disk, session=session())
    for attempt in (store.check, lambda: store.put(seal(bucket.disk, "a/x.gz", noise(10)))):
        with pytest.raises(StoreRefused, match="NoSuchBucket") as refused:
            attempt()
        assert refused.value.reason == "no_such_bucket"


def test_an_endpoint_that_is_no_url(bucket: Bucket) -> None:
    destination = bucket.destination("not a url")
    with pytest.raises(StoreRefused) as refused:
        S3Store(destination, SMALL_PARTS, bucket.disk, session=session()).check()
    assert refused.value.reason == "bad_settings"
