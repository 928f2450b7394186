"""What tells the Prometheus operator to scrape the pods. Pure."""

from __future__ import annotations

from typing import Any

from s3sink_operator import names
from s3sink_operator.manifests.base import Context, Owner, child
from s3sink_operator.spec import Spec
from s3sink_operator.state import SERVICE_MONITOR

KIND = (SERVICE_MONITOR.api_version, SERVICE_MONITOR.kind)


def service_monitor(spec: Spec, owner: Owner, context: Context) -> dict[str, Any]:
    """Each pod's admin port, found by the headless Service: the other one has no such port.

    Series get the labels ``job="s3sink"`` and ``sink``, the S3Sink's name, besides those of their pod.
    """
    made = child(
        KIND,
        names.child(owner.name),
        owner,
        spec={
            "jobLabel": "app.kubernetes.io/name",
            "selector": {"matchLabels": names.selector(owner.name)},
            "endpoints": [
                {
                    "port": names.ADMIN_PORT_NAME,
                    "path": "/metrics",
                    "relabelings": [{"targetLabel": "sink", "replacement": owner.name}],
                }
            ],
        },
    )
    made["metadata"]["labels"] |= spec.monitoring.labels
    return made


def is_wanted(spec: Spec, owner: Owner, context: Context) -> bool:
    """``Auto``: as soon as the API server has the kind. ``Enabled``: at any rate, so that its lack is told."""
    wanted = spec.monitoring.service_monitor
    return wanted == "Enabled" or (wanted == "Auto" and SERVICE_MONITOR in context.served)
