"""A volume is opened: locked, recovered, and given a store that goes on with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random
from uuid import UUID

from s3sink_ingester import recovery, reserve, volume
from s3sink_ingester.chunks import ChunkTable
from s3sink_ingester.counts import Counts
from s3sink_ingester.disk import FULL_DISK, Disk
from s3sink_ingester.errors import VolumeError
from s3sink_ingester.gate import Gate
from s3sink_ingester.journal.log import Log, NoRoom
from s3sink_ingester.lanes import Lane
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.store import Clock, Lanes, Store, StoreSettings
from s3sink_ingester.volume import Volume

_log = logging.getLogger(__name__)


async def open_store(
    disk: Disk,
    settings: StoreSettings,
    clock: Clock,
    rng: Random,
    *,
    gate: Gate,
    on_sealed: Callable[[SealedObject], None],
    counts: Counts | None = None,
    progress: recovery.Progress = lambda done, total: None,
    make_lane: Callable[[str, asyncio.AbstractEventLoop], Lane] = Lane,
) -> Store:
    """Lock the volume, recover it and put it to work. Objects that wait for their upload are given to ``on_sealed``.

    ``counts``: those of an earlier store of the process, which go on.
    Raises ``VolumeError`` and ``OSError``; ``JournalFailed`` or ``NoRoom`` when the first segment can't be written.
    """
    loop = asyncio.get_running_loop()
    opened = volume.open_volume(disk)
    lanes = Lanes(make_lane("journal", loop), make_lane("chunk-files", loop), make_lane("seal", loop))
    try:
        return await _open(
            disk, opened, settings, clock, rng, lanes, gate, on_sealed, counts or Counts(), progress
        )
    except BaseException:
        for lane in lanes:
            await lane.close()
        opened.lock.close()
        raise


async def _open(
    disk: Disk,
    opened: Volume,
    settings: StoreSettings,
    clock: Clock,
    rng: Random,
    lanes: Lanes,
    gate: Gate,
    on_sealed: Callable[[SealedObject], None],
    counts: Counts,
    progress: recovery.Progress,
) -> Store:
    files = lanes.files
    state, repaired = await files.call(lambda: _recover_on_a_full_disk(disk, opened.store_id, progress))
    table = ChunkTable(
        settings.limits,
        rng,
        block_bytes=settings.block_bytes,
        held_chunks=settings.held_chunks,
        accepted_by_kind=counts.accepted_by_kind,
    )
    table.restore(repaired.snapshot, repaired.pending, clock())
    log = Log(
        disk,
        lanes.journal,
        opened.store_id,
        segment_id=state.next_segment_id,
        sequence=state.next_sequence,
        segment_bytes=settings.segment_bytes,
        durable=settings.durable,
        syncs=counts.syncs,
    )
    log.adopt(state.extents.values(), state.spares)
    try:
        await log.open(table.snapshot())
    except NoRoom:
        if not await files.call(lambda: reserve.give_up(disk)):
            raise
        await log.open(table.snapshot())
    epoch = await files.call(lambda: volume.drain_epoch(disk))
    store = Store(disk, opened, settings, clock, table, log, lanes, repaired, gate, on_sealed, counts)
    for sealed in list(table.sealed.values()):
        on_sealed(sealed)
    if epoch is not None:
        store.go_on_draining(epoch)
    with suppress(OSError):  # statvfs failed: the next tick asks again
        store.tick()
    store.flusher.make_spare()
    return store


def _recover_on_a_full_disk(
    disk: Disk, store_id: UUID, progress: recovery.Progress
) -> tuple[recovery.State, recovery.Repaired]:
    """Once more without the reserve, if there is no room: file systems that copy on write need some for what is there,
    and what is moved into the quarantine may need more."""
    try:
        return _recover(disk, store_id, progress)
    except OSError as error:
        if error.errno not in FULL_DISK or not reserve.give_up(disk):
            raise
        return _recover(disk, store_id, progress)


def _recover(
    disk: Disk, store_id: UUID, progress: recovery.Progress
) -> tuple[recovery.State, recovery.Repaired]:
    aside = set(disk.listdir(volume.QUARANTINE))
    state = recovery.read_state(disk, progress)
    for other, name in state.store_ids.items():
        if other != store_id:
            raise VolumeError(
                f"{disk.locate(name)} belongs to store {other}, and {volume.IDENTITY} says {store_id}"
            )
    repaired = recovery.repair(disk, state)
    if kept := sorted(aside.intersection(disk.listdir(volume.QUARANTINE))):
        # Whoever put them there told it to an earlier process, and they are all that is left of some records.
        repaired = replace(repaired, damage=(*repaired.damage, volume.tell_aside(kept)))
    for what in repaired.damage:
        _log.error("the volume is damaged; what could not be read is in its quarantine", extra={"what": what})
    return state, repaired
