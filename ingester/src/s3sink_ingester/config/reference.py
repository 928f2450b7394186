"""The settings' reference in Markdown, made from the classes in ``settings`` and the docstrings under their fields."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from typing import Final

from s3sink_ingester.config import settings
from s3sink_ingester.config.fields import Setting, settings_of
from s3sink_ingester.config.load import FROM_ENVIRONMENT
from s3sink_ingester.config.settings import Settings

HEAD: Final = """\
# Settings of an ingester

<!-- Made by `python -m s3sink_ingester.config`; a test tells when it is out of date. Change the docstrings. -->

A YAML file given to `s3sink-ingester serve --config`. Its groups are those of an S3Sink's `spec`, as far as the
ingester acts on them, and a few that only a process has. Every mistake in it is told at once, with what to write.

- A **size** is in bytes: `25Mi` (× 1024 × 1024), `25M` (× 1000 × 1000), `26214400`.
- A **duration** is written `10s`, `5m`, `1h30m`, `500ms`.
- **Credentials** are never read from the file: they come from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` in the
  environment, or from a workload identity; see [permissions.md](permissions.md).
- Put templates and regular expressions in single quotes: `{`, `#` and `\\` mean something in YAML.

The shortest file:

```yaml
destination: {bucket: the-output-bucket, region: us-east-1}
partitioning: {regex: '^(?P<path>\\S+) (?P<content>.+)$'}
```
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD, "## The process\n", _table(Settings, ""), *_groups(Settings, ""), _environment()]
    return "\n".join(parts)


def _groups(group: type, path: str) -> Iterator[str]:
    for setting in settings_of(group).values():
        if setting.group is not None:
            at = f"{path}.{setting.written}" if path else setting.written
            yield f"## {at}\n\n{_one_line(inspect.getdoc(setting.group) or '')}\n"
            yield _table(setting.group, at)
            yield from _groups(setting.group, at)


def _table(group: type, path: str) -> str:
    rows = ["| setting | value | default | meaning |", "| --- | --- | --- | --- |"]
    meanings = _docstrings()[group.__name__]
    for setting in settings_of(group).values():
        if setting.kind is not None:
            at = f"{path}.{setting.written}" if path else setting.written
            cells = (f"`{at}`", setting.kind.describe(), _default(setting), meanings[setting.name])
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _default(setting: Setting) -> str:
    if setting.follows is not None:
        return setting.follows.words
    if setting.default is None or setting.default is dataclasses.MISSING or setting.kind is None:
        return ""
    return setting.kind.show(setting.default)


def _environment() -> str:
    rows = [
        "## From the environment\n",
        "Where the file says nothing:\n",
        "| setting | variable |",
        "| --- | --- |",
    ]
    for path, variables in FROM_ENVIRONMENT.items():
        rows.append(f"| `{path}` | {', else '.join(f'`{variable}`' for variable in variables)} |")
    return "\n".join(rows) + "\n"


def _docstrings() -> dict[str, dict[str, str]]:
    """Class to field to the docstring under the field, on one line."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(settings)).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {}
            for field, below in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    found[node.name][field.target.id] = _one_line(_text(below))
    return found


def _text(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return str(statement.value.value)
    return ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
