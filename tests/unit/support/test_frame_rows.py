"""The comparison of recordings finds every kind of difference, and nothing where there is none."""

import dataclasses
from fractions import Fraction

import pytest
from support import frames
from support.frames import Frame, Recording, Stream, assert_same_from_join

MS = Fraction(1, 1000)
VIDEO, AUDIO = 0, 1
STREAMS = (Stream(VIDEO, "video", "h264", MS, "avcc"), Stream(AUDIO, "audio", "aac", MS, "asc"))
JOIN_MS = 2000


def a_source(seconds: int = 6) -> Recording:
    """25 pictures a second, shown 40 ms after decoding, and 50 audio frames a second."""
    rows = [Frame(VIDEO, at, at + 40, 1000, f"v{at}") for at in range(0, seconds * 1000, 40)]
    rows += [Frame(AUDIO, at, at, 100, f"a{at}") for at in range(0, seconds * 1000, 20)]
    return Recording(STREAMS, tuple(sorted(rows, key=lambda frame: (frame.dts, frame.stream))))


def a_playback(offset: int = 0, from_ms: int = JOIN_MS) -> list[Frame]:
    """What a faultless server gives to a player that joins at `from_ms`, with its times moved by `offset`."""
    moved = (dataclasses.replace(frame, dts=frame.dts + offset, pts=frame.pts + offset) for frame in a_source().frames)
    return [frame for frame in moved if frame.dts - offset >= from_ms]


def compare(rows: list[Frame], *, to_end: bool = True) -> frames.Join:
    return assert_same_from_join(a_source(), Recording(STREAMS, tuple(rows)), to_end=to_end)


def place(rows: list[Frame], stream: int, nth: int = 30) -> int:
    """Where the `nth` packet of a stream stands in `rows`."""
    return [index for index, frame in enumerate(rows) if frame.stream == stream][nth]


@pytest.mark.parametrize("offset", [0, -JOIN_MS, 123_456])
def test_a_faultless_playback_passes_and_its_offset_is_told(offset: int) -> None:
    join = compare(a_playback(offset))
    assert join == frames.Join(offset, JOIN_MS, {"video": 100, "audio": 200})


def test_a_playback_that_was_cut_off_passes_unless_its_end_is_asked_for() -> None:
    rows = a_playback()[:-20]
    compare(rows, to_end=False)
    with pytest.raises(AssertionError, match="are missing"):
        compare(rows)


def test_audio_from_before_the_join_is_allowed() -> None:
    early = [frame for frame in a_playback(from_ms=JOIN_MS - 60) if frame.stream == AUDIO]
    video = [frame for frame in a_playback() if frame.stream == VIDEO]
    compare([*early, *video])


@pytest.mark.parametrize("stream", [VIDEO, AUDIO])
def test_a_dropped_packet_is_found(stream: int) -> None:
    rows = a_playback()
    del rows[place(rows, stream)]
    with pytest.raises(AssertionError, match="packet 30 after the join: 1 packets are missing"):
        compare(rows)


@pytest.mark.parametrize("stream", [VIDEO, AUDIO])
def test_a_doubled_packet_is_found(stream: int) -> None:
    rows = a_playback()
    at = place(rows, stream)
    rows.insert(at, rows[at])
    with pytest.raises(AssertionError, match="packet 31 after the join: a packet came twice"):
        compare(rows)


@pytest.mark.parametrize("stream", [VIDEO, AUDIO])
def test_an_altered_byte_is_found(stream: int) -> None:
    rows = a_playback()
    at = place(rows, stream)
    rows[at] = dataclasses.replace(rows[at], md5="other")
    with pytest.raises(AssertionError, match="packet 30 after the join: a packet has other bytes"):
        compare(rows)


@pytest.mark.parametrize("stream", [VIDEO, AUDIO])
def test_swapped_packets_are_found(stream: int) -> None:
    rows = a_playback()
    first, second = place(rows, stream), place(rows, stream, 31)
    rows[first], rows[second] = rows[second], rows[first]
    with pytest.raises(AssertionError, match="packet 30 after the join"):
        compare(rows)


def test_a_whole_gop_sent_again_is_found() -> None:
    rows = a_playback()
    again = [frame for frame in rows if frame.dts < JOIN_MS + 1000]
    with pytest.raises(AssertionError, match="packet 25 after the join: a packet was sent again"):
        compare([*again, *rows])


@pytest.mark.parametrize(("stream", "by"), [(VIDEO, 1), (AUDIO, 1), (AUDIO, -1), (AUDIO, 20), (AUDIO, 500)])
def test_a_track_whose_times_moved_against_the_other_is_found(stream: int, by: int) -> None:
    rows = [dataclasses.replace(f, dts=f.dts + by, pts=f.pts + by) if f.stream == stream else f for f in a_playback()]
    with pytest.raises(AssertionError, match=r"ms off|after the join"):
        compare(rows, to_end=False)


@pytest.mark.parametrize(("dts", "pts"), [(1, 0), (0, -1)])
def test_one_wrong_time_is_found(dts: int, pts: int) -> None:
    rows = a_playback()
    at = place(rows, VIDEO)
    rows[at] = dataclasses.replace(rows[at], dts=rows[at].dts + dts, pts=rows[at].pts + pts)
    with pytest.raises(AssertionError, match=r"packet 30 after the join: [dp]ts is [+-]1 ms off"):
        compare(rows)


def test_audio_that_begins_late_is_found() -> None:
    rows = [frame for frame in a_playback() if frame.stream == VIDEO or frame.dts >= JOIN_MS + 100]
    with pytest.raises(AssertionError, match="audio begins 5 packets after the join"):
        compare(rows)


def test_a_track_that_stopped_is_found_in_a_playback_that_was_cut_off() -> None:
    rows = [frame for frame in a_playback() if frame.stream == VIDEO or frame.dts < JOIN_MS + 1000]
    with pytest.raises(AssertionError, match="audio stopped at 2980 ms"):
        compare(rows, to_end=False)


def test_a_track_that_never_came_is_found() -> None:
    with pytest.raises(AssertionError, match="no audio packet received"):
        compare([frame for frame in a_playback() if frame.stream == VIDEO])


def test_a_packet_that_was_never_sent_is_found() -> None:
    rows = [dataclasses.replace(a_playback()[0], md5="foreign"), *a_playback()[1:]]
    with pytest.raises(AssertionError, match="was never sent"):
        compare(rows)


def test_packets_after_the_end_are_found() -> None:
    with pytest.raises(AssertionError, match="1 video packets more than were sent"):
        compare([*a_playback(), Frame(VIDEO, 6000, 6040, 1000, "v6000")])


def test_another_configuration_is_found() -> None:
    other = dataclasses.replace(STREAMS[0], extradata="changed")
    with pytest.raises(AssertionError, match="decoder configuration of the video"):
        assert_same_from_join(a_source(), Recording((other, STREAMS[1]), tuple(a_playback())))


def test_a_looped_source_is_aligned_where_the_times_agree() -> None:
    once = a_source(2).frames
    loops = [dataclasses.replace(f, dts=f.dts + n * 2000, pts=f.pts + n * 2000) for n in range(3) for f in once]
    received = [f for f in loops if f.dts >= 1000]
    source = Recording(STREAMS, tuple(loops))
    assert assert_same_from_join(source, Recording(STREAMS, tuple(received)), to_end=True).first_dts_ms == 1000


def test_an_audio_only_source_leads_with_its_audio() -> None:
    only = (STREAMS[1],)
    source = Recording(only, tuple(f for f in a_source().frames if f.stream == AUDIO))
    received = Recording(only, tuple(f for f in a_playback(7) if f.stream == AUDIO))
    assert assert_same_from_join(source, received, to_end=True) == frames.Join(7, JOIN_MS, {"audio": 200})


def test_the_rows_of_framemd5_are_read_and_a_last_line_that_was_cut_off_is_not() -> None:
    text = (
        "#format: frame checksums\n#version: 2\n#hash: MD5\n"
        "#extradata 0,                              45, a605\n"
        "#software: Lavf63.1.102\n#tb 0: 1/1000\n#media_type 0: video\n#codec_id 0: h264\n#dimensions 0: 320x180\n"
        "#tb 1: 1/1000\n#media_type 1: audio\n#codec_id 1: pcm_alaw\n#stream#, dts,        pts, duration,     size, hash\n"
        "0,          0,         80,       40,     3912, c942\n"
        "1,         57,         57,       23,      278, 40ba\n"
        "0,         40,        2"
    )
    assert frames.parse(text) == Recording(
        (Stream(0, "video", "h264", MS, "a605"), Stream(1, "audio", "pcm_alaw", MS, None)),
        (Frame(0, 0, 80, 3912, "c942"), Frame(1, 57, 57, 278, "40ba")),
    )
