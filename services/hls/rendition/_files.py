"""What renditions are made of, and what they make."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Format(Enum):
    """The containers that segments come in."""

    TS = "ts"  #: MPEG-TS: any player
    FMP4 = "fmp4"  #: fragmented MP4 in parts: low latency, newer codecs


@dataclass(slots=True, frozen=True)
class MadeFile:
    """A file that playlists list from now on."""

    name: str
    data: bytes
    number: int  #: of the segment that it is (part of), or that is the first to need it
    stored: bool  #: whether it goes to storage: parts do not, their segment does
