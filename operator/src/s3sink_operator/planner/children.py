"""A sink's children as they are to be against those that are there: what is applied, deleted, left alone. Pure.

What isn't ours is never overwritten. Nothing is applied onto an object that is ending; the next pass makes it again.
While a sink waits for its turn to be rolled by a new operator, its settings and its pod template stay as they are, both
together: pods of the earlier release may refuse the settings of the new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from s3sink_operator import names
from s3sink_operator.planner import drift
from s3sink_operator.planner.drift import Drift
from s3sink_operator.planner.fleet import Kinship, controller_of, is_terminating, kinship, uid_of
from s3sink_operator.state import (
    SERVICE_MONITOR,
    STATEFUL_SET,
    Action,
    Apply,
    Delete,
    Object,
    Observed,
    Ref,
    Resource,
    ref_of,
)

_OPTIONAL_KINDS: Final = frozenset({SERVICE_MONITOR})
"""Kinds that an API server may not have."""
_CONFIG_MAP: Final = Resource("v1", "ConfigMap")
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
    rewritten: tuple[str, ...] = ()
    """Fields that admission changed in what was applied: they stay so."""
    differing: frozenset[Ref] = field(default=frozenset())
    """Children that aren't as rendered, also those that nothing can be done about now."""
    is_rolling: bool = False
    """The pods aren't as rendered: what the StatefulSet's status says is about an earlier spec."""
    is_held: bool = False
    """They stay as they are, and so do their settings, until it is the sink's turn."""

    @property
    def actions(self) -> tuple[Action, ...]:
        """In order."""
        return (*self.applies, *self.deletes)


def compare(
    observed: Observed, rendered: Sequence[Object], optional: Iterable[Ref], *, may_roll: bool = True
) -> Children:
    """Decide. ``rendered``: in the order of applying. ``optional``: deleted where they aren't rendered. ``may_roll``:
    False while the sink waits for its turn."""
    wanted = [one for one in rendered if _can_be(ref_of(one), observed)]
    drifts = {
        ref_of(one): drift.between(live, _applied(one, live, is_held=False))
        for one in wanted
        if (live := observed.children.get(ref_of(one))) is not None
    }
    is_rolling = any(_rolls(one, observed, drifts) for one in wanted)
    is_held = is_rolling and not may_roll
    applies, differing = [], set()
    for manifest in wanted:
        ref = ref_of(manifest)
        live = observed.children.get(ref)
        reason = _reason(manifest, live, drifts.get(ref), is_held=is_held)
        if reason is None:
            continue
        differing.add(ref)
        if live is None or _may_touch(live, observed.sink):
            applies.append(Apply(_applied(manifest, live, is_held=is_held), reason))
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
        rewritten=tuple(
            f"{ref.kind} {ref.name} {path.removeprefix('.')}"
            for ref, found in drifts.items()
            for path in found.rewritten
        ),
        differing=frozenset(differing),
        is_rolling=is_rolling,
        is_held=is_held,
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


def _rolls(manifest: Object, observed: Observed, drifts: Mapping[Ref, Drift]) -> bool:
    """Applying it changes the pods. The digest tells of what was dropped from a rendering, which can't be seen where it
    stands."""
    ref = ref_of(manifest)
    live = observed.children.get(ref)
    if ref.resource != STATEFUL_SET or live is None or not _may_touch(live, observed.sink):
        return False
    hashes = [(one["metadata"].get("annotations") or {}).get(names.TEMPLATE_HASH) for one in (live, manifest)]
    return hashes[0] != hashes[1] or any(
        one.path.startswith(".spec.template") and not one.is_ours for one in drifts[ref].differences
    )


def _reason(manifest: Object, live: Object | None, found: Drift | None, *, is_held: bool) -> str | None:
    """To apply it; None: there is none."""
    if live is None or found is None:
        return "it isn't there"
    if is_held and ref_of(manifest).resource == _CONFIG_MAP:
        return None
    if not is_held or ref_of(manifest).resource != STATEFUL_SET:
        return found.reason
    wanted = _applied(manifest, live, is_held=True)
    return None if drift.contains(live, wanted) else "its pods wait for their turn, the rest doesn't"


def _applied(manifest: Object, live: Object | None, *, is_held: bool) -> Object:
    """What is rendered, as far as it may be applied now."""
    if live is None or ref_of(manifest).resource != STATEFUL_SET:
        return manifest
    if not is_held:
        return _with_fixed(manifest, live)
    kept = scaled(live, manifest["spec"]["replicas"])
    meta = {key: manifest["metadata"][key] for key in ("labels", "ownerReferences")}
    return {**kept, "metadata": {**kept["metadata"], **meta}}


def _can_be(ref: Ref, observed: Observed) -> bool:
    return ref.resource not in _OPTIONAL_KINDS or ref.resource in observed.served


def _may_touch(live: Object, sink: Object) -> bool:
    return not is_terminating(live) and kinship(live, sink) in (Kinship.OURS, Kinship.ADOPTABLE)


def _unwanted(observed: Observed, refs: Iterable[Ref]) -> Iterable[Delete]:
    for ref in refs:
        live = observed.children.get(ref)
        if live is not None and not is_terminating(live) and kinship(live, observed.sink) is Kinship.OURS:
            yield Delete(ref, uid_of(live), "it isn't wanted any more")


def _with_fixed(manifest: Object, live: Object) -> Object:
    fixed = {key: live["spec"][key] for key in _FIXED if key in live["spec"]}
    return {**manifest, "spec": {**manifest["spec"], **fixed}}
