"""Growing volumes in place, under running pods. Pure.

1. Each active claim that is smaller than what is wanted is patched; one that somebody made larger is left so.
2. Once all of them are as large, the StatefulSet's claim template, which can't be changed, follows: the StatefulSet is
   deleted without its pods, just the one that was observed, and the next pass makes it again around them with the
   identical pod template. Only while nothing else moves, so that this never coincides with a rollout.
3. A file system that waits for its pod to end (``FileSystemResizePending``) gets some minutes to grow online; then the
   pods are restarted, one at a time.

No pod ends for it, but in the third case. How much of its volume an ingester may fill stands in its settings, which it
follows in this while it runs; where its own volume isn't as large yet, the file system's size is what it goes by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from s3sink_operator import units
from s3sink_operator.planner import quantities
from s3sink_operator.planner.fleet import (
    Fleet,
    Slot,
    condition,
    is_pod_ready,
    is_terminating,
    time_of,
    uid_of,
)
from s3sink_operator.state import Action, Delete, Object, ref_of

ONLINE_GROWTH: Final = timedelta(minutes=5)
"""How long a file system may take to grow under a running pod before that is restarted."""

_ERRORS: Final = ("ControllerResizeError", "NodeResizeError")


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What is to be done, and how far it is."""

    reason: str
    """``UpToDate``, ``Resizing``, ``FileSystemResizePending``, ``NotExpandable`` or ``ResizeFailed``."""
    message: str
    storage: Mapping[int, str] = field(default_factory=dict)
    """By ordinal: what its claim is to request."""
    resizing: frozenset[int] = frozenset()
    """Ordinals whose volumes aren't as large as they are to be."""
    actions: tuple[Action, ...] = ()


def grow(
    fleet: Fleet, desired: int, size: str, storage_class: Object | None, *, is_settled: bool, now: datetime
) -> Growth:
    """Decide. ``is_settled``: the StatefulSet is as rendered but for its claim template, rolled out, not scaling."""
    active = [slot for slot in fleet.slots.values() if slot.ordinal < desired and _is_bound(slot)]
    smaller = [slot for slot in active if _requested(slot) < quantities.parse(size)]
    if smaller and not _expands(storage_class):
        return Growth(
            reason="NotExpandable",
            message=_not_expandable(smaller, size, storage_class),
            resizing=frozenset(slot.ordinal for slot in smaller),
        )
    if smaller:
        ordinals = frozenset(slot.ordinal for slot in smaller)
        return Growth(
            reason="Resizing",
            message=f"{_volumes(ordinals)} grow to {size}",
            storage=dict.fromkeys(ordinals, size),
            resizing=ordinals,
        )
    growing = [slot for slot in active if _capacity(slot) < _requested(slot)]
    if growing:
        return _wait(fleet, growing, size, is_settled=is_settled, now=now)
    return _template(fleet, size, is_settled=is_settled)


def smallest_volume(fleet: Fleet, desired: int, size: str) -> str:
    """What every volume has, up to ``size``: settings that need more would be refused by the ingesters."""
    return _up_to(size, min(_capacities(fleet, desired), default=None))


def largest_volume(fleet: Fleet, desired: int, size: str) -> str:
    """What a volume has, up to ``size``. Not more: folders that are called volumes are as large as their disk."""
    return _up_to(size, max(_capacities(fleet, desired), default=None))


def template_size(stateful_set: Object | None) -> str | None:
    """What the claim template requests, as it is written; None without a StatefulSet."""
    if stateful_set is None:
        return None
    (template,) = stateful_set["spec"]["volumeClaimTemplates"]
    storage: str = template["spec"]["resources"]["requests"]["storage"]
    return storage


def _wait(fleet: Fleet, growing: list[Slot], size: str, *, is_settled: bool, now: datetime) -> Growth:
    ordinals = frozenset(slot.ordinal for slot in growing)
    errors = [text for slot in growing if (text := _error(slot)) is not None]
    if errors:
        return Growth(reason="ResizeFailed", message="; ".join(errors), resizing=ordinals)
    pending = [slot for slot in growing if _pending_since(slot) is not None]
    if not pending:
        return Growth(reason="Resizing", message=f"{_volumes(ordinals)} grow to {size}", resizing=ordinals)
    return Growth(
        reason="FileSystemResizePending",
        message=f"the file systems of {_volumes(slot.ordinal for slot in pending)} wait to grow; where that isn't "
        "possible under a running pod, pods are restarted one at a time",
        resizing=ordinals,
        actions=_restart(fleet, pending, now) if is_settled else (),
    )


def _restart(fleet: Fleet, pending: list[Slot], now: datetime) -> tuple[Action, ...]:
    """One pod whose volume has waited long enough, while all others are ready. One restart has to do."""
    for slot in reversed(pending):
        pod, since = slot.pod, _pending_since(slot)
        others = [one.pod for one in fleet.slots.values() if one.ordinal != slot.ordinal and one.has_replica]
        if since is None or now - since < ONLINE_GROWTH or pod is None or is_terminating(pod):
            continue
        was_restarted = time_of(pod["metadata"]["creationTimestamp"]) > since
        if not was_restarted and all(map(_takes_records, others)):
            return (Delete(ref_of(pod), uid_of(pod), "its file system grows only when it is mounted again"),)
    return ()


def _takes_records(pod: Object | None) -> bool:
    return pod is not None and is_pod_ready(pod) and not is_terminating(pod)


def _template(fleet: Fleet, size: str, *, is_settled: bool) -> Growth:
    """All volumes are as large as they are to be."""
    done = Growth(reason="UpToDate", message="all volumes are as large as they are to be")
    stateful_set, requested = fleet.stateful_set, template_size(fleet.stateful_set)
    if stateful_set is None or requested is None or is_terminating(stateful_set) or not is_settled:
        return done
    if quantities.parse(requested) >= quantities.parse(size):
        return done
    reason = f"its claim template, which can't be changed, is to say {size}; its pods stay"
    return Growth(
        reason="Resizing",
        message="the StatefulSet is made again around its pods, so that new volumes are as large",
        actions=(Delete(ref_of(stateful_set), uid_of(stateful_set), reason, propagation="Orphan"),),
    )


def _capacities(fleet: Fleet, desired: int) -> list[Any]:
    """Of volumes that are there."""
    active = (slot for slot in fleet.slots.values() if slot.ordinal < desired and _is_bound(slot))
    return [capacity for slot in active if (capacity := _capacity(slot))]


def _up_to(size: str, capacity: Any) -> str:
    """``size`` as it is written, where there is as much or nothing is known."""
    return (
        size if capacity is None or capacity >= quantities.parse(size) else units.format_size(int(capacity))
    )


def _is_bound(slot: Slot) -> bool:
    claim = slot.claim
    return (
        claim is not None
        and slot.is_ours
        and not is_terminating(claim)
        and claim.get("status", {}).get("phase") == "Bound"
    )


def _requested(slot: Slot) -> Any:
    claim: Object = slot.claim or {}
    return quantities.parse(claim["spec"]["resources"]["requests"]["storage"])


def _capacity(slot: Slot) -> Any:
    claim: Object = slot.claim or {}
    return quantities.parse(claim.get("status", {}).get("capacity", {}).get("storage", 0))


def _pending_since(slot: Slot) -> datetime | None:
    """Since when the volume has grown and its file system hasn't."""
    found = condition(slot.claim or {}, "FileSystemResizePending")
    if found is None or found["status"] != "True":
        return None
    return time_of(found["lastTransitionTime"])


def _error(slot: Slot) -> str | None:
    for type_ in _ERRORS:
        found = condition(slot.claim or {}, type_)
        if found is not None and found["status"] == "True":
            name = (slot.claim or {})["metadata"]["name"]
            return f"{name}: {found.get('message') or type_}"
    return None


def _expands(storage_class: Object | None) -> bool:
    return storage_class is not None and bool(storage_class.get("allowVolumeExpansion"))


def _not_expandable(smaller: list[Slot], size: str, storage_class: Object | None) -> str:
    name = storage_class["metadata"]["name"] if storage_class is not None else None
    which = f"the StorageClass {name} doesn't allow it" if name else "they have no StorageClass"
    return (
        f"{_volumes(slot.ordinal for slot in smaller)} can't grow to {size}: {which} (allowVolumeExpansion); "
        "let the class expand volumes, or make another S3Sink"
    )


def _volumes(ordinals: Iterable[int]) -> str:
    listed = sorted(ordinals)
    return f"volume{'s' if len(listed) > 1 else ''} {', '.join(map(str, listed))}"
