"""A cluster of two nodes while a command runs: ``python -m tests.rig.node IMAGES COMMAND...``, see ``scripts/e2e.sh``.

The command finds the cluster as it would find any: by ``KUBECONFIG``, and images that the cluster has by
``INGESTER_IMAGE``, ``INGESTER_IMAGE_NEXT``, ``OPERATOR_IMAGE`` and ``S3_IMAGE``. ``EXPANDING_STORAGE_CLASS``: the one
of its StorageClasses whose volumes can grow. ``NODE_POWER``: a command that, given ``off`` or ``on`` and a node's name,
does that to the node.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.rig.controlplane import ControlPlane, Network
from tests.rig.node import disks, images, isolation, machine, power, provisioner

if TYPE_CHECKING:
    from collections.abc import Iterator


_NETWORK: Final = Network(isolation.ADDRESS, pods=True, lost_after="40s", evicted_after=20)


def main(archives: Path, command: list[str]) -> int:
    """Returns the command's exit code."""
    directory = Path(os.environ["S3SINK_E2E_DIRECTORY"])
    isolation.settle(directory)
    with (
        ControlPlane(directory, _NETWORK) as plane,
        _nodes(plane, archives) as nodes,
        machine.proxy(plane, nodes[0]),
        power.switches(nodes, directory),
        provisioner.running(plane),
        disks.running(plane),
    ):
        given = {
            "KUBECONFIG": str(plane.kubeconfig),
            "INGESTER_IMAGE": images.INGESTER,
            "INGESTER_IMAGE_NEXT": images.NEXT,
            "OPERATOR_IMAGE": images.OPERATOR,
            "S3_IMAGE": images.S3,
            "EXPANDING_STORAGE_CLASS": disks.STORAGE_CLASS,
            "NODE_POWER": power.COMMAND,
        }
        return subprocess.run(command, env={**os.environ, **given}, check=False).returncode


@contextmanager
def _nodes(plane: ControlPlane, archives: Path) -> Iterator[list[machine.Node]]:
    """They are ready."""
    nodes = [machine.Node(plane, archives, place) for place in isolation.PLACES]
    with ThreadPoolExecutor(len(nodes)) as pool:  # a process ends with the thread that started it
        try:
            list(pool.map(machine.Node.on, nodes))
            yield nodes
        finally:
            for node in nodes:
                node.off()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
