"""Plain values to settings: reads every field, collecting a problem for each that can't be read. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from s3sink_ingester.config import strangers
from s3sink_ingester.config.fields import Setting, settings_of
from s3sink_ingester.config.settings import Settings
from s3sink_ingester.config.words import kind_of
from s3sink_ingester.errors import Problem

Group = TypeVar("Group")


@dataclass(slots=True)
class Found:
    """What a document says: the values that could be read, by dotted path as written, and what was wrong.

    ``values`` may be added to, to set what the document leaves to other settings, before ``build``.
    """

    values: dict[str, object] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    """Path of a setting to the environment variable that its value came from, which its problems name then."""

    def bad(self, path: str) -> bool:
        """Whether this setting, or a group that it is in, has a problem: its value can't be judged."""
        paths = self._bad_paths()
        parts = path.split(".")
        return any(".".join(parts[:length]) in paths for length in range(1, len(parts) + 1))

    def troubled(self, group: str) -> bool:
        """Whether this group or anything in it has a problem: what seems missing may only be misspelt."""
        return any(path == group or path.startswith(group + ".") for path in self._bad_paths())

    def given(self, path: str) -> bool:
        """Whether the document says something, good or bad, about this setting or in this group."""
        inside = any(given.startswith(path + ".") for given in self.values)
        return path in self.values or inside or path in self._bad_paths()

    def refuse(self, path: str, message: str) -> None:
        self.problems.append(Problem(self.origins.get(path, path), message))

    def _bad_paths(self) -> set[str]:
        written = {origin: path for path, origin in self.origins.items()}
        return {written.get(problem.path, problem.path) for problem in self.problems}


def read(document: Mapping[str, object], problems: list[Problem]) -> Found:
    """Every value of the document that can be read. ``problems``: those already known, which come first."""
    found = Found(problems=list(problems))
    _read_group(Settings, document, "", found)
    return found


def build(group: type[Group], found: Found, path: str = "") -> Group:
    """The settings that ``found`` amounts to, with defaults where it says nothing.

    Raises KeyError if a field without a default has no value.
    """
    values: dict[str, Any] = {}
    for setting in settings_of(group).values():
        at = _join(path, setting.written)
        if setting.group is not None:
            values[setting.name] = build(setting.group, found, at)
        elif at in found.values or setting.default is dataclasses.MISSING:
            values[setting.name] = found.values[at]
    return group(**values)


def _read_group(group: type, document: Mapping[str, object], path: str, found: Found) -> None:
    known = settings_of(group)
    document, problems = strangers.without_credentials(document, path)
    found.problems += problems
    for name, value in document.items():
        at = _join(path, name)
        setting = known.get(name)
        if setting is None:
            found.refuse(at, strangers.advice(at, name, list(known), _everywhere()))
        elif setting.group is None:
            read_value(found, setting, value, at)
        elif isinstance(value, dict):
            _read_group(setting.group, value, at, found)
        elif value is not None:
            fields = ", ".join(settings_of(setting.group))
            found.refuse(at, f"expected a mapping of {fields}, not {kind_of(value)}")


def read_value(found: Found, setting: Setting, value: object, path: str) -> None:
    """Adds the setting's value, or a problem for each thing that is wrong with it."""
    if setting.default is None and value in ("", {}):
        return  # as an S3Sink writes that something isn't set
    if value is None:
        found.refuse(path, "has no value; write one or take the line out")
        return
    if setting.kind is None:
        return
    try:
        found.values[path] = setting.kind.read(value)
    except ValueError as error:
        for message in error.args:
            found.refuse(path, message)


def _everywhere() -> dict[str, list[str]]:
    paths: dict[str, list[str]] = {}
    for path in all_paths():
        paths.setdefault(path.rpartition(".")[2], []).append(path)
    return paths


def all_paths(group: type = Settings, path: str = "") -> list[str]:
    """Every setting's dotted path, groups too, in the order they are declared."""
    paths: list[str] = []
    for setting in settings_of(group).values():
        at = _join(path, setting.written)
        paths.append(at)
        if setting.group is not None:
            paths += all_paths(setting.group, at)
    return paths


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
