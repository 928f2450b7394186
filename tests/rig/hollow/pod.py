"""One pod on a node: its container is started, probed, restarted and ended; its status says so.

What differs from a real kubelet: time goes ten times as fast for probes, restarts and hooks (not for grace periods),
only the first container of a pod is run, and of hooks only ``preStop`` that sleeps. Termination is honest: SIGTERM, the
grace period, SIGKILL, and only then the pod is gone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Protocol

from tests.rig.hollow import container as containers
from tests.rig.hollow import status
from tests.rig.hollow.container import NotYet, Run
from tests.rig.hollow.probes import FASTER, Probe
from tests.rig.kubeapi import EVENTS, PODS, STRATEGIC, ApiError, Object
from tests.rig.processes import Process

if TYPE_CHECKING:
    from tests.rig.hollow.container import Access

_TICK: Final = 0.05
_REFRESH_SECONDS: Final = 1.0
"""How often mounted ConfigMaps and Secrets are brought up to date (a real kubelet: about every minute)."""
_BACKOFF_SECONDS: Final = (10.0 / FASTER, 300.0 / FASTER)


class Node(Protocol):
    """What a pod needs of its node."""

    @property
    def access(self) -> Access:
        """What volumes and environment are made of."""

    def address(self) -> str:
        """A free address."""

    def guarded(self, work: Callable[[], None]) -> None:
        """Run it; what it raises is no secret."""


class HollowPod(Thread):
    """The thread of one pod. ``process``: what runs now, if anything does."""

    def __init__(self, pod: Object, directory: Path, node: Node) -> None:
        self._meta = pod["metadata"]
        super().__init__(name=f"{self._meta['namespace']}/{self._meta['name']}", daemon=True)
        self.pod = pod
        self.process: Process | None = None
        self.log = directory / "log"
        self._directory = directory
        self._node = node
        self._api = node.access.api
        self._container = pod["spec"]["containers"][0]
        self._address = node.address()
        self._facts = status.Facts(state=status.waiting("ContainerCreating"))
        self._told: status.Facts | None = None
        self._started_at = ""
        self._refreshed = 0.0
        self._probes: list[Probe] = []
        self._killed = Event()
        directory.mkdir(parents=True, exist_ok=True)

    # ---- what its node tells it

    def update(self, pod: Object) -> None:
        """The API server has a new version of it."""
        self.pod = pod

    def kill(self) -> None:
        """The pod is gone from the API server, or its node is: end it at once and tell nobody."""
        self._killed.set()
        if self.process is not None:
            self.process.kill()

    def crash(self) -> None:
        """kill -9 its process, if one runs; it is restarted as after any crash."""
        if self.process is not None:
            self.process.kill()

    @property
    def uid(self) -> str:
        """Tells it from another one of its name."""
        return str(self._meta["uid"])

    # ---- its life

    def run(self) -> None:
        """Until it is over or gone."""
        self._node.guarded(self._live)

    def _live(self) -> None:
        delay = _BACKOFF_SECONDS[0]
        while not self._leaving():
            self._tell()
            run = self._prepared()
            if run is None:
                self._wait(0.3)
                continue
            code = self._serve(run)
            if self._leaving() or self._over(code):
                break
            self._restart_later(delay)
            delay = min(delay * 2, _BACKOFF_SECONDS[1])
        self._leave()

    def _leaving(self) -> bool:
        return self._killed.is_set() or "deletionTimestamp" in self.pod["metadata"]

    @property
    def _seen(self) -> Object:
        """The pod with its address, which may not be in its status yet."""
        return {**self.pod, "status": {**self.pod["status"], "podIP": self._address}}

    def _prepared(self) -> Run | None:
        try:
            run = containers.prepare(self._seen, self._container, self._directory, self._node.access)
        except NotYet as missing:
            state = status.waiting(missing.reason, missing.message)
            if state != self._facts.state:
                self._announce("Warning", _event_reason(missing.reason), missing.message)
            self._set(state=state)
            return None
        except ApiError:  # it is away
            return None
        return run

    def _serve(self, run: Run) -> int:
        """Start the container and stay with it until it has ended; returns its exit code."""
        self.process = Process(run.command, log=self.log, env=run.env)
        self._started_at = status.now()
        self._probes = [self._probe(name) for name in ("startup", "readiness", "liveness")]
        self._set(phase="Running", state={"running": {"startedAt": self._started_at}})
        self._set(started=self._probes[0].passes, ready=False)
        told_at = term_at = 0.0
        while self.process.alive:
            self._check_probes()
            self._tell()
            self._refresh()
            if self._leaving():
                told_at = told_at or time.monotonic()
                if not term_at and time.monotonic() >= told_at + self._pre_stop:
                    os.kill(self.process.pid, signal.SIGTERM)
                    term_at = time.monotonic()
                grace = self.pod["metadata"].get("deletionGracePeriodSeconds") or 0
                if time.monotonic() > told_at + grace:
                    self.process.kill()
            self._wait(_TICK)
        code = self.process.stop()
        self._facts = status.ended(self._facts, status.terminated(code, self._started_at))
        return code

    @property
    def _pre_stop(self) -> float:
        hook = self._container.get("lifecycle", {}).get("preStop", {})
        return float(hook.get("sleep", {}).get("seconds", 0)) / FASTER

    def _check_probes(self) -> None:
        startup, readiness, liveness = self._probes
        assert self.process is not None
        if not startup.passes:
            startup.run_if_due()
            if startup.failed:
                self._unhealthy(startup)
            self._set(started=startup.passes)
            return
        readiness.run_if_due()
        if self._facts.ready and not readiness.passes:
            self._announce("Warning", "Unhealthy", readiness.message)
        self._set(ready=readiness.passes)
        liveness.run_if_due()
        if liveness.failed and not self._leaving():
            self._unhealthy(liveness)

    def _unhealthy(self, probe: Probe) -> None:
        assert self.process is not None
        self._announce("Normal", "Killing", f"Container failed its probe, will be restarted: {probe.message}")
        self.process.stop(timeout=float(self.pod["spec"].get("terminationGracePeriodSeconds", 30)))

    def _probe(self, name: str) -> Probe:
        """A probe that isn't asked for passes from the start."""
        spec = self._container.get(f"{name}Probe")
        ports = {
            port["name"]: port["containerPort"] for port in self._container.get("ports", []) if "name" in port
        }
        if spec is None:
            spec = {"initialDelaySeconds": 1e9}
            return Probe(name, spec, self._address, ports, passes=True)
        return Probe(name, spec, self._address, ports, passes=name == "liveness")

    def _over(self, code: int) -> bool:
        policy = self.pod["spec"].get("restartPolicy", "Always")
        if policy == "Always" or (policy == "OnFailure" and code):
            return False
        self._set(phase="Failed" if code else "Succeeded")
        return True

    def _restart_later(self, delay: float) -> None:
        last = self._facts.state
        message = f"back-off {delay:.0f}s restarting failed container={self._container['name']}"
        self._set(last_state=last, restarts=self._facts.restarts + 1)
        self._set(state=status.waiting("CrashLoopBackOff", message))
        self._announce("Warning", "BackOff", "Back-off restarting failed container")
        self._tell()
        until = time.monotonic() + delay
        while time.monotonic() < until and not self._leaving():
            self._wait(_TICK)

    def _leave(self) -> None:
        """Tell how it ended; if it is being deleted, let it go."""
        while not self._killed.is_set():
            if "deletionTimestamp" in self.pod["metadata"]:
                code = ((self._facts.state or {}).get("terminated") or {}).get("exitCode", 0)
                self._set(phase="Failed" if code else "Succeeded", ready=False)
            if self._tell() and "deletionTimestamp" in self.pod["metadata"]:
                meta = self._meta
                try:
                    self._api.delete(PODS, meta["namespace"], meta["name"], uid=self.uid, grace_seconds=0)
                except ApiError as error:
                    if error.status == 409:  # another pod of that name
                        return
                else:
                    return
            self._wait(0.2)

    # ---- telling

    def _set(self, **facts: object) -> None:
        self._facts = replace(self._facts, **facts)  # type: ignore[arg-type]  # names are those of Facts

    def _tell(self) -> bool:
        """Write the status if it changed; whether the API server has it."""
        facts = self._facts
        if facts == self._told:
            return True
        patch = {"metadata": {"uid": self.uid}, "status": status.status(self._seen, facts)}
        where = (self._meta["namespace"], self._meta["name"])
        try:
            self._api.patch(PODS, *where, patch, subresource="status", content_type=STRATEGIC)
        except ApiError as error:
            # Gone or replaced: the watch tells it soon. Away: told again at the next tick.
            return error.status in (404, 409)
        self._told = facts
        return True

    def _announce(self, kind: str, reason: str, message: str) -> None:
        with suppress(ApiError):  # as a real one, it doesn't keep events for later
            self._api.create(EVENTS, _event(self.pod, kind, reason, message))

    def _refresh(self) -> None:
        if time.monotonic() < self._refreshed:
            return
        self._refreshed = time.monotonic() + _REFRESH_SECONDS
        with suppress(NotYet, ApiError):  # then what was mounted stays as it is
            containers.mount(self._seen, self._container, self._directory, self._node.access)

    def _wait(self, seconds: float) -> None:
        self._killed.wait(seconds)


def _event_reason(reason: str) -> str:
    return {"ContainerCreating": "FailedMount"}.get(reason, "Failed")


def _event(pod: Object, kind: str, reason: str, message: str) -> Object:
    meta = pod["metadata"]
    involved = {key: meta[key] for key in ("namespace", "name", "uid")}
    return {
        "metadata": {"namespace": meta["namespace"], "generateName": f"{meta['name']}-"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", **involved},
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": "kubelet", "host": pod["spec"]["nodeName"]},
        "firstTimestamp": status.now(),
        "lastTimestamp": status.now(),
        "count": 1,
    }
