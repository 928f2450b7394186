"""An S3Sink as its users see it: ``kubectl``, clients that post records, and whoever reads the bucket."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import yaml

from tests.crash.ledger import Fate, Ledger, Verdict
from tests.rig.controlplane import ControlPlane
from tests.rig.kubeapi import CLAIMS, PODS, SECRETS, SINKS, Kind, Object, condition, wait_for
from tests.rig.kubelet import Kubelet
from tests.rig.s3servers import CREDENTIALS, REGION, S3Server
from tests.rig.senders import Sender

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SINK_LABEL: Final = "s3sink.dev/sink"
SECRET: Final = "s3-credentials"
_bucket_numbers = itertools.count(1)


def merged(base: Any, changes: Any) -> Any:
    """``base`` with ``changes`` as a JSON merge patch would make them."""
    if not isinstance(base, Mapping) or not isinstance(changes, Mapping):
        return copy.deepcopy(changes)
    kept = {key: value for key, value in base.items() if changes.get(key, ...) is not None}
    return kept | {key: merged(kept.get(key), value) for key, value in changes.items() if value is not None}


@dataclass
class LiveSink:
    """One sink, what was sent to it, and its bucket."""

    plane: ControlPlane
    kubelet: Kubelet
    s3: S3Server
    namespace: str
    name: str = "events"
    endpoint: str = ""
    """Of the bucket, where it isn't that of ``s3``."""
    ledger: Ledger = field(default_factory=Ledger, repr=False)
    bucket: str = field(default_factory=lambda: f"sink-{next(_bucket_numbers)}")
    _client: S3Client | None = None

    @property
    def client(self) -> S3Client:
        """Of the store, past any proxy."""
        self._client = self._client or self.s3.client()
        return self._client

    # ---- what a platform engineer does

    def prepare(self) -> None:
        """Make the bucket and the Secret."""
        self.client.create_bucket(Bucket=self.bucket)
        self.put_secret()

    def another(self, name: str) -> LiveSink:
        """One more sink beside it, with a bucket and a ledger of its own."""
        made = LiveSink(self.plane, self.kubelet, self.s3, self.namespace, name, self.endpoint)
        made.prepare()
        return made

    def put_secret(self, **values: str) -> None:
        """Write the Secret with the store's credentials; ``values`` are written instead or besides."""
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": self.namespace, "name": SECRET},
            "stringData": {**CREDENTIALS, **values},
        }
        self.plane.api.apply(SECRETS, secret, "a-person")

    def manifest(self, **spec: Any) -> Object:
        """A small sink whose records are in the bucket after seconds; ``spec`` changes it as a merge patch."""
        base = {
            "replicas": 1,
            "destination": {
                "bucket": self.bucket,
                "region": REGION,
                "endpoint": self.endpoint or self.s3.endpoint,
                "addressingStyle": "Path",
                "credentials": {"secretRef": {"name": SECRET}},
            },
            "partitioning": {"regex": r"^(?P<path>\S+) (?P<content>.+)$"},
            "batch": {"window": "1s", "maxBytes": "1Mi"},
            "object": {"prefix": "{path}/"},
            "buffer": {"size": "1Gi"},
        }
        return {
            "apiVersion": SINKS.api_version,
            "kind": SINKS.kind,
            "metadata": {"namespace": self.namespace, "name": self.name},
            "spec": merged(base, spec),
        }

    def apply(self, **spec: Any) -> None:
        """``kubectl apply`` of ``manifest``."""
        self.apply_manifest(self.manifest(**spec))

    def apply_manifest(self, manifest: Object) -> None:
        """``kubectl apply``."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))

    def patch(self, spec: Object) -> None:
        """``kubectl patch`` of the spec."""
        self.plane.api.patch(SINKS, self.namespace, self.name, {"spec": spec})

    def annotate(self, **annotations: str | None) -> None:
        """Set annotations ``s3sink.dev/<name>``; None takes one away."""
        given = {f"s3sink.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
        self.plane.api.patch(SINKS, self.namespace, self.name, {"metadata": {"annotations": given}})

    def scale(self, replicas: int) -> None:
        """``kubectl scale``."""
        self.kubectl("scale", "s3sink", self.name, f"--replicas={replicas}")

    def delete(self, *flags: str) -> None:
        """``kubectl delete`` without waiting for the end."""
        self.kubectl("delete", "s3sink", self.name, "--wait=false", *flags)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """In the sink's namespace; returns what it printed. Raises AssertionError."""
        return self.plane.kubectl("-n", self.namespace, *arguments, stdin=stdin).stdout

    # ---- what they see

    def get(self) -> Object | None:
        """The sink; None when it is gone."""
        return self.plane.api.get(SINKS, self.namespace, self.name)

    @property
    def now(self) -> Object:
        """The sink, which has to be there."""
        found = self.get()
        assert found is not None, f"{self.name} is gone"
        return found

    def child(self, kind: Kind, name: str = "") -> Object | None:
        """One of its children, by default that of the usual name."""
        return self.plane.api.get(kind, self.namespace, name or f"{self.name}-s3sink")

    def owned(self, kind: Kind) -> list[Object]:
        """All objects of a kind that carry its label."""
        return self.plane.api.find(kind, self.namespace, **{SINK_LABEL: self.name})

    def pods(self) -> dict[str, Object]:
        """Its pods by name."""
        return {pod["metadata"]["name"]: pod for pod in self.owned(PODS)}

    def claims(self) -> dict[str, Object]:
        """Its volume claims by name."""
        return {claim["metadata"]["name"]: claim for claim in self.owned(CLAIMS)}

    def ready_pods(self) -> list[Object]:
        """Those that its Service would send records to."""
        return [
            pod
            for pod in self.pods().values()
            if condition(pod, "Ready").get("status") == "True" and "deletionTimestamp" not in pod["metadata"]
        ]

    def condition(self, kind: str) -> Object:
        """One of its conditions, if it is about the latest spec; else empty."""
        sink = self.get()
        found = condition(sink, kind)
        latest = found.get("observedGeneration") == (sink or {}).get("metadata", {}).get("generation")
        return found if latest else {}

    def wait(self, look: Callable[[], Any], what: str, timeout: float = 180.0) -> Any:
        """See ``wait_for``; fails with all that is known."""
        return wait_for(look, f"{what} ({self.namespace}/{self.name})", timeout, why=self.describe)

    def wait_condition(
        self, kind: str, status: str, reason: str | None = None, timeout: float = 180.0
    ) -> Object:
        """Wait for a condition of the latest spec; returns it."""

        def look() -> Object | None:
            found = self.condition(kind)
            fits = found.get("status") == status and reason in (None, found.get("reason"))
            return found if fits else None

        found: Object = self.wait(look, f"{kind}={status}{f'/{reason}' if reason else ''}", timeout)
        return found

    def wait_ready(self, replicas: int, timeout: float = 180.0) -> None:
        """Wait until so many pods are ready, no other is there, and the sink says so."""

        def look() -> bool:
            said = self.condition("Ready").get("status") == "True"
            there = self.pods()
            status = self.now.get("status", {})
            settled = len(there) == len(self.ready_pods()) == replicas == status.get("readyReplicas", 0)
            return said and settled and status.get("replicas") == replicas

        self.wait(look, f"{replicas} ready pods", timeout)

    def wait_gone(self, timeout: float = 180.0) -> None:
        """Wait until the sink is gone, its pods too."""
        self.wait(lambda: self.get() is None and not self.pods(), "end of the sink", timeout)

    def describe(self) -> str:
        """For the message of a failure."""
        parts = [self.plane.kubectl("-n", self.namespace, "describe", "s3sink", check=False).stdout]
        parts.append(
            self.plane.kubectl("-n", self.namespace, "get", "pods,pvc,sts,jobs,events", check=False).stdout
        )
        parts += [self.kubelet.logs(self.namespace, pod)[-2000:] for pod in sorted(self.pods())]
        return "\n".join(parts)

    # ---- what backend services do

    def send(self, requests: int, records: int = 5) -> None:
        """Post so many requests in turn to the ready pods; each has to be taken."""
        sender = Sender(self.ready_pods, self.ledger, records)
        for _ in range(requests):
            fate = sender.send_one()
            assert fate is Fate.ACKED, f"{fate}: {sender.last}\n{self.describe()}"

    @contextmanager
    def traffic(self, pause: float = 0.02) -> Iterator[Sender]:
        """Requests are sent meanwhile, whatever happens to the pods."""
        sender = Sender(self.ready_pods, self.ledger)
        stopping = Event()

        def run() -> None:
            while not stopping.wait(pause):
                sender.send_one()

        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(run)
            try:
                yield sender
            finally:
                stopping.set()
            sending.result()

    # ---- what a reader of the bucket finds

    def objects(self) -> Iterator[tuple[str, bytes]]:
        """Every object: key and content."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        for page in pages:
            for entry in page.get("Contents", []):
                yield (
                    entry["Key"],
                    self.client.get_object(Bucket=self.bucket, Key=entry["Key"])["Body"].read(),
                )

    def missing(self) -> int:
        """Acknowledged records that the bucket doesn't hold yet: those of a request come in several objects."""
        found, _ = self.ledger.found(self.objects())
        return sum(
            sent.records - len(found.get(number, ()))
            for number, sent in enumerate(self.ledger.sent)
            if sent.fate is Fate.ACKED
        )

    def verdict(self) -> Verdict:
        """Judge the bucket once it holds every acknowledged record: each once, none of those that were refused."""
        self.wait(lambda: not self.missing(), "acknowledged records in the bucket")
        verdict = self.ledger.verdict(self.objects())
        assert verdict.good, str(verdict)
        return verdict
