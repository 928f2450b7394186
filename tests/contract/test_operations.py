"""docs/operations.md against the code: no reason is missing from the runbook, and what is to be copied can be used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from s3sink_ingester import cli, config
from s3sink_ingester.metrics.catalog import CATALOG
from s3sink_ingester.objects.s3.errors import SLOWLY, SOON
from s3sink_ingester.records.partition import Reason
from s3sink_operator import names
from s3sink_operator.planner import conditions, growth, pods, references, scaling, status
from s3sink_operator.runtime.metrics import RESULTS, STATES, Metrics

from tests.unit_operator.rendering import ROOT

TEXT = (ROOT / "docs" / "operations.md").read_text()
CAMEL = re.compile(r"[A-Z][a-z]+(?:[A-Z][A-Za-z]*)?")
NO_REASONS = {
    "Bound",
    "DeletionByTaintManager",
    "DisruptionTarget",
    "False",
    "Orphan",
    "PodScheduled",
    "True",
    "Unknown",
}
"""Kubernetes' own words."""


def words(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Module and each text in it that looks like a reason."""
    assert module.__file__ is not None
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CAMEL.fullmatch(node.value):
            yield module.__name__, node.value


REASONS = sorted(
    {
        (module, word)
        for one in (conditions, growth, pods, references, status)
        for module, word in words(one)
        if word not in NO_REASONS
    }
)


def given() -> Iterator[tuple[str, str, str]]:
    """Type, status and reason of each condition that is written out as such."""
    for module in (conditions, status):
        assert module.__file__ is not None
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Condition"):
                continue
            values = [one.value for one in node.args[:3] if isinstance(one, ast.Constant)]
            if len(values) == 3 and all(isinstance(one, str) for one in values):
                yield str(values[0]), str(values[1]), str(values[2])


GIVEN = sorted(set(given()))


def section(heading: str) -> str:
    """What stands below a heading of the runbook."""
    found = re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def rows(heading: str, column: int = 0) -> list[str]:
    """Cells of a column in the tables below a heading."""
    return [line.split("|")[column + 1] for line in section(heading).splitlines() if line.startswith("|")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def documents() -> list[Any]:
    return [one for block in blocks("yaml") for one in yaml.safe_load_all(block)]


def of_kind(kind: str) -> Any:
    (found,) = (one for one in documents() if one.get("kind") == kind)
    return found


def container(pod: Any) -> Any:
    (found,) = pod["spec"]["containers"]
    return found


# ---- the runbook


@pytest.mark.parametrize(("module", "reason"), REASONS)
def test_every_reason_is_explained(module: str, reason: str) -> None:
    assert f"`{reason}`" in TEXT or f"### {reason}\n" in TEXT, module


def test_reasons_are_found() -> None:
    """Else the test above is about nothing."""
    found = {word for _, word in REASONS}
    assert {"AllReady", "ApplyRefused", "NotExpandable", "SecretNotFound", "ImagePullBackOff"} <= found
    assert {"FormatDowngrade", "InvalidSpec", "StorageClassNotFound"} <= found
    assert len(GIVEN) > 30


@pytest.mark.parametrize(("type_", "truth", "reason"), GIVEN)
def test_a_reason_stands_in_the_table_of_its_condition(type_: str, truth: str, reason: str) -> None:
    assert any(cell.strip().startswith(truth) and f"`{reason}`" in cell for cell in rows(type_))


def test_every_condition_has_a_section() -> None:
    for judge in conditions.ALL:
        section("".join(part.capitalize() for part in judge.__name__.split("_")))


def test_reasons_of_the_store_are_explained() -> None:
    known = {*SOON.values(), *SLOWLY.values(), "kms_key", "unknown", "internal", "corrupt"}
    cells = " ".join(rows("DestinationReachable"))
    assert not [one for one in known if f"`{conditions._camel(one)}`" not in cells]
    assert conditions._camel("http_503") == "Http503"
    assert "`Http503`" in cells


def test_phases_of_volumes_are_explained() -> None:
    assert {str(one) for one in scaling.Phase} == set(re.findall(r"`(\w+)`", " ".join(rows("Volume phases"))))


def test_reasons_of_bad_records_are_explained() -> None:
    found = set(re.findall(r"`([a-z-]+)`", " ".join(rows("Records under errorPrefix"))))
    assert found == {str(one) for one in Reason}


# ---- what is to be copied


def test_metrics_exist() -> None:
    known = {one.name for group in CATALOG.values() for one in group}
    known |= {
        line.split()[2] for line in Metrics("1").text().decode().splitlines() if line.startswith("# TYPE")
    }
    used = set(re.findall(r"\bs3sink_(?!operator\.|ingester\.)\w+", TEXT))
    plain = {re.sub(r"_bucket$", "", one) for one in used}
    assert not plain - known
    assert set(RESULTS) <= set(re.findall(r"\w+", TEXT))
    assert set(STATES) <= set(re.findall(r"\w+", TEXT))


def test_alerts_are_whole() -> None:
    (rules,) = (one for one in documents() if "groups" in one)
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len({one["alert"] for one in alerts}) == len(alerts)
    for one in alerts:
        assert one["annotations"]["summary"]
        assert one["expr"].count("(") == one["expr"].count(")"), one["alert"]


def test_the_job_that_drains_by_hand_is_one_that_the_ingester_understands(tmp_path: Path) -> None:
    settings = of_kind("ConfigMap")["data"]["settings.yaml"]
    job = container(of_kind("Job")["spec"]["template"])
    environment = {one["name"]: one["value"] for one in job["env"]}
    read = config.loads(settings, environment)
    assert read.name == "events-s3sink-2"
    mounts = {one["mountPath"] for one in job["volumeMounts"]}
    assert mounts == {read.buffer.path, str(Path(names.SETTINGS_PATH).parent)}
    program, *arguments = job["command"]
    assert program == "s3sink-ingester"
    missing = [str(tmp_path / "none") if one == names.SETTINGS_PATH else one for one in arguments]
    assert cli.run(missing) == cli.USAGE, "a usage error would be SystemExit"


@pytest.mark.parametrize("kind", ["Job", "Pod"])
def test_pods_by_hand_get_no_records_and_may_run_where_the_sinks_may(kind: str) -> None:
    found = of_kind(kind)
    pod = found["spec"]["template"] if kind == "Job" else found
    labels = {**pod.get("metadata", {}).get("labels", {}), **found["metadata"].get("labels", {})}
    assert names.SINK_LABEL not in labels
    context = pod["spec"]["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(pod)["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container(pod)["securityContext"]["allowPrivilegeEscalation"] is False


# ---- links


def _anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", ""))
    return kept.replace(" ", "-")


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT):
        name, _, anchor = target.partition("#")
        path = ROOT / "docs" / name if name else ROOT / "docs" / "operations.md"
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            assert anchor in {_anchor(one) for one in headings}, target
