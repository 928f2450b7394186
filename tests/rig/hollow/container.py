"""From a pod's spec to a command line: volumes become folders, references become values, an image becomes a module.

What differs from a real kubelet:

- A container is a process of this machine with this user's rights: no image, no isolation, no limits.
- A mount path can't be mounted, so it is replaced, wherever it stands in arguments, environment and settings files, by
  the folder that would be mounted there.
- A pod's address is one of 127.0.0.0/8. The ingester's settings say 0.0.0.0, as fits a network namespace; here the
  address is put in its place.
- The kubeconfig of the pod's service account is given in KUBECONFIG, since /var/run/secrets can't be written.
"""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from tests.rig.kubeapi import CLAIMS, CONFIG_MAPS, SECRETS, VOLUMES, Api, Object

MODULES: Final = {"s3sink-ingester": "s3sink_ingester", "s3sink-operator": "s3sink_operator"}
"""What is run for a command, or for an image of that name."""
BROKEN_IMAGE: Final = "does-not-exist"
"""An image with this in its name can't be pulled."""
_TOKEN_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


class NotYet(Exception):
    """The container can't be started now. ``reason``: as a real kubelet calls it in the container's waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Access(Protocol):
    """What a node gives to its pods."""

    @property
    def api(self) -> Api:
        """A client of the API server."""

    def kubeconfig_of(self, pod: Object) -> str:
        """A kubeconfig with the rights of the pod's service account."""


@dataclass(frozen=True, slots=True)
class Run:
    """What to start."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    mounts: Mapping[str, Path]
    """By mount path."""


def prepare(pod: Object, container: Object, directory: Path, access: Access) -> Run:
    """Fetch all that the container refers to and lay it out under ``directory``. Raises NotYet."""
    if BROKEN_IMAGE in container["image"]:
        raise NotYet("ImagePullBackOff", f'Back-off pulling image "{container["image"]}"')
    mounts = mount(pod, container, directory, access)
    env = _environment(pod, container, access.api)
    argv = [_expand(word, env) for word in (*container.get("command", ()), *container.get("args", ()))]
    if any(_TOKEN_PATH in path for path in mounts):
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(access.kubeconfig_of(pod))
        env["KUBECONFIG"] = str(kubeconfig)
    return Run(
        (sys.executable, "-m", *(translate(word, mounts) for word in _argv(container, argv))),
        {name: translate(value, mounts) for name, value in env.items()},
        mounts,
    )


def mount(pod: Object, container: Object, directory: Path, access: Access) -> dict[str, Path]:
    """Lay out the container's volumes; done again it brings what changed in their ConfigMaps and Secrets."""
    sources = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    found: dict[str, Path] = {}
    contents: list[tuple[Path, Mapping[str, bytes]]] = []
    for wanted in container.get("volumeMounts", []):
        path, content = _volume(pod, sources[wanted["name"]], directory / wanted["name"], access.api)
        found[wanted["mountPath"]] = path / wanted.get("subPath", "")
        contents.append((path, content))
    for path, content in contents:
        for name, data in content.items():
            _write(path / name, _settings(data, found, pod) if name == "settings.yaml" else data)
        if content:
            for stale in {one.name for one in path.iterdir()} - set(content):
                (path / stale).unlink()
    return found


def translate(text: str, mounts: Mapping[str, Path]) -> str:
    """Replace mount paths by the folders that stand for them."""
    if not mounts:
        return text
    longest_first = "|".join(re.escape(path) for path in sorted(mounts, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])({longest_first})(?![\w-])", lambda found: str(mounts[found[1]]), text)


def _argv(container: Object, argv: list[str]) -> list[str]:
    if container.get("command"):
        name = os.path.basename(argv.pop(0))
    else:
        name = re.split(r"[:@]", container["image"].rpartition("/")[2])[0]
    if name not in MODULES:
        raise NotYet("ErrImageNeverPull", f"there are no images here, and {name} is no command that is known")
    return [MODULES[name], *argv]


# ---- volumes


def _volume(pod: Object, volume: Object, path: Path, api: Api) -> tuple[Path, Mapping[str, bytes]]:
    """The folder of a volume, and the files that have to be in it."""
    if claim := volume.get("persistentVolumeClaim"):
        return _claimed(pod["metadata"]["namespace"], claim["claimName"], api), {}
    path.mkdir(parents=True, exist_ok=True)
    return path, _files(pod, volume, api)


def _claimed(namespace: str, name: str, api: Api) -> Path:
    claim = api.get(CLAIMS, namespace, name)
    if claim is None or claim["status"]["phase"] != "Bound":
        raise NotYet("ContainerCreating", f'persistentvolumeclaim "{name}" not bound')
    volume = api.get(VOLUMES, "", claim["spec"]["volumeName"])
    if volume is None:
        raise NotYet("ContainerCreating", f'persistentvolume "{claim["spec"]["volumeName"]}" not found')
    return Path(volume["spec"]["hostPath"]["path"])


def _files(pod: Object, volume: Object, api: Api) -> dict[str, bytes]:
    namespace = pod["metadata"]["namespace"]
    if source := volume.get("configMap"):
        return _chosen(source, _config_map(namespace, source["name"], api, source.get("optional")))
    if source := volume.get("secret"):
        return _chosen(source, _secret(namespace, source["secretName"], api, source.get("optional")))
    if source := volume.get("downwardAPI"):
        return {
            item["path"]: str(_field(pod, item["fieldRef"]["fieldPath"])).encode() for item in source["items"]
        }
    if source := volume.get("projected"):
        parts = [_files(pod, _as_volume(part), api) for part in source["sources"]]
        return {name: data for part in parts for name, data in part.items()}
    return {}


def _as_volume(part: Object) -> Object:
    if secret := part.get("secret"):
        return {"secret": {**secret, "secretName": secret["name"]}}
    return part


def _chosen(source: Object, data: Mapping[str, bytes]) -> dict[str, bytes]:
    if not source.get("items"):
        return dict(data)
    return {item["path"]: data[item["key"]] for item in source["items"]}


def _config_map(namespace: str, name: str, api: Api, optional: bool | None) -> dict[str, bytes]:
    found = api.get(CONFIG_MAPS, namespace, name)
    if found is None and not optional:
        raise NotYet("ContainerCreating", f'configmap "{name}" not found')
    return {key: value.encode() for key, value in ((found or {}).get("data") or {}).items()}


def _secret(namespace: str, name: str, api: Api, optional: bool | None) -> dict[str, bytes]:
    found = api.get(SECRETS, namespace, name)
    if found is None and not optional:
        raise NotYet("ContainerCreating", f'secret "{name}" not found')
    return {key: base64.b64decode(value) for key, value in ((found or {}).get("data") or {}).items()}


def _settings(data: bytes, mounts: Mapping[str, Path], pod: Object) -> bytes:
    """For this pod's folders and address. What isn't a mapping isn't ours to judge: the ingester does."""
    text = translate(data.decode(), mounts)
    settings = yaml.safe_load(text)
    if not isinstance(settings, dict):
        return text.encode()
    for group in ("source", "admin"):
        settings[group] = {**(settings.get(group) or {}), "host": pod["status"]["podIP"]}
    return yaml.safe_dump(settings, sort_keys=False).encode()


def _write(path: Path, data: bytes) -> None:
    """At once, as a real kubelet changes files: nobody reads half of one."""
    if path.exists() and path.read_bytes() == data:
        return
    part = path.with_name(f"..{path.name}.part")
    part.write_bytes(data)
    part.rename(path)


# ---- environment


def _environment(pod: Object, container: Object, api: Api) -> dict[str, str]:
    env: dict[str, str] = {"AWS_EC2_METADATA_DISABLED": "true"}
    namespace = pod["metadata"]["namespace"]
    for group in container.get("envFrom", []):
        read: Callable[..., dict[str, bytes]] = _secret if "secretRef" in group else _config_map
        source = group.get("secretRef") or group["configMapRef"]
        data = _needed(read, namespace, source["name"], api, source.get("optional"))
        env |= {group.get("prefix", "") + key: value.decode() for key, value in data.items()}
    for one in container.get("env", []):
        value = _value(pod, container, one, api)
        if value is not None:
            env[one["name"]] = _expand(value, env)
    return env


def _value(pod: Object, container: Object, variable: Object, api: Api) -> str | None:
    source = variable.get("valueFrom")
    if source is None:
        return str(variable.get("value", ""))
    if "fieldRef" in source:
        return str(_field(pod, source["fieldRef"]["fieldPath"]))
    if "resourceFieldRef" in source:
        part, _, name = source["resourceFieldRef"]["resource"].partition(".")
        return str(container.get("resources", {}).get(part, {}).get(name, ""))
    read: Callable[..., dict[str, bytes]] = _secret if "secretKeyRef" in source else _config_map
    chosen = source.get("secretKeyRef") or source["configMapKeyRef"]
    data = _needed(read, pod["metadata"]["namespace"], chosen["name"], api, chosen.get("optional"))
    if chosen["key"] in data:
        return data[chosen["key"]].decode()
    if chosen.get("optional"):
        return None
    raise NotYet("CreateContainerConfigError", f"couldn't find key {chosen['key']} in {chosen['name']}")


def _needed(read: Callable[..., dict[str, bytes]], *arguments: object) -> dict[str, bytes]:
    """What is missing for a volume holds a pod up before its container; for the environment, the container."""
    try:
        return read(*arguments)
    except NotYet as missing:
        raise NotYet("CreateContainerConfigError", missing.message) from None


def _field(pod: Object, path: str) -> Any:
    """As ``metadata.name``, or ``metadata.annotations['some/key']``."""
    path, _, key = path.partition("['")
    value: Any = pod
    for part in path.split("."):
        value = value[part]
    return value.get(key.removesuffix("']"), "") if key else value


def _expand(text: str, env: Mapping[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda found: env.get(found[1], found[0]), text)
