"""Kubernetes events about sinks, as ``kubectl describe`` shows them. Pure.

An event's name is derived from what it says, so that one that happens again counts up the one that is there, also
after a restart of the operator.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from s3sink_operator.names import FIELD_MANAGER
from s3sink_operator.state import Event, Object

_MESSAGE_BYTES: Final = 1024
"""What the API server takes."""


def first(sink: Object, event: Event, now: str, instance: str) -> dict[str, Any]:
    """The event as it is created. ``now``: RFC 3339, whole seconds. ``instance``: who says so."""
    meta = sink["metadata"]
    message = _cut(event.message)
    said = "\0".join((meta["uid"], event.type, event.reason, message))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "namespace": meta["namespace"],
            "name": f"{meta['name']}.{hashlib.sha256(said.encode()).hexdigest()[:16]}",
        },
        "involvedObject": {
            "apiVersion": sink["apiVersion"],
            "kind": sink["kind"],
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
        },
        "type": event.type.value,
        "reason": event.reason,
        "message": message,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": instance,
    }


def again(found: Object, now: str) -> dict[str, Any]:
    """Merge patch of an event that happened before."""
    return {"count": int(found.get("count") or 1) + 1, "lastTimestamp": now}


def _cut(message: str) -> str:
    data = message.encode()
    if len(data) <= _MESSAGE_BYTES:
        return message
    return data[: _MESSAGE_BYTES - 3].decode(errors="ignore") + "…"
