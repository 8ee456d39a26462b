"""What a player of HLS reads in playlists, and what it fetches next."""

import pytest

from lalmesh.client.load._hls_reading import MIN_PAUSE_S, Follower, parse_playlist
from lalmesh.errors import RemoteProtocolError, UnsupportedError

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


@pytest.mark.parametrize(("duration_s", "first"), [(2, 4), (3.9, 6), (4.4, 7), (9, 8), (0.5, 0)])
def test_a_player_begins_three_target_durations_from_the_end_however_long_segments_are(duration_s: float, first: int) -> None:
    text = plain(0, 10).replace("4.0", str(duration_s))
    assert taken(Follower(), text)[0] == f"{first}.ts"


def test_a_server_says_how_far_from_the_end_players_are() -> None:
    assert (parse_playlist(plain(0, 3)).hold_back_s, parse_playlist(low_latency(whole=1, parts=2)).hold_back_s) == (12.0, 0.6)
    said = plain(0, 10).replace("#EXT-X-MEDIA", "#EXT-X-SERVER-CONTROL:HOLD-BACK=20,PART-HOLD-BACK=1\n#EXT-X-MEDIA")
    assert parse_playlist(said).hold_back_s == 20.0
    assert taken(Follower(), said)[0] == "5.ts"
    assert parse_playlist(HEAD.replace(",PART-HOLD-BACK=0.6", "")).hold_back_s == pytest.approx(0.6)  # three parts


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


def test_numbers_that_begin_again_are_followed_and_counted() -> None:
    follower = Follower()
    assert taken(follower, plain(100, 3)) == ["100.ts", "101.ts", "102.ts"]
    assert taken(follower, plain(0, 4)) == ["1.ts", "2.ts", "3.ts"]
    assert taken(follower, plain(1, 4)) == ["4.ts"]
    assert (follower.began_again, follower.fell_behind) == (1, 0)


def test_parts_whose_numbers_begin_again_are_followed_too() -> None:
    follower = Follower()
    taken(follower, low_latency(whole=1, parts=2))
    assert taken(follower, HEAD.replace(":7", ":1") + part(1, 0) + part(1, 1)) == ["1.0.m4s", "1.1.m4s"]
    assert follower.directives() == "_HLS_msn=1&_HLS_part=2"
    assert taken(follower, plain(0, 1)) == ["0.ts"]
    assert (follower.began_again, follower.fell_behind) == (2, 0)


def test_an_edge_that_is_behind_has_not_begun_again() -> None:
    follower = Follower()
    taken(follower, plain(100, 3))
    assert taken(follower, plain(98, 3)) == []
    assert taken(follower, plain(101, 3)) == ["103.ts"]
    assert (follower.began_again, follower.fell_behind) == (0, 0)


def test_a_playlist_is_asked_for_a_target_duration_after_one_that_changed_and_half_of_it_after_the_same() -> None:
    for text in (plain(0, 3), plain(0, 0), plain(0, 3).replace("4.0", "2.0")):  # RFC 8216 §6.3.4, whatever is in it
        playlist = parse_playlist(text)
        assert (playlist.wait_s(has_new=True, has_changed=True), playlist.wait_s(has_new=False, has_changed=True)) == (4.0, 4.0)
        assert playlist.wait_s(has_new=False, has_changed=False) == 2.0
    assert parse_playlist(plain(0, 3)) == parse_playlist(plain(0, 3)) != parse_playlist(plain(1, 2))


def test_a_server_that_holds_playlists_back_is_asked_at_once_unless_there_was_nothing_new() -> None:
    playlist = parse_playlist(low_latency(whole=1, parts=2))
    assert [playlist.wait_s(has_new=has_new, has_changed=True) for has_new in (True, False)] == [0.0, 0.1]
    for text in ("#EXTM3U\n", HEAD.replace("TARGET=0.2", "TARGET=0.001")):
        assert parse_playlist(text).wait_s(has_new=False, has_changed=True) == MIN_PAUSE_S


def test_gaps_that_a_server_tells_of_are_not_fetched() -> None:
    follower = Follower()
    text = HEAD + part(7, 0) + '#EXT-X-PART:DURATION=0.2,URI="7.1.m4s",GAP=YES\n' + part(7, 2)
    assert taken(follower, text) == ["7.0.m4s", "7.2.m4s"]
    assert taken(Follower(), PLAIN.format(first=0, segments="#EXT-X-GAP\n#EXTINF:4,\n0.ts\n#EXTINF:4,\n1.ts\n")) == ["1.ts"]


NO_SECONDS = [
    f"#EXTM3U\n{tag.format(seconds)}\n"
    for seconds in ("long", "nan", "inf", "-1")
    for tag in (
        "#EXT-X-TARGETDURATION:{}",
        "#EXTINF:{},",
        "#EXT-X-PART-INF:PART-TARGET={}",
        "#EXT-X-SERVER-CONTROL:HOLD-BACK={}",
        "#EXT-X-SERVER-CONTROL:PART-HOLD-BACK={}",
        '#EXT-X-PART:URI="p",DURATION={}',
    )
]


@pytest.mark.parametrize("text", ["", "<html>", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x\n", *NO_SECONDS])
def test_what_is_no_playlist_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_playlist(text)


@pytest.mark.parametrize(
    "tag",
    [
        '#EXT-X-KEY:METHOD=AES-128,URI="k"',
        "#EXT-X-BYTERANGE:100@0",
        '#EXT-X-MAP:URI="init.mp4",BYTERANGE="100@0"',
        '#EXT-X-PART:DURATION=0.2,URI="p",BYTERANGE="100@0"',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="b",URI="sound.m3u8"',
    ],
)
def test_what_changes_what_is_fetched_is_refused_by_name(tag: str) -> None:
    with pytest.raises(UnsupportedError, match=tag.partition(":")[0].removeprefix("#")):
        parse_playlist(f"#EXTM3U\n{tag}\n")


def test_what_changes_nothing_is_passed_over() -> None:
    tags = '#EXT-X-KEY:METHOD=NONE\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="b"\n#EXT-X-MEDIA:TYPE=SUBTITLES,URI="s"\n'
    assert parse_playlist(f"#EXTM3U\n{tags}#EXTINF:4,\n0.ts\n").segments[0].uri == "0.ts"
