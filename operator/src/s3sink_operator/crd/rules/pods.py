"""Rules about volumes, pods and their number. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from s3sink_operator.crd.rules.rule import Rule, matches, object_name, text
from s3sink_operator.spec import pods

_BUFFER_SIZE = (
    Rule(
        "!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0",
        '"volumes can\'t shrink; write at least \'" + oldSelf + "\'"',
        computed=True,
    ),
)
_STORAGE_CLASS_NAME = (
    Rule(
        "self == oldSelf",
        '"the class of volumes can\'t be changed; write \'" + oldSelf + "\', or make another S3Sink"',
        computed=True,
    ),
)

_ENV = (
    Rule(
        f"self.all(e, !(e.name in [{', '.join(text(name) for name in pods.OUR_ENV)}]))",
        f"{' and '.join(pods.OUR_ENV)} are set by the operator; take them out",
    ),
)
_MAX_UNAVAILABLE = (
    Rule(
        f"type(self) == int ? int(self) >= 0 && int(self) <= {pods.MAX_REPLICAS} :"
        f" {matches('string(self)', pods.PERCENT_PATTERN)}",
        "not a number of pods; write one such as 1, or a percentage such as '25%'",
    ),
)
_AUTOSCALING = (
    Rule(
        "self.minReplicas <= self.maxReplicas",
        "more than maxReplicas; write a smaller number, or more in maxReplicas",
        field=".minReplicas",
    ),
)

RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "source.auth.secretRef.name": object_name(optional=False),
    "source.tls.secretRef.name": object_name(optional=False),
    "source.firehose.enabled": (
        Rule("!self", "the Firehose API is planned, but not in this version; write false or take it out"),
    ),
    "buffer.size": _BUFFER_SIZE,
    "buffer.storageClassName": (*object_name(optional=True), *_STORAGE_CLASS_NAME),
    "podTemplate.priorityClassName": object_name(optional=True),
    "podTemplate.serviceAccountName": object_name(optional=True),
    "podTemplate.imagePullSecrets[].name": object_name(optional=False),
    "podTemplate.env": _ENV,
    "podDisruptionBudget.maxUnavailable": _MAX_UNAVAILABLE,
    "autoscaling": _AUTOSCALING,
}
