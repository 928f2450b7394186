"""Namespaces of its own for a node: nothing that it does to network, mounts or processes reaches the machine.

``scripts/e2e.sh`` makes them with ``unshare``; ``settle`` furnishes them. No packet can leave: the only devices are
those made here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.rig.node import disks

ADDRESS: Final = "10.77.0.1"
"""Of the node."""
CGROUP: Final = "s3sink-e2e"
_CGROUPS: Final = Path("/sys/fs/cgroup")

_NETWORK: Final = f"""
set -e
ip link set lo up
ip link add node0 type veth peer name node0-peer
ip address add {ADDRESS}/24 dev node0
ip link set node0 up
ip link set node0-peer up
ip route add default dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward
mount --make-rshared /
"""
# A kubelet sets these for the whole machine. Here it finds them as it wants them, in files that lie over the real ones.
_KERNEL: Final = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def settle(directory: Path) -> None:
    """Furnish the namespaces. Raises RuntimeError outside of them, and CalledProcessError."""
    if not os.environ.get("S3SINK_E2E_DIRECTORY") or os.getpid() != 1:
        raise RuntimeError("a node needs namespaces of its own: run `make e2e`")
    subprocess.run(["bash", "-c", _NETWORK], check=True)
    for name, value in _KERNEL.items():
        cover = directory / name.replace("/", "-")
        cover.write_text(f"{value}\n")
        subprocess.run(["mount", "--bind", str(cover), f"/proc/sys/{name}"], check=True)
    for hierarchy in _hierarchies():
        group = hierarchy / CGROUP
        group.mkdir(exist_ok=True)
        if (group / "cpuset.cpus").exists():  # a new one may use no core until it is told
            for name in ("cpuset.cpus", "cpuset.mems"):
                (group / name).write_text((hierarchy / name).read_text())


def leave(directory: Path) -> None:
    """Free the volumes' devices, and remove the groups as far as no process is left in them."""
    disks.release(directory)
    for hierarchy in _hierarchies():
        top = hierarchy / CGROUP
        for group, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(group)
            except OSError:  # a process that is ending; the next run finds the group and uses it
                continue


def _hierarchies() -> list[Path]:
    """Of control groups: one each in version 1, as kubelet asks for them."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [one for one in _CGROUPS.iterdir() if one.is_dir() and not one.is_symlink()]


if __name__ == "__main__":
    leave(Path(sys.argv[1]))
