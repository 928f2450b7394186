"""Chunk files: plain lines, exactly what the object will hold. Used by one lane only, so that calls are in order."""

from __future__ import annotations

from collections.abc import Sequence

from s3sink_ingester.chunks import chunk_path
from s3sink_ingester.disk import Disk, File

DIRECTORY = "chunks"

SYNC_FS_THRESHOLD = 16
"""From so many dirty files on, one syncfs costs less than a sync for each."""


class ChunkFiles:
    """No descriptor stays open: ten thousand partitions need none between two writes."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._dirty: set[int] = set()
        self._names_changed = False

    def write(self, chunk_id: int, offset: int, parts: Sequence[bytes]) -> None:
        """Write ``parts``, joined, at ``offset`` in a chunk's file. Raises ``OSError``; writing again is safe."""
        file = self._open(chunk_id, offset)
        try:
            self._dirty.add(chunk_id)
            file.pwrite(parts[0] if len(parts) == 1 else b"".join(parts), offset)
        finally:
            file.close()

    def sync(self) -> None:
        """Make every write so far durable. Raises ``OSError``: what was written is then unknown."""
        if len(self._dirty) >= SYNC_FS_THRESHOLD:
            self._disk.sync_fs()
        else:
            for chunk_id in self._dirty:
                self._sync_file(chunk_id)
            if self._names_changed:
                self._disk.sync_dir(DIRECTORY)
        self._dirty.clear()
        self._names_changed = False

    def finish(self, chunk_id: int) -> None:
        """Make a file durable that is about to be moved away. Raises ``OSError``: what was written is then unknown."""
        self._sync_file(chunk_id)
        self._dirty.discard(chunk_id)

    def remove(self, chunk_id: int) -> None:
        """Delete a chunk's file, if it ever had one."""
        self._dirty.discard(chunk_id)
        self._disk.unlink(chunk_path(chunk_id), missing_ok=True)

    def _sync_file(self, chunk_id: int) -> None:
        file = self._disk.open(chunk_path(chunk_id))
        try:
            file.sync()
        finally:
            file.close()

    def _open(self, chunk_id: int, offset: int) -> File:
        path = chunk_path(chunk_id)
        if offset:
            return self._disk.open(path)
        self._names_changed = True
        try:
            return self._disk.create(path)
        except FileExistsError:
            # An earlier write of it failed, or its process was killed before it synced the name.
            return self._disk.open(path)
