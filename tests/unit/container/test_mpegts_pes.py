import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.container.mpegts._pes import PesPacket, pes_header, whole_size
from lalmesh.container.mpegts._timestamps import parse_timestamp, pcr_field
from lalmesh.errors import RemoteProtocolError

# §2.4.3.7: start code and stream_id, PES_packet_length, '10' and data_alignment_indicator, PTS_DTS_flags, header length, PTS
SOUND = bytes.fromhex("000001c0 000c 84 80 05 2100 05bf 21") + b"body"
# PTS 133200 under 0011, DTS 126000 under 0001
PICTURE = bytes.fromhex("000001e0 0011 84 c0 0a 3100 0910a1 1100 07d861") + b"body"

ticks = st.integers(0, (1 << 33) - 1)


def test_a_header_with_one_time_is_that_of_the_standard() -> None:
    assert pes_header(0xC0, 4, 90_000, 90_000) + b"body" == bytes.fromhex("000001c0 000c 84 80 05 210005bf21") + b"body"
    assert PesPacket.parse(SOUND) == PesPacket(90_000, 90_000, b"body")


def test_a_header_with_two_times_is_that_of_the_standard() -> None:
    assert pes_header(0xE0, 4, 133_200, 126_000) + b"body" == PICTURE
    assert PesPacket.parse(PICTURE) == PesPacket(133_200, 126_000, b"body")


def test_a_packet_over_64_kib_says_no_length() -> None:
    assert pes_header(0xE0, 0xFFFF - 8, 0, 0)[4:6] == b"\xff\xff"
    assert pes_header(0xE0, 0xFFFF - 7, 0, 0)[4:6] == b"\x00\x00"
    assert pes_header(0xE0, 0xFFFF - 13, 1, 0)[4:6] == b"\xff\xff"
    assert pes_header(0xE0, 0xFFFF - 12, 1, 0)[4:6] == b"\x00\x00"


@given(ticks, ticks, st.integers(-3, 3))
def test_times_are_written_in_33_bits(pts: int, dts: int, turns: int) -> None:
    header = pes_header(0xE0, 1, pts + (turns << 33), dts + (turns << 33))
    assert PesPacket.parse(header + b"x") == PesPacket(pts, dts, b"x")


@given(ticks)
def test_a_pcr_is_the_base_and_an_extension_of_zero(pcr: int) -> None:
    bits = f"{int.from_bytes(pcr_field(pcr), 'big'):048b}"  # §2.4.3.5
    assert (int(bits[:33], 2), bits[33:39], int(bits[39:], 2)) == (pcr, "111111", 0)


def test_what_is_behind_the_length_is_ignored() -> None:
    assert PesPacket.parse(SOUND + b"stuffing") == PesPacket(90_000, 90_000, b"body")
    assert (whole_size(SOUND), whole_size(pes_header(0xE0, 1 << 20, 0, 0))) == (len(SOUND), 0)


def test_other_fields_and_stuffing_of_the_header_are_passed_over() -> None:
    head = bytes.fromhex("000001bd 0000 80 90 0c 210005bf21 c00000000000 ff")  # ESCR_flag: 6 bytes behind the PTS
    assert PesPacket.parse(head + b"body") == PesPacket(90_000, 90_000, b"body")


def test_a_packet_may_lack_its_times() -> None:
    assert PesPacket.parse(bytes.fromhex("000001e0 0000 80 00 00") + b"body") == PesPacket(None, None, b"body")


@pytest.mark.parametrize("stream_id", [0xBC, 0xBE, 0xBF, 0xFF])
def test_padding_and_bare_data_are_no_part_of_a_stream(stream_id: int) -> None:
    assert PesPacket.parse(b"\0\0\1" + bytes((stream_id,)) + bytes(9)) is None


@pytest.mark.parametrize(
    "packet",
    [
        "",
        "000001c0",
        "000002c0 0000 80 00 00",
        "000001c0 0000 00 00 00",  # MPEG-1
        "000001c0 0004 80 00 02 ffff",  # the header is longer than the packet
        "000001c0 00ff 80 00 00",
        "000001c0 0000 80 80 04 210005bf21",
        "000001c0 0000 80 80 05 210005bf20",  # a marker bit
        "000001c0 0000 80 80 05 2100",
    ],
)
def test_a_broken_packet_is_refused(packet: str) -> None:
    with pytest.raises(RemoteProtocolError):
        PesPacket.parse(bytes.fromhex(packet))


@given(st.binary(max_size=40))
def test_any_bytes_give_a_packet_or_a_documented_error(noise: bytes) -> None:
    for data in (noise, b"\0\0\1\xe0" + noise):
        try:
            packet = PesPacket.parse(data)
        except RemoteProtocolError:
            continue
        assert packet is None or len(packet.payload) <= len(data)


def test_a_time_stamp_that_is_cut_off_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        parse_timestamp(b"\x21\x00\x05\xbf", 0)
