"""Every error the operator raises on purpose; translated to the framework's errors at one edge only."""

from __future__ import annotations


class OperatorError(Exception):
    """Base of all errors raised on purpose."""
