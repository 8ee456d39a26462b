"""Whether what a player got is what the publisher sent: packet hashes and times, compared row by row.

The rows are ffmpeg's ``framemd5`` of packets that it copies without decoding: the hash is over the coded bytes as the FLV demuxer
hands them out, the times are the wire's milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from support import ffmpeg

CONTEXT_ROWS = 3  #: rows shown before and after the first difference
DECODED = ("-fps_mode", "passthrough", "-enc_time_base", "demux")  #: every picture as it comes, at the times that it has
TAIL_MS = 500  #: how far apart the tracks of a recording that was cut off may end


@dataclass(slots=True, frozen=True)
class Stream:
    """One track as ffmpeg sees it."""

    index: int
    kind: str  #: ``video``, ``audio``, ``data``
    codec: str  #: ffmpeg's name
    time_base: Fraction  #: seconds a tick
    extradata: str | None  #: hash of the decoder configuration, None where there is none


@dataclass(slots=True, frozen=True)
class Frame:
    """One coded packet."""

    stream: int  #: index of its stream
    dts: int  #: ticks of the stream's time base
    pts: int  #: ticks of the stream's time base
    size: int  #: bytes
    md5: str

    def __str__(self) -> str:
        """One line for a failure message."""
        return f"dts {self.dts:>8}  pts {self.pts:>8}  {self.size:>7} bytes  {self.md5}"


@dataclass(slots=True, frozen=True)
class Recording:
    """All packets of a file or a playback, in the order in which they came."""

    streams: tuple[Stream, ...]
    frames: tuple[Frame, ...]

    def stream(self, kind: str) -> Stream | None:
        """The first stream of that kind."""
        return next((stream for stream in self.streams if stream.kind == kind), None)

    def track(self, kind: str) -> list[Frame]:
        """The packets of the first stream of that kind."""
        stream = self.stream(kind)
        return [frame for frame in self.frames if stream is not None and frame.stream == stream.index]

    @property
    def kinds(self) -> list[str]:
        """Video first, then audio, as far as present: the order in which a join is looked for."""
        return [kind for kind in ("video", "audio") if self.stream(kind) is not None]


@dataclass(slots=True, frozen=True)
class Join:
    """Where a playback stands in its source."""

    offset_ms: int  #: received time less source time, the same for all tracks
    first_dts_ms: int  #: source time of the first packet of the leading track
    counts: dict[str, int]  #: packets compared, by kind


def parse(text: str) -> Recording:
    """The rows of a ``framemd5`` output; a last line without its end is left out, since the writer may have been cut off."""
    head: dict[tuple[str, int], str] = {}
    frames: list[Frame] = []
    lines = text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]
    for line in lines:
        if line.startswith("#"):
            _keep_header(head, line)
        elif line.strip():
            frames.append(_frame(line))
    indexes = sorted(index for what, index in head if what == "tb")
    return Recording(tuple(_stream(head, index) for index in indexes), tuple(frames))


def _keep_header(head: dict[tuple[str, int], str], line: str) -> None:
    name, _, value = line[1:].partition(":")
    if name.startswith("extradata"):  # "#extradata 0,   45, hash": the one header line with a comma for a colon
        index, _, rest = line.removeprefix("#extradata ").partition(",")
        head["extradata", int(index)] = rest.rpartition(",")[2].strip()
        return
    what, _, number = name.rpartition(" ")
    if what and number.isdigit():
        head[what, int(number)] = value.strip()


def _stream(head: dict[tuple[str, int], str], index: int) -> Stream:
    return Stream(
        index=index,
        kind=head.get(("media_type", index), "data"),
        codec=head.get(("codec_id", index), ""),
        time_base=Fraction(head["tb", index]),
        extradata=head.get(("extradata", index)),
    )


def _frame(row: str) -> Frame:
    stream, dts, pts, _duration, size, md5 = (field.strip() for field in row.split(",")[:6])
    return Frame(int(stream), int(dts), int(dts if pts == "NOPTS" else pts), int(size), md5)


def read(rows: Path) -> Recording:
    """What a `support.ffmpeg.Player` has written so far."""
    return parse(rows.read_text() if rows.exists() else "")


def of_file(file: Path, *, loops: int = 0) -> Recording:
    """The packets of a media file, played `loops` times more after the first, as a publisher with the same `loops` sends them."""
    return parse(ffmpeg.run("-copyts", "-stream_loop", str(loops), "-i", file, *ffmpeg.FRAME_HASHES, "-"))


@cache
def of_source(file: Path, *, loops: int = 0) -> Recording:
    """The same of a file that stays as it is, looked at once."""
    return of_file(file, loops=loops)


def of_outputs(file: Path, *outputs: Sequence[str]) -> list[Recording]:
    """What one look at a media file gives, with the options of each output."""
    with TemporaryDirectory() as folder:
        rows = [Path(folder, str(number)) for number in range(len(outputs))]
        written: list[str | Path] = []
        for options, path in zip(outputs, rows, strict=True):
            written += [*options, "-f", "framemd5", path]
        ffmpeg.run("-copyts", "-i", file, *written)
        return [read(path) for path in rows]


def of_transport_stream(file: Path) -> Recording:
    """What a MPEG-TS file shows and sounds like: hashes of decoded pictures, and of the audio's packets without their framing."""
    return _shown_and_heard(file, {"aac": ("-bsf:a", "aac_adtstoasc")})


def as_transport_stream(file: Path) -> Recording:
    """The same of a file of another format, to compare with. Pictures have no DTS of their own then: it is their PTS."""
    return _shown_and_heard(file, {})


def _shown_and_heard(file: Path, unframed: Mapping[str, tuple[str, ...]]) -> Recording:
    """Pictures decoded, sound copied with the options that its codec has in `unframed`."""
    streams: list[Stream] = []
    frames: list[Frame] = []
    outputs: list[Sequence[str]] = []
    for coded in (stream for stream in of_file(file).streams if stream.kind in ("video", "audio")):
        hashing = DECODED if coded.kind == "video" else ("-c", "copy", *unframed.get(coded.codec, ()))
        outputs.append(("-map", f"0:{coded.index}", *hashing))
    for part in of_outputs(file, *outputs):
        frames += [replace(frame, stream=len(streams)) for frame in part.frames]
        streams.append(replace(part.streams[0], index=len(streams), extradata=None))
    return Recording(tuple(streams), tuple(frames))


def in_ms(recording: Recording) -> Recording:
    """The same with times in milliseconds from the first on, whatever each track counted in.

    Raises:
        AssertionError: a time is no whole number of milliseconds after the first, so it is not what FLV had.
    """
    bases = {stream.index: stream.time_base for stream in recording.streams}
    first = min(frame.dts * bases[frame.stream] for frame in recording.frames)

    def since(frame: Frame, ticks: int) -> int:
        time = (ticks * bases[frame.stream] - first) * 1000
        assert time.denominator == 1, f"{frame} is {float(time)} ms after the first"
        return int(time)

    frames = tuple(replace(frame, dts=since(frame, frame.dts), pts=since(frame, frame.pts)) for frame in recording.frames)
    return Recording(tuple(replace(stream, time_base=Fraction(1, 1000)) for stream in recording.streams), frames)


def assert_same_from_join(source: Recording, received: Recording, *, to_end: bool = False, tail_ms: int = TAIL_MS) -> Join:
    """Check that `received` is `source` from some packet of its leading track (video, else audio) on.

    From the join on each track has the same packets in the same order, none missing, none doubled, and its DTS and PTS are the
    source's plus one constant that all tracks share. Audio may begin before the join, but not after it.

    Args:
        source: what was published.
        received: what a player got.
        to_end: the player stayed until the end, so the last packets have to be there too.
        tail_ms: else, how far apart the tracks may end.
    Returns:
        Where the playback stands in the source.
    Raises:
        AssertionError: with the first difference and the rows around it.
    """
    _check_streams(source, received)
    lead = source.kinds[0]
    join = _find_join(lead, source.track(lead), received.track(lead))
    starts = {lead: join}
    first = source.track(lead)[join]
    offset = received.track(lead)[0].dts - first.dts
    for kind in source.kinds[1:]:
        starts[kind] = _find_start(kind, source.track(kind), received.track(kind), first.dts, offset)
    for kind, start in starts.items():
        _check_track(kind, source.track(kind)[start:], received.track(kind), offset, to_end)
    if not to_end:
        _check_tails(source, received, starts, offset, tail_ms)
    return Join(offset, first.dts, {kind: len(received.track(kind)) for kind in source.kinds})


def _check_streams(source: Recording, received: Recording) -> None:
    assert source.kinds, "the source has neither video nor audio"
    for kind in source.kinds:
        sent, got = source.stream(kind), received.stream(kind)
        assert sent is not None
        assert got is not None, f"no {kind} received; streams: {[f'{s.kind} {s.codec}' for s in received.streams]}"
        assert got.codec == sent.codec, f"{kind} received as {got.codec}, sent as {sent.codec}"
        assert got.time_base == sent.time_base, f"{kind} counts {got.time_base} s, the source {sent.time_base} s"
        assert got.extradata == sent.extradata, f"the decoder configuration of the {kind} differs from the source's"
        assert received.track(kind), f"no {kind} packet received"


def _find_join(kind: str, sent: Sequence[Frame], got: Sequence[Frame]) -> int:
    """Where in `sent` the first of `got` stands; of several places with that packet the one from where most agrees."""
    places = [index for index, frame in enumerate(sent) if frame.md5 == got[0].md5]
    assert places, f"the first {kind} packet received was never sent:\n  {got[0]}\n{_rows('sent', sent, 0)}"
    return max(places, key=lambda place: _agreement(sent, got, place))


def _agreement(sent: Sequence[Frame], got: Sequence[Frame], place: int) -> int:
    offset = got[0].dts - sent[place].dts
    pairs = zip(sent[place:], got, strict=False)
    return next((n for n, (old, new) in enumerate(pairs) if _difference(old, new, offset)), len(got))


def _find_start(kind: str, sent: Sequence[Frame], got: Sequence[Frame], join_dts: int, offset: int) -> int:
    """Where in `sent` the track begins that has to be complete from `join_dts` on."""
    due = next((index for index, frame in enumerate(sent) if frame.dts >= join_dts), len(sent))
    at = got[0].dts - offset
    places = [index for index, frame in enumerate(sent) if frame.dts == at]
    if not places:
        same = [frame.dts for frame in sent if frame.md5 == got[0].md5]
        moved = f"; the packet of that hash stands {at - min(same, key=lambda dts: abs(dts - at)):+d} ms off" if same else ""
        raise AssertionError(f"no {kind} was sent at {at} ms (received at {got[0].dts}, less the offset {offset}){moved}")
    start = next((index for index in places if sent[index].md5 == got[0].md5), places[0])
    assert start <= due, f"{kind} begins {start - due} packets after the join at {join_dts} ms:\n{_rows('missing', sent, due)}"
    return start


def _difference(sent: Frame, got: Frame, offset: int) -> str:
    if sent.md5 != got.md5:
        return "other bytes"
    if sent.dts + offset != got.dts:
        return f"dts is {got.dts - sent.dts - offset:+d} ms off"
    return f"pts is {got.pts - sent.pts - offset:+d} ms off" if sent.pts + offset != got.pts else ""


def _check_track(kind: str, sent: Sequence[Frame], got: Sequence[Frame], offset: int, to_end: bool) -> None:
    for index, (old, new) in enumerate(zip(sent, got, strict=False)):
        what = _difference(old, new, offset)
        if what:
            raise AssertionError(
                f"{kind} packet {index} after the join: {_diagnosis(sent, got, index) or what} (offset {offset} ms)\n"
                f"{_rows('sent', sent, index)}\n{_rows('received', got, index)}"
            )
    assert len(got) <= len(sent), f"{len(got) - len(sent)} {kind} packets more than were sent:\n{_rows('extra', got, len(sent))}"
    if to_end:
        assert len(got) == len(sent), (
            f"the last {len(sent) - len(got)} {kind} packets are missing:\n{_rows('sent', sent, len(got))}"
        )


def _diagnosis(sent: Sequence[Frame], got: Sequence[Frame], index: int) -> str:
    """What happened at the first difference, as far as the neighbours tell."""
    new = got[index].md5
    if new == sent[index].md5:
        return ""
    if index and got[index].md5 == got[index - 1].md5:
        return "a packet came twice"
    later = [frame.md5 for frame in sent[index + 1 :]]
    if new in later:
        return f"{later.index(new) + 1} packets are missing"
    return "a packet was sent again" if new in (frame.md5 for frame in sent[:index]) else "a packet has other bytes"


def _check_tails(source: Recording, received: Recording, starts: dict[str, int], offset: int, tail_ms: int) -> None:
    ends = {kind: received.track(kind)[-1].dts - offset for kind in starts}
    last = max(ends.values())
    for kind, start in starts.items():
        rest = source.track(kind)[start + len(received.track(kind)) :]
        missing = [frame for frame in rest if frame.dts < last - tail_ms]
        assert not missing, f"{kind} stopped at {ends[kind]} ms, the rest went on to {last} ms:\n{_rows('missing', missing, 0)}"


def _rows(title: str, frames: Sequence[Frame], index: int) -> str:
    first = max(0, index - CONTEXT_ROWS)
    shown: Iterable[tuple[int, Frame]] = enumerate(frames[first : index + CONTEXT_ROWS + 1], first)
    return "\n".join([f"  {title}:", *(f"  {'>' if number == index else ' '} {number:>5}  {frame}" for number, frame in shown)])
