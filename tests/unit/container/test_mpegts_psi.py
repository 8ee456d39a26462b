import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import transport_stream

from lalmesh.container.mpegts._psi import (
    MAX_SECTION_BYTES,
    Section,
    SectionReader,
    StreamInfo,
    crc32_mpeg,
    parse_pat,
    parse_pmt,
    pat_body,
    pmt_body,
)
from lalmesh.errors import RemoteProtocolError

# §2.4.4.3: table_id 0, length 13, transport_stream_id 1, version 0 and current, one section, program 1 on PID 0x1000, CRC; as
# ffmpeg writes it
PAT = bytes.fromhex("00b00d 0001 c1 00 00 0001 f000 2ab104b2")
# §2.4.4.8: table_id 2, length 23, program 1, PCR on 0x100, H.264 on 0x100, AAC on 0x101
PMT = bytes.fromhex("02b017 0001 c1 00 00 e100 f000 1b e100 f000 0f e101 f000 2f44b99b")

sections = st.binary(max_size=300).map(lambda body: Section(2, 1, 3, True, body).serialize())


def fed(reader: SectionReader, *payloads: tuple[bytes, bool]) -> list[bytes]:
    return [section for payload, starts in payloads for section in reader.feed(payload, starts)]


def test_the_check_value_of_the_crc_is_that_of_its_polynomial() -> None:
    assert crc32_mpeg(b"123456789") == 0x0376E6E7  # CRC-32/MPEG-2
    assert crc32_mpeg(PAT) == crc32_mpeg(PMT) == 0


@given(st.binary(max_size=40))
def test_the_crc_is_that_of_annex_a(data: bytes) -> None:
    assert crc32_mpeg(data) == transport_stream.crc(data)


def test_a_pat_is_that_of_the_standard() -> None:
    assert Section(0, 1, 0, True, pat_body([(1, 0x1000)])).serialize() == PAT
    assert parse_pat(Section.parse(PAT).body) == [(1, 0x1000)]


def test_the_network_information_is_no_program() -> None:
    assert parse_pat(pat_body([(0, 16), (7, 0x20)])) == [(7, 0x20)]


def test_a_pmt_is_that_of_the_standard() -> None:
    streams = [StreamInfo(0x100, 0x1B), StreamInfo(0x101, 0x0F)]
    assert Section(2, 1, 0, True, pmt_body(0x100, streams)).serialize() == PMT
    assert parse_pmt(Section.parse(PMT).body) == streams


def test_descriptors_stay_with_their_stream() -> None:
    streams = [StreamInfo(0x100, 6, ((5, b"Opus"), (0x7F, b"\x80\x02"))), StreamInfo(0x101, 0x81, ((5, b"AC-3"),))]
    assert parse_pmt(pmt_body(0x100, streams)) == streams


def test_descriptors_of_the_program_are_passed_over() -> None:
    assert parse_pmt(bytes.fromhex("e100 f006 0504 48444d56 1b e100 f000")) == [StreamInfo(0x100, 0x1B)]


@pytest.mark.parametrize("body", [b"", b"\xe1\x00\xf0", bytes.fromhex("e100 f000 1b e100 f001")])
def test_a_pmt_that_is_cut_off_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_pmt(body)


def test_a_wrong_crc_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        Section.parse(PAT[:-1] + b"\x00")
    with pytest.raises(RemoteProtocolError):
        Section.parse(PAT[:8])


def test_a_section_says_its_version_and_whether_it_holds_now() -> None:
    later = Section(2, 9, 31, False, b"body")
    assert Section.parse(later.serialize()) == later


def test_two_sections_may_share_a_packet() -> None:
    assert fed(SectionReader(), (b"\x00" + PAT + PMT + b"\xff" * 9, True)) == [PAT, PMT]


def test_a_section_goes_on_before_the_pointer_of_the_next() -> None:
    payloads = (b"\x00" + PAT[:6], True), (bytes((10,)) + PAT[6:] + PMT, True)
    assert fed(SectionReader(), *payloads) == [PAT, PMT]


def test_what_comes_before_the_first_start_is_passed_over() -> None:
    assert fed(SectionReader(), (PAT, False), (b"\x00" + PMT, True)) == [PMT]


def test_a_section_with_missing_packets_is_forgotten() -> None:
    reader = SectionReader()
    reader.feed(b"\x00" + PAT[:6], True)
    reader.reset()
    assert fed(reader, (PAT[6:], False), (b"\x00" + PMT, True)) == [PMT]


def test_a_pointer_behind_the_packet_starts_nothing() -> None:
    assert fed(SectionReader(), (b"\x20" + PAT, True), (b"", True), (PAT, False)) == []


def test_a_section_over_the_limit_is_passed_over() -> None:
    reader = SectionReader()
    assert fed(reader, (b"\x00\x02\xbf\xff", True), *[(bytes(184), False)] * 30) == []
    assert fed(reader, (b"\x00" + PAT, True)) == [PAT]
    longest = Section(2, 1, 0, True, bytes(MAX_SECTION_BYTES - 12)).serialize()
    assert len(longest) == MAX_SECTION_BYTES
    assert fed(SectionReader(), (b"\x00" + longest, True)) == [longest]


@given(st.lists(sections, min_size=1, max_size=3), st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_any_split_of_the_bytes_gives_the_same_sections(sent: list[bytes], sizes: list[int]) -> None:
    wire, reader, at, seen = b"".join(sent), SectionReader(), 0, list[bytes]()
    while at < len(wire):
        size = sizes[at % len(sizes)]
        seen += reader.feed(b"\x00" * (at == 0) + wire[at : at + size], at == 0)
        at += size
    assert seen == sent


@given(st.lists(st.tuples(st.binary(max_size=184), st.booleans()), max_size=12))
def test_any_payloads_give_sections_within_the_limit(payloads: list[tuple[bytes, bool]]) -> None:
    assert all(3 <= len(section) <= MAX_SECTION_BYTES for section in fed(SectionReader(), *payloads))
