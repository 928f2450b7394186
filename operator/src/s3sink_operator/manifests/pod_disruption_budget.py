"""How many pods a node drain may take at a time. Pure."""

from __future__ import annotations

from typing import Any

from s3sink_operator import names
from s3sink_operator.manifests.base import Context, Owner, child
from s3sink_operator.spec import Spec

KIND = ("policy/v1", "PodDisruptionBudget")


def pod_disruption_budget(spec: Spec, owner: Owner, context: Context) -> dict[str, Any]:
    """Pods that aren't ready may always be evicted: records stay on the volume, and no node drain has to wait for
    S3."""
    return child(
        KIND,
        names.child(owner.name),
        owner,
        spec={
            "maxUnavailable": spec.pod_disruption_budget.max_unavailable,
            "selector": {"matchLabels": names.selector(owner.name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    )
