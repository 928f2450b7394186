"""An S3Sink on a real cluster: records are sent by agents to the ClusterIP of its Service."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from s3sink_operator.names import ADMIN_PORT

from tests.crash.ledger import Fate, Verdict, decoded
from tests.rig.kubeapi import PODS, SERVICES, wait_for
from tests.rig.s3servers import CREDENTIALS
from tests.rig.sinks import LiveSink, merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.agents import Agents, Traffic
    from tests.rig.anycluster import AnyCluster
    from tests.rig.controlplane import ControlPlane
    from tests.rig.kubelet import Kubelet
    from tests.rig.s3servers import S3Server

PATIENCE: Final = 180.0
"""Seconds for what takes some on a busy machine: pods start and end, probes are made every five seconds."""
HOUR: Final = {"batch": {"window": "1h"}}
"""Records stay in the buffer until something empties it."""
_KEY: Final = re.compile(r"/(?P<pod>[a-z0-9-]+-s3sink-\d+)-")


@dataclass
class ClusterSink(LiveSink):
    """See ``LiveSink``, whose ways of sending and reading are those of a cluster here."""

    agents: Agents = field(kw_only=True, repr=False)
    credentials: dict[str, str] = field(default_factory=lambda: dict(CREDENTIALS), repr=False)
    _read: dict[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, cluster: AnyCluster, agents: Agents, s3: S3Server, namespace: str, **more: Any
    ) -> ClusterSink:
        """One that isn't applied yet; its bucket and its Secret are there."""
        # Of a plane it needs ``api`` and ``kubectl``, of a kubelet ``logs``: any cluster has them.
        plane, kubelet = cast("ControlPlane", cluster), cast("Kubelet", cluster)
        made = cls(plane, kubelet, s3, namespace, agents=agents, **more)
        made.bucket = f"{namespace}-{made.name}"
        made.prepare()
        return made

    def another(self, name: str) -> ClusterSink:
        """One more sink beside it, with a bucket and a ledger of its own."""
        return self.of(
            cast("AnyCluster", self.plane),
            self.agents,
            self.s3,
            self.namespace,
            name=name,
            credentials=self.credentials,
        )

    def put_secret(self, **values: str) -> None:
        """See ``LiveSink``."""
        super().put_secret(**{**self.credentials, **values})

    def manifest(self, **spec: Any) -> Any:
        """Pods of it are small, so that several sinks fit on one node, and end soon even if S3 is away."""
        small = {
            "podTemplate": {
                "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                "terminationGracePeriodSeconds": 15,
            },
            "batch": {"window": "5s", "maxBytes": "1Mi"},
        }
        return super().manifest(**merged(small, spec))

    # ---- what backend services do

    def python(self, pod: str, script: str) -> str:
        """Run a script in one of its pods; returns what it printed. Raises AssertionError."""
        return cast("AnyCluster", self.plane).python(self.namespace, pod, script)

    @property
    def address(self) -> tuple[str, int]:
        """Of its Service."""
        found = self.child(SERVICES)
        assert found is not None, "it has no Service"
        return found["spec"]["clusterIP"], found["spec"]["ports"][0]["port"]

    @contextmanager
    def load(self, **run: Any) -> Iterator[Traffic]:
        """Agents send requests meanwhile; on entry some were taken."""
        with self.agents.traffic(self.ledger, *self.address, **run) as started:
            started.wait_acked(20)
            yield started

    def wait_served(self) -> None:
        """Wait until requests are taken: nodes learn of a pod that is ready a moment later."""
        with self.load():
            pass

    def wait_held(self) -> None:
        """Wait until each of its pods holds records: nodes learn of pods that are ready one after the other."""

        def look() -> bool:
            return all(self._status_of(pod)["bufferedRecords"] for pod in self.pods())

        self.wait(look, "records in every pod", PATIENCE)

    def send(self, requests: int, records: int = 5) -> None:
        """So many requests, each of which has to be taken."""
        self.wait_served()
        first = len(self.ledger.sent)
        run = self.agents.start(self.ledger, *self.address, count=requests, records=records, pause=0.0)
        self.wait_done(run)
        fates = Counter(sent.fate for sent in self.ledger.sent[first:])
        assert fates == {Fate.ACKED: requests}, f"{fates}: {run.last}\n{self.describe()}"

    def wait_done(self, *runs: Traffic) -> None:
        """Wait until every request of theirs has its answer."""

        def look() -> bool:
            for run in runs:
                run.update()
            return all(run.done for run in runs)

        self.wait(look, "end of all requests", PATIENCE)

    # ---- what a reader of the bucket finds

    def objects(self) -> Iterator[tuple[str, bytes]]:
        """Every object: key and content. What was read once never changes."""
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for entry in page.get("Contents", []):
                key = entry["Key"]
                if key not in self._read:
                    self._read[key] = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
                yield key, self._read[key]

    def records_by_pod(self) -> Counter[str]:
        """How many records of the bucket each pod has taken, by the names of the objects."""
        counts: Counter[str] = Counter()
        for key, data in self.objects():
            found = _KEY.search(key)
            assert found is not None, key
            counts[found["pod"]] += len(decoded(key, data).splitlines())
        return counts

    def verdict(self) -> Verdict:
        """Judge the bucket once it holds every acknowledged record: each once, none of those that were refused."""
        self.wait(lambda: not self.missing(), "acknowledged records in the bucket", PATIENCE)
        verdict = self.judge()
        assert verdict.good, str(verdict)
        return verdict

    def judge(self) -> Verdict:
        """What the bucket holds now, good or not."""
        return self.ledger.verdict(self.objects())

    def _status_of(self, pod: str) -> Any:
        return self.plane.api.request("GET", f"{PODS.path(self.namespace)}/{pod}:{ADMIN_PORT}/proxy/status")

    def wait(self, look: Any, what: str, timeout: float = PATIENCE) -> Any:
        """Never less patient than the cluster is slow."""
        return wait_for(
            look, f"{what} ({self.namespace}/{self.name})", max(timeout, PATIENCE), why=self.describe
        )
