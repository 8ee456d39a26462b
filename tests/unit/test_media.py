from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.media import (
    TICKS_PER_SECOND,
    AccessUnit,
    Codec,
    Kind,
    Track,
    TrackSet,
    Unwrapper,
    ms_to_ticks,
    rescale,
    ticks_to_ms,
    wrap,
)

VIDEO = Track(track_id=1, codec=Codec.H264)
AUDIO = Track(track_id=2, codec=Codec.AAC)
SCRIPT = Track(track_id=3, codec=Codec.SCRIPT)


def test_every_codec_has_its_kind() -> None:
    kinds = {kind: {codec.name for codec in Codec if codec.kind is kind} for kind in Kind}
    assert kinds[Kind.VIDEO] == {"H264", "H265", "AV1", "VP9"}
    assert kinds[Kind.DATA] == {"SCRIPT", "OPAQUE"}
    assert kinds[Kind.AUDIO] == {"AAC", "OPUS", "PCMA", "PCMU", "MP2", "MP3", "AC3", "EAC3", "FLAC"}


def test_a_track_set_finds_its_tracks() -> None:
    tracks = TrackSet((SCRIPT, AUDIO, VIDEO))
    assert (tracks.get(2), tracks.get(9)) == (AUDIO, None)
    assert (tracks.first(Kind.VIDEO), tracks.first(Kind.DATA)) == (VIDEO, SCRIPT)
    assert tracks.has_video
    assert not TrackSet((AUDIO, SCRIPT)).has_video


def test_each_change_of_a_track_set_makes_a_new_version_in_the_same_order() -> None:
    tracks = TrackSet().with_track(VIDEO).with_track(AUDIO)
    assert (tracks.tracks, tracks.version) == ((VIDEO, AUDIO), 2)
    changed = Track(track_id=1, codec=Codec.H265, version=1)
    assert tracks.with_track(changed) == TrackSet((changed, AUDIO), 3)
    assert tracks.without_track(1) == TrackSet((AUDIO,), 3)
    assert tracks.with_track(VIDEO) == TrackSet((VIDEO, AUDIO), 3)


def test_a_track_follows_the_one_of_its_id_with_the_next_version_unless_it_is_the_same() -> None:
    tracks = TrackSet().with_latest(VIDEO)
    assert tracks == TrackSet((VIDEO,), 1)
    assert tracks.with_latest(replace(VIDEO, version=7)) is tracks
    changed = replace(VIDEO, codec=Codec.H265)
    assert tracks.with_latest(changed) == TrackSet((replace(changed, version=VIDEO.version + 1),), 2)


def test_presentation_follows_from_decoding_time() -> None:
    assert AccessUnit(1, 3000, -90, False, b"").pts == 2910


@given(st.integers(2, 33), st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=10), st.data())
def test_a_counter_unwraps_to_what_it_was_wherever_steps_are_short(bits: int, steps: list[int], data: st.DataObject) -> None:
    half = 1 << (bits - 1)
    value = data.draw(st.integers(0, 2 * half - 1))
    unwrapper = Unwrapper(bits)
    assert unwrapper.unwrap(value) == value
    for step in steps:
        value += (step + half) % (2 * half) - half
        assert unwrapper.unwrap(wrap(value, bits)) == value


@given(st.integers(-(2**40), 2**40))
def test_a_millisecond_is_exactly_ninety_ticks(ms: int) -> None:
    assert ticks_to_ms(ms_to_ticks(ms)) == ticks_to_ms(ms_to_ticks(ms) + 89) == ms


@pytest.mark.parametrize(("value", "rate", "ticks"), [(1024, 48_000, 1920), (1024, 44_100, 2090), (-1, 44_100, -2), (1, 60_000, 2)])
def test_other_rates_become_the_nearest_tick(value: int, rate: int, ticks: int) -> None:
    assert rescale(value, rate) == ticks


@given(st.integers(-(2**40), 2**40), st.integers(1, 10**6), st.integers(1, 10**6))
def test_rescaling_is_never_off_by_more_than_half(value: int, from_hz: int, to_hz: int) -> None:
    assert abs(rescale(value, from_hz, to_hz) - Fraction(value * to_hz, from_hz)) <= Fraction(1, 2)
    assert rescale(value, TICKS_PER_SECOND) == value
