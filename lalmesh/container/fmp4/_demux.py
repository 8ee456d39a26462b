"""Fragmented MP4 in, access units out (ISO/IEC 14496-12)."""

from __future__ import annotations

from collections.abc import Iterator

from lalmesh.codec.nalu import relength
from lalmesh.container.fmp4._boxes import parse_header
from lalmesh.container.fmp4._constants import NON_SYNC_SAMPLE
from lalmesh.container.fmp4._fragments import MAX_FRAGMENT_BYTES
from lalmesh.container.fmp4._movie import MovieTrack, parse_movie
from lalmesh.container.fmp4._movie_fragments import FragmentReader, SampleRef
from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.media import AccessUnit, Kind, MediaCounters, MediaEvent, TracksChanged, TrackSet, rescale

MAX_MOOV_BYTES = 1 << 20  #: an init segment of ten tracks with all their parameter sets is below 64 KiB
MAX_MOOF_BYTES = 2 << 20  #: 65,536 samples of 16 bytes, and their headers
MAX_MDAT_BYTES = MAX_FRAGMENT_BYTES  #: of a fragment: it is taken when it is whole

_SECTION = "ISO/IEC 14496-12 §8.8"
_HELD = {b"moov": MAX_MOOV_BYTES, b"moof": MAX_MOOF_BYTES, b"mdat": MAX_MDAT_BYTES}


class Fmp4Demuxer:
    """Demux one stream of init segments and fragments. A track has the id that the file gives it.

    It holds at most one box of those that it reads and what one call of `feed` brings; all others are passed over as they come.
    """

    def __init__(self) -> None:
        """Wait for an init segment."""
        self.counters = MediaCounters()  #: tracks of no codec that is known here
        self.tracks = TrackSet()  #: so far
        self._buffer = bytearray()
        self._position = 0  # offset in the file of what the buffer begins with
        self._to_skip = 0  # bytes of a box that is passed over
        self._movie: dict[int, MovieTrack] = {}
        self._fragments = FragmentReader({})
        self._samples: list[SampleRef] = []  # of a `moof` whose `mdat` has not come

    def feed(self, data: bytes) -> Iterator[MediaEvent]:
        """Iterate over what `data` completed: units of one fragment in the order of their decode times.

        Raises:
            RemoteProtocolError: malformed; after it the demuxer is of no more use. The good events come first.
            LimitExceeded: a box is over its bound.
            UnsupportedError: the file is not fragmented.
        Source: ISO/IEC 14496-12 §8.8
        """
        self._buffer += data  # kept even if the caller drops the iterator
        return self._events()

    def _events(self) -> Iterator[MediaEvent]:
        while (taken := self._next_box()) is not None:
            kind, body, start, body_start = taken
            match kind:
                case b"moov":
                    yield from self._begin(body)
                case b"moof":
                    self._samples = self._fragments.read(body, start)
                case _:
                    samples, self._samples = self._samples, []
                    yield from self._units(samples, body, body_start)

    def _next_box(self) -> tuple[bytes, bytes, int, int] | None:
        """The next whole box that is read: kind, body, and the offsets in the file of both; None where it is not whole."""
        while True:
            if self._to_skip:
                self._drop(min(self._to_skip, len(self._buffer)))
            header = None if self._to_skip else parse_header(self._buffer)
            if header is None:
                return None
            kind, header_bytes, size = header
            limit = _HELD.get(kind)
            if limit is None:
                self._to_skip = size
                continue
            if size > limit:
                raise LimitExceeded(f"{kind!r} bytes", size, limit, section=_SECTION, at=self._position)
            if len(self._buffer) < size:
                return None
            with memoryview(self._buffer) as view:
                body = bytes(view[header_bytes:size])
            start = self._position
            del self._buffer[:size]
            self._position += size
            return kind, body, start, start + header_bytes

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._position += count
        self._to_skip -= count

    def _begin(self, body: bytes) -> list[MediaEvent]:
        """An init segment: tracks keep their version where nothing of them changed."""
        self._movie = parse_movie(body, self.counters)
        self._samples = []
        self._fragments = FragmentReader({track_id: found.defaults for track_id, found in self._movie.items()})
        tracks = tuple(found.track.after(self.tracks.get(found.track.track_id)) for found in self._movie.values())
        if tracks == self.tracks.tracks:
            return []
        self.tracks = TrackSet(tracks, self.tracks.version + 1)
        return [TracksChanged(self.tracks)]

    def _units(self, samples: list[SampleRef], data: bytes, data_start: int) -> Iterator[MediaEvent]:
        if sum(sample.size for sample in samples) > len(data):  # so that no byte is given twice
            raise RemoteProtocolError(f"samples of over the {len(data)} bytes of their mdat", section=_SECTION, at=data_start)
        timed = [(self._movie[sample.track_id], sample) for sample in samples]
        timed.sort(key=lambda pair: _ticks(pair[0], pair[1].dts))
        for movie_track, sample in timed:
            at = sample.start - data_start
            if at < 0 or at + sample.size > len(data):
                raise RemoteProtocolError(f"sample at {sample.start} is not in its mdat", section=_SECTION, at=data_start)
            payload = relength(data[at : at + sample.size], movie_track.length_size)
            if payload:
                yield _unit(movie_track, sample, payload)


def _unit(movie_track: MovieTrack, sample: SampleRef, payload: bytes) -> AccessUnit:
    dts = _ticks(movie_track, sample.dts)
    random_access = movie_track.track.kind is Kind.AUDIO or not sample.flags & NON_SYNC_SAMPLE
    return AccessUnit(sample.track_id, dts, _ticks(movie_track, sample.dts + sample.cts) - dts, random_access, payload)


def _ticks(movie_track: MovieTrack, time: int) -> int:
    return rescale(time + movie_track.shift, movie_track.timescale_hz)
