import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.amf import MAX_DEPTH, UNDEFINED, AmfDate, AmfValue, EcmaArray, TypedObject, Xml, parse_amf3, serialize_amf3
from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = texts.filter(bool)
numbers = st.floats(allow_nan=False)
leaves: st.SearchStrategy[AmfValue] = st.one_of(
    numbers,
    st.booleans(),
    texts,
    st.none(),
    st.just(UNDEFINED),
    st.builds(AmfDate, numbers),
    st.builds(Xml, texts),
    st.binary(max_size=200),
)


def holders(inner: st.SearchStrategy[AmfValue]) -> st.SearchStrategy[AmfValue]:
    members = st.dictionaries(names, inner, max_size=4)
    return st.one_of(
        members, members.filter(bool).map(EcmaArray), st.lists(inner, max_size=4), st.builds(TypedObject, names, members)
    )


values = st.recursive(leaves, holders, max_leaves=10)

VECTORS: list[tuple[str, AmfValue]] = [  # AMF 3 §3.2 to §3.14
    ("00", UNDEFINED),
    ("01", None),
    ("02", False),
    ("03", True),
    ("05 3ff8000000000000", 1.5),
    ("06 09 6c697665", "live"),
    ("08 01 4000000000000000", AmfDate(2.0)),
    ("09 05 01 01 02", [None, False]),
    ("09 01 03 61 01 01", EcmaArray(a=None)),
    ("0a 0b 01 03 61 01 01", {"a": None}),
    ("0a 0b 03 43 03 61 01 01", TypedObject("C", {"a": None})),
    ("0b 09 3c782f3e", Xml("<x/>")),
    ("0c 05 0102", b"\x01\x02"),
]


@pytest.mark.parametrize(("wire", "value"), VECTORS)
def test_each_type_reads_and_writes_as_the_standard_says(wire: str, value: AmfValue) -> None:
    assert parse_amf3(bytes.fromhex(wire)) == [value]
    assert serialize_amf3(value) == bytes.fromhex(wire)


@pytest.mark.parametrize(
    ("wire", "number"),
    [
        ("00", 0),
        ("7f", 127),
        ("8100", 128),
        ("ff7f", 16_383),
        ("818000", 16_384),
        ("ffff7f", 2_097_151),
        ("80c08000", 2_097_152),
        ("bfffffff", 268_435_455),
        ("c0808000", -268_435_456),
        ("ffffffff", -1),
    ],
)
def test_integers_have_29_bits_with_sign(wire: str, number: int) -> None:
    assert parse_amf3(b"\x04" + bytes.fromhex(wire)) == [number]  # AMF 3 §1.3.1, §3.6


def test_strings_objects_and_traits_may_be_references() -> None:
    wire = bytes.fromhex(
        "09 0b 01"  # an array of five: complex value 0
        "0a 13 03 43 03 61 06 03 62"  # an object of class C with the sealed member a, "b": complex value 1, traits 0
        "0a 01 06 04"  # of the same traits, with string 2, which is "b"
        "0a 02"  # object 1 again
        "06 00"  # string 0: "C"
        "09 01 01"  # an empty array
    )
    first = TypedObject("C", {"a": "b"})
    assert parse_amf3(wire) == [[first, first, first, "C", []]]


def test_an_array_with_names_and_items_keeps_both() -> None:
    assert parse_amf3(bytes.fromhex("09 03 03 61 01 01 03")) == [EcmaArray({"a": None, "0": True})]


@pytest.mark.parametrize("wire", ["09 03 01 09 00", "0a 0b 01 03 61 0a 00 01"])
def test_a_value_that_holds_itself_is_refused(wire: str) -> None:
    with pytest.raises(LimitExceeded):
        parse_amf3(bytes.fromhex(wire))


@pytest.mark.parametrize("wire", ["06 02", "0a 09", "0a 04", "09 04", "09 01 01 0a 00"])
def test_a_reference_to_nothing_is_refused(wire: str) -> None:
    with pytest.raises(RemoteProtocolError, match="reference"):
        parse_amf3(bytes.fromhex(wire))


@pytest.mark.parametrize("wire", ["0a 07 03 43", "0d 03 00", "11 01 00", "ff"])
def test_what_is_not_accepted_is_refused(wire: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_amf3(bytes.fromhex(wire))


def test_a_name_that_refers_to_a_long_string_is_refused() -> None:
    text = serialize_amf3("x" * 20_000)
    with pytest.raises(LimitExceeded, match="name"):
        parse_amf3(text + bytes.fromhex("0a 0b 01 00 01 01"))


def test_text_that_is_referred_to_again_and_again_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="text"):
        parse_amf3(serialize_amf3("x" * (1 << 18)) + 20 * b"\x06\x00")


def test_nesting_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="depth"):
        parse_amf3(b"\x09\x03\x01" * (MAX_DEPTH + 1) + b"\x01")


def test_more_sealed_members_than_values_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="member count"):
        parse_amf3(bytes.fromhex("0a ffffffe3 01"))


def test_what_amf3_cannot_say_is_our_bug() -> None:
    nested: AmfValue = None
    for _ in range(MAX_DEPTH + 1):
        nested = [nested]
    impossible: list[AmfValue] = [{"": None}, nested]
    for value in impossible:
        with pytest.raises(LocalProtocolError):
            serialize_amf3(value)


@pytest.mark.parametrize("size", [0x3F, 0x40, 0x1FFF, 0x2000, 0xFFFFF, 0x100000])
def test_lengths_of_every_width_survive_the_wire(size: int) -> None:
    assert parse_amf3(serialize_amf3(bytes(size))) == [bytes(size)]


@given(st.lists(values, max_size=4))
def test_values_survive_the_wire(sent: list[AmfValue]) -> None:
    assert parse_amf3(serialize_amf3(*sent)) == sent


@given(st.lists(values, max_size=3), st.data())
def test_a_cut_message_gives_values_or_an_error(sent: list[AmfValue], data: st.DataObject) -> None:
    wire = serialize_amf3(*sent)
    with contextlib.suppress(RemoteProtocolError):
        parse_amf3(wire[: data.draw(st.integers(0, len(wire)))])


@given(st.binary(max_size=200) | st.lists(st.sampled_from(range(0x12)), max_size=60).map(bytes))
def test_any_bytes_give_values_or_an_error(wire: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        parse_amf3(wire)
