"""The power switches of the cluster's nodes: ``python -m tests.rig.node.power off|on NODE``, beside the cluster.

``off`` returns when nothing runs on the node any more, ``on`` when the cluster says that the node is ready.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from multiprocessing.connection import Client, Listener
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

from tests.rig.processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.node.machine import Node

COMMAND: Final = f"{sys.executable} -m {__name__}"
_SOCKET: Final = "power"


@contextmanager
def switches(nodes: list[Node], directory: Path) -> Iterator[None]:
    """They work meanwhile."""
    with Listener(str(directory / _SOCKET), "AF_UNIX") as listener:
        Thread(target=_serve, args=(listener, {node.name: node for node in nodes}), daemon=True).start()
        yield


def _serve(listener: Listener, nodes: dict[str, Node]) -> None:
    while True:
        with listener.accept() as asked:
            wanted, name = asked.recv()
            try:
                {"off": nodes[name].off, "on": nodes[name].on}[wanted]()
            except (ProcessError, AssertionError, KeyError, OSError, subprocess.CalledProcessError) as error:
                asked.send(f"{name} can't be switched {wanted}: {error!r}")
            else:
                asked.send(None)


def _ask(wanted: str, name: str) -> str | None:
    """What went wrong, if anything."""
    with Client(str(Path(os.environ["S3SINK_E2E_DIRECTORY"], _SOCKET)), "AF_UNIX") as switch:
        switch.send((wanted, name))
        answer: str | None = switch.recv()
        return answer


if __name__ == "__main__":
    sys.exit(_ask(*sys.argv[1:]))
