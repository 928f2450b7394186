"""What one reconcile is to do: from what was observed alone, so that it may be killed anywhere and made again. Pure.

The order of a plan's actions carries meaning. The finalizer comes before any child: nothing may hold records that a
deletion would not wait for. Marks on volumes come before the StatefulSet: a volume that is to have a pod again must
not be proven empty. What pods are told builds on marks and on no child. What is refused ends a pass, and may be refused
for good: a child by a policy, so drains and their ends come before children; a larger volume by a quota, so it is asked
for last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from s3sink_operator import names
from s3sink_operator.errors import SpecError
from s3sink_operator.manifests import Context, Owner, drain_jobs, optional_refs, render
from s3sink_operator.planner import children, growth, orphans, quantities, references, scaling
from s3sink_operator.planner.children import Children
from s3sink_operator.planner.conditions import AWAITING
from s3sink_operator.planner.deletion import Deletion, dismantle, is_foreground
from s3sink_operator.planner.facts import Facts, rollout_of
from s3sink_operator.planner.fleet import Fleet, fleet_of, is_terminating
from s3sink_operator.planner.growth import Growth
from s3sink_operator.planner.references import Problem
from s3sink_operator.planner.scaling import Phase, Scaling, Verdict
from s3sink_operator.planner.status import events_of, image_of, status_of
from s3sink_operator.planner.wishes import Wishes, wishes_of
from s3sink_operator.spec import Spec, parse
from s3sink_operator.state import (
    Action,
    Apply,
    Delete,
    Mark,
    Object,
    Observed,
    Plan,
    SetFinalizer,
    ref_of,
)

DRAINING_SECONDS: Final = 2.0
"""When to look again while pods empty their volumes: only they can tell how far they are."""
MOVING_SECONDS: Final = 15.0
"""When to look again while something else moves. What comes of it is watched; this is for what nobody tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """What all parts of a plan need."""

    observed: Observed
    now: datetime
    fleet: Fleet
    wishes: Wishes
    image: str
    """To be run now; ``latest``: to be run in the end."""
    latest: str
    release: str
    is_awaiting: bool
    """It waits for its turn to be rolled to the operator's release, and the StatefulSet is of an earlier one."""
    spec: Spec | None
    """None: it can't be acted on, for the ``problems``."""
    problems: tuple[Problem, ...]

    @property
    def owner(self) -> Owner:
        """For the builders."""
        return Owner.of(self.observed.sink)


def plan(
    observed: Observed, image: str, now: datetime, *, release: str = "", may_upgrade: bool = True
) -> Plan:
    """Decide. ``image``: of the ingesters; ``release``: the operator's version. What pods run is kept, if both aren't
    those of the StatefulSet and the sink may not be upgraded now. ``now``: UTC."""
    fleet = fleet_of(observed)
    spec, problems = _config(observed, fleet)
    upgraded = _Scene(
        observed=observed,
        now=now,
        fleet=fleet,
        wishes=wishes_of(observed.sink),
        latest=image,
        image=image,
        release=release,
        is_awaiting=False,
        spec=spec,
        problems=problems,
    )
    live = fleet.stateful_set
    has_image = live is None or _has_image(live, upgraded)
    is_current = live is None or (has_image and _annotation(live, names.RELEASE) == release)
    scene = upgraded if may_upgrade or is_current else _as_it_runs(upgraded, has_image=has_image)
    facts, actions = _end(scene) if is_terminating(observed.sink) else _keep(scene)
    status = status_of(facts, now)
    since = facts.rolling_since if is_current else None
    return Plan(
        actions=() if facts.is_paused else actions,
        status=status,
        events=events_of(observed.sink.get("status") or {}, status),
        requeue_after=_requeue_after(facts, status),
        is_upgrading=_is_upgrading(facts, is_current=is_current or spec is None),
        rolling_seconds=None if since is None else max(0.0, (now - since).total_seconds()),
    )


def _keep(scene: _Scene) -> tuple[Facts, tuple[Action, ...]]:
    """The sink as it is to be."""
    observed, fleet, wishes = scene.observed, scene.fleet, scene.wishes
    scaled = scaling.scale(fleet, wishes.replicas, wishes.when_scaled, observed.pods, scene.now)
    scaled = _with_jobs(scene, scaled)
    compared = _children(scene, scaled.replicas)
    grown = growth.grow(
        fleet,
        wishes.replicas,
        wishes.size,
        observed.storage_class,
        is_settled=_is_settled(scene, scaled, compared),
        now=scene.now,
    )
    facts = _facts(scene, scaled, compared=compared, grown=grown)
    marks = _marks(fleet, scaled.verdicts, {})
    actions = (
        *_finalizer(observed.sink),
        *marks,
        *(action for one in scaled.verdicts for action in one.actions),
        *compared.actions,
        *grown.actions,
        *_growths(fleet, scaled.verdicts, grown.storage, marks),
    )
    return facts, actions


def _end(scene: _Scene) -> tuple[Facts, tuple[Action, ...]]:
    """The sink as it goes: scaled down to none, and its children kept as they are to be until then, since what a drain
    waits for may be a change of the spec."""
    observed, fleet, wishes = scene.observed, scene.fleet, scene.wishes
    scaled = _with_jobs(scene, scaling.scale(fleet, 0, "Retain", observed.pods, scene.now))
    rendered = _render(scene, scaled.replicas)
    deletion = dismantle(fleet, observed, wishes.when_deleted, scaled.verdicts, rendered)
    facts = _facts(scene, scaled, deletion=deletion)
    if not deletion.is_draining:
        return facts, deletion.actions
    actions = (
        *_marks(fleet, scaled.verdicts, {}),
        *deletion.actions,
        *(action for one in scaled.verdicts for action in one.actions),
        *_updates(scene, scaled.replicas),
    )
    return facts, actions


# ---- parts


def _has_image(live: Object, scene: _Scene) -> bool:
    """The StatefulSet's pods are to be of the image. Admission may have made another one of it: then the digest of the
    template as it was rendered tells."""
    return image_of(live) == scene.image or any(
        _annotation(live, names.TEMPLATE_HASH) == _annotation(one, names.TEMPLATE_HASH)
        for one in _render(scene, scene.fleet.replicas)
        if one["kind"] == live["kind"]
    )


def _as_it_runs(scene: _Scene, *, has_image: bool) -> _Scene:
    """With the image that runs, pods may well be as they are to be: then there is nothing to wait for but the image."""
    live = scene.fleet.stateful_set
    if has_image or live is None:
        return replace(scene, is_awaiting=True)
    return replace(
        scene, image=image_of(live) or "", release=_annotation(live, names.RELEASE), is_awaiting=True
    )


def _annotation(obj: Object, name: str) -> str:
    """Empty if there is none."""
    annotations: Mapping[str, str] = obj["metadata"].get("annotations") or {}
    return annotations.get(name, "")


def _is_upgrading(facts: Facts, *, is_current: bool) -> bool:
    """Others wait for it meanwhile: not for one that nobody rolls. ``is_current``: nothing is there to be upgraded."""
    if facts.fleet.stateful_set is None or facts.is_paused:
        return False
    return not (is_current and facts.rollout.is_done)


def _config(observed: Observed, fleet: Fleet) -> tuple[Spec | None, tuple[Problem, ...]]:
    """The spec, if it can be acted on; else why it can't."""
    try:
        spec = parse(observed.sink)
    except SpecError as error:
        return None, tuple(Problem(references.INVALID_SPEC, problem) for problem in error.problems)
    problems = references.missing(spec, observed)
    # Where there is no StatefulSet yet, a pod has to mount its volume for the file system to grow at all.
    if fleet.stateful_set is not None and not is_terminating(observed.sink):
        smallest = growth.smallest_volume(fleet, wishes_of(observed.sink).replicas, spec.buffer.size)
        problems += references.too_small(spec, smallest)
    return (None if problems else spec), problems


def _context(scene: _Scene, spec: Spec, replicas: int) -> Context:
    return Context(
        image=scene.image,
        replicas=replicas,
        claim_size=growth.template_size(scene.fleet.stateful_set) or scene.wishes.size,
        volume_size=growth.largest_volume(scene.fleet, scene.wishes.replicas, scene.wishes.size),
        credentials_hash=references.digest_at_start(spec, scene.observed),
        release=scene.release,
        served=scene.observed.served,
    )


def _render(scene: _Scene, replicas: int) -> tuple[Object, ...]:
    if scene.spec is None:
        return ()
    return render(scene.spec, scene.owner, _context(scene, scene.spec, replicas))


def _children(scene: _Scene, replicas: int) -> Children:
    """As rendered; as they are, but for the number of replicas, while the spec can't be acted on."""
    if scene.spec is not None:
        compared = children.compare(
            scene.observed,
            _render(scene, replicas),
            optional_refs(scene.owner),
            may_roll=not scene.is_awaiting,
        )
        return compared if _is_rolled(scene, compared) else replace(compared, deletes=_not_used(compared))
    live = scene.fleet.stateful_set
    found = children.conflicts(scene.observed, scene.observed.children)
    if live is None or is_terminating(live) or live["spec"].get("replicas", 1) == replicas:
        return Children(conflicts=found)
    reason = f"{replicas} replicas; the rest stays as it is until the spec can be acted on"
    return Children(applies=(Apply(children.scaled(live, replicas), reason),), conflicts=found)


def _is_rolled(scene: _Scene, compared: Children) -> bool:
    """No pod is left that was made of an earlier template."""
    return not compared.is_rolling and rollout_of(scene.fleet.stateful_set).is_done


def _not_used(compared: Children) -> tuple[Delete, ...]:
    """Deletions, but for that of an account which pods of before still use."""
    return tuple(one for one in compared.deletes if one.ref.kind != "ServiceAccount")


def _updates(scene: _Scene, replicas: int) -> tuple[Action, ...]:
    """Of children that are there; none is made for a sink that goes, nor while the garbage collector takes them."""
    if is_foreground(scene.observed.sink):
        return ()
    applies = _children(scene, replicas).applies
    return tuple(one for one in applies if ref_of(one.manifest) in scene.observed.children)


def _with_jobs(scene: _Scene, scaled: Scaling) -> Scaling:
    """Jobs for volumes without a pod."""
    build = None
    if scene.spec is not None:
        build = drain_jobs(scene.spec, scene.owner, _context(scene, scene.spec, scene.fleet.replicas))
    may_remake = not scene.is_awaiting
    return replace(
        scaled,
        verdicts=tuple(
            orphans.empty(one, build, scene.now, may_remake=may_remake) for one in scaled.verdicts
        ),
    )


def _growths(
    fleet: Fleet, verdicts: tuple[Verdict, ...], storage: Mapping[int, str], marks: tuple[Mark, ...]
) -> tuple[Mark, ...]:
    """For each claim that isn't as large as it is to be. A claim that is marked now is another version then, and grows
    with the next pass."""
    marked = {one.ref for one in marks}
    return tuple(one for one in _marks(fleet, verdicts, storage) if one.ref not in marked)


def _marks(fleet: Fleet, verdicts: tuple[Verdict, ...], storage: Mapping[int, str]) -> tuple[Mark, ...]:
    """One for each claim that isn't marked, or as large, as it is to be. ``storage``: by ordinal, where it grows."""
    *_, uid = fleet.owner
    marks = []
    for one in verdicts:
        claim, ordinal = one.slot.claim, one.slot.ordinal
        if claim is None or one.marks is None:
            continue
        meta, requested = claim["metadata"], claim["spec"]["resources"]["requests"]["storage"]
        labels = {names.SINK_UID_LABEL: uid, names.ORDINAL_LABEL: str(ordinal)}
        mark = Mark(
            ref=ref_of(claim),
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            labels=labels,
            annotations=one.marks,
            storage=storage.get(ordinal, requested),
            reason=f"it is to grow from {requested}" if ordinal in storage else one.why,
        )
        if not _is_marked(claim, mark):
            marks.append(mark)
    return tuple(marks)


def _is_marked(claim: Object, mark: Mark) -> bool:
    labels = claim["metadata"].get("labels") or {}
    annotations = claim["metadata"].get("annotations") or {}
    ours = {key: annotations[key] for key in (names.DRAIN, names.DRAINED) if key in annotations}
    return (
        all(labels.get(key) == value for key, value in mark.labels.items())
        and ours == mark.annotations
        and quantities.are_equal(claim["spec"]["resources"]["requests"]["storage"], mark.storage)
    )


def _finalizer(sink: Object) -> tuple[Action, ...]:
    if names.FINALIZER in (sink["metadata"].get("finalizers") or ()):
        return ()
    return (SetFinalizer(True, "a deletion is to wait for the volumes"),)


def _is_settled(scene: _Scene, scaled: Scaling, compared: Children) -> bool:
    """The StatefulSet is as it is to be, and so are its pods."""
    live = scene.fleet.stateful_set
    return (
        live is not None
        and all(one.passes for one in scene.problems)
        and not scene.is_awaiting  # else a StatefulSet that is made again would be of the new release
        and ref_of(live) not in compared.differing
        and scaled.replicas == scene.fleet.replicas == scene.wishes.replicas
        and rollout_of(live).is_done
    )


def _facts(
    scene: _Scene,
    scaled: Scaling,
    *,
    compared: Children | None = None,
    grown: Growth | None = None,
    deletion: Deletion | None = None,
) -> Facts:
    annotations: Mapping[str, str] = scene.observed.sink["metadata"].get("annotations") or {}
    return Facts(
        now=scene.now,
        fleet=scene.fleet,
        wishes=scene.wishes,
        problems=scene.problems,
        conflicts=() if compared is None else compared.conflicts,
        unserved=() if compared is None else compared.unserved,
        rewritten=() if compared is None else compared.rewritten,
        is_outdated=compared is not None and compared.is_rolling,
        is_awaiting=scene.is_awaiting
        and scene.spec is not None
        and compared is not None
        and (compared.is_held or scene.image != scene.latest),
        scaling=scaled,
        growth=grown,
        deletion=deletion,
        is_paused=annotations.get(names.PAUSED) == "true",
    )


def _requeue_after(facts: Facts, status: Object) -> float | None:
    """None where nothing is expected but what is watched."""
    verdicts = () if facts.is_paused else facts.scaling.verdicts
    if any(one.phase is Phase.DRAINING and one.slot.pod is not None and not one.blocked for one in verdicts):
        return DRAINING_SECONDS
    is_moving = any(
        one["type"] == "Reconciling" and one["status"] == "True" and one["reason"] != AWAITING
        for one in status["conditions"]
    )
    return MOVING_SECONDS if is_moving else None
