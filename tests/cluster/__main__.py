"""`make cluster`: a control plane with the CRD and a node that runs ingesters, until Ctrl-C."""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import ExitStack, suppress

from tests.rig import controlplane, kubetools
from tests.rig.kubelet import Kubelet


def main() -> None:
    """Start it, say how to reach it, and wait to be told to end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        plane = stack.enter_context(controlplane.running())
        controlplane.install(plane, kubetools.ROOT / "crds")
        stack.enter_context(Kubelet(plane))
        print(f"# ready after {time.monotonic() - started:.0f} s; Ctrl-C ends it")
        print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
        if shutil.which("kubectl") is None:
            print(f"export PATH={kubetools.find('kubectl').parent}:$PATH  # for kubectl", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
