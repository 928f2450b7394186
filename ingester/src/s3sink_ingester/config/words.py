"""The words that messages about settings are made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

LONGEST_QUOTE: Final = 80


def kind_of(value: object) -> str:
    """What a value of a settings file is, in words: ``a list``, ``text``, ``a number``."""
    if isinstance(value, bool):
        return f"the word {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    names = ((str, "text"), (list, "a list"), (dict, "a mapping"))
    return next((name for kind, name in names if isinstance(value, kind)), "nothing")


def quote(text: str) -> str:
    """``text`` in single quotes, shortened and with its control characters escaped, to be shown in a message."""
    shown = text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…"
    return f"'{printable(shown)}'"


def printable(text: str) -> str:
    """``text`` with what a terminal would act on escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_of(words: Sequence[str]) -> str:
    """``a, b or c``."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant, looking through case, ``_`` and ``-``."""
    plain = {_plain(candidate): candidate for candidate in known}
    found = get_close_matches(_plain(word), plain, n=1, cutoff=0.75)
    return plain[found[0]] if found else None


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
