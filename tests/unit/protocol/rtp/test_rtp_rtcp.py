from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from lalmesh.protocol.rtp import (
    Compound,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SdesChunk,
    SdesType,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialize_compound,
)
from lalmesh.protocol.rtp._rtcp import MAX_PACKETS

# RFC 3550 §6.4.1: V 2, RC 1, PT 200, length 12 words; SSRC; NTP; RTP; packets; octets; one block
BLOCK = "0000000b 40 fffffe 0001fff0 00000019 12345678 00008000"
SENDER = bytes.fromhex("81 c8 000c 0000000a e1e2e3e480000000 00015f90 00000064 0000c350" + BLOCK)
# §6.4.2: RC 1, PT 201, length 7
RECEIVER = bytes.fromhex("81 c9 0007 0000000c" + BLOCK)
# §6.5: SC 1, PT 202, length 3: CNAME of four bytes, then two zero bytes up to the word
SDES = bytes.fromhex("81 ca 0003 0000000a 01 04") + b"a@bc" + bytes(2)
# §6.6: SC 2, PT 203, length 4: two sources and a reason of three bytes
BYE = bytes.fromhex("82 cb 0003 0000000a 0000000b 03") + b"end"
APP = bytes.fromhex("80 cc 0002 0000000a") + b"name"

RECEIVED = ReportBlock(
    ssrc=11,
    fraction_lost=64,
    cumulative_lost=-2,
    highest_sequence=0x1FFF0,
    jitter=25,
    last_sr=0x12345678,
    delay_since_last_sr=0x8000,
)
SENT = SenderReport(
    ssrc=10, ntp_timestamp=0xE1E2E3E480000000, rtp_timestamp=90_000, packet_count=100, octet_count=50_000, blocks=(RECEIVED,)
)
NAMED = SourceDescription((SdesChunk(10, ((SdesType.CNAME, b"a@bc"),)),))

words = st.integers(0, 0xFFFFFFFF)
blocks = st.lists(
    st.builds(
        ReportBlock,
        ssrc=words,
        fraction_lost=st.integers(0, 255),
        cumulative_lost=st.integers(-(1 << 23), (1 << 23) - 1),
        highest_sequence=words,
        jitter=words,
        last_sr=words,
        delay_since_last_sr=words,
    ),
    max_size=3,
).map(tuple)
reports: st.SearchStrategy[RtcpPacket] = st.one_of(
    st.builds(ReceiverReport, ssrc=words, blocks=blocks),
    st.builds(
        SenderReport,
        ssrc=words,
        ntp_timestamp=st.integers(0, (1 << 64) - 1),
        rtp_timestamp=words,
        packet_count=words,
        octet_count=words,
        blocks=blocks,
    ),
)
items = st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=9)), max_size=3).map(tuple)
others: st.SearchStrategy[RtcpPacket] = st.one_of(
    st.builds(SourceDescription, st.lists(st.builds(SdesChunk, words, items), max_size=3).map(tuple)),
    st.builds(Goodbye, st.lists(words, max_size=3).map(tuple), st.binary(max_size=9)),
)


@pytest.mark.parametrize(
    ("wire", "packets"),
    [
        (SENDER, (SENT,)),
        (RECEIVER, (ReceiverReport(ssrc=12, blocks=(RECEIVED,)),)),
        (RECEIVER + SDES, (ReceiverReport(ssrc=12, blocks=(RECEIVED,)), NAMED)),
        (SENDER + SDES + BYE, (SENT, NAMED, Goodbye((10, 11), b"end"))),
    ],
)
def test_compound_packets_are_those_of_the_standard(wire: bytes, packets: tuple[RtcpPacket, ...]) -> None:
    assert parse_compound(wire) == Compound(packets)
    assert serialize_compound(packets) == wire


def test_other_packets_are_passed_over_and_counted() -> None:
    feedback = bytes.fromhex("81 ce 0002 0000000a 0000000b")
    assert parse_compound(SENDER + APP + feedback + SDES) == Compound((SENT, NAMED), skipped=2)


def test_the_last_packet_may_be_padded() -> None:
    padded = bytes.fromhex("a0 c9 0002 0000000c 00000004")
    assert parse_compound(padded).packets == (ReceiverReport(ssrc=12),)


def test_a_report_may_be_extended_by_a_profile() -> None:
    assert parse_compound(bytes.fromhex("80 c9 0002 0000000c ffffffff")).packets == (ReceiverReport(ssrc=12),)


def test_what_ends_a_goodbye_may_be_missing() -> None:
    compound = parse_compound(RECEIVER + bytes.fromhex("81 cb 0001 0000000a"))
    assert compound.packets[1] == Goodbye((10,))


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        SDES,  # §6.1: a report comes first
        b"\x41" + SENDER[1:],
        SENDER[:-4],
        SENDER + b"\x80",
        bytes.fromhex("82 c9 0007 0000000c" + BLOCK),  # two blocks announced
        bytes.fromhex("a0 c9 0001 0000000c") + SDES,  # padding before the end
        bytes.fromhex("a0 c9 0001 00000000"),
        RECEIVER + bytes.fromhex("81 ca 0002 0000000a 01044142"),  # an item that goes on behind the packet
        RECEIVER + bytes.fromhex("81 ca 0002 0000000a 01024142"),  # no zero byte ends the items
        RECEIVER + bytes.fromhex("82 cb 0001 0000000a"),
        RECEIVER + bytes.fromhex("81 cb 0002 0000000a 05414243"),
    ],
)
def test_broken_compound_packets_are_refused(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_compound(wire)


@pytest.mark.parametrize("each", ["80 c9 0001 0000000a", "80 cb 0000", "80 cc 0000", "80 ca 0000"])
def test_a_compound_of_too_many_packets_is_refused(each: str) -> None:
    packet = bytes.fromhex(each)
    compound = parse_compound(RECEIVER + packet * (MAX_PACKETS - 1))
    assert len(compound.packets) + compound.skipped == MAX_PACKETS
    with pytest.raises(LimitExceeded) as caught:
        parse_compound(RECEIVER + packet * 16_000)
    assert caught.value.value == MAX_PACKETS + 1


@given(reports, st.lists(others, max_size=3))
def test_a_compound_is_read_as_it_was_written(report: RtcpPacket, following: list[RtcpPacket]) -> None:
    wire = serialize_compound([report, *following])
    assert len(wire) % 4 == 0
    assert parse_compound(wire) == Compound((report, *following))


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_a_compound_or_refused(data: bytes, behind: bool) -> None:
    with suppress(RemoteProtocolError):
        parse_compound(RECEIVER + data if behind else data)


REPORT = ReceiverReport(ssrc=1)


@pytest.mark.parametrize(
    "packets",
    [
        [],
        [NAMED],
        [ReceiverReport(ssrc=1, blocks=(RECEIVED,) * 32)],
        [REPORT, SourceDescription.of(1, "x" * 256)],
        [REPORT, SourceDescription((SdesChunk(1, ()),) * 32)],
        [REPORT, Goodbye(tuple(range(32)))],
        [REPORT, Goodbye((1,), b"x" * 256)],
    ],
)
def test_what_does_not_fit_is_not_written(packets: list[RtcpPacket]) -> None:
    with pytest.raises(LocalProtocolError):
        serialize_compound(packets)


def test_the_canonical_name_is_found() -> None:
    assert SourceDescription.of(7, "ä@b").chunks[0].cname == "ä@b"
    assert SdesChunk(7, ((SdesType.TOOL, b"x"),)).cname == ""
