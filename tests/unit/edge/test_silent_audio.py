"""Silence beside video that has no sound."""

from __future__ import annotations

from collections.abc import Iterable

from support.edge_fakes import AUDIO, VIDEO

from lalmesh.codec.silence import MAX_SILENCE_TICKS
from lalmesh.media import AccessUnit, Codec, MediaEvent, TracksChanged, TrackSet
from services.edge.silent_audio import FRAME_TICKS, SILENT_TRACK_ID, SilentAudio

SECOND, NOW_US = 90_000, 1_700_000_000_000_000
ANNOUNCED = TracksChanged(TrackSet((VIDEO,), 1))
BOTH = TracksChanged(TrackSet((VIDEO, AUDIO), 2))


def picture(dts: int) -> AccessUnit:
    return AccessUnit(1, dts, 0, True, b"v")


def pictures(first: int, last: int) -> list[AccessUnit]:
    return [picture(number * 3600) for number in range(first, last)]


def silence(events: Iterable[MediaEvent]) -> list[int]:
    return [event.dts for event in events if isinstance(event, AccessUnit) and event.track_id == SILENT_TRACK_ID]


def filled(silent: SilentAudio, *events: MediaEvent, now_us: int = NOW_US) -> list[MediaEvent]:
    return list(silent.fill(events, now_us))


def test_nothing_is_added_before_the_wait_is_over() -> None:
    silent = SilentAudio(150)
    assert filled(silent, ANNOUNCED, *pictures(0, 4)) == [ANNOUNCED, *pictures(0, 4)]


def test_silence_begins_after_the_wait_and_is_announced_first() -> None:
    silent = SilentAudio(150)
    _, *events = filled(silent, ANNOUNCED, *pictures(0, 5))
    announced = events[4]
    assert isinstance(announced, TracksChanged)
    assert [track.codec for track in announced.tracks.tracks] == [Codec.VP9, Codec.AAC]
    assert silence(events[5:]) == [4 * 3600]


def test_silence_goes_on_with_the_video_frame_by_frame() -> None:
    silent = SilentAudio(0)
    frames = silence(filled(silent, ANNOUNCED, *pictures(0, 100)))
    assert frames == list(range(0, 99 * 3600 + 1, FRAME_TICKS))


def test_real_audio_replaces_the_silence() -> None:
    silent = SilentAudio(0)
    filled(silent, ANNOUNCED, *pictures(0, 5))
    events = filled(silent, BOTH, *pictures(5, 10))
    assert (events[0], silence(events)) == (BOTH, [])


def test_a_publisher_with_audio_gets_none() -> None:
    assert silence(filled(SilentAudio(0), BOTH, *pictures(0, 50))) == []


def test_a_new_configuration_of_the_video_keeps_the_silent_track() -> None:
    silent = SilentAudio(0)
    filled(silent, ANNOUNCED, *pictures(0, 5))
    (changed,) = filled(silent, ANNOUNCED)
    assert isinstance(changed, TracksChanged)
    assert changed.tracks.get(SILENT_TRACK_ID) is not None


def test_a_long_jump_is_left_silent_and_the_frames_go_on_after_it() -> None:
    silent = SilentAudio(0)
    filled(silent, ANNOUNCED, picture(0))
    assert silence(filled(silent, picture(3600 * SECOND))) == [3600 * SECOND]


def test_a_clock_that_starts_again_takes_the_silence_with_it() -> None:
    silent = SilentAudio(0)
    filled(silent, ANNOUNCED, picture(5 * SECOND))
    assert silence(filled(silent, picture(0))) == [0]


def test_of_silence_there_is_no_more_than_time_passes_and_a_frame_a_picture() -> None:
    frames = silence(filled(SilentAudio(0), ANNOUNCED, *(picture(number * 10 * SECOND) for number in range(1000))))
    assert len(frames) <= MAX_SILENCE_TICKS // FRAME_TICKS + 1000


def test_a_film_that_is_sent_faster_than_it_plays_has_sound_all_along() -> None:
    silent, step = SilentAudio(0), SECOND // 10
    frames = silence(filled(silent, ANNOUNCED, *(picture(number * step) for number in range(6000))))
    assert frames == list(range(0, 5999 * step + 1, FRAME_TICKS))


def test_few_pictures_that_come_as_they_play_have_sound_all_along() -> None:
    silent, frames = SilentAudio(0), list[int]()
    filled(silent, ANNOUNCED)
    for number in range(100):
        frames += silence(filled(silent, picture(number * 9 * SECOND), now_us=NOW_US + number * 9_000_000))
    assert frames == list(range(0, 99 * 9 * SECOND + 1, FRAME_TICKS))
