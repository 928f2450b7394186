"""One reconcile: observe → plan → apply → status. What is to be done is decided in ``plan``; here it is carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from s3sink_operator.errors import Refused
from s3sink_operator.execution import carry_out, is_release, write_status
from s3sink_operator.observe import observe
from s3sink_operator.planner import status as statuses
from s3sink_operator.planner.plan import plan
from s3sink_operator.state import Cluster, Ingesters, Object, Ref

REFUSED_SECONDS: Final = 300.0
"""When to try again what the API server refused."""


@dataclass(frozen=True, slots=True)
class Edges:
    """What a reconcile reaches the world through. ``image``: of the ingesters. ``clock``: gives UTC.
    ``release``: the operator's version, empty where that is no matter."""

    cluster: Cluster
    ingesters: Ingesters
    image: str
    clock: Callable[[], datetime]
    release: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it. ``requeue_after``: seconds, None where events and the resync do."""

    requeue_after: float | None = None
    actions: int = 0
    is_upgrading: bool = False
    rolling_seconds: float | None = None
    """See ``Plan``."""
    refused: str | None = None
    """What the API server refused, in its words."""
    conditions: tuple[Object, ...] = ()
    """As they are now; none if the sink is gone."""


async def reconcile(sink: Ref, edges: Edges, *, may_upgrade: bool = True) -> Outcome:
    """Raises ``ClusterError``: nothing is known to be done; it is to be made again."""
    try:
        observed = await observe(sink, edges.cluster, edges.ingesters)
    except Refused as error:
        try:
            return await _unreadable(sink, edges, str(error))
        except Refused:  # nor may the sink be read, or its status be written: then the log tells
            raise error from None
    if observed is None:
        return Outcome()
    now, before = edges.clock(), observed.sink.get("status") or {}
    planned = plan(observed, edges.image, now, release=edges.release, may_upgrade=may_upgrade)
    refused = await carry_out(planned.actions, observed.sink, edges.cluster, edges.ingesters)
    if refused is None and any(map(is_release, planned.actions)):
        return Outcome(actions=len(planned.actions))
    status, events = planned.status, planned.events
    if refused is not None:
        status = statuses.refused(status, before, refused, now)
        events = statuses.events_of(before, status)
    if status != before:
        await write_status(status, observed.sink, edges.cluster)
        for event in events:
            await edges.cluster.emit(observed.sink, event)
    return Outcome(
        requeue_after=planned.requeue_after if refused is None else REFUSED_SECONDS,
        actions=len(planned.actions),
        is_upgrading=planned.is_upgrading,
        rolling_seconds=planned.rolling_seconds,
        refused=refused,
        conditions=tuple(status["conditions"]),
    )


async def _unreadable(sink: Ref, edges: Edges, message: str) -> Outcome:
    """Tell it. Raises ``ClusterError``."""
    found = await edges.cluster.get(sink)
    if found is None:
        return Outcome()
    before = found.get("status") or {}
    status = statuses.unreadable(found, message, edges.clock())
    if status != before:
        await write_status(status, found, edges.cluster)
        for event in statuses.events_of(before, status):
            await edges.cluster.emit(found, event)
    return Outcome(requeue_after=REFUSED_SECONDS, refused=message, conditions=tuple(status["conditions"]))
