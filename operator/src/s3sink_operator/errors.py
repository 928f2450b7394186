"""Every error the operator raises on purpose; translated to what the framework does at one edge only."""

from __future__ import annotations

from collections.abc import Sequence


class OperatorError(Exception):
    """Base of all errors raised on purpose."""


class SpecError(OperatorError):
    """A spec that can't be acted on. ``problems``: each with its path and what to write instead."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class ClusterError(OperatorError):
    """The API server didn't do what it was asked to. The reconcile is made again, later."""


class Unavailable(ClusterError):
    """It is away, restarting or busy (429, 5xx, no connection). ``retry_after``: seconds it asked for."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(ClusterError):
    """The object isn't as it was observed (409): observe it again."""


class Refused(ClusterError):
    """The object was refused (400, 403, 405, 422): the same request would be refused again. Says why."""


class IngesterError(OperatorError):
    """An ingester could not be asked, or didn't do what it was told."""
