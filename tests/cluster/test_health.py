"""What goes wrong outside the operator: the sink says it in words that help, and recovers by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rig.kubeapi import SECRETS, STATEFUL_SETS
from tests.rig.sinks import SECRET

if TYPE_CHECKING:
    from tests.rig.flaky_proxy import FlakyProxy
    from tests.rig.operators import Operator
    from tests.rig.sinks import LiveSink


def test_a_secret_that_is_missing_is_waited_for(operator: Operator, sink: LiveSink) -> None:
    sink.plane.api.delete(SECRETS, sink.namespace, SECRET)
    sink.apply()
    told = sink.wait_condition("ConfigValid", "False")
    assert SECRET in told["message"]
    assert sink.child(STATEFUL_SETS) is None
    # One with other keys doesn't do either; the message says which ones are needed.
    sink.kubectl("create", "secret", "generic", SECRET, "--from-literal=user=me")
    sink.wait(
        lambda: "AWS_ACCESS_KEY_ID" in sink.condition("ConfigValid")["message"], "name of a missing key"
    )
    sink.put_secret()
    sink.wait_condition("ConfigValid", "True")
    sink.wait_ready(1)
    sink.send(3)
    sink.verdict()

    # One that goes away later changes nothing for the pods that run.
    sink.plane.api.delete(SECRETS, sink.namespace, SECRET)
    sink.wait_condition("ConfigValid", "False")
    sink.send(3)
    sink.put_secret()
    sink.wait_condition("ConfigValid", "True")
    sink.verdict()


def test_credentials_that_are_changed_roll_the_pods_without_a_lost_record(
    operator: Operator, sink: LiveSink
) -> None:
    """Wrong ones at first: records stay on the volumes until they are put right."""
    sink.put_secret(AWS_SECRET_ACCESS_KEY="a-wrong-one")
    sink.apply(replicas=2, podTemplate={"terminationGracePeriodSeconds": 6})
    sink.wait(lambda: len(sink.ready_pods()) == 2, "ready pods")
    sink.send(6)
    told = sink.wait_condition("DestinationReachable", "False")
    assert "ignature" in told["message"], "the store's own words"
    assert sink.wait_condition("Ready", "True")["reason"] == "DestinationUnreachable", "records are taken"
    before = {pod["metadata"]["uid"] for pod in sink.pods().values()}
    with sink.traffic():
        sink.put_secret()
        sink.wait(
            lambda: (
                len(sink.ready_pods()) == 2
                and not before & {pod["metadata"]["uid"] for pod in sink.pods().values()}
            ),
            "roll of both pods",
        )
    sink.wait_condition("DestinationReachable", "True")
    sink.verdict()


def test_s3_goes_away_and_comes_back(operator: Operator, sink: LiveSink, proxied: FlakyProxy) -> None:
    sink.apply()
    sink.wait_ready(1)
    sink.send(3)
    sink.wait_condition("DestinationReachable", "True")
    proxied.stop()
    sink.send(3)
    told = sink.wait_condition("DestinationReachable", "False")
    assert proxied.endpoint in told["message"]
    assert sink.condition("Ready")["reason"] == "DestinationUnreachable"
    sink.send(3)
    proxied.start()
    sink.wait_condition("DestinationReachable", "True")
    sink.verdict()


def test_a_bucket_that_isnt_there(operator: Operator, sink: LiveSink) -> None:
    sink.apply(destination={"bucket": "made-later"})
    sink.wait(lambda: len(sink.ready_pods()) == 1, "a ready pod")
    told = sink.wait_condition("DestinationReachable", "False")
    assert told["reason"] == "NoSuchBucket"
    assert "The specified bucket does not exist" in told["message"], "the store's own words"
    sink.send(3)
    sink.bucket = "made-later"
    sink.client.create_bucket(Bucket=sink.bucket)
    # It is tried again by itself, but a test shouldn't wait for so long: an ingester that starts tries at once.
    sink.kubelet.pod(sink.namespace, "events-s3sink-0").crash()
    sink.wait_condition("DestinationReachable", "True")
    sink.verdict()


def test_a_storage_class_that_isnt_there(operator: Operator, sink: LiveSink) -> None:
    sink.apply(buffer={"storageClassName": "made-later"})
    told = sink.wait_condition("ConfigValid", "False")
    assert "made-later" in told["message"]
    assert sink.child(STATEFUL_SETS) is None
    sink.delete()
    sink.wait_gone()
