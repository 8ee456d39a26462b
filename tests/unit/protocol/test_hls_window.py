from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import LocalProtocolError, RemoteProtocolError, UnsupportedError
from lalmesh.protocol.hls import Part, PlaylistKind, PlaylistWindow, Segment, render_media, rounded_seconds

SECOND = 90_000


def a_window(*, list_size: int = 3, part_target: int | None = None, kind: PlaylistKind = PlaylistKind.LIVE) -> PlaylistWindow:
    return PlaylistWindow(target_duration_s=2, first_number=100, list_size=list_size, part_target=part_target, kind=kind)


def a_segment(number: int, duration: int = 2 * SECOND, *, discontinuity: bool = False, parts: tuple[Part, ...] = ()) -> Segment:
    return Segment(number, f"1.2-{number}.ts", duration, 1_000_000 * number, discontinuity=discontinuity, parts=parts)


def numbers(window: PlaylistWindow) -> list[int]:
    return [segment.number for segment in window.playlist.segments]


def make_segment(window: PlaylistWindow, count: int = 4) -> None:
    """One of `count` parts of half a second, as a low-latency segmenter makes it."""
    number = window.next_number
    window.begin_segment(program_date_time_us=1_000_000 * number, map_uri="1.2-init0.mp4")
    for index in range(count):
        window.add_part(Part(f"1.2-{number}.{index}.m4s", SECOND // 2), hint_uri=f"1.2-{number}.{index + 1}.m4s")
    window.end_segment(f"1.2-{number}.m4s", count * SECOND // 2, hint_uri=f"1.2-{number + 1}.0.m4s")


def test_old_segments_leave_and_numbers_go_on() -> None:
    window = a_window()
    left = [segment.number for number in range(100, 106) for segment in window.add_segment(a_segment(number))]
    assert left == [100, 101, 102]
    assert numbers(window) == [103, 104, 105]
    assert (window.playlist.media_sequence, window.next_number) == (103, 106)


def test_nothing_leaves_while_the_playlist_would_be_shorter_than_three_targets() -> None:
    """rfc8216bis §6.2.2."""
    window = a_window()
    for number in range(100, 110):
        window.add_segment(a_segment(number, SECOND))
    assert numbers(window) == list(range(104, 110))


def test_the_discontinuity_sequence_counts_those_that_left() -> None:
    window = a_window()
    for number in range(100, 108):
        window.add_segment(a_segment(number, discontinuity=number % 2 == 1))
    assert numbers(window) == [105, 106, 107]
    assert window.playlist.discontinuity_sequence == 2  # those of 101 and 103
    assert window.next_discontinuity_sequence == 4


@pytest.mark.parametrize("kind", [PlaylistKind.EVENT, PlaylistKind.VOD])
def test_a_playlist_that_keeps_all_drops_nothing(kind: PlaylistKind) -> None:
    window = a_window(kind=kind)
    assert not any(window.add_segment(a_segment(number)) for number in range(100, 120))
    assert numbers(window) == list(range(100, 120))


def test_parts_become_a_segment() -> None:
    window = a_window(part_target=SECOND // 2)
    window.begin_segment(program_date_time_us=5, discontinuity=True, map_uri="1.2-init0.mp4", hint_uri="1.2-100.0.m4s")
    window.add_part(Part("1.2-100.0.m4s", SECOND // 2, independent=True), hint_uri="1.2-100.1.m4s")
    assert window.playlist.open_parts == (Part("1.2-100.0.m4s", SECOND // 2, independent=True),)
    window.add_part(Part("1.2-100.1.m4s", 100))
    window.end_segment("1.2-100.m4s", SECOND // 2 + 100, hint_uri="1.2-101.0.m4s")
    (segment,) = window.playlist.segments
    assert (segment.number, segment.discontinuity, segment.map_uri, len(segment.parts)) == (100, True, "1.2-init0.mp4", 2)
    assert (window.playlist.open_segment, window.playlist.hint_uri) == (None, "1.2-101.0.m4s")


def test_a_hint_lasts_until_its_part_has_come() -> None:
    window = a_window(part_target=SECOND // 2)
    make_segment(window)
    window.begin_segment(program_date_time_us=1)
    assert window.playlist.hint_uri == "1.2-101.0.m4s"
    with pytest.raises(LocalProtocolError, match="after a hint"):
        window.add_part(Part("1.3-101.0.m4s", 1))


def test_parts_that_are_not_listed_any_more_are_forgotten() -> None:
    window = a_window(list_size=10, part_target=SECOND // 2)
    for _ in range(8):
        make_segment(window)
    assert [bool(segment.parts) for segment in window.playlist.segments] == [False] * 5 + [True] * 3


def test_a_segment_without_parts_is_listed_between_others_and_holds_none_of_them() -> None:
    window = a_window(list_size=10, part_target=SECOND // 2)
    for number in range(8):
        if number % 2:
            window.begin_segment(program_date_time_us=1)
            window.end_segment(f"1.2-{window.next_number}.m4s", 2 * SECOND, hint_uri=f"1.2-{window.next_number + 1}.0.m4s")
        else:
            make_segment(window)
    assert [bool(segment.parts) for segment in window.playlist.segments] == [False] * 6 + [True, False]
    assert window.playlist.hint_uri == "1.2-108.0.m4s"


def test_parts_go_from_all_segments_that_leave_their_reach_at_once() -> None:
    window = a_window(list_size=20, part_target=SECOND // 2)
    for number in range(6):
        window.begin_segment(program_date_time_us=1)
        if number != 3:
            window.add_part(Part(f"1.2-{window.next_number}.0.m4s", 1000))
        window.end_segment(f"1.2-{window.next_number}.m4s", 1000, hint_uri=f"1.2-{window.next_number + 1}.0.m4s")
    for _ in range(3):
        make_segment(window)
    assert [bool(segment.parts) for segment in window.playlist.segments] == [False] * 6 + [True] * 3


def test_what_breaks_a_promise_is_our_bug() -> None:
    window = a_window(part_target=SECOND // 2)
    for wrong in (
        a_segment(99),
        a_segment(101),
        a_segment(100, 0),
        a_segment(100, 5 * SECOND // 2),
        a_segment(100, parts=(Part("p", SECOND // 2),)),
        a_segment(100, SECOND, parts=(Part("p", SECOND),)),
        Segment(100, "", SECOND, 0),
        Segment(100, "a b", SECOND, 0),
    ):
        with pytest.raises(LocalProtocolError):
            window.add_segment(wrong)
    window.begin_segment(program_date_time_us=1)
    with pytest.raises(LocalProtocolError):
        window.add_part(Part("p", SECOND // 2 + 1))
    assert numbers(window) == []


def test_steps_out_of_order_are_our_bug() -> None:
    window = a_window(part_target=SECOND)
    with pytest.raises(LocalProtocolError, match="without a segment"):
        window.add_part(Part("p", 1))
    with pytest.raises(LocalProtocolError, match="not begun"):
        window.end_segment("s", 1)
    window.begin_segment(program_date_time_us=1)
    window.add_part(Part("p", 1))
    with pytest.raises(LocalProtocolError, match="begun again"):
        window.begin_segment(program_date_time_us=1)
    with pytest.raises(LocalProtocolError, match="ended within"):
        window.end()


def test_a_window_without_low_latency_takes_no_parts() -> None:
    window = a_window()
    window.begin_segment(program_date_time_us=1)
    with pytest.raises(LocalProtocolError, match="part target"):
        window.add_part(Part("p", 1))


@pytest.mark.parametrize("wrong", [{"target_duration_s": 0}, {"list_size": 0}, {"first_number": -1}, {"part_target": 0}])
def test_a_window_needs_bounds_that_make_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(LocalProtocolError):
        PlaylistWindow(**{"target_duration_s": 2, "first_number": 0, "list_size": 3, **wrong})  # type: ignore[arg-type]


def test_after_the_end_nothing_comes() -> None:
    window = a_window()
    window.add_segment(a_segment(100))
    window.end()
    assert window.playlist.ended
    with pytest.raises(LocalProtocolError, match="after the end"):
        window.add_segment(a_segment(101))


def test_a_segment_that_is_lost_becomes_a_gap() -> None:
    window = a_window(part_target=SECOND // 2)
    make_segment(window)
    assert window.mark_gap(100)
    assert (window.playlist.segments[0].gap, window.playlist.segments[0].parts) == (True, ())
    assert not window.mark_gap(99)
    assert not window.mark_gap(101)


def test_a_successor_goes_on_where_the_state_ends() -> None:
    window = a_window(part_target=SECOND // 2)
    for _ in range(5):
        make_segment(window)
    window.begin_segment(program_date_time_us=1)
    window.add_part(Part("1.2-105.0.m4s", 1))
    successor = PlaylistWindow.from_state(json.loads(json.dumps(window.to_state())))
    assert successor.playlist.segments == window.playlist.segments
    assert (successor.next_number, successor.playlist.open_segment) == (105, None)
    assert [segment.number for segment in successor.add_segment(a_segment(105))] == [102]


def test_the_state_can_stop_at_what_is_stored() -> None:
    window = a_window(list_size=5)
    for number in range(100, 104):
        window.add_segment(a_segment(number))
    window.end()
    successor = PlaylistWindow.from_state(window.to_state(until=101))
    assert (numbers(successor), successor.next_number, successor.playlist.ended) == ([100, 101], 102, False)
    assert PlaylistWindow.from_state(window.to_state()).playlist.ended


@pytest.mark.parametrize(
    "change",
    [
        {"target_duration_s": 0},
        {"target_duration_s": True},
        {"target_duration_s": 1},  # below the segments
        {"media_sequence": -1},
        {"media_sequence": "1"},
        {"list_size": 0},
        {"kind": "x"},
        {"kind": None},
        {"ended": 1},
        {"part_target": "x"},
        {"part_target": 1},  # below the parts
        {"part_target": None},  # beside parts
        {"segments": None},
        {"segments": [1]},
        {"segments": [{}]},
        {"format": 0},
    ],
)
def test_a_damaged_state_is_refused(change: Mapping[str, object]) -> None:
    window = a_window(part_target=SECOND // 2)
    make_segment(window)
    with pytest.raises(RemoteProtocolError):
        PlaylistWindow.from_state({**window.to_state(), **change})


@pytest.mark.parametrize("field", ["uri", "map_uri"])
def test_a_state_cannot_break_the_text_of_a_playlist(field: str) -> None:
    window = a_window()
    window.add_segment(a_segment(100))
    state = json.loads(json.dumps(window.to_state()))
    state["segments"][0][field] = 'x"\n#EXT-X-ENDLIST'
    with pytest.raises(RemoteProtocolError):
        PlaylistWindow.from_state(state)


def test_a_state_of_a_newer_version_is_not_guessed_at() -> None:
    with pytest.raises(UnsupportedError):
        PlaylistWindow.from_state({**a_window().to_state(), "format": 2})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.sampled_from([*a_window().to_state()]), JSON)
def test_any_state_is_understood_or_refused(key: str, value: object) -> None:
    window = a_window(part_target=SECOND // 2)
    make_segment(window)
    try:
        again = PlaylistWindow.from_state({**window.to_state(), key: value})
    except (RemoteProtocolError, UnsupportedError):
        return
    assert render_media(again.playlist).startswith("#EXTM3U\n")


@given(st.integers(1, 6), st.lists(st.tuples(st.integers(1, 5 * SECOND // 2 - 46), st.booleans()), max_size=30))
def test_whatever_comes_the_rules_of_a_live_playlist_hold(list_size: int, made: list[tuple[int, bool]]) -> None:
    window = a_window(list_size=list_size)
    sequence_of: dict[int, int] = {}
    for duration, discontinuity in made:
        before = window.playlist
        if rounded_seconds(duration) > 2:
            continue
        dropped = window.add_segment(a_segment(window.next_number, duration, discontinuity=discontinuity))
        after = window.playlist
        assert after.media_sequence == before.media_sequence + len(dropped)
        assert not dropped or sum(segment.duration for segment in after.segments) >= 3 * 2 * SECOND
        sequence = after.discontinuity_sequence
        for segment in after.segments:
            sequence += segment.discontinuity
            assert sequence_of.setdefault(segment.number, sequence) == sequence
    again = PlaylistWindow.from_state(json.loads(json.dumps(window.to_state())))
    assert again.playlist == window.playlist
