"""One track that comes in by RTP: datagrams in, access units out.

```
datagram -> RtpPacket -> ReceiverStatistics
                      -> ReorderBuffer -> Depacketizer -> TrackClock -> RandomAccessGate -> DecodingTimes -> AccessUnit
```
What is missing after a loss: of sound, what was lost and nothing else. Of pictures, those of which a part was lost; with
`drop_broken_gop` also all that follow up to the next random access point, else they are given and may look broken. All is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from lalmesh.errors import RemoteProtocolError
from lalmesh.media import AccessUnit, Kind, Track
from lalmesh.protocol.rtp._decoding_times import DecodingTimes
from lalmesh.protocol.rtp._depacketizer import Depacketized, Depacketizer, DepacketizerCounters, TimedUnit
from lalmesh.protocol.rtp._gate import RandomAccessGate
from lalmesh.protocol.rtp._packet import RtpPacket
from lalmesh.protocol.rtp._picture_order import configure_times
from lalmesh.protocol.rtp._reorder import (
    DEFAULT_REORDER_MS,
    MAX_HELD_PACKETS,
    Lost,
    Ordered,
    ReorderBuffer,
    ReorderCounters,
)
from lalmesh.protocol.rtp._reports import ReceiverReport, SenderReport
from lalmesh.protocol.rtp._rtcp import Goodbye, SourceDescription, parse_compound, serialize_compound
from lalmesh.protocol.rtp._statistics import ReceiverStatistics
from lalmesh.protocol.rtp._timeline import TrackClock

TrackEvent: TypeAlias = Track | AccessUnit  #: a track that differs from the one before has the next version


@dataclass(slots=True, frozen=True, kw_only=True)
class ReceiverSettings:
    """How patient to be with what is missing."""

    reorder_ms: int = DEFAULT_REORDER_MS  #: the most that a lost packet delays those behind it; 0 where packets come in order
    max_packets: int = MAX_HELD_PACKETS  #: that wait meanwhile
    drop_broken_gop: bool = False  #: after a loss, drop pictures up to the next random access point


@dataclass(slots=True)
class ReceiverCounters:
    """What was passed over before any payload was looked at."""

    malformed: int = 0  #: datagrams, payloads and RTCP packets that do not parse
    other_payload_types: int = 0
    other_sources: int = 0  #: packets with another SSRC, which the next one did not follow
    restarts: int = 0  #: the source was replaced by another
    not_rising: int = 0  #: audio units that would have had no later time than the one before
    skipped_rtcp: int = 0  #: RTCP packets of a kind that is not understood


class TrackReceiver:
    """Takes the datagrams of one track. Times are µs of any clock that does not step. Raises nothing but UnsupportedError."""

    def __init__(
        self,
        depacketizer: Depacketizer,
        clock: TrackClock,
        *,
        payload_type: int,
        clock_rate_hz: int,
        settings: ReceiverSettings | None = None,
    ) -> None:
        """Start without a source: the first packet names it.

        Args:
            depacketizer: of the payload format.
            clock: of the track, on the time line that it shares with others.
            payload_type: packets of other types are passed over.
            clock_rate_hz: of the RTP timestamps.
            settings: None: as they are by default.
        """
        self.settings = settings or ReceiverSettings()
        self.counters = ReceiverCounters()
        self.times = DecodingTimes()
        self.gate = RandomAccessGate(drop_broken_gop=self.settings.drop_broken_gop)
        self.track = depacketizer.track  #: None until enough is known: then it is the first event
        self._depacketizer = depacketizer
        self._clock = clock
        self._payload_type = payload_type
        self._clock_rate_hz = clock_rate_hz
        self._ssrc: int | None = None
        self._candidate: RtpPacket | None = None  # the last packet of another source
        self._reorder = ReorderBuffer(reorder_ms=self.settings.reorder_ms, max_packets=self.settings.max_packets)
        self._statistics = ReceiverStatistics(clock_rate_hz)
        self._last_dts: int | None = None  # of sound
        if self.track is not None:
            configure_times(self.times, self.track)

    @property
    def ssrc(self) -> int | None:
        """The source; None before its first packet."""
        return self._ssrc

    @property
    def statistics(self) -> ReceiverStatistics:
        """How the source is received."""
        return self._statistics

    @property
    def reorder_counters(self) -> ReorderCounters:
        """What happened to packets on their way, of all sources that were followed."""
        return self._reorder.counters

    @property
    def depacketizer_counters(self) -> DepacketizerCounters:
        """What the payload format passed over."""
        return self._depacketizer.counters

    @property
    def next_timer(self) -> int | None:
        """When `handle_timer` is due, µs; None: not at all."""
        return self._reorder.next_timer

    def receive(self, datagram: bytes, now_us: int) -> list[TrackEvent]:
        """Take a datagram that came at `now_us`; what is complete with it.

        Raises:
            UnsupportedError: the stream needs what is not implemented.
        """
        try:
            packet = RtpPacket.parse(datagram)
        except RemoteProtocolError:
            self.counters.malformed += 1
            return []
        if packet.payload_type != self._payload_type:
            self.counters.other_payload_types += 1
            return []
        if packet.ssrc == self._ssrc:
            return self._packet(packet, now_us)
        return self._other_source(packet, now_us)

    def handle_timer(self, now_us: int) -> list[TrackEvent]:
        """Go on without what has been missing for too long at `now_us`."""
        return self._take(self._reorder.handle_timer(now_us), now_us)

    def flush(self, now_us: int) -> list[TrackEvent]:
        """Give all that waits: nothing more comes."""
        events = self._take(self._reorder.flush(), now_us)
        for item in self._depacketizer.flush():
            events += self._event(item, now_us)
        return [*events, *self.times.flush()]

    def receive_rtcp(self, data: bytes, now_us: int) -> bool:
        """Take an RTCP packet that came at `now_us`; whether the source says that it sends no more."""
        try:
            compound = parse_compound(data)
        except RemoteProtocolError:
            self.counters.malformed += 1
            return False
        self.counters.skipped_rtcp += compound.skipped
        is_over = False
        for packet in compound.packets:
            if isinstance(packet, SenderReport) and self._ssrc in (None, packet.ssrc):
                self._statistics.sender_report(packet, now_us)
                self._clock.report(packet)
            elif isinstance(packet, Goodbye) and self._ssrc in packet.ssrcs:
                is_over = True
        return is_over

    def report(self, ssrc: int, cname: str, now_us: int) -> bytes:
        """A receiver report to send at `now_us`, from our `ssrc` under our `cname`."""
        block = self._statistics.report_block(self._ssrc, now_us) if self._ssrc is not None else None
        blocks = (block,) if block is not None else ()
        return serialize_compound((ReceiverReport(ssrc=ssrc, blocks=blocks), SourceDescription.of(ssrc, cname)))

    def _packet(self, packet: RtpPacket, now_us: int) -> list[TrackEvent]:
        self._statistics.packet(packet.sequence_number, packet.timestamp, now_us)
        return self._take(self._reorder.push(packet, now_us), now_us)

    def _other_source(self, packet: RtpPacket, now_us: int) -> list[TrackEvent]:
        """Follow the first source at once, another one when a second packet of it comes (RFC 3550 §A.1)."""
        if self._ssrc is None:
            self._ssrc = packet.ssrc
            self._clock.follow(packet.ssrc)
            return self._packet(packet, now_us)
        before, self._candidate = self._candidate, packet
        if before is None or before.ssrc != packet.ssrc or packet.sequence_number != before.sequence_number + 1 & 0xFFFF:
            self.counters.other_sources += 1
            return []
        self.counters.other_sources -= 1  # it was ours
        self.counters.restarts += 1
        events = self._restart(packet.ssrc, now_us)
        return [*events, *self._packet(before, now_us), *self._packet(packet, now_us)]

    def _restart(self, ssrc: int, now_us: int) -> list[TrackEvent]:
        events = self._take(self._reorder.restart(), now_us)
        self._depacketizer.lost()
        self._ssrc, self._candidate = ssrc, None
        self._statistics = ReceiverStatistics(self._clock_rate_hz)
        self._clock.restart()
        return events

    def _take(self, items: list[Ordered], now_us: int) -> list[TrackEvent]:
        events: list[TrackEvent] = []
        for item in items:
            if isinstance(item, Lost):
                self._depacketizer.lost()
                continue
            if not item.payload:  # sent to keep addresses open, or to see how much the way carries
                continue
            try:
                given = self._depacketizer.feed(item)
            except RemoteProtocolError:
                self.counters.malformed += 1
                self._depacketizer.lost()
                continue
            for one in given:
                events += self._event(one, now_us)
        return events

    def _event(self, item: Depacketized, now_us: int) -> list[TrackEvent]:
        if isinstance(item, Track):
            return self._change(item)
        track = self.track
        assert track is not None  # the depacketizer gives it first
        pts = self._clock.ticks(item.timestamp, now_us)
        if track.kind is Kind.VIDEO:
            return [*self._picture(item, track, pts)]
        return self._sound(item, track, pts)

    def _change(self, track: Track) -> list[TrackEvent]:
        """Let what follows belong to `track`, if it differs."""
        if self.track is not None:
            if replace(track, version=self.track.version) == self.track:
                return []
            track = replace(track, version=self.track.version + 1)
        self.track = track
        return [*configure_times(self.times, track), track]

    def _picture(self, unit: TimedUnit, track: Track, pts: int) -> list[AccessUnit]:
        if not self.gate.admits(pts, random_access=unit.random_access, after_loss=unit.after_loss):
            return []
        return self.times.feed(AccessUnit(track.track_id, pts, 0, unit.random_access, unit.payload))

    def _sound(self, unit: TimedUnit, track: Track, pts: int) -> list[TrackEvent]:
        """Sound and opaque packets; of the latter, several may share a time."""
        if track.kind is Kind.AUDIO and self._last_dts is not None and pts <= self._last_dts:
            self.counters.not_rising += 1
            return []
        self._last_dts = pts
        return [AccessUnit(track.track_id, pts, 0, unit.random_access, unit.payload)]
