from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.hls import (
    MediaPlaylist,
    OpenSegment,
    Part,
    Ready,
    Refused,
    ReloadRequest,
    Segment,
    Wait,
    answer_to,
    parse_reload,
)

SECOND = 90_000


def a_playlist(*, part_target: int | None = SECOND // 2, ended: bool = False, open_parts: int = 2) -> MediaPlaylist:
    """Segments 10, 11 and 12 of four parts each; of segment 13 so many parts as are asked for."""
    parts = tuple(Part(f"p{index}", SECOND // 2) for index in range(4))
    segments = tuple(Segment(number, f"s{number}", 2 * SECOND, 1, parts=parts) for number in (10, 11, 12))
    opened = OpenSegment(1, parts=parts[:open_parts])
    return MediaPlaylist(
        target_duration_s=2, media_sequence=10, segments=segments, part_target=part_target, open_segment=opened, ended=ended
    )


@pytest.mark.parametrize(
    ("query", "request_"),
    [
        ({}, ReloadRequest()),
        ({"_HLS_msn": "12"}, ReloadRequest(12)),
        ({"_HLS_msn": "12", "_HLS_part": "3", "token": "x"}, ReloadRequest(12, 3)),
        ({"_HLS_skip": "YES"}, ReloadRequest(skip=True)),
        ({"_HLS_skip": "v2", "_HLS_msn": "0"}, ReloadRequest(0, skip=True)),
    ],
)
def test_directives_are_read(query: dict[str, str], request_: ReloadRequest) -> None:
    assert parse_reload(query) == request_


@pytest.mark.parametrize(
    "query",
    [
        {"_HLS_part": "1"},  # rfc8216bis §6.2.5.2: MUST return Bad Request
        {"_HLS_msn": ""},
        {"_HLS_msn": "-1"},
        {"_HLS_msn": "1.5"},
        {"_HLS_msn": "٣"},
        {"_HLS_msn": "9" * 30},
        {"_HLS_msn": str(1 << 53)},
        {"_HLS_msn": "1", "_HLS_part": "x"},
        {"_HLS_msn": "1", "_HLS_part": "10000"},
        {"_HLS_skip": "NO"},
    ],
)
def test_nonsense_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_reload(query)


@pytest.mark.parametrize(
    ("msn", "part", "expected"),
    [
        (None, None, Ready),
        (3, None, Ready),  # no longer listed: the whole playlist all the same (§6.2.5.2)
        (12, None, Ready),
        (13, None, Wait),  # the whole segment was asked for
        (14, None, Wait),
        (15, None, Refused),  # more than the last and two
        (3, 0, Ready),
        (12, 3, Ready),
        (12, 4, Ready),  # after its last part: the first of the next
        (13, 0, Ready),
        (13, 1, Ready),
        (13, 2, Wait),
        (13, 7, Wait),  # parts of half a second: six beyond the last
        (13, 8, Refused),
        (14, 0, Wait),
        (14, 5, Wait),
        (14, 6, Refused),
        (15, 0, Refused),
    ],
)
def test_a_request_is_answered_when_what_it_names_is_listed(msn: int | None, part: int | None, expected: type) -> None:
    answer = answer_to(a_playlist(), ReloadRequest(msn, part))
    assert isinstance(answer, expected)
    assert not isinstance(answer, Refused) or answer.status == 400


def test_a_part_after_the_last_one_waits_for_the_first_of_the_next_segment() -> None:
    assert answer_to(a_playlist(open_parts=0), ReloadRequest(12, 4)) == Wait()
    assert answer_to(a_playlist(open_parts=1), ReloadRequest(12, 4)) == Ready()


@pytest.mark.parametrize("playlist", [a_playlist(ended=True), a_playlist(part_target=None)])
def test_an_ended_playlist_and_one_that_does_not_block_answer_at_once(playlist: MediaPlaylist) -> None:
    assert answer_to(playlist, ReloadRequest(99, 7)) == Ready()


def test_of_parts_of_a_second_three_may_be_asked_for_ahead() -> None:
    playlist = a_playlist(part_target=SECOND)
    assert answer_to(playlist, ReloadRequest(13, 4)) == Wait()
    assert isinstance(answer_to(playlist, ReloadRequest(13, 5)), Refused)


def test_a_player_that_saw_more_parts_than_a_new_worker_has_made_may_wait() -> None:
    playlist = replace(a_playlist(open_parts=0), target_duration_s=6)
    assert answer_to(playlist, ReloadRequest(13, 12)) == Wait()
    assert isinstance(answer_to(playlist, ReloadRequest(13, 14)), Refused)


def test_an_empty_playlist_waits_for_its_first_segment() -> None:
    empty = MediaPlaylist(target_duration_s=2, media_sequence=100, part_target=SECOND)
    assert answer_to(empty, ReloadRequest(100, 0)) == Wait()
    assert answer_to(empty, ReloadRequest(99)) == Ready()


@given(st.dictionaries(st.sampled_from(["_HLS_msn", "_HLS_part", "_HLS_skip", "x"]), st.text(max_size=25)))
def test_any_query_is_understood_or_refused(query: dict[str, str]) -> None:
    try:
        request = parse_reload(query)
    except RemoteProtocolError:
        return
    answer_to(a_playlist(), request)
