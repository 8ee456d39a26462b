"""The clock of a publisher: what is kept, and what is mended."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.edge_fakes import AUDIO, VIDEO

from lalmesh.codec import build_track
from lalmesh.media import AccessUnit, Codec, Track
from services.edge.clock import PublisherClock, frame_ticks

SECOND = 90_000
FRAME = 1024 * 90_000 // 44_100
SCRIPT = Track(track_id=3, codec=Codec.SCRIPT)
OPAQUE = Track(track_id=4, codec=Codec.OPAQUE)
TRACKS = {track.track_id: track for track in (VIDEO, AUDIO, SCRIPT, OPAQUE)}


class Publisher:
    """Sends units whose stamps and arrival are given in ticks."""

    def __init__(self, jump_ms: int = 10_000) -> None:
        self.clock = PublisherClock(jump_ms)
        self.at = 0

    def send(self, track: Track, dts: int, at: int | None = None) -> int:
        """The mended time; it arrives `at`, or when its stamp says."""
        self.at = dts if at is None else at
        unit = AccessUnit(track.track_id, dts, 0, True, b"")
        self.clock.mend(unit, TRACKS[track.track_id], 1_700_000_000_000_000 + self.at * 100 // 9)
        return unit.dts


def test_times_that_rise_are_kept() -> None:
    publisher = Publisher()
    sent = [(VIDEO, 0), (AUDIO, 0), (AUDIO, 2089), (VIDEO, 3600), (AUDIO, 4179), (VIDEO, 7200)]
    assert [publisher.send(track, dts) for track, dts in sent] == [dts for _, dts in sent]
    assert publisher.clock.jumps == 0


def test_a_first_time_may_be_anything() -> None:
    assert Publisher().send(VIDEO, 40 * 3600 * SECOND, at=0) == 40 * 3600 * SECOND


def test_frames_of_one_stamp_are_placed_by_their_length() -> None:
    publisher = Publisher()
    placed = [publisher.send(AUDIO, dts) for dts in (900, 900, 900, 900, 900 + 4 * FRAME)]
    assert placed == [900 + number * FRAME for number in range(5)]


def test_pictures_of_one_stamp_rise_by_a_millisecond() -> None:
    publisher = Publisher()
    assert [publisher.send(VIDEO, 900) for _ in range(3)] == [900, 990, 1080]


def test_packets_that_are_passed_on_keep_the_stamp_that_they_share() -> None:
    publisher = Publisher()
    assert [publisher.send(OPAQUE, dts) for dts in (900, 900, 4500, 4500, 3600)] == [900, 900, 4500, 4500, 3600]


def test_a_small_step_back_on_a_track_is_flattened_and_the_others_keep_their_times() -> None:
    publisher = Publisher()
    publisher.send(VIDEO, 9000)
    assert publisher.send(AUDIO, 8000) == 8000
    assert publisher.send(VIDEO, 8950) == 9090
    assert publisher.send(VIDEO, 12_600) == 12_600
    assert publisher.send(AUDIO, 10_089) == 10_089


def test_a_forward_jump_shifts_all_tracks_by_one_offset() -> None:
    publisher = Publisher()
    for number in range(25):
        publisher.send(VIDEO, number * 3600)
        publisher.send(AUDIO, number * 3600 + 500)
    jump = 3600 * SECOND
    picture = publisher.send(VIDEO, 25 * 3600 + jump, at=25 * 3600)
    frame = publisher.send(AUDIO, 25 * 3600 + 500 + jump, at=25 * 3600 + 500)
    assert picture == 24 * 3600 + 500 + 3600
    assert (frame - picture, publisher.clock.jumps) == (500, 1)


def test_a_clock_that_starts_again_goes_on() -> None:
    publisher = Publisher()
    publisher.send(VIDEO, 50 * SECOND, at=0)
    publisher.send(AUDIO, 50 * SECOND + 100, at=100)
    assert publisher.send(VIDEO, 0, at=3600) == 50 * SECOND + 100 + 3600
    assert publisher.send(AUDIO, 100, at=3700) == 50 * SECOND + 200 + 3600
    assert publisher.clock.jumps == 1


def interleaved(publisher: Publisher, seconds: int, *, audio: Callable[[int], int]) -> dict[int, list[int]]:
    """Pictures of an hour and more, and sound with the stamp that `audio` gives for the time; the mended times of each."""
    sent: list[tuple[int, Track, int]] = [(at, VIDEO, at + 3600 * SECOND) for at in range(0, seconds * SECOND, 3600)]
    sent += [(at, AUDIO, audio(at)) for at in range(0, seconds * SECOND, 1800)]
    found: dict[int, list[int]] = {VIDEO.track_id: [], AUDIO.track_id: []}
    for at, track, stamp in sorted(sent, key=lambda each: each[0]):
        found[track.track_id].append(publisher.send(track, stamp, at=at))
    return found


def check_it_lasts_as_long_as_it_does(found: dict[int, list[int]], seconds: int) -> None:
    for times in found.values():
        assert times == sorted(times)
        assert times[-1] - times[0] == pytest.approx(seconds * SECOND, abs=SECOND)
    video, audio = found.values()
    assert abs(video[-1] - audio[-1]) < SECOND


def test_sound_that_begins_again_alone_jumps_once_and_leaves_the_pictures() -> None:
    publisher = Publisher()
    found = interleaved(publisher, 120, audio=lambda at: at + 3600 * SECOND if at < 60 * SECOND else at - 60 * SECOND)
    check_it_lasts_as_long_as_it_does(found, 120)
    assert found[VIDEO.track_id] == list(range(3600 * SECOND, 3720 * SECOND, 3600))
    assert publisher.clock.jumps == 1


@pytest.mark.parametrize("behind_s", [11, 3000, -11])
def test_tracks_that_are_far_apart_are_put_together_once(behind_s: int) -> None:
    publisher = Publisher()
    check_it_lasts_as_long_as_it_does(interleaved(publisher, 120, audio=lambda at: at + (3600 - behind_s) * SECOND), 120)
    assert publisher.clock.jumps == 1


def test_tracks_that_are_a_little_apart_stay_so_however_small_a_jump_is() -> None:
    publisher = Publisher(jump_ms=200)
    found = interleaved(publisher, 120, audio=lambda at: at + 3600 * SECOND - SECOND // 4)
    check_it_lasts_as_long_as_it_does(found, 120)
    assert publisher.clock.jumps == 0


def test_sound_that_pauses_and_goes_on_where_it_was_is_put_beside_the_pictures() -> None:
    publisher = Publisher()
    found = interleaved(publisher, 10, audio=lambda at: at + 3600 * SECOND)
    pictures = [publisher.send(VIDEO, 3600 * SECOND + at, at=at) for at in range(10 * SECOND, 70 * SECOND, 3600)]
    assert pictures[-1] - found[VIDEO.track_id][-1] == 60 * SECOND
    assert publisher.send(AUDIO, 3610 * SECOND, at=70 * SECOND) == pictures[-1] + 3600
    assert publisher.send(VIDEO, 3670 * SECOND, at=70 * SECOND) == 3670 * SECOND


def test_tracks_that_jump_together_by_not_quite_as_much_stay_together() -> None:
    publisher = Publisher()
    for at in range(0, 5 * SECOND, 3600):
        publisher.send(VIDEO, at)
        publisher.send(AUDIO, at)
    at = 5 * SECOND
    picture = publisher.send(VIDEO, at + 10 * SECOND + 9000, at=at)
    publisher.send(AUDIO, at + 10 * SECOND - 9000, at=at)
    frame = publisher.send(AUDIO, at + 11 * SECOND - 9000, at=at + SECOND)
    assert (picture + SECOND - frame, publisher.clock.jumps) == (18_000, 1)


def test_what_was_stamped_before_a_jump_of_the_pictures_keeps_its_time() -> None:
    publisher = Publisher()
    for at in range(0, 5 * SECOND, 3600):
        publisher.send(VIDEO, at)
        publisher.send(AUDIO, at)
    at = 5 * SECOND
    picture = publisher.send(VIDEO, 5000 * SECOND, at=at)
    assert publisher.send(AUDIO, at - 1800, at=at) == at - 1800
    assert publisher.send(AUDIO, 5000 * SECOND, at=at + 3600) == picture
    assert publisher.clock.jumps == 1


def test_a_real_pause_is_kept() -> None:
    publisher = Publisher()
    publisher.send(VIDEO, 0, at=0)
    assert publisher.send(VIDEO, 60 * SECOND, at=60 * SECOND) == 60 * SECOND
    assert publisher.clock.jumps == 0


def test_a_publisher_that_stops_and_goes_on_with_the_next_stamp_is_kept() -> None:
    publisher = Publisher()
    publisher.send(VIDEO, 0, at=0)
    assert publisher.send(VIDEO, 3600, at=60 * SECOND) == 3600


def test_script_data_of_stamp_zero_moves_no_clock() -> None:
    publisher = Publisher()
    publisher.send(VIDEO, 1000 * SECOND, at=0)
    assert publisher.send(SCRIPT, 0, at=10) == 1000 * SECOND
    assert publisher.send(SCRIPT, 0, at=20) == 1000 * SECOND + 90
    assert publisher.send(VIDEO, 1000 * SECOND + 3600, at=3600) == 1000 * SECOND + 3600
    assert publisher.clock.jumps == 0


def test_script_data_before_everything_moves_no_clock() -> None:
    publisher = Publisher()
    publisher.send(SCRIPT, 0, at=0)
    assert publisher.send(VIDEO, 1000 * SECOND, at=0) == 1000 * SECOND


def test_script_data_near_the_others_keeps_its_time() -> None:
    publisher = Publisher()
    publisher.send(VIDEO, SECOND)
    assert publisher.send(SCRIPT, SECOND - 4500) == SECOND - 4500


def test_a_frame_lasts_as_long_as_its_configuration_says() -> None:
    opus = build_track(4, Codec.OPUS, bytes.fromhex("4f707573486561640102 3801 80bb0000 0000 00".replace(" ", "")))
    assert frame_ticks(AUDIO, b"") == FRAME
    assert frame_ticks(opus, b"\xfc") == SECOND // 50  # RFC 6716 §3.1: configuration 31 is 20 ms, code 0 one frame
    assert frame_ticks(Track(track_id=5, codec=Codec.PCMA), b"") == 0
    assert frame_ticks(VIDEO, b"") == 0


@pytest.mark.parametrize(
    ("codec", "frame", "samples", "rate_hz"),
    [
        (Codec.MP2, "fffd8400", 1152, 48_000),  # ISO/IEC 11172-3 §2.4.2.3: layer II
        (Codec.MP3, "fffb9400", 1152, 48_000),
        (Codec.MP3, "fff39000", 576, 22_050),  # ISO/IEC 13818-3 §2.4.2.3: half of it in layer III of MPEG-2
        (Codec.AC3, "0b7738900c4043e1", 1536, 48_000),  # ETSI TS 102 366 §4.3: six blocks
        (Codec.MP2, "00", 0, 1),  # no frame at all
    ],
)
def test_a_frame_lasts_as_long_as_its_header_says(codec: Codec, frame: str, samples: int, rate_hz: int) -> None:
    assert frame_ticks(Track(track_id=5, codec=codec), bytes.fromhex(frame)) == samples * SECOND // rate_hz


@given(st.lists(st.tuples(st.sampled_from([VIDEO, AUDIO, SCRIPT]), st.integers(0, 1 << 33), st.integers(0, 1 << 24))))
def test_times_rise_on_every_track_whatever_comes(sent: list[tuple[Track, int, int]]) -> None:
    publisher, last, at = Publisher(), dict[int, int](), 0
    for track, dts, pause in sent:
        at += pause
        mended = publisher.send(track, dts, at=at)
        assert track.track_id not in last or mended > last[track.track_id]
        last[track.track_id] = mended


@given(st.lists(st.integers(1, 1 << 30), min_size=1, max_size=20))
def test_a_shift_is_the_same_for_both_tracks(steps: list[int]) -> None:
    publisher, dts, at = Publisher(), 0, 0
    for step in steps:
        dts, at = dts + step, at + 3600
        picture = publisher.send(VIDEO, dts, at=at)
        assert publisher.send(AUDIO, dts + 450, at=at) == picture + 450
