"""The children of an S3Sink: spec in, dicts out. No clock, client or logger; the same input gives the same bytes.

One file a kind, a builder in each: ``stateful_set(spec, owner, context) -> dict``. A manifest holds what the operator
wants and nothing else: a field that isn't in it is for the API server's defaults, or for somebody else to set. Of
``pod``, ``settings`` and ``base`` several kinds are made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.manifests import (
    autoscaler,
    config_map,
    network_policy,
    pod_disruption_budget,
    service_account,
    service_monitor,
    services,
    stateful_set,
)
from s3sink_operator.manifests.base import Context, Owner, with_hash
from s3sink_operator.manifests.drain_job import drain_jobs
from s3sink_operator.spec import Spec
from s3sink_operator.state import Ref

__all__ = ["Context", "Owner", "drain_jobs", "optional_refs", "refs", "render"]

Builder = Callable[[Spec, Owner, Context], dict[str, Any]]
Wanted = Callable[[Spec, Owner, Context], bool]


def _always(spec: Spec, owner: Owner, context: Context) -> bool:
    return True


_CHILDREN: Final[tuple[tuple[Builder, Wanted], ...]] = (
    # What a pod needs to start comes before the pods: its account, its settings, its name in DNS; so does what keeps
    # strangers from it.
    (service_account.service_account, service_account.is_wanted),
    (config_map.config_map, _always),
    (services.headless_service, _always),
    (services.client_service, _always),
    (network_policy.network_policy, network_policy.is_wanted),
    (stateful_set.stateful_set, _always),
    # What acts on pods comes after them. The monitor is last: it is the only kind that a cluster may not have, and its
    # failure is to keep nothing else from being applied.
    (pod_disruption_budget.pod_disruption_budget, _always),
    (autoscaler.autoscaler, autoscaler.is_wanted),
    (service_monitor.service_monitor, service_monitor.is_wanted),
)
_OPTIONAL: Final = frozenset(
    {service_account.KIND, network_policy.KIND, autoscaler.KIND, service_monitor.KIND}
)


def render(spec: Spec, owner: Owner, context: Context) -> tuple[dict[str, Any], ...]:
    """Every child that is wanted, in the order in which they are to be applied."""
    return tuple(
        with_hash(build(spec, owner, context))
        for build, is_wanted in _CHILDREN
        if is_wanted(spec, owner, context)
    )


def refs(owner: Owner) -> tuple[Ref, ...]:
    """Every child that a sink may have, in the order of ``render``."""
    child = names.child(owner.name)
    kinds = (
        (service_account.KIND, child),
        (config_map.KIND, child),
        (services.KIND, names.headless_service(owner.name)),
        (services.KIND, child),
        (network_policy.KIND, child),
        (stateful_set.KIND, child),
        (pod_disruption_budget.KIND, child),
        (autoscaler.KIND, child),
        (service_monitor.KIND, child),
    )
    return tuple(Ref(*kind, owner.namespace, name) for kind, name in kinds)


def optional_refs(owner: Owner) -> tuple[Ref, ...]:
    """Children that not every spec wants: what is there and isn't rendered is to be deleted."""
    return tuple(ref for ref in refs(owner) if (ref.api_version, ref.kind) in _OPTIONAL)
