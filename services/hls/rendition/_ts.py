"""Segments of MPEG-TS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lalmesh.container import mpegts
from lalmesh.errors import LalmeshError
from lalmesh.media import AccessUnit, Track
from lalmesh.protocol.hls import PlaylistWindow
from lalmesh.runtime.ownership import Epoch
from services.hls.cuts import PartClosed, SegmentBegun
from services.hls.rendition._files import Format
from services.hls.rendition._rendition import Rendition


class TsRendition(Rendition):
    """Segments of MPEG-TS in a playlist of version 3. Each begins with PAT and PMT."""

    format = Format.TS
    _suffix = "ts"

    def __init__(self, epoch: Epoch, list_size: int, restored: Mapping[str, Any] | None, *, goes_on: bool) -> None:
        """See `Rendition`."""
        super().__init__(epoch, list_size, restored, goes_on=goes_on)
        self._muxer = mpegts.TsMuxer(resume=_continuity(restored))
        self._parts: list[bytes | memoryview] = []

    def to_state(self) -> dict[str, Any]:
        """See `Rendition.to_state`."""
        return {"window": self.window.to_state() if self.window else None, "continuity": self._muxer.continuity.to_state()}

    def _start_segment(self, begun: SegmentBegun, window: PlaylistWindow) -> None:
        self._muxer.begin_segment()
        self._parts = []
        window.begin_segment(program_date_time_us=begun.program_date_time_us, discontinuity=begun.discontinuity)

    def _mux(self, unit: AccessUnit) -> None:
        self._muxer.mux(unit, self.tracks, self._parts)

    def _close_part(self, closed: PartClosed) -> None:
        """A playlist of version 3 has no parts."""

    def _take_segment(self) -> bytes:
        data, self._parts = b"".join(self._parts), []
        return data

    def _carries(self, track: Track) -> bool:
        return mpegts.carries_track(track)

    @property
    def _first_hint(self) -> str:
        return ""


def _continuity(restored: Mapping[str, Any] | None) -> mpegts.Continuity | None:
    try:
        return mpegts.Continuity.from_state(restored["continuity"]) if restored else None
    except (LalmeshError, KeyError):
        return None
