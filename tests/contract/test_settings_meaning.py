"""What a spec says is what its ingesters do: the rendered settings, read by the ingester, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from s3sink_ingester import config
from s3sink_operator import spec, units
from s3sink_operator.errors import SpecError
from s3sink_operator.manifests.settings import AUTH_PATH, TLS_PATH, document, settings_hash, text
from s3sink_operator.spec import Spec

from tests.unit_operator.rendering import SAMPLES

GROUPS = ("destination", "source", "partitioning", "batch", "object", "buffer")
"""Of a spec, those that settings have."""
OPERATORS = {
    "destination.credentials.secretRef.name",  # environment
    "destination.caBundle.secretRef.name",  # mounted
    "source.auth.secretRef.name",
    "source.tls.secretRef.name",
    "source.firehose.enabled",  # always false in this version
    "buffer.storageClassName",
    "buffer.whenScaled",
    "buffer.whenDeleted",
}
"""Fields of those groups that the operator acts on by itself."""
LEFT_OUT = {
    "destination.credentials.secretRef",
    "destination.caBundle.secretRef",
    "destination.encryption",
    "source.auth.secretRef",
    "source.tls.secretRef",
    # What these mean then is told in the spec's reference, and compared below.
    "batch.maxAge",
    "object.level",
    "object.prefix",
}
"""May be none."""
SIZE_FIELDS = {"source.maxRequestBytes", "source.maxRecordBytes", "batch.maxBytes"}
DURATION_FIELDS = {"source.keepAlive", "batch.window", "batch.maxAge"}
ENV = {"POD_NAME": "events-s3sink-0"}


def read(wanted: Spec, volume_size: str | None = None) -> config.Settings:
    return config.loads(text(wanted, volume_size or wanted.buffer.size), ENV)


def leaves(model: BaseModel, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of each field; groups that are left out have none."""
    for name, field in type(model).model_fields.items():
        at = f"{path}.{field.alias}".removeprefix(".")
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, at)
        else:
            yield at, value


def meant(path: str, value: Any) -> object:
    """A spec's value as settings have it, which are in bytes and seconds."""
    if path in SIZE_FIELDS:
        return units.parse_size(value)
    if path in DURATION_FIELDS:
        return units.parse_duration(value)
    if path == "destination.region":
        return value or "us-east-1"
    return None if value == "" else value


def found(read_settings: config.Settings, path: str) -> object:
    """The settings' value at a path of the spec."""
    here: object = read_settings
    for part in path.split("."):
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in part)
        here = getattr(here, name)
    return here


def compare(wanted: Spec) -> set[str]:
    """Assert that all fields mean the same; returns their paths."""
    read_settings = read(wanted)
    seen = set()
    for path, value in leaves(wanted):
        if path.partition(".")[0] not in GROUPS or path in OPERATORS or path == "buffer.size":
            continue
        if value is None and path in LEFT_OUT:
            continue
        assert found(read_settings, path) == meant(path, value), path
        seen.add(path)
    return seen


# ---- samples, and whatever Hypothesis makes up


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_samples_mean_the_same(sample: Path) -> None:
    compare(spec.parse(yaml.safe_load(sample.read_text())))


def test_no_field_is_forgotten() -> None:
    """With every field given, all are compared but those that are the operator's."""
    everything = spec.parse(yaml.safe_load(SAMPLES[-1].read_text()))
    given_paths = {path for path, _ in leaves(everything) if path.partition(".")[0] in GROUPS}
    assert given_paths - compare(everything) == OPERATORS | {"buffer.size"}


SIZES = st.tuples(st.integers(1, 2000), st.sampled_from(["", "k", "Ki", "M", "Mi", "G"])).map(
    lambda parts: f"{parts[0]}{parts[1]}"
)
DURATIONS = st.sampled_from(["1s", "500ms", "10s", "1m30s", "59m59s", "1h", "24h", "90m"])
AWKWARD = [
    "yes",
    "no",
    "null",
    "~",
    "1e3",
    "0x10",
    "1_0",
    "12:30",
    "2026-11-24",
    "a: b",
    "a #b",
    "- a",
    "é",
    "|",
    "'\"",
]
"""What YAML might take for something else than text."""


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


KEYS = st.one_of(
    st.builds(
        lambda text: {"regex": f"^(?P<path>\\S+) {text}(?P<content>.+)$"},
        st.sampled_from([r"\: ", "#", "'", ""]),
    ),
    st.builds(lambda name: {"header": name}, st.sampled_from(["X-Key", "true", "null", "1e3"])),
    st.builds(
        lambda names: {"jsonPointers": {name: f"/{value}" for name, value in names.items()}},
        st.dictionaries(
            st.sampled_from(["yes", "no", "on", "y", "customer", "_1"]), st.sampled_from(AWKWARD), min_size=1
        ),
    ),
    st.just({"urlPath": True}),
)
SPECS = st.fixed_dictionaries(
    {
        "destination": st.builds(
            dict,
            bucket=st.sampled_from(["the-output-bucket", "123", "1e3", "2026-11-24", "0x1f"]),
            region=st.just("eu-west-1"),
            endpoint=st.sampled_from(["", "https://s3.example:9000", "http://[::1]:9000/s3"]),
            addressingStyle=st.sampled_from(["Auto", "Path", "Virtual"]),
            encryption=st.sampled_from([{}, {"type": "AES256"}, {"type": "aws:kms", "kmsKeyId": "1e3"}]),
            storageClass=st.sampled_from(["", "STANDARD_IA"]),
        ),
        "partitioning": st.builds(
            lambda key, more: {**key, **more},
            KEYS,
            optional(
                onInvalid=st.sampled_from(["Reject", "Quarantine"]), maxPartitions=st.integers(1, 10**6)
            ),
        ),
    },
    optional={
        "source": optional(maxRequestBytes=SIZES, maxRecordBytes=SIZES, keepAlive=DURATIONS),
        "batch": optional(window=DURATIONS, maxBytes=SIZES, maxAge=DURATIONS),
        "object": optional(
            prefix=st.sampled_from(
                ["a b/", "yes/", "1e3/", "é/{time:%Y}/", "dt={time:%Y-%m-%d}/h={time:%H}/"]
            ),
            errorPrefix=st.sampled_from(["no/{reason}/", "0x1/{reason}/{time:%Y/%m}/"]),
            compression=st.sampled_from(["gzip", "zstd", "none"]),
            level=st.integers(0, 19),
        ),
        "buffer": optional(
            size=st.sampled_from(["10Gi", "1Ti", "123456789012", "100G", "64Ti"]),
            highWatermarkPercent=st.integers(10, 99),
            durability=st.sampled_from(["Fsync", "Relaxed"]),
        ),
    },
)


@given(SPECS)
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.filter_too_much])
def test_any_spec_means_the_same(made_up: dict[str, Any]) -> None:
    try:
        wanted = spec.parse({"metadata": {"name": "events"}, "spec": made_up})
    except SpecError:
        assume(False)
    compare(wanted)


# ---- what isn't passed on as it is written


def parsed(**fields: Any) -> Spec:
    least = {"destination": {"bucket": "b12", "region": "us-east-1"}, "partitioning": {"urlPath": True}}
    return spec.parse({"metadata": {"name": "events"}, "spec": {**least, **fields}})


def test_left_out_means_what_the_reference_says() -> None:
    pointers = {"jsonPointers": {"customer": "/c", "site": "/s"}}
    assert read(parsed()).object.prefix == "{path}/"
    assert read(parsed(partitioning={"regex": "(?P<a>.)(?P<path>.)"})).object.prefix == "{path}/"
    assert read(parsed(partitioning=pointers)).object.prefix == "{customer}/{site}/"
    assert read(parsed()).object.level == 1
    assert read(parsed(batch={"window": "10m"})).batch.max_age == 600


def test_the_buffer_is_what_a_volume_has_room_for() -> None:
    wanted = parsed(buffer={"size": "20Gi"})
    assert read(wanted, "10Gi").buffer.size == spec.usable_bytes("10Gi") == 10 * 2**30 * 92 // 100


def test_only_what_running_ingesters_follow_makes_no_new_pods() -> None:
    assert settings_hash(parsed(buffer={"size": "20Gi"})) == settings_hash(parsed())
    assert settings_hash(parsed(buffer={"highWatermarkPercent": 80})) != settings_hash(parsed())


def test_names_of_objects_begin_with_the_pods() -> None:
    assert read(parsed()).name == "events-s3sink-0"


def test_secrets_of_the_data_port_are_read_where_they_are_mounted() -> None:
    source = {"auth": {"secretRef": {"name": "keys"}}, "tls": {"secretRef": {"name": "cert"}}}
    secured = read(parsed(source=source)).source
    assert (secured.auth.path, secured.tls.path) == (AUTH_PATH, TLS_PATH)
    open_to_all = read(parsed()).source
    assert (open_to_all.auth.path, open_to_all.tls.path) == (None, None)


def test_the_environment_changes_nothing_that_is_said() -> None:
    """Variables that a pod may have for other reasons (IRSA sets a region) don't lead records elsewhere."""
    env = {**ENV, "AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-north-1"}
    elsewhere = parsed(destination={"bucket": "b12", "endpoint": "http://minio.storage.svc:9000"})
    for wanted in (parsed(), elsewhere):
        assert config.loads(text(wanted, "10Gi"), env).destination.region == "us-east-1"


def test_the_text_is_the_document() -> None:
    everything = spec.parse(yaml.safe_load(SAMPLES[-1].read_text()))
    assert yaml.safe_load(text(everything, "10Gi")) == document(everything, "10Gi")
