"""The reference of an S3Sink in Markdown, made from the types in ``spec`` and the status' schema. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from s3sink_operator import names
from s3sink_operator.crd.schema import bare, group_of, items_of, one_line, written
from s3sink_operator.crd.status import COLUMNS, STATUS
from s3sink_operator.spec.kinds import Bounded, Duration, Embedded, Later, Size, Text, Whole
from s3sink_operator.spec.pods import CountOrPercent
from s3sink_operator.spec.types import Model, SecretRef, Spec

HEAD: Final = f"""\
# S3Sink

<!-- Made by `python -m s3sink_operator.crd reference`; a test tells when it is out of date. Change the docstrings. -->

`{names.API_VERSION}`, kind `{names.KIND}`, namespaced; `kubectl get s3s`, `kubectl explain s3sink.spec`.
Manifests to start from are in [`docs/samples`](samples). The shortest:

```yaml
apiVersion: {names.API_VERSION}
kind: {names.KIND}
metadata:
  name: events
spec:
  destination: {{bucket: the-output-bucket, region: us-east-1}}
  partitioning: {{regex: '^(?P<path>\\S+) (?P<content>.+)$'}}
```

- The **name** has at most {names.MAX_SINK_NAME} characters: a-z, 0-9 and `-`, beginning with a letter.
- A **size** is a whole number of bytes with a unit: `25Mi` (× 1024 × 1024), `25M` (× 1000 × 1000), `26214400`; as text,
  so a number without a unit is put in quotes.
- A **duration** is written `10s`, `5m`, `1h30m`, `500ms`.
- Put templates and regular expressions in single quotes: `{{`, `#` and `\\` mean something in YAML.

Where a mistake shows:

| what | where |
| --- | --- |
| types, limits, contradictions, what can't be changed | `kubectl apply` refuses, and says what to write instead |
| a regular expression that doesn't compile, a missing Secret | condition `ConfigValid=False`; pods stay as they are |
| what the store answers: access denied, no such bucket | condition `DestinationReachable=False`; pods keep buffering |
"""
TAIL: Final = f"""\
## Annotations

| annotation | meaning |
| --- | --- |
| `{names.PAUSED}: "true"` | Nothing is changed until it is taken off; the status goes on being written. |
| `{names.FORCE_RELEASE}: "true"` | On an S3Sink being deleted: let it go though volumes aren't empty. They are kept. |
"""


def reference() -> str:
    """The whole page."""
    groups = "\n".join(_groups(Spec, "spec"))
    columns = [(column["name"].upper(), column["description"]) for column in COLUMNS]
    shown = _table(("column", "meaning"), [(f"`{name}`", meaning) for name, meaning in columns])
    get = "What `kubectl get` shows; the last two with `-o wide`:\n"
    return "\n".join([HEAD, groups, "## status\n", _status(), get, shown, TAIL])


def _groups(model: type[Model], path: str) -> Iterator[str]:
    rows = []
    below: list[tuple[type[Model], str]] = []
    for name, field in model.model_fields.items():
        at = f"{path}.{written(name, field)}".removeprefix("spec.")
        group = group_of(field.annotation)
        if group is SecretRef:
            rows.append((f"`{at}.name`", "name", "", one_line(field.description or "")))
        elif group is None:
            annotation, notes = bare(field.annotation, field.metadata)
            rows.append(
                (f"`{at}`", _value(annotation, notes), _default(field), one_line(field.description or ""))
            )
        else:
            below.append((group, at))
    yield f"## {path}\n\n{one_line(inspect.getdoc(model) or '')}\n"
    if rows:
        yield _table(("field", "value", "default", "meaning"), rows)
    for group, at in below:
        yield from _groups(group, at)


def _value(annotation: Any, notes: Sequence[Any]) -> str:
    """What a field accepts, in a few words."""
    for note in notes:
        match note:
            case Size():
                return f"size, `{note.low}` to `{note.high}`"
            case Duration():
                return f"duration, `{note.low}` to `{note.high}`"
            case Whole():
                return f"{note.low} to {note.high}"
            case Text():
                return note.noun
            case CountOrPercent():
                return "number or percentage"
            case Embedded() if get_origin(annotation) is list:
                return f"list of Kubernetes' `{note.schema}`"
            case Embedded():
                return f"Kubernetes' `{note.schema}`"
            case Bounded() if get_origin(annotation) is dict:
                return "mapping of names to text"
            case Later() | Bounded():
                pass
    if (items := items_of(annotation)) is not None:
        named = ", ".join(f"`{written(name, field)}`" for name, field in items.model_fields.items())
        return f"list of {named}"
    if get_origin(annotation) is Literal:
        options = [f"`{option}`" for option in get_args(annotation)]
        return " or ".join(filter(None, (", ".join(options[:-1]), options[-1])))
    return {bool: "`true` or `false`"}.get(annotation, "text")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.default in (None, "", {}, []):
        return ""
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _status() -> str:
    return f"{STATUS['description']}\n\n" + _table(("field", "meaning"), list(_status_rows(STATUS, "status")))


def _status_rows(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, field in schema["properties"].items():
        at = f"{path}.{name}"
        inner = field.get("items", field)
        yield f"`{at}{'[]' if inner is not field else ''}`", field["description"]
        if "properties" in inner:
            yield from _status_rows(inner, f"{at}[]" if inner is not field else at)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
