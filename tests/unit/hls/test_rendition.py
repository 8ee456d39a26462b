"""Renditions: what of a stream they carry, what they name, what they hand on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from support.hls_fakes import second
from support.ts_units import AUDIO, BOTH, VIDEO, picture, track

from lalmesh.container import fmp4, mpegts
from lalmesh.errors import LalmeshError, LocalProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec, TrackSet
from lalmesh.protocol.hls import render_media
from lalmesh.runtime.ownership import NO_PLACE, Epoch
from lalmesh.runtime.ring import Run
from services.hls.cuts import CutSettings, Start, Targets, TargetsFixed
from services.hls.rendition import Format, MadeFile, Rendition, make_rendition
from services.hls.segmenter import Segmenter

EPOCH = Epoch(1000, 1)
CUTS = CutSettings(segment=180_000, part=45_000)


def cut_into(
    rendition: Rendition, seconds: Iterable[list[AccessUnit]], tracks: TrackSet = BOTH, segmenter: Segmenter | None = None
) -> list[MadeFile]:
    segmenter = segmenter or Segmenter(CUTS, Start(number=7))
    for units in seconds:
        for one in segmenter.receive(Run(Epoch(1, 1), b"1" * 16, tracks, units, NO_PLACE)):
            rendition.take(one)
    return rendition.made


def names(files: list[MadeFile]) -> list[str]:
    return [file.name for file in files]


def playlist(rendition: Rendition) -> str:
    assert rendition.window is not None
    return render_media(rendition.window.playlist)


def test_transport_stream_segments_begin_with_tables_and_have_no_parts() -> None:
    made = cut_into(make_rendition(Format.TS, EPOCH, 6), map(second, range(5)))
    assert names(made) == ["1000.1-7.ts", "1000.1-8.ts"]
    assert all(len(file.data) % 188 == 0 and file.data[0:3] == b"\x47\x40\x00" for file in made)


def test_fragments_come_in_parts_after_their_init_segment() -> None:
    made = cut_into(make_rendition(Format.FMP4, EPOCH, 6), map(second, range(3)))
    assert names(made) == ["1000.1-init0.mp4", *(f"1000.1-7.{index}.m4s" for index in range(5)), "1000.1-7.m4s", *names(made)[7:]]
    assert [file.stored for file in made[:7]] == [True, False, False, False, False, False, True]
    assert made[0].data == fmp4.init_segment(BOTH)
    assert made[6].data == b"".join(file.data for file in made[1:6])


@pytest.mark.parametrize(("error", "told"), [(LocalProtocolError("a bug"), 1), (UnsupportedError("a codec"), 0)])
def test_units_that_do_not_fit_are_passed_over_and_a_bug_of_ours_is_told_once(
    error: LalmeshError, told: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(mpegts.TsMuxer, "mux", fail)
    rendition = make_rendition(Format.TS, EPOCH, 6)
    cut_into(rendition, map(second, range(3)))
    assert rendition.failures > 150
    assert len(caplog.records) == told


def test_another_configuration_is_another_init_segment_after_a_discontinuity() -> None:
    other = TrackSet((VIDEO, track(Codec.AAC, bytes.fromhex("1210"))), 9)
    rendition, segmenter = make_rendition(Format.FMP4, EPOCH, 6), Segmenter(CUTS, Start())
    cut_into(rendition, map(second, range(3)), BOTH, segmenter)
    cut_into(rendition, map(second, range(3, 6)), other, segmenter)
    text = playlist(rendition)
    assert text.index("init0.mp4") < text.index("#EXT-X-DISCONTINUITY\n") < text.index("init1.mp4")


def pausing(first: int, last: int) -> list[AccessUnit]:
    """Two seconds without the pictures between two of them."""
    units = [*second(0), *second(1)]
    return [unit for unit in units if unit.track_id != VIDEO.track_id or not first * 3600 < unit.dts < last * 3600]


def demuxed(files: list[MadeFile]) -> list[AccessUnit]:
    wire = b"".join(file.data for file in files if file.stored)
    return [event for event in fmp4.Fmp4Demuxer().feed(wire) if isinstance(event, AccessUnit)]


def test_a_picture_that_lasts_over_the_end_of_a_part_is_followed_by_one_that_is_shown_in_time() -> None:
    sent = pausing(8, 34)  # of 25 a second, in parts of half a second
    made = cut_into(make_rendition(Format.FMP4, EPOCH, 6), [sent, second(2)])
    pictures = [unit for unit in demuxed(made) if unit.track_id == VIDEO.track_id]
    shown = [unit.pts - fmp4.TIME_OFFSET for unit in pictures]
    assert shown == [unit.pts for unit in sent if unit.track_id == VIDEO.track_id]
    assert pictures[9].cts > 0
    assert pictures[10].cts == 0


def test_nothing_fills_the_time_before_a_discontinuity() -> None:
    rendition, segmenter = make_rendition(Format.FMP4, EPOCH, 6), Segmenter(CUTS, Start())
    for number, missing in ((0, 0), (3, 1), (4, 0), (5, 0)):
        for one in segmenter.receive(Run(Epoch(1, 1), b"1" * 16, BOTH, second(number), NO_PLACE, missing)):
            rendition.take(one)
    assert "#EXT-X-DISCONTINUITY\n" in playlist(rendition)
    units = demuxed(rendition.made)
    assert {unit.payload for unit in units} <= {unit.payload for number in range(6) for unit in second(number)}
    assert not any(unit.cts for unit in units)


def slow(first_dts: int, count: int, slot: int) -> list[AccessUnit]:
    units = [picture(first_dts + number * slot, key=number % 10 == 0) for number in range(count)]
    for unit in units:
        unit.wall_us = 1_700_000_000_000_000 + unit.dts * 100 // 9
    return units


def test_pictures_that_fit_no_part_are_in_segments_that_are_listed_without_parts() -> None:
    rendition, only = make_rendition(Format.FMP4, EPOCH, 6), TrackSet((VIDEO,))
    sent = [*slow(0, 100, 3600), *slow(360_000, 20, 90_000)]
    made = cut_into(rendition, [sent], only)
    assert rendition.window is not None
    newest = rendition.window.playlist.segments[-6:]
    assert [(segment.duration, len(segment.parts), segment.gap) for segment in newest] == [(90_000, 0, False)] * 6
    assert "DISCONTINUITY" not in playlist(rendition)
    text = playlist(rendition).splitlines()
    assert text[-3].startswith("#EXTINF:1.00000")
    assert text[-1] == f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="1000.1-{rendition.window.next_number}.0.m4s"'
    assert not [file for file in made[-6:] if not file.stored], "no part is kept"
    assert rendition.range_of(f"1000.1-{newest[-1].number}.0.m4s") is None or not rendition.to_state()["parts"]
    given = demuxed(rendition.made)
    assert [unit.dts - fmp4.TIME_OFFSET for unit in given] == [unit.dts for unit in sent[: len(given)]]


def test_a_picture_lasts_to_the_end_of_a_segment_without_parts() -> None:
    made = cut_into(make_rendition(Format.FMP4, EPOCH, 6), [[*slow(0, 100, 3600), *slow(360_000, 20, 90_000)]], TrackSet((VIDEO,)))
    last = [file for file in made if file.stored][-1].data
    at = last.index(b"trun") + 16
    assert int.from_bytes(last[at : at + 4], "big") == 90_000


@pytest.mark.parametrize("kind", Format)
def test_sound_long_before_the_pictures_is_left_out_of_fmp4_and_ends_nothing(kind: Format) -> None:
    rendition = make_rendition(kind, EPOCH, 6)
    early = [second(number) for number in range(9)]
    for unit in (unit for units in early for unit in units if unit.track_id == AUDIO.track_id):
        unit.dts -= 2 * fmp4.TIME_OFFSET
    made = cut_into(rendition, early)
    assert [file for file in made if file.data]
    if kind is Format.FMP4:
        given = demuxed(rendition.made)
        assert {unit.track_id for unit in given} == {VIDEO.track_id}
        assert 400 < rendition.failures <= 450, "each unit of sound"
        assert "#EXT-X-GAP" not in playlist(rendition)


def test_a_part_that_cannot_be_written_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, calls = fmp4.fragment, list[int]()

    def fail_once(number: int, *rest: Any, **options: Any) -> list[bytes | memoryview]:
        calls.append(number)
        if len(calls) == 2:
            raise LocalProtocolError("a time has no room")
        return write(number, *rest, **options)

    monkeypatch.setattr(fmp4, "fragment", fail_once)
    rendition = make_rendition(Format.FMP4, EPOCH, 6)
    made = cut_into(rendition, map(second, range(6)))
    assert playlist(rendition).count("GAP=YES") == 1
    assert 'URI="1000.1-7.1.m4s",GAP=YES' in playlist(rendition)
    assert "#EXT-X-GAP\n" not in playlist(rendition)
    assert names(made)[-1].startswith("1000.1-9.")
    assert (rendition.failures, len(caplog.records)) == (1, 1)


def test_one_short_segment_does_not_decide_the_bandwidth() -> None:
    seconds = [second(number) for number in range(40)]
    rendition, segmenter = make_rendition(Format.TS, EPOCH, 6), Segmenter(CUTS, Start())
    for units in seconds:
        for unit in units:
            if unit.random_access and unit.track_id == VIDEO.track_id:
                unit.payload = (9000).to_bytes(4, "big") + b"\x65" + bytes(8999)
    cut_into(rendition, seconds[:20], BOTH, segmenter)
    before = rendition.variant("x").bandwidth_bps
    for number, units in enumerate(([seconds[20][0]], *seconds[20:]), 1):  # its encoder begins again after one picture
        for one in segmenter.receive(Run(Epoch(1, 1), (b"2" if number == 1 else b"3") * 16, BOTH, units, NO_PLACE)):
            rendition.take(one)
    assert before <= rendition.variant("x").bandwidth_bps < 1.2 * before


def test_what_a_container_cannot_carry_is_left_out_and_told() -> None:
    tracks = TrackSet((track(Codec.VP9, b"", track_id=1), AUDIO))
    rendition = make_rendition(Format.TS, EPOCH, 6)
    made = cut_into(rendition, map(second, range(3)), tracks)
    assert [one.codec for one in rendition.left_out] == [Codec.VP9]
    assert not rendition.is_empty
    assert made[0].data


def test_a_stream_of_which_a_container_can_carry_nothing_has_gaps_alone() -> None:
    rendition = make_rendition(Format.TS, EPOCH, 6)
    made = cut_into(rendition, map(second, range(5)), TrackSet((track(Codec.VP9, b"", track_id=1),)))
    assert rendition.is_empty
    assert [file.data for file in made] == [b"", b""]
    assert playlist(rendition).count("#EXT-X-GAP") == 2


def test_the_next_worker_goes_on_in_playlist_and_container() -> None:
    for kind in Format:
        whole = make_rendition(kind, EPOCH, 6)
        cut_into(whole, map(second, range(9)))
        first, segmenter = make_rendition(kind, EPOCH, 6), Segmenter(CUTS, Start(number=7))
        cut_into(first, map(second, range(5)), BOTH, segmenter)
        again = make_rendition(kind, Epoch(1000, 2), 6, first.to_state(), goes_on=True)
        assert segmenter.targets is not None
        again.take(TargetsFixed(segmenter.targets))
        resumed = Segmenter(CUTS, Start(number=9, targets=segmenter.targets, end=4 * 90_000))
        from_there = cut_into(again, map(second, range(4, 9)), BOTH, resumed)
        assert from_there
        assert [line for line in playlist(again).splitlines() if line.startswith("#EXTINF")] == [
            line for line in playlist(whole).splitlines() if line.startswith("#EXTINF")
        ]
        if kind is Format.FMP4:
            assert "1000.2-init" not in playlist(again)


def test_a_playlist_that_does_not_go_on_lists_no_file_of_the_worker_before() -> None:
    for kind in Format:
        first = make_rendition(kind, EPOCH, 6)
        cut_into(first, map(second, range(5)))
        later = make_rendition(kind, Epoch(1000, 2), 6, first.to_state(), goes_on=False)
        cut_into(later, map(second, range(50, 55)), BOTH, Segmenter(CUTS, Start(number=9)))
        assert "1000.2-" in playlist(later)
        assert "1000.1-" not in playlist(later)


def test_a_playlist_that_does_not_fit_any_more_is_begun_anew() -> None:
    first = make_rendition(Format.TS, EPOCH, 6)
    cut_into(first, map(second, range(5)))
    state = first.to_state()
    for damaged in ({}, {"window": None}, {"window": 5}, {"window": {}, "continuity": {"counters": 3}}):
        rendition = make_rendition(Format.TS, EPOCH, 6, damaged, goes_on=True)
        cut_into(rendition, map(second, range(3)))
        assert "#EXT-X-MEDIA-SEQUENCE:7\n" in playlist(rendition)
    far = make_rendition(Format.TS, EPOCH, 6, state, goes_on=True)
    cut_into(far, map(second, range(3)), BOTH, Segmenter(CUTS, Start(number=500)))
    assert "#EXT-X-MEDIA-SEQUENCE:500\n" in playlist(far)


def test_numbers_between_two_workers_are_gaps() -> None:
    first = make_rendition(Format.TS, EPOCH, 6)
    cut_into(first, map(second, range(5)))
    rendition = make_rendition(Format.TS, Epoch(1000, 2), 6, first.to_state(), goes_on=True)
    targets = Targets(duration_s=2, part=43_200)
    rendition.take(TargetsFixed(targets))
    start = Start(number=11, targets=targets, discontinuity=True, end=4 * 90_000)
    cut_into(rendition, map(second, range(4, 7)), BOTH, Segmenter(CUTS, start))
    listed = [line for line in playlist(rendition).splitlines() if line.endswith(".ts")]
    assert listed == ["1000.1-7.ts", "1000.1-8.ts", "1000.2-9.ts", "1000.2-10.ts", "1000.2-11.ts"]
    assert playlist(rendition).count("#EXT-X-GAP") == 2
