"""Uploads in parts: what is stored, and that no part stays behind, whatever happens on the way."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable

import pytest
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.errors import ObjectCorrupt, StoreRefused, StoreUnavailable
from s3sink_ingester.objects import PutOutcome, SealedObject

from tests.rig.flaky_proxy import Fault, Request, flaky_proxy
from tests.rig.object_store_contract import noise, seal
from tests.rig.stores import Bucket

SIZE = (11 << 20) + 5  # two parts of 5 MiB and a short one


def sealed(bucket: Bucket) -> SealedObject:
    return seal(bucket.disk, "a/x.gz", noise(SIZE))


def on(operation: str, fault: Fault, *, times: int = 1) -> Callable[[Request], Fault | None]:
    """A fault for the first requests of one operation."""
    left = times

    def decide(request: Request) -> Fault | None:
        nonlocal left
        if request.operation != operation or left == 0:
            return None
        left -= 1
        return fault

    return decide


def assert_clean(bucket: Bucket) -> None:
    assert bucket.unfinished() == []
    assert bucket.sidecars() == []


def test_parts_become_one_object(bucket: Bucket) -> None:
    with flaky_proxy(bucket.server.endpoint) as proxy:
        assert bucket.new_store(proxy.endpoint).put(sealed(bucket)) is PutOutcome.CREATED
    assert proxy.operations == ["CreateMultipartUpload", *["UploadPart"] * 3, "CompleteMultipartUpload"]
    assert [r.headers["content-length"] for r in proxy.requests[1:4]] == ["5242880", "5242880", "1048581"]
    assert all("x-amz-checksum-sha256" in request.headers for request in proxy.requests[1:4])
    assert proxy.requests[4].headers["if-none-match"] == "*"
    assert bucket.read("a/x.gz") == noise(SIZE)
    head = bucket.client.head_object(Bucket=bucket.name, Key="a/x.gz")
    assert head["Metadata"]["sha256"] == hashlib.sha256(noise(SIZE)).hexdigest()
    assert head["ContentType"] == "application/gzip"
    assert_clean(bucket)


def test_a_second_put_finds_the_object_and_cleans_up(bucket: Bucket) -> None:
    obj = sealed(bucket)
    bucket.new_store().put(obj)
    assert bucket.new_store().put(obj) is PutOutcome.ALREADY_THERE
    assert bucket.read("a/x.gz") == noise(SIZE)
    assert_clean(bucket)


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
@pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.INTERNAL_ERROR, Fault.CONFLICT])
def test_a_failure_that_the_store_answers_leaves_nothing(
    bucket: Bucket, operation: str, fault: Fault
) -> None:
    obj = sealed(bucket)
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.decide = on(operation, fault)
        store = bucket.new_store(proxy.endpoint)
        with pytest.raises(StoreUnavailable):
            store.put(obj)
        assert_clean(bucket)
        assert bucket.listing() == []
        assert store.put(obj) is PutOutcome.CREATED
    assert bucket.read("a/x.gz") == noise(SIZE)
    assert_clean(bucket)


def test_an_error_inside_a_200_answer_is_an_error(bucket: Bucket) -> None:
    obj = sealed(bucket)
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.decide = on("CompleteMultipartUpload", Fault.ERROR_IN_200)
        store = bucket.new_store(proxy.endpoint)
        with pytest.raises(StoreUnavailable) as unavailable:
            store.put(obj)
        assert unavailable.value.reason == "internal_error"
        assert bucket.listing() == []
        assert_clean(bucket)
        assert store.put(obj) is PutOutcome.CREATED


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
def test_a_cut_connection_is_cleaned_up_by_the_next_put(bucket: Bucket, operation: str, fault: Fault) -> None:
    obj = sealed(bucket)
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.decide = on(operation, fault)
        with pytest.raises(StoreUnavailable):
            bucket.new_store(proxy.endpoint).put(obj)
        stored = operation == "CompleteMultipartUpload" and fault is Fault.CUT_AFTER
        assert len(bucket.sidecars()) == (operation != "CreateMultipartUpload")
        later = bucket.new_store(proxy.endpoint)  # another process: what it knows is on the volume
        assert later.put(obj) is (PutOutcome.ALREADY_THERE if stored else PutOutcome.CREATED)
    assert bucket.read("a/x.gz") == noise(SIZE)
    assert bucket.sidecars() == []
    # Only an upload whose id never arrived can stay behind, and it has no parts.
    assert len(bucket.unfinished()) == (operation == "CreateMultipartUpload" and fault is Fault.CUT_AFTER)


def cut_short(bucket: Bucket, obj: SealedObject) -> None:
    """Leave an unfinished upload with parts, as a crash does."""
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.script.extend([None, None, Fault.CUT_BEFORE])
        with pytest.raises(StoreUnavailable):
            bucket.new_store(proxy.endpoint).put(obj)
    assert len(bucket.unfinished()) == 1
    assert len(bucket.sidecars()) == 1


def test_the_old_upload_is_aborted_before_a_new_one_begins(bucket: Bucket) -> None:
    obj = sealed(bucket)
    cut_short(bucket, obj)
    with flaky_proxy(bucket.server.endpoint) as proxy:
        bucket.new_store(proxy.endpoint).put(obj)
        assert proxy.operations[:2] == ["AbortMultipartUpload", "CreateMultipartUpload"]
    assert_clean(bucket)


def test_an_upload_that_somebody_else_aborted_is_no_obstacle(bucket: Bucket) -> None:
    obj = sealed(bucket)
    cut_short(bucket, obj)
    bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=obj.key, UploadId=bucket.unfinished()[0])
    assert bucket.new_store().put(obj) is PutOutcome.CREATED
    assert_clean(bucket)


def test_an_abort_that_is_refused_is_no_obstacle(bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    obj = sealed(bucket)
    cut_short(bucket, obj)
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.decide = on("AbortMultipartUpload", Fault.FORBIDDEN)
        assert bucket.new_store(proxy.endpoint).put(obj) is PutOutcome.CREATED
    assert "stays behind" in caplog.text
    assert bucket.sidecars() == []


def test_a_store_that_is_away_is_asked_again_for_the_abort(bucket: Bucket) -> None:
    obj = sealed(bucket)
    cut_short(bucket, obj)
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.decide = on("AbortMultipartUpload", Fault.SLOW_DOWN)
        store = bucket.new_store(proxy.endpoint)
        with pytest.raises(StoreUnavailable):
            store.put(obj)
        assert proxy.operations == ["AbortMultipartUpload"]
        assert store.put(obj) is PutOutcome.CREATED
    assert_clean(bucket)


def test_a_file_that_went_bad_meanwhile_leaves_no_upload(bucket: Bucket) -> None:
    obj = sealed(bucket)
    cut_short(bucket, obj)
    file = bucket.disk.open(obj.path)
    file.pwrite(b"evil", SIZE - 4)
    file.close()
    with pytest.raises(ObjectCorrupt):
        bucket.new_store().put(obj)
    assert bucket.listing() == []
    assert_clean(bucket)


def test_a_note_that_cannot_be_read_is_no_obstacle(bucket: Bucket) -> None:
    obj = sealed(bucket)
    file = bucket.disk.create(obj.path + ".mpu")
    file.append(b'{"bucket": "b", "ke')
    file.close()
    assert bucket.new_store().put(obj) is PutOutcome.CREATED
    assert_clean(bucket)


@pytest.fixture
def full(bucket: Bucket) -> SealedObject:
    """A sealed object on a disk that takes no further byte."""
    disk = FakeDisk()
    bucket.disk = disk
    obj = sealed(bucket)

    def fail(operation: str, path: str) -> None:
        if operation == "write":
            raise OSError(errno.ENOSPC, "No space left on device", path)

    disk.before = fail
    return obj


def test_a_full_disk_does_not_keep_the_upload_from_happening(bucket: Bucket, full: SealedObject) -> None:
    assert bucket.new_store().put(full) is PutOutcome.CREATED
    assert bucket.read("a/x.gz") == noise(SIZE)


def test_a_failure_on_a_full_disk_leaves_nothing(bucket: Bucket, full: SealedObject) -> None:
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.decide = on("UploadPart", Fault.SLOW_DOWN)
        with pytest.raises(StoreUnavailable):
            bucket.new_store(proxy.endpoint).put(full)
    assert_clean(bucket)


def test_a_lost_upload_starts_again(versity_bucket: Bucket) -> None:
    """A lifecycle rule aborts uploads that take long; the next try begins with the first part."""
    bucket = versity_bucket  # moto answers 500 here
    obj = sealed(bucket)
    with flaky_proxy(bucket.server.endpoint) as proxy:
        store = bucket.new_store(proxy.endpoint)

        def abort_meanwhile(request: Request) -> None:
            if request.operation == "CompleteMultipartUpload":
                for upload_id in bucket.unfinished():
                    bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=obj.key, UploadId=upload_id)

        proxy.decide = abort_meanwhile
        with pytest.raises(StoreUnavailable) as unavailable:
            store.put(obj)
        assert unavailable.value.reason == "upload_lost"
        proxy.decide = lambda _: None
        assert store.put(obj) is PutOutcome.CREATED
    assert_clean(bucket)


def test_conditions_on_complete_that_the_store_does_not_know(bucket: Bucket) -> None:
    obj = sealed(bucket)

    def refuse_condition(request: Request) -> Fault | None:
        return Fault.NOT_IMPLEMENTED if "if-none-match" in request.headers else None

    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.decide = refuse_condition
        assert bucket.new_store(proxy.endpoint).put(obj) is PutOutcome.CREATED
    assert bucket.read("a/x.gz") == noise(SIZE)
    assert_clean(bucket)


def test_a_refusal_in_the_middle_leaves_nothing(bucket: Bucket) -> None:
    obj = sealed(bucket)
    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.decide = on("UploadPart", Fault.FORBIDDEN)
        with pytest.raises(StoreRefused):
            bucket.new_store(proxy.endpoint).put(obj)
    assert_clean(bucket)
