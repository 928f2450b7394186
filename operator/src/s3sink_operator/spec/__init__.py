"""An S3Sink's spec: what the API server has admitted, as frozen types, or every problem at once.

The way of a spec: ``types`` (each field by its kind, in ``kinds``, ``shapes``, ``labels``, ``patterns``,
``templates``, ``pods``) → ``checks`` (what single fields can't tell) → ``Spec``. ``crds/`` and ``docs/s3sink.md`` are
made from the types.
A spec that is accepted here is never refused by the ingester; ``tests/contract`` compares the two.
"""

from s3sink_operator.spec.checks import usable_bytes_needed
from s3sink_operator.spec.parse import parse
from s3sink_operator.spec.types import (
    USABLE_PERCENT,
    Auth,
    Autoscaling,
    Batch,
    Buffer,
    CaBundle,
    Credentials,
    Destination,
    Encryption,
    Firehose,
    Monitoring,
    NetworkPolicy,
    ObjectLayout,
    Partitioning,
    PodDisruptionBudget,
    PodTemplate,
    SecretRef,
    Service,
    Source,
    Spec,
    Tls,
    usable_bytes,
)

__all__ = [
    "USABLE_PERCENT",
    "Auth",
    "Autoscaling",
    "Batch",
    "Buffer",
    "CaBundle",
    "Credentials",
    "Destination",
    "Encryption",
    "Firehose",
    "Monitoring",
    "NetworkPolicy",
    "ObjectLayout",
    "Partitioning",
    "PodDisruptionBudget",
    "PodTemplate",
    "SecretRef",
    "Service",
    "Source",
    "Spec",
    "Tls",
    "parse",
    "usable_bytes",
    "usable_bytes_needed",
]
