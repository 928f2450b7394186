"""Where objects are in the API: URL paths of the kinds that the operator uses. Pure.

A table instead of discovery: these kinds and their versions are what the code is written for, so there is nothing to
find out, and a start costs the API server no requests.
"""

from __future__ import annotations

import re
from typing import Final

from s3sink_operator import names
from s3sink_operator.errors import Refused
from s3sink_operator.state import (
    JOB,
    POD,
    SECRET,
    SERVICE_MONITOR,
    STATEFUL_SET,
    STORAGE_CLASS,
    VOLUME_CLAIM,
    Ref,
    Resource,
)

SINK: Final = Resource(names.API_VERSION, names.KIND)
CONFIG_MAP: Final = Resource("v1", "ConfigMap")
EVENT: Final = Resource("v1", "Event")
SERVICE: Final = Resource("v1", "Service")
SERVICE_ACCOUNT: Final = Resource("v1", "ServiceAccount")
DISRUPTION_BUDGET: Final = Resource("policy/v1", "PodDisruptionBudget")
AUTOSCALER: Final = Resource("autoscaling/v2", "HorizontalPodAutoscaler")
NETWORK_POLICY: Final = Resource("networking.k8s.io/v1", "NetworkPolicy")
LEASE: Final = Resource("coordination.k8s.io/v1", "Lease")
CUSTOM_RESOURCE: Final = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")

_PLURALS: Final = {
    SINK: names.PLURAL,
    POD: "pods",
    VOLUME_CLAIM: "persistentvolumeclaims",
    SECRET: "secrets",
    STATEFUL_SET: "statefulsets",
    JOB: "jobs",
    STORAGE_CLASS: "storageclasses",
    SERVICE_MONITOR: "servicemonitors",
    CONFIG_MAP: "configmaps",
    EVENT: "events",
    SERVICE: "services",
    SERVICE_ACCOUNT: "serviceaccounts",
    DISRUPTION_BUDGET: "poddisruptionbudgets",
    AUTOSCALER: "horizontalpodautoscalers",
    NETWORK_POLICY: "networkpolicies",
    LEASE: "leases",
    CUSTOM_RESOURCE: "customresourcedefinitions",
}
_CLUSTER_SCOPED: Final = frozenset({STORAGE_CLASS, CUSTOM_RESOURCE})
_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?")


def group_version(resource: Resource) -> str:
    """Where the kinds of its group and version are listed."""
    return f"/{'apis' if '/' in resource.api_version else 'api'}/{resource.api_version}"


def plural(resource: Resource) -> str:
    """Its name in URLs."""
    return _PLURALS[resource]


def collection(resource: Resource, namespace: str = "") -> str:
    """All objects of a kind; ``namespace`` empty: of all namespaces."""
    within = f"/namespaces/{_safe(namespace)}" if namespace and resource not in _CLUSTER_SCOPED else ""
    return f"{group_version(resource)}{within}/{plural(resource)}"


def path(ref: Ref, subresource: str = "") -> str:
    """One object. Raises Refused if no object can have that name."""
    return f"{collection(ref.resource, ref.namespace)}/{_safe(ref.name)}" + (
        f"/{subresource}" if subresource else ""
    )


def _safe(name: str) -> str:
    """Names come from manifests too (of Secrets, for one): none may lead to another path than its own."""
    if not _NAME.fullmatch(name):
        raise Refused(f"no object can be called {name!r}")
    return name
