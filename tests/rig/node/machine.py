"""One real node: containerd, kubelet and kube-proxy, in namespaces of their own (``isolation``)."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tests.rig import kubetools
from tests.rig.kubeapi import condition, wait_for
from tests.rig.node import images, isolation
from tests.rig.processes import Process

if TYPE_CHECKING:
    from tests.rig.controlplane import ControlPlane

NAME: Final = "node-1"
_POD_RANGE: Final = "10.244.0.0/16"
_CNI_PLUGINS: Final = "/usr/lib/cni"

_CONTAINERD: Final = """
version = 2
root = "{directory}/containerd/root"
state = "{directory}/containerd/state"
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
    """A running node that has all images. Pods have addresses in 10.244.0.0/16, which this process reaches as well."""

    def __init__(self, plane: ControlPlane, archives: Path) -> None:
        """Start it, all files in the plane's directory. Raises ProcessError, CalledProcessError."""
        self._plane = plane
        self._directory = plane.directory / "node"
        self._directory.mkdir()
        self._stack = ExitStack()
        try:
            self._start(archives)
        except BaseException:
            self._stack.close()
            raise

    def logs(self, namespace: str, pod: str) -> str:
        """What a pod has written."""
        return self._plane.kubectl("-n", namespace, "logs", pod, "--tail=100", check=False).stdout

    def stop(self) -> None:
        """End its processes; those of containers go with the process namespace."""
        self._stack.close()

    def _start(self, archives: Path) -> None:
        self._write("cni/10-pods.conflist", _cni(self._directory))
        (self._directory / "containerd.toml").write_text(
            _CONTAINERD.format(directory=self._directory, pause=images.PAUSE, plugins=_CNI_PLUGINS)
        )
        runtime = self._run("containerd", "--config", str(self._directory / "containerd.toml"))
        runtime.wait_until(lambda: self._ctr("version", check=False) == 0, "answering")
        for image in images.ALL:
            self._ctr("images", "import", str(images.archive_of(archives, image)))
        self._ctr("images", "tag", images.INGESTER, images.NEXT)
        kubelet = self._run(
            str(kubetools.find("kubelet")),
            f"--config={self._write('kubelet.json', _kubelet(self._directory))}",
            # With an administrator's rights: what nodes may do isn't under test.
            f"--kubeconfig={self._plane.kubeconfig}",
            f"--root-dir={self._directory / 'kubelet'}",
            f"--cert-dir={self._directory / 'pki'}",
            f"--hostname-override={NAME}",
            f"--node-ip={isolation.ADDRESS}",
        )
        kubelet.wait_until(
            lambda: self._plane.kubectl("get", "node", NAME, check=False).returncode == 0, "registered"
        )
        proxy = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clientConnection": {"kubeconfig": str(self._plane.kubeconfig)},
            "clusterCIDR": _POD_RANGE,
            "conntrack": {"maxPerCore": 0, "min": 0},  # a limit of the whole machine
            "hostnameOverride": NAME,
        }
        self._run(str(kubetools.find("kube-proxy")), f"--config={self._write('proxy.json', proxy)}")
        wait_for(self._is_ready, f"ready {NAME}", why=lambda: kubelet.output()[-3000:])

    def _is_ready(self) -> bool:
        shown = self._plane.kubectl("get", "node", NAME, "--output=json").stdout
        return condition(json.loads(shown), "Ready").get("status") == "True"

    def _run(self, program: str, *flags: str) -> Process:
        log = self._directory / f"{os.path.basename(program)}.log"
        return self._stack.enter_context(Process([program, *flags], log=log, cwd=self._directory))

    def _ctr(self, *arguments: str, check: bool = True) -> int:
        address = f"--address={self._directory / 'containerd.sock'}"
        command = ["ctr", address, "--namespace=k8s.io", *arguments]
        return subprocess.run(command, check=check, capture_output=True).returncode

    def _write(self, name: str, content: Any) -> Path:
        path = self._directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _cni(directory: Path) -> dict[str, Any]:
    """Pods on one bridge; what they send elsewhere has the node's address."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": _POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(directory / "addresses"),
    }
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": True, "hairpinMode": True}
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {**bridge, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(directory: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},  # whoever is in the namespace is the test
        "containerRuntimeEndpoint": f"unix://{directory / 'containerd.sock'}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{isolation.CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        # How full the machine's disk is must decide nothing here.
        "evictionHard": dict.fromkeys(("nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"),
        "imageGCHighThresholdPercent": 100,
        "resolvConf": "",
        "volumePluginDir": str(directory / "plugins"),
        "podLogsDir": str(directory / "logs"),
        "syncFrequency": "10s",
    }
