"""Key values into object prefixes: escaping, templates, time.

Two facts hold for every template that ``parse`` accepts, and tests look for counter-examples:

* **Injective.** Two different tuples of key values never give the same prefix, and ``unescape`` gives a value
  back from what stands in its place. For that a segment (what is between two ``/``) holds at most one field,
  and a value keeps its own ``/`` only where its field is *the only* whole segment of the template (``{path}/``;
  in ``{a}/{b}/`` neither keeps them: ``x/y, z`` and ``x, y/z`` would meet).
* **Safe.** No empty segment, no ``.`` or ``..``, no control character; at most ``MAX_PREFIX_BYTES`` in all and
  ``MAX_SEGMENT_BYTES`` a segment. The segment bound is not S3's: MinIO and file systems have it.

What is escaped, as ``%XX`` of each UTF-8 byte with upper-case digits:

* Hive's set ``" # % ' * / : = ? \\ { [ ] ^`` with control characters, so that Hive, Spark and Trino read
  ``customer=<value>`` back; DuckDB and URL decoders do too. ``}`` is added for our own templates. ``%`` is always
  escaped: that is what makes the rest reversible.
* C1 controls, U+2028/2029 and U+FFFE/FFFF, which S3's XML listings can't carry or tools break lines at.
* A ``.`` or ``_`` at the start of a segment: Hive, Spark and Athena skip such names as hidden, so that the
  records would be stored but never found.
* Other non-ASCII text is **kept**: S3 keys are UTF-8, and Hive, Spark and Trino decode ``%C3%A9`` to two
  characters instead of one. Spaces and ``+`` are kept for the same reason as everything else not named here:
  Athena's injected projection puts the bare value into the location.

A value that keeps its ``/`` is a path, and keeps ``=`` and ``:`` as well: a sender may build its own Hive layout
(``customer=7/dt=2026-11-24``). ``/`` is escaped there too where it would make an empty segment.

A key that isn't UTF-8 makes its record invalid. ``%E9`` alone would be reversible for us, but one such name among
a million makes DuckDB refuse every query over the bucket.

A data key can't get among the errors: where a name would begin with the literal head of ``errorPrefix``
(``errors/``), its first character is escaped as well (key ``errors`` → ``%65rrors/``). Refusing such keys would
turn a name that a platform team chose into a sender's failure; sharing the prefix would put data among
quarantined records.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

MAX_KEY_BYTES = 1024
"""S3's limit for an object key, in UTF-8 bytes."""
FILE_NAME_BYTES = 200
"""Kept free for the file name that follows the prefix."""
MAX_PREFIX_BYTES = MAX_KEY_BYTES - FILE_NAME_BYTES
MAX_SEGMENT_BYTES = 255

_UNPRINTABLE = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff"
_VALUE_UNSAFE = re.compile(rf"""[{_UNPRINTABLE}"#%'*/:=?\\{{}}\[\]^]""")
# Of a run of slashes the first separates, unless it leads; the others would make empty segments.
_PATH_UNSAFE = re.compile(rf"""[{_UNPRINTABLE}"#%'*?\\{{}}\[\]^]|\A/|(?<=/)/|/\Z""")
LITERAL_UNSAFE = re.compile(rf"""[{_UNPRINTABLE}"#%'*?\\\[\]^]""")
"""What a template's own text may not hold: it would break ``unescape`` or a reader."""
_HIDDEN = re.compile(r"\A[._]|(?<=/)[._]")


def percent(text: str) -> str:
    """Each UTF-8 byte of ``text`` as ``%XX``."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _percent_match(match: re.Match[str]) -> str:
    return percent(match[0])


def escape(value: str, *, path: bool = False, leading: bool = True) -> str:
    """Text that stands for ``value`` (no lone surrogates) in a prefix, as the module says.

    ``path``: keep ``/``, ``=`` and ``:``. ``leading``: the value stands at the start of a segment.
    """
    text = (_PATH_UNSAFE if path else _VALUE_UNSAFE).sub(_percent_match, value)
    if leading:
        return _HIDDEN.sub(_percent_match, text)
    # Behind a literal dot a value of one dot would make the segment '..'.
    return text.replace(".", "%2E") if text in (".", "..") else text


def unescape(text: str) -> str:
    """The value that ``escape`` made ``text`` from, whatever its flags were."""
    return unquote(text, errors="strict")
