import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.amf import (
    MAX_DEPTH,
    MAX_TEXT_BYTES,
    UNDEFINED,
    AmfDate,
    AmfValue,
    EcmaArray,
    TypedObject,
    Xml,
    parse_amf0,
    parse_amf3_message,
    serialize_amf0,
)
from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.floats(allow_nan=False)
leaves: st.SearchStrategy[AmfValue] = st.one_of(
    numbers,
    st.booleans(),
    texts,
    st.none(),
    st.just(UNDEFINED),
    st.builds(AmfDate, numbers, st.integers(-0x8000, 0x7FFF)),
    st.builds(Xml, texts),
    st.binary(max_size=20),
)


def holders(inner: st.SearchStrategy[AmfValue]) -> st.SearchStrategy[AmfValue]:
    members = st.dictionaries(texts, inner, max_size=4)
    return st.one_of(members, members.map(EcmaArray), st.lists(inner, max_size=4), st.builds(TypedObject, texts, members))


values = st.recursive(leaves, holders, max_leaves=10)

VECTORS: list[tuple[str, AmfValue]] = [  # AMF 0 §2.2 to §2.18, in the order of their markers
    ("00 3ff8000000000000", 1.5),
    ("01 01", True),
    ("02 0004 6c697665", "live"),
    ("03 0003 617070 02 0001 78 000009", {"app": "x"}),
    ("05", None),
    ("06", UNDEFINED),
    ("08 00000001 0001 61 05 000009", EcmaArray(a=None)),
    ("0a 00000002 05 0100", [None, False]),
    ("0b 4000000000000000 0000", AmfDate(2.0)),
    ("0f 00000004 3c782f3e", Xml("<x/>")),
    ("10 0001 43 0001 61 05 000009", TypedObject("C", {"a": None})),
]


@pytest.mark.parametrize(("wire", "value"), VECTORS)
def test_each_type_reads_and_writes_as_the_standard_says(wire: str, value: AmfValue) -> None:
    assert parse_amf0(bytes.fromhex(wire)) == [value]
    assert type(parse_amf0(bytes.fromhex(wire))[0]) is type(value)
    assert serialize_amf0(value) == bytes.fromhex(wire)


def test_what_could_not_be_serialized_is_undefined() -> None:
    assert parse_amf0(b"\x0d") == [UNDEFINED]  # §2.15


def test_a_string_over_65535_bytes_becomes_a_long_string() -> None:
    wire = serialize_amf0("x" * 0x10000)
    assert wire[:5] == b"\x0c\x00\x01\x00\x00"  # §2.14
    assert parse_amf0(wire) == ["x" * 0x10000]


def test_a_reference_gives_the_value_again() -> None:
    wire = bytes.fromhex("0a 00000002 03 0001 61 05 000009 07 0001")  # §2.9: 0 is the array, 1 the object
    assert parse_amf0(wire) == [[{"a": None}, {"a": None}]]


@pytest.mark.parametrize(
    "wire",
    ["0a 00000001 07 0000", "0a 00000002 07 0000 07 0000", "03 0001 61 07 0000 000009"],
    ids=["cycle", "branching cycle", "object in itself"],
)
def test_a_value_that_holds_itself_is_refused(wire: str) -> None:
    with pytest.raises(LimitExceeded):
        parse_amf0(bytes.fromhex(wire))


def test_a_thicket_of_references_does_not_grow_past_the_bound() -> None:
    level = b"".join(b"\x0a\x00\x00\x00\x08" + b"\x07" + index.to_bytes(2, "big") + b"\x05" * 7 for index in range(8))
    doubled = b"\x0a\x00\x00\x00\x02\x05\x05" + b"".join(
        b"\x0a\x00\x00\x00\x02" + 2 * (b"\x07" + index.to_bytes(2, "big")) for index in range(24)
    )
    assert parse_amf0(doubled[:7]) == [[None, None]]
    for wire in (level, doubled):
        with pytest.raises(RemoteProtocolError):
            parse_amf0(wire)


def test_what_references_repeat_is_no_more_than_there_are_bytes() -> None:
    pairs = [b"\x0a\0\0\0\x02" + 2 * (b"\x07" + index.to_bytes(2, "big")) for index in range(12)]
    wire = bytes.fromhex("03 000009") + b"".join(pairs)  # each pair holds twice what the one before it does
    assert parse_amf0(wire[: 4 + 2 * 11]) == [{}, [{}, {}], [[{}, {}], [{}, {}]]]  # 19 values in 26 bytes
    with pytest.raises(LimitExceeded, match=f"value count of {len(wire) + 2}, limit {len(wire) + 1}"):
        parse_amf0(wire)


def test_the_least_values_that_there_are_may_be_as_many_as_bytes() -> None:
    assert parse_amf0(b"\x05" * 100) == [None] * 100
    with pytest.raises(RemoteProtocolError, match="cut off"):
        parse_amf0(b"\x0a\0\0\0\x02\x05")
    with pytest.raises(LimitExceeded, match="value count of 100, limit 99"):
        parse_amf0(b"\x05" * 100, max_values=99)


def test_a_reference_to_nothing_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="reference 3"):
        parse_amf0(bytes.fromhex("07 0003"))


def test_text_that_is_referred_to_again_and_again_is_bounded() -> None:
    held = b"\x0a\x00\x00\x00\x01\x0c" + (1 << 18).to_bytes(4, "big") + b"x" * (1 << 18)
    with pytest.raises(LimitExceeded, match="text"):
        parse_amf0(held + 4 * b"\x07\x00\x00")


@pytest.mark.parametrize("nested", [b"\x0a\x00\x00\x00\x01", b"\x03\x00\x01a"])
def test_nesting_is_bounded(nested: bytes) -> None:
    with pytest.raises(LimitExceeded, match="depth"):
        parse_amf0(nested * (MAX_DEPTH + 1) + b"\x05")


def test_the_number_of_values_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="value count"):
        parse_amf0(b"\x05" * 70_000)


def test_a_long_string_past_the_bound_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="text"):
        parse_amf0(b"\x0c" + (MAX_TEXT_BYTES + 1).to_bytes(4, "big"))


def test_a_long_key_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="name"):
        parse_amf0(b"\x03\x7f\xff" + b"k" * 0x7FFF)


def test_text_that_is_not_utf8_is_replaced_and_can_be_written_again() -> None:
    wire = b"\x03\x00\x02\xff\xfe\x02\x00\x03\xed\xa0\x80\x00\x00\x09"  # the value is a lone surrogate
    parsed = parse_amf0(wire)
    assert parsed == [{"\ufffd\ufffd": "\ufffd\ufffd\ufffd"}]
    assert parse_amf0(serialize_amf0(*parsed)) == parsed


def test_an_ecma_array_without_its_end_is_forgiven() -> None:
    wire = serialize_amf0("onMetaData", EcmaArray(width=16.0))
    assert parse_amf0(wire[:-3]) == ["onMetaData", {"width": 16.0}]


@pytest.mark.parametrize("marker", [0x04, 0x09, 0x0E, 0x12, 0xFF])
def test_a_reserved_marker_is_refused(marker: int) -> None:
    with pytest.raises(RemoteProtocolError, match="marker"):
        parse_amf0(bytes((marker,)))


def test_values_may_switch_to_amf3() -> None:
    connect = bytes.fromhex("00 02 0007 636f6e6e656374 00 3ff0000000000000 11 0a0b01 07617070 06096c697665 01")
    assert parse_amf3_message(connect) == ["connect", 1.0, {"app": "live"}]


def test_the_format_byte_of_an_amf3_message_may_be_missing() -> None:
    assert parse_amf3_message(b"\x02\x00\x01x") == ["x"]
    assert parse_amf3_message(b"") == []


def test_what_is_nested_too_deep_is_our_bug() -> None:
    value: AmfValue = None
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(LocalProtocolError):
        serialize_amf0(value)


def test_a_key_too_long_for_its_field_is_our_bug() -> None:
    with pytest.raises(LocalProtocolError):
        serialize_amf0({"k" * 70_000: None})


@given(st.lists(values, max_size=4))
def test_values_survive_the_wire(sent: list[AmfValue]) -> None:
    assert parse_amf0(serialize_amf0(*sent)) == sent


@given(st.lists(values, max_size=3), st.data())
def test_a_cut_message_gives_values_or_an_error(sent: list[AmfValue], data: st.DataObject) -> None:
    wire = serialize_amf0(*sent)
    with contextlib.suppress(RemoteProtocolError):
        parse_amf0(wire[: data.draw(st.integers(0, len(wire)))])


@given(st.binary(max_size=200) | st.lists(st.sampled_from(range(0x12)), max_size=60).map(bytes))
def test_any_bytes_give_values_that_can_be_written_or_an_error(wire: bytes) -> None:
    try:
        parsed = parse_amf0(wire)
    except RemoteProtocolError:
        return
    serialize_amf0(*parsed)
