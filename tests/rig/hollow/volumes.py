"""A provisioner of volumes: folders of this machine, which any node can mount.

What differs from a real one: a folder has no size of its own, so a claim's size is a number that is told, and its
growth is done at once; nothing keeps two nodes from mounting it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Final

from tests.rig.kubeapi import CLAIMS, STORAGE_CLASSES, VOLUMES, Api, ApiError, Object

PROVISIONER: Final = "hollow.s3sink.dev"
CLASS: Final = "hollow"
"""The cluster's default class; volumes may grow."""
FIXED_CLASS: Final = "hollow-fixed"
"""Volumes may not grow."""

_MANAGER: Final = "hollow-provisioner"
_BY: Final = "pv.kubernetes.io/provisioned-by"
_NODE: Final = "volume.kubernetes.io/selected-node"


def storage_classes() -> list[Object]:
    """Both classes; a volume is made when a pod was scheduled, as it is in clouds."""
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    return [
        {
            "apiVersion": STORAGE_CLASSES.api_version,
            "kind": STORAGE_CLASSES.kind,
            "metadata": {"name": name, "annotations": default if name == CLASS else {}},
            "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": name == CLASS,
        }
        for name in (CLASS, FIXED_CLASS)
    ]


class Provisioner:
    """``follow_claims`` and ``follow_volumes`` run in a thread each until ``stopping`` is set."""

    def __init__(self, api: Api, directory: Path, stopping: Event) -> None:
        self._api = api
        self._directory = directory
        self._stopping = stopping

    def follow_claims(self) -> None:
        """Make volumes for new claims, and larger ones of those that grow."""
        for change, found in self._api.watch(CLAIMS, self._stopping):
            for claim in found if change == "ALL" else [found]:
                if change != "DELETED" and claim["spec"].get("storageClassName") in (CLASS, FIXED_CLASS):
                    _tolerate_races(self._provide, claim)

    def follow_volumes(self) -> None:
        """Delete volumes whose claim is gone, with all that they hold."""
        for change, found in self._api.watch(VOLUMES, self._stopping):
            for volume in found if change == "ALL" else [found]:
                if change != "DELETED" and volume["spec"].get("storageClassName") in (CLASS, FIXED_CLASS):
                    _tolerate_races(self._reclaim, volume)

    def _provide(self, claim: Object) -> None:
        spec, meta = claim["spec"], claim["metadata"]
        wanted = spec["resources"]["requests"]["storage"]
        if not spec.get("volumeName"):
            if _NODE in meta.get("annotations", {}) and "deletionTimestamp" not in meta:
                self._make(claim, wanted)
        elif claim["status"].get("capacity", {}).get("storage", wanted) != wanted:
            self._api.patch(VOLUMES, "", spec["volumeName"], {"spec": {"capacity": {"storage": wanted}}})
            status = {"status": {"capacity": {"storage": wanted}}}
            self._api.patch(CLAIMS, meta["namespace"], meta["name"], status, subresource="status")

    def _make(self, claim: Object, size: str) -> None:
        meta = claim["metadata"]
        name = f"pvc-{meta['uid']}"
        path = self._directory / name
        path.mkdir(parents=True, exist_ok=True)
        reference = {key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion")}
        volume = {
            "apiVersion": VOLUMES.api_version,
            "kind": VOLUMES.kind,
            "metadata": {"name": name, "annotations": {_BY: PROVISIONER}},
            "spec": {
                "capacity": {"storage": size},
                "accessModes": claim["spec"]["accessModes"],
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": claim["spec"]["storageClassName"],
                "claimRef": {"apiVersion": CLAIMS.api_version, "kind": CLAIMS.kind, **reference},
                "hostPath": {"path": str(path)},
            },
        }
        self._api.create(VOLUMES, volume)

    def _reclaim(self, volume: Object) -> None:
        released = volume["status"].get("phase") == "Released"
        if released and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
            shutil.rmtree(volume["spec"]["hostPath"]["path"], ignore_errors=True)
            self._api.delete(VOLUMES, "", volume["metadata"]["name"], uid=volume["metadata"]["uid"])


def _tolerate_races(act: Callable[[Object], None], thing: Object) -> None:
    """Run ``act(thing)``; what is gone, made or changed meanwhile is told again by the watch."""
    try:
        act(thing)
    except ApiError as error:
        if error.status not in (0, 404, 409):
            raise
