"""The lines of a description, in the dialects of those who write them (RFC 8866 §5)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from lalmesh.errors import LimitExceeded

MAX_DESCRIPTION_BYTES: Final = 64 << 10  #: a description with two long parameter sets has under 2 KiB; some cameras add a page
MAX_LINES: Final = 1024

_ENDS = re.compile(r"[\r\n\0]+")
_SECTION = "RFC 8866 §5"


class Line(NamedTuple):
    """One line: ``type=value``."""

    type: str  #: one letter
    value: str  #: without spaces around it


def split_lines(data: bytes) -> list[Line]:
    """The lines of a description.

    Interop: lines end in CRLF, LF, CR or NUL, whatever the standard says; blank lines, spaces before a line and text that is none
    are passed over, since cameras send them.

    Raises:
        LimitExceeded: over `MAX_DESCRIPTION_BYTES` or `MAX_LINES`.
    """
    if len(data) > MAX_DESCRIPTION_BYTES:
        raise LimitExceeded("bytes of a session description", len(data), MAX_DESCRIPTION_BYTES, section=_SECTION)
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = [line for part in _ENDS.split(text) if (line := _parse_line(part.strip())) is not None]
    if len(lines) > MAX_LINES:
        raise LimitExceeded("lines of a session description", len(lines), MAX_LINES, section=_SECTION)
    return lines


def _parse_line(text: str) -> Line | None:
    kind, equals, value = text[:1], text[1:2], text[2:]
    return Line(kind, value.strip()) if equals == "=" and kind.isascii() and kind.isalpha() else None
