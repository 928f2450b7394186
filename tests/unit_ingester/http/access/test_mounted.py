"""A Secret's directory: what is read of it, when it is read again, and what happens when that fails."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from s3sink_ingester.errors import ConfigError
from s3sink_ingester.http.access.access import read_keys
from s3sink_ingester.http.access.keys import digest
from s3sink_ingester.http.access.mounted import MAX_FILE_BYTES, Secret, Unusable, fingerprint_of, generation
from s3sink_ingester.http.stats import ReloadStats

from tests.rig.mounted import MountedSecret

Digests = frozenset[bytes]


def digests(*keys: bytes) -> Digests:
    return frozenset(map(digest, keys))


class Taker:
    """What a Secret gave, in order."""

    def __init__(self, directory: Path) -> None:
        self.taken: list[Digests] = []
        self.stats = ReloadStats()
        self.secret: Secret[Digests] = Secret(
            "source.auth.path", str(directory), read_keys, self.taken.append, self.stats
        )


async def test_a_mounted_secret_is_read_again_when_it_is_swapped(tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path / "auth", {"a": b"one\n", "b": b" two"})
    taker = Taker(mounted.path)
    taker.secret.load()
    await taker.secret.refresh()
    assert taker.taken == [digests(b"one", b"two")]
    mounted.write({"b": b"two", "c": b"three"})
    await taker.secret.refresh()
    await taker.secret.refresh()
    assert taker.taken[1:] == [digests(b"two", b"three")]
    assert (taker.stats.taken, taker.stats.failures) == (1, 0)


async def test_a_plain_directory_will_do(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    taker = Taker(tmp_path)
    taker.secret.load()
    for change in (b"two", b"uno"):
        (tmp_path / "a").write_bytes(change)
        os.utime(tmp_path / "a", ns=(0, 0))  # whatever a tool does to the times
        await taker.secret.refresh()
    (tmp_path / "b").write_bytes(b"three")
    await taker.secret.refresh()
    (tmp_path / "a").unlink()
    await taker.secret.refresh()
    assert taker.taken == [
        digests(b"one"), digests(b"two"), digests(b"uno"), digests(b"uno", b"three"), digests(b"three"),
    ]  # fmt: skip


def test_what_is_no_key_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "good").write_bytes(b"one")
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "several").write_bytes(b"hunter2\nhunter3")
    (tmp_path / ".hidden").write_bytes(b"two")
    (tmp_path / "folder").mkdir()
    (tmp_path / "nowhere").symlink_to("not-there")
    taker = Taker(tmp_path)
    taker.secret.load()
    assert taker.taken == [digests(b"one")]
    assert "the file empty is empty" in caplog.text
    assert "the file several holds no key" in caplog.text
    assert "hunter" not in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't be read: No such file or directory"),
        ({}, "no file in it holds an API key"),
        ({"a": b" "}, "no file in it holds an API key; the file a is empty"),
        ({"a": b"x" * (MAX_FILE_BYTES + 1)}, "a is too large"),
    ],
)
def test_what_can_not_be_used_at_the_start(
    tmp_path: Path, content: dict[str, bytes] | None, message: str
) -> None:
    directory = tmp_path / "auth"
    if content is not None:
        MountedSecret(directory, content)
    with pytest.raises(ConfigError) as refused:
        Taker(directory).secret.load()
    assert str(refused.value) == f"source.auth.path: {directory}{' ' if content is None else ': '}{message}"


async def test_what_can_not_be_used_later_leaves_what_was_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mounted = MountedSecret(tmp_path / "auth", {"a": b"one"})
    taker = Taker(mounted.path)
    taker.secret.load()
    mounted.write({})
    for _ in range(3):
        await taker.secret.refresh()
    assert len(taker.taken) == 1
    assert taker.stats.failures == 3
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1, "once, not every second"
    assert told[0].startswith("source.auth.path: ")
    assert told[0].endswith("no file in it holds an API key; what was in use stays in use")
    mounted.write({"a": b"two"})
    await taker.secret.refresh()
    assert taker.taken[1:] == [digests(b"two")]
    mounted.write({})
    await taker.secret.refresh()
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 2


async def test_a_fault_of_ours_does_not_end_the_looking(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_bytes(b"one")
    results: list[Digests | Exception] = [digests(b"one"), ZeroDivisionError("hunter2"), digests(b"two")]

    def read(_: Path) -> Digests:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    taken: list[Digests] = []
    secret = Secret("source.auth.path", str(tmp_path), read, taken.append, ReloadStats())
    secret.load()
    (tmp_path / "a").write_bytes(b"other")
    await secret.refresh()
    await secret.refresh()
    assert taken == [digests(b"one"), digests(b"two")]
    assert "ZeroDivisionError" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_swap_in_the_middle_of_reading_is_no_failure(tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path / "auth", {"a": b"one"})
    swaps = [b"two", b"three"]

    def read(directory: Path) -> Digests:
        if swaps:
            mounted.write({"a": swaps.pop()})
        return read_keys(directory)

    taken: list[Digests] = []
    stats = ReloadStats()
    secret = Secret("source.auth.path", str(mounted.path), read, taken.append, stats)
    secret.load()
    assert taken == [digests(b"two")]
    swaps.append(b"four")
    mounted.write({"a": b"five"})
    await secret.refresh()
    assert taken[1:] == [digests(b"four")]
    assert (stats.taken, stats.failures) == (1, 0)


def test_all_files_are_of_one_generation(tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path / "auth", {"a": b"one", "b": b"two"})
    before = generation(mounted.path)
    first = fingerprint_of(before)
    mounted.write({"a": b"one", "b": b"two"})
    with pytest.raises(FileNotFoundError):
        fingerprint_of(before)
    with pytest.raises((Unusable, FileNotFoundError)):
        read_keys(before)
    assert fingerprint_of(generation(mounted.path)) != first
