"""One reconcile: observe → plan → apply → status. What is to be done is decided in ``plan``; here it is carried out.

Actions are done in order and the first that fails ends them, since later ones may build on it; the next reconcile
starts from what is there then. Only what an ingester doesn't do holds up nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from s3sink_operator import status as statuses
from s3sink_operator.errors import IngesterError, Refused
from s3sink_operator.execution import describe, execute, is_release, write_status
from s3sink_operator.observe import observe
from s3sink_operator.plan import plan
from s3sink_operator.state import Action, Cluster, Ingesters, Object, Ref

REFUSED_SECONDS: Final = 300.0
"""When to try again what the API server refused."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Edges:
    """What a reconcile reaches the world through. ``image``: of the ingesters. ``clock``: gives UTC."""

    cluster: Cluster
    ingesters: Ingesters
    image: str
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it. ``requeue_after``: seconds, None where events and the resync do."""

    requeue_after: float | None = None
    actions: int = 0
    is_upgrading: bool = False
    refused: str | None = None
    """What the API server refused, in its words."""
    conditions: tuple[Object, ...] = ()
    """As they are now; none if the sink is gone."""


async def reconcile(sink: Ref, edges: Edges, *, may_upgrade: bool = True) -> Outcome:
    """Raises ``ClusterError``: nothing is known to be done; it is to be made again."""
    observed = await observe(sink, edges.cluster, edges.ingesters)
    if observed is None:
        return Outcome()
    now, before = edges.clock(), observed.sink.get("status") or {}
    planned = plan(observed, edges.image, now, may_upgrade=may_upgrade)
    refused = await _carry_out(planned.actions, observed.sink, edges)
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
        refused=refused,
        conditions=tuple(status["conditions"]),
    )


async def _carry_out(actions: tuple[Action, ...], sink: Object, edges: Edges) -> str | None:
    """What the API server says to the first action that it refuses; None if it refuses none."""
    for action in actions:
        log.info("%s", describe(action), extra={"sink": sink["metadata"]["name"]})
        try:
            await execute(action, sink, edges.cluster, edges.ingesters)
        except IngesterError as error:
            log.warning("%s: %s", describe(action), error)
        except Refused as error:
            return f"{describe(action)}: {error}"
    return None
