"""A cluster of one node while a command runs: ``python -m tests.rig.node IMAGES COMMAND...``, see ``scripts/e2e.sh``.

The command finds the cluster as it would find any: by ``KUBECONFIG``, and images that the cluster has by
``INGESTER_IMAGE``, ``INGESTER_IMAGE_NEXT``, ``OPERATOR_IMAGE`` and ``S3_IMAGE``. ``EXPANDING_STORAGE_CLASS``: the one
of its StorageClasses whose volumes can grow.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.rig.controlplane import ControlPlane, Network
from tests.rig.node import disks, images, isolation, provisioner
from tests.rig.node.machine import Node


def main(archives: Path, command: list[str]) -> int:
    """Returns the command's exit code."""
    directory = Path(os.environ["S3SINK_E2E_DIRECTORY"])
    isolation.settle(directory)
    with (
        ControlPlane(directory, Network(isolation.ADDRESS, pods=True)) as plane,
        Node(plane, archives),
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
        }
        return subprocess.run(command, env={**os.environ, **given}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
