from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import LocalProtocolError, RemoteProtocolError
from lalmesh.protocol.rtp import HeaderExtension, RtpPacket, is_rtcp

# RFC 3550 §5.1: V 2, P 0, X 0, CC 0; M 1, PT 96; sequence number, timestamp, SSRC
PLAIN = bytes.fromhex("80 e0 1234 00015f90 deadbeef") + b"payload"
# P, X and CC 2; M 0; two CSRCs; §5.3.1: profile 0xBEDE, one word; three bytes of padding
FULL = bytes.fromhex("b2 08 ffff ffffffff 00000001 0000000a 0000000b bede 0001 10aa0000") + b"x" + bytes.fromhex("000003")

words = st.integers(0, 0xFFFFFFFF)
packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence_number=st.integers(0, 0xFFFF),
    timestamp=words,
    ssrc=words,
    marker=st.booleans(),
    payload=st.binary(max_size=40),
    csrcs=st.lists(words, max_size=15).map(tuple),
    extension=st.none() | st.builds(HeaderExtension, st.integers(0, 0xFFFF), st.binary(max_size=5).map(lambda data: data * 4)),
)


def test_a_plain_packet_is_that_of_the_standard() -> None:
    packet = RtpPacket(96, 0x1234, 90_000, 0xDEADBEEF, True, b"payload")
    assert RtpPacket.parse(PLAIN) == packet
    assert packet.serialize() == PLAIN


def test_sources_extension_and_padding_are_read() -> None:
    packet = RtpPacket.parse(FULL)
    assert packet.csrcs == (10, 11)
    assert packet.extension == HeaderExtension(0xBEDE, bytes.fromhex("10aa0000"))
    assert (packet.payload, packet.marker, packet.payload_type) == (b"x", False, 8)
    assert packet.serialize(padding_bytes=3) == FULL


@given(packets, st.integers(0, 255))
def test_a_packet_is_read_as_it_was_written(packet: RtpPacket, padding_bytes: int) -> None:
    assert RtpPacket.parse(packet.serialize(padding_bytes=padding_bytes)) == packet


@pytest.mark.parametrize("size", [size for size in range(len(FULL)) if size not in (25, 29)])
def test_a_packet_that_is_cut_off_is_refused(size: int) -> None:
    with suppress(RemoteProtocolError):  # where a byte of the payload happens to be a right padding count
        assert RtpPacket.parse(FULL[:size]).payload == b""


@pytest.mark.parametrize(
    "wire",
    [b"", PLAIN[:11], b"\x40" + PLAIN[1:], b"\xa0" + PLAIN[1:] + b"\x00", b"\xa0" + PLAIN[1:12] + b"\x02", b"\x90" + PLAIN[1:12]],
)
def test_broken_headers_are_refused(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        RtpPacket.parse(wire)


def test_what_no_packet_can_hold_is_not_written() -> None:
    with pytest.raises(LocalProtocolError):
        RtpPacket(0, 0, 0, 0, False, b"", tuple(range(16))).serialize()
    with pytest.raises(LocalProtocolError):
        RtpPacket(0, 0, 0, 0, False, b"").serialize(padding_bytes=256)
    with pytest.raises(LocalProtocolError):
        RtpPacket(0, 0, 0, 0, False, b"", extension=HeaderExtension(0, b"abc")).serialize()


@given(st.binary(max_size=60))
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    with suppress(RemoteProtocolError):
        assert RtpPacket.parse(RtpPacket.parse(data).serialize()).payload == RtpPacket.parse(data).payload


def test_rtcp_is_told_from_rtp_on_a_shared_port() -> None:
    assert is_rtcp(bytes.fromhex("80c8"))
    assert not is_rtcp(PLAIN)
    assert not is_rtcp(b"\x80")
