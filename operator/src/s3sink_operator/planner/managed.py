"""What ``managedFields`` say of an object: which fields are as the operator applied them, and since when. Pure.

The API server notes who set a field before admission sees the request. So a field whose value isn't what was applied,
and which is still noted as the operator's, was changed by admission (a mutating webhook or policy), or by the API
server itself: applying it again would give the same again. Whoever else changes a field, takes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.planner.fleet import time_of
from s3sink_operator.state import Object

Fields = Mapping[str, Any]
"""A part of a ``fieldsV1``: ``f:<field>`` and ``k:<keys of an item as JSON>``, each with what is below it. What has
nothing below it is owned as a whole."""

NONE: Final[Fields | None] = None
"""Nothing here is the operator's."""


def applied(obj: Object) -> Fields | None:
    """What the operator has applied last and still owns; None if there is nothing."""
    for entry in _entries(obj, "Apply", ""):
        if entry["manager"] == names.FIELD_MANAGER:
            fields: Fields = entry.get("fieldsV1") or {}
            return fields or NONE
    return NONE


def applied_at(obj: Object) -> datetime | None:
    """When the operator last changed the object."""
    times = (_time(entry) for entry in _entries(obj, "Apply", "") if entry["manager"] == names.FIELD_MANAGER)
    return next(times, None)


def status_at(obj: Object) -> datetime | None:
    """When its controller last had something new to say."""
    times = [time for entry in _entries(obj, "Update", "status") if (time := _time(entry)) is not None]
    return max(times, default=None)


def is_whole(fields: Fields | None) -> bool:
    """The operator owns all that is here as one value."""
    return fields is not None and not fields


def field(fields: Fields | None, name: str) -> Fields | None:
    """Of a map, what is owned of one field."""
    return fields.get(f"f:{name}") if fields else fields


def item(fields: Fields | None, value: Mapping[str, Any]) -> Fields | None:
    """Of a list that is merged by keys, what is owned of the item that has this one's keys. Keys that it doesn't have
    are defaults."""
    if not fields:
        return fields
    for key, below in fields.items():
        if key.startswith("k:"):
            keys: Mapping[str, Any] = json.loads(key[2:])
            if all(value.get(name, wanted) == wanted for name, wanted in keys.items()):
                owned: Fields = below
                return owned
    return NONE


def _entries(obj: Object, operation: str, subresource: str) -> Iterator[Mapping[str, Any]]:
    for entry in obj["metadata"].get("managedFields") or ():
        if entry.get("operation") == operation and entry.get("subresource", "") == subresource:
            yield entry


def _time(entry: Mapping[str, Any]) -> datetime | None:
    return time_of(entry["time"]) if entry.get("time") else None
