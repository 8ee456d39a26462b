"""MPEG-TS to players: what was packaged reads back as the same units, wherever a player joins."""

from __future__ import annotations

import pytest
from support.edge_fakes import AUDIO
from support.packaging import BOTH, H264, packaged, received

from lalmesh.codec import build_track
from lalmesh.container.mpegts import PACKET_BYTES, TABLES_BYTES, TIME_OFFSET_TICKS, TsDemuxer
from lalmesh.media import AccessUnit, Codec, Track, TracksChanged, TrackSet
from lalmesh.remux import Parts, TsPackager, WebSocketTsPackager

SOUND = TrackSet((AUDIO,), 1)


def picture(number: int, *, key: bool) -> AccessUnit:
    """One slice, 25 a second."""
    nalu = (b"\x65" if key else b"\x41") + bytes((number,)) * 300
    return AccessUnit(1, number * 3600, 0, key, len(nalu).to_bytes(4, "big") + nalu)


def sound(number: int) -> AccessUnit:
    return AccessUnit(2, number * 1920, 0, True, b"\x21" + bytes((number,)) * 20)


def times(wire: bytes) -> list[tuple[int, int]]:
    """Track and time of each unit that a demuxer finds."""
    demuxer = TsDemuxer()
    events = [*demuxer.feed(wire), *demuxer.flush()]
    assert not demuxer.counters.lost_bytes
    return sorted((unit.track_id, unit.dts - TIME_OFFSET_TICKS) for unit in events if isinstance(unit, AccessUnit))


def continuity(wire: bytes) -> list[tuple[int, int]]:
    """PID and counter of each packet with a payload."""
    packets = (wire[at : at + PACKET_BYTES] for at in range(0, len(wire), PACKET_BYTES))
    return [(int.from_bytes(packet[1:3], "big") & 0x1FFF, packet[3] & 0x0F) for packet in packets if packet[3] & 0x10]


def test_a_player_of_pictures_begins_at_one_with_its_tables() -> None:
    packager = TsPackager()
    units = [picture(0, key=True), picture(1, key=False), picture(2, key=True), sound(4)]
    messages = packaged(packager, units, BOTH)
    assert packager.start(BOTH, units[2].dts) == b""
    assert times(b"".join(messages[2:])) == [(1, units[2].dts), (2, units[3].dts)]


def test_a_player_of_sound_gets_the_tables_and_counters_that_go_on() -> None:
    packager = TsPackager()
    units = [sound(number) for number in range(60)]
    messages = packaged(packager, units, SOUND)
    start = packager.start(SOUND, units[10].dts)
    assert len(start) == TABLES_BYTES
    assert times(start + b"".join(messages[10:])) == [(2, unit.dts) for unit in units[10:]]
    tables = [counter for pid, counter in continuity(start + b"".join(messages[10:])) if pid == 0]
    assert tables == [(tables[0] + index) % 16 for index in range(len(tables))]


def test_a_join_disturbs_no_other_player() -> None:
    one, other = TsPackager(), TsPackager()
    units = [sound(number) for number in range(60)]
    parts = Parts()
    expected = packaged(one, units, SOUND)
    got = []
    for unit in units:
        other.start(SOUND, unit.dts)
        other.change(BOTH, SOUND, unit.dts, parts)
        got += packaged(other, [unit], SOUND)
    assert (got, parts) == (expected, [])


def test_a_changed_track_set_comes_with_new_tables() -> None:
    packager = TsPackager()
    louder = TrackSet((H264, build_track(2, Codec.AAC, bytes.fromhex("1190"))), 2)
    wire = b"".join([*packaged(packager, [picture(0, key=True)], BOTH), *packaged(packager, [picture(1, key=False)], louder)])
    assert len([pid for pid, _ in continuity(wire) if pid == 0]) == 2
    assert packager.accepts(BOTH, louder)


@pytest.mark.parametrize("codec", [Codec.AV1, Codec.VP9, Codec.PCMA, Codec.PCMU, Codec.FLAC, Codec.OPAQUE])
def test_what_ts_cannot_carry_is_left_out_and_told(codec: Codec) -> None:
    packager = TsPackager()
    odd = Track(track_id=9, codec=codec)
    tracks = TrackSet((*BOTH.tracks, odd, Track(track_id=10, codec=Codec.SCRIPT)))
    assert packager.left_out(tracks) == (odd,)
    assert packaged(packager, [AccessUnit(9, 0, 0, True, b"x"), AccessUnit(10, 0, 0, True, b"x")], tracks) == [b"", b""]


def test_a_configuration_that_ts_has_no_words_for_is_left_out_and_told() -> None:
    spelled_out = Track(track_id=2, codec=Codec.AAC, configuration=b"\x11\x80")  # channels in a program_config_element
    assert TsPackager().left_out(TrackSet((H264, spelled_out))) == (spelled_out,)


@pytest.mark.parametrize("codec", [Codec.VP9, Codec.H264])
def test_pictures_that_ts_cannot_carry_bring_no_tables_so_the_sound_gets_them(codec: Codec) -> None:
    packager = TsPackager()
    tracks = TrackSet((Track(track_id=1, codec=codec, configuration=b"what"), AUDIO), 1)
    units = [sound(number) for number in range(5)]
    messages = packaged(packager, units, tracks)
    assert times(packager.start(tracks, units[2].dts) + b"".join(messages[2:])) == [(2, unit.dts) for unit in units[2:]]


def test_a_stream_is_told_of_as_the_publisher_described_it() -> None:
    demuxer = TsDemuxer()
    wire = b"".join(packaged(TsPackager(), [picture(0, key=True), sound(0)], BOTH))
    changes = [event for event in [*demuxer.feed(wire), *demuxer.flush()] if isinstance(event, TracksChanged)]
    assert {track.codec for track in changes[-1].tracks.tracks} == {Codec.H264, Codec.AAC}


def test_over_websocket_each_unit_is_one_message() -> None:
    units = [picture(0, key=True), AccessUnit(9, 0, 0, True, b"not carried"), sound(0), picture(1, key=False)]
    plain = packaged(TsPackager(), units, BOTH)
    framed = b"".join(packaged(WebSocketTsPackager(), units, BOTH))
    assert received(framed) == [message for message in plain if message]


def test_over_websocket_the_tables_of_a_join_are_a_message() -> None:
    plain, framed = TsPackager(), WebSocketTsPackager()
    for packager in (plain, framed):
        packaged(packager, [sound(0)], SOUND)
    assert received(framed.start(SOUND, 0)) == [plain.start(SOUND, 0)]
    assert framed.start(BOTH, 0) == b""
