"""A put of the file store that was killed between its last two steps, and is made again."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.objects import PutOutcome
from s3sink_ingester.objects.files import FileStore

from tests.rig.object_store_contract import seal


class Watched(RealDisk):
    """Whenever the store reads the volume, which it does while it writes, a reader looks at the object."""

    def __init__(self, root: str, target: Path) -> None:
        super().__init__(root)
        self._target = target
        self.seen: set[bytes] = set()

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """As RealDisk's."""
        if self._target.exists():
            self.seen.add(self._target.read_bytes())
        return super().read(path, offset, length)


def test_an_object_that_is_there_is_never_seen_in_part(tmp_path: Path) -> None:
    root, volume = tmp_path / "bucket", tmp_path / "volume"
    target = root / "a" / "x.gz"
    disk = Watched(str(volume), target)
    obj = seal(disk, "a/x.gz", b"content " * 1000)
    store = FileStore(str(root), disk)
    store.put(obj)
    whole = target.read_bytes()
    # The kill came after the link and before the temporary name was removed: both lead to the one file.
    os.link(target, root / ".s3sink-tmp" / sha256(obj.key.encode()).hexdigest())
    assert store.put(obj) is PutOutcome.ALREADY_THERE
    assert disk.seen == {whole}
    assert target.read_bytes() == whole
