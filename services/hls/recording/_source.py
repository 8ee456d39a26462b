"""What a file has to agree with: one publication, under one configuration of the tracks that the format carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lalmesh.media import AccessUnit, Kind, Track, TrackSet
from lalmesh.runtime.ring import NO_TRACK, Run, join_track

MEDIA = frozenset((Kind.VIDEO, Kind.AUDIO))


@dataclass(slots=True)
class Source:
    """Where units come from."""

    publication: bytes
    tracks: TrackSet  #: that the format carries
    whole: TrackSet  #: as the publication has it: the object tells quickly that nothing changed
    left_out: tuple[str, ...]  #: codecs of picture and sound that the format does not carry
    lead_id: int  #: track at whose random access points files begin
    kinds: frozenset[Kind]  #: of picture and sound, what is carried
    settled: bool = False  #: a file of it was begun: what tracks there are is known

    @classmethod
    def of(cls, run: Run, carries: Callable[[Track], bool]) -> Source:
        """The source of `run`, in a format that `carries` what it says."""
        carried = tuple(track for track in run.tracks.tracks if carries(track))
        left_out = tuple(track.codec.value for track in run.tracks.tracks if track.kind in MEDIA and track not in carried)
        tracks = TrackSet(carried, run.tracks.version)
        kinds = frozenset(track.kind for track in carried) & MEDIA
        return cls(run.publication, tracks, run.tracks, left_out, join_track(tracks) if kinds else NO_TRACK, kinds)

    def is_of(self, run: Run) -> bool:
        """Whether nothing has changed since."""
        return run.tracks is self.whole and run.publication == self.publication

    def is_configured_as(self, other: Source) -> bool:
        """Whether picture and sound are the same; what script data says may change within a file."""
        return self._media() == other._media()

    def grows_into(self, other: Source) -> bool:
        """Whether picture and sound are the same there, and others came to them."""
        return all(track in other._media() for track in self._media())

    def is_media(self, unit: AccessUnit) -> bool:
        """Whether the unit is of a picture or a sound that is carried."""
        track = self.tracks.get(unit.track_id)
        return track is not None and track.kind in MEDIA

    def _media(self) -> list[Track]:
        return [replace(track, version=0) for track in self.tracks.tracks if track.kind in MEDIA]
