"""A stream as segments can hold it: G.711, which no container of HLS carries, becomes AAC where that can be done here."""

from __future__ import annotations

from lalmesh.media import AccessUnit
from lalmesh.remux import Transcoder, can_transcode, needs_transcoding
from lalmesh.runtime.ring import Run


class Conversion:
    """Converts the runs of one stream. Units keep the names of those that they come of, so that a successor finds its place."""

    def __init__(self, *, enabled: bool = True) -> None:
        """Convert nothing until there is something to convert; nothing at all where it is not `enabled`."""
        self._enabled = enabled
        self._transcoder: Transcoder | None = None
        self._missing = 0  # before the next unit that is given

    def convert(self, run: Run) -> Run | None:
        """What comes of a run, None where nothing does yet; a run without G.711 is given as it is."""
        if not (self._enabled and needs_transcoding(run.tracks) and can_transcode()):
            return run
        if self._transcoder is None:
            self._transcoder = Transcoder()
        tracks, units = run.tracks, list[AccessUnit]()
        for unit in run.units:
            tracks, made = self._transcoder.transcode(run.tracks, (unit,))
            for one in made:
                one.seq, one.wall_us = unit.seq, unit.wall_us
            units += made
        missing, self._missing = self._missing + run.missing, 0
        if not units:
            self._missing = missing
            return None
        return Run(run.epoch, run.publication, tracks, units, run.place, missing)
