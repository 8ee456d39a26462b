"""Runs as they travel: `lalmesh.runtime.ring.Run` to and from `lalmesh.v1.Run`."""

from __future__ import annotations

from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.media import AccessUnit, TrackSet
from lalmesh.rpc.convert import parse_epoch, parse_place, parse_track_set, serialize_track_set
from lalmesh.rpc.lalmesh.v1 import media_pb2
from lalmesh.runtime import telemetry
from lalmesh.runtime.ownership import PUBLICATION_BYTES
from lalmesh.runtime.ring import Run

MAX_UNITS_PER_RUN = 65_536  #: a batch of 16 MiB of the smallest audio frames stays below


class RunEncoder:
    """Write the runs of one stream; tracks, and the trace of the publication, go along where they differ from those before."""

    __slots__ = ("_publication", "tracks")

    def __init__(self) -> None:
        """Start with a receiver that knows nothing."""
        self.tracks: TrackSet | None = None  #: that the receiver has
        self._publication = b""

    def encode(self, run: Run, message: media_pb2.Run) -> int:
        """Fill `message` with `run`. Gives the payload bytes."""
        message.epoch.term, message.epoch.revision = run.epoch
        place = run.place
        message.place.term, message.place.revision, message.place.heir = place.term, place.revision, place.heir
        message.publication = run.publication
        first = run.units[0]
        message.first_seq = first.seq
        message.missing = run.missing
        message.wall_clock_us = wall_us = first.wall_us
        if run.tracks is not self.tracks:
            self.tracks = run.tracks
            message.tracks.CopyFrom(serialize_track_set(run.tracks))
        if run.publication != self._publication:
            self._publication = run.publication
            if (trace := telemetry.of_publication(run.publication)) is not None:
                message.traceparent = str(trace)
        add = message.units.add
        size = 0
        for unit in run.units:
            payload = unit.payload
            size += len(payload)
            add(
                track_id=unit.track_id,
                dts=unit.dts,
                cts=unit.cts,
                random_access=unit.random_access,
                payload=payload,
                wall_clock_offset_us=unit.wall_us - wall_us,
            )
        return size


class RunDecoder:
    """Read the runs of one stream back."""

    __slots__ = ("_tracks",)

    def __init__(self) -> None:
        """Start knowing nothing."""
        self._tracks: TrackSet | None = None

    def decode(self, message: media_pb2.Run) -> Run:
        """The run in `message`.

        Raises:
            RemoteProtocolError: no units, too many, a bad publication id, or no tracks yet.
        """
        if message.HasField("tracks"):
            self._tracks = parse_track_set(message.tracks)
        tracks = self._tracks
        if tracks is None:
            raise RemoteProtocolError("run before its tracks")
        if len(message.publication) != PUBLICATION_BYTES:
            raise RemoteProtocolError(f"publication id of {len(message.publication)} bytes")
        if message.traceparent:
            telemetry.remember_publication(message.publication, telemetry.TraceContext.parse(message.traceparent))
        count = len(message.units)
        if not count:
            raise RemoteProtocolError("run without units")
        if count > MAX_UNITS_PER_RUN:
            raise LimitExceeded("units in a run", count, MAX_UNITS_PER_RUN)
        seq, wall_us = message.first_seq, message.wall_clock_us
        units = [
            AccessUnit(
                unit.track_id,
                unit.dts,
                unit.cts,
                unit.random_access,
                unit.payload,
                seq + index,
                wall_us + unit.wall_clock_offset_us,
            )
            for index, unit in enumerate(message.units)
        ]
        epoch, place = parse_epoch(message.epoch), parse_place(message.place)
        return Run(epoch, message.publication, tracks, units, place, message.missing)
