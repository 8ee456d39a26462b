"""What `Showing` finds: it has to tell a playback that is right from one that is a little wrong."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from support.camera_film import Film
from support.camera_ways import CameraSettings, Place
from support.frames import Frame, Recording, Stream
from support.showing import Showing

from lalmesh.media import TICKS_PER_SECOND

FILM = Film(Path(__file__).parents[2] / "captures" / "flv" / "h264-aac-bframes.flv", CameraSettings())
TICK = Fraction(1, TICKS_PER_SECOND)
LATER = 7 * TICKS_PER_SECOND


def shown(*, later: int = 0) -> list[Frame]:
    """All frames of the film, with what is no hash but tells them apart."""
    return [Frame(number, unit.dts + later, unit.pts + later, 1, f"{number}-{unit.pts}") for number, unit in FILM.units]


def recording(frames: list[Frame]) -> Recording:
    streams = tuple(Stream(number, track.kind.value, "", TICK, None) for number, track in enumerate(FILM.tracks))
    return Recording(streams, tuple(frames))


def check(frames: list[Frame], touched: frozenset[Place] = frozenset(), *, only_right: bool = True) -> None:
    Showing(FILM, recording(shown()), touched).check(recording(frames), least_s=0.1, only_right=only_right)


def place(number: int, index: int) -> int:
    """Where a frame of a track is among all."""
    return [at for at, frame in enumerate(shown()) if frame.stream == number][index]


VIDEO = next(number for number, track in enumerate(FILM.tracks) if track.kind.value == "video")
AUDIO = 1 - VIDEO


def test_what_is_the_same_at_another_time_is_right() -> None:
    check(shown(later=LATER))


def test_a_playback_may_begin_later() -> None:
    check([frame for frame in shown(later=LATER) if frame.pts > LATER + TICKS_PER_SECOND // 2])


def test_sound_that_passed_a_picture_that_was_held_up_may_be_missing() -> None:
    frames = shown()
    del frames[place(AUDIO, 2)]
    checked = Showing(FILM, recording(shown()))
    checked.check(recording(frames), least_s=0.1, only_right=True, held_s=Fraction(1, 5))
    with pytest.raises(AssertionError, match="audio missing"):
        checked.check(recording(frames), least_s=0.1, only_right=True)


@pytest.mark.parametrize("number", [VIDEO, AUDIO])
def test_a_frame_that_is_missing_is_found(number: int) -> None:
    frames = shown()
    del frames[place(number, 12)]
    with pytest.raises(AssertionError, match="missing or broken"):
        check(frames)


@pytest.mark.parametrize("number", [VIDEO, AUDIO])
def test_two_frames_in_each_others_place_are_found(number: int) -> None:
    frames, one, other = shown(), place(number, 12), place(number, 13)
    frames[one], frames[other] = replace(frames[one], md5=frames[other].md5), replace(frames[other], md5=frames[one].md5)
    with pytest.raises(AssertionError, match="is another"):
        check(frames)


def test_sound_out_of_step_is_found() -> None:
    frames = [replace(frame, pts=frame.pts + 450 * (frame.stream == AUDIO)) for frame in shown()]
    with pytest.raises(AssertionError, match="where none is"):
        check(frames)


def test_what_was_lost_may_be_missing_and_what_refers_to_it() -> None:
    check([frame for at, frame in enumerate(shown()) if at < place(VIDEO, 12) or frame.stream == AUDIO], frozenset({(VIDEO, 12)}))


def test_other_pixels_behind_a_loss_are_wrong_where_only_right_ones_may_come() -> None:
    frames = shown()
    frames[place(VIDEO, 13)] = replace(frames[place(VIDEO, 13)], md5="grey")
    check(frames, frozenset({(VIDEO, 12)}), only_right=False)
    with pytest.raises(AssertionError, match="is another"):
        check(frames, frozenset({(VIDEO, 12)}))


def test_other_pixels_without_a_loss_are_wrong_anyway() -> None:
    frames = shown()
    frames[place(VIDEO, 13)] = replace(frames[place(VIDEO, 13)], md5="grey")
    with pytest.raises(AssertionError, match="missing or broken"):
        check(frames, only_right=False)
