"""A sink's children as they are to be against those that are there: what is applied, deleted, left alone. Pure.

What isn't ours is never overwritten. Nothing is applied onto an object that is ending; the next pass makes it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from s3sink_operator import drift, names
from s3sink_operator.fleet import Kinship, controller_of, is_terminating, kinship, uid_of
from s3sink_operator.state import (
    SERVICE_MONITOR,
    STATEFUL_SET,
    Action,
    Apply,
    Delete,
    Object,
    Observed,
    Ref,
    ref_of,
)

_OPTIONAL_KINDS: Final = frozenset({SERVICE_MONITOR})
"""Kinds that an API server may not have."""
_FIXED: Final = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
"""Fields of a StatefulSet's spec that can't be changed: those of the live one are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """What is to be done."""

    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    conflicts: tuple[str, ...] = ()
    """What stands where a child should be, each with what to do."""
    unserved: tuple[str, ...] = ()
    """Children of kinds that the API server doesn't have."""
    differing: frozenset[Ref] = field(default=frozenset())
    """Children that aren't as rendered, also those that nothing can be done about now."""
    is_rolling: bool = False
    """Applying rolls the pods: what the StatefulSet's status says is about an earlier spec."""

    @property
    def actions(self) -> tuple[Action, ...]:
        """In order."""
        return (*self.applies, *self.deletes)


def compare(observed: Observed, rendered: Sequence[Object], optional: Iterable[Ref]) -> Children:
    """Decide. ``rendered``: in the order of applying. ``optional``: deleted where they aren't rendered."""
    wanted = [one for one in rendered if _can_be(ref_of(one), observed)]
    applies, differing, is_rolling = [], set(), False
    for manifest in wanted:
        ref = ref_of(manifest)
        live = observed.children.get(ref)
        manifest = _with_fixed(manifest, live) if ref.resource == STATEFUL_SET else manifest
        reason = "it isn't there" if live is None else drift.difference(live, manifest)
        if reason is None:
            continue
        differing.add(ref)
        if live is None or _may_touch(live, observed.sink):
            applies.append(Apply(manifest, reason))
            is_rolling |= live is not None and ref.resource == STATEFUL_SET and _rolls(live, manifest, reason)
    refs = {ref_of(manifest) for manifest in wanted}
    return Children(
        applies=tuple(applies),
        deletes=tuple(_unwanted(observed, (ref for ref in optional if ref not in refs))),
        conflicts=conflicts(observed, refs),
        unserved=tuple(
            f"the cluster has no {one['kind']} ({one['apiVersion']}); install its definition, or don't ask for one"
            for one in rendered
            if not _can_be(ref_of(one), observed)
        ),
        differing=frozenset(differing),
        is_rolling=is_rolling,
    )


def conflicts(observed: Observed, refs: Iterable[Ref]) -> tuple[str, ...]:
    """What stands where these children should be."""
    found = []
    for ref in sorted(refs):
        live = observed.children.get(ref)
        if live is not None and kinship(live, observed.sink) is Kinship.FOREIGN:
            owner = controller_of(live)
            whose = f"belongs to the {owner['kind']} {owner['name']}" if owner else "isn't this sink's"
            found.append(
                f"{ref.kind} {ref.name} {whose}: delete it, or label it {names.SINK_LABEL}="
                f"{observed.sink['metadata']['name']} to have it taken over"
                if owner is None
                else f"{ref.kind} {ref.name} {whose}: delete it, or give the sink another name"
            )
    return tuple(found)


def scaled(stateful_set: Object, replicas: int) -> Object:
    """The live StatefulSet with another number of replicas and nothing else changed, for a spec that can't be rendered.

    It goes without the hash of what was applied, so that the next rendering is applied whatever it says.
    """
    meta = stateful_set["metadata"]
    annotations = {
        key: value for key, value in (meta.get("annotations") or {}).items() if key != names.APPLIED_HASH
    }
    kept: dict[str, Any] = {
        key: meta[key] for key in ("name", "namespace", "labels", "ownerReferences") if key in meta
    }
    return {
        "apiVersion": STATEFUL_SET.api_version,
        "kind": STATEFUL_SET.kind,
        "metadata": {**kept, "annotations": annotations},
        "spec": {**stateful_set["spec"], "replicas": replicas},
    }


def _rolls(live: Object, manifest: Object, reason: str) -> bool:
    """What was dropped from a rendering can't be seen where it stands: it may be in the template."""
    template = manifest["spec"]["template"]
    return reason == drift.DROPPED or not drift.contains(live["spec"].get("template"), template)


def _can_be(ref: Ref, observed: Observed) -> bool:
    return ref.resource not in _OPTIONAL_KINDS or ref.resource in observed.served


def _may_touch(live: Object, sink: Object) -> bool:
    return not is_terminating(live) and kinship(live, sink) in (Kinship.OURS, Kinship.ADOPTABLE)


def _unwanted(observed: Observed, refs: Iterable[Ref]) -> Iterable[Delete]:
    for ref in refs:
        live = observed.children.get(ref)
        if live is not None and not is_terminating(live) and kinship(live, observed.sink) is Kinship.OURS:
            yield Delete(ref, uid_of(live), "it isn't wanted any more")


def _with_fixed(manifest: Object, live: Object | None) -> Object:
    if live is None:
        return manifest
    fixed = {key: live["spec"][key] for key in _FIXED if key in live["spec"]}
    return {**manifest, "spec": {**manifest["spec"], **fixed}}
