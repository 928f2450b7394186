"""kopf as a watch, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from s3sink_operator import names
from s3sink_operator.kube.apiserver import Credentials
from s3sink_operator.runtime.handlers import Sightings, connection, settings

KEY = ("team", "events")


def meta(**fields: Any) -> dict[str, Any]:
    return {"uid": "u", "generation": 1, "resourceVersion": "1", "labels": {"a": "b"}, **fields}


@pytest.mark.parametrize(
    ("change", "is_news"),
    [
        ({}, False),
        ({"resourceVersion": "2", "managedFields": [{"manager": "s3sink-operator"}]}, False),  # status
        ({"generation": 2}, True),
        ({"uid": "another"}, True),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, True),
        ({"labels": {"a": "c"}}, True),
        ({"annotations": {names.PAUSED: "true"}}, True),
        ({"finalizers": [names.FINALIZER]}, True),
    ],
)
def test_only_what_decides_anything_is_news(change: dict[str, Any], is_news: bool) -> None:
    sightings = Sightings()
    assert sightings.is_news(KEY, "ADDED", meta())
    assert sightings.is_news(KEY, "MODIFIED", meta(**change)) is is_news


def test_lists_and_ends_are_always_news() -> None:
    sightings = Sightings()
    assert sightings.is_news(KEY, None, meta())
    assert sightings.is_news(KEY, None, meta())
    assert sightings.is_news(KEY, "DELETED", meta())
    assert sightings.is_news(KEY, "ADDED", meta())
    assert sightings.is_news(("team", "other"), "ADDED", meta())


def test_kopf_writes_nothing_and_takes_no_finalizer_off() -> None:
    made = settings()
    assert made.posting.enabled is False
    assert made.scanning.disabled is True
    assert made.persistence.finalizer != names.FINALIZER, "kopf takes off what it thinks is its own"
    assert (made.watching.server_timeout, made.watching.client_timeout) == (300, 310)
    assert (made.networking.connect_timeout, made.networking.request_timeout) == (30.0, 60.0)


def test_kopf_uses_the_clients_credentials() -> None:
    info = connection(
        Credentials(
            server="https://api",
            ca_path="/ca",
            ca_data=None,
            insecure=False,
            authorization="bearer secret token",
            username=None,
            password=None,
            certificate_path=None,
            key_path=None,
            proxy="http://proxy",
        )
    )
    assert (info.server, info.ca_path, info.scheme, info.token) == (
        "https://api",
        "/ca",
        "bearer",
        "secret token",
    )
    assert (info.insecure, info.proxy_url) == (False, "http://proxy")
