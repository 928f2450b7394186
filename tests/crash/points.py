"""Named points around every operation on the volume and the store: there a process ends itself, or the operation fails.

A point is ``stage/moment operation kind``: ``live/before sync journal``, ``start/after rename object``,
``live/torn write chunk``. It may be passed many times; a ``Fault`` says at which passage what happens.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from random import Random

from s3sink_ingester.disk import Buffer, Disk, File, Lock, Reader, Usage
from s3sink_ingester.objects import ObjectStore, PutOutcome, SealedObject

READING = frozenset({"read", "reader", "view", "listdir"})
"""Operations that change nothing: there is only a point before them."""

KILL = "KILL"


@dataclass(frozen=True, slots=True)
class Fault:
    """At which passage of which point (1 is the first; ``point`` '': of any point) what happens.

    ``what``: KILL, or the name of an error such as ``EIO``, which is then raised ``times`` times in a row.
    """

    point: str = ""
    passage: int = 1
    what: str = KILL
    times: int = 1


class Points:
    """Counts passages, and makes the fault happen. Passed by several threads."""

    def __init__(self, fault: Fault | None = None, seed: int = 0) -> None:
        self.stage = "start"
        self.passages: Counter[str] = Counter()
        self._fault = fault
        self._rng = Random(seed)
        self._lock = threading.Lock()
        self._all = 0
        self._left = fault.times if fault is not None else 0

    def before(self, operation: str, kind: str) -> None:
        """May raise OSError instead of the operation."""
        self._reach("before", operation, kind)

    def after(self, operation: str, kind: str) -> None:
        """The operation was done."""
        self._reach("after", operation, kind)

    def torn(self, operation: str, kind: str, length: int) -> int | None:
        """How much of a write of ``length`` bytes is to be done before the fault; None: go on."""
        if self._due("torn", operation, kind):
            return self._rng.randrange(1, length) if length > 1 else 0
        return None

    def happen(self, where: str) -> None:
        """The process is gone, as by kill -9; or raises the fault's OSError."""
        assert self._fault is not None
        if self._fault.what == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        number = getattr(errno, self._fault.what)
        raise OSError(number, os.strerror(number), where)

    def _reach(self, moment: str, operation: str, kind: str) -> None:
        if self._due(moment, operation, kind):
            self.happen(f"{moment} {operation} {kind}")

    def _due(self, moment: str, operation: str, kind: str) -> bool:
        point = f"{self.stage}/{moment} {operation} {kind}"
        with self._lock:
            self.passages[point] += 1
            self._all += 1
            fault = self._fault
            if fault is None or fault.point not in ("", point):
                return False
            passed = self.passages[point] if fault.point else self._all
            if passed < fault.passage or not self._left:
                return False
            self._left -= 1
            return True


def kind_of(path: str) -> str:
    """What a path of the volume is."""
    pure = PurePosixPath(path)
    if len(pure.parts) < 2:
        return path or "root"
    kind = {"journal": "segment", "chunks": "chunk", "objects": "object"}.get(pure.parts[0], pure.parts[0])
    return f"{kind}.tmp" if pure.suffix == ".tmp" else kind


class PointFile:
    """A file whose operations are points. The first write to a segment is its header and snapshot."""

    def __init__(self, file: File, kind: str, points: Points) -> None:
        self._file = file
        self._kind = kind
        self._points = points
        self._position = 0

    def append(self, data: Buffer) -> None:
        cut = self._before(self._kind, len(data))
        self._file.append(data if cut is None else memoryview(data)[:cut])
        self._after(self._kind, cut)

    def pwrite(self, data: Buffer, offset: int) -> None:
        kind = f"{self._kind}'s head" if self._kind == "segment" and offset == 0 else self._kind
        cut = self._before(kind, len(data))
        self._file.pwrite(data if cut is None else memoryview(data)[:cut], offset)
        self._after(kind, cut)

    def sync(self) -> None:
        self._points.before("sync", self._kind)
        self._file.sync()
        self._points.after("sync", self._kind)

    def truncate(self, size: int) -> None:
        self._points.before("truncate", self._kind)
        self._file.truncate(size)
        self._points.after("truncate", self._kind)

    def close(self) -> None:
        self._file.close()

    def _before(self, kind: str, length: int) -> int | None:
        self._points.before("write", kind)
        return self._points.torn("write", kind, length)

    def _after(self, kind: str, cut: int | None) -> None:
        if cut is not None:
            self._points.happen(f"torn write {kind}")
        self._points.after("write", kind)


class PointDisk:
    """A disk whose operations are points."""

    def __init__(self, disk: Disk, points: Points) -> None:
        self._disk = disk
        self._points = points

    def create(self, path: str, size: int = 0) -> PointFile:
        kind = kind_of(path)
        self._points.before("create", kind)
        file = self._disk.create(path, size)
        self._points.after("create", kind)
        return PointFile(file, kind, self._points)

    def open(self, path: str) -> PointFile:
        self._points.before("open", kind_of(path))
        return PointFile(self._disk.open(path), kind_of(path), self._points)

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self._points.before("read", kind_of(path))
        return self._disk.read(path, offset, length)

    def view(self, path: str) -> memoryview:
        self._points.before("view", kind_of(path))
        return self._disk.view(path)

    def reader(self, path: str) -> Reader:
        self._points.before("reader", kind_of(path))
        return self._disk.reader(path)

    def rename(self, source: str, target: str) -> None:
        kind = kind_of(target)
        self._points.before("rename", kind)
        self._disk.rename(source, target)
        self._points.after("rename", kind)

    def unlink(self, path: str, *, missing_ok: bool = False) -> None:
        kind = kind_of(path)
        self._points.before("unlink", kind)
        self._disk.unlink(path, missing_ok=missing_ok)
        self._points.after("unlink", kind)

    def mkdir(self, path: str) -> None:
        self._points.before("mkdir", path)
        self._disk.mkdir(path)
        self._points.after("mkdir", path)

    def listdir(self, path: str) -> dict[str, int]:
        self._points.before("listdir", path or "root")
        return self._disk.listdir(path)

    def size(self, path: str) -> int | None:
        return self._disk.size(path)

    def sync_dir(self, path: str) -> None:
        self._points.before("sync_dir", path or "root")
        self._disk.sync_dir(path)
        self._points.after("sync_dir", path or "root")

    def sync_fs(self) -> None:
        self._points.before("sync_fs", "root")
        self._disk.sync_fs()
        self._points.after("sync_fs", "root")

    def usage(self) -> Usage:
        return self._disk.usage()

    def lock(self, path: str) -> Lock:
        self._points.before("lock", path)
        lock = self._disk.lock(path)
        self._points.after("lock", path)
        return lock

    def locate(self, path: str) -> str:
        return self._disk.locate(path)


class PointStore:
    """An object store whose puts are points."""

    def __init__(self, store: ObjectStore, points: Points) -> None:
        self._store = store
        self._points = points

    def put(self, obj: SealedObject) -> PutOutcome:
        self._points.before("put", "object")
        outcome = self._store.put(obj)
        self._points.after("put", "object")
        return outcome

    def check(self) -> None:
        self._points.before("check", "destination")
        self._store.check()

    def close(self) -> None:
        self._store.close()
