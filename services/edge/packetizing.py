"""A stream as the formats of RTP get it: the same units, each with its packets in place of its payload."""

from __future__ import annotations

from dataclasses import replace

from lalmesh.media import AccessUnit, Kind, TrackSet
from lalmesh.remux import RtpStream, rtp_frames
from lalmesh.runtime.ring import Ring, RingLimits, Run


class Packetizing:
    """The packets of one stream, made once, and the ring that a new fan-out starts from."""

    def __init__(self, stream: RtpStream, limits: RingLimits, units: Ring) -> None:
        """Begin with what `units` has, under all of its tracks, as the description has; the next come through `convert`."""
        self.stream = stream
        self.ring = Ring(limits)
        joined = units.join_position()
        for run in units.runs(joined) if joined is not None else ():
            self.convert(under_all_tracks(run, units.tracks))

    def convert(self, run: Run) -> Run:
        """A run whose payloads are frames of `lalmesh.remux.rtp_frames`, empty where nothing goes out for the unit."""
        package, tracks = self.stream.package, run.tracks
        units = [
            AccessUnit(
                unit.track_id, unit.dts, unit.cts, unit.random_access, rtp_frames(package(unit, tracks)), unit.seq, unit.wall_us
            )
            for unit in run.units
        ]
        packets = replace(run, units=units)
        self.ring.append(packets)
        return packets


def under_all_tracks(run: Run, tracks: TrackSet) -> Run:
    """The run under `tracks`, where those only add to its own: who can be told of tracks once is told of all from its start."""
    own = (track for track in run.tracks.tracks if track.kind is not Kind.DATA)
    return replace(run, tracks=tracks) if all(track in tracks.tracks for track in own) else run
