"""What a settings class says about its fields: names as written, kinds, defaults."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from s3sink_ingester.config.kinds import Kind
from s3sink_ingester.config.settings import Follows


@dataclass(frozen=True, slots=True)
class Setting:
    """One field. ``kind`` reads its value, or ``group`` is the class of the fields below it."""

    name: str
    """In Python: ``max_bytes``."""

    written: str
    """In a file: ``maxBytes``."""

    kind: Kind | None
    group: type | None
    default: object
    """``dataclasses.MISSING`` where there is none."""

    follows: Follows | None


def settings_of(group: type) -> dict[str, Setting]:
    """The settings of a class by their written name, in the order they are declared."""
    hints = get_type_hints(group, include_extras=True)
    found = (_setting(field, hints[field.name]) for field in dataclasses.fields(group))
    return {setting.written: setting for setting in found}


def setting_at(group: type, path: str) -> Setting:
    """The setting at a dotted path below a class."""
    name, _, rest = path.partition(".")
    setting = settings_of(group)[name]
    return setting_at(setting.group, rest) if setting.group is not None else setting


def camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _setting(field: dataclasses.Field[Any], hint: Any) -> Setting:
    inner, *notes = get_args(hint) or (hint,)
    kind = next((note for note in notes if hasattr(note, "read")), None)
    follows = next((note for note in notes if isinstance(note, Follows)), None)
    return Setting(field.name, camel_case(field.name), kind, None if kind else inner, field.default, follows)
