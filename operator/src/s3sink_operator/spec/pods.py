"""Fields of pods that the operator has a say in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

MAX_REPLICAS: Final = 1000
OUR_ENV: Final = ("POD_NAME", "POD_UID")
CREDENTIAL_ENV: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
CA_ENV: Final = "AWS_CA_BUNDLE"
PERCENT_PATTERN: Final = r"(100|[1-9]?[0-9])%"


def env_problems(
    env: Iterable[Mapping[str, Any]], *, has_credentials: bool, has_authorities: bool
) -> Iterable[str]:
    """Variables that the operator sets itself, of Secrets that the destination names if it ``has`` them."""
    for name in (entry.get("name") for entry in env):
        if name in OUR_ENV:
            yield f"{name} is set by the operator; take it out"
        elif has_credentials and name in CREDENTIAL_ENV:
            yield f"{name} comes from destination.credentials.secretRef; take one of them out"
        elif has_authorities and name == CA_ENV:
            yield f"{name} comes from destination.caBundle.secretRef; take one of them out"


@dataclass(frozen=True)
class CountOrPercent:
    """A number of pods, or a percentage of them."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def _validate(self, value: Any) -> int | str:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_REPLICAS:
            return value
        if isinstance(value, str) and re.fullmatch(PERCENT_PATTERN, value):
            return value
        raise ValueError(
            f"{value!r} is not a number of pods; write one such as 1, or a percentage such as '25%'"
        )
