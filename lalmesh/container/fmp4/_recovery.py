"""Files that a crash left unfinished: how much of one is whole, and what finishes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from lalmesh.container.fmp4._boxes import LARGE_HEADER_BYTES, child, full_box, parse_header
from lalmesh.container.fmp4._constants import NON_SYNC_SAMPLE
from lalmesh.container.fmp4._demux import MAX_MOOF_BYTES, MAX_MOOV_BYTES
from lalmesh.container.fmp4._files import FileContents, FileEnd
from lalmesh.container.fmp4._index import mfra
from lalmesh.container.fmp4._movie import MovieTrack, parse_movie
from lalmesh.container.fmp4._movie_fragments import FragmentReader
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import Kind, MediaCounters, rescale

Read = Callable[[int, int], bytes]  #: ``read(offset, size)``: those bytes of a file, fewer at its end

_DURATION = slice(24, 32)  # of an `mvhd` of version 1, behind version, flags, two times and the timescale


class Box(NamedTuple):
    """A whole box at the top level of a file."""

    kind: bytes
    start: int  #: offset in the file
    body_start: int
    end: int


def whole_boxes(read: Read, size: int) -> Iterator[Box]:
    """Iterate over the boxes of a file of `size` bytes, up to the first that is cut off or is none."""
    at = 0
    while at < size:
        try:
            header = parse_header(read(at, LARGE_HEADER_BYTES))
        except RemoteProtocolError:
            return
        if header is None or at + header[2] > size:
            return
        kind, header_bytes, box_bytes = header
        yield Box(kind, at, at + header_bytes, at + box_bytes)
        at += box_bytes


def whole_fragments_end(read: Read, size: int) -> int:
    """The offset behind the last whole `moof` and `mdat` of a file that was still growing: what follows is to be cut off.

    Without any it is that behind the init segment, and 0 where not even that is whole.

    Args:
        read: gives bytes of the file: ``read(offset, size)``.
        size: of the file, in bytes.
    """
    end, before = 0, b""
    for found in whole_boxes(read, size):
        if found.kind == b"moov" or (found.kind == b"mdat" and before == b"moof"):
            end = found.end
        before = found.kind
    return end


def file_contents(read: Read, size: int) -> FileContents:
    """The random access points and the duration of a file, as `FragmentedFile` knew them; only headers are read.

    Args:
        read: gives bytes of the file: ``read(offset, size)``.
        size: of the file up to `whole_fragments_end`, in bytes.

    Raises:
        RemoteProtocolError: malformed: another program wrote it, or the disk is broken.
        UnsupportedError: not fragmented.
    """
    scan = _Scan(read)
    for found in whole_boxes(read, size):
        scan.take(found)
    return scan.contents


def recover_file(read: Read, size: int) -> FileEnd | None:
    """What finishes a file that `FragmentedFile` began and a crash left as it was; None where it has no whole fragment.

    Args:
        read: gives bytes of the file: ``read(offset, size)``.
        size: of the file, in bytes.

    Raises:
        RemoteProtocolError: malformed: another program wrote it, or the disk is broken.
        UnsupportedError: not fragmented.
    """
    end = whole_fragments_end(read, size)
    moov = next((found for found in whole_boxes(read, end) if found.kind == b"moov"), None)
    if moov is None or moov.end == end or moov.end > MAX_MOOV_BYTES:
        return None
    contents = file_contents(read, end)
    head = _with_duration(read(0, moov.end), moov.body_start, contents.duration_ticks)
    return FileEnd(keep_bytes=end, head=head, tail=mfra(contents.entries), duration_ticks=contents.duration_ticks)


def _with_duration(head: bytes, moov_start: int, duration_ticks: int) -> bytes:
    """The init segment with another duration, where it has the fields for one (ISO/IEC 14496-12 §8.2.2, §8.8.2)."""
    duration = duration_ticks.to_bytes(8, "big")
    mehd = child(head[moov_start:], b"mvex", b"mehd")
    mvhd = child(head[moov_start:], b"mvhd")
    if mehd is None or mvhd is None or mehd[0] != 1 or mvhd[0] != 1:
        return head
    head = head.replace(b"mehd" + mehd, full_box(b"mehd", 1, 0, duration)[4:], 1)
    return head.replace(b"mvhd" + mvhd, b"mvhd" + mvhd[: _DURATION.start] + duration + mvhd[_DURATION.stop :], 1)


class _Scan:
    """Read the headers of a file in order."""

    def __init__(self, read: Read) -> None:
        self.contents = FileContents()
        self._read = read
        self._movie: dict[int, MovieTrack] = {}
        self._fragments = FragmentReader({})

    def take(self, found: Box) -> None:
        body_bytes = found.end - found.body_start
        if found.kind == b"moov" and body_bytes <= MAX_MOOV_BYTES:
            self._movie = parse_movie(self._read(found.body_start, body_bytes), MediaCounters())
            self._fragments = FragmentReader({track_id: one.defaults for track_id, one in self._movie.items()})
        elif found.kind == b"moof" and body_bytes <= MAX_MOOF_BYTES:
            self._take_fragment(self._read(found.body_start, body_bytes), found.start)

    def _take_fragment(self, body: bytes, moof_start: int) -> None:
        self.contents.begin_fragment(moof_start)
        for sample in self._fragments.read(body, moof_start):
            movie_track = self._movie[sample.track_id]
            is_point = movie_track.track.kind is Kind.VIDEO and not sample.flags & NON_SYNC_SAMPLE
            dts, pts, end = (
                rescale(time + movie_track.shift, movie_track.timescale_hz)
                for time in (sample.dts, sample.dts + sample.cts, sample.dts + sample.duration)
            )
            self.contents.add(sample.track_id, dts, pts, end - dts, is_point=is_point)
