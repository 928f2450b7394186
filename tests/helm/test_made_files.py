"""What is made from the CRD and the chart is as `make manifests` would make it now."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.rig import helm, kubetools

ROOT = kubetools.ROOT
GOLDEN = sorted(path.parent.name for path in ROOT.glob("tests/helm/golden/*/values.yaml"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `make manifests` has written into."""
    folder = tmp_path_factory.mktemp("manifests")
    subprocess.run([ROOT / "scripts" / "manifests.sh", kubetools.find("helm"), folder], check=True)
    return folder


@pytest.mark.parametrize(
    "path",
    [
        "charts/s3sink/files/s3sinks.s3sink.dev.yaml",
        "deploy/operator.yaml",
        *(f"tests/helm/golden/{mode}/manifests.yaml" for mode in GOLDEN),
    ],
)
def test_is_up_to_date(made: Path, path: str) -> None:
    assert (ROOT / path).read_text() == (made / path).read_text(), (
        "run `make manifests`, and read the difference"
    )


def test_nothing_else_is_made(made: Path) -> None:
    written = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    assert len(written) == 2 + len(GOLDEN)
    assert all((ROOT / path).is_file() for path in written)


def test_a_package_of_the_chart_holds_the_crd(tmp_path: Path) -> None:
    helm.helm("package", helm.CHART, "--destination", tmp_path)
    (package,) = tmp_path.glob("*.tgz")
    crd = helm.one(helm.template(chart=package), "CustomResourceDefinition")
    annotations = crd["metadata"].pop("annotations")
    source = yaml.safe_load((ROOT / "crds" / "s3sinks.s3sink.dev.yaml").read_text())
    assert annotations.pop("helm.sh/resource-policy") == "keep"
    assert annotations == source["metadata"].pop("annotations", {})
    assert crd == source


def test_versions_agree() -> None:
    chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text())
    operator = tomllib.loads((ROOT / "operator" / "pyproject.toml").read_text())
    ingester = tomllib.loads((ROOT / "ingester" / "pyproject.toml").read_text())
    assert chart["appVersion"] == operator["project"]["version"] == ingester["project"]["version"]


def test_plain_manifests_say_nothing_of_helm() -> None:
    text = (ROOT / "deploy" / "operator.yaml").read_text()
    assert "managed-by: Helm" not in text
    assert "helm.sh/" not in text
