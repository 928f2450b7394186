"""``python -m tests.cluster.cel_table`` asks a real API server about every case and prints its answers as Markdown."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from tests.cluster.cel_cases import CASES, Case
from tests.rig import controlplane, kubetools
from tests.rig.kubeapi import SINKS, ApiError

if TYPE_CHECKING:
    from tests.rig.controlplane import ControlPlane
    from tests.rig.kubeapi import Object

NAMESPACE = "default"


def answer(plane: ControlPlane, case: Case) -> str:
    """What the API server says to a case: empty if it accepts it. Nothing is left behind."""
    first = case.first()
    manifest = case.manifest()
    name = manifest["metadata"]["name"]
    if first is None:
        return _said(plane, "POST", SINKS.path(NAMESPACE), manifest)
    made = plane.api.request("POST", SINKS.path(NAMESPACE), first)
    try:
        manifest["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
        return _said(plane, "PUT", SINKS.path(NAMESPACE, name), manifest)
    finally:
        plane.api.delete(SINKS, NAMESPACE, name)


def _said(plane: ControlPlane, method: str, path: str, manifest: Object) -> str:
    """As kubectl asks: fields that the schema doesn't know are refused."""
    try:
        plane.api.request(method, path, manifest, dryRun="All", fieldValidation="Strict")
    except ApiError as error:
        return _plain(error.message)
    return ""


def _plain(message: str) -> str:
    """Without what is said when rules couldn't be asked, and the brackets around a list that has one entry then."""
    opening, listed, problems = message.partition("is invalid: [")
    if not listed:
        return message
    problems, skipped, _ = problems.removesuffix("]").partition(
        ", <nil>: Invalid value: null: some validation rules"
    )
    return f"{opening}is invalid: {problems}" if skipped else message


def main() -> None:
    sys.stdout.write("| case | the API server |\n| --- | --- |\n")
    with controlplane.running() as plane:
        controlplane.install(plane, kubetools.ROOT / "crds")
        for case in CASES:
            said = answer(plane, case)
            # What it was asked about is known from the first column.
            said = re.sub(r'^S3Sink\.s3sink\.dev "[^"]*" is invalid: ', "", said) or "accepted"
            said += f" (then `ConfigValid=False`: {case.late})" if case.late else ""
            said = said.replace("|", "\\|").replace("\n", " ")
            sys.stdout.write(f"| {case.title} | {said} |\n")


if __name__ == "__main__":
    main()
