"""The fake disk is as forgetful as POSIX allows: a test on it is worth what these are."""

from __future__ import annotations

import errno
from collections.abc import Callable
from random import Random

import pytest
from s3sink_ingester.disk.fake import CutShort, FakeDisk

TRIES = 200


def outcomes(make: Callable[[FakeDisk], None], look: Callable[[FakeDisk], object]) -> set[object]:
    """What may be found after a power loss."""
    found = set()
    for seed in range(TRIES):
        disk = FakeDisk()
        make(disk)
        found.add(look(disk.after_power_loss(Random(seed))))
    return found


def content(path: str) -> Callable[[FakeDisk], object]:
    return lambda disk: None if disk.size(path) is None else disk.read(path)


def written(disk: FakeDisk, *, sync: bool, sync_dir: bool) -> None:
    file = disk.create("a")
    file.append(b"ab")
    if sync:
        file.sync()
    if sync_dir:
        disk.sync_dir("")


def test_only_file_and_name_synced_is_durable() -> None:
    assert outcomes(lambda disk: written(disk, sync=True, sync_dir=True), content("a")) == {b"ab"}


def test_a_name_that_was_not_synced_may_be_gone() -> None:
    assert outcomes(lambda disk: written(disk, sync=True, sync_dir=False), content("a")) == {None, b"ab"}


def test_content_that_was_not_synced_may_be_gone_torn_or_zeros() -> None:
    found = outcomes(lambda disk: written(disk, sync=False, sync_dir=True), content("a"))
    assert found == {b"", b"a", b"ab", b"\0\0"}


def test_a_write_over_durable_content_may_be_torn() -> None:
    def make(disk: FakeDisk) -> None:
        written(disk, sync=True, sync_dir=True)
        disk.open("a").pwrite(b"XY", 0)

    assert outcomes(make, content("a")) == {b"ab", b"Xb", b"XY"}


def test_any_subset_of_writes_survives() -> None:
    def make(disk: FakeDisk) -> None:
        written(disk, sync=True, sync_dir=True)
        file = disk.open("a")
        file.pwrite(b"X", 0)
        file.pwrite(b"Y", 1)

    assert outcomes(make, content("a")) == {b"ab", b"Xb", b"aY", b"XY"}


def test_later_blocks_may_survive_without_earlier_ones() -> None:
    def make(disk: FakeDisk) -> None:
        disk.create("a").append(b"x" * 64)
        disk.sync_dir("")

    found = outcomes(make, content("a"))
    assert any(isinstance(one, bytes) and one.startswith(b"\0") and b"x" in one for one in found)


def test_a_truncation_may_be_undone() -> None:
    def make(disk: FakeDisk) -> None:
        written(disk, sync=True, sync_dir=True)
        disk.open("a").truncate(1)

    assert outcomes(make, content("a")) == {b"ab", b"a"}


def test_a_rename_in_a_directory_is_atomic() -> None:
    def make(disk: FakeDisk) -> None:
        written(disk, sync=True, sync_dir=True)
        disk.rename("a", "b")

    assert outcomes(make, lambda disk: tuple(disk.listdir(""))) == {("a",), ("b",)}


def test_a_move_to_another_directory_may_be_seen_in_both() -> None:
    def make(disk: FakeDisk) -> None:
        disk.mkdir("d")
        written(disk, sync=True, sync_dir=True)
        disk.rename("a", "d/a")

    names = outcomes(make, lambda disk: (*disk.listdir(""), *(f"d/{name}" for name in disk.listdir("d"))))
    assert names == {("a",), ("a", "d/a"), ("d/a",)}


def test_names_survive_in_the_order_of_their_changes() -> None:
    def make(disk: FakeDisk) -> None:
        for name in "abc":
            disk.create(name)

    assert outcomes(make, lambda disk: "".join(disk.listdir(""))) == {"", "a", "ab", "abc"}


def test_a_removed_file_may_be_back() -> None:
    def make(disk: FakeDisk) -> None:
        written(disk, sync=True, sync_dir=True)
        disk.unlink("a")

    assert outcomes(make, content("a")) == {b"ab", None}


def test_a_sync_of_the_file_system_makes_everything_durable() -> None:
    def make(disk: FakeDisk) -> None:
        written(disk, sync=False, sync_dir=False)
        disk.rename("a", "b")
        disk.sync_fs()

    assert outcomes(make, content("b")) == {b"ab"}


def test_a_directory_is_durable_with_what_was_named_before_it() -> None:
    def make(disk: FakeDisk) -> None:
        disk.create("a")
        disk.mkdir("d")

    assert outcomes(make, content("a")) == {b""}


def test_two_names_of_a_file_have_one_content() -> None:
    for seed in range(TRIES):
        disk = FakeDisk()
        disk.mkdir("d")
        file = disk.create("a")
        disk.sync_dir("")
        disk.rename("a", "d/a")
        disk.sync_dir("d")
        file.append(b"0123456789")
        found = disk.after_power_loss(Random(seed))
        if found.size("a") is not None:
            assert found.read("a") == found.read("d/a")


def test_a_kill_loses_nothing_and_makes_nothing_durable() -> None:
    def killed() -> FakeDisk:
        disk = FakeDisk()
        written(disk, sync=False, sync_dir=False)
        return disk.after_kill()

    assert killed().read("a") == b"ab"
    assert {content("a")(killed().after_power_loss(Random(seed))) for seed in range(TRIES)} >= {None, b"ab"}


def test_what_a_sync_failed_for_is_lost_although_the_next_one_succeeds() -> None:
    def make(disk: FakeDisk) -> None:
        written(disk, sync=True, sync_dir=True)
        file = disk.open("a")
        file.pwrite(b"XY", 0)

        def fail(operation: str, path: str) -> None:
            if operation == "sync":
                raise OSError(errno.EIO, "x")

        disk.before = fail
        with pytest.raises(OSError, match="x"):
            file.sync()
        disk.before = lambda operation, path: None
        assert disk.read("a") == b"XY", "who reads it sees nothing of that"
        file.sync()

    assert outcomes(make, content("a")) == {b"ab"}


def test_a_lock_ends_with_its_process() -> None:
    disk = FakeDisk()
    disk.lock("lock")
    disk.after_kill().lock("lock")
    disk.after_power_loss(Random(0)).lock("lock")


def test_a_full_disk() -> None:
    disk = FakeDisk(100)
    file = disk.create("a", 60)
    with pytest.raises(OSError, match="No space"):
        disk.create("b", 41)
    assert disk.size("b") is None
    disk.create("c", 30)
    file.pwrite(bytes(60), 0)  # in the room that it has
    with pytest.raises(OSError, match="No space") as raised:
        file.pwrite(bytes(61), 10)
    assert raised.value.errno == errno.ENOSPC
    assert disk.size("a") == 60
    disk.unlink("c")
    file.pwrite(bytes(61), 10)
    assert (disk.usage().total, disk.usage().free) == (100, 29)


def test_operations_can_be_observed_and_refused() -> None:
    disk = FakeDisk()
    seen: list[tuple[str, str]] = []

    def before(operation: str, path: str) -> None:
        seen.append((operation, path))

    disk.before = before
    file = disk.create("a")
    file.append(b"x")
    file.sync()
    file.truncate(0)
    disk.sync_dir("")
    disk.open("a")
    disk.read("a")
    disk.rename("a", "b")
    disk.unlink("b")
    disk.mkdir("d")
    disk.sync_fs()
    assert seen == [
        ("create", "a"),
        ("write", "a"),
        ("sync", "a"),
        ("truncate", "a"),
        ("sync_dir", ""),
        ("open", "a"),
        ("read", "a"),
        ("rename", "b"),
        ("unlink", "b"),
        ("mkdir", "d"),
        ("sync_fs", ""),
    ]


def test_a_write_that_is_cut_short() -> None:
    disk = FakeDisk()
    file = disk.create("a")

    def before(operation: str, path: str) -> None:
        raise CutShort(0.5, OSError(errno.ENOSPC, "full"))

    disk.before = before
    with pytest.raises(OSError, match="full"):
        file.append(b"abcdef")
    disk.before = lambda operation, path: None
    assert disk.read("a") == b"abc"
    file.append(b"X")
    assert disk.read("a") == b"Xbc", "the position is where it was"


def test_corruption_is_durable() -> None:
    def make(disk: FakeDisk) -> None:
        written(disk, sync=True, sync_dir=True)
        disk.corrupt("a", 1, b"!")

    assert outcomes(make, content("a")) == {b"a!"}


def test_a_bad_sector() -> None:
    disk = FakeDisk()
    disk.create("a").append(b"0123456789")
    disk.make_unreadable("a", 3, 2)
    disk.rename("a", "b")
    for found in (disk, disk.after_kill()):
        assert found.read("b", 0, 3) == b"012"
        assert found.reader("b").read(5, 5) == b"56789"
        with pytest.raises(OSError, match="Input/output error"):
            found.read("b", 2, 2)
        with pytest.raises(OSError, match="Input/output error"):
            found.read("b", 4)
        with pytest.raises(OSError, match="Input/output error"):
            found.view("b")
        with pytest.raises(OSError, match="Input/output error"):
            found.reader("b").read(4, 9)
    disk.mend("b")
    assert disk.read("b") == b"0123456789", "it was there all the time"
