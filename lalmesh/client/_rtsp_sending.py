"""The media of an RTSP publisher: tracks to a description, FLV tags to packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lalmesh.client._rtsp_media import RandomBytes, Report, RtspMedia, Wanted
from lalmesh.container.flv import BodyDemuxer
from lalmesh.errors import UnsupportedError
from lalmesh.media import AccessUnit, MediaEvent, TracksChanged, TrackSet
from lalmesh.protocol.rtsp import Announced, Described, RtspUrl, resolve_control
from lalmesh.remux import RtpStream


@dataclass(slots=True, frozen=True)
class Packets:
    """What leaves together."""

    track: int  #: index of it
    packets: list[bytes]
    is_rtcp: bool = False


class RtspSending(RtspMedia):
    """Publishes the tracks that it is told of at the beginning, as far as RTP carries them."""

    def __init__(self, tracks: TrackSet, random_bytes: RandomBytes) -> None:
        """Describe `tracks`; what begins later is left out.

        Raises:
            UnsupportedError: RTP carries none of them.
        """
        self._demuxer = BodyDemuxer()
        self._tracks = tracks
        self._stream = RtpStream(tracks, random_bytes)

    @property
    def description(self) -> bytes:
        """As `RtspMedia.description`."""
        return self._stream.sdp

    def wanted(self, event: Described | Announced, url: RtspUrl) -> Wanted:
        """As `RtspMedia.wanted`."""
        return Wanted(tuple(resolve_control(str(url), control) for control in self._stream.controls))

    def set_up(self, track: int, *, is_udp: bool) -> None:
        """As `RtspMedia.set_up`: nothing has to be known of the way."""

    def receive(self, track: int, data: bytes, now_us: int, *, is_rtcp: bool) -> None:
        """As `RtspMedia.receive`: what a server reports changes nothing here."""

    def flush(self, now_us: int) -> None:
        """As `RtspMedia.flush`: nothing waits here."""

    def goodbyes(self) -> list[Report]:
        """As `RtspMedia.goodbyes`."""
        return [Report(track, data) for track, data in self._stream.goodbyes()]

    def package(self, type_id: int, timestamp_ms: int, body: bytes, wall_us: int) -> Iterator[Packets]:
        """Iterate over what a tag becomes, in order: packets of its track, reports of all tracks before some.

        Args:
            type_id: 8 audio, 9 video, 18 script data, of which RTSP carries nothing.
            timestamp_ms: low 32 bits of the time.
            body: of the tag.
            wall_us: Unix time in µs.

        Raises:
            RemoteProtocolError: it is malformed.
            UnsupportedError: it changes a track in a way that the description does not allow.
        """
        for event in self._demuxer.demux(type_id, timestamp_ms, body):
            yield from self._packets(event, wall_us)

    def _packets(self, event: MediaEvent, wall_us: int) -> Iterator[Packets]:
        if isinstance(event, TracksChanged):
            self._follow(event.tracks)
        elif isinstance(event, AccessUnit):
            event.wall_us = wall_us
            yield from self._packed(event)

    def package_unit(self, unit: AccessUnit, tracks: TrackSet) -> Iterator[Packets]:
        """Iterate over what a unit under `tracks` becomes, as `package` does; its wall clock is its own.

        Raises:
            UnsupportedError: `tracks` do not go on under the description.
        """
        if tracks is not self._tracks:
            if not self._stream.describes(tracks):
                raise UnsupportedError("a change of tracks in RTSP, whose description cannot change")
            self._tracks = tracks
        yield from self._packed(unit)

    def _packed(self, unit: AccessUnit) -> Iterator[Packets]:
        burst = self._stream.package(unit, self._tracks)
        if burst is not None:
            yield from (Packets(track, [data], is_rtcp=True) for track, data in burst.reports)
            yield Packets(burst.track_index, burst.packets)

    def _follow(self, tracks: TrackSet) -> None:
        """Let announced tracks go on under the configuration that they have in `tracks`."""
        for track in tracks.tracks:
            if self._tracks.get(track.track_id) is not None:
                self._tracks = self._tracks.with_latest(track)
        if not self._stream.describes(self._tracks):
            raise UnsupportedError("a change of codec in RTSP, whose description cannot change")
