"""The one program of a stream that goes out: its elementary streams and their PMT (ISO/IEC 13818-1 §2.4.4.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lalmesh.codec.opus import OpusHead
from lalmesh.container.mpegts._constants import (
    AUDIO_STREAM,
    DESCRIPTOR_EXTENSION,
    DESCRIPTOR_REGISTRATION,
    EXTENSION_OPUS,
    FORMAT_IDENTIFIERS,
    NULL_PID,
    PRIVATE_STREAM_1,
    STREAM_AAC,
    STREAM_AC3,
    STREAM_EAC3,
    STREAM_H264,
    STREAM_H265,
    STREAM_MPEG1_AUDIO,
    STREAM_MPEG2_AUDIO,
    STREAM_PRIVATE,
    VIDEO_STREAM,
)
from lalmesh.container.mpegts._framing import Framer, framer
from lalmesh.container.mpegts._psi import TABLE_PMT, Section, StreamInfo, pmt_body
from lalmesh.errors import LalmeshError, RemoteProtocolError
from lalmesh.media import Codec, Kind, Track, TrackSet

PROGRAM_NUMBER: Final = 1
PMT_PID: Final = 0x1000
FIRST_PID: Final = 0x100  #: of track 1; below are those that standards give away
MAX_TRACK_ID: Final = PMT_PID - FIRST_PID  #: so that every track keeps the PID of its own for good
MAX_STREAMS: Final = 8  #: a PMT with more might not fit one packet

_MPEG1_RATES_HZ = 32_000  # and above; MPEG-2 audio has the lower rates (ISO/IEC 13818-3 §2.4.2.3)
_STREAM_TYPES = {
    Codec.H264: STREAM_H264,
    Codec.H265: STREAM_H265,
    Codec.AAC: STREAM_AAC,
    Codec.AC3: STREAM_AC3,
    Codec.EAC3: STREAM_EAC3,
    Codec.OPUS: STREAM_PRIVATE,
}
_STREAM_IDS = {Codec.AC3: PRIVATE_STREAM_1, Codec.EAC3: PRIVATE_STREAM_1, Codec.OPUS: PRIVATE_STREAM_1}
# channel_config_code of Opus: 0 is two mono channels, 1 to 8 those of Vorbis; the rest would have to be spelled out
_OPUS_DUAL_MONO, _OPUS_OTHER = 0, 0xFF


@dataclass(slots=True, frozen=True, eq=False)
class Stream:
    """One track as it goes out."""

    track: Track
    pid: int
    stream_id: int
    frame: Framer
    is_video: bool


@dataclass(slots=True, frozen=True, eq=False)
class Program:
    """The tracks of a stream that a transport stream can carry."""

    streams: dict[int, Stream]  #: by track id; at most `MAX_STREAMS`
    clock: Stream | None  #: whose PID carries the PCR: the first video, else the first audio; None: there is none

    @classmethod
    def of(cls, tracks: TrackSet) -> Program:
        """The program of `tracks`; what cannot be carried is left out."""
        streams: dict[int, Stream] = {}
        for track in tracks.tracks:
            stream = _stream(track) if len(streams) < MAX_STREAMS else None
            if stream is not None:
                streams[track.track_id] = stream
        by_kind = sorted(streams.values(), key=lambda stream: not stream.is_video)
        return cls(streams, by_kind[0] if by_kind else None)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Those that are carried: a PMT of other ones is another version."""
        return tuple(stream.track for stream in self.streams.values())

    def pmt(self, version: int) -> bytes:
        """The section of the PMT (§2.4.4.8)."""
        pcr_pid = self.clock.pid if self.clock is not None else NULL_PID
        body = pmt_body(pcr_pid, map(_info, self.streams.values()))
        return Section(TABLE_PMT, PROGRAM_NUMBER, version, True, body).serialize()


def _stream(track: Track) -> Stream | None:
    if not 1 <= track.track_id <= MAX_TRACK_ID:
        return None
    try:
        frame = framer(track)
    except LalmeshError:
        return None
    is_video = track.kind is Kind.VIDEO
    stream_id = _STREAM_IDS.get(track.codec, VIDEO_STREAM if is_video else AUDIO_STREAM)
    return Stream(track, FIRST_PID + track.track_id - 1, stream_id, frame, is_video)


def _info(stream: Stream) -> StreamInfo:
    track = stream.track
    descriptors: list[tuple[int, bytes]] = []
    identifier = FORMAT_IDENTIFIERS.get(track.codec)
    if identifier is not None:
        descriptors.append((DESCRIPTOR_REGISTRATION, identifier))
    if track.codec is Codec.OPUS:
        descriptors.append((DESCRIPTOR_EXTENSION, bytes((EXTENSION_OPUS, _opus_channels(track)))))
    return StreamInfo(stream.pid, _stream_type(track), tuple(descriptors))


def _stream_type(track: Track) -> int:
    mpeg_audio = STREAM_MPEG2_AUDIO if 0 < track.sample_rate_hz < _MPEG1_RATES_HZ else STREAM_MPEG1_AUDIO
    return _STREAM_TYPES.get(track.codec, mpeg_audio)


def _opus_channels(track: Track) -> int:
    """channel_config_code (Opus in MPEG-TS, opus_audio_descriptor)."""
    if not track.configuration:
        return track.channels or 2
    try:
        head = OpusHead.parse(track.configuration)
    except RemoteProtocolError:
        return track.channels or 2
    if head.mapping_family <= 1:
        return head.channels
    is_dual_mono = (head.channels, head.stream_count, head.coupled_count) == (2, 2, 0)
    return _OPUS_DUAL_MONO if is_dual_mono else _OPUS_OTHER
