"""RTP to players: the packets of a stream, made once for all of them, and what a session description tells of its tracks.

SSRCs, sequence numbers and times belong to the stream, so whoever plays it gets the same packets, over whatever way. A description
cannot change once players have it: `RtpStream.describes` says whether other tracks can go on under it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Codec, Kind, Track, TrackSet
from lalmesh.protocol.rtp import (
    Packetizer,
    Payload,
    PayloadFormat,
    SenderIdentity,
    TrackSender,
    WallClock,
    build_packetizer,
    format_of,
)
from lalmesh.protocol.rtsp import MAX_TRACKS
from lalmesh.protocol.sdp import MediaDescription, assign_payload_types, build_media, build_session, parse_media

REPORT_TICKS: Final = 5 * TICKS_PER_SECOND  #: from one round of sender reports to the next (RFC 3550 §6.2)
JOIN_REPORT_TICKS: Final = TICKS_PER_SECOND  #: to one before a random access point, where players begin: closer together than usual

_CONTROL: Final = "streamid={}"  # of a track, as ffmpeg and lal call it

_Carried: TypeAlias = tuple[Track, PayloadFormat]


@dataclass(slots=True)
class RtpBurst:
    """What one unit becomes. Treated as immutable; not frozen, since it is built for every unit."""

    track_index: int  #: of the track in the description
    packets: list[bytes]  #: in order
    rtp_timestamp: int  #: of the unit, 32 bits
    random_access: bool
    first_sequence_number: int  #: of the packets, 16 bits
    reports: list[tuple[int, bytes]]  #: sender reports that go before them, each with its track index; mostly none


def rtp_tracks(tracks: TrackSet) -> tuple[Track, ...]:
    """The tracks that RTP can carry, in the order of the description, at most `MAX_TRACKS`."""
    return tuple(track for track, _ in _carried(tracks))


def rtp_session(tracks: TrackSet, *, session_id: int = 1) -> tuple[bytes, list[str]]:
    """The description of the tracks that RTP can carry, and the control URL of each.

    Args:
        tracks: of the stream.
        session_id: names the stream in its description.
    """
    lines = _lines(_carried(tracks))
    session = build_session([line.media for line in lines], session_id=session_id)
    return session.serialize(), [line.media.control for line in lines]


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
        carried = _carried(tracks)
        if not carried:
            codecs = ", ".join(track.codec.value for track in tracks.tracks if track.kind is not Kind.DATA)
            raise UnsupportedError(f"{codecs or 'a stream without tracks'} in RTP")
        lines = _lines(carried)
        self.controls = [line.media.control for line in lines]  #: control URLs of the tracks of the description
        self.malformed_units = 0  #: left out, since they cannot be taken apart
        self._session_id = int.from_bytes(random_bytes(4), "big")
        self.sdp = self.description(tracks)  #: as it was in the beginning
        self._cname = random_bytes(8).hex()
        self._told = _told(carried)
        self._wall_clock = _StreamClock()
        self._outgoing = _build_outgoing(carried, lines, self._wall_clock, random_bytes)
        self._by_id = {outgoing.track.track_id: outgoing for outgoing in self._outgoing}
        self._lead_id = next((track.track_id for track, _ in carried if track.kind is Kind.VIDEO), 0)  # 0: no track has it
        self._tracks = TrackSet()  # of the newest unit
        self._is_described = False  # whether they go on under the description
        self._reported: int | None = None  # when reports were sent last, in ticks of the stream
        self._wall_us = 0  # of the newest unit

    def describes(self, tracks: TrackSet) -> bool:
        """Whether `tracks` can be played under the description that players have."""
        return self._told == _told(_carried(tracks))

    def description(self, tracks: TrackSet) -> bytes:
        """What players are told: the description of `tracks`, which this stream describes, with their newest parameter sets."""
        return rtp_session(tracks, session_id=self._session_id)[0]

    def ssrc(self, track_index: int) -> int:
        """The synchronization source of a track of the description, 32 bits."""
        return self._outgoing[track_index].sender.identity.ssrc

    def package(self, unit: AccessUnit, tracks: TrackSet) -> RtpBurst | None:
        """What the next unit, which is under `tracks`, becomes; None where nothing goes out for it."""
        if tracks is not self._tracks:
            self._change(tracks)
        outgoing = self._by_id.get(unit.track_id)
        if outgoing is None or not self._is_described:
            return None
        sender = outgoing.sender
        first, timestamp = sender.next_sequence_number, sender.timestamp(unit.pts)
        reports = self._reports(unit)
        try:
            packets = sender.send(unit)
        except RemoteProtocolError:
            self.malformed_units += 1
            packets = []
        if not packets and not reports:
            return None
        return RtpBurst(outgoing.index, packets, timestamp, unit.random_access, first, reports)

    def goodbyes(self) -> list[tuple[int, bytes]]:
        """What goes out when the stream is over: RTCP packets, each with its track index."""
        said = [(out.index, out.sender.goodbye(self._cname, self._wall_us)) for out in self._outgoing if out.sender.packet_count]
        return [(index, packet) for index, packet in said if packet]

    def _change(self, tracks: TrackSet) -> None:
        """The next units are under `tracks`: what goes in band comes from them."""
        self._tracks = tracks
        self._is_described = self.describes(tracks)
        if self._is_described:
            for outgoing in self._outgoing:
                outgoing.follow(tracks)

    def _reports(self, unit: AccessUnit) -> list[tuple[int, bytes]]:
        """The sender reports that are due before a unit: those of all tracks at once, so that a player can put them in step."""
        self._wall_us = self._wall_clock.wall_us(unit)
        is_join = unit.random_access and unit.track_id == self._lead_id
        pause = JOIN_REPORT_TICKS if is_join else REPORT_TICKS
        if self._reported is not None and 0 <= unit.dts - self._reported < pause:
            return []
        self._reported = unit.dts
        return [(outgoing.index, outgoing.sender.report(self._cname, self._wall_us)) for outgoing in self._outgoing]


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

    def wall_us(self, unit: AccessUnit) -> int:
        """When a unit would have come if all had come evenly, Unix µs."""
        self.see(unit)
        first_dts, first_wall_us = self._first or (unit.dts, unit.wall_us)
        return first_wall_us + (unit.dts - first_dts) * 1000 // TICKS_PER_MS


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

    def follow(self, tracks: TrackSet) -> None:
        """Be the track as it is in `tracks`."""
        track = tracks.get(self.track.track_id)
        if track is not None and track is not self.track:
            self._packetizer = build_packetizer(track)
            self.track = track


@dataclass(slots=True, frozen=True)
class _Line:
    """One track in a description."""

    media: MediaDescription
    payload_type: int
    clock_rate_hz: int


def _build_outgoing(
    carried: Sequence[_Carried], lines: Sequence[_Line], wall_clock: WallClock, random_bytes: Callable[[int], bytes]
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


def _carried(tracks: TrackSet) -> list[_Carried]:
    """The tracks that RTP can carry, each with how."""
    found = ((track, _format(track)) for track in tracks.tracks)
    return [(track, told) for track, told in found if told is not None][:MAX_TRACKS]


def _format(track: Track) -> PayloadFormat | None:
    """How a track goes out; None: not at all. Of an opaque one its section of a description tells."""
    try:
        if track.codec is not Codec.OPAQUE:
            return format_of(track)
        said = parse_media(track.configuration).formats
    except (UnsupportedError, RemoteProtocolError):
        return None
    return PayloadFormat(said[0].encoding_name, said[0].clock_rate_hz, said[0].channels, said[0].parameters) if said else None


def _told(carried: Sequence[_Carried]) -> list[tuple[object, ...]]:
    """What a description fixes. Parameter sets are in band too, so that those in it are but a beginning."""
    return [
        (
            track.track_id,
            track.codec,
            (told.name, told.clock_rate_hz, told.channels),
            track.configuration if track.codec in (Codec.AAC, Codec.OPAQUE) else b"",
        )
        for track, told in carried
    ]


def _lines(carried: Sequence[_Carried]) -> list[_Line]:
    """The sections of a description; that of an opaque track as it came, but for its control URL."""
    opaque = {index: parse_media(track.configuration) for index, (track, _) in enumerate(carried) if track.codec is Codec.OPAQUE}
    taken = {index: media.formats[0].payload_type for index, media in opaque.items()}
    ours = [told for index, (_, told) in enumerate(carried) if index not in opaque]
    free = iter(assign_payload_types(ours, taken.values()))
    lines = []
    for index, (track, told) in enumerate(carried):
        control, payload_type = _CONTROL.format(index), taken[index] if index in taken else next(free)
        if index in opaque:
            media = opaque[index].with_control(control)
        else:
            media = build_media(track.kind, told, payload_type=payload_type, control=control)
        lines.append(_Line(media, payload_type, told.clock_rate_hz))
    return lines
