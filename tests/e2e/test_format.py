"""An older version on a volume that a newer one has written: it refuses, and leaves everything as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rig import lookpod
from tests.rig.clustersinks import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.ledger import Verdict
    from tests.e2e.conftest import Images
    from tests.rig.anycluster import AnyCluster
    from tests.rig.clustersinks import ClusterSink
    from tests.rig.release import Release
    from tests.rig.s3pod import S3Pod
    from tests.rig.witness import Witness

POD = "events-s3sink-0"
CLAIM = f"buffer-{POD}"
NEWER_FORMAT_EXIT = 4
STAMP = f"""
import json, pathlib
identity = pathlib.Path("{lookpod.MOUNT}/worker-0/store.json")
found = json.loads(identity.read_text())
found["format"] += %d
identity.write_text(json.dumps(found))
print(found["format"])
"""
"""Writes another format number, as a version with that format would have."""
DIGESTS = f"""
import hashlib, pathlib
for path in sorted(pathlib.Path("{lookpod.MOUNT}/worker-0").rglob("*")):
    if path.is_file() and path.name != "lock":
        print(path, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
"""
"""Of all but the lock, which says who had the volume last: whoever looks at a volume locks it."""


def test_an_older_version_leaves_a_newer_volume_alone(
    cluster: AnyCluster,
    sink: ClusterSink,
    witness: Witness,
    release: Release,
    s3: S3Pod,
    images: Images,
    record: Callable[[str, ClusterSink, Verdict], None],
) -> None:
    """Until the newer version is back, which finds every record."""
    sink.apply(replicas=1, **HOUR)
    sink.wait_ready(1)
    with sink.load():
        s3.away()  # or the pod would upload everything as it ends
    release.away()
    sink.kubectl("scale", "statefulset", "events-s3sink", "--replicas=0")
    sink.wait(lambda: not sink.pods(), "end of the pod")
    witness.shrinks.clear()  # that wasn't the operator
    s3.back()
    with lookpod.holding(cluster, sink.namespace, CLAIM, images.ingester) as run:
        assert run(STAMP % 1).strip() == "2"
        before = run(DIGESTS)
    release.back()
    told = sink.wait_condition("Stalled", "True", "FormatDowngrade")
    assert POD in told["message"]
    (container,) = sink.pods()[POD]["status"]["containerStatuses"]
    ended = container["lastState"].get("terminated") or container["state"]["terminated"]
    assert ended["exitCode"] == NEWER_FORMAT_EXIT
    assert not list(sink.objects())
    node = sink.pods()[POD]["spec"]["nodeName"]
    with lookpod.holding(cluster, sink.namespace, CLAIM, images.ingester, node) as run:
        assert run(DIGESTS) == before
        run(STAMP % -1)
    sink.wait_ready(1)
    sink.scale(0)
    sink.wait_ready(0)
    record("format downgrade refused", sink, sink.verdict())
