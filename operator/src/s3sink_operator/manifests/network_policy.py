"""Who reaches the pods. Pure.

The data port: everybody, as without a policy; a Service of type LoadBalancer has clients outside the cluster.
The admin port, which has no authentication and can drain a pod: this operator and collectors of metrics, in any
namespace, by the labels that their charts give them. Pods of drain Jobs have it, too. (Probes come from the pod's own
node, which no policy keeps out.)
Policies add up, so a collector of another name is let in by a policy of its own. Nothing is said of what pods reach:
the bucket's addresses aren't known.
"""

from __future__ import annotations

from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.manifests.base import Context, Owner, child
from s3sink_operator.spec import Spec

KIND = ("networking.k8s.io/v1", "NetworkPolicy")

ADMIN_CLIENTS: Final = (
    names.FIELD_MANAGER,
    "alloy",
    "grafana-agent",
    "opentelemetry-collector",
    "prometheus",
    "vmagent",
)
"""Values of ``app.kubernetes.io/name`` of pods that may use the admin port."""


def network_policy(spec: Spec, owner: Owner, context: Context) -> dict[str, Any]:
    """For the sink's pods, and for those of its drain Jobs, which lack the label that Services select by."""
    known = {"key": "app.kubernetes.io/name", "operator": "In", "values": list(ADMIN_CLIENTS)}
    return child(
        KIND,
        names.child(owner.name),
        owner,
        spec={
            "podSelector": {"matchLabels": names.all_pods(owner.name)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [_port(names.DATA_PORT_NAME)]},
                {
                    "from": [{"namespaceSelector": {}, "podSelector": {"matchExpressions": [known]}}],
                    "ports": [_port(names.ADMIN_PORT_NAME)],
                },
            ],
        },
    )


def is_wanted(spec: Spec, owner: Owner, context: Context) -> bool:
    """Only if it is asked for."""
    return spec.network_policy.enabled


def _port(name: str) -> dict[str, Any]:
    return {"port": name, "protocol": "TCP"}
