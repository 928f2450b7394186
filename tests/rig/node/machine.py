"""One real node: containerd, kubelet and kube-proxy, in namespaces of their own (``isolation``)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.rig import kubetools
from tests.rig.kubeapi import NODES, condition, wait_for
from tests.rig.node import images, isolation
from tests.rig.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.controlplane import ControlPlane
    from tests.rig.node.isolation import Place

_CNI_PLUGINS: Final = "/usr/lib/cni"
_CONTAINERD: Final = """
version = 2
root = "{directory}/containerd"
state = "/run/containerd"
[grpc]
address = "{directory}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Where a process may not lower its score, runc fails with "can't get final child's PID".
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{directory}/cni"
"""


class Node:
    """A node that has all images, and can be switched off and on. This process reaches the addresses of its pods."""

    def __init__(self, plane: ControlPlane, archives: Path, place: Place) -> None:
        """It is off. All its files are in the plane's directory."""
        self._plane, self._archives, self._place = plane, archives, place
        self._directory = plane.directory / place.name
        self._directory.mkdir()
        self._pid = self._directory / "pid"
        self._programs: list[Process] = []

    @property
    def name(self) -> str:
        """In the cluster."""
        return self._place.name

    def on(self) -> None:
        """Start it, unless it is on, with what was left on its disk; returns when it is ready.

        Raises ProcessError, CalledProcessError, AssertionError.
        """
        if self._programs:
            return
        boot = self._run("boot", isolation.boot(self._directory, self._place))
        boot.wait_until(self._pid.exists, "furnished")
        self._start_containerd()
        kubelet = self._start_kubelet()
        self._start_proxy()
        wait_for(self._is_ready, f"ready {self.name}", why=lambda: kubelet.output()[-3000:])

    def off(self) -> None:
        """End all that runs on it at once, as if its power went."""
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(self._pid.read_text()), signal.SIGKILL)
        self._pid.unlink(missing_ok=True)
        while self._programs:
            self._programs.pop(0).wait()

    def _start_containerd(self) -> None:
        self._write("cni/10-pods.conflist", _cni(self._directory, self._place))
        settings = self._directory / "containerd.toml"
        is_new = not settings.exists()
        settings.write_text(
            _CONTAINERD.format(directory=self._directory, pause=images.PAUSE, plugins=_CNI_PLUGINS)
        )
        runtime = self._run_inside("containerd", "--config", str(settings))
        runtime.wait_until(lambda: self._ctr("version", check=False) == 0, "answering")
        if is_new:
            for image in images.ALL:
                self._ctr("images", "import", str(images.archive_of(self._archives, image)))
            self._ctr("images", "tag", images.INGESTER, images.NEXT)

    def _start_kubelet(self) -> Process:
        kubelet = self._run_inside(
            str(kubetools.find("kubelet")),
            f"--config={self._write('kubelet.json', self._kubelet())}",
            # With an administrator's rights: what nodes may do isn't under test.
            f"--kubeconfig={self._plane.kubeconfig}",
            f"--cert-dir={self._directory / 'pki'}",
            f"--hostname-override={self.name}",
            f"--node-ip={self._place.address}",
        )
        kubelet.wait_until(lambda: self._plane.api.get(NODES, "", self.name) is not None, "registered")
        return kubelet

    def _start_proxy(self) -> None:
        settings = self._write("proxy.json", _proxy(self._plane, self.name))
        self._run_inside(str(kubetools.find("kube-proxy")), f"--config={settings}")

    def _is_ready(self) -> bool:
        found = self._plane.api.get(NODES, "", self.name)
        return condition(found, "Ready").get("status") == "True"

    def _run_inside(self, program: str, *flags: str) -> Process:
        enter = ["nsenter", f"--target={self._pid.read_text().strip()}", "--net", "--mount", "--pid", "--"]
        return self._run(os.path.basename(program), [*enter, program, *flags])

    def _run(self, name: str, command: list[str]) -> Process:
        started = Process(command, log=self._directory / f"{name}.log")
        self._programs.append(started)
        return started

    def _ctr(self, *arguments: str, check: bool = True) -> int:
        address = f"--address={self._directory / 'containerd.sock'}"
        command = ["ctr", address, "--namespace=k8s.io", *arguments]
        return subprocess.run(command, check=check, capture_output=True).returncode

    def _write(self, name: str, content: Any) -> Path:
        path = self._directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    def _kubelet(self) -> dict[str, Any]:
        directory = self._directory
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},  # whoever is in the namespace is the test
            "containerRuntimeEndpoint": f"unix://{directory / 'containerd.sock'}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{isolation.group_of(self._plane.directory, self._place)}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            # How full the machine's disk is must decide nothing here.
            "evictionHard": dict.fromkeys(
                ("nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"
            ),
            "imageGCHighThresholdPercent": 100,
            "resolvConf": "",
            "volumePluginDir": str(directory / "plugins"),
            "podLogsDir": str(directory / "logs"),
            "syncFrequency": "10s",
        }


@contextmanager
def proxy(plane: ControlPlane, node: Node) -> Iterator[None]:
    """This process reaches Services meanwhile: a kube-proxy where no node is, which takes itself for that of one."""
    settings = plane.directory / "proxy.json"
    settings.write_text(json.dumps(_proxy(plane, node.name)))
    command = [str(kubetools.find("kube-proxy")), f"--config={settings}"]
    with Process(command, log=plane.directory / "kube-proxy.log"):
        yield


def _proxy(plane: ControlPlane, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(plane.kubeconfig)},
        "clusterCIDR": isolation.POD_RANGE,
        "conntrack": {"maxPerCore": 0, "min": 0},  # a limit of the whole machine
        "hostnameOverride": node,
    }


def _cni(directory: Path, place: Place) -> dict[str, Any]:
    """Pods on one bridge a node; they are known by their own addresses everywhere."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": place.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(directory / "addresses"),
    }
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "hairpinMode": True}
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {**bridge, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
