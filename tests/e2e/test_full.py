"""A buffer that is full: clients are told to come back, and nothing that was acknowledged is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.ledger import Verdict
    from tests.rig.clustersinks import ClusterSink
    from tests.rig.s3pod import S3Pod

    Record = Callable[[str, ClusterSink, Verdict], None]

TAKE_THE_REST = """
import os
space = os.statvfs("/var/lib/s3sink")
assert space.f_blocks * space.f_frsize < 2 << 30, "a file system of its own"
with open("/var/lib/s3sink/of-somebody-else", "wb") as file:
    step = space.f_bavail * space.f_frsize
    while step >= 4096:
        try:
            os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)
        except OSError:
            step //= 2
"""
GIVE_IT_BACK = "import os; os.unlink('/var/lib/s3sink/of-somebody-else')"


def test_s3_is_away_until_the_buffer_is_full(sink: ClusterSink, s3: S3Pod, record: Record) -> None:
    sink.apply(
        replicas=1,
        batch={"window": "1h", "maxBytes": "1Mi"},
        object={"compression": "none"},
        buffer={"size": "300Mi"},
    )
    sink.wait_ready(1)
    with sink.load(records=200, size=10_000, pause=0.02) as traffic:
        s3.away()
        sink.wait_condition("BufferPressure", "True", "Full")
        sink.wait(lambda: not sink.ready_pods(), "pod that the Service sends nothing to any more")
        s3.back()
        sink.wait_ready(1)
        traffic.wait_acked(5)
        sink.wait(lambda: sink.condition("BufferPressure").get("status") == "False", "end of the pressure")
    sink.scale(0)
    sink.wait_ready(0)
    record("buffer full, S3 away", sink, sink.verdict())


def test_the_file_system_is_full(sink: ClusterSink, s3: S3Pod, expanding_class: str, record: Record) -> None:
    """To the last block, by somebody else's file, while records come and S3 is away: ENOSPC wherever one writes."""
    sink.apply(
        replicas=1,
        batch={"window": "1h", "maxBytes": "1Mi"},
        # Volumes of that class have a file system of their own.
        buffer={"size": "512Mi", "storageClassName": expanding_class},
    )
    sink.wait_ready(1)
    (pod,) = sink.pods()
    with sink.load(records=200, size=10_000, pause=0.02) as traffic:
        s3.away()
        traffic.wait_acked(20)
        sink.python(pod, TAKE_THE_REST)
        sink.wait_condition("BufferPressure", "True", "Full")
        sink.wait(lambda: not sink.ready_pods(), "pod that the Service sends nothing to any more")
        sink.python(pod, GIVE_IT_BACK)
        sink.wait_ready(1)
        traffic.wait_acked(5)
        s3.back()
    assert list(sink.pods()) == [pod]
    sink.scale(0)
    sink.wait_ready(0)
    record("file system full, S3 away", sink, sink.verdict())
