from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from lalmesh.errors import LocalProtocolError
from lalmesh.protocol.hls import (
    MediaPlaylist,
    OpenSegment,
    Part,
    PlaylistKind,
    Segment,
    Variant,
    render_media,
    render_multivariant,
    rounded_seconds,
    with_query,
)

SECOND = 90_000
NOON_US = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z


def a_ts_playlist() -> MediaPlaylist:
    segments = (
        Segment(7, "1.2-7.ts", 3 * SECOND, NOON_US),
        Segment(8, "1.2-8.ts", 3 * SECOND - 10, NOON_US + 3_000_999),
    )
    return MediaPlaylist(target_duration_s=3, media_sequence=7, segments=segments)


def parts(number: int, count: int = 4) -> tuple[Part, ...]:
    return tuple(Part(f"1.2-{number}.{index}.m4s", SECOND // 2, independent=index == 0) for index in range(count))


def a_segment(number: int) -> Segment:
    """One of two seconds, in four parts."""
    return Segment(
        number, f"1.2-{number}.m4s", 2 * SECOND, NOON_US + number * 2_000_000, map_uri="1.2-init0.mp4", parts=parts(number)
    )


def a_low_latency_playlist(count: int = 2) -> MediaPlaylist:
    """Segments 0 to `count` - 1 and one part of the next."""
    return MediaPlaylist(
        target_duration_s=2,
        media_sequence=0,
        segments=tuple(a_segment(number) for number in range(count)),
        part_target=SECOND // 2,
        open_segment=OpenSegment(NOON_US + count * 2_000_000, map_uri="1.2-init0.mp4", parts=parts(count, 1)),
        hint_uri=f"1.2-{count}.1.m4s",
    )


def test_a_ts_playlist_is_of_version_3_and_says_nothing_of_low_latency() -> None:
    assert render_media(a_ts_playlist()) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:3\n"
        "#EXT-X-ALLOW-CACHE:NO\n"
        "#EXT-X-TARGETDURATION:3\n"
        "#EXT-X-MEDIA-SEQUENCE:7\n"
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:00.000Z\n"
        "#EXTINF:3.000,\n"
        "1.2-7.ts\n"
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:03.000Z\n"
        "#EXTINF:3.000,\n"
        "1.2-8.ts\n"
    )


def test_a_low_latency_playlist_has_parts_promises_and_a_hint() -> None:
    assert render_media(a_low_latency_playlist(1)) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:6\n"
        "#EXT-X-TARGETDURATION:2\n"
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.50000,HOLD-BACK=6.0,CAN-SKIP-UNTIL=12.0\n"
        "#EXT-X-PART-INF:PART-TARGET=0.50000\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
        '#EXT-X-MAP:URI="1.2-init0.mp4"\n'
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:00.000Z\n"
        '#EXT-X-PART:DURATION=0.50000,URI="1.2-0.0.m4s",INDEPENDENT=YES\n'
        '#EXT-X-PART:DURATION=0.50000,URI="1.2-0.1.m4s"\n'
        '#EXT-X-PART:DURATION=0.50000,URI="1.2-0.2.m4s"\n'
        '#EXT-X-PART:DURATION=0.50000,URI="1.2-0.3.m4s"\n'
        "#EXTINF:2.00000,\n"
        "1.2-0.m4s\n"
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:02.000Z\n"
        '#EXT-X-PART:DURATION=0.50000,URI="1.2-1.0.m4s",INDEPENDENT=YES\n'
        '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="1.2-1.1.m4s"\n'
    )


def test_parts_are_listed_of_the_last_three_target_durations() -> None:
    text = render_media(a_low_latency_playlist(8))
    assert [number for number in range(9) if f'"1.2-{number}.0.m4s"' in text] == [5, 6, 7, 8]


def test_a_discontinuity_and_a_new_configuration_stand_before_the_parts() -> None:
    playlist = a_low_latency_playlist(1)
    opened = OpenSegment(NOON_US, discontinuity=True, map_uri="1.2-init1.mp4", parts=parts(1, 1))
    lines = render_media(replace(playlist, open_segment=opened)).splitlines()
    assert lines[-5:-1] == [
        "#EXT-X-DISCONTINUITY",
        '#EXT-X-MAP:URI="1.2-init1.mp4"',
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:00.000Z",
        '#EXT-X-PART:DURATION=0.50000,URI="1.2-1.0.m4s",INDEPENDENT=YES',
    ]
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:0" in lines


def test_the_sequence_of_discontinuities_is_said_once_one_has_left() -> None:
    assert "DISCONTINUITY" not in render_media(a_ts_playlist())
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:4\n" in render_media(replace(a_ts_playlist(), discontinuity_sequence=4))


def test_a_gap_is_marked_and_keeps_its_place() -> None:
    segments = (replace(a_segment(0), gap=True, parts=(Part("1.2-0.0.m4s", 2 * SECOND, gap=True),)),)
    lines = render_media(replace(a_low_latency_playlist(), segments=segments)).splitlines()
    at = lines.index("#EXT-X-GAP")
    assert lines[at - 1 : at + 3] == [
        '#EXT-X-PART:DURATION=2.00000,URI="1.2-0.0.m4s",GAP=YES',
        "#EXT-X-GAP",
        "#EXTINF:2.00000,",
        "1.2-0.m4s",
    ]


def test_an_unknown_date_time_is_not_made_up() -> None:
    segments = tuple(replace(segment, program_date_time_us=0) for segment in a_ts_playlist().segments)
    assert "DATE-TIME" not in render_media(replace(a_ts_playlist(), segments=segments))


def test_a_delta_playlist_leaves_out_what_ends_beyond_the_skip_boundary() -> None:
    text = render_media(a_low_latency_playlist(9), skip=True)
    assert "#EXT-X-VERSION:9\n" in text
    assert "#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n" in text  # segment 1 ends 14 s before the end of segment 8, segment 2 12 s
    assert "MAP" not in text  # in force since the first segment, which the player has
    assert "1.2-1.m4s" not in text
    assert "\n1.2-2.m4s\n" in text


@pytest.mark.parametrize("playlist", [a_low_latency_playlist(7), replace(a_low_latency_playlist(9), ended=True), a_ts_playlist()])
def test_where_nothing_can_be_skipped_the_whole_playlist_is_given(playlist: MediaPlaylist) -> None:
    assert render_media(playlist, skip=True) == render_media(playlist)


def test_a_delta_playlist_names_a_configuration_that_is_new_after_the_skipped_segments() -> None:
    playlist = a_low_latency_playlist(9)
    segments = [replace(segment, map_uri=f"1.2-init{segment.number // 3}.mp4") for segment in playlist.segments]
    text = render_media(replace(playlist, segments=tuple(segments)), skip=True)
    assert [line for line in text.splitlines() if "MAP" in line] == [
        '#EXT-X-MAP:URI="1.2-init1.mp4"',
        '#EXT-X-MAP:URI="1.2-init2.mp4"',
        '#EXT-X-MAP:URI="1.2-init0.mp4"',  # of the segment that is being made
    ]


def test_base_and_query_are_on_every_uri() -> None:
    lines = render_media(a_low_latency_playlist(), query="token=a%2Fb", base="../a/cam/").splitlines()
    uris = [line for line in lines if "1.2-" in line]
    assert len(uris) == 13
    assert all("../a/cam/1.2-" in line and "?token=a%2Fb" in line for line in uris)


@pytest.mark.parametrize("broken", ['a="', "a\n#EXT-X-ENDLIST", "a b", "a#b", "ü"])
def test_what_would_break_the_text_is_our_bug(broken: str) -> None:
    with pytest.raises(LocalProtocolError):
        render_media(a_ts_playlist(), query=broken)
    with pytest.raises(LocalProtocolError):
        render_media(a_ts_playlist(), base=broken)


def test_an_ended_playlist_says_so_and_hints_at_nothing() -> None:
    text = render_media(replace(a_low_latency_playlist(), ended=True))
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert "HINT" not in text


@pytest.mark.parametrize(("kind", "line"), [(PlaylistKind.EVENT, "EVENT"), (PlaylistKind.VOD, "VOD"), (PlaylistKind.LIVE, None)])
def test_only_playlists_that_keep_all_have_a_type(kind: PlaylistKind, line: str | None) -> None:
    text = render_media(replace(a_ts_playlist(), kind=kind))
    assert ("PLAYLIST-TYPE" in text) is (line is not None)
    assert line is None or f"#EXT-X-PLAYLIST-TYPE:{line}\n" in text
    assert ("ALLOW-CACHE" in text) is (kind is PlaylistKind.LIVE)


def test_independence_is_claimed_only_where_it_holds() -> None:
    assert "INDEPENDENT-SEGMENTS" not in render_media(a_low_latency_playlist())
    assert "#EXT-X-INDEPENDENT-SEGMENTS\n" in render_media(replace(a_low_latency_playlist(), independent=True))


def test_fmp4_without_parts_is_of_version_6_and_offers_no_directives() -> None:
    segments = (replace(a_segment(0), parts=()),)
    text = render_media(MediaPlaylist(target_duration_s=2, media_sequence=0, segments=segments))
    assert "#EXT-X-VERSION:6\n" in text
    assert "SERVER-CONTROL" not in text


@pytest.mark.parametrize(
    ("ticks", "seconds"),
    [(0, 0), (SECOND, 1), (10 * SECOND + 44_954, 10), (10 * SECOND + 44_955, 11), (10 * SECOND + 44_999, 11), (6 * SECOND + 1, 6)],
)
def test_durations_are_rounded_as_players_read_them(ticks: int, seconds: int) -> None:
    assert rounded_seconds(ticks) == seconds


def test_the_multivariant_playlist_describes_its_variant() -> None:
    variant = Variant(
        uri="live.m3u8",
        bandwidth_bps=3_000_000,
        average_bandwidth_bps=2_600_000,
        codecs="avc1.64001f,mp4a.40.2",
        width=1280,
        height=720,
        frame_rate=Fraction(30_000, 1001),
        independent=True,
    )
    assert render_multivariant(variant, query="t=1") == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:6\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2600000,CODECS="avc1.64001f,mp4a.40.2"'
        ",RESOLUTION=1280x720,FRAME-RATE=29.970\n"
        "live.m3u8?t=1\n"
    )


def test_a_multivariant_playlist_leaves_out_what_is_unknown() -> None:
    text = render_multivariant(Variant(uri="live.m3u8", bandwidth_bps=128_000, codecs="mp4a.40.2"))
    assert text.splitlines()[2] == '#EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS="mp4a.40.2"'


def test_a_query_is_added_to_each_variant_and_to_nothing_else() -> None:
    variant = Variant(uri="live.m3u8", bandwidth_bps=1, codecs="mp4a.40.2")
    for query, added in (("", "live.m3u8?b=2"), ("a=1", "live.m3u8?a=1&b=2")):
        before = render_multivariant(variant, query=query)
        after = with_query(before, "b=2")
        assert after.splitlines() == [*before.splitlines()[:-1], added]
    with pytest.raises(LocalProtocolError):
        with_query(before, 'b="2')
