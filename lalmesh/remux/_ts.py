"""Packagers of HTTP-TS and WebSocket-TS."""

from __future__ import annotations

from lalmesh.container.mpegts import TsMuxer, carries_track
from lalmesh.media import AccessUnit, Codec, Kind, Track, TrackSet
from lalmesh.remux._packager import Parts
from lalmesh.remux._websocket import binary_message, close_message


class TsPackager:
    """MPEG-TS as it goes over HTTP: whole packets, one run of them a unit.

    The muxer writes its tables itself: before each random access point of video, before a changed track set, and in between. So
    nothing has to be told of a change, and all players share one set of continuity counters.
    """

    def __init__(self) -> None:
        """Start with no table written."""
        self._muxer = TsMuxer()

    def start(self, tracks: TrackSet, dts: int) -> bytes:
        """The tables that the unit at `dts` needs before it; nothing where players begin at pictures that bring their own."""
        lead = tracks.first(Kind.VIDEO)
        return b"" if lead is not None and carries_track(lead) else self._muxer.tables_for(tracks, dts)

    def change(self, old: TrackSet, new: TrackSet, dts: int, parts: Parts) -> int:
        """Nothing: the first unit of `new` brings the new tables."""
        return 0

    def end(self, tracks: TrackSet, dts: int, parts: Parts) -> int:
        """Nothing: a transport stream ends with its last packet."""
        return 0

    def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        """Add the packets of one unit to `parts`. Gives the bytes added, 0 where TS cannot carry it."""
        return self._muxer.mux(unit, tracks, parts)

    def left_out(self, tracks: TrackSet) -> tuple[Track, ...]:
        """The tracks that TS cannot carry: because of their codec, or of their configuration."""
        return tuple(track for track in tracks.tracks if track.codec is not Codec.SCRIPT and not carries_track(track))

    def accepts(self, old: TrackSet, new: TrackSet) -> bool:
        """Always: tables may change."""
        return True


class WebSocketTsPackager(TsPackager):
    """The same in WebSocket messages, one a unit."""

    def start(self, tracks: TrackSet, dts: int) -> bytes:
        """The tables, where they are needed, in a message of their own."""
        return binary_message(super().start(tracks, dts))

    def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        """Add one message with the packets of one unit to `parts`. Gives the bytes added, 0 where TS cannot carry it."""
        at = len(parts)
        parts.append(b"")
        return close_message(parts, at, super().package(unit, tracks, parts))
