"""Names and values of labels and annotations: what Kubernetes takes, and what is the operator's. Pure.

Each check raises ValueError that says what to write instead.
"""

from __future__ import annotations

import re
from typing import Final

from s3sink_operator.spec.shapes import OBJECT_NAME_PATTERN

NAME_PATTERN: Final = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
"""Of a label's value, too."""
LABEL_PATTERN: Final = rf"({OBJECT_NAME_PATTERN}/)?{NAME_PATTERN}"
ANNOTATION_PATTERN: Final = rf"({OBJECT_NAME_PATTERN.replace('a-z', 'A-Za-z')}/)?{NAME_PATTERN}"
"""Kubernetes takes capitals in the domain here."""
LONGEST_DOMAIN: Final = 253
LONGEST_VALUE: Final = 63
MOST_BYTES: Final = 250_000
"""Of annotations that users add. Kubernetes takes 256 KiB of an object's; the operator and others have some, too."""
OUR_DOMAINS: Final = ("s3sink.dev/", "app.kubernetes.io/")
"""Names that begin so are the operator's: selectors and tools go by them."""

_TEXT: Final = "letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
VALUE_ADVICE: Final = f"write at most {LONGEST_VALUE} {_TEXT}"
NAME_ADVICE: Final = f"{VALUE_ADVICE}; a domain may stand before it, as in example.com/team"

SIZE_ADVICE: Final = f"write at most {MOST_BYTES} bytes of names and values: Kubernetes takes no more"


def label_name(text: str) -> None:
    """Of a label, on whatever object."""
    _check(text, LABEL_PATTERN, "a label")


def annotation_name(text: str) -> None:
    """Of an annotation; its value may be any text."""
    _check(text, ANNOTATION_PATTERN, "an annotation")


def label_value(text: str) -> None:
    """Of a label that isn't empty."""
    if not re.fullmatch(NAME_PATTERN, text):
        raise ValueError(f"{text!r} is not the value of a label; {VALUE_ADVICE}")


def few_bytes(annotations: dict[str, str]) -> dict[str, str]:
    """All annotations of an object, which are returned."""
    size = sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items())
    if size > MOST_BYTES:
        raise ValueError(f"has {size} bytes; {SIZE_ADVICE}")
    return annotations


def not_ours(text: str) -> None:
    """The name of a label or annotation that users may add to what the operator makes."""
    if text.startswith(OUR_DOMAINS):
        raise ValueError(f"{text!r} is set by the operator; take it out")


def _check(text: str, pattern: str, what: str) -> None:
    if not re.fullmatch(pattern, text) or text.find("/") > LONGEST_DOMAIN:
        raise ValueError(f"{text!r} is not the name of {what}; {NAME_ADVICE}")
