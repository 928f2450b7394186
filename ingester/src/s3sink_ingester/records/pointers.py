"""Keys by JSON Pointer (RFC 6901)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from s3sink_ingester.records.keys import Groups, Token
from s3sink_ingester.records.partition import Invalid, Reason

_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError)
"""What msgspec raises, the second for strings that aren't UTF-8 where it makes them."""


def check_json_pointers(pointers: Mapping[str, str]) -> list[str]:
    """What is wrong with ``partitioning.jsonPointers``."""
    problems = [] if pointers else ["is empty: name at least one field, such as customer: /customer_id"]
    for field, pointer in pointers.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", field) or field == "time":
            problems.append(
                f"{field!r} can't be a field: use letters, digits and _, and another name than time"
            )
        if not pointer.startswith("/"):
            problems.append(
                f"{field}: {pointer!r} is not a JSON pointer: it begins with '/', as in /customer_id"
            )
        elif re.search(r"~(?![01])", pointer):
            problems.append(
                f"{field}: {pointer!r} is not a JSON pointer: '~' is written ~0 and '/' in a name ~1"
            )
    return problems


@dataclass(frozen=True, slots=True)
class _Pointer:
    text: str
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> _Pointer:
        names = (name.replace("~1", "/").replace("~0", "~") for name in text[1:].split("/"))
        return cls(text, tuple(names))


class Pointers:
    """Values of a JSON record. A token is the values' JSON text, each empty if it is missing.

    One decode into a struct whose leaves stay raw text, so that nothing else of the record becomes an object.
    Records are decoded one by one: msgspec's ``decode_lines`` takes two values on one line and one on two, so its
    results can't be laid beside the lines.
    """

    def __init__(self, pointers: Mapping[str, str]) -> None:
        self._used = tuple(pointers)
        self._pointers = tuple(_Pointer.parse(text) for text in pointers.values())
        self._struct = _Struct.of(self._pointers)

    def one(self, record: bytes) -> tuple[Token, bytes]:
        if self._struct:
            try:
                return next(self._struct.tokens((record,))), record
            except (msgspec.DecodeError, RecursionError):
                pass  # the walk says what is wrong
        return self._walk(record), record

    def fill(self, records: Sequence[bytes], groups: Groups) -> None:
        tokens = self._struct.tokens(records) if self._struct else map(self._walk, records)
        try:
            for token, record in zip(tokens, records, strict=True):
                groups[token].append(record)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid(Reason.INVALID_JSON, str(error)) from error

    def values(self, token: Token) -> Mapping[str, bytes]:
        texts = token if isinstance(token, tuple) else (token,)
        pairs = zip(self._used, self._pointers, texts, strict=False)
        return {field: _scalar(text or b"", pointer.text) for field, pointer, text in pairs}

    def _walk(self, record: bytes) -> Token:
        try:
            msgspec.json.decode(record, type=msgspec.Raw)
            tokens = tuple(_find(record, pointer) for pointer in self._pointers)
        except _MALFORMED as error:
            raise Invalid(Reason.INVALID_JSON, f"it is not JSON: {error}") from error
        except RecursionError as error:
            raise Invalid(Reason.INVALID_JSON, "it is nested too deeply") from error
        return tokens[0] if len(tokens) == 1 else tokens


def _scalar(text: bytes, pointer: str) -> bytes:
    """The value as a key: a string's text, a number's or boolean's JSON text."""
    kind = text[:1]
    if kind == b'"':
        try:
            value = msgspec.json.decode(text, type=str).encode()
        except _MALFORMED as error:
            raise Invalid(Reason.INVALID_JSON, f"{pointer} is not a valid string: {error}") from error
        if not value:
            raise Invalid(Reason.NO_KEY, f"{pointer} is empty")
        return value
    problem = {b"": "is missing", b"n": "is null", b"{": "is an object", b"[": "is an array"}.get(kind)
    if problem:
        raise Invalid(Reason.NO_KEY, f"{pointer} {problem}; the key needs a string, number or boolean")
    return text


_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]*")
_NOT_IN_STRUCT = re.compile(r'["\\\x00-\x1f]')


def _find(record: bytes, pointer: _Pointer) -> bytes:
    """The JSON text that ``pointer`` leads to, empty if there is none. ``record`` is valid JSON."""
    node = record.strip(b" \t\r\n")
    for name in pointer.names:
        if node[:1] == b"{":
            node = bytes(msgspec.json.decode(node, type=dict[str, msgspec.Raw]).get(name, b""))
        elif node[:1] == b"[" and _ARRAY_INDEX.fullmatch(name):
            elements = msgspec.json.decode(node, type=list[msgspec.Raw])
            # A comparison of lengths first: int() of a very long name is slow, and refused.
            index = int(name) if len(name) < 10 else len(elements)
            node = bytes(elements[index]) if index < len(elements) else b""
        else:
            return b""
    return node


class _Struct:
    """Pointers through objects as one struct type."""

    def __init__(self, tree: Mapping[str, Any], paths: Sequence[str]) -> None:
        self._decode = msgspec.json.Decoder(_struct_type(tree)).decode
        self._leaves = [attrgetter(path) for path in paths]

    @classmethod
    def of(cls, pointers: Sequence[_Pointer]) -> _Struct | None:
        """None if there can't be one: names that may be array indexes or that structs can't have, or a pointer
        that another one leads through."""
        names = [name for pointer in pointers for name in pointer.names]
        if not names or any(_ARRAY_INDEX.fullmatch(name) or _NOT_IN_STRUCT.search(name) for name in names):
            return None
        tree: dict[str, Any] = {}
        for pointer in pointers:
            *parents, leaf = pointer.names
            node = tree
            for name in parents:
                node = node.setdefault(name, {})
                if node is None:
                    return None
            if leaf in node:
                return None
            node[leaf] = None
        return cls(tree, [_attributes(tree, pointer) for pointer in pointers])

    def tokens(self, records: Sequence[bytes]) -> Iterator[Token]:
        """The token of each record; raises ``msgspec.DecodeError`` or ``RecursionError`` when one can't be read."""
        if len(self._leaves) == 1:
            return map(bytes, map(self._leaves[0], map(self._decode, records)))
        structs = [self._decode(record) for record in records]
        return zip(*(map(bytes, map(leaf, structs)) for leaf in self._leaves), strict=True)


def _struct_type(tree: Mapping[str, Any]) -> type[msgspec.Struct]:
    """A struct type for ``tree``: name → None for a leaf or a subtree. What is missing is empty raw text."""
    fields: list[tuple[str, Any, Any]] = []
    for number, subtree in enumerate(tree.values()):
        if subtree is None:
            fields.append((f"f{number}", msgspec.Raw, msgspec.Raw(b"")))
        else:
            inner = _struct_type(subtree)
            fields.append((f"f{number}", inner, msgspec.field(default_factory=inner)))
    rename = {f"f{number}": name for number, name in enumerate(tree)}
    return msgspec.defstruct("Record", fields, rename=rename, gc=False)


def _attributes(tree: Mapping[str, Any], pointer: _Pointer) -> str:
    """Dotted attributes that lead to the pointer's leaf in the struct."""
    attributes = []
    node: Any = tree
    for name in pointer.names:
        attributes.append(f"f{list(node).index(name)}")
        node = node[name]
    return ".".join(attributes)
