"""G.711 as AAC: what comes out is the same sound at the same times."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import pytest
from support.edge_fakes import VIDEO

from lalmesh.codec import aac, g711
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Codec, Track, TrackSet
from lalmesh.remux import Transcoder, can_transcode, needs_transcoding, transcoded_tracks
from lalmesh.remux._transcode import FRAME_SAMPLES, MAX_DRIFT_TICKS, RATE_HZ

av = pytest.importorskip("av", reason="the extra transcode is not installed")

PCMA = Track(track_id=2, codec=Codec.PCMA, sample_rate_hz=8000, channels=1)
TRACKS = TrackSet((VIDEO, PCMA), 1)
FRAME_TICKS = FRAME_SAMPLES * TICKS_PER_SECOND // RATE_HZ
UNIT_BYTES = 160  #: 20 ms, as telephones and cameras send it
UNIT_TICKS = 20 * TICKS_PER_MS
LOUD = 0x2A  #: of A-law, the largest positive value (G.711 Table 1a)
WITHIN_TICKS = 3 * TICKS_PER_MS  #: a click is smeared by resampling


def pcm(count: int, *, first_dts: int = 90_000, start: int = 0, fill: int = g711.SILENCE[Codec.PCMA]) -> list[AccessUnit]:
    """Units of 20 ms, the first of them at `first_dts`."""
    payload = bytes((fill,)) * UNIT_BYTES
    return [AccessUnit(2, first_dts + index * UNIT_TICKS, 0, True, payload, start + index, 7) for index in range(count)]


def transcoded(units: list[AccessUnit], tracks: TrackSet = TRACKS) -> list[AccessUnit]:
    return Transcoder().transcode(tracks, units)[1]


def loudest_at(frames: list[AccessUnit]) -> int:
    """The time of the loudest sample, by a decoder that knows nothing of ours."""
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = transcoded_tracks(TRACKS).tracks[1].configuration
    loudest = (0.0, 0)
    for frame in frames:
        for decoded in decoder.decode(av.Packet(frame.payload)):
            samples = memoryview(decoded.planes[0]).cast("B").cast("f")
            peak = max(range(decoded.samples), key=lambda index: abs(samples[index]))
            at = frame.dts + peak * TICKS_PER_SECOND // RATE_HZ
            loudest = max(loudest, (abs(samples[peak]), at))
    return loudest[1]


def test_the_track_is_told_as_what_comes_out() -> None:
    assert needs_transcoding(TRACKS)
    made = transcoded_tracks(TRACKS)
    assert made.tracks[0] is VIDEO
    track = made.tracks[1]
    assert (track.track_id, track.codec, track.sample_rate_hz, track.channels) == (2, Codec.AAC, RATE_HZ, 1)
    assert aac.AudioSpecificConfig.parse(track.configuration).object_type == aac.AAC_LC
    assert not needs_transcoding(made)


def test_frames_follow_each_other_from_the_time_of_the_first_unit() -> None:
    frames = transcoded(pcm(500))
    assert [frame.dts for frame in frames] == [90_000 + index * FRAME_TICKS for index in range(len(frames))]
    assert frames[-1].dts > 90_000 + 500 * UNIT_TICKS - 5 * FRAME_TICKS  # what is held back is little
    assert all(frame.random_access and frame.wall_us == 7 for frame in frames)


@pytest.mark.parametrize("at", [30, 31, 77])
def test_a_click_comes_out_when_it_went_in(at: int) -> None:
    units = pcm(120)
    clicking = bytearray(units[at].payload)
    clicking[80:84] = bytes((LOUD,)) * 4
    units[at] = AccessUnit(2, units[at].dts, 0, True, bytes(clicking))
    assert abs(loudest_at(transcoded(units)) - (units[at].dts + 10 * TICKS_PER_MS)) <= WITHIN_TICKS


def test_a_click_after_a_hole_comes_out_when_it_went_in() -> None:
    units = pcm(50) + pcm(50, first_dts=90_000 + 10 * TICKS_PER_SECOND)
    clicking = bytearray(units[70].payload)
    clicking[80:84] = bytes((LOUD,)) * 4
    units[70] = AccessUnit(2, units[70].dts, 0, True, bytes(clicking))
    assert abs(loudest_at(transcoded(units)) - (units[70].dts + 10 * TICKS_PER_MS)) <= WITHIN_TICKS


def test_times_that_jitter_are_smoothed() -> None:
    units = pcm(200)
    for index, unit in enumerate(units):
        unit.dts += (index % 3) * TICKS_PER_MS
    frames = transcoded(units)
    assert {after.dts - before.dts for before, after in itertools.pairwise(frames)} == {FRAME_TICKS}


def test_times_that_drift_are_followed() -> None:
    slow = [AccessUnit(2, unit.dts + index * 18, 0, True, unit.payload) for index, unit in enumerate(pcm(2000))]  # 1 % slow
    frames = transcoded(slow)
    assert abs(frames[-1].dts - slow[-1].dts) < MAX_DRIFT_TICKS + 5 * FRAME_TICKS
    assert all(before.dts < after.dts for before, after in itertools.pairwise(frames))


def test_a_step_back_never_gives_a_time_twice() -> None:
    frames = transcoded(pcm(100) + pcm(400, first_dts=90_000 + 20 * UNIT_TICKS))
    times = [frame.dts for frame in frames]
    assert times == sorted(set(times))
    assert times[-1] > 90_000 + 400 * UNIT_TICKS


def test_other_tracks_go_through_untouched_and_in_their_place() -> None:
    pictures = [AccessUnit(1, 90_000 + index * 3600, 0, index == 0, b"v") for index in range(10)]
    units = [unit for index, picture in enumerate(pictures) for unit in (picture, *pcm(2, first_dts=picture.dts, start=index))]
    tracks, made = Transcoder().transcode(TRACKS, units)
    assert [unit for unit in made if unit.track_id == 1] == pictures
    assert all(unit is picture for unit, picture in zip([u for u in made if u.track_id == 1], pictures, strict=True))
    assert tracks == transcoded_tracks(TRACKS)


def test_the_same_tracks_give_the_same_object() -> None:
    transcoder = Transcoder()
    first = transcoder.transcode(TRACKS, pcm(1))[0]
    assert transcoder.transcode(TRACKS, pcm(1))[0] is first
    again = transcoder.transcode(TrackSet(TRACKS.tracks, 2), pcm(1))[0]
    assert (again is first, again.version) == (False, 2)


def test_a_change_elsewhere_interrupts_nothing() -> None:
    transcoder = Transcoder()
    units = pcm(100)
    frames = transcoder.transcode(TRACKS, units[:50])[1] + transcoder.transcode(TrackSet(TRACKS.tracks, 2), units[50:])[1]
    assert {after.dts - before.dts for before, after in itertools.pairwise(frames)} == {FRAME_TICKS}


@pytest.mark.parametrize(("codec", "channels"), [(Codec.PCMU, 1), (Codec.PCMA, 2), (Codec.PCMU, 0)])
def test_every_form_of_g711_is_taken(codec: Codec, channels: int) -> None:
    tracks = TrackSet((Track(track_id=2, codec=codec, channels=channels),), 1)
    made, frames = Transcoder().transcode(tracks, pcm(50))
    assert made.tracks[0].channels == max(1, channels)
    assert frames


@pytest.mark.parametrize("payload", [b"", b"\xd5", bytes(3)])
def test_odd_units_do_no_harm(payload: bytes) -> None:
    tracks = TrackSet((Track(track_id=2, codec=Codec.PCMA, channels=2),), 1)
    assert transcoded([AccessUnit(2, 0, 0, True, payload), *pcm(50)], tracks)


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "av", None)
    can_transcode.cache_clear()  # it is found out once
    yield
    can_transcode.cache_clear()


@pytest.mark.usefixtures("without_the_extra")
def test_without_the_extra_nothing_can_be_transcoded() -> None:
    assert not can_transcode()


def test_with_the_extra_it_can() -> None:
    assert can_transcode()
