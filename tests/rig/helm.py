"""Helm as its users run it: what a chart becomes, why values are refused, and releases in a cluster."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.rig import kubetools

CHART: Final = kubetools.ROOT / "charts" / "s3sink"
RELEASE: Final = "s3sink"
NAMESPACE: Final = "s3sink-system"

Values = Mapping[str, Any]
Object = dict[str, Any]


class HelmError(Exception):
    """Helm refused. The message is what it said."""


def helm(*arguments: str | Path, values: Values | None = None, kubeconfig: Path | None = None) -> str:
    """Run Helm with ``values`` as a values file; returns its output. Raises HelmError."""
    with tempfile.TemporaryDirectory(prefix="s3sink-helm-") as home:
        more: list[str | Path] = []
        if values is not None:
            file = Path(home, "values.yaml")
            file.write_text(yaml.safe_dump(dict(values)))
            more = ["--values", file]
        environment = {
            **os.environ,
            "HELM_CONFIG_HOME": home,
            "HELM_CACHE_HOME": home,
            "HELM_DATA_HOME": home,
        }
        environment["KUBECONFIG"] = str(kubeconfig or Path(home, "none"))
        done = subprocess.run(
            [kubetools.find("helm"), *arguments, *more],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
    if done.returncode:
        raise HelmError(done.stderr or done.stdout)
    return done.stdout


def template(
    values: Values | None = None, *flags: str, chart: Path = CHART, release: str = RELEASE
) -> list[Object]:
    """The manifests that values make, in Helm's order. Raises HelmError."""
    # A Helm that is built from its module takes itself for a much older Kubernetes' client.
    fixed = ("--namespace", NAMESPACE, "--kube-version", "1.30.0")
    rendered = helm("template", release, chart, *fixed, *flags, values=values or {})
    return [manifest for manifest in yaml.safe_load_all(rendered) if manifest]


def one(manifests: Iterable[Object], kind: str, name: str = "") -> Object:
    """The only manifest of a kind (and name). Raises AssertionError if there are none or several."""
    found = [m for m in manifests if m["kind"] == kind and name in ("", m["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def kinds(manifests: Iterable[Object]) -> list[str]:
    """``Kind/name``, with the namespace before the name if there is one, sorted."""
    return sorted(
        "/".join(part for part in (m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) if part)
        for m in manifests
    )
