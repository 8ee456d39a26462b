"""Audio out of PES packets: frames, and tracks from their headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from lalmesh.codec import aac, ac3, build_track, mp3, opus
from lalmesh.container.mpegts._pes import PesPacket
from lalmesh.container.mpegts._tracks import Tracks
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, MediaEvent, PassedOver

MAX_FRAME_BYTES: Final = 64_000  #: an Opus packet has up to 61,298 bytes and a header of 250, all other frames far fewer
MAX_SEARCHES: Final = 16  #: for the next frame in one PES packet: in one that is full of wrong headers, nothing is to be found

_OPUS_SECTION = "Opus in MPEG-TS, opus_control_header"
_OPUS_PREFIX, _OPUS_START_TRIM, _OPUS_END_TRIM, _OPUS_EXTENSION = 0x7FE0, 0x10, 0x08, 0x04


@dataclass(slots=True, frozen=True)
class Sound:
    """What the header of a frame says of the track: a change is another configuration."""

    codec: Codec
    sample_rate_hz: int
    channels: int = 0
    configuration: bytes = b""


@dataclass(slots=True, frozen=True)
class Frame:
    """One frame, as far as its header tells."""

    sound: Sound | None  #: None: legal, but not supported here
    size: int  #: bytes, header included
    header_bytes: int  #: of the framing, which is taken off
    samples: int
    goes_on: bool = False  #: belongs to the unit before it: a further substream of E-AC-3


Parser: TypeAlias = Callable[[bytes, int], Frame | None]  #: of the frame at an offset; None: the data ends within its header


def parse_adts(data: bytes, at: int) -> Frame | None:
    """The ADTS frame at `at` (ISO/IEC 14496-3 Table 1.A.5); those of several raw data blocks are not supported.

    Raises:
        RemoteProtocolError: there is none.
    """
    if len(data) - at < aac.ADTS_HEADER_BYTES:
        return None
    header = aac.AdtsHeader.parse(data[at : at + aac.ADTS_HEADER_BYTES])
    sound = None
    if header.raw_data_blocks == 1 and header.channel_configuration:
        sound = Sound(Codec.AAC, header.sample_rate_hz, configuration=header.config.serialize())
    return Frame(sound, header.frame_bytes, header.header_bytes, 1024)


def parse_mpeg_audio(data: bytes, at: int) -> Frame | None:
    """The frame of layer I to III at `at` (ISO/IEC 11172-3 §2.4.1.3).

    Raises:
        RemoteProtocolError: there is none.
        UnsupportedError: free format.
    """
    if len(data) - at < mp3.HEADER_BYTES:
        return None
    header = mp3.FrameHeader.parse(data[at : at + mp3.HEADER_BYTES])
    sound = Sound(header.codec, header.sample_rate_hz, header.channels)
    return Frame(sound, header.frame_bytes, 0, header.samples_per_frame)


def parse_ac3(data: bytes, at: int) -> Frame | None:
    """The sync frame of AC-3 or E-AC-3 at `at` (ETSI TS 102 366 §4.3, §E.1.2).

    Raises:
        RemoteProtocolError: there is none.
        UnsupportedError: a bit stream version over 16.
    """
    if len(data) - at < ac3.MAX_HEADER_BYTES:
        return None
    header = ac3.SyncFrameHeader.parse(data[at : at + ac3.MAX_HEADER_BYTES])
    sound = Sound(Codec.EAC3 if header.enhanced else Codec.AC3, header.sample_rate_hz, header.channels)
    # strmtyp 1 is a dependent substream; a substreamid other than 0 is of another programme (§E.1.3.1.1, §E.1.3.1.2)
    goes_on = header.enhanced and (data[at + 2] >> 6 == 1 or data[at + 2] >> 3 & 7 != 0)
    return Frame(sound, header.frame_bytes, 0, header.samples, goes_on)


def opus_parser(configuration: bytes) -> Parser:
    """What finds the packets of a stream whose OpusHead is `configuration`."""
    sound = Sound(Codec.OPUS, opus.SAMPLE_RATE_HZ, configuration=configuration)

    def parse(data: bytes, at: int) -> Frame | None:
        """The packet behind the control header at `at`."""
        begin, size = parse_opus_control(data, at)
        if begin < 0:
            return None
        samples = opus.packet_samples(data[begin : begin + min(size, 2)]) if size else 0
        return Frame(sound, begin - at + size, begin - at, samples)

    return parse


def parse_opus_control(data: bytes, at: int) -> tuple[int, int]:
    """The control header at `at`: offset behind it and size of the packet; -1 where the data ends within.

    Raises:
        RemoteProtocolError: there is none.
    Source: Opus in MPEG-TS, opus_control_header
    """
    if len(data) - at < 3:
        return -1, 0
    flags = int.from_bytes(data[at : at + 2], "big")
    if flags & 0xFFE0 != _OPUS_PREFIX:
        raise RemoteProtocolError(f"no Opus control header: {data[at : at + 2].hex()}", section=_OPUS_SECTION, at=at)
    size, at = 0, at + 2
    while at < len(data) and data[at] == 0xFF:
        size, at = size + 0xFF, at + 1
    end = at + 1 + 2 * bool(flags & _OPUS_START_TRIM) + 2 * bool(flags & _OPUS_END_TRIM)
    if flags & _OPUS_EXTENSION:
        end += 1 + (data[end] if end < len(data) else 0)
    return (end, size + data[at]) if end <= len(data) else (-1, 0)


class Sounds:
    """One audio stream: frames that may share a PES packet, or cross from one to the next.

    The time of a PES packet is that of the first frame that begins in it; the others follow by their samples (§2.4.3.7).
    """

    def __init__(self, track_id: int, parse: Parser, sync: bytes, tracks: Tracks) -> None:
        """Give the frames that `parse` finds, each of which begins with `sync`, to track `track_id` of `tracks`."""
        self._track_id = track_id
        self._parse = parse
        self._sync = sync
        self._tracks = tracks
        self._rest = b""  # the begin of a frame: shorter than a frame can say it is
        self._sound: Sound | None = None
        self._dts: int | None = None  # of the next frame: the last time given, and samples at the present rate since
        self._samples = 0

    def take(self, pes: PesPacket) -> list[MediaEvent]:
        """Take a PES packet, and give the frames that are whole."""
        carried, data = len(self._rest), self._rest + pes.payload
        self._rest = b""
        stamp = self._tracks.unwrap(pes.dts) if pes.dts is not None else None
        events: list[MediaEvent] = []
        for at, frame in self._frames(data):
            if stamp is not None and at >= carried:
                self._dts, self._samples, stamp = stamp, 0, None
            if frame.goes_on:
                self._append(events, data[at : at + frame.size])
            else:
                events += self._unit(frame, data[at + frame.header_bytes : at + frame.size])
        return events

    def lost(self) -> None:
        """Packets are missing: the frame that was begun is, too."""
        self._rest = b""

    def flush(self) -> list[MediaEvent]:
        """Frames are given as soon as they are whole."""
        return []

    def _frames(self, data: bytes) -> Iterator[tuple[int, Frame]]:
        """The whole frames of `data` with their offsets; what is left at its end is kept."""
        at = searches = 0
        while 0 <= at < len(data) and searches <= MAX_SEARCHES:
            try:
                frame = self._parse(data, at)
            except (RemoteProtocolError, UnsupportedError):
                self._tracks.count_broken("audio frame without a right header")
                at, searches = data.find(self._sync, at + 1), searches + 1
                continue
            if frame is None or at + frame.size > len(data):
                self._keep(data[at:])
                return
            yield at, frame
            at += frame.size

    def _keep(self, rest: bytes) -> None:
        if len(rest) <= MAX_FRAME_BYTES:
            self._rest = rest
        else:
            self._tracks.count_broken("audio frame that does not end")

    def _unit(self, frame: Frame, payload: bytes) -> list[MediaEvent]:
        if frame.sound is None:
            self._tracks.counters.count("AAC of several raw data blocks or unknown channels", PassedOver.UNSUPPORTED_CODEC)
            return []
        if self._dts is None:
            self._tracks.count_broken("audio frame without a time")
            return []
        events = self._follow(frame.sound) if frame.sound != self._sound else []
        dts = self._next_dts(frame.sound)
        self._samples += frame.samples
        if payload:
            events.append(AccessUnit(self._track_id, dts, 0, True, payload))
        return events

    def _next_dts(self, sound: Sound) -> int:
        assert self._dts is not None
        return self._dts + self._samples * TICKS_PER_SECOND // sound.sample_rate_hz

    def _follow(self, sound: Sound) -> list[MediaEvent]:
        """Let the track be what `sound` says; time goes on from here at its rate."""
        if self._sound is not None:
            self._dts, self._samples = self._next_dts(self._sound), 0
        self._sound = sound
        track = build_track(
            self._track_id, sound.codec, sound.configuration, sample_rate_hz=sound.sample_rate_hz, channels=sound.channels
        )
        return self._tracks.replace(track)

    def _append(self, events: list[MediaEvent], data: bytes) -> None:
        """Add a further substream to the unit it belongs to."""
        last = events[-1] if events else None
        if isinstance(last, AccessUnit):
            last.payload += data
        else:
            self._tracks.count_broken("substream without its first")
