"""NALUs that were sent out of decoding order, put back by their decoding order numbers (RFC 6184 §7.2.2; RFC 7798 §6)."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import Final

from lalmesh.media import Unwrapper
from lalmesh.protocol.rtp._depacketizer import MAX_UNIT_BYTES

MAX_DEPTH: Final = 1024  #: NALUs held back; with slices of 1200 bytes some 1.2 MB


@dataclass(slots=True, order=True)
class TimedNalu:
    """A NALU with its RTP timestamp, which sort by decoding order."""

    don: int  #: unwrapped
    timestamp: int = field(compare=False)
    nalu: bytes = field(compare=False)


class Deinterleaver:
    """Holds back the last `depth` NALUs, and gives the first of them in decoding order when one more comes.

    Those held back are together no larger than an access unit may be, whatever `depth` allows.
    """

    def __init__(self, depth: int) -> None:
        """Hold back `depth` NALUs (sprop-interleaving-depth, sprop-depack-buf-nalus), at most `MAX_DEPTH`."""
        self._depth = min(depth, MAX_DEPTH)
        self._held: list[TimedNalu] = []
        self._held_bytes = 0
        self._unwrap = Unwrapper(16).unwrap

    def push(self, don: int, timestamp: int, nalu: bytes) -> list[TimedNalu]:
        """Take a NALU with its decoding order number (16 bits); those that are next, if there is enough."""
        insort(self._held, TimedNalu(self._unwrap(don), timestamp, nalu))
        self._held_bytes += len(nalu)
        given: list[TimedNalu] = []
        while len(self._held) > self._depth or self._held_bytes > MAX_UNIT_BYTES:
            given.append(self._held.pop(0))
            self._held_bytes -= len(given[-1].nalu)
        return given

    def flush(self) -> list[TimedNalu]:
        """All that is held back, in decoding order."""
        held, self._held, self._held_bytes = self._held, [], 0
        return held
