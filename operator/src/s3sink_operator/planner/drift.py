"""Does a live object still hold what was rendered? Then nothing is applied, so that a second look finds no work. Pure.

Three questions. *Containment*: is every field that was rendered there, with its value? The API server adds defaults,
others add fields of their own; those aren't ours. *Ownership*: who changed one that isn't so? What somebody edits is
put back; what admission made of our own request stays, but for the number of replicas, since it would make the same of
the next one. *The applied hash*: was it this rendering that was applied last? That tells when a value in it was
changed, or a field dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.planner import managed, quantities
from s3sink_operator.planner.managed import Fields
from s3sink_operator.state import Object

DROPPED: Final = "what is wanted has changed"
"""The reason where a field was dropped from a rendering."""

_NAMED: Final = (("name",),)
_KEYS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "containers": _NAMED,
    "env": _NAMED,
    "imagePullSecrets": _NAMED,
    "initContainers": _NAMED,
    "ownerReferences": (("uid",),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
    "volumeMounts": (("mountPath",),),
    "volumes": _NAMED,
}
"""Lists that server-side apply merges, and by which fields together: others may have items of their own in them. Any
other list is one value, and an item too many is a difference."""
_DEFAULT_KEYS: Final = {"protocol": "TCP"}
_ONE_VALUE: Final = (".ingress", ".egress")
"""Below these (of a NetworkPolicy) no list is merged."""
_QUANTITIES: Final = frozenset({"requests", "limits", "capacity"})
"""Maps whose values are quantities, which the API server may write another way."""
_QUANTITY_FIELDS: Final = frozenset({"sizeLimit", "averageValue", "divisor"})
_REPLICAS: Final = ".spec.replicas"
"""Of a StatefulSet. Scaling goes on from those that are there, so it would stop for good if another number were
accepted; a policy that sets one by the time of day may have gone with the next request."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that isn't as it was rendered. ``is_ours``: nobody has changed it since it was applied, but admission."""

    path: str
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """How a live object stands to a rendering. ``is_applied``: it was this one that was applied last.

    ``differences`` are all but that of the hash, which differs with every field and says of none which.
    """

    is_applied: bool
    differences: tuple[Difference, ...]

    @property
    def reason(self) -> str | None:
        """Why the rendering is to be applied: the first field that isn't so. None: nothing is to be done."""
        for one in self.differences:
            if not (self.is_applied and one.is_ours):
                return f"{one.path} isn't as it should be"
        return None if self.is_applied else DROPPED

    @property
    def rewritten(self) -> tuple[str, ...]:
        """Paths of what admission changed when it was applied."""
        return tuple(one.path for one in self.differences if one.is_ours) if self.is_applied else ()


def between(live: Object, rendered: Object) -> Drift:
    """Compare them."""
    # What was applied without a hash wasn't a rendering: then its values are ours and needn't be what is wanted.
    applied = _hash(live)
    owned = managed.NONE if applied is None else managed.applied(live)
    return Drift(applied == _hash(rendered), tuple(_differ(live, _without_hash(rendered), owned, "")))


def contains(live: object, rendered: object) -> bool:
    """Whether every field of ``rendered`` is in ``live`` with the same value."""
    return next(_differ(live, rendered, managed.NONE, ""), None) is None


def _hash(obj: Object) -> str | None:
    annotations: Mapping[str, str] = obj["metadata"].get("annotations") or {}
    return annotations.get(names.APPLIED_HASH)


def _without_hash(obj: Object) -> Object:
    meta = obj["metadata"]
    kept = {key: value for key, value in (meta.get("annotations") or {}).items() if key != names.APPLIED_HASH}
    return {**obj, "metadata": {**meta, "annotations": kept}}


def _differ(live: object, rendered: object, owned: Fields | None, path: str) -> Iterator[Difference]:
    if isinstance(rendered, Mapping):
        yield from _maps_differ(live, rendered, owned, path)
    elif isinstance(rendered, Sequence) and not isinstance(rendered, str):
        yield from _lists_differ(live, rendered, owned, path)
    elif live == rendered and isinstance(live, bool) == isinstance(rendered, bool):
        return
    elif live is not None or rendered not in ("", None):
        yield Difference(path or ".", owned is not None and path != _REPLICAS)


def _maps_differ(
    live: object, rendered: Mapping[str, Any], owned: Fields | None, path: str
) -> Iterator[Difference]:
    if live is None and not rendered:  # the API server leaves out what is empty
        return
    if not isinstance(live, Mapping):
        yield Difference(path or ".", owned is not None)
        return
    are_quantities = path.rpartition(".")[2] in _QUANTITIES
    for key, value in rendered.items():
        below = managed.field(owned, key)
        if not (are_quantities or key in _QUANTITY_FIELDS):
            yield from _differ(live.get(key), value, below, f"{path}.{key}")
        elif not quantities.are_equal(live.get(key), value):
            yield Difference(f"{path}.{key}", below is not None)


def _lists_differ(
    live: object, rendered: Sequence[Any], owned: Fields | None, path: str
) -> Iterator[Difference]:
    if live is None and not rendered:
        return
    if not isinstance(live, Sequence) or isinstance(live, str):
        yield Difference(path, owned is not None)
        return
    keys = _keys_of(rendered, path)
    if keys is not None:
        there = {_identity(one, keys): one for one in live if isinstance(one, Mapping)}
        for item in rendered:
            one, below = there.get(_identity(item, keys)), managed.item(owned, item)
            yield from _differ(one, item, below, f"{path}[{item[keys[0]]}]")
    elif len(live) != len(rendered):
        yield Difference(path, managed.is_whole(owned))
    else:
        below = owned if managed.is_whole(owned) else managed.NONE
        for index, (one, other) in enumerate(zip(live, rendered, strict=True)):
            yield from _differ(one, other, below, f"{path}[{index}]")


def _keys_of(items: Sequence[Any], path: str) -> tuple[str, ...] | None:
    """What tells the items of a list apart; None if it is one value."""
    if any(part in path for part in _ONE_VALUE) or not all(isinstance(item, Mapping) for item in items):
        return None
    for keys in _KEYS.get(path.rpartition(".")[2], ()):
        found = {_identity(item, keys) for item in items}
        if len(found) == len(items) and not any(None in one for one in found):
            return keys
    return None


def _identity(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key, _DEFAULT_KEYS.get(key)) for key in keys)
