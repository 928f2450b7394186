"""Volumes that grow: a StorageClass of block devices, which are loop devices on sparse files of this machine.

This program stands where a CSI driver's controller stands with its external-provisioner and external-resizer: it makes
devices, makes them larger, and leaves the marks that external-resizer 2 leaves. (The drivers from the field that expand
take a device mapper, or a cloud.) The rest is the real kubelet's: it makes the file system, mounts it, sets its group,
grows it under the running pod, and says so in the claim.

The file system is XFS: an ext4 that is mounted is grown only by who has CAP_SYS_RESOURCE, which root in a container
seldom has.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from s3sink_operator.planner import quantities

from tests.rig.kubeapi import CLAIMS, STORAGE_CLASSES, VOLUMES, ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.controlplane import ControlPlane
    from tests.rig.kubeapi import Api, Object

STORAGE_CLASS: Final = "loop-devices"
_DRIVER: Final = "disks.s3sink.dev"
_FOLDER: Final = "disks"
_NODE: Final = "volume.kubernetes.io/selected-node"
_NODES_TURN: Final = ("NodeResizePending", "NodeResizeInProgress")
_HOSTNAME: Final = "kubernetes.io/hostname"


@contextmanager
def running(plane: ControlPlane) -> Iterator[None]:
    """It serves its StorageClass meanwhile, which isn't the default one. A volume takes at least 300 MiB."""
    plane.api.apply(STORAGE_CLASSES, _storage_class(), _DRIVER)
    folder = plane.directory / _FOLDER
    folder.mkdir()
    stopping = Event()
    thread = Thread(target=_serve, args=(_Disks(plane.api, folder), stopping))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def release(directory: Path) -> None:
    """Free the devices of a cluster that has ended: they are the kernel's, and outlive every namespace."""
    for link in (directory / _FOLDER).glob("*"):
        if link.is_symlink():
            _losetup("--detach", str(link.readlink()))


def _serve(disks: _Disks, stopping: Event) -> None:
    while not stopping.wait(1.0):
        try:
            disks.look()
        except (ApiError, OSError, subprocess.CalledProcessError) as error:
            sys.stderr.write(f"disks: {error}; looking again\n")


class _Disks:
    """Each pass derives all from what it finds. A volume's path is a link to its device, beside the device's file."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api, self._folder = api, folder

    def look(self) -> None:
        """One pass. Raises ApiError, OSError, CalledProcessError."""
        volumes = {
            volume["metadata"]["name"]: volume for volume in self._api.find(VOLUMES) if _is_ours(volume)
        }
        for claim in filter(_is_ours, self._api.find(CLAIMS)):
            volume = volumes.get(_name(claim))
            if volume is None and _NODE in claim["metadata"].get("annotations", {}):
                self._make(claim)
            elif volume is not None and claim["status"].get("phase") == "Bound":
                self._grow(claim, volume)
        for name, volume in volumes.items():
            if volume["status"].get("phase") == "Released":
                self._remove(name)

    def _make(self, claim: Object) -> None:
        meta, spec, name = claim["metadata"], claim["spec"], _name(claim)
        if "deletionTimestamp" in meta:
            return
        size, link = spec["resources"]["requests"]["storage"], self._folder / name
        if not link.is_symlink():
            with self._image(name).open("wb") as file:
                file.truncate(int(quantities.parse(size)))
            link.symlink_to(_losetup("--find", "--show", str(self._image(name))))
        reference = {key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion")}
        here = {"key": _HOSTNAME, "operator": "In", "values": [meta["annotations"][_NODE]]}
        volume = {
            "apiVersion": VOLUMES.api_version,
            "kind": VOLUMES.kind,
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": _DRIVER}},
            "spec": {
                "capacity": {"storage": size},
                "accessModes": spec["accessModes"],
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": STORAGE_CLASS,
                "claimRef": {"apiVersion": CLAIMS.api_version, "kind": CLAIMS.kind, **reference},
                "local": {"path": str(link), "fsType": "xfs"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            },
        }
        self._api.create(VOLUMES, volume)

    def _grow(self, claim: Object, volume: Object) -> None:
        wanted, name = claim["spec"]["resources"]["requests"]["storage"], volume["metadata"]["name"]
        size, status = quantities.parse(wanted), claim["status"]
        if quantities.parse(status["capacity"]["storage"]) >= size:
            return
        allocated = quantities.parse(status.get("allocatedResources", {}).get("storage", 0))
        turn = status.get("allocatedResourceStatuses", {}).get("storage")
        if turn in _NODES_TURN and allocated >= size:
            return
        self._mark(claim, "ControllerResizeInProgress", "Resizing")
        os.truncate(self._image(name), int(size))
        _losetup("--set-capacity", str((self._folder / name).readlink()))
        self._api.patch(VOLUMES, "", name, {"spec": {"capacity": {"storage": wanted}}})
        self._mark(claim, "NodeResizePending", "FileSystemResizePending")

    def _mark(self, claim: Object, turn: str, condition: str) -> None:
        """Write into a claim that grows whose turn it is."""
        meta, now = claim["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = {
            "allocatedResources": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "allocatedResourceStatuses": {"storage": turn},
            "conditions": [{"type": condition, "status": "True", "lastTransitionTime": now}],
        }
        self._api.patch(CLAIMS, meta["namespace"], meta["name"], {"status": status}, subresource="status")

    def _remove(self, name: str) -> None:
        """A device that is still mounted goes as soon as it isn't."""
        link = self._folder / name
        if link.is_symlink():
            _losetup("--detach", str(link.readlink()))
            link.unlink()
        self._image(name).unlink(missing_ok=True)
        self._api.delete(VOLUMES, "", name)

    def _image(self, name: str) -> Path:
        return self._folder / f"{name}.image"


def _name(claim: Object) -> str:
    """Of its volume."""
    return f"pvc-{claim['metadata']['uid']}"


def _is_ours(thing: Object) -> bool:
    return bool(thing["spec"].get("storageClassName") == STORAGE_CLASS)


def _losetup(*arguments: str) -> str:
    done = subprocess.run(["losetup", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def _storage_class() -> Object:
    return {
        "apiVersion": STORAGE_CLASSES.api_version,
        "kind": STORAGE_CLASSES.kind,
        "metadata": {"name": STORAGE_CLASS},
        "provisioner": _DRIVER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": True,
    }
