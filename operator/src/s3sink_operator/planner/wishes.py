"""The few wishes that are followed even while the rest of a spec can't be: how many, how large, what to keep. Pure.

The API server has checked their types. A field that is missing has the CRD's default; what can't be read as it should
(a CRD of another version) has it too, so that a sink can always be scaled and deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from s3sink_operator.spec import Buffer, Spec
from s3sink_operator.state import Object
from s3sink_operator.units import parse_size

WhenScaled = Literal["DeleteAfterDrain", "Retain"]
WhenDeleted = Literal["DrainThenDelete", "DrainThenRetain", "Retain", "DiscardData"]

_BUFFER = Buffer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """See the fields of the same names in ``spec``."""

    replicas: int
    """With autoscaling at least its `minReplicas`, unless 0: the autoscaler would raise it to that a moment later.
    Whoever takes `replicas` out of a manifest, to leave it to the autoscaler, gets the default of 1 and would lose the
    other pods meanwhile."""
    size: str
    high_watermark_percent: int
    when_scaled: WhenScaled
    when_deleted: WhenDeleted
    bucket: str
    port: int
    has_tls: bool


def wishes_of(sink: Object) -> Wishes:
    """Read them from a sink."""
    spec = _map(sink.get("spec"))
    buffer, service = _map(spec.get("buffer")), _map(spec.get("service"))
    return Wishes(
        replicas=_replicas(spec),
        size=_size(buffer.get("size")),
        high_watermark_percent=_int(buffer.get("highWatermarkPercent"), _BUFFER.high_watermark_percent),
        # Of what isn't known, nothing is deleted.
        when_scaled=cast(
            WhenScaled, _one_of(buffer.get("whenScaled", _BUFFER.when_scaled), WhenScaled, "Retain")
        ),
        when_deleted=cast(
            WhenDeleted,
            _one_of(buffer.get("whenDeleted", _BUFFER.when_deleted), WhenDeleted, "DrainThenRetain"),
        ),
        bucket=str(_map(spec.get("destination")).get("bucket", "")),
        port=_int(service.get("port"), 80),
        has_tls=bool(_map(_map(spec.get("source")).get("tls")).get("secretRef")),
    )


def _replicas(spec: Mapping[str, Any]) -> int:
    replicas = _int(spec.get("replicas"), Spec.model_fields["replicas"].default)
    if (
        replicas == 0 or spec.get("autoscaling") is None
    ):  # 0 switches the autoscaler off, as everywhere in Kubernetes
        return replicas
    return max(replicas, _int(_map(spec["autoscaling"]).get("minReplicas"), 1))


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _int(value: object, default: int) -> int:
    return value if isinstance(value, int) and value >= 0 else default


def _size(value: object) -> str:
    try:
        parse_size(str(value))
    except ValueError:
        return _BUFFER.size
    return str(value)


def _one_of(value: object, choices: Any, otherwise: str) -> str:
    return value if isinstance(value, str) and value in get_args(choices) else otherwise
