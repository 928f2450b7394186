"""Nodes of a real cluster: cordoned, drained, and lost by whatever means there is."""

from __future__ import annotations

import shlex
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.rig import agents
from tests.rig.kubeapi import NODES, condition, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.anycluster import AnyCluster


@dataclass(frozen=True)
class Nodes:
    """Those of a cluster that take pods."""

    cluster: AnyCluster
    power: str = ""
    """A command that does ``off`` or ``on``, its first argument, to a node, its second one."""

    def names(self) -> list[str]:
        """In order."""
        found = self.cluster.api.find(NODES)
        return sorted(
            node["metadata"]["name"]
            for node in found
            if condition(node, "Ready").get("status") == "True" and not node["spec"].get("taints")
        )

    def is_ready(self, name: str) -> bool:
        """As the cluster sees it."""
        return condition(self.cluster.api.get(NODES, "", name), "Ready").get("status") == "True"

    def is_cordoned(self, name: str) -> bool:
        """No pod is put there."""
        node = self.cluster.api.get(NODES, "", name) or {}
        return bool(node["spec"].get("unschedulable"))

    @contextmanager
    def cordoned(self, *names: str) -> Iterator[None]:
        """No pod is put there meanwhile."""
        try:
            self.cluster.kubectl("cordon", *names)
            yield
        finally:
            self.cluster.kubectl("uncordon", *names)

    def drain(self, name: str, timeout: float) -> tuple[bool, str]:
        """``kubectl drain`` of the pods of sinks ``events``: whether it came to its end, and what it said."""
        done = self.cluster.kubectl(
            *("drain", name, "--pod-selector=s3sink.dev/sink=events"),
            *("--delete-emptydir-data", "--ignore-daemonsets", f"--timeout={timeout:.0f}s"),
            check=False,
        )
        return done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def lost(self, name: str) -> Iterator[None]:
        """It has no power meanwhile. On entry the cluster knows, in the end the node is as it was."""
        try:
            self._switch("off", name)
            wait_for(lambda: not self.is_ready(name), f"loss of {name} that is noticed", 600.0)
            yield
        finally:
            self._switch("on", name)
            wait_for(lambda: self.is_ready(name), f"ready {name}", 600.0)
            agents.wait_ready(self.cluster.api)

    def _switch(self, wanted: str, name: str) -> None:
        subprocess.run([*shlex.split(self.power), wanted, name], check=True)
