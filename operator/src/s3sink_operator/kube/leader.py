"""Which of several operators is at work: the one that holds a Lease. ``decide`` is pure; ``Elector`` carries it out.

The client's own election is not used: it ends at the first connection error, a hanging request holds up its renewal
beyond the lease, it writes local time as UTC, and it doesn't release (see docs/adr/0007).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from s3sink_operator.errors import ClusterError, Conflict
from s3sink_operator.kube import paths
from s3sink_operator.kube.apiserver import ApiServer, NotFound
from s3sink_operator.state import Object, Ref

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds. The holder stops ``lease - deadline`` before another one may begin."""

    lease: float = 15.0
    deadline: float = 10.0
    """Without a renewal for so long the holder gives up."""
    retry: float = 2.0
    """Between two renewals, or two looks."""


class Move(StrEnum):
    """What a candidate does with a Lease as it sees it."""

    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    WAIT = "wait"


def decide(lease: Object | None, identity: str, unchanged: float, timing: Timing) -> Move:
    """``unchanged``: seconds, by this candidate's own clock, since it first saw this version of the Lease. Clocks of
    different machines are never compared."""
    if lease is None:
        return Move.CREATE
    spec = lease.get("spec") or {}
    holder = spec.get("holderIdentity")
    if holder == identity:
        return Move.RENEW
    if not holder:
        return Move.TAKE
    lasts = float(spec.get("leaseDurationSeconds") or timing.lease)
    return Move.TAKE if unchanged >= lasts else Move.WAIT


def lease_spec(lease: Object | None, identity: str, now: str, timing: Timing) -> dict[str, Any]:
    """The spec that makes the Lease this candidate's, or still its. ``now``: RFC 3339 with microseconds."""
    spec = (lease or {}).get("spec") or {}
    renewed: dict[str, Any] = {
        **spec,
        "holderIdentity": identity,
        "leaseDurationSeconds": int(timing.lease),
        "renewTime": now,
    }
    if spec.get("holderIdentity") != identity:
        renewed["acquireTime"] = now
        renewed["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + (1 if lease else 0)
    return renewed


def released_spec(lease: Object, now: str) -> dict[str, Any]:
    """The spec that lets the next one begin at once."""
    return {**(lease.get("spec") or {}), "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now}


class Elector:
    """Takes, keeps and releases one Lease. ``identity``: of no other process, ever."""

    def __init__(
        self,
        api: ApiServer,
        lease: Ref,
        identity: str,
        *,
        timing: Timing | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._ref = lease
        self._identity = identity
        self._timing = timing or Timing()
        self._now = now
        self._lease: Object | None = None
        self._trouble: str | None = None
        """What was wrong with the latest try."""
        self._seen: tuple[str, float] = ("", 0.0)
        """Version of the Lease, and when it was first seen."""

    async def acquire(self, tell: Callable[[str | None], None] = lambda _: None) -> None:
        """Returns when this process is the one. An API server that is away is waited for, as is the right to the Lease.
        After each try that fails ``tell`` gets what is wrong; None: nothing, another one holds it."""
        told = ""
        while not await self._try(self._timing.deadline):
            tell(self._trouble)
            holder = ((self._lease or {}).get("spec") or {}).get("holderIdentity") or ""
            if holder != told:
                log.info("waiting: %s holds the lease %s", holder or "nobody", self._ref.name)
                told = holder
            await asyncio.sleep(self._timing.retry * (1.0 + 0.2 * random.random()))
        log.info("%s holds the lease %s", self._identity, self._ref.name)

    async def keep(self) -> None:
        """Renew it. Returns when it is lost: another one has it, or may have it soon."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(self._timing.retry)
            left = renewed + self._timing.deadline - loop.time()
            # The lease counts from when the renewal was sent, not from when it was answered.
            sent = loop.time()
            if left > 0 and await self._try(left):
                renewed = sent
            elif self._is_taken() or loop.time() >= renewed + self._timing.deadline:
                log.error("lost the lease %s", self._ref.name)
                return

    async def release(self) -> None:
        """Let the next one begin. Does nothing if the lease isn't held; an error only makes the next one wait."""
        lease = self._lease
        if lease is None or _holder(lease) != self._identity:
            return
        self._lease = None
        try:
            await self._write(lease, released_spec(lease, self._time()), self._timing.retry)
        except ClusterError as error:
            log.warning("the lease %s was not released: %s", self._ref.name, error)

    async def _try(self, seconds: float) -> bool:
        """Whether the lease is held now, for sure. Takes at most that long."""
        self._trouble = None
        try:
            async with asyncio.timeout(seconds):
                return await self._step(seconds)
        except Conflict:
            return False  # somebody was faster
        except (ClusterError, TimeoutError) as error:
            self._trouble = str(error) or "no answer in time"
            log.warning("lease %s: %s", self._ref.name, self._trouble)
            return False

    async def _step(self, seconds: float) -> bool:
        lease = await self._read(seconds)
        move = decide(lease, self._identity, self._unchanged(lease), self._timing)
        if move is Move.WAIT:
            return False
        await self._write(lease, lease_spec(lease, self._identity, self._time(), self._timing), seconds)
        return True

    async def _read(self, seconds: float) -> Object | None:
        try:
            self._lease = await self._api.request("GET", paths.path(self._ref), seconds=seconds)
        except NotFound:
            self._lease = None
        return self._lease

    async def _write(self, lease: Object | None, spec: Mapping[str, Any], seconds: float) -> None:
        if lease is None:
            meta: Object = {"name": self._ref.name, "namespace": self._ref.namespace}
            method, where = "POST", paths.collection(self._ref.resource, self._ref.namespace)
        else:
            # With its resourceVersion: of two who take it, one fails.
            meta = lease["metadata"]
            method, where = "PUT", paths.path(self._ref)
        body = {
            "apiVersion": self._ref.api_version,
            "kind": self._ref.kind,
            "metadata": meta,
            "spec": spec,
        }
        self._lease = await self._api.request(method, where, body=body, seconds=seconds)

    def _unchanged(self, lease: Object | None) -> float:
        version = "" if lease is None else str(lease["metadata"]["resourceVersion"])
        now = asyncio.get_running_loop().time()
        if version != self._seen[0]:
            self._seen = version, now
        return now - self._seen[1]

    def _is_taken(self) -> bool:
        return self._lease is not None and _holder(self._lease) not in (self._identity, "", None)

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _holder(lease: Object) -> Any:
    return (lease.get("spec") or {}).get("holderIdentity")


def lease_ref(namespace: str, name: str) -> Ref:
    """A Lease's reference."""
    return Ref(paths.LEASE.api_version, paths.LEASE.kind, namespace, name)
