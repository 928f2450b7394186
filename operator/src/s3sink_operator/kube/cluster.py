"""The Cluster protocol on a real API server."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from s3sink_operator.errors import ClusterError, Conflict, Refused
from s3sink_operator.kube import paths, recorder
from s3sink_operator.kube.apiserver import APPLY, MERGE, ApiServer, NotFound
from s3sink_operator.names import FIELD_MANAGER
from s3sink_operator.state import Delete, Event, Object, Ref, Resource, ref_of

_PAGE: Final = 500
"""Objects a request, so that a list of any length takes little memory at once."""
_SERVED_SECONDS: Final = 600.0
_NOT_SERVED_SECONDS: Final = 60.0
"""Answers about optional kinds are kept for so long. Definitions that come and go are told by ``forget_served``, where
the operator may watch them."""

log = logging.getLogger(__name__)


class KubernetesCluster:
    """As ``state.Cluster`` says. ``instance``: name of this operator, in events."""

    def __init__(
        self,
        api: ApiServer,
        instance: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._instance = instance
        self._now = now
        self._monotonic = monotonic
        self._served: dict[Resource, tuple[bool, float]] = {}

    async def get(self, ref: Ref) -> Object | None:
        """One object, None if there is none, no such kind, or none can have that name."""
        try:
            where = paths.path(ref)
        except Refused:
            return None
        try:
            return await self._api.request("GET", where)
        except NotFound:
            return None

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """Objects that have all of these labels, each with its kind. None if there is no such kind."""
        query = {"limit": str(_PAGE), "labelSelector": ",".join(f"{k}={v}" for k, v in labels.items())}
        found: list[Object] = []
        while True:
            try:
                page = await self._api.request("GET", paths.collection(resource, namespace), query=query)
            except NotFound:
                return []
            found += [_typed(resource, item) for item in page.get("items") or ()]
            if not page["metadata"].get("continue"):
                return found
            query = {**query, "continue": page["metadata"]["continue"]}

    async def apply(self, manifest: Object, *, subresource: Literal["", "status"] = "") -> Object:
        """Server-side apply, forced: fields that are ours are taken over from whoever set them."""
        return await self._api.request(
            "PATCH",
            paths.path(ref_of(manifest), subresource),
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=manifest,
            content_type=APPLY,
        )

    async def delete(self, action: Delete) -> None:
        """Raises Conflict if another object has the name now, or the object changed since."""
        preconditions = {"uid": action.uid}
        if action.resource_version is not None:
            preconditions["resourceVersion"] = action.resource_version
        try:
            await self._api.request(
                "DELETE",
                paths.path(action.ref),
                body={
                    "apiVersion": "v1",
                    "kind": "DeleteOptions",
                    "preconditions": preconditions,
                    "propagationPolicy": action.propagation,
                },
            )
        except NotFound:
            return

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server has this kind; as it was up to ten minutes ago, or one minute if it hadn't."""
        known = self._served.get(resource)
        if known is not None and self._monotonic() < known[1]:
            return known[0]
        try:
            found = await self._api.request("GET", paths.group_version(resource))
        except NotFound:
            found = {}
        served = any(one.get("kind") == resource.kind for one in found.get("resources") or ())
        keep = _SERVED_SECONDS if served else _NOT_SERVED_SECONDS
        self._served[resource] = served, self._monotonic() + keep
        return served

    def forget_served(self) -> None:
        """Ask again which kinds there are: a definition came, changed or went."""
        self._served.clear()

    async def emit(self, sink: Object, event: Event) -> None:
        """Record it, or count up the one that says the same. A lost event is told in the log and is no error."""
        now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        created = recorder.first(sink, event, now, self._instance)
        try:
            await self._record(created, now)
        except ClusterError as error:
            log.warning("event %s was not recorded: %s", event.reason, error)

    async def _record(self, created: dict[str, Any], now: str) -> None:
        events = paths.collection(paths.EVENT, created["metadata"]["namespace"])
        try:
            await self._api.request("POST", events, query={"fieldManager": FIELD_MANAGER}, body=created)
        except Conflict:
            where = paths.path(ref_of(created))
            # A patch answers with the whole, so the count needs no right to read events.
            found = await self._patch(where, {"lastTimestamp": now})
            await self._patch(where, recorder.again(found, now))

    async def _patch(self, where: str, change: Object) -> dict[str, Any]:
        return await self._api.request(
            "PATCH", where, query={"fieldManager": FIELD_MANAGER}, body=change, content_type=MERGE
        )


def _typed(resource: Resource, item: Object) -> Object:
    """Lists leave out what kind their items are."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **item}
