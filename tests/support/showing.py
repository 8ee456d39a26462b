"""Whether what a player shows is what a camera showed, as far as nothing of it was lost on the way."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fractions import Fraction

from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Kind
from support.camera_film import Film
from support.camera_ways import Place
from support.frames import Recording

SPREAD_S = Fraction(2, 1000)  #: of times that FLV counts in ms: one more, one less


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture, or a sound."""

    time_s: Fraction  #: when it is shown
    md5: str  #: of its pixels, or of its bytes


@dataclass(frozen=True, slots=True)
class Showing:
    """What a film is, and what of it was lost."""

    film: Film
    source: Recording  #: its file, pictures decoded, sound without its framing
    touched: AbstractSet[Place] = frozenset()  #: units of which something was lost

    def check(self, got: Recording, *, least_s: float, only_right: bool, held_s: Fraction = Fraction(0)) -> None:
        """Check a playback that began at some time, and went on to the end.

        From its first picture on, everything is there and as it was that was not lost and that needs nothing that was: a picture
        after a loss needs the next random access point. Times are the film's but for one constant that pictures and sound share.

        Args:
            got: as `source`.
            least_s: of pictures, or it proves little.
            only_right: nothing else is there, either.
            held_s: how long the first picture may have been held up on its way: sound that passed it meanwhile is not there.

        Raises:
            AssertionError: with the first difference.
        """
        pictures = _frames(got, "video")
        assert pictures, "no picture"
        offset_s = self._offset_s(pictures)
        assert pictures[-1].time_s - pictures[0].time_s >= least_s
        begin_s = pictures[0].time_s - offset_s
        self._check_track("video", pictures, offset_s, begin_s, only_right=only_right)
        self._check_track("audio", _frames(got, "audio"), offset_s, begin_s + held_s, only_right=True)

    def _offset_s(self, pictures: list[Frame]) -> Fraction:
        """By how much the playback is later: what most of its pictures say."""
        times = {frame.md5: frame.time_s for frame in _frames(self.source, "video")}
        said = Counter(round(frame.time_s - times[frame.md5], 3) for frame in pictures if frame.md5 in times)
        assert said, "none of the pictures was ever sent"
        return said.most_common(1)[0][0]

    def _check_track(self, kind: str, got: list[Frame], offset_s: Fraction, begin_s: Fraction, *, only_right: bool) -> None:
        sent = _frames(self.source, kind)
        needed = {time_s for time_s in self._whole(Kind(kind)) if time_s >= begin_s}
        for frame in got:
            twin = _nearest(sent, frame.time_s - offset_s)
            assert twin is not None, f"{kind} at {float(frame.time_s - offset_s)} s, where none is"
            is_right = frame.md5 == twin.md5
            assert is_right or not only_right, f"{kind} at {float(twin.time_s)} s is another"
            if is_right:
                needed.discard(twin.time_s)
        assert not needed, f"{kind} missing or broken at {[float(time_s) for time_s in sorted(needed)]} s"

    def _whole(self, kind: Kind) -> list[Fraction]:
        """The times of what nothing is missing of, nor of what it refers to."""
        number = next(index for index, track in enumerate(self.film.tracks) if track.kind is kind)
        times, is_broken = list[Fraction](), False
        for index, unit in enumerate(self._units(number)):
            if unit.random_access:
                is_broken = False
            is_broken |= (number, index) in self.touched
            if not is_broken:
                times.append(Fraction(unit.pts, TICKS_PER_SECOND))
        return times

    def _units(self, number: int) -> list[AccessUnit]:
        return [unit for place, unit in self.film.units if place == number]


def _frames(recording: Recording, kind: str) -> list[Frame]:
    """Those of a track, as they are shown."""
    stream = recording.stream(kind)
    assert stream is not None, f"no {kind}"
    frames = [Frame(frame.pts * stream.time_base, frame.md5) for frame in recording.track(kind)]
    return sorted(frames, key=lambda frame: frame.time_s)


def _nearest(sent: list[Frame], time_s: Fraction) -> Frame | None:
    """The frame at a time; None where there is none within the spread."""
    place = bisect_left(sent, time_s - SPREAD_S, key=lambda frame: frame.time_s)
    return sent[place] if place < len(sent) and sent[place].time_s <= time_s + SPREAD_S else None
