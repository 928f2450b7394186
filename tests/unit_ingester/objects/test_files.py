"""What the file store does beyond the contract."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.errors import StoreRefused
from s3sink_ingester.objects import PutOutcome
from s3sink_ingester.objects.files import FileStore

from tests.rig.object_store_contract import seal


@pytest.fixture
def disk(tmp_path: Path) -> RealDisk:
    return RealDisk(str(tmp_path / "volume"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.mark.parametrize(
    "key", ["../x.gz", "a/../../x.gz", "/etc/x.gz", "a//x.gz", "a/./x.gz", "a/", "", "a\0b/x.gz", ".."]
)
def test_a_key_that_leads_elsewhere_is_refused(disk: RealDisk, root: Path, key: str) -> None:
    with pytest.raises(StoreRefused) as refused:
        FileStore(str(root), disk).put(seal(disk, key, b"x"))
    assert refused.value.reason == "bad_key"
    assert not root.exists()


def test_a_part_that_no_file_system_takes_is_refused(disk: RealDisk, root: Path) -> None:
    with pytest.raises(StoreRefused) as refused:
        FileStore(str(root), disk).put(seal(disk, "x" * 300 + "/x.gz", b"x"))
    assert refused.value.reason == "bad_key"


def test_another_file_in_its_place_is_never_overwritten(disk: RealDisk, root: Path) -> None:
    (root / "a").mkdir(parents=True)
    (root / "a" / "x.gz").write_bytes(b"mine")
    with pytest.raises(StoreRefused, match="move it away") as refused:
        FileStore(str(root), disk).put(seal(disk, "a/x.gz", b"ours"))
    assert refused.value.reason == "key_taken"
    assert (root / "a" / "x.gz").read_bytes() == b"mine"


def test_a_file_where_a_directory_should_be_is_refused(disk: RealDisk, root: Path) -> None:
    root.mkdir()
    (root / "a").write_bytes(b"")
    with pytest.raises(StoreRefused):
        FileStore(str(root), disk).put(seal(disk, "a/b/x.gz", b"x"))


def test_what_a_crash_left_is_overwritten(disk: RealDisk, root: Path) -> None:
    obj = seal(disk, "a/x.gz", b"content")
    store = FileStore(str(root), disk)
    store.put(obj)
    (root / "a" / "x.gz").unlink()
    temporary = root / ".s3sink-tmp"
    for name in ("a", "b"):  # leftovers of others don't matter either
        (temporary / name).write_bytes(b"part of something longer")
    assert store.put(obj) is PutOutcome.CREATED
    assert (root / "a" / "x.gz").read_bytes() == b"content"


def test_no_temporary_file_stays(disk: RealDisk, root: Path) -> None:
    store = FileStore(str(root), disk)
    obj = seal(disk, "a/x.gz", b"content")
    store.put(obj)
    store.put(obj)
    store.check()
    assert list((root / ".s3sink-tmp").iterdir()) == []


def test_objects_have_one_name_only(disk: RealDisk, root: Path) -> None:
    FileStore(str(root), disk).put(seal(disk, "a/x.gz", b"content"))
    assert (root / "a" / "x.gz").stat().st_nlink == 1


def test_a_root_that_is_a_file_fails_the_check(disk: RealDisk, root: Path) -> None:
    root.write_bytes(b"")
    with pytest.raises(StoreRefused):
        FileStore(str(root), disk).check()


class SlowDisk(RealDisk):
    """The first put waits in the middle of its copy until a second one is as far."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.copying = threading.Event()
        self.overtaken = threading.Event()
        self._reads = 0
        self._lock = threading.Lock()

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        with self._lock:
            self._reads += 1
            number = self._reads
        if number == 2:  # each put reads the file to check it, then to copy it
            self.copying.set()
            self.overtaken.wait(0.3)  # with nobody to overtake it goes on by itself
        elif number == 4:
            self.overtaken.set()
        return super().read(path, offset, length)


def test_a_put_beside_an_earlier_one_of_the_same_object_waits_for_it(tmp_path: Path, root: Path) -> None:
    disk = SlowDisk(str(tmp_path / "volume"))
    obj = seal(disk, "a/x.gz", b"content")
    store = FileStore(str(root), disk)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(store.put, obj)
        assert disk.copying.wait(10.0)
        second = threads.submit(store.put, obj)
        assert (first.result(), second.result()) == (PutOutcome.CREATED, PutOutcome.ALREADY_THERE)
    assert (root / "a" / "x.gz").read_bytes() == b"content"
    assert not list((root / ".s3sink-tmp").iterdir())
