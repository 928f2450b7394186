"""The operator as Helm installs it from a real image: upgraded, killed, sent away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.rig import helm
from tests.rig.kubeapi import PODS, Kind, Object, condition, wait_for

if TYPE_CHECKING:
    from tests.rig.agents import Agents
    from tests.rig.anycluster import AnyCluster

_DEPLOYMENTS: Final = Kind("apps/v1", "Deployment", "deployments")
_NAME: Final = "s3sink-operator"
_SELECTOR: Final = "app.kubernetes.io/component=operator"


class Release:
    """One in a cluster."""

    def __init__(self, cluster: AnyCluster, agents: Agents, operator: str, ingester: str) -> None:
        """``operator``, ``ingester``: images."""
        self._cluster, self._agents = cluster, agents
        self._values = {
            "image": {**_image(operator), "pullPolicy": "IfNotPresent"},
            "ingesterImage": _image(ingester),
        }

    def install(self) -> None:
        """``helm install``, or an upgrade of what is there. Raises AssertionError with what the operator said."""
        self._helm(self._values)

    def upgrade(self, ingester: str) -> None:
        """Another image of the ingester."""
        self._helm({**self._values, "ingesterImage": _image(ingester)})

    def uninstall(self) -> None:
        """``helm uninstall``; the CRD stays."""
        helm.helm(
            *("uninstall", helm.RELEASE, "--namespace", helm.NAMESPACE, "--wait"),
            kubeconfig=self._cluster.kubeconfig,
        )

    def kill(self) -> None:
        """kill -9; the kubelet starts it again."""
        for pod in self._pods():
            self._agents.kill(pod, "s3sink-operator")

    def delete_pod(self) -> None:
        """Its pod goes, and another one comes."""
        for pod in self._pods():
            self._cluster.api.delete(PODS, helm.NAMESPACE, pod["metadata"]["name"], grace_seconds=0)

    def away(self) -> None:
        """No operator runs."""
        self._scale(0)
        wait_for(lambda: not self._pods(), "end of the operator")

    def back(self) -> None:
        """It runs and is ready."""
        self._scale(1)
        wait_for(
            lambda: any(condition(pod, "Ready").get("status") == "True" for pod in self._pods()),
            "operator",
            120.0,
            why=self.logs,
        )

    def check(self) -> None:
        """Its pod of now had no trouble that only its log tells. Raises AssertionError."""
        log = self._cluster.kubectl("-n", helm.NAMESPACE, "logs", "--tail=-1", "-l", _SELECTOR).stdout
        troubles = [line for line in log.splitlines() if "begins anew" in line or "Traceback" in line]
        assert not troubles, "\n".join(troubles[:10])

    def logs(self) -> str:
        """For the message of a failure."""
        return "\n".join(
            self._cluster.kubectl("-n", helm.NAMESPACE, *look, check=False).stdout
            for look in (("describe", "pods"), ("logs", "--tail=60", "-l", _SELECTOR))
        )

    def _helm(self, values: dict[str, Any]) -> None:
        try:
            helm.helm(
                *("upgrade", "--install", helm.RELEASE, helm.CHART),
                *("--namespace", helm.NAMESPACE, "--create-namespace", "--wait", "--timeout", "4m"),
                values=values,
                kubeconfig=self._cluster.kubeconfig,
            )
        except helm.HelmError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error

    def _pods(self) -> list[Object]:
        return self._cluster.api.select(PODS, helm.NAMESPACE, _SELECTOR)

    def _scale(self, replicas: int) -> None:
        self._cluster.api.patch(_DEPLOYMENTS, helm.NAMESPACE, _NAME, {"spec": {"replicas": replicas}})


def _image(reference: str) -> dict[str, str]:
    """``registry.example:5000/team/name:tag`` as the chart's values have it."""
    path, _, tag = reference.rpartition(":")
    registry, _, name = path.rpartition("/")
    return {"registry": registry, "repository": name, "tag": tag}
