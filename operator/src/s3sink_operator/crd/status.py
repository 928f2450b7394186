"""The schema of an S3Sink's status, and the columns that ``kubectl get`` shows of it. Pure.

What is not known is left out: nothing here is nullable, and nothing has a default.
"""

from __future__ import annotations

from typing import Any, Final

from s3sink_operator.spec.pods import MAX_REPLICAS

Schema = dict[str, Any]


def _text(description: str, most: int = 1024) -> Schema:
    return {"description": description, "type": "string", "maxLength": most}


def _number(description: str, size: str = "int32") -> Schema:
    return {"description": description, "type": "integer", "format": size, "minimum": 0}


def _time(description: str) -> Schema:
    return {"description": description, "type": "string", "format": "date-time"}


def _fields(description: str, properties: Schema, needed: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {"description": description, "type": "object"}
    if needed:
        schema["required"] = list(needed)
    return {**schema, "properties": properties}


def _keyed(description: str, key: str, most: int, items: Schema) -> Schema:
    """A list whose entries are told apart by one of their fields."""
    return {
        "description": description,
        "type": "array",
        "maxItems": most,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [key],
        "items": items,
    }


_BUFFER = _fields(
    "What the volumes of the pods that could be asked hold, together. Left out if none could.",
    {
        "bytes": _number("Bytes on the volumes that aren't in the bucket yet.", "int64"),
        "capacity": _number("Bytes that the buffers may hold.", "int64"),
        "used": _text("`bytes` for people, such as `1.2Gi`.", 16),
        "oldestRecordTime": _time(
            "When the oldest record came that isn't in the bucket yet, to a few seconds. Left out if there is none."
        ),
    },
)
_UPLOADS = _fields(
    "What was sent to the bucket.",
    {
        "lastSuccess": _time("When the latest object was stored."),
        "failures": _number("Attempts that failed since the pods started; each is made again.", "int64"),
    },
)
_VOLUME = _fields(
    "The volume of one pod.",
    {
        "ordinal": _number("Number of the pod."),
        "pvc": _text("Name of the PersistentVolumeClaim.", 253),
        "phase": {
            "description": "`Active`: a pod has it, or is to have it. `Draining`: what is left on it is uploaded."
            " `Drained`: nothing is left on it. `Undrained`: it has no pod, and something may be left on it."
            " `Resizing`: it is to be larger. `Orphaned`: left by an earlier S3Sink of this name, and not touched"
            " unless this one is scaled up to it.",
            "type": "string",
            "enum": ["Active", "Draining", "Drained", "Undrained", "Resizing", "Orphaned"],
        },
        "capacity": _text("Size of the volume, as its claim says.", 32),
        "bufferedBytes": _number("Bytes on it that aren't in the bucket yet.", "int64"),
    },
    ("ordinal", "pvc", "phase"),
)
_CONDITION = _fields(
    "One aspect of the sink's state.",
    {
        "type": {
            "description": "The aspect, such as `Ready`.",
            "type": "string",
            "maxLength": 316,
            "pattern": r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        },
        "status": {
            "description": "Whether it holds.",
            "type": "string",
            "enum": ["True", "False", "Unknown"],
        },
        "observedGeneration": _number("Generation of the S3Sink that this was judged by.", "int64"),
        "lastTransitionTime": _time("When `status` last changed."),
        "reason": {
            "description": "Why, in one word.",
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "message": _text("Why, and what to do about it.", 32768),
    },
    ("type", "status", "lastTransitionTime", "reason", "message"),
)

STATUS: Final = _fields(
    "How the sink is. Written by the operator.",
    {
        "observedGeneration": _number("Generation of the spec that this is about.", "int64"),
        "conditions": _keyed("Aspects of the sink's state; `Ready` sums them up.", "type", 32, _CONDITION),
        "replicas": _number("Pods that there are."),
        "readyReplicas": _number("Pods that take records."),
        "updatedReplicas": _number("Pods that are as the spec wants them."),
        "selector": _text("Labels of the pods, in text form."),
        "image": _text("Image of the ingesters."),
        "endpoint": _text("URL that clients send records to."),
        "buffer": _BUFFER,
        "uploads": _UPLOADS,
        "volumes": _keyed(
            "Each volume that there is, also those without a pod.", "ordinal", MAX_REPLICAS, _VOLUME
        ),
    },
)  # fmt: skip

SCALE: Final = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def _column(name: str, kind: str, path: str, description: str, priority: int = 0) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": priority} if priority else column


COLUMNS: Final = (
    _column("Ready", "string", ".status.conditions[?(@.type=='Ready')].status", "Whether all is well."),
    _column("Reason", "string", ".status.conditions[?(@.type=='Ready')].reason", "Why, in one word."),
    _column("Replicas", "integer", ".status.replicas", "Pods that there are."),
    _column("Desired", "integer", ".spec.replicas", "Pods that are wanted."),
    _column("Buffered", "string", ".status.buffer.used", "What isn't in the bucket yet."),
    _column(
        "Oldest", "date", ".status.buffer.oldestRecordTime", "Age of the oldest record not in the bucket yet."
    ),
    _column("Age", "date", ".metadata.creationTimestamp", "Age of the S3Sink."),
    _column("Bucket", "string", ".spec.destination.bucket", "Where objects go.", 1),
    _column("Image", "string", ".status.image", "Image of the ingesters.", 1),
)
