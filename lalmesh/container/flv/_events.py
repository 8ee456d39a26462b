"""What the demuxers of one publisher share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from lalmesh.codec import build_track
from lalmesh.errors import LimitExceeded, UnsupportedError
from lalmesh.media import Codec, MediaCounters, MediaEvent, Track, TracksChanged, TrackSet, Unwrapper

MAX_CONFIGURATION_BYTES = 64 << 10  #: of one codec; with every parameter set and SEI that encoders write it is below 4 KiB


class UnsupportedCodec(UnsupportedError):
    """A codec, or a kind of its configuration, that is not implemented."""


@contextlib.contextmanager
def reading_configuration() -> Iterator[None]:
    """Whatever is not supported in this context speaks of the codec."""
    try:
        yield
    except UnsupportedError as error:
        raise UnsupportedCodec(error.what) from error


class Stream:
    """The tracks, the clock and the counters of one publisher."""

    def __init__(self) -> None:
        """Start without tracks."""
        self.tracks = TrackSet()
        self.unwrap = Unwrapper(32).unwrap
        self.counters = MediaCounters()

    def configure(
        self,
        track_id: int,
        codec: Codec,
        configuration: bytes = b"",
        *,
        sample_rate_hz: int = 0,
        channels: int = 0,
        video_metadata: bytes = b"",
    ) -> list[MediaEvent]:
        """Let the track be of `codec` under `configuration`; no event where it already is.

        Raises:
            RemoteProtocolError: the configuration is malformed.
            LimitExceeded: it is over `MAX_CONFIGURATION_BYTES`.
            UnsupportedCodec: it is of a kind that is not implemented.
        """
        if len(configuration) > MAX_CONFIGURATION_BYTES:
            raise LimitExceeded(f"{codec.value} configuration size", len(configuration), MAX_CONFIGURATION_BYTES)
        with reading_configuration():
            track = build_track(track_id, codec, configuration, sample_rate_hz=sample_rate_hz, channels=channels)
        return self.replace(replace(track, video_metadata=video_metadata) if video_metadata else track)

    def replace(self, track: Track) -> list[MediaEvent]:
        """Let `track` follow the one of its id, with the next version; no event where it is the same."""
        before, self.tracks = self.tracks, self.tracks.with_latest(track)
        return [] if self.tracks is before else [TracksChanged(self.tracks)]
