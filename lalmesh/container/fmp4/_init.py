"""The init segment: what a decoder must know before the first fragment (ISO/IEC 14496-12 §8.2, §8.8; ISO/IEC 23000-19 §7.3.1)."""

from __future__ import annotations

import struct

from lalmesh.container.fmp4._boxes import box, full_box
from lalmesh.container.fmp4._carried import carried_tracks
from lalmesh.container.fmp4._constants import HANDLERS
from lalmesh.container.fmp4._entries import MAX_SIDE, sample_entry
from lalmesh.media import TICKS_PER_SECOND, Codec, Kind, Track, TrackSet

_MVHD = struct.Struct(">16xIQIH10x36s24xI")  # version 1, for a duration of 64 bits
_TKHD = struct.Struct(">8xI16xhhH2x36sII")
_MDHD = struct.Struct(">8xIIHH")
_TREX = struct.Struct(">IIIII")
_MATRIX = struct.pack(">9i", 0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000)  # unity (§8.2.2.2)
_RATE_1, _VOLUME_1 = 0x0001_0000, 0x0100
_ENABLED_IN_MOVIE_AND_PREVIEW = 0x7
_UNDETERMINED = 0x55C4  # ``und`` (ISO 639-2), five bits a letter
_FIRST_ENTRY = 1  # of the sample entries
_NAMES = {Kind.VIDEO: b"VideoHandler\0", Kind.AUDIO: b"SoundHandler\0"}
_MEDIA_HEADERS = {
    Kind.VIDEO: full_box(b"vmhd", 0, 1, bytes(8)),  # copied, no colour (§12.1.2)
    Kind.AUDIO: full_box(b"smhd", 0, 0, bytes(4)),  # balanced (§12.2.2)
}
_DATA_IN_THIS_FILE = box(b"dinf", full_box(b"dref", 0, 0, b"\0\0\0\1", full_box(b"url ", 0, 1)))
_NO_SAMPLES = b"".join(  # all samples of a fragmented file are in its fragments
    (
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )
)


def init_segment(tracks: TrackSet, *, duration_ticks: int | None = None) -> bytes:
    """The `ftyp` and `moov` boxes of the tracks that fMP4 carries; empty where these are none.

    Every track keeps its id and counts in ticks of 90 kHz. There is no edit list: times are those of the fragments.

    The `dac3` and `dec3` boxes of AC-3 and E-AC-3 hold the track's configuration, which `complete_track` or a `TrackCompleter`
    takes from a first frame; without one they are made from sample rate and channels, with a bit rate that is a guess.

    Args:
        tracks: of the stream; those that are not carried are left out.
        duration_ticks: None of a stream, which has none; else that of the whole file, in fields that take the same room whatever
            they say, so that the segment can be written again when the file is finished.

    Raises:
        RemoteProtocolError: a configuration does not parse; never of tracks that `build_track` made.
    Source: ISO/IEC 14496-12 §8.2.1, §8.8.1; ISO/IEC 23000-19 §7.3.1
    """
    carried = carried_tracks(tracks)
    if not carried:
        return b""
    traks = (_trak(track) for track in carried)
    return _ftyp(carried) + box(b"moov", _mvhd(carried, duration_ticks or 0), *traks, _mvex(carried, duration_ticks))


def _ftyp(carried: tuple[Track, ...]) -> bytes:
    """The brands: CMAF, which knows only tracks by themselves, and that of AV1 (ISO/IEC 23000-19 §7.2; AV1-ISOBMFF §2.1)."""
    of_track = [b"cmfc"] if len(carried) == 1 else []
    of_codec = [b"av01"] if any(track.codec is Codec.AV1 for track in carried) else []
    return box(b"ftyp", b"iso6", bytes(4), b"iso6", *of_track, b"mp41", *of_codec)


def _mvhd(carried: tuple[Track, ...], duration: int) -> bytes:
    next_track_id = max(track.track_id for track in carried) + 1
    fields = _MVHD.pack(TICKS_PER_SECOND, duration, _RATE_1, _VOLUME_1, _MATRIX, next_track_id)
    return full_box(b"mvhd", 1, 0, fields)


def _trak(track: Track) -> bytes:
    return box(b"trak", _tkhd(track), box(b"mdia", _mdhd(), _hdlr(track.kind), _minf(track)))


def _tkhd(track: Track) -> bytes:
    volume = _VOLUME_1 if track.kind is Kind.AUDIO else 0
    width, height = min(track.width, MAX_SIDE), min(track.height, MAX_SIDE)
    fields = _TKHD.pack(track.track_id, 0, 0, volume, _MATRIX, width << 16, height << 16)
    return full_box(b"tkhd", 0, _ENABLED_IN_MOVIE_AND_PREVIEW, fields)


def _mdhd() -> bytes:
    return full_box(b"mdhd", 0, 0, _MDHD.pack(TICKS_PER_SECOND, 0, _UNDETERMINED, 0))


def _hdlr(kind: Kind) -> bytes:
    return full_box(b"hdlr", 0, 0, bytes(4), HANDLERS[kind], bytes(12), _NAMES[kind])


def _minf(track: Track) -> bytes:
    entries = full_box(b"stsd", 0, 0, _FIRST_ENTRY.to_bytes(4, "big"), sample_entry(track))
    return box(b"minf", _MEDIA_HEADERS[track.kind], _DATA_IN_THIS_FILE, box(b"stbl", entries, _NO_SAMPLES))


def _mvex(carried: tuple[Track, ...], duration_ticks: int | None) -> bytes:
    mehd = [] if duration_ticks is None else [full_box(b"mehd", 1, 0, duration_ticks.to_bytes(8, "big"))]
    trexes = (full_box(b"trex", 0, 0, _TREX.pack(track.track_id, _FIRST_ENTRY, 0, 0, 0)) for track in carried)
    return box(b"mvex", *mehd, *trexes)
