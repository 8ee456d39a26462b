import contextlib
import itertools
import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.flv_captures import capture

from lalmesh.codec.h264 import AvcDecoderConfigurationRecord
from lalmesh.container.fmp4 import (
    MAX_FRAGMENT_SAMPLES,
    TIME_OFFSET,
    Fmp4Demuxer,
    FragmentBuilder,
    TrackCompleter,
    fragment,
    init_segment,
)
from lalmesh.container.fmp4._boxes import box, full_box
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec, MediaEvent, TracksChanged, TrackSet

NAMES = [
    "h264-aac-bframes",
    "hevc-aac-enhanced",
    "av1-opus-enhanced",
    "vp9-flac-enhanced",
    "ac3-enhanced",
    "eac3-enhanced",
    "mp3",
]


def completed(name: str) -> TrackSet:
    tracks, units = capture(name)
    completer = TrackCompleter()
    for unit in units:
        completer.see(unit, tracks)
    return completer.complete(tracks)


def muxed(name: str, *, units_a_fragment: int = 1, time_offset: int = 0) -> bytes:
    tracks, builder = completed(name), FragmentBuilder()
    wire, number = [init_segment(tracks)], 0
    for index, unit in enumerate(capture(name)[1], 1):
        builder.add(unit, tracks)
        if index % units_a_fragment == 0:
            number += 1
            wire += map(bytes, fragment(number, builder.take(), tracks, time_offset=time_offset))
    wire += map(bytes, fragment(number + 1, builder.take(), tracks, time_offset=time_offset))
    return b"".join(wire)


def demuxed(wire: bytes) -> list[MediaEvent]:
    return list(Fmp4Demuxer().feed(wire))


def units_of(events: Sequence[MediaEvent]) -> list[AccessUnit]:
    return [event for event in events if isinstance(event, AccessUnit)]


def in_order(units: Sequence[AccessUnit]) -> list[AccessUnit]:
    return sorted(units, key=lambda unit: (unit.track_id, unit.dts))


def sample_boxes(*, track: int = 1, tfhd: str = "", trun: str = "", data: bytes = b"", tfdt: str = "00000000 00000000") -> bytes:
    """A `moof` with one `traf`, and its `mdat`."""
    traf = (
        box(b"tfhd", bytes.fromhex(tfhd) or bytes.fromhex(f"00020000 {track:08x}")),
        box(b"tfdt", bytes.fromhex(tfdt)) if tfdt else b"",
        box(b"trun", bytes.fromhex(trun)),
    )
    return box(b"moof", box(b"traf", *traf)) + box(b"mdat", data)


INIT = init_segment(TrackSet(capture("h264-aac-bframes")[0].tracks))
MOOF_BYTES = 8 + 8 + 16 + 16 + 8  # of `sample_boxes`, and 8 of the `trun`, whose fields come on top


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("units_a_fragment", [1, 7])
def test_what_goes_in_comes_out(name: str, units_a_fragment: int) -> None:
    changed, *events = demuxed(muxed(name, units_a_fragment=units_a_fragment))
    assert isinstance(changed, TracksChanged)
    assert in_order(units_of(events)) == in_order(capture(name)[1])
    for got, sent in zip(changed.tracks.tracks, completed(name).tracks, strict=True):
        assert replace(got, video_metadata=b"", profile=sent.profile) == replace(
            sent, video_metadata=b"", version=0, configuration=got.configuration
        )
        if sent.codec is not Codec.FLAC:
            assert got.configuration == sent.configuration


def test_pictures_that_are_shown_out_of_order_keep_their_times() -> None:
    units = units_of(demuxed(muxed("h264-aac-bframes", units_a_fragment=5, time_offset=TIME_OFFSET)))
    pictures = [unit for unit in units if unit.track_id == 1]
    sent = [unit for unit in capture("h264-aac-bframes")[1] if unit.track_id == 1]
    assert [(unit.dts - TIME_OFFSET, unit.cts) for unit in pictures] == [(unit.dts, unit.cts) for unit in sent]
    assert any(unit.cts for unit in pictures)


def test_units_of_a_fragment_come_in_the_order_of_their_times() -> None:
    units = units_of(demuxed(muxed("h264-aac-bframes", units_a_fragment=1000)))
    assert all(before.dts <= after.dts for before, after in itertools.pairwise(units))


@given(st.sampled_from(NAMES), st.lists(st.integers(1, 3000), min_size=1, max_size=6))
@settings(max_examples=30)
def test_any_split_gives_the_same_events(name: str, sizes: list[int]) -> None:
    wire, demuxer, events = muxed(name, units_a_fragment=4), Fmp4Demuxer(), list[MediaEvent]()
    at, step = 0, itertools.cycle(sizes)
    while at < len(wire):
        size = next(step)
        events += demuxer.feed(wire[at : at + size])
        at += size
    assert events == demuxed(wire)


def test_unknown_boxes_are_passed_over_as_they_come() -> None:
    demuxer = Fmp4Demuxer()
    huge = bytes.fromhex("00000001 66726565 0000000100000000")  # 4 GiB
    assert list(demuxer.feed(box(b"styp", b"msdh") + huge)) == []
    assert list(demuxer.feed(bytes(1 << 20))) == []
    wire = muxed("mp3")
    assert demuxed(box(b"sidx", b"x") + wire + box(b"mfra", b"y")) == demuxed(wire)


def test_the_same_init_segment_again_changes_nothing() -> None:
    wire = muxed("h264-aac-bframes")
    assert sum(isinstance(event, TracksChanged) for event in demuxed(wire + wire)) == 1


def test_another_init_segment_is_another_version() -> None:
    demuxer = Fmp4Demuxer()
    events = [*demuxer.feed(muxed("ac3-enhanced")), *demuxer.feed(muxed("mp3"))]
    changes = [event.tracks for event in events if isinstance(event, TracksChanged)]
    assert [(tracks.version, tracks.tracks[0].version, tracks.tracks[0].codec) for tracks in changes] == [
        (1, 0, Codec.AC3),
        (2, 1, Codec.MP3),
    ]


def test_any_timescale_becomes_ticks() -> None:
    timescale = INIT.index(b"mdhd") + 16
    init = INIT[:timescale] + (1000).to_bytes(4, "big") + INIT[timescale + 4 :]
    # data offset; then duration, size and composition offset
    trun = f"01000b01 00000001 {MOOF_BYTES + 4 + 24 + 8:08x} 00000021 00000001 00000042"
    (unit,) = units_of(demuxed(init + sample_boxes(trun=trun, data=b"x", tfdt="01000000 00000000000003e8")))
    assert (unit.dts, unit.cts) == (90_000, 66 * 90)


def test_what_a_fragment_leaves_out_is_taken_from_its_header_or_goes_on() -> None:
    # tfhd: default-base-is-moof, default duration 3000, size 2, flags of no random access; trun: only the first sample's flags
    tfhd = "00020038 00000001 00000bb8 00000002 01010000"
    trun = f"00000005 00000003 {MOOF_BYTES + 12 + 16 + 8:08x} 02000000"
    first = sample_boxes(tfhd=tfhd, trun=trun, data=b"aabbcc")
    second = sample_boxes(tfhd=tfhd, trun=f"00000001 00000001 {MOOF_BYTES - 16 + 12 + 12 + 8:08x}", data=b"dd", tfdt="")
    units = units_of(demuxed(INIT + first + second))
    assert [(unit.dts, unit.payload, unit.random_access) for unit in units] == [
        (0, b"aa", True),
        (3000, b"bb", False),
        (6000, b"cc", False),
        (9000, b"dd", False),
    ]


def test_data_may_be_counted_from_the_start_of_the_file() -> None:
    offset = len(INIT) + MOOF_BYTES + 8 + 16 + 8  # tfhd is 8 longer
    wire = INIT + sample_boxes(tfhd=f"00000001 00000001 {offset:016x}", trun="00000200 00000001 00000003", data=b"abc")
    start = wire.index(b"abc")
    wire = wire.replace(offset.to_bytes(8, "big"), start.to_bytes(8, "big"))
    assert [unit.payload for unit in units_of(demuxed(wire))] == [b"abc"]


def test_tracks_of_no_fragment_and_fragments_of_no_track_are_left_out() -> None:
    wire = INIT + sample_boxes(track=9, trun="00000200 00000001 00000003", data=b"abc")
    assert units_of(demuxed(wire)) == []
    assert units_of(demuxed(box(b"mdat", b"abc") + INIT)) == []


def test_an_edit_list_moves_all_times() -> None:
    # ISO/IEC 14496-12 §8.6.6: an empty edit of 9000 movie ticks, then the media from 1800 on
    elst = full_box(b"elst", 0, 0, bytes.fromhex("00000002 00002328 ffffffff 00010000 00000000 00000708 00010000"))
    edts = box(b"edts", elst)
    at = INIT.index(b"mdia") - 4
    init = bytearray(INIT[:at] + edts + INIT[at:])
    for kind in (b"moov", b"trak"):
        where = init.index(kind) - 4
        struct.pack_into(">I", init, where, struct.unpack_from(">I", init, where)[0] + len(edts))
    wire = bytes(init) + sample_boxes(trun=f"00000201 00000001 {MOOF_BYTES + 16 + 8:08x} 00000001", data=b"x")
    assert [unit.dts for unit in units_of(demuxed(wire))] == [9000 - 1800]


def test_short_nalu_lengths_become_those_of_this_library() -> None:
    tracks = capture("h264-aac-bframes")[0]
    record = AvcDecoderConfigurationRecord.parse(tracks.tracks[0].configuration)
    track = replace(tracks.tracks[0], configuration=replace(record, length_size=2).serialize())
    trun = f"00000201 00000001 {MOOF_BYTES + 16 + 8:08x} 00000005"
    changed, unit = demuxed(init_segment(TrackSet((track,))) + sample_boxes(trun=trun, data=b"\0\3abc"))
    assert isinstance(changed, TracksChanged)
    assert isinstance(unit, AccessUnit)
    assert (changed.tracks.tracks[0].configuration, unit.payload) == (tracks.tracks[0].configuration, b"\0\0\0\3abc")


def test_a_track_of_an_unknown_codec_is_counted() -> None:
    demuxer = Fmp4Demuxer()
    (changed,) = demuxer.feed(INIT.replace(b"mp4a", b"enca"))
    assert isinstance(changed, TracksChanged)
    assert [track.codec for track in changed.tracks.tracks] == [Codec.H264]
    assert demuxer.counters.reasons == {"sample entry b'enca'": 1}


def test_a_file_that_is_not_fragmented_is_not_supported() -> None:
    with pytest.raises(UnsupportedError):
        demuxed(INIT.replace(b"mvex", b"free"))


@pytest.mark.parametrize("kind", [b"moov", b"moof", b"mdat"])
def test_a_box_that_is_too_large_is_refused_before_it_comes(kind: bytes) -> None:
    with pytest.raises(LimitExceeded):
        demuxed(b"\x7f\xff\xff\xff" + kind)


def test_samples_without_fields_are_bounded() -> None:
    with pytest.raises(LimitExceeded):
        demuxed(INIT + sample_boxes(trun=f"00000000 {MAX_FRAGMENT_SAMPLES + 1:08x}"))


@pytest.mark.parametrize(
    "trun",
    [
        "00000201 00000002 00000010 00000002 00000002",  # more than there is
        "00000201 00000001 00000000 00000002",  # before the data
        "00000201 00000001 00010000 00000002",  # behind it
        "00000200 00000002 00000002",  # an entry cut off
        "000002",
    ],
)
def test_samples_that_are_not_in_their_data_are_refused(trun: str) -> None:
    with pytest.raises(RemoteProtocolError):
        demuxed(INIT + sample_boxes(trun=trun, data=b"abc"))


@pytest.mark.parametrize("name", NAMES)
def test_every_cut_init_segment_waits_or_is_refused(name: str) -> None:
    init = init_segment(completed(name))
    moov = init[init.index(b"moov") + 4 :]
    for end in range(len(moov)):
        with contextlib.suppress(RemoteProtocolError, UnsupportedError):
            demuxed(box(b"moov", moov[:end]))


@given(st.binary(max_size=200), st.sampled_from([b"moov", b"moof", b"mdat", b""]), st.booleans())
def test_any_bytes_give_events_or_an_error(noise: bytes, kind: bytes, after_init: bool) -> None:
    with contextlib.suppress(RemoteProtocolError, UnsupportedError):
        demuxed((INIT if after_init else b"") + (box(kind, noise) if kind else noise))


@given(st.sampled_from(NAMES), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=12))
def test_any_damage_gives_events_or_an_error(name: str, damage: list[tuple[int, int]]) -> None:
    wire = bytearray(muxed(name, units_a_fragment=9))
    for at, byte in damage:
        wire[at % len(wire)] = byte
    with contextlib.suppress(RemoteProtocolError, UnsupportedError):
        demuxed(bytes(wire))
