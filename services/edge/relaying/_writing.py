"""From the units of a stream to what a target takes: messages of FLV for RTMP, the units themselves for RTSP."""

from __future__ import annotations

from typing import Protocol

from lalmesh.client import ClientOptions, RtmpPublisher, RtspPublisher
from lalmesh.container.flv import BodyMuxer, carries
from lalmesh.media import Codec, Track, TrackSet
from lalmesh.remux import FlvMessages, rtp_tracks
from lalmesh.runtime.ring import Run


class Writer(Protocol):
    """Sends the units of one stream to one target, once its publisher is entered."""

    @property
    def publisher(self) -> RtmpPublisher | RtspPublisher:
        """The connection."""
        ...

    def send(self, run: Run) -> int:
        """Send units. Gives the bytes.

        Raises:
            LalmeshError: what ended the connection, or tracks that the target cannot be told of.
        """
        ...


class RtmpWriter:
    """To RTMP or RTMPS."""

    def __init__(self, url: str, options: ClientOptions, muxer: BodyMuxer) -> None:
        """Publish to `url`; `muxer` writes the bodies."""
        self.publisher = RtmpPublisher(url, options)
        self._messages = FlvMessages(muxer)

    def send(self, run: Run) -> int:
        """As `Writer.send`."""
        size = 0
        for type_id, timestamp_ms, prefix, payload in self._messages.messages(run.units, run.tracks):
            self.publisher.send(type_id, timestamp_ms, prefix, payload)
            size += len(prefix) + len(payload)
        return size


class RtspWriter:
    """To RTSP or RTSPS. What is announced at the beginning holds to the end: other tracks need another connection."""

    def __init__(self, url: str, options: ClientOptions, tracks: TrackSet) -> None:
        """Publish `tracks` to `url`."""
        self.publisher = RtspPublisher(url, tracks, options)

    def send(self, run: Run) -> int:
        """As `Writer.send`."""
        for unit in run.units:
            self.publisher.send_unit(unit, run.tracks)
        return sum(len(unit.payload) for unit in run.units)


def is_rtsp(url: str) -> bool:
    """Whether the target speaks RTSP."""
    return url.partition(":")[0].lower() in ("rtsp", "rtsps")


def left_out_by_flv(tracks: TrackSet) -> tuple[Track, ...]:
    """The tracks that RTMP does not carry."""
    return tuple(track for track in tracks.tracks if track.codec is not Codec.SCRIPT and not carries(track.codec))


def left_out_by_rtp(tracks: TrackSet) -> tuple[Track, ...]:
    """The tracks that RTSP does not carry."""
    carried = {track.track_id for track in rtp_tracks(tracks)}
    return tuple(track for track in tracks.tracks if track.codec is not Codec.SCRIPT and track.track_id not in carried)
