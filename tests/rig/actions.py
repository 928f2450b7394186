"""Actions in a line each, so that a plan reads as a list in tests."""

from __future__ import annotations

from s3sink_operator import names
from s3sink_operator.state import Action, Apply, Delete, Drain, Mark, Resume, SetFinalizer


def told(action: Action) -> str:
    """What it does to which object; not why."""
    match action:
        case Apply():
            return f"apply {action.manifest['kind']} {action.manifest['metadata']['name']}{_more(action)}"
        case Mark():
            kinds = {names.DRAIN: "drain", names.DRAINED: "drained"}
            marks = "".join(f" {kinds[key]}={value}" for key, value in action.annotations.items())
            size = f" {action.storage}" if action.storage != "10Gi" else ""
            return f"mark {action.ref.name}{marks}{size}"
        case Delete():
            version = f" @{action.resource_version}" if action.resource_version else ""
            how = f" {action.propagation}" if action.propagation == "Orphan" else ""
            return f"delete {action.ref.kind} {action.ref.name}{version}{how}"
        case Drain():
            return f"drain {action.pod} {action.epoch}"
        case Resume():
            return f"resume {action.pod}"
        case SetFinalizer():
            return "set the finalizer" if action.present else "take the finalizer off"


def _more(action: Apply) -> str:
    meta, kind = action.manifest["metadata"], action.manifest["kind"]
    if kind == "StatefulSet":
        return f" replicas={action.manifest['spec']['replicas']}"
    return "" if "ownerReferences" in meta or kind == "Job" else " without owner"
