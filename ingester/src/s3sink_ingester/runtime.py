"""The event loop of a process, the signals that end it, and what the interpreter is told so as not to delay it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, TypeVar

import uvloop

_log = logging.getLogger(__name__)
T = TypeVar("T")

SWITCH_SECONDS: Final = 0.0005
"""How long a thread may keep the interpreter while the event loop wants it. Python's 5 ms would be the latency of
every request that comes while a thread decodes a body or opens a journal."""

YOUNG_OBJECTS: Final = 50_000
"""New objects between two young collections; Python's own is 700. Requests make no cycles, so there is nearly nothing
to find, and with 10,000 open partitions a full collection stops the loop for 35 to 70 ms: they are to be rare."""


_MALLOC_OPTIONS: Final = (
    (-8, 1),  # M_ARENA_MAX: the interpreter runs one thread at a time anyway
    # M_MMAP_THRESHOLD: larger blocks are mapped, and unmapped when freed, which costs a fault for each page every time.
    # A frame (4 MiB and the next request) or a sealer's block comes again within milliseconds: they stay in the heap.
    (-3, 8 << 20),
    (-1, 16 << 20),  # M_TRIM_THRESHOLD: of what is free at the heap's end
)
"""glibc's `malloc.h` has the numbers."""


class Stop:
    """Asked for once and for all, with the seconds that ending may take."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.event = asyncio.Event()

    def ask(self, grace: float | None = None) -> None:
        """Stop; `grace` in place of the one given before."""
        if grace is not None:
            self.grace = grace
        self.event.set()


def run(main: Callable[[Stop], Coroutine[Any, Any, T]], grace: float, *, with_interrupt: bool = True) -> T:
    """Run `main` on an event loop of its own; SIGTERM (and SIGINT `with_interrupt`) asks it to stop."""
    keep_memory_small()

    async def with_signals() -> T:
        stop = Stop(grace)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, _asked, stop, "SIGTERM")
        if with_interrupt:
            loop.add_signal_handler(signal.SIGINT, _asked, stop, "SIGINT")
        else:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return await main(stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(with_signals())


def keep_memory_small() -> None:
    """Have the C library give memory back that was freed. Called before there are threads.

    glibc keeps as much of it as twice the largest block that was ever freed (here a frame of some MiB), and a heap for
    each thread that a payload was allocated in. Other libraries don't, and have no `mallopt`.
    """
    mallopt: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for option, value in _MALLOC_OPTIONS:
        mallopt(option, value)


def spare_the_loop() -> None:
    """Keep the interpreter's own work from delaying requests. Called when everything is imported and made."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # modules and settings live as long as the process: a full collection needn't look at them
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


def pod_uid() -> str | None:
    """Of the pod that this runs in, if whoever made it says so."""
    return os.environ.get("POD_UID")


def package_version() -> str:
    """The installed version."""
    with suppress(PackageNotFoundError):
        return version("s3sink-ingester")
    return "unknown"


def _asked(stop: Stop, name: str) -> None:
    if stop.event.is_set():
        # What was acknowledged is on the disk: ending at once loses nothing.
        _log.warning("%s again: ending at once; what is not uploaded stays on the volume", name)
        os._exit(1)
    _log.info("%s: sealing and uploading for up to %g s; once more to end at once", name, stop.grace)
    stop.ask()
