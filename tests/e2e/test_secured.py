"""Everything that comes from Secrets: keys and certificates of the data port, credentials and authorities of the store.

They are mounted into the directory of the settings, which a kubelet has to make room for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.rig.certificates import Authority
from tests.rig.clustersinks import HOUR
from tests.rig.kubeapi import SECRETS
from tests.rig.tlsfront import front, tls_secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.crash.ledger import Verdict
    from tests.e2e.conftest import Images
    from tests.rig.anycluster import AnyCluster
    from tests.rig.clustersinks import ClusterSink
    from tests.rig.s3pod import S3Pod

KEY = "a-key-of-the-backend"


def test_secrets_are_where_pods_and_jobs_look_for_them(
    sink: ClusterSink,
    cluster: AnyCluster,
    s3: S3Pod,
    images: Images,
    tmp_path: Path,
    record: Callable[[str, ClusterSink, Verdict], None],
) -> None:
    authority = Authority(tmp_path)
    trusted = authority.path.read_text()
    put(sink, "keys", stringData={"backend": KEY})
    put(sink, "certificate", **tls_secret(authority.issue("data-port")))
    put(sink, "authorities", stringData={"ca.crt": trusted})
    with front(cluster, images.ingester, authority, s3.server.endpoint) as endpoint:
        sink.apply(
            replicas=2,
            destination={"endpoint": endpoint, "caBundle": {"secretRef": {"name": "authorities"}}},
            source={"auth": {"secretRef": {"name": "keys"}}, "tls": {"secretRef": {"name": "certificate"}}},
            **HOUR,
        )
        sink.wait_ready(2)
        with sink.load(key=KEY, authorities=trusted) as traffic:
            sink.wait_held()
            stranger = sink.agents.start(
                sink.ledger, *sink.address, key="another", authorities=trusted, count=5
            )
            sink.wait_done(stranger)
            assert stranger.acked == 0
            assert stranger.last.startswith("401 ")
            traffic.wait_acked(20)
            sink.scale(1)  # a pod uploads
            sink.wait_ready(1)
            traffic.wait_acked(20)
            s3.away()
            sink.delete("--cascade=foreground")
            sink.wait(lambda: not sink.pods(), "end of the pods")
        s3.back()
        sink.wait_gone()  # a Job uploads
        sink.wait(lambda: not sink.claims(), "end of the claims")
    record("keys, TLS, a store of an own authority", sink, sink.verdict())


def put(sink: ClusterSink, name: str, **fields: Any) -> None:
    """Make a Secret in the sink's namespace."""
    meta = {"namespace": sink.namespace, "name": name}
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, **fields}
    sink.plane.api.apply(SECRETS, manifest, "a-person")
