"""What a server costs: CPU time and memory from /proc; and how fast the machine is at this moment."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """Of all processes of a server, bytes."""

    resident: int
    peak: int


def cpu_seconds(pid: int) -> float:
    """User and system time that the process and its children have used so far."""
    total = 0.0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory(pid: int) -> Memory:
    """VmRSS and VmHWM, summed over the process and its children."""
    resident = peak = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
            fields = dict(
                line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            )
            resident += _kibibytes(fields.get("VmRSS", "0 kB"))
            peak += _kibibytes(fields.get("VmHWM", "0 kB"))
    return Memory(resident, peak)


def core_busy_seconds(core: int) -> float:
    """Time that the core has not been idle since boot, whoever used it (the hypervisor's other guests too)."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _wait, irq, softirq, steal = (int(tick) for tick in ticks[:8])
            return (user + nice + system + irq + softirq + steal) * TICK
    raise ValueError(f"no core {core}")


@dataclass(frozen=True)
class Calibration:
    """How fast this core and this disk are now. Ratios to it carry between machines, absolute figures don't."""

    python_us: float  # a fixed piece of pure Python, best of several
    syscall_us: float  # a pipe's write and read of one byte, best of several
    fdatasync_p50_ms: float  # 16 KiB appended to a preallocated file
    fdatasync_p99_ms: float


def calibrate(directory: Path, core: int) -> Calibration:
    """Measure for about a second on `core`, with a file in `directory`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        syncs = _fdatasyncs(directory / "calibration", 200)
        return Calibration(
            python_us=min(_python_us() for _ in range(7)),
            syscall_us=min(_syscall_us() for _ in range(7)),
            fdatasync_p50_ms=syncs[len(syncs) // 2],
            fdatasync_p99_ms=syncs[len(syncs) * 99 // 100],
        )
    finally:
        os.sched_setaffinity(0, before)


def _python_us(loops: int = 20_000) -> float:
    line = b"customer-00042 " + bytes(range(32, 127)) * 5
    counts: dict[bytes, int] = {}
    started = time.process_time()
    for number in range(loops):
        key, _, content = line.partition(b" ")
        counts[key] = counts.get(key, 0) + len(content) + number
    return (time.process_time() - started) / loops * 1e6


def _syscall_us(loops: int = 10_000) -> float:
    reader, writer = os.pipe()
    started = time.process_time()
    for _ in range(loops):
        os.write(writer, b"x")
        os.read(reader, 1)
    elapsed = time.process_time() - started
    os.close(reader)
    os.close(writer)
    return elapsed / loops * 1e6


def _fdatasyncs(path: Path, count: int) -> list[float]:
    """Sorted durations, ms."""
    block = os.urandom(16384)
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        os.posix_fallocate(file, 0, count * len(block))
        os.fsync(file)
        durations = []
        for number in range(count):
            os.pwrite(file, block, number * len(block))
            started = time.perf_counter()
            os.fdatasync(file)
            durations.append((time.perf_counter() - started) * 1e3)
        return sorted(durations)
    finally:
        os.close(file)
        path.unlink()


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kibibytes(field: str) -> int:
    return int(field.split()[0]) * 1024
