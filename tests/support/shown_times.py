"""Whether a player shows each frame that was published, when it was to be shown.

Where frames are framed anew on the way, coded packets cannot be compared: pictures are as they are shown, and sound is without its
framing. Presentation times are the publisher's but for one constant that all tracks share, give or take the millisecond that FLV
and Matroska count in.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

from support import ffmpeg, frames
from support.frames import Recording
from support.media import media

HELD_BACK = 4  #: sounds that ffmpeg gathers for its next packet of AAC over RTP, and does not send at the end
SPREAD_S = Fraction(2, 1000)  #: a millisecond more, and one less
LEAST_S = 2  #: of media in each playback: a player that comes at the very end proves little

#: Rows of pictures as they are shown, and of sound as it comes, which some containers do not say that one may begin with.
SHOWN = ("-map", "0:v?", "-map", "0:a?", *frames.DECODED, "-c:a", "copy", "-copyinkf:a")

Shown: TypeAlias = tuple[Fraction, str]  #: presentation time in seconds, and hash


@cache
def source(name: str) -> Recording:
    """What is published of a test file, as it is shown."""
    return of_file(media(name))


def of_file(file: Path, *, adts: bool = False) -> Recording:
    """What a file shows; `adts`: its sound is AAC in that framing, which is taken off."""
    return frames.of_outputs(file, _shown(adts=adts))[0]


def of_file_as_coded_too(file: Path, *, adts: bool = False) -> tuple[Recording, Recording]:
    """The same, and the packets of the file as `frames.of_file` has them."""
    shown, coded = frames.of_outputs(file, _shown(adts=adts), ffmpeg.FRAME_HASHES)
    return shown, coded


def _shown(*, adts: bool) -> tuple[str, ...]:
    return (*SHOWN, "-bsf:a", "aac_adtstoasc") if adts else SHOWN


def check_times(
    sent: Recording,
    got: Recording,
    held_back: int = 0,
    spread_s: Fraction = SPREAD_S,
    after_s: Fraction | int = 0,
    kinds: Sequence[str] | None = None,
    join_s: Fraction | int = 0,
    unplaced_s: Fraction | int = 0,
) -> None:
    """Check that from the first picture on (where there is none: the first sound) everything is shown, and in time.

    Args:
        sent: what was published, as `source` gives it.
        got: what a player got, in the same way.
        held_back: so many sounds may be missing at the end.
        spread_s: between the frame that is most late and the one that is least, of all tracks.
        after_s: times are looked at from there on, in seconds of what was sent.
        kinds: None: all that was sent.
        join_s: so much later than the first picture the sound may begin: what overtook that picture on its way was before it.
        unplaced_s: so long from the first picture on, frames have to be there, but times are not looked at.

    Raises:
        AssertionError: with what is missing, or how far times are off.
    """
    kinds = sent.kinds if kinds is None else kinds
    lead = kinds[0]
    offset = _offset(times(sent, lead), times(got, lead))
    begin = times(got, lead)[0][0] - offset
    looked_at_s = max(after_s, begin + unplaced_s) if unplaced_s else after_s
    late: dict[str, list[Fraction]] = {}
    for kind in kinds:
        pairs = _pairs(kind, times(sent, kind), times(got, kind), offset, held_back if kind == "audio" else 0)
        _check_begin(kind, times(sent, kind), pairs, begin + join_s)
        late[kind] = [after - before for before, after in pairs if before >= looked_at_s]
        assert late[kind], f"no {kind} from {float(looked_at_s)} s on"
    _check_spread(late, spread_s)
    assert times(got, lead)[-1][0] - times(got, lead)[0][0] >= LEAST_S


def times(recording: Recording, kind: str) -> list[Shown]:
    """What a track shows, in the order in which it is shown."""
    stream = recording.stream(kind)
    assert stream is not None, f"no {kind}"
    return sorted(((frame.pts * stream.time_base, frame.md5) for frame in recording.track(kind)), key=itemgetter(0))


def check_decode_times(coded: Recording) -> None:
    """Check that decode times of each track rise, and that nothing is to be shown before it is decoded."""
    for kind in coded.kinds:
        track = coded.track(kind)
        fallen = next((f"{one}\n{two}" for one, two in pairwise(track) if one.dts >= two.dts), None)
        assert fallen is None, f"{kind} does not rise:\n{fallen}"
        late = next((str(frame) for frame in track if frame.pts < frame.dts), None)
        assert late is None, f"{kind} is decoded after it is to be shown:\n{late}"


def _offset(sent: Sequence[Shown], got: Sequence[Shown]) -> Fraction:
    """By how much a track is later than it was sent; a tone has the same sound more than once, so where most of it agrees."""
    first_time, first_hash = got[0]
    places = [index for index, (_, md5) in enumerate(sent) if md5 == first_hash]
    assert places, "the first frame was never sent"
    hashes = [md5 for _, md5 in got]

    def agreement(place: int) -> int:
        return sum(one == other for one, (_, other) in zip(hashes, sent[place:], strict=False))

    return first_time - sent[max(places, key=agreement)][0]


def _pairs(
    kind: str, sent: Sequence[Shown], got: Sequence[Shown], offset: Fraction, held_back: int
) -> list[tuple[Fraction, Fraction]]:
    """When each frame was sent and got, from the first that was got on: none between is missing, and `held_back` at the end."""
    same = [index for index, (_, md5) in enumerate(sent) if md5 == got[0][1]]
    assert same, f"the first {kind} was never sent"
    rest = sent[min(same, key=lambda index: abs(sent[index][0] + offset - got[0][0])) :]
    other = next((before for (before, one), (_, two) in zip(rest, got, strict=False) if one != two), None)
    assert other is None, f"other {kind} than was sent at {float(other or 0)} s"
    missing = len(rest) - len(got)
    assert 0 <= missing <= held_back, f"{missing} of {len(rest)} frames of {kind} are missing at the end"
    return [(before, after) for (before, _), (after, _) in zip(rest, got, strict=False)]


def _check_begin(kind: str, sent: Sequence[Shown], pairs: Sequence[tuple[Fraction, Fraction]], begin: Fraction) -> None:
    """A track is there from where the leading one is."""
    due = next((time for time, _ in sent if time >= begin), begin)
    assert pairs[0][0] <= due, f"{kind} begins at {float(pairs[0][0])} s, the playback at {float(begin)} s"


def _check_spread(late: dict[str, list[Fraction]], spread_s: Fraction) -> None:
    everything = [by for each in late.values() for by in each]
    said = ", ".join(f"{kind} {float(min(each) * 1000):.3f} to {float(max(each) * 1000):.3f} ms" for kind, each in late.items())
    assert max(everything) - min(everything) <= spread_s, f"times differ: {said}"
