"""A pod that holds a volume without an ingester, as docs/operations.md has it: to look at it, or to change it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.rig.kubeapi import PODS, condition, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.rig.anycluster import AnyCluster
    from tests.rig.kubeapi import Object

MOUNT: Final = "/var/lib/s3sink"
_NAME: Final = "look"


@contextmanager
def holding(
    cluster: AnyCluster, namespace: str, claim: str, image: str, node: str | None = None
) -> Iterator[Callable[[str], str]]:
    """It is there meanwhile. Gives what runs a Python script in it and returns what that printed.

    ``image``: the ingester's. ``node``: where another pod has the volume already.
    """
    cluster.api.create(PODS, _pod(namespace, claim, image, node))
    try:
        wait_for(
            lambda: condition(cluster.api.get(PODS, namespace, _NAME), "Ready").get("status") == "True",
            f"pod that holds {claim}",
            why=lambda: cluster.kubectl("-n", namespace, "describe", "pod", _NAME, check=False).stdout,
        )
        yield lambda script: cluster.python(namespace, _NAME, script)
    finally:
        cluster.api.delete(PODS, namespace, _NAME, grace_seconds=0)
        wait_for(lambda: cluster.api.get(PODS, namespace, _NAME) is None, "end of the pod")


def _pod(namespace: str, claim: str, image: str, node: str | None) -> Object:
    user = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532}
    container = {
        "name": "ingester",
        "image": image,
        "command": ["python", "-c", "import time; time.sleep(86400)"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "buffer", "mountPath": MOUNT}],
    }
    spec = {
        "containers": [container],
        "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "buffer", "persistentVolumeClaim": {"claimName": claim}}],
    }
    if node is not None:
        spec["nodeName"] = node
    return {"metadata": {"namespace": namespace, "name": _NAME}, "spec": spec}
