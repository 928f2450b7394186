"""What all builders share: whose child it is, what is known beside the spec, metadata, digests. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from s3sink_operator import names
from s3sink_operator.state import Object, Resource

_DIGEST_LENGTH: Final = 16
"""Hexadecimal digits: 64 bits, plenty to tell a few versions of one object apart."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The S3Sink."""

    name: str
    namespace: str
    uid: str

    @classmethod
    def of(cls, sink: Object) -> Self:
        """From the object."""
        meta = sink["metadata"]
        return cls(meta["name"], meta["namespace"], meta["uid"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What manifests depend on besides the spec."""

    image: str
    """Of the ingester."""
    replicas: int
    """Pods that the StatefulSet is to have now."""
    claim_size: str
    """What the claim template requests. A live StatefulSet's can't be changed, so it isn't always the spec's."""
    volume_size: str
    """Of the largest volume: the buffer's size in the settings is made of it."""
    credentials_hash: str = ""
    """Digest of the Secrets that are read at the start; empty without one."""
    release: str = ""
    """Version of the operator; empty: it isn't noted."""
    served: frozenset[Resource] = frozenset()
    """Optional kinds that the API server has now."""


def child(kind: tuple[str, str], name: str, owner: Owner, **fields: Any) -> dict[str, Any]:
    """A manifest that belongs to the sink. ``kind``: API version and kind; ``fields``: what it has besides metadata."""
    metadata = {"name": name, "namespace": owner.namespace, "labels": names.labels(owner.name)}
    return _manifest(kind, {**metadata, "ownerReferences": [_owner_reference(owner)]}, fields)


def orphan(kind: tuple[str, str], name: str, owner: Owner, **fields: Any) -> dict[str, Any]:
    """A manifest that outlives the sink: only labels say whose it is."""
    labels = {**names.labels(owner.name), names.SINK_UID_LABEL: owner.uid}
    return _manifest(kind, {"name": name, "namespace": owner.namespace, "labels": labels}, fields)


def with_hash(manifest: Object) -> dict[str, Any]:
    """The manifest with its own digest, made without it, as an annotation."""
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), names.APPLIED_HASH: digest(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def digest(value: object) -> str:
    """Of anything that JSON can say, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]


def given(**fields: Any) -> dict[str, Any]:
    """The fields that hold something: what the user left out isn't ours, and others may set it."""
    return {name: value for name, value in fields.items() if value not in (None, "", {}, [])}


def without_nulls(value: Any) -> Any:
    """What a user wrote, without the fields that are null: they mean the same as none, but apply as values."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def _manifest(kind: tuple[str, str], metadata: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    api_version, name = kind
    annotations = fields.get("annotations")
    if annotations:
        metadata["annotations"] = annotations
    rest = {key: value for key, value in fields.items() if key != "annotations"}
    return {"apiVersion": api_version, "kind": name, "metadata": metadata, **rest}


def _owner_reference(owner: Owner) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
