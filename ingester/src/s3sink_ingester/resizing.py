"""`buffer.size` follows the settings file while the ingester runs, since a volume grows under it.

All other settings are read at the start, and a change of them is a rollout. A file that can't be used, or a size that
the other settings don't fit into, is told and changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from s3sink_ingester.config import Settings, buffer_size_problem, load
from s3sink_ingester.config.units import format_quantity
from s3sink_ingester.errors import ConfigError, Overloaded, Problem

_log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
"""Between two looks at the file."""

_Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """Where settings came from. ``workers``: processes that share its ``buffer.size``."""

    path: Path
    workers: int = 1


class Resizable(Protocol):
    """What takes another size: the app."""

    settings: Settings

    def resize(self, size: int) -> None:
        """Take it, in bytes. Raises OSError or Overloaded if that has to be tried again."""


async def follow(file: SettingsFile, app: Resizable) -> None:
    """Take every change until cancelled."""
    follower = Follower(file, app, os.environ)
    while True:
        await follower.look()
        await asyncio.sleep(LOOK_SECONDS)


class Follower:
    """See the module. ``look`` is to be called every now and then."""

    def __init__(self, file: SettingsFile, app: Resizable, env: Mapping[str, str]) -> None:
        """``env``: as for `config.load`."""
        self._file = file
        self._app = app
        self._env = env
        self._taken: _Version | None = None
        self._complaint: str | None = None

    async def look(self) -> None:
        """Take the file's size, if the file has changed. What goes wrong is told once, and tried again."""
        try:
            await self._look()
        except Overloaded:
            pass  # the volume is being recovered
        except (ConfigError, OSError) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.error("%s: buffer.size stays as it is: %s", self._file.path, error)
        else:
            self._complaint = None

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        version = await loop.run_in_executor(None, _version, self._file.path)
        if version == self._taken:
            return
        found = await loop.run_in_executor(None, load, self._file.path, self._env)
        self._take(found.buffer.size // self._file.workers)
        self._taken = version

    def _take(self, size: int) -> None:
        running = self._app.settings
        before = running.buffer.size
        if size == before:
            return
        problem = buffer_size_problem(replace(running, buffer=replace(running.buffer, size=size)))
        if problem is not None:
            raise ConfigError([Problem("buffer.size", problem)])
        self._app.resize(size)
        _log.info(
            "buffer.size is %s now",
            format_quantity(size),
            extra={"bytes": size, "before": before, "settings": str(self._file.path)},
        )


def _version(path: Path) -> _Version:
    """Another one whenever the file is another one. Kubernetes swaps a link that the path leads through. Raises
    OSError."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
