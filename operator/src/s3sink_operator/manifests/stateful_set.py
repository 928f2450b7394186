"""The ingesters: a pod and a volume for each ordinal. Pure.

What can't be changed once it is there (``podManagementPolicy``, ``serviceName``, the selector, claim templates but for
their size) is the same for every spec, or can't be changed in the spec either.
"""

from __future__ import annotations

from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.manifests import pod, settings
from s3sink_operator.manifests.base import Context, Owner, child, digest, given, without_nulls
from s3sink_operator.manifests.grace import grace_of
from s3sink_operator.spec import Spec
from s3sink_operator.state import STATEFUL_SET

KIND = (STATEFUL_SET.api_version, STATEFUL_SET.kind)

MIN_READY_SECONDS: Final = 10
"""A rollout goes on when a pod was ready for so long: a bad version shows itself, and proxies know the new pod."""
REVISIONS: Final = 3
HUNG_SECONDS: Final = 30
"""From SIGTERM to SIGKILL for an ingester that doesn't answer its probes."""


def stateful_set(spec: Spec, owner: Owner, context: Context) -> dict[str, Any]:
    """All pods start and end at once (``Parallel``): one that is broken doesn't keep the others from being made or
    repaired; a rollout still takes them one by one. Volumes are never deleted by it: the operator knows whether they
    are empty."""
    template = {
        "metadata": pod.metadata(spec, context, names.labels(owner.name)),
        "spec": _pod(spec, owner, context),
    }
    return child(
        KIND,
        names.child(owner.name),
        owner,
        annotations={
            names.TEMPLATE_HASH: digest(template),
            **({names.RELEASE: context.release} if context.release else {}),
        },
        spec={
            "replicas": context.replicas,
            "serviceName": names.headless_service(owner.name),
            "selector": {"matchLabels": names.selector(owner.name)},
            "podManagementPolicy": "Parallel",
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "updateStrategy": {"type": "RollingUpdate"},
            "minReadySeconds": MIN_READY_SECONDS,
            "revisionHistoryLimit": REVISIONS,
            "template": template,
            "volumeClaimTemplates": [_claim(spec, context)],
        },
    )


def _pod(spec: Spec, owner: Owner, context: Context) -> dict[str, Any]:
    grace = grace_of(spec)
    container = {
        **pod.container(spec, context, ["serve", "--grace", f"{grace.flush}s"]),
        "env": pod.environment(spec, {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        "ports": [
            _port(names.DATA_PORT_NAME, names.DATA_PORT),
            _port(names.ADMIN_PORT_NAME, names.ADMIN_PORT),
        ],
        **_probes(grace.total),
        **given(lifecycle={"preStop": {"sleep": {"seconds": grace.routing}}} if grace.routing else None),
    }
    container["volumeMounts"] += pod.secret_mounts(_secrets(spec))
    made = pod.pod_spec(spec, owner, container)
    made["volumes"] += pod.secret_volumes(_secrets(spec))
    return {
        **made,
        "terminationGracePeriodSeconds": grace.total,
        **given(topologySpreadConstraints=_spread(spec, owner), affinity=_affinity(spec, owner)),
    }


def _secrets(spec: Spec) -> list[pod.MountedSecret]:
    """What the data port needs."""
    found = []
    if spec.source.auth.secret_ref is not None:
        found.append(("auth", settings.AUTH_PATH, spec.source.auth.secret_ref.name))
    if spec.source.tls.secret_ref is not None:
        found.append(("tls", settings.TLS_PATH, spec.source.tls.secret_ref.name))
    return found


def _probes(grace: int) -> dict[str, Any]:
    """Starting is being alive, not being ready: an ingester that recovers a large journal, is draining, or has a full
    buffer after an outage of S3 is right not to be ready, and a restart would only make it begin again. One that
    doesn't answer for a minute won't flush anything either: it is restarted without the time for that."""
    hung = {"terminationGracePeriodSeconds": min(HUNG_SECONDS, grace)}
    return {
        "startupProbe": {**_probe("/livez"), "periodSeconds": 2, "failureThreshold": 60, **hung},
        "livenessProbe": {**_probe("/livez"), "periodSeconds": 10, "failureThreshold": 6, **hung},
        "readinessProbe": {**_probe("/readyz"), "periodSeconds": 5, "failureThreshold": 2},
    }


def _probe(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": names.ADMIN_PORT_NAME}, "timeoutSeconds": 5}


def _spread(spec: Spec, owner: Owner) -> list[Any]:
    if spec.pod_template.topology_spread_constraints is not None:
        spread: list[Any] = without_nulls(spec.pod_template.topology_spread_constraints)
        return spread
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": names.selector(owner.name)},
        }
    ]


def _affinity(spec: Spec, owner: Owner) -> dict[str, Any]:
    """Zones aren't a second constraint: a node without the label of one counts for no constraint then, and nodes of
    many clusters have none. Pods would all come to one node."""
    given_one: dict[str, Any] = without_nulls(spec.pod_template.affinity)
    if spec.pod_template.topology_spread_constraints is not None or "podAntiAffinity" in given_one:
        return given_one
    others = {
        "topologyKey": "topology.kubernetes.io/zone",
        "labelSelector": {"matchLabels": names.selector(owner.name)},
    }
    shunned = [{"weight": 100, "podAffinityTerm": others}]
    return {**given_one, "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": shunned}}


def _claim(spec: Spec, context: Context) -> dict[str, Any]:
    return {
        "metadata": {"name": names.BUFFER_VOLUME},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            **given(storageClassName=spec.buffer.storage_class_name),
            "resources": {"requests": {"storage": context.claim_size}},
        },
    }


def _port(name: str, port: int) -> dict[str, Any]:
    return {"name": name, "containerPort": port, "protocol": "TCP"}
