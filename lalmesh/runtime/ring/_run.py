"""What is read from a ring, and travels over links."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.media import AccessUnit, Codec, Kind, TrackSet
from lalmesh.runtime.ownership import NO_PLACE, Epoch, Place

NO_TRACK = -1


@dataclass(slots=True)
class Run:
    """Consecutive access units of one publication under one track set, at least one."""

    epoch: Epoch
    publication: bytes
    tracks: TrackSet
    units: list[AccessUnit]
    place: Place = NO_PLACE  #: of the group that they come from
    missing: int = 0  #: units directly before these that are known to be lost: an announced hole

    @property
    def first_seq(self) -> int:
        """The number of the first unit."""
        return self.units[0].seq


def configuration_bytes(tracks: TrackSet) -> int:
    """What tracks are made of, in memory and as they travel, but for a few numbers each."""
    return sum([len(track.configuration) + len(track.video_metadata) for track in tracks.tracks])


def join_track(tracks: TrackSet) -> int:
    """The track at whose random access points a player may join: the first of video, else of audio, else one that is passed on."""
    opaque = (track for track in tracks.tracks if track.codec is Codec.OPAQUE)
    track = tracks.first(Kind.VIDEO) or tracks.first(Kind.AUDIO) or next(opaque, None)
    return track.track_id if track else NO_TRACK
