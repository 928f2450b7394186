"""Watches what becomes of a sink's volumes and pods, and says in which order: no volume may go without its proof.

All that is compared are resource versions, which one etcd counts over all kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final, Self

from tests.rig.kubeapi import CLAIMS, PODS, STATEFUL_SETS, Api, Kind, Object, condition

if TYPE_CHECKING:
    from types import TracebackType

SINK_LABEL: Final = "s3sink.dev/sink"
DRAIN: Final = "s3sink.dev/drain"
DRAINED: Final = "s3sink.dev/drained"


@dataclass
class Witness:
    """Of one namespace, from entering the context to leaving it."""

    api: Api
    namespace: str
    shrinks: list[tuple[str, int, int]] = field(default_factory=list)
    """StatefulSet, an ordinal that it lost, and the version of that."""
    proofs: dict[str, list[tuple[int, int | None]]] = field(default_factory=dict)
    """Claim → from which version a proof was on it, and at which it was gone again, if it was."""
    deleted: dict[str, bool] = field(default_factory=dict)
    """Claims that are gone → whether they had a proof in the end."""
    pods: dict[str, list[str]] = field(default_factory=dict)
    """Pod → the UIDs that it has had, in order."""
    fewest_ready: int | None = None
    """Pods that were ready at a time, since ``begin``."""
    _replicas: dict[str, int] = field(default_factory=dict)
    _ready: dict[str, bool] = field(default_factory=dict)
    _stopping: Event = field(default_factory=Event)
    _synced: dict[str, Event] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def begin(self) -> None:
        """Count from here how many pods are ready."""
        with self._lock:
            self.fewest_ready = sum(self._ready.values())

    def check(self) -> None:
        """Every claim that went had a proof, and every replica went after the proof of its volume."""
        unproven = sorted(name for name, proven in self.deleted.items() if not proven)
        assert not unproven, f"volumes went without a proof: {unproven}"
        for stateful_set, ordinal, version in self.shrinks:
            claim = f"buffer-{stateful_set}-{ordinal}"
            proofs = self.proofs.get(claim, [])
            held = any(since < version and (end is None or end > version) for since, end in proofs)
            assert held, f"{claim} had no proof when its replica went, at {version}: {proofs}"

    def _watch(self, kind: Kind) -> None:
        take = {CLAIMS: self._claim, STATEFUL_SETS: self._stateful_set, PODS: self._pod}[kind]
        for what, found in self.api.watch(kind, self._stopping):
            for thing in found if what == "ALL" else [found]:
                meta = thing["metadata"]
                if meta["namespace"] == self.namespace and SINK_LABEL in (meta.get("labels") or {}):
                    with self._lock:
                        take(thing, is_gone=what == "DELETED")
            self._synced[kind.plural].set()

    def _claim(self, claim: Object, *, is_gone: bool) -> None:
        name, version = claim["metadata"]["name"], int(claim["metadata"]["resourceVersion"])
        marks: dict[str, Any] = claim["metadata"].get("annotations") or {}
        requested = marks.get(DRAIN, "").partition("/")[2]
        prover, _, epoch = marks.get(DRAINED, "").rpartition("/")
        is_proven = bool(prover and requested and epoch == requested)
        proofs = self.proofs.setdefault(name, [])
        was_proven = bool(proofs) and proofs[-1][1] is None
        if is_proven and not was_proven:
            proofs.append((version, None))
        if was_proven and (is_gone or not is_proven):
            proofs[-1] = (proofs[-1][0], version)
        if is_gone:
            self.deleted[name] = is_proven

    def _stateful_set(self, found: Object, *, is_gone: bool) -> None:
        name, wanted = found["metadata"]["name"], found["spec"]["replicas"]
        version = int(found["metadata"]["resourceVersion"])
        for ordinal in range(wanted, self._replicas.get(name, 0)):
            self.shrinks.append((name, ordinal, version))
        self._replicas[name] = 0 if is_gone else wanted

    def _pod(self, pod: Object, *, is_gone: bool) -> None:
        is_ready = (
            condition(pod, "Ready").get("status") == "True" and "deletionTimestamp" not in pod["metadata"]
        )
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        self._ready[name] = is_ready and not is_gone
        had = self.pods.setdefault(name, [])
        if uid not in had:
            had.append(uid)
        if self.fewest_ready is not None:
            self.fewest_ready = min(self.fewest_ready, sum(self._ready.values()))

    def __enter__(self) -> Self:
        for kind in (CLAIMS, STATEFUL_SETS, PODS):
            self._synced[kind.plural] = Event()
            # A watch ends with its connection, up to a minute later: nobody waits for it.
            Thread(target=self._watch, args=(kind,), daemon=True).start()
        for synced in self._synced.values():
            assert synced.wait(60.0), "no watch"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if error is None:
            self.check()
