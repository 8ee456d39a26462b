"""A stream as the formats get it that cannot carry G.711: the same, with AAC in its place."""

from __future__ import annotations

from dataclasses import replace

from lalmesh.remux import Transcoder
from lalmesh.runtime.ring import Ring, RingLimits, Run

PUBLICATION = b""  #: the units are numbered here, over all publications: there are not as many as came


class Conversion:
    """The converted units of one stream, and the ring that a new fan-out starts from."""

    def __init__(self, limits: RingLimits) -> None:
        """Start; units come through `convert`."""
        self.ring = Ring(limits)
        self._transcoder = Transcoder()
        self._next_seq = 0

    def convert(self, run: Run) -> Run | None:
        """What comes of a run; None where nothing does yet, since a frame of AAC takes several units.

        Raises:
            UnsupportedError: it cannot be converted, nor can what follows.
        """
        tracks, units = self._transcoder.transcode(run.tracks, run.units)
        if not units:
            return None
        first = self._next_seq
        self._next_seq += len(units)
        numbered = [replace(unit, seq=seq) for seq, unit in enumerate(units, first)]
        converted = Run(run.epoch, PUBLICATION, tracks, numbered, run.place)
        self.ring.append(converted)
        return converted
