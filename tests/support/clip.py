"""Clips in which no payload comes twice: a player can tell which access unit it has been given, and whether one is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from lalmesh.container.flv import BodyDemuxer
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Codec, Kind
from support.wire import tags_of_file

#: NALU types that transport streams and RTP carry beside the picture: parameter sets, delimiter; with how a type is read, by codec
_OUTPUTS_ADD: dict[Codec, tuple[Callable[[int], int], tuple[int, ...]]] = {
    Codec.H264: (lambda first: first & 0x1F, (7, 8, 9)),
    Codec.H265: (lambda first: first >> 1 & 0x3F, (32, 33, 34, 35)),
}
STEP_TICKS = 4 * TICKS_PER_MS  #: how far a step of time may be from the clip's: RTMP rounds to milliseconds, twice
LOOP_TICKS = 200 * TICKS_PER_MS  #: the same where the clip begins again: its tracks do not end together

UNIT_TICKS = TICKS_PER_SECOND // 10  #: from the last unit of a segment to the first of the next, at most


def digest(unit: AccessUnit, codec: Codec) -> bytes:
    """What names a unit, however it came."""
    if codec not in _OUTPUTS_ADD:
        return hashlib.md5(unit.payload).digest()
    named, (type_of, added) = hashlib.md5(), _OUTPUTS_ADD[codec]
    for nalu in _nalus(unit.payload):
        if type_of(nalu[0]) not in added:
            named.update(nalu)
    return named.digest()


def _nalus(payload: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 < len(payload):
        size = int.from_bytes(payload[at : at + 4], "big")
        yield payload[at + 4 : at + 4 + size]
        at += 4 + size


@dataclass(frozen=True, slots=True)
class Got:
    """One access unit at a player."""

    at_s: float  #: monotonic
    kind: Kind
    name: bytes  #: its `digest`
    dts: int  #: ticks; of fragmented MP4 the presentation time, which is the same in what was published
    random_access: bool


class Clip:
    """What a publisher sends, over and over."""

    def __init__(self, file: Path) -> None:
        """Read an FLV file.

        Raises:
            AssertionError: a payload comes twice.
        """
        self.file = file
        self.times: dict[Kind, list[int]] = {Kind.VIDEO: [], Kind.AUDIO: []}  #: ticks of decoding, in order
        self.numbers: dict[bytes, int] = {}  #: within the units of the same kind
        demuxer = BodyDemuxer()
        for tag in tags_of_file(file):
            for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body):
                if not isinstance(event, AccessUnit) or (track := demuxer.tracks.get(event.track_id)) is None:
                    continue
                if (times := self.times.get(track.kind)) is not None:
                    name = digest(event, track.codec)
                    assert name not in self.numbers, f"{file.name}: unit {len(times)} of {track.kind.value} is not the only one"
                    self.numbers[name] = len(times)
                    times.append(event.dts)


@dataclass
class Verdict:
    """What is wrong with what one player got, and how it went."""

    faults: list[str] = field(default_factory=list)
    units: int = 0
    joints: int = 0  #: where another publication begins
    starts: list[int] = field(default_factory=list)  #: the number in its clip of the first unit behind each joint
    orders: list[tuple[int, float]] = field(default_factory=list)  #: which clip from when on, as the units of it came


def judge(got: Sequence[Got], clips: Sequence[Clip], *, joints: int = 0) -> Verdict:
    """Look at name, sequence and time of every unit.

    Args:
        got: all units of one player in the order in which they came.
        clips: what may have been published.
        joints: how often a unit may not be the next one of its clip, in each kind: a publisher began anew.
    """
    verdict = Verdict(units=len(got))
    for kind in (Kind.VIDEO, Kind.AUDIO):
        of_kind = [one for one in got if one.kind is kind]
        _judge_kind(verdict, of_kind, clips, joints)
    return verdict


def _judge_kind(verdict: Verdict, got: Sequence[Got], clips: Sequence[Clip], joints: int) -> None:
    places = [(one, *_place(one, clips)) for one in got]
    for one, clip, _ in places:
        if clip < 0:
            verdict.faults.append(f"{one.kind.value} at dts {one.dts} is of no clip")
            return
    if places:
        verdict.orders.append((places[0][1], got[0].at_s))
    seen_joints = 0
    for (before, clip, number), (one, its_clip, its_number) in pairwise(places):
        where = f"{one.kind.value} unit {number} of clip {clip} (dts {before.dts}), then {its_number} of {its_clip} ({one.dts})"
        if one.dts <= before.dts:
            verdict.faults.append(f"time does not rise: {where}")
        times = clips[clip].times[one.kind]
        if clip == its_clip and its_number == (number + 1) % len(times):
            planned = times[its_number] - times[number]
            off = abs(one.dts - before.dts - planned) if its_number else abs(one.dts - before.dts)
            if off > (STEP_TICKS if its_number else LOOP_TICKS):
                verdict.faults.append(f"time is {off / TICKS_PER_SECOND:.3f} s off: {where}")
            continue
        seen_joints += 1
        verdict.starts.append(its_number)
        if its_clip != clip:
            verdict.orders.append((its_clip, one.at_s))
        if seen_joints > joints:
            verdict.faults.append(f"not the next: {where}")
    verdict.joints = max(verdict.joints, seen_joints)


def _place(one: Got, clips: Sequence[Clip]) -> tuple[int, int]:
    for index, clip in enumerate(clips):
        if (number := clip.numbers.get(one.name)) is not None:
            return index, number
    return -1, -1


def longest_gap_s(got: Sequence[Got], since_s: float, until_s: float) -> float:
    """How long a player stood still at most: between two units of a kind, minus their media distance, or until now.

    Args:
        got: all units of one player in the order in which they came.
        since_s: only what ends after this counts (monotonic).
        until_s: when it is looked: what has not come by then is waited for since the last of its kind, or, of a player that
            has nothing at all, since `since_s`.
    """
    by_then = [one for one in got if one.at_s <= until_s]
    longest = 0.0 if by_then else until_s - since_s
    for kind in (Kind.VIDEO, Kind.AUDIO):
        of_kind = [one for one in by_then if one.kind is kind]
        for before, one in pairwise(of_kind):
            if one.at_s > since_s:
                longest = max(longest, one.at_s - before.at_s - (one.dts - before.dts) / TICKS_PER_SECOND)
        if of_kind:
            longest = max(longest, until_s - of_kind[-1].at_s)
    return longest


@dataclass(frozen=True, slots=True)
class GotSegment:
    """One segment at a player of HLS; its units come together."""

    at_s: float  #: monotonic, when it was there whole
    first: int  #: the lowest time of decoding in it, ticks
    last: int  #: the highest


def longest_segment_gap_s(got: Sequence[GotSegment], since_s: float, until_s: float) -> float:
    """The same of segments: one is due when as much time has passed as it has media, the next one as the last one has.

    Media that is missing before a segment does not make it due later.
    """
    by_then = [one for one in got if one.at_s <= until_s]
    if not by_then:
        return until_s - since_s
    late = [
        one.at_s - before.at_s - min(one.last - before.last, one.last - one.first + UNIT_TICKS) / TICKS_PER_SECOND
        for before, one in pairwise(by_then)
        if one.at_s > since_s
    ]
    last = by_then[-1]
    return max(0.0, *late, until_s - last.at_s - (last.last - last.first) / TICKS_PER_SECOND)
