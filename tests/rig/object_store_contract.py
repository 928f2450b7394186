"""The contract of an object store (``s3sink_ingester.objects``) as tests: a class to inherit, run on every store."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from s3sink_ingester.errors import ObjectCorrupt
from s3sink_ingester.objects import ObjectStore, PutOutcome, SealedObject
from s3sink_ingester.records import Kind

if TYPE_CHECKING:
    from s3sink_ingester.disk import Disk


def seal(disk: Disk, key: str, content: bytes, *, chunk_id: int = 1, oldest_at: float = 0.0) -> SealedObject:
    """Put ``content`` on the volume as a sealed file and describe it."""
    path = f"{chunk_id:016x}.obj"
    file = disk.create(path)
    file.append(content)
    file.sync()
    file.close()
    return SealedObject(
        chunk_id=chunk_id,
        key=key,
        path=path,
        size=len(content),
        sha256=hashlib.sha256(content).digest(),
        records=content.count(b"\n"),
        raw_bytes=3 * len(content),
        kind=Kind.DATA,
        sealed_at=oldest_at + 1.0,
        oldest_at=oldest_at,
    )


def noise(size: int, seed: int = 0) -> bytes:
    """``size`` bytes that look random and are the same each time."""
    block = hashlib.sha256(str(seed).encode()).digest()
    return hashlib.shake_128(block).digest(size)


class Subject(ABC):
    """A store under test, and a look into it that doesn't go through it."""

    disk: Disk
    can_tell: bool = True
    """Whether it notices that an object is there already."""

    @abstractmethod
    def new_store(self) -> ObjectStore:
        """A store on the same destination, as another process would open it."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """The content of an object."""

    @abstractmethod
    def listing(self) -> list[str]:
        """All objects, sorted."""


class ObjectStoreContract:
    """Tests that every store passes. A subclass gives the fixture ``subject``."""

    def test_an_object_is_its_file(self, subject: Subject) -> None:
        obj = seal(subject.disk, "LAX/pod-0-1234abcd-01.gz", b"one\ntwo\n")
        assert subject.new_store().put(obj) is PutOutcome.CREATED
        assert subject.read(obj.key) == b"one\ntwo\n"
        assert subject.listing() == [obj.key]

    @pytest.mark.parametrize("size", [1, 65_536, 6_000_001])
    def test_any_size(self, subject: Subject, size: int) -> None:
        obj = seal(subject.disk, "a/x.gz", noise(size))
        assert subject.new_store().put(obj) is PutOutcome.CREATED
        assert subject.read(obj.key) == noise(size)

    def test_a_second_put_changes_nothing(self, subject: Subject) -> None:
        obj = seal(subject.disk, "a/x.gz", noise(1000))
        store = subject.new_store()
        store.put(obj)
        again = store.put(obj)
        assert again is (PutOutcome.ALREADY_THERE if subject.can_tell else PutOutcome.CREATED)
        assert subject.read(obj.key) == noise(1000)
        assert subject.listing() == [obj.key]

    def test_a_later_process_puts_the_same(self, subject: Subject) -> None:
        obj = seal(subject.disk, "a/x.gz", noise(1000))
        first = subject.new_store()
        first.put(obj)
        first.close()
        again = subject.new_store().put(obj)
        assert again is (PutOutcome.ALREADY_THERE if subject.can_tell else PutOutcome.CREATED)
        assert subject.read(obj.key) == noise(1000)

    @pytest.mark.parametrize(
        "prefix",
        [
            "customer=7/dt=2026-11-24/",
            "a b+c/ü-日本/",
            "%2F%25/x%3D1/",
            "errors/no-match/2026/11/24/05/",
            "~!@$&()_-.,;/",
            "",
        ],
    )
    def test_keys_come_out_as_they_went_in(self, subject: Subject, prefix: str) -> None:
        obj = seal(subject.disk, f"{prefix}pod-0-1234abcd-01.gz", b"x\n")
        assert subject.new_store().put(obj) is PutOutcome.CREATED
        assert subject.listing() == [obj.key]
        assert subject.read(obj.key) == b"x\n"

    def test_a_file_with_other_bytes_is_corrupt(self, subject: Subject) -> None:
        obj = seal(subject.disk, "a/x.gz", b"good bytes")
        file = subject.disk.open(obj.path)
        file.pwrite(b"evil", 0)
        file.close()
        with pytest.raises(ObjectCorrupt, match="SHA-256"):
            subject.new_store().put(obj)
        assert subject.listing() == []

    def test_a_cut_file_is_corrupt(self, subject: Subject) -> None:
        obj = seal(subject.disk, "a/x.gz", b"good bytes")
        file = subject.disk.open(obj.path)
        file.truncate(4)
        file.close()
        with pytest.raises(ObjectCorrupt, match="4 bytes, 10 were sealed"):
            subject.new_store().put(obj)
        assert subject.listing() == []

    def test_a_missing_file_is_corrupt(self, subject: Subject) -> None:
        obj = seal(subject.disk, "a/x.gz", b"good bytes")
        subject.disk.unlink(obj.path)
        with pytest.raises(ObjectCorrupt):
            subject.new_store().put(obj)
        assert subject.listing() == []

    def test_the_file_stays_as_it_was(self, subject: Subject) -> None:
        obj = seal(subject.disk, "a/x.gz", noise(1000))
        subject.new_store().put(obj)
        assert subject.disk.read(obj.path) == noise(1000)

    def test_different_objects_at_the_same_time(self, subject: Subject) -> None:
        objects = [seal(subject.disk, f"p{i % 3}/x.{i}.gz", noise(50_000, i), chunk_id=i) for i in range(12)]
        store = subject.new_store()
        with ThreadPoolExecutor(4) as threads:
            outcomes = list(threads.map(store.put, objects))
        assert outcomes == [PutOutcome.CREATED] * 12
        assert {key: subject.read(key) for key in subject.listing()} == {
            obj.key: noise(50_000, obj.chunk_id) for obj in objects
        }

    def test_the_same_name_in_two_prefixes_at_the_same_time(self, subject: Subject) -> None:
        objects = [seal(subject.disk, f"p{i}/x.gz", noise(200_000, i), chunk_id=i) for i in range(4)]
        store = subject.new_store()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(store.put, objects))
        assert [subject.read(obj.key) for obj in objects] == [noise(200_000, i) for i in range(4)]

    def test_the_check_creates_no_object(self, subject: Subject) -> None:
        store = subject.new_store()
        store.check()
        store.check()
        assert subject.listing() == []
