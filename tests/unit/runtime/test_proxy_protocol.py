"""The header of the PROXY protocol, byte by byte; sections are those of HAProxy's proxy-protocol.txt."""

from __future__ import annotations

import ipaddress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.proxy_header import CRC32C, LOCAL, PROXY, SIGNATURE, TCP4, TCP6, UNIX, binary, crc32c, line, raw, tlv, with_checksum

from lalmesh.errors import RemoteProtocolError
from lalmesh.runtime.proxy_protocol import MAX_LINE_BYTES, ProxyHeader, ProxyHeaderReader, parse_line

FULL6 = b":".join([b"ffff"] * 8)
CLIENT = b"\x03 the client's own bytes"


def read(*parts: bytes) -> tuple[ProxyHeader | None, bytes]:
    """What the header says, and what was left for whoever reads on."""
    reader, left = ProxyHeaderReader(), b""
    for part in parts:
        left += part[reader.feed(part) :]
    return reader.header, left


@pytest.mark.parametrize(
    ("header", "source"),
    [
        # §2.1: the longest lines of each family
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", ("255.255.255.255", 65535)),
        (b"PROXY TCP6 " + FULL6 + b" " + FULL6 + b" 65535 65535\r\n", (FULL6.decode(), 65535)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN " + FULL6 + b" " + FULL6 + b" 65535 65535\r\n", None),
        # §2.1: the example
        (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", ("192.168.0.1", 56324)),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 443\r\n", ("2001:db8::7", 1)),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 443\r\n", ("192.0.2.7", 1)),
    ],
)
def test_a_line_of_version_1(header: bytes, source: tuple[str, int] | None) -> None:
    assert len(header) <= MAX_LINE_BYTES
    assert read(header + CLIENT) == (ProxyHeader(1, source), CLIENT)


@pytest.mark.parametrize(
    ("header", "source"),
    [
        # §2.2: ver_cmd 0x21, fam 0x11, len 12; src_addr, dst_addr, src_port, dst_port
        (SIGNATURE + bytes.fromhex("21 11 000C C0A80001 C0A8000B DC04 01BB"), ("192.168.0.1", 56324)),
        (raw(PROXY, TCP6, bytes.fromhex("20010DB8" + "00" * 11 + "07" + "00" * 16 + "1234 01BB")), ("2001:db8::7", 0x1234)),
        (raw(PROXY, TCP6, bytes(10) + b"\xff\xff\xc0\x00\x02\x07" + bytes(16) + b"\0\1\0\2"), ("192.0.2.7", 1)),
        (binary("192.0.2.7", 5, tlv(0x04, bytes(40)) + tlv(0x02, b"edge")), ("192.0.2.7", 5)),
        (binary("192.0.2.7", 5, bytes(0xFFFF - 12)), ("192.0.2.7", 5)),
        (raw(PROXY, UNIX, b"/run/client".ljust(108, b"\0") + bytes(108)), None),
        (raw(PROXY, 0x00, b""), None),
        (raw(PROXY, 0x00, b"to be ignored"), None),
        (raw(LOCAL, 0x00, b""), None),
        (raw(LOCAL, TCP4, bytes(12)), None),
        (raw(LOCAL, TCP4, bytes(12) + tlv(CRC32C, bytes(4))), None),
        (raw(LOCAL, 0xFF, b"whatever"), None),  # LOCAL: "discard the protocol block including the family"
        (raw(PROXY, 0x12, bytes.fromhex("C0000207 C0000201 0005 0006")), ("192.0.2.7", 5)),  # UDP over IPv4
    ],
)
def test_a_header_of_version_2(header: bytes, source: tuple[str, int] | None) -> None:
    assert read(header + CLIENT) == (ProxyHeader(2, source), CLIENT)


@pytest.mark.parametrize(
    "wrong",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x03" + bytes(1536),  # RTMP
        b"\x16\x03\x01",  # TLS
        b"PUT /",
        b"PROXY\r\n",
        b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 x\r\n",
        b"PROXY TCP4 192.0.2.1\xff 192.0.2.2 1 2\r\n",
        b"PROXY UNKNOWN" + b" " * 100,
        SIGNATURE[:11] + b"\r",
        raw(0x11, TCP4, bytes(12)),  # version 1 in binary
        raw(0x22, TCP4, bytes(12)),  # no such command
        raw(PROXY, 0x41, bytes(12)),  # no such family
        raw(PROXY, 0x13, bytes(12)),  # no such transport
        raw(PROXY, TCP4, bytes(11)),
        raw(PROXY, TCP6, bytes(35)),
        raw(PROXY, UNIX, bytes(215)),
        # §2.2: what stands behind the addresses has a type and a length
        binary("192.0.2.7", 5, b"\x04\0"),
        binary("192.0.2.7", 5, b"\x04\0\1"),
        binary("192.0.2.7", 5, tlv(0x04, b"abc")[:-1]),
        # §2.2.3: "If the two checksums are not the same, the receiver MUST treat the header as invalid"
        binary("192.0.2.7", 5, tlv(CRC32C, bytes(4))),
        binary("192.0.2.7", 5, tlv(CRC32C, bytes(3))),
        binary("192.0.2.7", 5, tlv(CRC32C, b"")),
        with_checksum("192.0.2.7", 5)[:-4] + with_checksum("192.0.2.7", 6)[-4:],
        raw(PROXY, UNIX, bytes(216) + tlv(CRC32C, bytes(4))),
    ],
)
def test_what_is_no_header_is_refused_as_soon_as_that_shows(wrong: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read(wrong)
    with pytest.raises(RemoteProtocolError):
        read(*(wrong[at : at + 1] for at in range(len(wrong))))


def test_the_first_byte_of_another_protocol_is_enough() -> None:
    for first in set(range(256)) - {ord("P"), ord("\r")}:
        with pytest.raises(RemoteProtocolError):
            ProxyHeaderReader().feed(bytes([first]))


headers = st.builds(
    lambda write, source, port, tlvs: (write(str(source), port, tlvs), str(source), port),
    st.sampled_from([lambda source, port, _: line(source, port), binary]),
    st.ip_addresses().filter(lambda address: getattr(address, "ipv4_mapped", None) is None),
    st.integers(0, 65535),
    st.lists(st.builds(tlv, st.integers(0, 255).filter(lambda kind: kind != CRC32C), st.binary(max_size=60)), max_size=5).map(
        b"".join
    ),
)


@given(headers, st.binary(max_size=50), st.lists(st.integers(0, 500), max_size=8))
def test_any_split_of_the_bytes_gives_the_same(header: tuple[bytes, str, int], after: bytes, cuts: list[int]) -> None:
    wire, source, port = header[0] + after, *header[1:]
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    found, left = read(*(wire[begin:end] for begin, end in pairwise(edges)))
    assert found is not None
    assert (found.source, left) == ((source, port), after)


@given(headers, st.integers(0, 400))
def test_a_header_that_is_cut_short_is_waited_for(header: tuple[bytes, str, int], cut: int) -> None:
    cut = min(cut, len(header[0]) - 1)
    assert read(header[0][:cut]) == (None, b"")


@given(st.sampled_from([b"", SIGNATURE, b"PROXY ", b"PROXY TCP4 "]), st.binary(max_size=300))
def test_any_bytes_give_a_header_or_an_error_and_take_no_more_than_there_is(beginning: bytes, rest: bytes) -> None:
    reader, data = ProxyHeaderReader(), beginning + rest
    try:
        taken = reader.feed(data)
    except RemoteProtocolError:
        return
    assert taken <= len(data)
    assert reader.header is not None or taken == len(data)
    if reader.header is not None and reader.header.source is not None:
        ipaddress.ip_address(reader.header.source[0])


def test_the_checksum_is_that_of_the_standard() -> None:
    # RFC 3720 B.4: 32 bytes of zeroes, of ones, and that count up
    for data, value in ((bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E)):
        assert crc32c(data) == value


def test_a_header_whose_checksum_is_right() -> None:
    for before, after in ((b"", b""), (tlv(0x02, b"edge"), tlv(0x04, bytes(5)))):
        header = with_checksum("192.0.2.7", 5, before, after)
        assert read(header + CLIENT) == (ProxyHeader(2, ("192.0.2.7", 5)), CLIENT)


@given(st.sampled_from([*range(16, 29), *range(31, 35)]), st.integers(1, 255))  # not a length, which may hide the checksum
def test_any_other_byte_makes_the_checksum_wrong(at: int, change: int) -> None:
    header = bytearray(with_checksum("192.0.2.7", 5, tlv(0x02, b"edge"), tlv(0x04, bytes(40))))
    header[at] ^= change
    with pytest.raises(RemoteProtocolError):
        read(bytes(header))


def test_a_line_is_parsed_alone_too() -> None:
    assert parse_line(line("192.0.2.7", 5)) == ("192.0.2.7", 5)
