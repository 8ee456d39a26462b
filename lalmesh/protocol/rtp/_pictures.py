"""NALUs put together to access units: where one ends, and whether all of it is there (RFC 6184 §5.1; RFC 7798 §4.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lalmesh.codec.nalu import MAX_NALUS_PER_ACCESS_UNIT
from lalmesh.protocol.rtp._depacketizer import MAX_UNIT_BYTES, DepacketizerCounters

MAX_AHEAD: Final = 64  #: NALUs before the first slice that are kept: parameter sets and SEI are a handful


@dataclass(slots=True)
class Picture:
    """The NALUs of one access unit, whole."""

    timestamp: int
    nalus: list[bytes]
    after_loss: bool


class PictureAssembler:
    """Collects NALUs until the marker bit, or the next timestamp, ends a picture.

    Dropped are pictures of which something is missing: a fragment, a packet between others of the same picture, the end (no marker
    before a loss) or the begin (behind a loss, the first slice is not the first of its picture). Whole slices of such a picture
    are dropped with it: a decoder would show grey, or the wrong place, where the others are missing.

    NALUs without a slice among them, such as parameter sets with a marker or a timestamp of their own, go to the next picture.
    """

    def __init__(
        self,
        is_slice: Callable[[bytes], bool],
        begins: Callable[[bytes], bool],
        counters: DepacketizerCounters,
        *,
        trusts_marker: bool = True,
    ) -> None:
        """Start in the middle of a stream.

        Args:
            is_slice: tells NALUs that hold a part of a picture.
            begins: tells the first of those of each picture.
            counters: where to count what is dropped.
            trusts_marker: whether the marker ends a picture; else only the next timestamp does.
        """
        self._is_slice = is_slice
        self._begins = begins
        self._counters = counters
        self._trusts_marker = trusts_marker
        self._nalus: list[bytes] = []
        self._size = 0
        self._timestamp = 0
        self._has_slice = False  # or had one of which a part is missing
        self._is_broken = False  # something of what is collected is missing
        self._is_unsure = True  # the next first slice has to tell whether the begin of its picture is missing
        self._after_loss = False  # something is missing since the last picture that was given
        self._marked: int | None = None  # timestamp of the last picture that a marker ended

    def add(self, nalu: bytes, timestamp: int) -> Picture | None:
        """Take the next NALU of the picture at `timestamp`; the picture before it, where nothing else has ended that."""
        ended = self.move_to(timestamp)
        if self._is_slice(nalu):
            self._begin(whole=self._begins(nalu))
        elif not self._has_slice and len(self._nalus) >= MAX_AHEAD:
            self._counters.ignored += 1
            return ended
        if len(self._nalus) >= MAX_NALUS_PER_ACCESS_UNIT or self._size + len(nalu) > MAX_UNIT_BYTES:
            self._is_broken = True
        else:
            self._nalus.append(nalu)
            self._size += len(nalu)
        return ended

    def move_to(self, timestamp: int) -> Picture | None:
        """What comes next belongs to the picture at `timestamp`; the picture before it, where nothing else has ended that."""
        ended = self._end() if self._has_slice and timestamp != self._timestamp else None
        self._timestamp = timestamp
        return ended

    def mark_broken(self) -> None:
        """A NALU of the picture at hand could not be put together."""
        self._begin(whole=False)
        self._is_broken = True

    def marker(self) -> Picture | None:
        """The packet at hand is marked as the last of its picture; that picture."""
        if not (self._trusts_marker and self._has_slice):
            return None
        self._marked = self._timestamp
        return self._end()

    def lost(self) -> None:
        """Packets are missing here: of the picture at hand if there is one, and perhaps the begin of the next."""
        self._after_loss = self._is_unsure = True
        self._is_broken = self._is_broken or self._has_slice

    def flush(self) -> Picture | None:
        """The picture at hand, as nothing more comes."""
        return self._end() if self._has_slice else None

    def _begin(self, *, whole: bool) -> None:
        """The first slice of a picture, if it is that; `whole`: as far as it tells, nothing is missing before it."""
        if self._has_slice:
            return
        self._has_slice = True
        if self._timestamp == self._marked:
            # Interop: some encoders mark each slice, or each field. From now on only the next timestamp ends a picture.
            self._trusts_marker = False
            self._counters.unmarked_ends += 1
            self._is_unsure = True
        self._is_broken = self._is_broken or (self._is_unsure and not whole)
        self._is_unsure = False

    def _end(self) -> Picture | None:
        picture = Picture(self._timestamp, self._nalus, self._after_loss)
        is_broken = self._after_loss = self._is_broken
        self._nalus, self._size = [], 0
        self._has_slice = self._is_broken = False
        if is_broken:
            self._counters.broken_units += 1
            return None
        return picture
