"""The names of the files that a playlist lists: ``{term}.{revision}-...``, the epoch of their writer first.

A successor writes under a higher epoch, so a name is never used for two contents. Each file has one spelling: decimal digits of
ASCII, no sign, no leading zero.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from lalmesh.errors import RemoteProtocolError

MAX_EPOCH_NUMBER = (1 << 63) - 1  #: term and revision are signed 64-bit numbers in the registry
MAX_MEDIA_SEQUENCE = (1 << 53) - 1  #: players keep the number in a JavaScript number, exact up to here
MAX_PART_INDEX = 9_999  #: a segment of an hour in parts of 360 ms
MAX_INIT_INDEX = 999_999  #: one for each configuration of the stream under one owner
MAX_NAME_CHARS = 100  #: the longest name that the bounds above allow has 72

_NUMBER = "0|[1-9][0-9]{0,18}"
_EPOCH = rf"(?P<term>{_NUMBER})\.(?P<revision>{_NUMBER})"
_SEGMENT = re.compile(rf"{_EPOCH}-(?P<number>{_NUMBER})\.(?P<suffix>ts|m4s)")
_PART = re.compile(rf"{_EPOCH}-(?P<number>{_NUMBER})\.(?P<part>{_NUMBER})\.m4s")
_INIT = re.compile(rf"{_EPOCH}-init(?P<index>{_NUMBER})\.mp4")


@dataclass(slots=True, frozen=True)
class SegmentName:
    """A whole media segment: ``{term}.{revision}-{number}.ts`` or ``.m4s``."""

    term: int  #: of its writer's epoch, 0..`MAX_EPOCH_NUMBER`
    revision: int  #: of its writer's epoch, 0..`MAX_EPOCH_NUMBER`
    number: int  #: media sequence number, 0..`MAX_MEDIA_SEQUENCE`
    suffix: str  #: ``ts`` or ``m4s``

    def __str__(self) -> str:
        """The name as it stands in URLs and in storage."""
        return f"{self.term}.{self.revision}-{self.number}.{self.suffix}"


@dataclass(slots=True, frozen=True)
class PartName:
    """A partial segment: ``{term}.{revision}-{number}.{part}.m4s``."""

    term: int  #: of its writer's epoch, 0..`MAX_EPOCH_NUMBER`
    revision: int  #: of its writer's epoch, 0..`MAX_EPOCH_NUMBER`
    number: int  #: media sequence number of its segment, 0..`MAX_MEDIA_SEQUENCE`
    part: int  #: index in its segment, 0..`MAX_PART_INDEX`

    def __str__(self) -> str:
        """The name as it stands in URLs and in storage."""
        return f"{self.term}.{self.revision}-{self.number}.{self.part}.m4s"


@dataclass(slots=True, frozen=True)
class InitName:
    """A media initialization section: ``{term}.{revision}-init{index}.mp4``."""

    term: int  #: of its writer's epoch, 0..`MAX_EPOCH_NUMBER`
    revision: int  #: of its writer's epoch, 0..`MAX_EPOCH_NUMBER`
    index: int  #: counts the configurations that the writer saw, 0..`MAX_INIT_INDEX`

    def __str__(self) -> str:
        """The name as it stands in URLs and in storage."""
        return f"{self.term}.{self.revision}-init{self.index}.mp4"


FileName: TypeAlias = SegmentName | PartName | InitName  #: every file that a playlist lists


def parse_file_name(text: str) -> FileName:
    """The file that `text` names; ``str()`` of it is `text` again.

    Raises:
        RemoteProtocolError: it names none, or a number in it is over its bound.
    """
    if len(text) <= MAX_NAME_CHARS:
        if match := _SEGMENT.fullmatch(text):
            return SegmentName(*_epoch(match), _number(match, "number", MAX_MEDIA_SEQUENCE), match["suffix"])
        if match := _PART.fullmatch(text):
            number = _number(match, "number", MAX_MEDIA_SEQUENCE)
            return PartName(*_epoch(match), number, _number(match, "part", MAX_PART_INDEX))
        if match := _INIT.fullmatch(text):
            return InitName(*_epoch(match), _number(match, "index", MAX_INIT_INDEX))
    raise RemoteProtocolError(f"{text[:MAX_NAME_CHARS]!r} is the name of no segment, part or initialization section")


def _epoch(match: re.Match[str]) -> tuple[int, int]:
    return _number(match, "term", MAX_EPOCH_NUMBER), _number(match, "revision", MAX_EPOCH_NUMBER)


def _number(match: re.Match[str], group: str, limit: int) -> int:
    value = int(match[group])
    if value > limit:
        raise RemoteProtocolError(f"{group} {value} in a file name, limit {limit}")
    return value
