"""`python -m tests.cluster.report`: what kubectl says of a healthy sink and of four that aren't."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.rig import controlplane, kubetools
from tests.rig.flaky_proxy import flaky_proxy
from tests.rig.kubelet import Kubelet
from tests.rig.operators import Operator
from tests.rig.s3servers import versitygw
from tests.rig.sinks import LiveSink


def main() -> None:
    """Start everything, break some of it, and print."""
    with ExitStack() as stack:
        plane = stack.enter_context(controlplane.running())
        controlplane.install(plane, kubetools.ROOT / "crds")
        kubelet = stack.enter_context(Kubelet(plane))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="s3sink-report-")))
        s3 = stack.enter_context(versitygw(kubetools.find("versitygw"), directory))
        proxy = stack.enter_context(flaky_proxy(s3.endpoint))
        stack.enter_context(Operator(plane))

        healthy = LiveSink(plane, kubelet, s3, "default", "healthy", bucket="events")
        healthy.prepare()
        healthy.apply(replicas=2)

        no_secret = LiveSink(plane, kubelet, s3, "default", "no-secret", bucket="orders")
        no_secret.apply(destination={"credentials": {"secretRef": {"name": "not-there"}}})

        no_bucket = LiveSink(plane, kubelet, s3, "default", "no-bucket", bucket="not-there")
        no_bucket.apply()

        s3_away = LiveSink(plane, kubelet, s3, "default", "s3-away", proxy.endpoint, bucket="clicks")
        s3_away.prepare()
        s3_away.apply(replicas=1)

        blocked = LiveSink(plane, kubelet, s3, "default", "blocked-drain", proxy.endpoint, bucket="views")
        blocked.prepare()
        blocked.apply(replicas=2, batch={"window": "1h"})

        healthy.wait_ready(2)
        s3_away.wait_ready(1)
        blocked.wait_ready(2)
        healthy.send(20)
        healthy.verdict()
        blocked.send(10)
        proxy.stop()
        s3_away.send(10)
        blocked.scale(1)
        no_secret.wait_condition("ConfigValid", "False")
        no_bucket.wait_condition("DestinationReachable", "False")
        s3_away.wait_condition("DestinationReachable", "False")
        blocked.wait_condition("Draining", "True", "Blocked")
        healthy.wait(lambda: "oldestRecordTime" not in healthy.now["status"]["buffer"], "empty buffer")

        say(plane, "get", "s3sink", "--output=wide")
        for sink in (healthy, no_secret, no_bucket, s3_away, blocked):
            say(plane, "describe", "s3sink", sink.name)


def say(plane: controlplane.ControlPlane, *arguments: str) -> None:
    """Run kubectl, and print it as a terminal would show it."""
    print(f"$ kubectl {' '.join(arguments)}")
    print(plane.kubectl(*arguments).stdout)


if __name__ == "__main__":
    main()
