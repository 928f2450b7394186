"""Pods of the tests on each node of the cluster (``tests/e2e/agent.py``): one that sends records as any client would,
and one in the node's own network that can also kill what runs there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tests.crash.ledger import Fate, Ledger, Sent
from tests.rig.kubeapi import CONFIG_MAPS, NAMESPACES, PODS, Api, Kind, Object, wait_for
from tests.rig.kubetools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE: Final = "s3sink-e2e"
_PORT: Final = 18080
_SETS: Final = Kind("apps/v1", "DaemonSet", "daemonsets")
_RESERVED: Final = 50_000
"""Ids of requests that a run may use."""


def install(api: Api, image: str) -> None:
    """Make the namespace and the agents, and wait for them. ``image``: any with Python and no more, the ingester's."""
    api.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, "tests")
    script = (ROOT / "tests" / "e2e" / "agent.py").read_text()
    api.apply(CONFIG_MAPS, _object(CONFIG_MAPS, "agent", data={"agent.py": script}), "tests")
    # In the node's namespaces, and as root: it ends processes of other users.
    host = {**_pod(image), "hostNetwork": True, "hostPID": True, "securityContext": {"runAsUser": 0}}
    for name, pod in (("load", _pod(image)), ("host", host)):
        labels = {"agent": name}
        spec = {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        api.apply(_SETS, _object(_SETS, name, spec=spec), "tests")
    wait_ready(api)


def wait_ready(api: Api) -> None:
    """Wait until there are agents on every node."""

    def are_ready(found: Object) -> bool:
        status = found.get("status", {})
        wanted = status.get("desiredNumberScheduled", 0)
        is_new = status.get("observedGeneration") == found["metadata"]["generation"]
        return bool(is_new and 0 < wanted == status["numberReady"])

    wait_for(
        lambda: all(are_ready(found) for found in api.find(_SETS, NAMESPACE)),
        "agents",
        why=lambda: [one.get("status") for one in api.select(PODS, NAMESPACE)],
    )


class Traffic:
    """Requests under way; their fates come into the ledger when it ends, and with every ``update``."""

    def __init__(self, api: Api, path: str, ledger: Ledger, first: int) -> None:
        self._api, self._path, self._ledger, self._first = api, path, ledger, first
        self.acked = 0
        """Requests, as of the latest update."""
        self.last = ""
        """What the latest request was told."""
        self.done = False

    def update(self) -> None:
        """Write into the ledger what is known by now."""
        self._take(self._api.request("GET", self._path))

    def wait_acked(self, more: int, timeout: float = 60.0) -> None:
        """Wait until so many more requests were acknowledged than now."""
        self.update()
        wanted = self.acked + more

        def look() -> bool:
            self.update()
            return self.acked >= wanted

        wait_for(look, f"{wanted} acknowledged requests", timeout, why=lambda: (self.acked, self.last))

    def stop(self) -> None:
        """No request is sent any more, and every fate is known."""
        self._take(self._api.request("DELETE", self._path))

    def _take(self, report: Object) -> None:
        for request, fate in report["fates"].items():
            self._ledger.known(int(request), Fate(fate))
        self.acked = sum(fate == "acked" for fate in report["fates"].values())
        self.last, self.done = report["last"], report["done"]


class Agents:
    """How tests talk to them, through the API server."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def start(
        self, ledger: Ledger, host: str, port: int, *, agent: str = "load", node: str = "", **run: Any
    ) -> Traffic:
        """Begin to send to an address. ``agent``: ``load``, or ``host``: from a node's own network. ``node``: by
        default any. ``run``: see ``Run`` in the agent's script."""
        first = len(ledger.sent)
        given = {"records": 5, "size": 80, "pause": 0.05, "senders": 3, "kept": 10, "count": _RESERVED, **run}
        ledger.sent += [Sent(given["records"]) for _ in range(given["count"])]
        path = self._path(agent, "runs", node)
        made = self._api.request("POST", path, {"host": host, "port": port, "first": first, **given})
        return Traffic(self._api, f"{path}/{made['run']}", ledger, first)

    @contextmanager
    def traffic(self, ledger: Ledger, host: str, port: int, **run: Any) -> Iterator[Traffic]:
        """Requests are sent meanwhile."""
        started = self.start(ledger, host, port, **run)
        try:
            yield started
        finally:
            started.stop()

    def kill(self, pod: Object, program: str) -> None:
        """kill -9 of a pod's processes. Raises AssertionError if there was none."""
        path = self._path("host", "kill", pod["spec"]["nodeName"])
        answer = self._api.request("POST", path, {"uid": pod["metadata"]["uid"], "program": program})
        assert answer["killed"], f"no {program} runs in {pod['metadata']['name']}"

    def _path(self, agent: str, what: str, node: str = "") -> str:
        found = self._api.select(PODS, NAMESPACE, f"agent={agent}")
        pod = next(one for one in found if node in ("", one["spec"]["nodeName"]))
        return f"{PODS.path(NAMESPACE)}/{pod['metadata']['name']}:{_PORT}/proxy/{what}"


def _object(kind: Kind, name: str, **fields: Any) -> Object:
    meta = {"namespace": NAMESPACE, "name": name}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **fields}


def _pod(image: str) -> Object:
    return {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "agent",
                "image": image,
                "command": ["python3", "/agent/agent.py", str(_PORT)],
                "volumeMounts": [{"name": "agent", "mountPath": "/agent"}],
                "readinessProbe": {"httpGet": {"path": "/", "port": _PORT}, "periodSeconds": 2},
            }
        ],
        "volumes": [{"name": "agent", "configMap": {"name": "agent"}}],
    }
