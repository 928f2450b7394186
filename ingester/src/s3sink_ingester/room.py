"""How full a volume is, and what follows from it: whether records are taken, chunks sealed early, spares kept."""

from __future__ import annotations

import logging
from collections.abc import Callable

from s3sink_ingester import gate as gates
from s3sink_ingester.disk import Disk
from s3sink_ingester.gate import Gate
from s3sink_ingester.policy import Watermark, is_full, under_pressure, watermark
from s3sink_ingester.reserve import Reserve

_log = logging.getLogger(__name__)

_RESERVE_EXTRA = 8 << 20
"""Beside the largest object: what is written while one is sealed and uploaded."""


class Room:
    """Closes and opens the gate for ``FULL``. ``used``: bytes that the buffer takes up. All sizes in bytes."""

    def __init__(
        self,
        disk: Disk,
        gate: Gate,
        used: Callable[[], int],
        *,
        size: int,
        high_watermark_percent: int,
        segment_bytes: int,
        largest_object: int,
    ) -> None:
        self._disk = disk
        self._gate = gate
        self._used = used
        self._size = size
        self._high_percent = high_watermark_percent
        self._segment_bytes = segment_bytes
        self._largest_object = largest_object
        self._reserve = Reserve(disk, self._reserve_of(size))
        self._mark: Watermark = watermark(0, 0, 0, 0)
        self._free = 0
        self._short = True

    @property
    def capacity(self) -> int:
        """What the buffer may take up."""
        return self._mark.capacity

    @property
    def is_short(self) -> bool:
        """Whether there is too little of it for anything that can be done without."""
        return self._short

    def resize(self, size: int) -> None:
        """Take up so many bytes from the next ``measure`` on. Raises ``OSError``, and nothing has changed then."""
        if self._reserve_of(size) != self._reserve.size:
            self._reserve = Reserve(self._disk, self._reserve_of(size))
        self._size = size

    def measure(self, raw_bytes: int) -> None:
        """Ask the file system. ``raw_bytes``: of chunks that aren't sealed. Raises ``OSError``."""
        usage = self._disk.usage()
        self._free = usage.free
        self._short = usage.free < 4 * self._segment_bytes
        min_free = self._reserve.size + self._segment_bytes
        self._mark = watermark(self._size, usage.total, self._high_percent, min_free)
        if not self.needs_seals(raw_bytes):
            self._reserve.ensure()
        self.update()

    def take(self, size: int) -> None:
        """So many bytes were accepted since it was measured."""
        self._free -= size
        self.update()

    def update(self) -> None:
        """Bring the gate in line."""
        was_full = self._gate.is_closed_by(gates.FULL)
        full = is_full(self._mark, self._used(), self._free, was_full)
        self._gate.set(gates.FULL, closed=full)

    def needs_seals(self, raw_bytes: int) -> bool:
        """Whether open chunks, ``raw_bytes`` in all, should be sealed early: sealed they are smaller, and uploaded."""
        enough_raw = raw_bytes >= self._mark.capacity // 10
        return enough_raw and under_pressure(self._mark, self._used(), self._free)

    def ran_out(self) -> None:
        """The disk said that it is full."""
        self._gate.close(gates.FULL)
        self._free = 0
        self._short = True
        if self._reserve.release():
            _log.warning("the disk is full; the reserve was given up so that sealing can go on")

    def _reserve_of(self, size: int) -> int:
        return min(self._largest_object + _RESERVE_EXTRA, size // 16)
