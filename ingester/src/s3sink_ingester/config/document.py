"""YAML text to plain values, keeping what YAML parsers lose: duplicate keys and where errors are. Pure.

Plain scalars follow YAML 1.2's core schema: ``true`` and ``false`` are the only booleans, ``010``, ``1:30`` and
``2026-01-01`` are text. Anchors, aliases and tags are refused, so that a short file can't unfold into a huge one.
"""

from __future__ import annotations

import re
from typing import Final

import yaml

from s3sink_ingester.config.words import printable, quote
from s3sink_ingester.errors import ConfigError, Problem

LONGEST_TEXT: Final = 1024 * 1024  # characters

_WHOLE: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_REAL: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,9}(?:[eE][-+]?[0-9]{1,2})?")
_WORDS: Final[dict[str, object]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def parse(text: str) -> tuple[object, list[Problem]]:
    """The plain value of a YAML document (``None`` if it is empty) and a problem for each duplicate key.

    Values are dict (text keys), list, str, int, float, bool and None. Of a duplicate the first one counts.
    Raises ConfigError with line and column where the text is not YAML.
    """
    if len(text) > LONGEST_TEXT:
        raise ConfigError([Problem("", f"longer than {LONGEST_TEXT} characters: not a settings file")])
    try:
        root = _PlainLoader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise ConfigError([Problem("", _syntax_message(error, text))]) from error
    except yaml.reader.ReaderError as error:
        where = _position(text, error.position)
        raise ConfigError([Problem("", f"{where}: a character that YAML doesn't allow")]) from error
    except (ValueError, OverflowError) as error:  # from the parser's chr(), for "\U00110000"
        raise ConfigError(
            [Problem("", "text in double quotes has a \\U escape beyond \\U0010ffff")]
        ) from error
    except RecursionError:
        raise ConfigError([Problem("", "nested too deeply to be a settings file")]) from None
    problems: list[Problem] = []
    return (None if root is None else _value(root, "", problems)), problems


class _PlainLoader(yaml.SafeLoader):
    """Refuses what makes a node more than what is written there."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs give it no type
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise yaml.MarkedYAMLError(
                problem="'&' and '*' begin YAML anchors and aliases, which settings can't use;"
                " put text that begins with them in quotes",
                problem_mark=event.start_mark,
            )
        if event.tag is not None:
            raise yaml.MarkedYAMLError(
                problem="'!' begins a YAML tag, which settings can't use; put text that begins with it in quotes",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)


def _value(node: yaml.Node, path: str, problems: list[Problem]) -> object:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, problems)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, f"{path}[{index}]", problems) for index, item in enumerate(node.value)]
    text = str(node.value)
    quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
    return text if quoted else _plain(text)


def _mapping(node: yaml.MappingNode, path: str, problems: list[Problem]) -> dict[str, object]:
    found: dict[str, object] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(Problem(path, f"line {line}: a field's name must be text"))
            continue
        key = printable(key_node.value)
        at = f"{path}.{key}" if path else key
        if key in found:
            problems.append(Problem(at, f"written twice, on line {lines[key]} and line {line}; keep one"))
            continue
        lines[key] = line
        found[key] = _value(value_node, at, problems)
    return found


def _plain(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _REAL.fullmatch(text) else text


def _syntax_message(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark or error.context_mark
    if isinstance(error, yaml.composer.ComposerError):
        line = mark.line + 1 if mark else 1
        return f"line {line}: a second YAML document begins; settings are one document"
    problem = error.problem or error.context or "not YAML"
    if mark is None:
        return problem
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}{_advice(problem, text, mark.line)}"


def _advice(problem: str, text: str, line: int) -> str:
    """What most likely went wrong: YAML's own words name a token, not the mistake."""
    if r"'\t'" in problem:
        return "; indent with spaces, not tabs"
    if "mapping values are not allowed" in problem:
        return "; put text that holds ': ' in single quotes"
    lines = text.splitlines()
    shown = lines[line] if line < len(lines) else ""
    name, colon, value = shown.partition(":")
    value = value.strip()
    if colon and value[:1] in set("{[%@`*&!|>") and "'" not in value:
        return f"; put the value in single quotes: {printable(name.strip())}: {quote(value)}"
    return ""


def _position(text: str, offset: int) -> str:
    before = text[:offset]
    return f"line {before.count(chr(10)) + 1}, column {offset - before.rfind(chr(10))}"
