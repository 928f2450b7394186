"""Objects as files below a directory: ``serve --local``, and tests. Beside ``disk`` the only user of os files.

An object is written under a temporary name, synced, and linked to its key: a link fails where a name exists, so
two puts can't both create it, and a reader never sees a part of it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from s3sink_ingester.errors import DestinationError, StoreRefused, StoreUnavailable
from s3sink_ingester.objects import PutOutcome
from s3sink_ingester.objects.content import blocks, checked_parts

if TYPE_CHECKING:
    from s3sink_ingester.disk import Disk
    from s3sink_ingester.objects import SealedObject

_TEMPORARY: Final = (
    ".s3sink-tmp"  # beside the keys, on the same file system, in a directory that readers skip
)
_BLOCK: Final = 1 << 20

# What file systems without hard links say.
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

# What a person has to mend; any other error of the file system may pass by itself.
_REFUSALS: Final = {
    errno.EACCES: "access_denied",
    errno.EPERM: "access_denied",
    errno.EROFS: "access_denied",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.EFBIG: "too_large",
    errno.ENAMETOOLONG: "bad_key",
    errno.EILSEQ: "bad_key",
    errno.EINVAL: "bad_key",
    errno.ENOTDIR: "bad_key",
    errno.EISDIR: "bad_key",
}


class FileStore:
    """See ``objects`` for the contract. Keys become paths below ``root``, which is made when it is missing."""

    def __init__(self, root: str, disk: Disk) -> None:
        self._root = os.path.abspath(root)
        self._disk = disk
        self._busy: set[str] = set()
        self._freed = threading.Condition()

    def put(self, obj: SealedObject) -> PutOutcome:
        """Store the object. Raises StoreUnavailable, StoreRefused, ObjectUnreadable, ObjectCorrupt."""
        target = os.path.join(self._root, *_safe_parts(obj.key))
        checked_parts(self._disk, obj, max(obj.size, 1))
        try:
            _make_directories(os.path.dirname(target))
            with self._alone(obj.key):
                return self._create(obj, target)
        except OSError as error:
            raise _verdict(error) from error

    def check(self) -> None:
        """Write and remove a temporary file. Raises StoreUnavailable, StoreRefused."""
        try:
            path = self._temporary(f"check-{os.getpid()}")
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o640))
            os.unlink(path)
        except OSError as error:
            raise _verdict(error) from error

    def close(self) -> None:
        """Nothing is held."""

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """One put of a key at a time, since they share the temporary file: a recovery in place may begin another."""
        with self._freed:
            self._freed.wait_for(lambda: key not in self._busy)
            self._busy.add(key)
        try:
            yield
        finally:
            with self._freed:
                self._busy.discard(key)
                self._freed.notify_all()

    def _create(self, obj: SealedObject, target: str) -> PutOutcome:
        # Named by the key, so that the next put replaces what a crash left, and without an extension.
        temporary = self._temporary(hashlib.sha256(obj.key.encode()).hexdigest())
        _remove(temporary)  # not overwritten: a crash after the link left two names of the object itself
        try:
            self._copy(obj, temporary)
            outcome = PutOutcome.CREATED
            try:
                _link(temporary, target)
            except FileExistsError:
                _require_same(obj, target)
                outcome = PutOutcome.ALREADY_THERE
        finally:
            _remove(temporary)
        _sync_directory(
            os.path.dirname(target)
        )  # when it was there too: an earlier put may not have come so far
        return outcome

    def _copy(self, obj: SealedObject, path: str) -> None:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        with open(fd, "wb", buffering=0) as file:
            for block in blocks(self._disk, obj.path, 0, obj.size):
                _write_all(file.fileno(), block)
            os.fsync(file.fileno())

    def _temporary(self, name: str) -> str:
        directory = os.path.join(self._root, _TEMPORARY)
        _make_directories(directory)
        return os.path.join(directory, name)


def _safe_parts(key: str) -> list[str]:
    parts = key.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise StoreRefused("bad_key", f"{key!r} can't be a path: it has an empty part, '.', '..' or a NUL")
    return parts


def _require_same(obj: SealedObject, target: str) -> None:
    digest = hashlib.sha256()
    with open(target, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.digest() != obj.sha256:
        raise StoreRefused(
            "key_taken", f"{target} exists and is not what was sealed as {obj.key}; move it away"
        )


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(
            target
        ):  # nobody else puts this key, so nothing comes between this line and the next
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from error
        os.rename(source, target)


def _make_directories(path: str) -> None:
    """Create a directory and its parents; the entry of each new one is durable on return."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        try:
            os.mkdir(directory)
        except FileExistsError:  # another thread was first; a file in its place fails in the next step
            continue
        _sync_directory(os.path.dirname(directory))


def _write_all(fd: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(fd, view) :]


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _verdict(error: OSError) -> DestinationError:
    reason = _REFUSALS.get(error.errno or 0)
    if reason is not None:
        return StoreRefused(reason, str(error))
    return StoreUnavailable("file_system", str(error))
