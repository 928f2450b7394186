"""What both disks do, so that what is tested on the fake one holds on the real one."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from s3sink_ingester.disk import Disk, parent, write_atomically
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.errors import VolumeLocked

MIB = 1 << 20


@pytest.fixture(params=["fake", "real"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return FakeDisk() if request.param == "fake" else RealDisk(str(tmp_path / "volume"))


def put(disk: Disk, path: str, data: bytes) -> None:
    file = disk.create(path)
    file.append(data)
    file.close()


def test_appends_follow_each_other(disk: Disk) -> None:
    file = disk.create("a")
    file.append(b"one ")
    file.append(bytearray(b"two "))
    file.append(memoryview(b"three"))
    file.close()
    assert disk.read("a") == b"one two three"


def test_an_opened_file_is_appended_at_its_end(disk: Disk) -> None:
    put(disk, "a", b"one ")
    file = disk.open("a")
    file.append(b"two")
    file.close()
    assert disk.read("a") == b"one two"


def test_a_write_at_a_position_leaves_the_append_position(disk: Disk) -> None:
    file = disk.create("a")
    file.append(b"abcdef")
    file.pwrite(b"XY", 1)
    file.append(b"g")
    file.close()
    assert disk.read("a") == b"aXYdefg"


def test_a_write_behind_the_end_leaves_zeros(disk: Disk) -> None:
    file = disk.create("a")
    file.pwrite(b"x", 3)
    file.close()
    assert disk.read("a") == b"\0\0\0x"


def test_an_empty_write(disk: Disk) -> None:
    file = disk.create("a")
    file.append(b"")
    file.close()
    assert disk.size("a") == 0


def test_many_small_reads_while_others_write(disk: Disk) -> None:
    put(disk, "a", bytes(1 << 17))
    reader = disk.reader("a")
    assert reader.read(0, 3) == bytes(3)
    file = disk.open("a")
    file.pwrite(b"abc", 70_000)
    assert reader.read(70_000, 3) == b"abc", "what was written is read, whether it is synced or not"
    file.pwrite(b"x", 70_001)
    assert reader.read(70_000, 3) == b"axc"
    assert reader.read((1 << 17) - 1, 5) == bytes(1), "up to the end"
    disk.rename("a", "b")
    assert reader.read(70_000, 3) == b"axc", "the file, whatever it is called"
    reader.close()


def test_a_reader_of_a_file_that_is_not_there(disk: Disk) -> None:
    with pytest.raises(FileNotFoundError):
        disk.reader("a")


def test_a_large_write(disk: Disk) -> None:
    data = bytes(range(256)) * (20 << 10)
    put(disk, "a", data)
    assert disk.read("a") == data
    assert bytes(disk.view("a")) == data


def test_a_reserved_file_is_zeros_and_is_written_from_its_start(disk: Disk) -> None:
    file = disk.create("a", 5000)
    assert disk.size("a") == 5000
    file.append(b"x")
    file.sync()
    file.close()
    assert disk.read("a") == b"x" + bytes(4999)


def test_truncate_cuts_and_appends_go_on_there(disk: Disk) -> None:
    file = disk.create("a")
    file.append(b"abcdef")
    file.truncate(2)
    file.append(b"X")
    file.close()
    assert disk.read("a") == b"abX"


def test_reading_parts(disk: Disk) -> None:
    whole = bytes(range(100)) * 30_000
    put(disk, "a", whole)
    assert disk.read("a", 7) == whole[7:]
    assert disk.read("a", 7, 3) == whole[7:10]
    assert disk.read("a", 0, 0) == b""
    assert disk.read("a", len(whole) - 2, 10) == whole[-2:]
    assert disk.read("a", len(whole) + 5, 10) == b""
    assert disk.read("a", 1, 2 * MIB) == whole[1 : 1 + 2 * MIB]
    assert disk.read("a", len(whole) - 5, 2 * MIB) == whole[-5:]


def test_a_view_may_be_empty(disk: Disk) -> None:
    put(disk, "a", b"abc")
    assert disk.view("a").readonly
    assert bytes(disk.view("a")) == b"abc"
    put(disk, "b", b"")
    assert bytes(disk.view("b")) == b""


def test_create_is_exclusive(disk: Disk) -> None:
    put(disk, "a", b"kept")
    with pytest.raises(FileExistsError) as raised:
        disk.create("a")
    assert raised.value.errno == errno.EEXIST
    with pytest.raises(FileExistsError):
        disk.create("a", 100)
    assert disk.read("a") == b"kept"


MISSING: dict[str, Callable[[Disk], object]] = {
    "open": lambda disk: disk.open("none"),
    "read": lambda disk: disk.read("none"),
    "view": lambda disk: disk.view("none"),
    "rename": lambda disk: disk.rename("none", "a"),
    "unlink": lambda disk: disk.unlink("none"),
    "listdir": lambda disk: disk.listdir("none"),
    "create": lambda disk: disk.create("none/a"),
}


@pytest.mark.parametrize("operation", MISSING)
def test_what_is_not_there(disk: Disk, operation: str) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        MISSING[operation](disk)
    assert raised.value.errno == errno.ENOENT
    assert disk.size("none") is None
    disk.unlink("none", missing_ok=True)


def test_rename_replaces(disk: Disk) -> None:
    put(disk, "a", b"new")
    put(disk, "b", b"old")
    disk.rename("a", "b")
    assert disk.read("b") == b"new"
    assert disk.size("a") is None
    disk.mkdir("d")
    disk.rename("b", "d/c")
    disk.sync_dir("d")
    disk.sync_dir("")
    assert disk.listdir("d") == {"c": 3}
    assert disk.read("d/c") == b"new"


def test_an_open_file_keeps_its_content_when_its_name_goes(disk: Disk) -> None:
    file = disk.create("a")
    file.append(b"x")
    view = disk.view("a")
    disk.rename("a", "b")
    file.append(b"y")
    assert disk.read("b") == b"xy"
    disk.unlink("b")
    file.append(b"z")
    file.sync()
    file.close()
    put(disk, "a", b"another")
    assert disk.read("a") == b"another"
    assert bytes(view) == b"x"


def test_directories(disk: Disk) -> None:
    disk.mkdir("d")
    disk.mkdir("d")
    disk.mkdir("d/e")
    put(disk, "top", b"1")
    put(disk, "d/a", b"22")
    put(disk, "d/e/b", b"333")
    assert disk.listdir("d") == {"a": 2}
    assert disk.listdir("d/e") == {"b": 3}
    assert disk.listdir("")["top"] == 1
    disk.sync_fs()


def test_closing_twice(disk: Disk) -> None:
    file = disk.create("a")
    file.close()
    file.close()


def test_usage(disk: Disk) -> None:
    usage = disk.usage()
    assert 0 < usage.free <= usage.total


def test_the_lock_is_exclusive_until_it_is_let_go(disk: Disk) -> None:
    lock = disk.lock("lock")
    for _ in range(2):
        with pytest.raises(VolumeLocked):
            disk.lock("lock")
    lock.close()
    lock.close()
    disk.lock("lock").close()


def test_small_files_are_replaced_whole(disk: Disk) -> None:
    write_atomically(disk, "a", b"one")
    put(disk, "a.tmp", b"left by a crash")
    write_atomically(disk, "a", b"two")
    assert disk.read("a") == b"two"
    assert set(disk.listdir("")) == {"a"}
    disk.mkdir("d")
    write_atomically(disk, "d/b", b"three")
    assert disk.listdir("d") == {"b": 5}


def test_parents() -> None:
    assert [parent(path) for path in ("a", "d/a", "d/e/a")] == ["", "d", "d/e"]


# ---- the real one


def test_a_root_is_made_with_all_above_it(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b" / "c"
    disk = RealDisk(str(root))
    put(disk, "file", b"x")
    assert (root / "file").read_bytes() == b"x"
    assert RealDisk(str(root)).read("file") == b"x"
    assert disk.locate("d/x") == f"{root}/d/x"
    assert disk.locate("") == str(root)


def test_a_relative_root_survives_a_change_of_directory(tmp_path: Path) -> None:
    with chdir(tmp_path):
        disk = RealDisk("volume")
    put(disk, "a", b"x")
    assert (tmp_path / "volume" / "a").read_bytes() == b"x"


def test_links_and_directories_are_not_listed_as_files(tmp_path: Path) -> None:
    disk = RealDisk(str(tmp_path))
    put(disk, "a", b"x")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "dir").mkdir()
    assert disk.listdir("") == {"a": 1}


HOLD = """
import sys
from s3sink_ingester.disk.real import RealDisk
lock = RealDisk(sys.argv[1]).lock("lock")
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_is_refused_until_the_holder_is_gone(tmp_path: Path) -> None:
    disk = RealDisk(str(tmp_path))
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(VolumeLocked, match=f"pid {holder.pid} "):
            disk.lock("lock")
        holder.kill()  # however it ends
        holder.wait()
    disk.lock("lock").close()


def test_a_lock_is_not_inherited_by_children(tmp_path: Path) -> None:
    disk = RealDisk(str(tmp_path))
    lock = disk.lock("lock")
    with subprocess.Popen(["sleep", "60"]) as child:
        lock.close()
        disk.lock("lock").close()
        child.kill()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    disk = RealDisk(str(tmp_path))

    def open_descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_descriptors()
    put(disk, "a", b"x")
    disk.read("a")
    bytes(disk.view("a"))
    disk.sync_fs()
    disk.sync_dir("")
    with pytest.raises(FileExistsError):
        disk.create("a")
    held = disk.lock("lock")
    with pytest.raises(VolumeLocked):
        disk.lock("lock")
    held.close()
    assert open_descriptors() == before
