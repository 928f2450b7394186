"""A Secret as a kubelet mounts it: files are links through `..data`, which is swapped for a new directory."""

from __future__ import annotations

import itertools
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.rig.certificates import Certificate


class MountedSecret:
    """The directory `path`, which is made, and what is in it now."""

    def __init__(self, path: Path, files: Mapping[str, bytes]) -> None:
        self.path = path
        self._generations = itertools.count(1)
        path.mkdir()
        self.write(files)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Put these files in place of all that were there, in the order in which a kubelet does it."""
        fresh = self.path / f"..{next(self._generations)}"
        fresh.mkdir()
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        data, swap = self.path / "..data", self.path / "..data_tmp"
        old = data.resolve() if data.exists() else None
        swap.symlink_to(fresh.name)
        os.replace(swap, data)
        for name in files:
            link = self.path / name
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}")
        for link in self.path.iterdir():
            if not link.name.startswith("..") and link.name not in files:
                link.unlink()
        if old is not None:
            shutil.rmtree(old)


def files_of(certificate: Certificate) -> dict[str, bytes]:
    """As a Secret of type `kubernetes.io/tls` has them."""
    return {"tls.crt": certificate.certificate.read_bytes(), "tls.key": certificate.key.read_bytes()}
