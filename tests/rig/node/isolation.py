"""Namespaces of its own for a cluster: nothing that it does to network, mounts or processes reaches the machine.

``scripts/e2e.sh`` makes them with ``unshare``, and ``settle`` furnishes them for control plane and tests; in them each
node has some of its own (``boot.sh``). No packet can leave: the only devices are those made here, and nodes are
plugged into a bridge.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.rig.node import disks

ADDRESS: Final = "10.77.0.1"
"""Of the control plane and of the tests."""
POD_RANGE: Final = "10.244.0.0/16"
"""Of the pods of all nodes."""
_BRIDGE: Final = "nodes0"
_CGROUPS: Final = Path("/sys/fs/cgroup")
_BOOT: Final = Path(__file__).with_name("boot.sh")
_KERNEL: Final = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet wants of a machine."""


@dataclass(frozen=True)
class Place:
    """Where a node is in the network."""

    name: str
    address: str
    pods: str
    """The range of its pods' addresses."""


PLACES: Final = tuple(Place(f"node-{n}", f"10.77.0.{10 + n}", f"10.244.{n}.0/24") for n in (1, 2))


def settle(directory: Path) -> None:
    """Furnish the namespaces. Raises RuntimeError outside of them, and CalledProcessError."""
    if not os.environ.get("S3SINK_E2E_DIRECTORY") or os.getpid() != 1:
        raise RuntimeError("a cluster needs namespaces of its own: run `make e2e`")
    for command in (
        "link set lo up",
        f"link add {_BRIDGE} type bridge",
        f"address add {ADDRESS}/24 dev {_BRIDGE}",
        f"link set {_BRIDGE} up",
        f"route add default dev {_BRIDGE}",
        *(f"route add {place.pods} via {place.address}" for place in PLACES),
    ):
        subprocess.run(["ip", *command.split()], check=True)
    for hierarchy in _hierarchies():
        for group in (directory.name, *(group_of(directory, place) for place in PLACES)):
            made = hierarchy / group
            made.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (made.parent / name).exists():  # a new one may use no core until it is told
                    (made / name).write_text((made.parent / name).read_text())


def group_of(directory: Path, place: Place) -> str:
    """The control group of a node, of this run alone: a kubelet ends what it finds in one and doesn't know."""
    return f"{directory.name}/{place.name}"


def volumes_of(directory: Path) -> Path:
    """A folder that is on each node another one."""
    return directory / "volumes"


def boot(directory: Path, place: Place) -> list[str]:
    """The command that makes a node's namespaces, see ``boot.sh``. ``directory``: of the node."""
    for name, value in _KERNEL.items():
        cover = directory / "kernel" / name
        cover.parent.mkdir(parents=True, exist_ok=True)
        cover.write_text(f"{value}\n")
    routes = [f"{other.pods}={other.address}" for other in PLACES if other != place]
    folders = [str(directory), str(volumes_of(directory.parent))]
    return [str(_BOOT), *folders, place.name, place.address, _BRIDGE, ADDRESS, *routes]


def leave(directory: Path) -> None:
    """Free the volumes' devices, and remove the groups as far as no process is left in them."""
    disks.release(directory)
    for hierarchy in _hierarchies():
        for group, _, _ in os.walk(hierarchy / directory.name, topdown=False):
            with suppress(OSError):  # a process that is ending; nobody uses the group again
                os.rmdir(group)


def _hierarchies() -> list[Path]:
    """Of control groups: one each in version 1, as kubelet asks for them."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [one for one in _CGROUPS.iterdir() if one.is_dir() and not one.is_symlink()]


if __name__ == "__main__":
    leave(Path(sys.argv[1]))
