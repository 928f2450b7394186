"""A HorizontalPodAutoscaler on the S3Sink's own scale, so that a pod is emptied before it goes. Pure."""

from __future__ import annotations

from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.manifests.base import Context, Owner, child
from s3sink_operator.spec import Autoscaling, Spec

KIND = ("autoscaling/v2", "HorizontalPodAutoscaler")

SETTLING_SECONDS: Final = 600
"""How long the load has to be low before a pod goes. Kubernetes' own 300 would be less than a burst's pause; each step
down empties a volume and makes objects that are smaller than they might be."""
STEP_SECONDS: Final = 300
"""Time between two steps down, of one pod or a tenth of them: draining one before the next is looked at."""


def autoscaler(spec: Spec, owner: Owner, context: Context) -> dict[str, Any]:
    """By the ingesters' CPU alone: a container that somebody else puts into the pod doesn't count. Up as Kubernetes
    does it by itself: at once."""
    bounds = spec.autoscaling or Autoscaling(max_replicas=1)
    return child(
        KIND,
        names.child(owner.name),
        owner,
        spec={
            "scaleTargetRef": {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": owner.name},
            "minReplicas": bounds.min_replicas,
            "maxReplicas": bounds.max_replicas,
            "metrics": [
                {
                    "type": "ContainerResource",
                    "containerResource": {
                        "name": "cpu",
                        "container": names.CONTAINER,
                        "target": {
                            "type": "Utilization",
                            "averageUtilization": bounds.target_cpu_utilization_percentage,
                        },
                    },
                }
            ],
            "behavior": {
                "scaleDown": {
                    "stabilizationWindowSeconds": SETTLING_SECONDS,
                    "selectPolicy": "Max",
                    "policies": [
                        {"type": "Pods", "value": 1, "periodSeconds": STEP_SECONDS},
                        {"type": "Percent", "value": 10, "periodSeconds": STEP_SECONDS},
                    ],
                }
            },
        },
    )


def is_wanted(spec: Spec, owner: Owner, context: Context) -> bool:
    """Only if there are bounds."""
    return spec.autoscaling is not None
