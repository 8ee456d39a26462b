"""What the comparison of playbacks finds."""

from __future__ import annotations

from fractions import Fraction

import pytest
from support.frames import Frame, Recording, Stream
from support.shown_times import check_times

STREAMS = (
    Stream(0, "video", "rawvideo", Fraction(1, 1000), None),
    Stream(1, "audio", "aac", Fraction(1, 1000), None),
)
PICTURES = [Frame(0, 40 * at, 40 * at, 1, f"picture {at}") for at in range(100)]
SOUNDS = [Frame(1, 20 * at, 20 * at, 1, f"sound {at % 50}") for at in range(200)]  # a tone: each second is the same
SENT = Recording(STREAMS, (*PICTURES, *SOUNDS))
LATE_MS = 7_000


def later(frames: list[Frame], ms: int = LATE_MS) -> list[Frame]:
    return [Frame(one.stream, one.dts + ms, one.pts + ms, one.size, one.md5) for one in frames]


def check(pictures: list[Frame], sounds: list[Frame], held_back: int = 0, after_s: int = 0, unplaced_s: Fraction | int = 0) -> None:
    check_times(SENT, Recording(STREAMS, (*pictures, *sounds)), held_back, after_s=after_s, unplaced_s=unplaced_s)


def test_all_of_it_from_a_join_on_is_right() -> None:
    check(later(PICTURES), later(SOUNDS))
    check(later(PICTURES[25:]), later(SOUNDS[45:]))


def test_a_millisecond_to_each_side_is_nothing() -> None:
    check(later(PICTURES), later(SOUNDS[:50], LATE_MS - 1) + later(SOUNDS[50:], LATE_MS + 1))


def test_two_frames_that_were_swapped_are_found() -> None:
    pictures = later(PICTURES)
    one, two = pictures[40:42]
    pictures[40:42] = [Frame(0, one.dts, one.pts, 1, two.md5), Frame(0, two.dts, two.pts, 1, one.md5)]
    with pytest.raises(AssertionError, match=r"other video than was sent at 1\.6 s"):
        check(pictures, later(SOUNDS))


@pytest.mark.parametrize("ms", [-5, -3, 3, 5])
def test_sound_that_is_off_is_found(ms: int) -> None:
    with pytest.raises(AssertionError, match="times differ: video 7000"):
        check(later(PICTURES), later(SOUNDS, LATE_MS + ms))


def test_a_frame_that_is_missing_is_found() -> None:
    with pytest.raises(AssertionError, match=r"other audio than was sent at 1\.2 s"):
        check(later(PICTURES), later([one for one in SOUNDS if one.pts != 1_200]))


def test_a_track_that_begins_late_or_ends_early_is_found() -> None:
    with pytest.raises(AssertionError, match=r"audio begins at 1\.02 s, the playback at 1\.0 s"):
        check(later(PICTURES[25:]), later(SOUNDS[51:]))
    with pytest.raises(AssertionError, match="5 of 200 frames of audio are missing at the end"):
        check(later(PICTURES), later(SOUNDS[:-5]), held_back=4)
    check(later(PICTURES), later(SOUNDS[:-4]), held_back=4)


def test_times_are_looked_at_from_when_they_are_to_be_right() -> None:
    check(
        later(PICTURES[:10], LATE_MS + 5) + later(PICTURES[10:]), later(SOUNDS[:40], LATE_MS + 15) + later(SOUNDS[40:]), after_s=1
    )
    with pytest.raises(AssertionError, match="times differ"):
        check(later(PICTURES), later(SOUNDS[:-5]) + later(SOUNDS[-5:], LATE_MS + 5), after_s=1)


def test_frames_at_the_beginning_may_be_anywhere_where_it_is_said_how_long() -> None:
    astray = later(PICTURES[25:27], LATE_MS - 30) + later(PICTURES[27:])
    sounds = later(SOUNDS[50:54], LATE_MS - 30) + later(SOUNDS[54:])
    check(astray, sounds, unplaced_s=Fraction(8, 100))
    with pytest.raises(AssertionError, match="times differ"):
        check(astray, sounds, unplaced_s=Fraction(4, 100))
    with pytest.raises(AssertionError, match="times differ"):
        check(astray, sounds)
