"""Manifests of samples, for tests; and the golden files.

``.venv/bin/python -m tests.unit_operator.rendering`` writes the golden files again, to be read in the diff.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from s3sink_operator import manifests, spec
from s3sink_operator.manifests import Context, Owner
from s3sink_operator.spec import Spec
from s3sink_operator.state import SERVICE_MONITOR

ROOT: Final = Path(__file__).resolve().parents[2]
GOLDEN: Final = Path(__file__).parent / "golden"
EVERYTHING: Final = GOLDEN / "everything.sink.yaml"
"""A sink with every field away from its default."""
SAMPLES: Final = (*sorted((ROOT / "docs" / "samples").glob("*.yaml")), EVERYTHING)
MINIMAL_SAMPLE: Final = ROOT / "docs" / "samples" / "minimal.yaml"
GOLDEN_SAMPLES: Final = tuple(
    path for path in SAMPLES if path.name.partition(".")[0] in ("minimal", "story-2018", "everything")
)

OWNER: Final = Owner("events", "team", "8f0c6b0e-6f2e-4c39-8f0e-0a1d5e1f2a3b")
MINIMAL: Final[Mapping[str, Any]] = {
    "destination": {"bucket": "the-output-bucket", "region": "us-east-1"},
    "partitioning": {"urlPath": True},
}

Object = dict[str, Any]


def spec_of(**fields: Any) -> Spec:
    """The minimal spec with other fields in place of its own."""
    return spec.parse({"metadata": {"name": "events"}, "spec": {**MINIMAL, **fields}})


def context_of(wanted: Spec, **changes: Any) -> Context:
    """All volumes as the spec says, one digest for any Secret, and the Prometheus operator there."""
    facts = {
        "image": "registry.example/s3sink-ingester:1.0.0",
        "replicas": wanted.replicas,
        "claim_size": wanted.buffer.size,
        "volume_size": wanted.buffer.size,
        "credentials_hash": "0123456789abcdef" if wanted.destination.credentials.secret_ref else "",
        "served": frozenset({SERVICE_MONITOR}),
    }
    return Context(**{**facts, **changes})


def children(wanted: Spec, **changes: Any) -> dict[str, Object]:
    """What is rendered, by ``Kind/name``, in its order."""
    rendered = manifests.render(wanted, OWNER, context_of(wanted, **changes))
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in rendered}


def stateful_set(wanted: Spec, **changes: Any) -> Object:
    """The StatefulSet."""
    return children(wanted, **changes)["StatefulSet/events-s3sink"]


def drain_job(wanted: Spec, **changes: Any) -> Object:
    """The Job of ordinal 2."""
    return manifests.drain_jobs(wanted, OWNER, context_of(wanted, **changes))(2, "7")


def golden_text(sample: Path) -> str:
    """All children of a sample and one drain Job, as YAML."""
    sink = yaml.safe_load(sample.read_text())
    sink["metadata"] |= {"namespace": OWNER.namespace, "uid": OWNER.uid}
    wanted, owner = spec.parse(sink), Owner.of(sink)
    context = context_of(wanted)
    everything = (
        *manifests.render(wanted, owner, context),
        manifests.drain_jobs(wanted, owner, context)(2, "7"),
    )
    return _dump(everything)


def golden_file(sample: Path) -> Path:
    """Where it stands."""
    return GOLDEN / f"{sample.name.partition('.')[0]}.yaml"


class _Dumper(yaml.SafeDumper):
    """Texts of several lines are shown as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _dump(documents: Iterable[Object]) -> str:
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=120)


if __name__ == "__main__":
    for one in GOLDEN_SAMPLES:
        golden_file(one).write_text(golden_text(one))
