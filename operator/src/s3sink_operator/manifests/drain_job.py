"""The Job that empties a volume which has no pod. Pure.

It has no owner reference, so that it outlives a sink that is deleted in the foreground. Its pods don't have the label
that Services, StatefulSets and budgets select by; they use the same account, settings and credentials, but nothing that
only the data port needs. New settings or credentials make another Job: the one before it may be trying in vain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.manifests import pod
from s3sink_operator.manifests.base import Context, Owner, orphan, with_hash
from s3sink_operator.spec import Spec
from s3sink_operator.state import JOB

KIND = (JOB.api_version, JOB.kind)

GRACE_SECONDS: Final = 30
RETRIES: Final = 6
HOPELESS: Final = (2, 4)
"""Exit codes that another try wouldn't change: settings that can't be used, a volume of a newer format."""


def drain_jobs(spec: Spec, owner: Owner, context: Context) -> Callable[[int, str], dict[str, Any]]:
    """What makes the Job of an ordinal, for the drain of an epoch."""

    def job(ordinal: int, epoch: str) -> dict[str, Any]:
        return with_hash(_job(spec, owner, context, ordinal, epoch))

    return job


def _job(spec: Spec, owner: Owner, context: Context, ordinal: int, epoch: str) -> dict[str, Any]:
    manifest = orphan(
        KIND,
        names.drain_job(owner.name, ordinal),
        owner,
        annotations={names.DRAIN: f"requested/{epoch}"},
        spec={
            "backoffLimit": RETRIES,
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": names.CONTAINER,
                            "operator": "In",
                            "values": list(HOPELESS),
                        },
                    },
                ]
            },
            "template": {
                "metadata": pod.metadata(spec, context, _pod_labels(owner, ordinal)),
                "spec": _pod(spec, owner, context, ordinal, epoch),
            },
        },
    )
    manifest["metadata"]["labels"][names.ORDINAL_LABEL] = str(ordinal)
    return manifest


def _pod_labels(owner: Owner, ordinal: int) -> dict[str, str]:
    return {
        **{name: value for name, value in names.labels(owner.name).items() if name != names.SINK_LABEL},
        "app.kubernetes.io/component": "drain",
        names.SINK_UID_LABEL: owner.uid,
        names.ORDINAL_LABEL: str(ordinal),
    }


def _pod(spec: Spec, owner: Owner, context: Context, ordinal: int, epoch: str) -> dict[str, Any]:
    container = {
        # A volume that is proven to be empty stays so: whatever pod gets it takes no records until it is told to.
        **pod.container(spec, context, ["drain", "--epoch", epoch]),
        # Objects are called as those of the pod that took the records.
        "env": pod.environment(spec, {"value": names.pod(owner.name, ordinal)}),
        "ports": [{"name": names.ADMIN_PORT_NAME, "containerPort": names.ADMIN_PORT, "protocol": "TCP"}],
    }
    made = pod.pod_spec(spec, owner, container)
    claim = {"claimName": names.volume_claim(owner.name, ordinal)}
    made["volumes"].append({"name": names.BUFFER_VOLUME, "persistentVolumeClaim": claim})
    return {**made, "restartPolicy": "Never", "terminationGracePeriodSeconds": GRACE_SECONDS}
