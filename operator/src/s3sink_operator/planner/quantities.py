"""Kubernetes quantities in any notation, as the API gives them back: ``1536Mi``, ``1.5Gi``, ``500m``. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_SUFFIXES: Final = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)([numkMGTPE]?|[KMGTPE]i)")


def parse(quantity: str | float) -> Decimal:
    """Its value. Raises ValueError if it is no quantity."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity")
    return Decimal(match[1]) * _SUFFIXES[match[2]]


def are_equal(one: object, other: object) -> bool:
    """Whether two values are the same quantity, however they are written."""
    try:
        return parse(str(one)) == parse(str(other))
    except ValueError:
        return one == other
