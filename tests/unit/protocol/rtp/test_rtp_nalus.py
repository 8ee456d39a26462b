from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.protocol.rtp._depacketizer import MAX_UNIT_BYTES
from lalmesh.protocol.rtp._interleaving import Deinterleaver
from lalmesh.protocol.rtp._nalus import MAX_NALUS_PER_PACKET, Part, Piece, h265_parser, parse_h264

H265, H265_DON = h265_parser(has_don=False), h265_parser(has_don=True)
WHOLE, FIRST, MIDDLE, LAST = Part.WHOLE, Part.FIRST, Part.MIDDLE, Part.LAST


def pieces(parse: Callable[[bytes], list[Piece]], wire: str) -> list[tuple[Part, str, int | None, int]]:
    return [(piece.part, piece.data.hex(), piece.don, piece.later) for piece in parse(bytes.fromhex(wire))]


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ("65 aabb", [(WHOLE, "65aabb", None, 0)]),  # RFC 6184 §5.6: a single NALU
        ("78 0002 67aa 0003 68bbcc", [(WHOLE, "67aa", None, 0), (WHOLE, "68bbcc", None, 0)]),  # §5.7.1: STAP-A
        ("79 ffff 0002 67aa 0002 68bb", [(WHOLE, "67aa", 0xFFFF, 0), (WHOLE, "68bb", 0, 0)]),  # §5.7.1: STAP-B
        # §5.7.2: MTAP16: DONB, then size, DOND, time offset
        ("7a 0010 0002 01 0384 41aa 0002 00 0708 41bb", [(WHOLE, "41aa", 0x11, 900), (WHOLE, "41bb", 0x10, 1800)]),
        ("7b 0010 0002 01 010384 41aa", [(WHOLE, "41aa", 0x11, 66_436)]),  # §5.7.2: MTAP24
        ("7c 85 aabb", [(FIRST, "65aabb", None, 0)]),  # §5.8: FU-A, S
        ("7c 05 ccdd", [(MIDDLE, "ccdd", None, 0)]),
        ("7c 45 ee", [(LAST, "ee", None, 0)]),
        ("5d 81 0007 aa", [(FIRST, "41aa", 7, 0)]),  # §5.8: FU-B holds a DON
        ("7c c5 aa", [(WHOLE, "65aa", None, 0)]),  # S and E: not allowed, but clear
        ("60", []),  # §5.2: types 0, 30 and 31 are reserved
        ("7e aa", []),
        ("7f aa", []),
    ],
)
def test_payloads_of_h264(wire: str, expected: list[tuple[Part, str, int | None, int]]) -> None:
    assert pieces(parse_h264, wire) == expected


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ("2601 aabb", [(WHOLE, "2601aabb", None, 0)]),  # RFC 7798 §4.4.1: a single NALU
        ("6001 0003 4001aa 0004 4201bbcc", [(WHOLE, "4001aa", None, 0), (WHOLE, "4201bbcc", None, 0)]),  # §4.4.2: AP
        ("6201 93 aabb", [(FIRST, "2601aabb", None, 0)]),  # §4.4.3: FU, S, type 19
        ("6201 13 cc", [(MIDDLE, "cc", None, 0)]),
        ("6201 53 dd", [(LAST, "dd", None, 0)]),
        ("6401 aa", []),  # §4.4.4: PACI is not carried
        ("5201 aa", []),  # 41 to 47 are reserved
        ("4a01", [(WHOLE, "4a01", None, 0)]),  # an end of sequence is its header (ISO/IEC 23008-2 §7.3.2.6)
    ],
)
def test_payloads_of_h265(wire: str, expected: list[tuple[Part, str, int | None, int]]) -> None:
    assert pieces(H265, wire) == expected


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ("2601 0102 aabb", [(WHOLE, "2601aabb", 0x102, 0)]),  # RFC 7798 §4.4.1: DONL behind the header
        # §4.4.2: DONL before the first, DOND, one less than the difference, before the others
        ("6001 fffe 0003 4001aa 00 0003 4201bb 02 0003 4401cc",
         [(WHOLE, "4001aa", 0xFFFE, 0), (WHOLE, "4201bb", 0xFFFF, 0), (WHOLE, "4401cc", 2, 0)]),
        ("6201 93 0005 aabb", [(FIRST, "2601aabb", 5, 0)]),  # §4.4.3: DONL in the first fragment alone
        ("6201 53 dd", [(LAST, "dd", None, 0)]),
        ("6401 aa", []),
        ("4a01 0007", [(WHOLE, "4a01", 7, 0)]),
    ],
)  # fmt: skip
def test_payloads_of_h265_with_decoding_order_numbers(wire: str, expected: list[tuple[Part, str, int | None, int]]) -> None:
    assert pieces(H265_DON, wire) == expected


@pytest.mark.parametrize(
    "wire",
    ["", "78", "78 00", "78 0000", "78 0003 67aa", "79 00", "79 0001", "7a 0000 0001 00 00", "7a 0000 0002 00 0000 41",
     "7b 0000 0001 00 0000", "7c", "7c 85", "5d 81 0000",
     "78 0004 78000141", "78 0002 7c85", "79 0000 0002 7c85", "7a 0000 0002 00 0000 7c85"],
)  # fmt: skip
def test_broken_payloads_of_h264_are_refused(wire: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_h264(bytes.fromhex(wire))


@pytest.mark.parametrize("wire", ["", "26", "6001", "6001 0000", "6001 0003 4001", "6201", "6201 93"])
def test_broken_payloads_of_h265_are_refused(wire: str) -> None:
    for parse in (H265, H265_DON):
        with pytest.raises(RemoteProtocolError):
            parse(bytes.fromhex(wire))


@pytest.mark.parametrize("wire", ["2601", "2601 01", "6001 0000", "6001 0000 0003 4001aa 00", "6201 93 0000"])
def test_decoding_order_numbers_that_are_cut_off_are_refused(wire: str) -> None:
    with pytest.raises(RemoteProtocolError):
        H265_DON(bytes.fromhex(wire))


@pytest.mark.parametrize("inner", ["6001", "6201", "6401"])
def test_an_aggregate_of_h265_holds_no_other_nor_fragments(inner: str) -> None:
    # RFC 7798 §4.4.2
    for parse, don in ((H265, ""), (H265_DON, "0000")):
        with pytest.raises(RemoteProtocolError):
            parse(bytes.fromhex(f"6001 {don} 0004 {inner} 93aa"))


@pytest.mark.parametrize(
    ("parse", "head", "each"),
    [
        (parse_h264, "18", "0001 06"),
        (parse_h264, "19 0000", "0001 06"),
        (parse_h264, "1a 0000", "0001 00 0000 06"),
        (parse_h264, "1b 0000", "0001 00 000000 06"),
        (H265, "6001", "0002 4e01"),
        (H265_DON, "6001 0000 0002 4e01", "00 0002 4e01"),
    ],
)
def test_an_aggregate_of_too_many_nalus_is_refused_before_all_are_made(
    parse: Callable[[bytes], list[Piece]], head: str, each: str
) -> None:
    first, piece = bytes.fromhex(head), bytes.fromhex(each)
    most = MAX_NALUS_PER_PACKET - (parse is H265_DON)
    assert len(parse(first + piece * most)) == MAX_NALUS_PER_PACKET
    with pytest.raises(LimitExceeded) as caught:
        parse(first + piece * (most + 5_000) + b"cut off")
    assert caught.value.value == MAX_NALUS_PER_PACKET + 1


@given(st.binary(max_size=60))
def test_any_bytes_are_a_payload_or_refused(data: bytes) -> None:
    for parse in (parse_h264, H265, H265_DON):
        with suppress(RemoteProtocolError):
            assert all(piece.data for piece in parse(data))


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 0xFFFF))
def test_nalus_come_back_in_decoding_order(delays: list[int], start: int) -> None:
    sent = sorted(range(len(delays)), key=lambda index: (index + delays[index], index))
    deinterleaver = Deinterleaver(8)
    first_few = [timed for index in sent for timed in deinterleaver.push(start + index & 0xFFFF, index, b"%d" % index)]
    assert [timed.timestamp for timed in first_few + deinterleaver.flush()] == list(range(len(delays)))


def test_nalus_that_wait_for_their_order_take_no_more_than_an_access_unit() -> None:
    deinterleaver, large = Deinterleaver(8), bytes(MAX_UNIT_BYTES // 2)
    assert deinterleaver.push(2, 2, large) == deinterleaver.push(1, 1, large) == []
    assert [timed.timestamp for timed in deinterleaver.push(3, 3, b"small")] == [1]
    assert [timed.timestamp for timed in deinterleaver.push(4, 4, large)] == [2]
    assert [timed.timestamp for timed in deinterleaver.flush()] == [3, 4]
    assert deinterleaver.push(5, 5, large) == deinterleaver.push(6, 6, large) == []
