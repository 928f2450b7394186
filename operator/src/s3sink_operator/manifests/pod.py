"""What pods of the StatefulSet and of drain Jobs have in common: one container, restricted Pod Security. Pure.

What the user's ``podTemplate`` may and may not: labels and annotations are added to ours (the spec refuses keys that
begin as ours do), environment too (the spec refuses what is set here). Resources are the user's for each of CPU, memory
and so on that is mentioned in requests or limits, and ours for the others.

No token for the API server is mounted (``automountServiceAccountToken: false``). Workload identities work all the same:
the webhooks of EKS (IRSA, Pod Identity) put a projected volume with a token of its own into the pod, whatever that
field says; it is readable because ``fsGroup`` is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.manifests import service_account, settings
from s3sink_operator.manifests.base import Context, Owner, given, without_nulls
from s3sink_operator.spec import Spec, pods
from s3sink_operator.units import format_size, parse_size

MountedSecret = tuple[str, str, str]
"""Name of the volume, path, name of the Secret."""

USER: Final = 65532
"""Of the process and its group, as the image has it; volumes are made writable for the group."""
SETTINGS_VOLUME: Final = "settings"
READ_BY_GROUP: Final = 0o440
COMMAND: Final = "s3sink-ingester"

CPU: Final = "250m"
MEMORY_BASE: Final = 256 * 2**20
MEMORY_REQUESTED: Final = 4
MEMORY_LIMIT: Final = 24
"""Memory is ``MEMORY_BASE`` and so many of the largest requests. Measured with requests of up to 32 MiB: 135 MiB are
resident after a million records in small ones, up to 735 when many of full size, gzip or not, come at once. What the
page cache takes is given back."""


def metadata(spec: Spec, context: Context, labels: dict[str, str]) -> dict[str, Any]:
    """The user's labels and annotations, and ours. A change of the hashes makes new pods: settings and credentials are
    read at the start."""
    template = spec.pod_template
    annotations = {
        **template.annotations,
        names.SETTINGS_HASH: settings.settings_hash(spec),
        **given(**{names.CREDENTIALS_HASH: context.credentials_hash}),
    }
    return {"labels": {**template.labels, **labels}, "annotations": annotations}


def pod_spec(spec: Spec, owner: Owner, container: dict[str, Any]) -> dict[str, Any]:
    """What any pod with this container has. Other volumes than the settings are left to the caller."""
    template = spec.pod_template
    return {
        "serviceAccountName": service_account.name_of(spec, owner),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service of any name must not become environment of the ingester
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",  # else each start walks over the whole volume
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **given(
            nodeSelector=dict(template.node_selector),
            tolerations=without_nulls(template.tolerations),
            affinity=without_nulls(template.affinity),
            priorityClassName=template.priority_class_name,
            imagePullSecrets=[{"name": one.name} for one in template.image_pull_secrets],
        ),
        "containers": [container],
        "volumes": [
            {"name": SETTINGS_VOLUME, "configMap": {"name": names.child(owner.name)}},
            *secret_volumes(_authorities(spec)),
        ],
    }


def container(spec: Spec, context: Context, command: list[str]) -> dict[str, Any]:
    """The ingester, its root read-only: it writes only to its volume, so it has no other one that is writable."""
    return {
        "name": names.CONTAINER,
        "image": context.image,
        "command": [COMMAND, *command, "--config", names.SETTINGS_PATH],
        "resources": resources(spec),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": names.BUFFER_VOLUME, "mountPath": names.BUFFER_PATH},
            {"name": SETTINGS_VOLUME, "mountPath": settings.DIRECTORY, "readOnly": True},
            *secret_mounts(_authorities(spec)),
        ],
    }


def secret_volumes(secrets: Iterable[MountedSecret]) -> list[dict[str, Any]]:
    """Of a pod. The kubelet brings changes into a running one."""
    return [
        {"name": name, "secret": {"secretName": secret, "defaultMode": READ_BY_GROUP}}
        for name, _, secret in secrets
    ]


def secret_mounts(secrets: Iterable[MountedSecret]) -> list[dict[str, Any]]:
    """Of its container."""
    return [{"name": name, "mountPath": path, "readOnly": True} for name, path, _ in secrets]


def environment(spec: Spec, pod_name: dict[str, Any]) -> list[dict[str, Any]]:
    """Ours, then the user's. ``pod_name``: where ``POD_NAME`` comes from, what objects are called after. ``POD_UID`` is
    whose word the ingester's status is."""
    secret = spec.destination.credentials.secret_ref
    env = [
        {"name": "POD_NAME", **pod_name},
        {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    ]
    if secret is not None:
        env += [
            _from_secret(secret.name, "AWS_ACCESS_KEY_ID"),
            _from_secret(secret.name, "AWS_SECRET_ACCESS_KEY"),
            _from_secret(secret.name, "AWS_SESSION_TOKEN", optional=True),
        ]
    if spec.destination.ca_bundle.secret_ref is not None:
        env.append({"name": pods.CA_ENV, "value": f"{settings.CA_PATH}/{names.CA_KEY}"})
    return env + [without_nulls(one) for one in spec.pod_template.env]


def resources(spec: Spec) -> dict[str, Any]:
    """Of the container. CPU is requested and not limited: a limit would delay answers for nothing. Memory is limited
    far above what is usual."""
    wanted = without_nulls(spec.pod_template.resources)
    requests, limits = _quantities(wanted, "requests"), _quantities(wanted, "limits")
    mentioned = {*requests, *limits}
    if "cpu" not in mentioned:
        requests["cpu"] = CPU
    if "memory" not in mentioned:
        requests["memory"] = _memory(spec, MEMORY_REQUESTED)
        limits["memory"] = _memory(spec, MEMORY_LIMIT)
    return {**wanted, **given(requests=requests, limits=limits)}


def _authorities(spec: Spec) -> list[MountedSecret]:
    """The Secret with those that are trusted in place of the public ones, if there is one."""
    secret = spec.destination.ca_bundle.secret_ref
    return [] if secret is None else [("ca", settings.CA_PATH, secret.name)]


def _memory(spec: Spec, largest_requests: int) -> str:
    return format_size(MEMORY_BASE + largest_requests * parse_size(spec.source.max_request_bytes))


def _quantities(wanted: dict[str, Any], group: str) -> dict[str, str]:
    """As text: YAML makes a number of ``cpu: 2``, and server-side apply refuses one."""
    return {name: str(value) for name, value in (wanted.get(group) or {}).items()}


def _from_secret(secret: str, key: str, *, optional: bool = False) -> dict[str, Any]:
    return {
        "name": key,
        "valueFrom": {"secretKeyRef": {"name": secret, "key": key, **given(optional=optional or None)}},
    }
