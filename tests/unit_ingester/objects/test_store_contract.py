"""The contract on the stores that need no server."""

from __future__ import annotations

from pathlib import Path

import pytest
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.objects.fake import FakeStore
from s3sink_ingester.objects.files import FileStore

from tests.rig.object_store_contract import ObjectStoreContract, Subject


class FakeSubject(Subject):
    def __init__(self, directory: Path) -> None:
        self.disk = RealDisk(str(directory / "volume"))
        self.stored: dict[str, bytes] = {}

    def new_store(self) -> FakeStore:
        store = FakeStore(self.disk)
        store.objects = self.stored
        return store

    def read(self, key: str) -> bytes | None:
        return self.stored.get(key)

    def listing(self) -> list[str]:
        return sorted(self.stored)


class FileSubject(Subject):
    def __init__(self, directory: Path) -> None:
        self.disk = RealDisk(str(directory / "volume"))
        self.root = directory / "objects"

    def new_store(self) -> FileStore:
        return FileStore(str(self.root), self.disk)

    def read(self, key: str) -> bytes | None:
        path = self.root / key
        return path.read_bytes() if path.is_file() else None

    def listing(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())


class TestFakeStore(ObjectStoreContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return FakeSubject(tmp_path)


class TestFileStore(ObjectStoreContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return FileSubject(tmp_path)
