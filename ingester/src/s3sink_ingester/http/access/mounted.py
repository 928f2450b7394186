"""A mounted Secret: a directory of small files, read again when it changes.

Kubernetes writes a whole new directory and then swaps the symlink `..data`, through which the files that one sees
lead. So files are read behind that link: all of them are of one generation.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from s3sink_ingester.errors import ConfigError, Problem, S3SinkError
from s3sink_ingester.http.stats import ReloadStats

_log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_FILE_BYTES: Final = 1024 * 1024
"""Of a whole Secret, in Kubernetes."""

Fingerprint = tuple[tuple[str, int, int, int, int], ...]


class Unusable(S3SinkError):
    """What is in the directory can't be used. The message begins with a file's name, and shows nothing of it."""


class Secret(Generic[T]):
    """One directory. `load` at the start, `refresh` once a second or so.

    `read`: makes a value of the files, given by name; in a thread; raises `Unusable`. `take`: puts it in force, on
    the event loop.
    """

    def __init__(
        self,
        setting: str,
        directory: str,
        read: Callable[[Path], T],
        take: Callable[[T], None],
        stats: ReloadStats,
    ) -> None:
        """`setting`: where the directory is set, for messages."""
        self._setting = setting
        self._directory = Path(directory)
        self._read = read
        self._take = take
        self._stats = stats
        self._seen: Fingerprint | None = None
        self._complaint: str | None = None

    def load(self) -> None:
        """Read and take it. Raises ConfigError if it can't be used."""
        try:
            found = self._look(None)
        except (OSError, Unusable) as error:
            raise ConfigError([Problem(self._setting, self._told(error))]) from error
        if found is not None:
            self._use(*found)

    async def refresh(self) -> None:
        """Take what has changed. What can't be used is told, counted and tried again by the next call."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(None, self._look, self._seen)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next change must not go unseen
            self._stats.failures += 1
            self._complain(self._told(error))
            return
        self._complaint = None
        if found is not None:
            self._use(*found)
            self._stats.taken += 1
            _log.info("%s has changed and is in use", self._directory, extra={"setting": self._setting})

    def _use(self, fingerprint: Fingerprint, value: T) -> None:
        self._take(value)
        self._seen = fingerprint

    def _look(self, seen: Fingerprint | None) -> tuple[Fingerprint, T] | None:
        """What is there now; None: what was seen before."""
        while True:
            directory = generation(self._directory)
            try:
                # Before the files: a change in between is seen the next time.
                fingerprint = fingerprint_of(directory)
                return None if fingerprint == seen else (fingerprint, self._read(directory))
            except (OSError, Unusable):
                if generation(self._directory) == directory:
                    raise  # else it was swapped, and the old one removed, in the middle

    def _complain(self, message: str) -> None:
        if message != self._complaint:
            self._complaint = message
            _log.error("%s: %s; what was in use stays in use", self._setting, message)

    def _told(self, error: Exception) -> str:
        if isinstance(error, Unusable):
            return f"{self._directory}: {error}"
        why = error.strerror if isinstance(error, OSError) else None
        return f"{self._directory} can't be read: {why or type(error).__name__}"


def generation(directory: Path) -> Path:
    """The directory that the visible files are in now."""
    data = directory / "..data"
    return data.resolve() if data.is_dir() else directory


def visible_files(directory: Path) -> dict[str, os.stat_result]:
    """Files by name, without those that begin with a dot. Raises OSError."""
    found = {}
    for name in sorted(os.listdir(directory)):
        if name.startswith("."):
            continue
        try:
            status = os.stat(directory / name)
        except FileNotFoundError:  # it goes just now, or leads nowhere
            continue
        if stat.S_ISREG(status.st_mode):
            found[name] = status
    return found


def fingerprint_of(directory: Path) -> Fingerprint:
    """Another one whenever a file is another one. Raises OSError."""
    return tuple(
        (name, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        for name, status in visible_files(directory).items()
    )


def content(path: Path) -> bytes:
    """A small file. Raises `Unusable` if it is missing or large, OSError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise Unusable(f"{path.name} is missing") from None
    if len(data) > MAX_FILE_BYTES:
        raise Unusable(f"{path.name} is too large")
    return data
