"""Volumes on demand: Rancher's local-path provisioner, as a process beside the nodes."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import yaml

from tests.rig import kubetools
from tests.rig.node import images, isolation
from tests.rig.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.controlplane import ControlPlane

STORAGE_CLASS: Final = "local-path"
_NAMESPACE: Final = "local-path-storage"
_PROVISIONER: Final = "rancher.io/local-path"


@contextmanager
def running(plane: ControlPlane) -> Iterator[None]:
    """It serves the default StorageClass; volumes are folders on their nodes, gone with the plane's directory."""
    folder = plane.directory / "provisioner"
    folder.mkdir()
    config = folder / "config.json"
    paths = [
        {"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(isolation.volumes_of(plane.directory))]}
    ]
    config.write_text(json.dumps({"nodePathMap": paths}))
    helper = folder / "helper.yaml"
    helper.write_text(yaml.safe_dump(_HELPER))
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(_objects(config, helper)))
    command = [
        str(kubetools.find("local-path-provisioner")),
        "start",
        f"--config={config}",
        f"--provisioner-name={_PROVISIONER}",
        f"--namespace={_NAMESPACE}",
        f"--helper-image={images.BASE}",
        f"--helper-pod-file={helper}",
        f"--kubeconfig={plane.kubeconfig}",
        "--service-account-name=default",
        "--configmap-name=local-path-config",
    ]
    with Process(command, log=plane.directory / "local-path-provisioner.log"):
        yield


_HELPER: Final[dict[str, Any]] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "helper-pod"},
    "spec": {
        "containers": [{"name": "helper-pod", "image": images.BASE, "imagePullPolicy": "IfNotPresent"}],
        "terminationGracePeriodSeconds": 0,
    },
}


def _objects(config: Any, helper: Any) -> list[dict[str, Any]]:
    data = {
        "config.json": config.read_text(),
        "helperPod.yaml": helper.read_text(),
        # Ingesters run as a user of their own, and a folder has no fsGroup.
        "setup": '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n',
        "teardown": '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n',
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "local-path-config", "namespace": _NAMESPACE},
            "data": data,
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": _PROVISIONER,
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
    ]
