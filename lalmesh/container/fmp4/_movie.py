"""The `moov` box in: tracks, their clocks and what fragments leave out (ISO/IEC 14496-12 §8.2 to §8.8)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.codec.nalu import RecordReader
from lalmesh.container.fmp4._boxes import child, children
from lalmesh.container.fmp4._parse_entries import KINDS, Entry, parse_entry
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.media import MediaCounters, PassedOver, Track

MAX_TRACKS = 32  #: of one file; streams have two or three
MAX_TIMESCALE_HZ = 1 << 31  #: far beyond every clock that is in use

_SECTION = "ISO/IEC 14496-12 §8.2"
_MEDIA_PATH = (b"mdia", b"minf", b"stbl", b"stsd")


@dataclass(slots=True, frozen=True)
class Defaults:
    """What holds for samples of which a fragment says nothing (`trex`, §8.8.3)."""

    duration: int = 0  #: timescale ticks
    size: int = 0  #: bytes
    flags: int = 0


@dataclass(slots=True, frozen=True, kw_only=True)
class MovieTrack:
    """A track as its file has it."""

    track: Track
    length_size: int  #: bytes of the NALU lengths in its samples
    timescale_hz: int
    shift: int  #: timescale ticks that its edit list adds to all times
    defaults: Defaults


def parse_movie(body: bytes, counters: MediaCounters) -> dict[int, MovieTrack]:
    """The tracks of a `moov` box by their ids; what is no audio or video, or of no codec that is known, is counted and left out.

    Raises:
        RemoteProtocolError: malformed.
        LimitExceeded: over `MAX_TRACKS`, or another bound.
        UnsupportedError: the file is not fragmented.
    """
    extends = child(body, b"mvex")
    if extends is None:
        raise UnsupportedError("MP4 file that is not fragmented")
    movie_hz = _timescale(child(body, b"mvhd"), "mvhd")
    defaults = dict(_parse_trex(trex) for kind, trex in children(extends) if kind == b"trex")
    traks = [trak for kind, trak in children(body) if kind == b"trak"]
    if len(traks) > MAX_TRACKS:
        raise LimitExceeded("tracks", len(traks), MAX_TRACKS, section=_SECTION)
    tracks: dict[int, MovieTrack] = {}
    for trak in traks:
        try:
            found = _parse_trak(trak, movie_hz, defaults)
        except UnsupportedError as error:
            counters.count(error.what, PassedOver.UNSUPPORTED_CODEC)
            continue
        if found.track.track_id in tracks:
            raise RemoteProtocolError(f"two tracks {found.track.track_id}", section="ISO/IEC 14496-12 §8.3.2")
        tracks[found.track.track_id] = found
    return tracks


def _parse_trex(body: bytes) -> tuple[int, Defaults]:
    reader = _fields(body, "§8.8.3")[1]
    track_id = reader.uint(4)
    reader.take(4)  # default_sample_description_index
    return track_id, Defaults(reader.uint(4), reader.uint(4), reader.uint(4))


def _parse_trak(body: bytes, movie_hz: int, defaults: dict[int, Defaults]) -> MovieTrack:
    handler = child(body, b"mdia", b"hdlr") or b""
    if handler[8:12] not in KINDS:
        raise UnsupportedError(f"handler {handler[8:12]!r}")
    track_id = _track_id(child(body, b"tkhd"))
    timescale_hz = _timescale(child(body, b"mdia", b"mdhd"), "mdhd")
    entry = _parse_descriptions(track_id, child(body, *_MEDIA_PATH))
    return MovieTrack(
        track=entry.track,
        length_size=entry.length_size,
        timescale_hz=timescale_hz,
        shift=_edit_shift(child(body, b"edts", b"elst"), movie_hz, timescale_hz),
        defaults=defaults.get(track_id, Defaults()),
    )


def _parse_descriptions(track_id: int, body: bytes | None) -> Entry:
    """The first sample entry; streams have no other."""
    kind, entry = next(children(body, 8), (b"", b"")) if body else (b"", b"")
    if not kind:
        raise RemoteProtocolError("track without sample entry", section="ISO/IEC 14496-12 §8.5.2")
    return parse_entry(track_id, kind, entry)


def _track_id(tkhd: bytes | None) -> int:
    version, reader = _fields(tkhd or b"", "§8.3.2")
    reader.take(16 if version else 8)  # creation and modification time
    track_id = reader.uint(4)
    if track_id == 0:
        raise RemoteProtocolError("track 0", section="ISO/IEC 14496-12 §8.3.2")
    return track_id


def _timescale(body: bytes | None, kind: str) -> int:
    """The timescale of an `mvhd` or `mdhd` box, which begin alike."""
    version, reader = _fields(body or b"", "§8.2.2")
    reader.take(16 if version else 8)  # creation and modification time
    timescale_hz = reader.uint(4)
    if not 0 < timescale_hz <= MAX_TIMESCALE_HZ:
        raise RemoteProtocolError(f"{kind} with a timescale of {timescale_hz}", section="ISO/IEC 14496-12 §8.2.2")
    return timescale_hz


def _edit_shift(elst: bytes | None, movie_hz: int, timescale_hz: int) -> int:
    """What the edit list adds to times: an empty edit, then where in the media the presentation begins (§8.6.6).

    Edits beyond that cut or repeat what is there, which no stream does.
    """
    if elst is None:
        return 0
    version, reader = _fields(elst, "§8.6.6")
    width, shift = (8 if version else 4), 0
    for _ in range(min(reader.uint(4), 2)):
        duration, begin = reader.uint(width), reader.uint(width)
        reader.take(4)  # media_rate
        if begin != (1 << width * 8) - 1:  # -1 is an empty edit
            return shift - begin
        shift += duration * timescale_hz // movie_hz
    return shift


def _fields(body: bytes, section: str) -> tuple[int, RecordReader]:
    """The version of a full box, and a reader behind its flags."""
    reader = RecordReader(body, f"ISO/IEC 14496-12 {section}")
    return reader.uint(1), _behind_flags(reader)


def _behind_flags(reader: RecordReader) -> RecordReader:
    reader.take(3)
    return reader
