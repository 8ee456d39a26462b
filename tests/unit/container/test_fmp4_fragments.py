import itertools

import pytest

from lalmesh.codec import build_track
from lalmesh.container.fmp4 import MAX_FRAGMENT_BYTES, TIME_OFFSET, Sample, fragment
from lalmesh.errors import LocalProtocolError
from lalmesh.media import AccessUnit, Codec, Track, TrackSet

VIDEO = Track(track_id=1, codec=Codec.H264, configuration=b"avcC")
AUDIO = Track(track_id=2, codec=Codec.AAC, configuration=b"\x12\x10")
TRACKS = TrackSet((VIDEO, AUDIO, build_track(3, Codec.SCRIPT), build_track(4, Codec.PCMA)))


def picture(dts: int, duration: int, payload: bytes = b"picture", *, cts: int = 0, key: bool = False) -> Sample:
    return Sample(AccessUnit(1, dts, cts, key, payload), duration)


def sound(dts: int, duration: int, payload: bytes = b"sound", track_id: int = 2) -> Sample:
    return Sample(AccessUnit(track_id, dts, 0, True, payload), duration)


def wire(*samples: Sample, number: int = 1, styp: bool = False, time_offset: int = 0) -> bytes:
    return b"".join(fragment(number, samples, TRACKS, styp=styp, time_offset=time_offset))


def test_a_fragment_of_one_picture_is_that_of_the_standard() -> None:
    assert wire(picture(0x1_0000_0003, 3600, b"12345", cts=7200, key=True), number=9) == bytes.fromhex(
        "00000068 6d6f6f66"  # ISO/IEC 14496-12 §8.8.4 moof
        "00000010 6d666864 00000000 00000009"  # §8.8.5 mfhd: sequence number
        "00000050 74726166"  # §8.8.6 traf
        "00000010 74666864 00020000 00000001"  # §8.8.7 tfhd: default-base-is-moof, track
        "00000014 74666474 01000000 0000000100000003"  # §8.8.12 tfdt of version 1
        "00000024 7472756e 01000f01 00000001 00000070"  # §8.8.8 trun of version 1: one sample, its data behind the mdat header
        "00000e10 00000005 02000000 00001c20"  # duration, size, depends on no other, composition offset
        "0000000d 6d646174 3132333435"  # §8.1.1 mdat
    )


def test_a_picture_that_is_no_random_access_point_says_so() -> None:
    assert bytes.fromhex("00000e10 00000007 01010000 00000000") in wire(picture(0, 3600))


def test_payloads_are_not_copied() -> None:
    samples = [picture(0, 10), sound(0, 5), picture(10, 10)]
    head, *payloads = fragment(1, samples, TRACKS)
    assert bytes(head).endswith(b"mdat")
    assert [id(payload) for payload in payloads] == [id(samples[index].unit.payload) for index in (0, 2, 1)]


def test_each_track_has_one_run() -> None:
    data = wire(picture(0, 10, b"a"), sound(0, 5, b"b"), picture(10, 10, b"c"), sound(5, 5, b"d"))
    assert [data.count(kind) for kind in (b"traf", b"tfdt", b"trun", b"mdat")] == [2, 2, 2, 1]
    assert data.endswith(b"mdatacbd")


def test_a_step_in_the_times_of_a_track_begins_a_further_run() -> None:
    data = wire(picture(0, 10), picture(10, 10), picture(100, 10), picture(50, 10))
    assert data.count(b"traf") == 3
    times = [data[at + 8 : at + 16] for at in range(len(data)) if data[at : at + 4] == b"tfdt"]
    assert [int.from_bytes(time, "big") for time in times] == [0, 100, 50]


def test_a_composition_offset_has_a_sign() -> None:
    assert bytes.fromhex("0000000a 00000007 01010000 fffffffe") in wire(picture(0, 10, cts=-2))


def test_what_is_not_carried_is_left_out() -> None:
    assert fragment(1, [sound(0, 5, track_id=3), sound(0, 5, track_id=4), sound(0, 5, track_id=9)], TRACKS) == []
    assert fragment(1, [], TRACKS) == []
    assert wire(sound(0, 5, track_id=4), sound(0, 5)) == wire(sound(0, 5))


def test_a_segment_of_its_own_begins_with_its_type() -> None:
    # ISO/IEC 14496-12 §8.16.2; ISO/IEC 23009-1 §6.3.4.2
    styp = bytes.fromhex("00000014 73747970 6d736468 00000000 6d736468")
    assert wire(sound(0, 5), styp=True) == styp + wire(sound(0, 5))


def test_a_segment_of_one_track_is_one_of_cmaf() -> None:
    styp = bytes.fromhex("00000018 73747970 6d736468 00000000 6d736468 636d6663")  # ISO/IEC 23000-19 §7.3.3
    assert b"".join(fragment(1, [sound(0, 5)], TrackSet((AUDIO,)), styp=True)).startswith(styp)


def test_the_usual_offset_makes_room_for_negative_times() -> None:
    assert fragment(1, [picture(-TIME_OFFSET, 1)], TRACKS)
    with pytest.raises(LocalProtocolError):
        fragment(1, [picture(-TIME_OFFSET - 1, 1)], TRACKS)


@pytest.mark.parametrize("sample", [picture(0, 1 << 32), picture(0, -1), picture(1 << 64, 1), picture(0, 1, cts=1 << 31)])
def test_a_time_that_has_no_room_is_our_fault(sample: Sample) -> None:
    with pytest.raises(LocalProtocolError):
        fragment(1, [sample], TRACKS)


def test_the_sequence_number_wraps() -> None:
    assert wire(sound(0, 5), number=(1 << 32) + 7) == wire(sound(0, 5), number=7)


def test_a_fragment_that_is_too_large_is_our_fault() -> None:
    payload = bytes(MAX_FRAGMENT_BYTES // 2)
    with pytest.raises(LocalProtocolError):
        fragment(1, [picture(0, 1, payload), picture(1, 1, payload), picture(2, 1)], TRACKS)


def test_the_data_of_each_run_is_where_it_says() -> None:
    data = wire(picture(0, 10, b"abc"), sound(0, 5, b"de"), picture(20, 10, b"f"), styp=False)
    at = [index for index in range(len(data)) if data[index : index + 4] == b"trun"]
    offsets = [int.from_bytes(data[index + 12 : index + 16], "big") for index in at]
    assert [data[start:end] for start, end in itertools.pairwise([*offsets, len(data)])] == [b"abc", b"f", b"de"]
