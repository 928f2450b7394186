"""Disk space kept back, so that sealing works when the disk is full: sealing is what makes room again."""

from __future__ import annotations

import logging

from s3sink_ingester.disk import Disk

_log = logging.getLogger(__name__)

PATH = "reserve"


class Reserve:
    """A file of ``size`` bytes that is given up when ENOSPC comes and taken again when there is room."""

    def __init__(self, disk: Disk, size: int) -> None:
        self._disk = disk
        self.size = size
        self.held = disk.size(PATH) == size
        if not self.held:
            disk.unlink(PATH, missing_ok=True)

    def release(self) -> bool:
        """Give the space back. Returns whether there was any."""
        if not self.held:
            return False
        try:
            self._disk.unlink(PATH, missing_ok=True)
        except (
            OSError
        ) as error:  # the caller has requests to answer; the next time that the disk is full asks again
            _log.warning("the reserve could not be given up", extra={"error": str(error)})
            return False
        self.held = False
        return True

    def ensure(self) -> None:
        """Take the space if there is plenty: at least twice of it free, so that nobody is pushed out by it."""
        if self.held or self._disk.usage().free < 2 * self.size:
            return
        try:
            self._disk.create(PATH, self.size).close()
        except OSError:
            return  # no room after all: that is what the reserve is for, and the next tick tries again
        self.held = True


def give_up(disk: Disk) -> bool:
    """Remove a volume's reserve, if it has one and its disk lets us. Returns whether there is more room now."""
    if disk.size(PATH) is None:
        return False
    try:
        disk.unlink(PATH)
    except OSError:
        return False
    return True
