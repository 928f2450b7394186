"""Does a live object still hold what was rendered? Then nothing is applied, so that a second look finds no work. Pure.

Two questions. *Containment*: is every field that was rendered there, with its value? The API server adds defaults and
others add fields of their own; those aren't ours. *The applied hash*: was it this rendering that was applied last? That
tells when a field was dropped from it, which containment can't see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.planner import quantities
from s3sink_operator.state import Object

DROPPED: Final = "what is wanted has changed"
"""The reason where a field was dropped from a rendering."""

_KEYS: Final = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "port"),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Lists that server-side apply merges, and by what: others may have items of their own in them. Any other list is one
value, and an item too many is a difference."""
_ONE_VALUE: Final = (".ingress", ".egress")
"""Below these (of a NetworkPolicy) no list is merged."""
_QUANTITIES: Final = frozenset({"requests", "limits", "capacity"})
"""Maps whose values are quantities, which the API server may write another way."""
_QUANTITY_FIELDS: Final = frozenset({"sizeLimit", "averageValue", "divisor"})


def difference(live: Object, rendered: Object) -> str | None:
    """Why ``rendered`` is to be applied: the first field that isn't as it was rendered. None: nothing is to be done."""
    path = _differs(live, _without_hash(rendered), "")
    if path is not None:
        return f"{path} isn't as it should be"
    if _hash(live) != _hash(rendered):
        return DROPPED
    return None


def contains(live: object, rendered: object) -> bool:
    """Whether every field of ``rendered`` is in ``live`` with the same value."""
    return _differs(live, rendered, "") is None


def _hash(obj: Object) -> str | None:
    annotations: Mapping[str, str] = obj["metadata"].get("annotations") or {}
    return annotations.get(names.APPLIED_HASH)


def _without_hash(obj: Object) -> Object:
    """It differs with every field, and says of none which."""
    meta = obj["metadata"]
    kept = {key: value for key, value in (meta.get("annotations") or {}).items() if key != names.APPLIED_HASH}
    return {**obj, "metadata": {**meta, "annotations": kept}}


def _differs(live: object, rendered: object, path: str) -> str | None:
    """Path of the first field that differs."""
    if isinstance(rendered, Mapping):
        return _map_differs(live, rendered, path)
    if isinstance(rendered, Sequence) and not isinstance(rendered, str):
        return _list_differs(live, rendered, path)
    if live == rendered and isinstance(live, bool) == isinstance(rendered, bool):
        return None
    return None if live is None and rendered in ("", None) else path or "."


def _map_differs(live: object, rendered: Mapping[str, Any], path: str) -> str | None:
    if live is None and not rendered:  # the API server leaves out what is empty
        return None
    if not isinstance(live, Mapping):
        return path or "."
    are_quantities = path.rpartition(".")[2] in _QUANTITIES
    for key, value in rendered.items():
        if are_quantities or key in _QUANTITY_FIELDS:
            if not quantities.are_equal(live.get(key), value):
                return f"{path}.{key}"
        elif (found := _differs(live.get(key), value, f"{path}.{key}")) is not None:
            return found
    return None


def _list_differs(live: object, rendered: Sequence[Any], path: str) -> str | None:
    if live is None and not rendered:
        return None
    if not isinstance(live, Sequence) or isinstance(live, str):
        return path
    key = _key_of(rendered, path)
    if key is None:
        if len(live) != len(rendered):
            return path
        pairs = [
            (str(index), one, other) for index, (one, other) in enumerate(zip(live, rendered, strict=True))
        ]
    else:
        there = {one.get(key): one for one in live if isinstance(one, Mapping)}
        pairs = [(one[key], there.get(one[key]), one) for one in rendered]
    for name, one, other in pairs:
        if (found := _differs(one, other, f"{path}[{name}]")) is not None:
            return found
    return None


def _key_of(items: Sequence[Any], path: str) -> str | None:
    """What tells the items of a list apart; None if it is one value."""
    if any(part in path for part in _ONE_VALUE) or not all(isinstance(item, Mapping) for item in items):
        return None
    for key in _KEYS.get(path.rpartition(".")[2], ()):
        values = [item.get(key) for item in items]
        if None not in values and len(set(values)) == len(values):
            return key
    return None
