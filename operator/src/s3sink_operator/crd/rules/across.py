"""Rules that look at several groups of a spec. Pure."""

from __future__ import annotations

from typing import Final

from s3sink_operator.crd.rules.rule import Rule, matches, text
from s3sink_operator.spec import checks, pods
from s3sink_operator.spec.types import USABLE_PERCENT
from s3sink_operator.units import SIZE_PATTERN, parse_size


def _bytes(path: str) -> str:
    return f"quantity(self.{path}).asInteger()"


def _known(path: str, most: str) -> str:
    size = f"self.{path}"
    return f"{matches(size, SIZE_PATTERN)} && quantity({size}).compareTo(quantity('{most}')) <= 0"


_KNOWN_SIZES = (
    f"{_known('buffer.size', '64Ti')} && {_known('batch.maxBytes', '5Gi')}"
    f" && {_known('source.maxRequestBytes', '512Mi')} && self.buffer.highWatermarkPercent >= 10"
)
_SEGMENT = (
    f"({_bytes('source.maxRequestBytes')} > {parse_size(checks.SEGMENT) // 2}"
    f" ? 2 * {_bytes('source.maxRequestBytes')} : {parse_size(checks.SEGMENT)})"
)
_NEEDED = (
    f"((({checks.SEGMENTS} * {_SEGMENT} + {checks.OBJECTS} * {_bytes('batch.maxBytes')}) * 100"
    " + self.buffer.highWatermarkPercent - 1) / self.buffer.highWatermarkPercent)"
)
_ROUND_SIZES = "['512Mi', '1Gi', '2Gi', '5Gi', '10Gi', '20Gi', '50Gi', '100Gi', '200Gi']"
"""To recommend one. (The cost of a number as text can't be told, so an expression with one is refused.)"""
_RECOMMENDED = f"{_ROUND_SIZES}.filter(q, quantity(q).asInteger() * {USABLE_PERCENT} / 100 >= {_NEEDED})[0]"

SPEC: Final = (
    Rule(
        f"!({_KNOWN_SIZES}) || {_bytes('buffer.size')} * {USABLE_PERCENT} / 100 >= {_NEEDED}",
        "'too small for objects of ' + self.batch.maxBytes + ' and requests of ' + self.source.maxRequestBytes"
        f" + '; write ' + {_RECOMMENDED} + ', which is enough'",
        computed=True,
        field=".buffer.size",
    ),
    Rule(
        "!has(self.object.prefix) || self.object.prefix.findAll('[{][A-Za-z_][A-Za-z0-9_]*[}]').all(t, t == '{time}' ||"
        " (has(self.partitioning.regex)"
        " ? self.partitioning.regex.contains('(?P<' + t.substring(1, t.size() - 1) + '>') && t != '{content}'"
        " : has(self.partitioning.jsonPointers)"
        " ? t.substring(1, t.size() - 1) in self.partitioning.jsonPointers"
        " : t == '{key}' || t == '{path}'))",
        "has(self.partitioning.regex)"
        " ? 'uses a field that the key lacks; write one of the named groups of partitioning.regex'"
        " : has(self.partitioning.jsonPointers)"
        " ? 'uses a field that the key lacks; write one of the names in partitioning.jsonPointers'"
        " : 'uses a field that the key lacks; write {key}'",
        computed=True,
        field=".object.prefix",
    ),
    Rule(
        f"![self.source.maxRecordBytes, self.source.maxRequestBytes].all(q, {matches('q', SIZE_PATTERN)})"
        " || quantity(self.source.maxRecordBytes).compareTo(quantity(self.source.maxRequestBytes)) <= 0",
        "\"a record can't be larger than a request; write at most maxRequestBytes, '\""
        ' + self.source.maxRequestBytes + "\'"',
        computed=True,
        field=".source.maxRecordBytes",
    ),
    Rule(
        "!has(self.autoscaling) || self.replicas <= self.autoscaling.maxReplicas"
        " || (oldSelf.hasValue() && self.replicas == oldSelf.value().replicas)",
        "more than autoscaling.maxReplicas; take replicas out: autoscaling sets them",
        field=".replicas",
        on_create=True,
    ),
    Rule(
        "!has(self.destination.credentials.secretRef) || !has(self.podTemplate.env)"
        f" || self.podTemplate.env.all(e, !(e.name in [{', '.join(text(name) for name in pods.CREDENTIAL_ENV)}]))",
        "credentials come from destination.credentials.secretRef; take them out here, or secretRef there",
        field=".podTemplate.env",
    ),
    Rule(
        "!has(self.destination.caBundle.secretRef) || !has(self.podTemplate.env)"
        f" || self.podTemplate.env.all(e, e.name != {text(pods.CA_ENV)})",
        f"{pods.CA_ENV} comes from destination.caBundle.secretRef; take it out here, or secretRef there",
        field=".podTemplate.env",
    ),
)
