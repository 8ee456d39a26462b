"""What a player of HLS reads in playlists, and what it fetches next."""

import pytest

from lalmesh.client.load._hls_reading import MIN_PAUSE_S, POLLS, ROUNDED_S, Follower, parse_playlist
from lalmesh.errors import RemoteProtocolError

MULTIVARIANT = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="a,b"\nlive.m3u8?x=1\n#EXT-X-STREAM-INF:BANDWIDTH=2\nhigh.m3u8\n'
PLAIN = "#EXTM3U\r\n#EXT-X-TARGETDURATION:4\r\n#EXT-X-MEDIA-SEQUENCE:{first}\r\n{segments}"
HEAD = (
    "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6\n"
    '#EXT-X-PART-INF:PART-TARGET=0.2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI="init.mp4"\n'
)


def plain(first: int, count: int) -> str:
    segments = "".join(f"#EXTINF:4.0,\r\n{number}.ts\r\n" for number in range(first, first + count))
    return PLAIN.format(first=first, segments=segments)


def part(number: int, index: int) -> str:
    return f'#EXT-X-PART:DURATION=0.2,URI="{number}.{index}.m4s"{"" if index else ",INDEPENDENT=YES"}\n'


def low_latency(*, whole: int, parts: int) -> str:
    """Segment 7 without parts, `whole` segments of three parts from 8 on, and `parts` of one that has begun."""
    text = HEAD + "#EXTINF:0.6,\n7.m4s\n"
    for number in range(8, 8 + whole):
        text += "".join(part(number, index) for index in range(3)) + f"#EXTINF:0.6,\n{number}.m4s\n"
    return text + "".join(part(8 + whole, index) for index in range(parts))


def taken(follower: Follower, text: str) -> list[str]:
    return [item.uri for item in follower.take(parse_playlist(text))]


def test_a_multivariant_playlist_names_others() -> None:
    assert parse_playlist(MULTIVARIANT).variants == ["live.m3u8?x=1", "high.m3u8"]


def test_a_playlist_is_read() -> None:
    playlist = parse_playlist(low_latency(whole=1, parts=2))
    assert (playlist.target_s, playlist.part_target_s, playlist.has_low_latency, playlist.is_over) == (4, 0.2, True, False)
    assert [(segment.number, segment.uri, len(segment.parts)) for segment in playlist.segments] == [
        (7, "7.m4s", 0),
        (8, "8.m4s", 3),
        (9, "", 2),
    ]
    assert {segment.map_uri for segment in playlist.segments} == {"init.mp4"}
    assert parse_playlist(plain(0, 1) + "#EXT-X-ENDLIST\n").is_over


def test_a_player_begins_three_segments_from_the_end_and_goes_on() -> None:
    follower = Follower()
    assert taken(follower, plain(10, 6)) == ["13.ts", "14.ts", "15.ts"]
    assert taken(follower, plain(10, 6)) == []
    assert taken(follower, plain(12, 6)) == ["16.ts", "17.ts"]
    assert follower.fell_behind == 0


def test_a_player_that_comes_too_late_goes_on_with_what_there_is() -> None:
    follower = Follower()
    taken(follower, plain(0, 3))
    assert taken(follower, plain(5, 3)) == ["5.ts", "6.ts", "7.ts"]
    assert follower.fell_behind == 2


def test_a_player_of_parts_begins_at_the_last_that_can_be_decoded_alone() -> None:
    follower = Follower()
    assert taken(follower, low_latency(whole=1, parts=2)) == ["9.0.m4s", "9.1.m4s"]
    assert follower.directives() == "_HLS_msn=9&_HLS_part=2"
    assert taken(follower, low_latency(whole=2, parts=0)) == ["9.2.m4s"]
    assert follower.directives() == "_HLS_msn=10&_HLS_part=0"
    assert taken(follower, low_latency(whole=2, parts=1)) == ["10.0.m4s"]


def test_parts_that_are_listed_no_more_are_missed() -> None:
    follower = Follower()
    taken(follower, HEAD + "".join(part(7, index) for index in range(2)))
    assert taken(follower, low_latency(whole=0, parts=1)) == ["8.0.m4s"]
    assert follower.fell_behind == 1


def test_a_playlist_is_asked_for_shortly_before_the_next_segment_is_due_and_often_from_then_on() -> None:
    playlist = parse_playlist(plain(0, 3))
    assert playlist.wait_s(has_new=True) + playlist.wait_s(has_new=False) == 4.0
    assert playlist.wait_s(has_new=True, is_first=True) == playlist.wait_s(has_new=False) == 4.0 / POLLS
    assert playlist.longest_s == 4.0 + ROUNDED_S
    assert parse_playlist(plain(0, 0)).wait_s(has_new=False) == 4.0 / POLLS


def test_a_server_that_holds_playlists_back_is_asked_at_once_unless_there_was_nothing_new() -> None:
    playlist = parse_playlist(low_latency(whole=1, parts=2))
    assert (playlist.wait_s(has_new=True), playlist.wait_s(has_new=False), playlist.longest_s) == (0.0, 0.1, 0.2)
    for text in ("#EXTM3U\n", HEAD.replace("TARGET=0.2", "TARGET=0.001")):
        assert parse_playlist(text).wait_s(has_new=False) == MIN_PAUSE_S


def test_gaps_that_a_server_tells_of_are_not_fetched() -> None:
    follower = Follower()
    text = HEAD + part(7, 0) + '#EXT-X-PART:DURATION=0.2,URI="7.1.m4s",GAP=YES\n' + part(7, 2)
    assert taken(follower, text) == ["7.0.m4s", "7.2.m4s"]
    assert taken(Follower(), PLAIN.format(first=0, segments="#EXT-X-GAP\n#EXTINF:4,\n0.ts\n#EXTINF:4,\n1.ts\n")) == ["1.ts"]


@pytest.mark.parametrize("text", ["", "<html>", "#EXTM3U\n#EXT-X-TARGETDURATION:long\n", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x\n"])
def test_what_is_no_playlist_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_playlist(text)
