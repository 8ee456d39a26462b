"""Byte ranges: what a client asks for, and what it gets (RFC 9110 §14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGES = re.compile(r"\s*bytes\s*=\s*(.*?)\s*", re.ASCII | re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"(\d*)\s*-\s*(\d*)", re.ASCII)
MAX_DIGITS = 18  #: of a position: no file is larger


@dataclass(slots=True, frozen=True)
class ByteRange:
    """Bytes `start` up to but not including `end`."""

    start: int
    end: int


@dataclass(slots=True, frozen=True)
class Unsatisfiable:
    """No byte of the range exists: status 416 (RFC 9110 §15.5.17)."""


@dataclass(slots=True, frozen=True)
class RangeAnswer:
    """How a request is answered."""

    status: int  #: 200, 206 or 416
    start: int
    end: int  #: not included; `start` where nothing is sent
    headers: dict[str, str]


def parse_range(header: str, size: int) -> ByteRange | Unsatisfiable | None:
    """What of `size` bytes the ``Range`` field `header` asks for.

    None: the whole, since there is no such field, or one that has to be or may be passed over: malformed, of another unit, or of
    several ranges, which a server need not give apart.

    Source: RFC 9110 §14.1.2, §14.2
    """
    ranges = _RANGES.fullmatch(header)
    if ranges is None or (found := _RANGE.fullmatch(ranges[1])) is None:
        return None
    first, last = found[1], found[2]
    if max(len(first), len(last)) > MAX_DIGITS or not (first or last):
        return None
    if not first:
        return ByteRange(max(0, size - int(last)), size) if int(last) and size else Unsatisfiable()
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        return Unsatisfiable()
    return ByteRange(int(first), min(size, int(last) + 1) if last else size)


def answer_range(header: str, size: int, *, entity_tag: str = "", if_range: str = "") -> RangeAnswer:
    """Status, bytes and fields for a request of something of `size` bytes.

    Args:
        header: the ``Range`` field, empty where there is none.
        size: of the whole.
        entity_tag: of what there is now, strong, with its quotes.
        if_range: the ``If-Range`` field; where it names another entity tag, or a date, the whole is sent.
    Source: RFC 9110 §13.1.5, §14.4, §15.3.7
    """
    fields = {"Accept-Ranges": "bytes"} | ({"ETag": entity_tag} if entity_tag else {})
    asked = None if if_range and if_range.strip() != entity_tag else parse_range(header, size)
    match asked:
        case None:
            return RangeAnswer(200, 0, size, fields)
        case Unsatisfiable():
            return RangeAnswer(416, 0, 0, {**fields, "Content-Range": f"bytes */{size}"})
        case ByteRange(start, end):
            return RangeAnswer(206, start, end, {**fields, "Content-Range": f"bytes {start}-{end - 1}/{size}"})
