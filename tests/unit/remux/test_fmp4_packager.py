"""fMP4 to players: what was packaged reads back as the same units, and a new configuration is told or ends it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.packaging import BOTH, H264, messages_of, packaged, received

from lalmesh.codec import build_track
from lalmesh.codec.aac import AudioSpecificConfig, silent_frame
from lalmesh.container.fmp4 import TIME_OFFSET, Fmp4Demuxer, mime_type
from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.remux import Fmp4Packager, Parts, WebSocketFmp4Packager

LOUDER = TrackSet((H264, build_track(2, Codec.AAC, bytes.fromhex("1190"))), 2)
SILENCE = silent_frame(AudioSpecificConfig.parse(bytes.fromhex("1210")))  # of the sound of BOTH
SCRIPT = Track(track_id=3, codec=Codec.SCRIPT, configuration=b"metadata")

_TIMES = st.integers(0, 1 << 40)
_PICTURES = st.builds(AccessUnit, st.just(1), _TIMES, st.integers(0, 90_000), st.booleans(), st.binary(min_size=1, max_size=300))
_SOUND = st.builds(AccessUnit, st.just(2), _TIMES, st.just(0), st.just(True), st.binary(min_size=1, max_size=300))


def demuxed(wire: bytes) -> list[tuple[int, int, int, bool, bytes]]:
    units = [event for event in Fmp4Demuxer().feed(wire) if isinstance(event, AccessUnit)]
    return [(unit.track_id, unit.dts, unit.cts, unit.random_access, unit.payload) for unit in units]


def facts(units: list[AccessUnit]) -> list[tuple[int, int, int, bool, bytes]]:
    return [(unit.track_id, unit.dts + TIME_OFFSET, unit.cts, unit.random_access, unit.payload) for unit in units]


@st.composite
def flowing(draw: st.DrawFn) -> list[AccessUnit]:
    """Units without a hole between those of a track."""
    clocks, units = {1: draw(_TIMES), 2: draw(_TIMES)}, []
    for unit in draw(st.lists(_PICTURES | _SOUND, max_size=8)):
        units.append(replace(unit, dts=clocks[unit.track_id]))
        clocks[unit.track_id] += draw(st.integers(1800, 3600))
    return units


@given(flowing())
def test_what_is_packaged_reads_back(units: list[AccessUnit]) -> None:
    packager = Fmp4Packager()
    assert demuxed(packager.start(BOTH, 0) + b"".join(packaged(packager, units))) == facts(units)


@given(st.lists(_PICTURES | _SOUND, max_size=8))
def test_whatever_the_times_each_unit_goes_out_once_and_is_shown_when_it_should_be(units: list[AccessUnit]) -> None:
    packager = Fmp4Packager()
    read = demuxed(packager.start(BOTH, 0) + b"".join(packaged(packager, units)))
    shown = [(track_id, dts + cts - TIME_OFFSET, payload) for track_id, dts, cts, _, payload in read if payload != SILENCE]
    assert shown == [(unit.track_id, unit.pts, unit.payload) for unit in units]


def test_a_late_picture_is_shown_in_time_and_missing_sound_is_silence() -> None:
    units = [AccessUnit(track_id, dts, 0, True, b"unit") for dts in (0, 63_000) for track_id in (1, 2)]
    packager = Fmp4Packager()
    read = demuxed(packager.start(BOTH, 0) + b"".join(packaged(packager, units)))
    assert [(dts + cts - TIME_OFFSET, payload) for track_id, dts, cts, _, payload in read if track_id == 1] == [
        (0, b"unit"),
        (63_000, b"unit"),
    ]
    sound = [dts - TIME_OFFSET for track_id, dts, *_ in read if track_id == 2]
    assert (sound[0], sound[-1]) == (0, 63_000)
    assert all(after - before < 2 * 2090 for before, after in pairwise(sound))


def test_a_player_joins_at_any_fragment() -> None:
    packager = Fmp4Packager()
    units = [AccessUnit(2, number * 1920, 0, True, bytes((number,))) for number in range(9)]
    messages = packaged(packager, units)
    assert demuxed(packager.start(BOTH, units[5].dts) + b"".join(messages[5:])) == facts(units[5:])


def test_a_new_configuration_ends_it() -> None:
    packager = Fmp4Packager()
    assert not packager.accepts(BOTH, LOUDER)
    assert packager.change(BOTH, LOUDER, 0, []) == 0


def test_what_fmp4_does_not_tell_of_changes_nothing() -> None:
    assert Fmp4Packager().accepts(BOTH, TrackSet((*BOTH.tracks, SCRIPT), 7))


@pytest.mark.parametrize("codec", [Codec.PCMA, Codec.PCMU, Codec.MP2, Codec.OPAQUE])
def test_what_fmp4_cannot_carry_is_left_out_and_told(codec: Codec) -> None:
    packager = Fmp4Packager()
    odd = Track(track_id=9, codec=codec)
    tracks = TrackSet((*BOTH.tracks, SCRIPT, odd), 2)
    assert packager.left_out(tracks) == (odd,)
    assert packaged(packager, [AccessUnit(9, 0, 0, True, b"x"), AccessUnit(3, 0, 0, True, b"x")], tracks) == [b"", b""]
    assert packager.start(tracks, 0) == packager.start(BOTH, 0)


def test_over_websocket_the_first_message_says_what_it_is() -> None:
    said, init = messages_of(WebSocketFmp4Packager().start(BOTH, 0))
    assert json.loads(said) == {"mime": mime_type(BOTH)} == {"mime": 'video/mp4; codecs="avc1.640009,mp4a.40.2"'}
    assert init == Fmp4Packager().start(BOTH, 0)


def test_over_websocket_each_fragment_is_one_message() -> None:
    units = [
        AccessUnit(2, 0, 0, True, b"a"),
        AccessUnit(9, 0, 0, True, b"not carried"),
        AccessUnit(2, 1920, 0, True, bytes(70_000)),
    ]
    plain = packaged(Fmp4Packager(), units)
    assert received(b"".join(packaged(WebSocketFmp4Packager(), units))) == [message for message in plain if message]


def test_over_websocket_a_new_configuration_is_told_in_order() -> None:
    packager, parts = WebSocketFmp4Packager(), Parts()
    assert packager.accepts(BOTH, LOUDER)
    size = packager.change(BOTH, LOUDER, 0, parts)
    wire = b"".join(parts)
    assert size == len(wire)
    assert wire == packager.start(LOUDER, 0) != packager.start(BOTH, 0)


def test_over_websocket_players_hear_of_what_concerns_them_only() -> None:
    parts = Parts()
    assert WebSocketFmp4Packager().change(BOTH, TrackSet((*BOTH.tracks, SCRIPT), 7), 0, parts) == 0
    assert parts == []
