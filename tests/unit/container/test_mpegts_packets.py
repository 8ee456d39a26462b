import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transport_stream import check_continuity, packets

from lalmesh.container.mpegts._packets import DISCONTINUITY, RANDOM_ACCESS, PidWriter, adaptation, table_packet


def test_a_full_packet_is_a_header_and_184_bytes() -> None:
    # §2.4.3.2: sync byte, payload_unit_start_indicator and PID 0x100, payload only, counter
    assert PidWriter(0x100, 5).write(b"", bytes(184)) == bytes.fromhex("47 41 00 15") + bytes(184)


def test_a_short_packet_is_stuffed_before_its_payload() -> None:
    # §2.4.3.4: adaptation_field_length; the flags byte is there only where the length is not 0
    assert PidWriter(0x100).write(b"", b"x" * 183) == bytes.fromhex("47 41 00 30 00") + b"x" * 183
    assert PidWriter(0x100).write(b"", b"x" * 182) == bytes.fromhex("47 41 00 30 01 00") + b"x" * 182
    assert PidWriter(0x100).write(b"", b"x") == bytes.fromhex("47 41 00 30 b6 00") + b"\xff" * 181 + b"x"


def test_the_rest_of_a_long_one_is_stuffed_too() -> None:
    wire = PidWriter(0x1ABC, 15).write(b"", b"x" * 185)
    assert wire[188:] == bytes.fromhex("47 1a bc 30 b6 00") + b"\xff" * 181 + b"x"


def test_the_adaptation_field_says_flags_and_pcr() -> None:
    # §2.4.3.5: length, random_access_indicator and PCR_flag, base of 33 bits, reserved bits, extension
    wire = PidWriter(0x100).write(adaptation(RANDOM_ACCESS, 1), b"x" * 176)
    assert wire[:12] == bytes.fromhex("47 41 00 30 07 50 00000000 fe00")


def test_a_clock_packet_repeats_the_counter() -> None:
    writer = PidWriter(0x100, 7)
    clock = writer.clock_packet(DISCONTINUITY, 2)
    assert clock[:12] == bytes.fromhex("47 01 00 26 b7 90 00000001 7e00")
    assert (len(clock), writer.counter) == (188, 7)
    assert PidWriter(0x100).clock_packet(0, 0)[3] == 0x2F


def test_a_table_fills_one_packet() -> None:
    assert table_packet(0x1000, 3, b"table") == bytes.fromhex("47 50 00 13 00") + b"table" + b"\xff" * 178


@pytest.mark.parametrize("size", [1, 183, 184, 185, 367, 368, 369, 64 * 184, 65 * 184 + 1, 200_000])
def test_every_size_is_cut_into_whole_packets(size: int) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    writer = PidWriter(0x31, 14)
    wire = writer.write(b"", body[:size]) + writer.write(b"", b"end")
    seen = packets(wire)
    check_continuity(seen)
    assert b"".join(packet.payload or b"" for packet in seen) == body[:size] + b"end"
    assert [packet.starts for packet in seen] == [True] + [False] * (len(seen) - 2) + [True]
    assert writer.counter == (14 + len(seen)) % 16


@given(
    st.lists(st.tuples(st.sampled_from([b"", adaptation(RANDOM_ACCESS), adaptation(0, 9)]), st.integers(1, 800)), max_size=6),
    st.integers(0, 15),
)
def test_what_is_cut_is_whole_again(sent: list[tuple[bytes, int]], counter: int) -> None:
    writer = PidWriter(0x100, counter)
    seen = packets(b"".join(writer.write(said, b"p" * size) for said, size in sent))
    check_continuity(seen)
    starts = [packet for packet in seen if packet.starts]
    assert all(packet.flags == said[0] for packet, (said, _) in zip(starts, sent, strict=True) if said)
    assert sum(len(packet.payload or b"") for packet in seen) == sum(size for _, size in sent)
