"""What everything is called: group and kinds, children, labels, annotations, ports. Pure.

Every child of the sink ``events`` is called ``events-s3sink``, so that a team's own ``events`` Service or ConfigMap
never gets in the way. Lengths: a sink's name has at most 45 characters (the CRD says so), a StatefulSet's at most 52
(its pods carry ``<name>-<hash of 10>`` as a label of at most 63).
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "s3sink.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "S3Sink"
PLURAL: Final = "s3sinks"

FIELD_MANAGER: Final = "s3sink-operator"
FINALIZER: Final = f"{GROUP}/drain"

MAX_SINK_NAME: Final = 45

# ---- labels

SINK_LABEL: Final = f"{GROUP}/sink"
"""On every child, pod and volume: the sink's name. What selectors and watches go by."""
SINK_UID_LABEL: Final = f"{GROUP}/sink-uid"
"""On volumes and drain Jobs, which have no owner reference: which sink of that name they belong to."""
ORDINAL_LABEL: Final = f"{GROUP}/ordinal"
"""On volumes and drain Jobs."""

# ---- annotations

PAUSED: Final = f"{GROUP}/paused"
"""On a sink, ``"true"``: nothing is changed until it goes."""
FORCE_RELEASE: Final = f"{GROUP}/force-release"
"""On a sink that is being deleted, ``"true"``: let it go though its volumes are not drained. They are kept."""
APPLIED_HASH: Final = f"{GROUP}/applied-hash"
"""On every child: digest of what was applied, which tells when a field was dropped from it."""
SETTINGS_HASH: Final = f"{GROUP}/settings-hash"
"""On pods: digest of the settings, so that a change rolls them."""
TEMPLATE_HASH: Final = f"{GROUP}/template-hash"
"""On the StatefulSet: digest of the pod template as it was rendered. Another one rolls the pods."""
RELEASE: Final = f"{GROUP}/release"
"""On the StatefulSet: version of the operator that rendered it. One of another version rolls its pods in turn only."""
CREDENTIALS_HASH: Final = f"{GROUP}/credentials-hash"
"""On pods: digest of the Secrets that are read at the start, so that a change rolls them."""
CA_KEY: Final = "ca.crt"
"""In a Secret: certificates of authorities."""
DRAIN: Final = f"{GROUP}/drain"
"""On a volume: ``requested/<epoch>``."""
DRAINED: Final = f"{GROUP}/drained"
"""On a volume: ``<uid of the pod that said so>/<epoch>``, the proof that nothing is left on it."""

# ---- the pod

CONTAINER: Final = "ingester"
BUFFER_VOLUME: Final = "buffer"
"""The claim template, hence the volume's name in the pod."""
BUFFER_PATH: Final = "/var/lib/s3sink"
SETTINGS_PATH: Final = "/etc/s3sink/settings.yaml"
DATA_PORT: Final = 8888
ADMIN_PORT: Final = 8889
DATA_PORT_NAME: Final = "http"
ADMIN_PORT_NAME: Final = "admin"


def child(sink: str) -> str:
    """Name of every child of a sink but the headless Service: StatefulSet, Service, ConfigMap, ..."""
    return f"{sink}-s3sink"


def headless_service(sink: str) -> str:
    """The Service that gives pods their names in DNS."""
    return f"{child(sink)}-pods"


def pod(sink: str, ordinal: int) -> str:
    """Name of one pod."""
    return f"{child(sink)}-{ordinal}"


def volume_claim(sink: str, ordinal: int) -> str:
    """Name of the PersistentVolumeClaim of one pod, as the StatefulSet controller makes it."""
    return f"{BUFFER_VOLUME}-{pod(sink, ordinal)}"


def drain_job(sink: str, ordinal: int) -> str:
    """Name of the Job that empties a volume which has no pod."""
    return f"drain-{pod(sink, ordinal)}"


def selector(sink: str) -> dict[str, str]:
    """What selects a sink's pods. A StatefulSet's can't be changed, so it holds only what never will."""
    return {SINK_LABEL: sink}


def all_pods(sink: str) -> dict[str, str]:
    """What selects a sink's pods and those of its drain Jobs."""
    return {"app.kubernetes.io/name": "s3sink", "app.kubernetes.io/instance": sink}


def labels(sink: str) -> dict[str, str]:
    """Labels of every child."""
    return {
        **all_pods(sink),
        "app.kubernetes.io/component": "ingester",
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
        SINK_LABEL: sink,
    }


def ordinal_of(name: str) -> int:
    """Ordinal of a pod or of its volume claim. Raises ValueError if the name doesn't end in one."""
    return int(name.rpartition("-")[2])
