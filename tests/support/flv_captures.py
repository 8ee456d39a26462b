"""The units of the captures below `tests/captures/flv`: real frames of every codec, for muxers to be tried with."""

from __future__ import annotations

import functools
from pathlib import Path

from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.media import AccessUnit, Kind, TrackSet

FOLDER = Path(__file__).resolve().parents[1] / "captures" / "flv"


@functools.cache
def capture(name: str) -> tuple[TrackSet, tuple[AccessUnit, ...]]:
    """The audio and video tracks of a capture at its end, and their units in order."""
    demuxer = BodyDemuxer()
    events = [
        event
        for tag in TagReader().feed((FOLDER / f"{name}.flv").read_bytes())
        for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)
    ]
    tracks = tuple(track for track in demuxer.tracks.tracks if track.kind is not Kind.DATA)
    ids = {track.track_id for track in tracks}
    return TrackSet(tracks), tuple(one for one in events if isinstance(one, AccessUnit) and one.track_id in ids)
