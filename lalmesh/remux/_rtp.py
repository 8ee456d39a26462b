"""RTP to players: the packets of a stream, made once for all of them.

SSRCs, sequence numbers and times belong to the stream, so whoever plays it gets the same packets, over whatever way. A description
cannot change once players have it: `RtpStream.describes` says whether other tracks can go on under it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Kind, Track, TrackSet, rescale, wrap
from lalmesh.protocol.rtp import Packetizer, Payload, SenderIdentity, TrackSender, WallClock, build_packetizer
from lalmesh.remux._rtp_description import (
    CarriedTrack,
    DescriptionLine,
    carried_tracks,
    description_lines,
    session_description,
    told_of,
)

log = logging.getLogger(__name__)

REPORT_TICKS: Final = 5 * TICKS_PER_SECOND  #: from one round of sender reports to the next (RFC 3550 §6.2)
#: ... to one where players begin: these may be a second apart, give or take a tick, or come with every picture
JOIN_REPORT_TICKS: Final = TICKS_PER_SECOND // 2
VALID_PACKETS: Final = 2  #: in order, before a receiver believes that there is a source (RFC 3550 §A.1)


@dataclass(slots=True)
class RtpBurst:
    """What one unit becomes. Treated as immutable; not frozen, since it is built for every unit."""

    track_index: int  #: of the track in the description
    packets: list[bytes]  #: in order
    rtp_timestamp: int  #: of the unit, 32 bits
    random_access: bool
    first_sequence_number: int  #: of the packets, 16 bits
    reports: list[tuple[int, bytes]]  #: sender reports that go before them, each with its track index; mostly none


class RtpStream:
    """One stream on its way out by RTP, under one description."""

    def __init__(self, tracks: TrackSet, random_bytes: Callable[[int], bytes]) -> None:
        """Number its packets from somewhere.

        Args:
            tracks: of the stream.
            random_bytes: makes SSRCs, first numbers and times, and the name under which reports go (RFC 3550 §5.1).

        Raises:
            UnsupportedError: RTP can carry none of them.
        """
        self._looked_at: tuple[TrackSet, list[CarriedTrack]] = (tracks, carried_tracks(tracks))  # the newest that was asked for
        carried = self._looked_at[1]
        if not carried:
            codecs = ", ".join(track.codec.value for track in tracks.tracks if track.kind is not Kind.DATA)
            raise UnsupportedError(f"{codecs or 'a stream without tracks'} in RTP")
        lines = description_lines(carried)
        self.controls = [line.media.control for line in lines]  #: control URLs of the tracks of the description
        self._session_id = int.from_bytes(random_bytes(4), "big")
        self.sdp = session_description(lines, self._session_id)  #: as it was in the beginning
        self._described = tracks, self.sdp  # likewise
        self._cname = random_bytes(8).hex()
        self._told = told_of(carried)
        self._wall_clock = _StreamClock()
        self._outgoing = _build_outgoing(carried, lines, self._wall_clock, random_bytes)
        self._by_id = {outgoing.track.track_id: outgoing for outgoing in self._outgoing}
        self._lead = next((out for out in self._outgoing if out.track.kind is Kind.VIDEO), None)
        self._tracks = TrackSet()  # of the newest unit
        self._is_described = False  # whether they go on under the description
        self._reported: int | None = None  # when reports were sent last, in ticks of the stream
        self._unheard: dict[int, int] = {}  # by track index, packets that are still to go out before it reports again
        self._begun: list[tuple[_Outgoing, int]] = []  # tracks that do so now, and of which time
        self._newest = 0  # presentation time of the newest unit

    def describes(self, tracks: TrackSet) -> bool:
        """Whether `tracks` can be played under the description that players have."""
        return self._told == told_of(self._carried(tracks))

    def carried(self, tracks: TrackSet) -> tuple[Track, ...]:
        """Those of `tracks` that RTP can carry."""
        return tuple(track for track, _ in self._carried(tracks))

    def description(self, tracks: TrackSet) -> bytes:
        """What players are told: the description of `tracks`, which this stream describes, with their newest parameter sets."""
        if self._described[0] is not tracks:
            self._described = tracks, session_description(description_lines(self._carried(tracks)), self._session_id)
        return self._described[1]

    def _carried(self, tracks: TrackSet) -> list[CarriedTrack]:
        """Worked out once for each set: every DESCRIBE and every PLAY asks, and a publisher says how much there is to read."""
        if self._looked_at[0] is not tracks:
            self._looked_at = tracks, carried_tracks(tracks)
        return self._looked_at[1]

    def ssrc(self, track_index: int) -> int:
        """The synchronization source of a track of the description, 32 bits."""
        return self._outgoing[track_index].sender.identity.ssrc

    def of_one_instant(self, first: Mapping[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
        """What ``RTP-Info`` says of tracks that begin with these packets.

        Args:
            first: by track index, sequence number and RTP timestamp of a packet of the last hours.

        Returns:
            The same numbers, each with the timestamp that its track has at the first picture; where there is none, at the first
            packet of the first track: all are of one instant (RFC 2326 §12.33), so that players have sound and pictures in step.
        """
        if not first:
            return {}
        lead = self._lead if self._lead is not None and self._lead.index in first else self._outgoing[min(first)]
        begin = lead.ticks(first[lead.index][1], self._newest)
        told = {index: (number, self._outgoing[index].sender.timestamp(begin)) for index, (number, _) in first.items()}
        return told | {lead.index: first[lead.index]}

    def package(self, unit: AccessUnit, tracks: TrackSet) -> RtpBurst | None:
        """What the next unit, which is under `tracks`, becomes; None where nothing goes out for it."""
        if tracks is not self._tracks:
            self._change(tracks)
        outgoing = self._by_id.get(unit.track_id)
        if outgoing is None or not self._is_described:
            return None
        sender, self._newest = outgoing.sender, unit.pts
        first, timestamp = sender.next_sequence_number, sender.timestamp(unit.pts)
        reports = self._reports(unit)
        try:
            packets = sender.send(unit)
        except RemoteProtocolError as error:
            log.debug("unit left out: %s", error)
            packets = []
        if packets and outgoing.index in self._unheard:
            self._count_unheard(outgoing, len(packets), unit.pts)
        if not packets and not reports:
            return None
        return RtpBurst(outgoing.index, packets, timestamp, unit.random_access, first, reports)

    def goodbyes(self) -> list[tuple[int, bytes]]:
        """What goes out when the stream is over: RTCP packets, each with its track index."""
        wall_us = self._wall_clock.wall_us(self._newest)
        said = [(out.index, out.sender.goodbye(self._cname, wall_us)) for out in self._outgoing if out.sender.packet_count]
        return [(index, packet) for index, packet in said if packet]

    def _change(self, tracks: TrackSet) -> None:
        """The next units are under `tracks`: what goes in band comes from them."""
        self._tracks = tracks
        self._is_described = self.describes(tracks)
        if self._is_described:
            for outgoing in self._outgoing:
                outgoing.follow(tracks)

    def _reports(self, unit: AccessUnit) -> list[tuple[int, bytes]]:
        """The sender reports that go before a unit. All tracks report at once, of one instant, that of its presentation.

        Each reports again behind its first packets after that. Interop: GStreamer takes no report of a time before the first packet
        that it got of a track, nor by UDP one that comes before the second.
        """
        self._wall_clock.see(unit)
        again = [self._report(outgoing, pts) for outgoing, pts in self._begun]
        self._begun.clear()
        if not self._is_due(unit):
            return again
        self._reported = unit.dts
        self._unheard = {outgoing.index: VALID_PACKETS for outgoing in self._outgoing}
        return again + [self._report(outgoing, unit.pts) for outgoing in self._outgoing]

    def _count_unheard(self, outgoing: _Outgoing, packets: int, pts: int) -> None:
        left = self._unheard.pop(outgoing.index) - packets
        if left > 0:
            self._unheard[outgoing.index] = left
        else:
            self._begun.append((outgoing, pts))

    def _is_due(self, unit: AccessUnit) -> bool:
        """Whether all tracks have to report: players begin at pictures that are random access points, else anywhere."""
        begins = self._lead is None or (unit.random_access and unit.track_id == self._lead.track.track_id)
        pause = JOIN_REPORT_TICKS if begins else REPORT_TICKS
        return self._reported is None or not -JOIN_REPORT_TICKS < unit.dts - self._reported < pause  # tracks may be that far apart

    def _report(self, outgoing: _Outgoing, pts: int) -> tuple[int, bytes]:
        return outgoing.index, outgoing.sender.report(self._cname, self._wall_clock.wall_us(pts))


class _StreamClock(WallClock):
    """The wall clock as the stream's own time has it since the first unit.

    Reports that followed how units really come would move what is played with them: players take each report at its word.
    """

    def __init__(self) -> None:
        super().__init__()
        self._first: tuple[int, int] | None = None  # decoding time and wall clock of it

    def see(self, unit: AccessUnit) -> None:
        """The first unit tells for good."""
        if self._first is None:
            self._first = unit.dts, unit.wall_us
            super().see(unit)

    def wall_us(self, ticks: int) -> int:
        """When a time of the stream would be if all units came evenly, Unix µs: rounded up, so that it is of that very tick."""
        first_dts, first_wall_us = self._first or (0, 0)
        return first_wall_us - (first_dts - ticks) * 1000 // TICKS_PER_MS


class _Outgoing:
    """One track on its way out; the packetizer of its sender, which follows the configuration of the track."""

    def __init__(self, index: int, track: Track, identity: SenderIdentity, wall_clock: WallClock) -> None:
        self.index = index
        self.track = track
        self.sender = TrackSender(self, identity, wall_clock)
        self._packetizer: Packetizer = build_packetizer(track)

    def packetize(self, unit: AccessUnit) -> list[Payload]:
        """The payloads of a unit under the newest configuration."""
        return self._packetizer.packetize(unit)

    def ticks(self, rtp_timestamp: int, near: int) -> int:
        """The presentation time of an RTP timestamp, the nearest one to `near`."""
        late = wrap(rtp_timestamp - self.sender.timestamp(near), 32)
        late -= 1 << 32 if late >> 31 else 0
        return near + rescale(late, self.sender.identity.clock_rate_hz)

    def follow(self, tracks: TrackSet) -> None:
        """Be the track as it is in `tracks`."""
        track = tracks.get(self.track.track_id)
        if track is not None and track is not self.track:
            self._packetizer = build_packetizer(track)
            self.track = track


def _build_outgoing(
    carried: Sequence[CarriedTrack], lines: Sequence[DescriptionLine], wall_clock: WallClock, random_bytes: Callable[[int], bytes]
) -> list[_Outgoing]:
    def number(size_bytes: int) -> int:
        return int.from_bytes(random_bytes(size_bytes), "big")

    first_ssrc, outgoing = number(4), []
    for index, ((track, _), line) in enumerate(zip(carried, lines, strict=True)):
        identity = SenderIdentity(
            ssrc=first_ssrc + index & 0xFFFFFFFF,
            payload_type=line.payload_type,
            clock_rate_hz=line.clock_rate_hz,
            first_sequence_number=number(2),
            timestamp_offset=number(4),
        )
        outgoing.append(_Outgoing(index, track, identity, wall_clock))
    return outgoing
