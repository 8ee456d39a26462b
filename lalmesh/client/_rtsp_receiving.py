"""The media of an RTSP player: a description and packets in, FLV tags out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from lalmesh.client._rtsp_media import RandomBytes, Report, RtspMedia, Wanted
from lalmesh.container.flv import TAG_SCRIPT, BodyMuxer, Tag, carries
from lalmesh.errors import LocalProtocolError, RemoteProtocolError, UnsupportedError
from lalmesh.media import Track, TrackSet, ticks_to_ms
from lalmesh.protocol.rtp import (
    Depacketizer,
    PayloadFormat,
    ReceiverSettings,
    Timeline,
    TrackEvent,
    TrackReceiver,
    build_depacketizer,
    report_interval_s,
)
from lalmesh.protocol.rtsp import Announced, Described, RtspUrl, resolve_control
from lalmesh.protocol.sdp import MediaDescription, MediaFormat, parse_session

log = logging.getLogger(__name__)

MAX_TIME_MS: Final = 0xFFFFFFFF  #: of a tag: 32 bits
#: Below the bandwidth that any stream has: the interval of reports is then the least that is allowed, for any stream alike.
REPORT_BANDWIDTH_BPS: Final = 1_000_000
REPORT_BYTES: Final = 100  #: of a compound packet, headers of UDP and IP included
CNAME_BYTES: Final = 12  #: random (RFC 7022 §5)
SSRC_BYTES: Final = 4


@dataclass(slots=True, frozen=True)
class _Source:
    """A track of the description that can be played."""

    section: MediaDescription
    format: MediaFormat
    depacketizer: Depacketizer


@dataclass(slots=True)
class _Reception:
    """One track that is set up."""

    receiver: TrackReceiver
    ssrc: int  #: of ours, in reports
    report_us: int | None = None  #: when the next report is due; None: nothing came yet
    is_over: bool = False


class RtspReceiving(RtspMedia):
    """Plays the first video and the first audio track of a description that have a known format."""

    def __init__(self, settings: ReceiverSettings, random_bytes: RandomBytes, queue: MediaQueue | None = None) -> None:
        """Receive what comes by UDP under `settings`, into `queue`; None: as FLV tags into `tags`."""
        self._settings = settings
        self._random_bytes = random_bytes
        self._cname = random_bytes(CNAME_BYTES).hex()
        self._sources: list[_Source] = []
        self._receptions: dict[int, _Reception] = {}
        self._timeline = Timeline()
        self._tags = TagQueue()
        self._queue: MediaQueue = self._tags if queue is None else queue

    @property
    def tags(self) -> TagQueue:
        """What came."""
        return self._tags

    @property
    def untaken_bytes(self) -> int:
        """As `RtspMedia.untaken_bytes`."""
        return self._queue.size_bytes

    @property
    def is_over(self) -> bool:
        """As `RtspMedia.is_over`."""
        return bool(self._receptions) and all(reception.is_over for reception in self._receptions.values())

    def wanted(self, event: Described | Announced, url: RtspUrl) -> Wanted:
        """As `RtspMedia.wanted`."""
        if not isinstance(event, Described):
            raise LocalProtocolError("announced what is played", section="RFC 2326 §10.3")
        session = parse_session(event.description)
        self._sources = _playable(session.media)
        base = resolve_control(event.base_url, session.control)
        return Wanted(tuple(resolve_control(base, source.section.control) for source in self._sources), base)

    def set_up(self, track: int, *, is_udp: bool) -> None:
        """As `RtspMedia.set_up`. On a connection nothing comes out of order, so what is missing there is not waited for."""
        if track == 0:  # the first, or the first once more
            self._timeline = Timeline()
        source = self._sources[track]
        settings = self._settings
        if not is_udp:
            settings = ReceiverSettings(reorder_ms=0, drop_broken_gop=settings.drop_broken_gop)
        receiver = TrackReceiver(
            source.depacketizer,
            self._timeline.add(source.format.clock_rate_hz, leads=source.section.media == "video"),
            payload_type=source.format.payload_type,
            clock_rate_hz=source.format.clock_rate_hz,
            settings=settings,
        )
        self._receptions[track] = _Reception(receiver, int.from_bytes(self._random_bytes(SSRC_BYTES), "big"))
        if receiver.track is not None:
            self._queue.put(receiver.track)

    def receive(self, track: int, data: bytes, now_us: int, *, is_rtcp: bool) -> None:
        """As `RtspMedia.receive`."""
        reception = self._receptions.get(track)
        if reception is None:
            return
        if reception.report_us is None:
            reception.report_us = now_us + self._report_interval_us(is_first=True)
        if is_rtcp:
            reception.is_over |= reception.receiver.receive_rtcp(data, now_us)
        else:
            self._put(reception.receiver.receive(data, now_us))

    @property
    def next_timer_us(self) -> int | None:
        """As `RtspMedia.next_timer_us`."""
        timers = [time for one in self._receptions.values() for time in (one.receiver.next_timer, one.report_us)]
        return min((time for time in timers if time is not None), default=None)

    def handle_timer(self, now_us: int) -> list[Report]:
        """As `RtspMedia.handle_timer`: goes on without what was lost, and reports how tracks are received."""
        reports: list[Report] = []
        for track, reception in self._receptions.items():
            self._put(reception.receiver.handle_timer(now_us))
            if reception.report_us is not None and now_us >= reception.report_us:
                reports.append(self._report(track, now_us))
                reception.report_us = now_us + self._report_interval_us(is_first=False)
        return reports

    def greetings(self, now_us: int) -> list[Report]:
        """As `RtspMedia.greetings`: an empty report of each track, so that routers let in what comes to its RTCP port."""
        return [self._report(track, now_us) for track in self._receptions]

    def _report(self, track: int, now_us: int) -> Report:
        reception = self._receptions[track]
        return Report(track, reception.receiver.report(reception.ssrc, self._cname, now_us))

    def _report_interval_us(self, *, is_first: bool) -> int:
        """µs until the next report of a track: there are two of us, and the server sends."""
        interval_s = report_interval_s(
            members=2,
            senders=1,
            session_bandwidth_bps=REPORT_BANDWIDTH_BPS,
            is_sender=False,
            average_rtcp_bytes=REPORT_BYTES,
            is_first=is_first,
            randomness=self._random_bytes(1)[0] / 256,
        )
        return int(interval_s * 1_000_000)

    def flush(self, now_us: int) -> None:
        """As `RtspMedia.flush`."""
        for reception in self._receptions.values():
            self._put(reception.receiver.flush(now_us))

    def _put(self, events: Iterable[TrackEvent]) -> None:
        for event in events:
            self._queue.put(event)


class MediaQueue(Protocol):
    """Where what comes waits to be taken."""

    size_bytes: int  #: what waits

    def put(self, event: TrackEvent) -> None:
        """Add a track, or a unit of a track that was added."""
        ...


@dataclass(slots=True)
class TagQueue:
    """Tracks and units as FLV tags that wait to be taken. Of what FLV does not carry, nothing waits."""

    tags: deque[Tag] = field(default_factory=deque)
    size_bytes: int = 0  #: of their bodies
    _tracks: TrackSet = field(default_factory=TrackSet)
    _untold: dict[int, Track] = field(default_factory=dict)  #: by id: told before the next unit, whose time they get
    _muxer: BodyMuxer = field(default_factory=BodyMuxer)

    def put(self, event: TrackEvent) -> None:
        """Add a track, or a unit of a track that was added."""
        if isinstance(event, Track):
            if carries(event.codec):
                self._tracks = self._tracks.with_track(event)
                self._untold[event.track_id] = event
            return
        track, time_ms = self._tracks.get(event.track_id), ticks_to_ms(event.dts)
        if track is not None and time_ms >= 0:  # sound may begin before the time 0, which FLV does not have
            self._tell(time_ms)
            self._add(self._muxer.type_id(track), time_ms, self._muxer.body_prefix(track, event) + event.payload)

    def take(self) -> list[Tag]:
        """Give all, and forget them."""
        tags = list(self.tags)
        self.tags.clear()
        self.size_bytes = 0
        return tags

    def _tell(self, time_ms: int) -> None:
        if not self._untold:
            return
        self._add(TAG_SCRIPT, 0, self._muxer.metadata(self._tracks))  # Interop: ffmpeg takes one at another time for text
        for track in self._untold.values():
            header = self._muxer.sequence_header(track)
            if header is not None:
                self._add(header[0], time_ms, header[1])
        self._untold.clear()

    def _add(self, type_id: int, time_ms: int, body: bytes) -> None:
        self.tags.append(Tag(type_id, time_ms & MAX_TIME_MS, body))
        self.size_bytes += len(body)


def _playable(media: Sequence[MediaDescription]) -> list[_Source]:
    """The first video and the first audio track with a known format, in the order of the description.

    Raises:
        UnsupportedError: there is none.
    """
    found: dict[str, _Source] = {}
    for section in media:
        if section.media in ("video", "audio") and section.media not in found:
            source = _source(section, track_id=len(found) + 1)
            if source is not None:
                found[section.media] = source
    if not found:
        names = [told.encoding_name[:40] for section in media for told in section.formats]
        raise UnsupportedError(f"any of {', '.join(names) or 'no formats'} in the description")
    return list(found.values())


def _source(section: MediaDescription, *, track_id: int) -> _Source | None:
    for told in section.formats:
        wanted = PayloadFormat(told.encoding_name, told.clock_rate_hz, told.channels, told.parameters)
        try:
            depacketizer = build_depacketizer(track_id, wanted)
        except (UnsupportedError, RemoteProtocolError) as error:
            log.info("%s of payload type %s is not played: %s", section.media, told.payload_type, error)
            continue
        return _Source(section, told, depacketizer)
    return None
