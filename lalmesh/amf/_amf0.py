"""AMF 0: parse and serialize (Adobe, Action Message Format AMF 0, 2007)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

from lalmesh.amf._amf3 import Amf3Reader, serialize_amf3
from lalmesh.amf._values import MAX_DEPTH, MAX_VALUES, UNDEFINED, AmfDate, AmfValue, Cursor, EcmaArray, TypedObject, Undefined, Xml
from lalmesh.errors import LocalProtocolError, RemoteProtocolError

NUMBER, BOOLEAN, STRING, OBJECT = 0x00, 0x01, 0x02, 0x03
NULL, UNDEFINED_MARKER, REFERENCE, ECMA_ARRAY, OBJECT_END = 0x05, 0x06, 0x07, 0x08, 0x09
STRICT_ARRAY, DATE, LONG_STRING, UNSUPPORTED, XML_DOCUMENT = 0x0A, 0x0B, 0x0C, 0x0D, 0x0F
TYPED_OBJECT, AVMPLUS = 0x10, 0x11

MAX_SHORT_BYTES = 0xFFFF  #: longer strings are long strings (§2.14)

_DOUBLE = struct.Struct(">d")
_DATE = struct.Struct(">dh")
_NUMBER = struct.Struct(">Bd")
_END = bytes((0, 0, OBJECT_END))

_Held = TypeVar("_Held")


def parse_amf0(data: bytes, *, max_values: int = MAX_VALUES) -> list[AmfValue]:
    """Give the values that `data` holds, one after the other.

    Args:
        data: any number of AMF 0 values.
        max_values: how many there may be with all that they hold; and there may be no more than bytes, what references repeat
            counted each time.

    Raises:
        RemoteProtocolError: a value is cut off or has a marker that is reserved; a reference to nothing.
        LimitExceeded: past `MAX_DEPTH`, `max_values`, `MAX_TEXT_BYTES` or `MAX_NAME_BYTES`.
    Source: AMF 0 §2; a missing end of the last ECMA array is forgiven.
    """
    reader = Amf0Reader(data, max_values)
    values: list[AmfValue] = []
    while not reader.cursor.at_end:
        values.append(reader.value())
    return values


def parse_amf3_message(body: bytes, *, max_values: int = MAX_VALUES) -> list[AmfValue]:
    """Give the values of an RTMP message of the AMF 3 kind (type 15 data, type 17 command), at most `max_values` of them.

    Its body is one format byte, 0, and AMF 0 values, each of which may switch to AMF 3. Some clients leave the byte out.

    Raises:
        RemoteProtocolError, LimitExceeded: as `parse_amf0` and `parse_amf3`.
    Source: RTMP 1.0 §7.1.1; AMF 0 §3.1
    """
    return parse_amf0(body[1:] if body[:1] == b"\x00" else body, max_values=max_values)


def serialize_amf0(*values: AmfValue) -> bytes:
    """Give `values` as AMF 0, without references; byte arrays switch to AMF 3.

    Raises:
        LocalProtocolError: nested deeper than `MAX_DEPTH`, a key of over 65535 bytes, or not an AMF value at all.
    Source: AMF 0 §2
    """
    out: list[bytes] = []
    for value in values:
        _write(out, value, 0)
    return b"".join(out)


class Amf0Reader:
    """Read AMF 0 values from one message."""

    __slots__ = ("_amf3", "_complex", "_replaying", "cursor")

    def __init__(self, data: bytes, max_values: int = MAX_VALUES) -> None:
        """Start at the first byte of `data`, which may hold `max_values`."""
        self.cursor = Cursor(data, max_values)
        self._amf3: Amf3Reader | None = None
        self._complex: list[int] = []  # where each value that can be referred to begins, in the order of appearance
        self._replaying = False

    def value(self) -> AmfValue:
        """Read the next value."""
        cursor = self.cursor
        cursor.spend_value()
        start = cursor.at
        marker = cursor.byte()
        reader = _READERS.get(marker)
        if reader is None:
            raise RemoteProtocolError(f"AMF 0 marker {marker:#04x}", section="AMF 0 §2.1", at=start)
        if marker in _COMPLEX and not self._replaying:
            self._complex.append(start)
        return reader(self)

    def number(self) -> float:
        """Read a number (§2.2)."""
        number: float = _DOUBLE.unpack(self.cursor.take(8))[0]
        return number

    def boolean(self) -> bool:
        """Read a boolean (§2.3)."""
        return self.cursor.byte() != 0

    def string(self) -> str:
        """Read a string (§2.4)."""
        return self.cursor.text(self.cursor.unsigned(2))

    def long_string(self) -> str:
        """Read a long string (§2.14)."""
        return self.cursor.text(self.cursor.unsigned(4))

    def null(self) -> None:
        """Read null (§2.7)."""

    def undefined(self) -> AmfValue:
        """Read undefined (§2.8), or what could not be serialized (§2.15)."""
        return UNDEFINED

    def object(self) -> dict[str, AmfValue]:
        """Read an object (§2.5)."""
        return self._held(lambda: self._members({}))

    def ecma_array(self) -> EcmaArray:
        """Read an ECMA array (§2.10); its count is only a hint."""
        self.cursor.unsigned(4)
        # Interop: some encoders write no end after the array that closes their onMetaData.
        return self._held(lambda: self._members(EcmaArray(), may_end_early=True))

    def typed_object(self) -> TypedObject:
        """Read an object of a class (§2.18)."""
        name = self.cursor.name(self.cursor.unsigned(2))
        return TypedObject(name, self._held(lambda: self._members({})))

    def strict_array(self) -> list[AmfValue]:
        """Read a strict array (§2.12)."""
        count = self.cursor.unsigned(4)
        return self._held(lambda: [self.value() for _ in range(count)])

    def date(self) -> AmfDate:
        """Read a date (§2.13)."""
        unix_ms, zone = _DATE.unpack(self.cursor.take(10))
        return AmfDate(unix_ms, zone)

    def xml(self) -> Xml:
        """Read an XML document (§2.17)."""
        return Xml(self.long_string())

    def reference(self) -> AmfValue:
        """Read what a reference names (§2.9) again: a cycle then ends at `MAX_DEPTH`, a thicket at `MAX_VALUES`."""
        index = self.cursor.unsigned(2)
        if index >= len(self._complex):
            raise RemoteProtocolError(f"AMF 0 reference {index} of {len(self._complex)}", section="AMF 0 §2.9", at=self.cursor.at)
        after, outer = self.cursor.at, self._replaying
        self.cursor.at, self._replaying = self._complex[index], True
        value = self._held(self.value)
        self.cursor.at, self._replaying = after, outer
        return value

    def avmplus(self) -> AmfValue:
        """Read one AMF 3 value (§3.1); its tables last for the message."""
        if self._amf3 is None:
            self._amf3 = Amf3Reader(self.cursor)
        return self._amf3.value()

    def _held(self, read: Callable[[], _Held]) -> _Held:
        self.cursor.descend()
        held = read()
        self.cursor.ascend()
        return held

    def _members(self, into: _Members, *, may_end_early: bool = False) -> _Members:
        cursor = self.cursor
        while not (may_end_early and cursor.at_end):
            key = cursor.name(cursor.unsigned(2))
            if not key and cursor.data[cursor.at : cursor.at + 1] == _END[2:]:
                cursor.at += 1
                break
            into[key] = self.value()
        return into


_Members = TypeVar("_Members", bound=dict[str, AmfValue])

_COMPLEX = frozenset((OBJECT, ECMA_ARRAY, STRICT_ARRAY, TYPED_OBJECT))
_READERS: dict[int, Callable[[Amf0Reader], AmfValue]] = {
    NUMBER: Amf0Reader.number,
    BOOLEAN: Amf0Reader.boolean,
    STRING: Amf0Reader.string,
    OBJECT: Amf0Reader.object,
    NULL: Amf0Reader.null,
    UNDEFINED_MARKER: Amf0Reader.undefined,
    REFERENCE: Amf0Reader.reference,
    ECMA_ARRAY: Amf0Reader.ecma_array,
    STRICT_ARRAY: Amf0Reader.strict_array,
    DATE: Amf0Reader.date,
    LONG_STRING: Amf0Reader.long_string,
    UNSUPPORTED: Amf0Reader.undefined,
    XML_DOCUMENT: Amf0Reader.xml,
    TYPED_OBJECT: Amf0Reader.typed_object,
    AVMPLUS: Amf0Reader.avmplus,
}


def _write(out: list[bytes], value: AmfValue, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise LocalProtocolError(f"AMF value nested deeper than {MAX_DEPTH}")
    match value:
        case None:
            out.append(bytes((NULL,)))
        case Undefined():
            out.append(bytes((UNDEFINED_MARKER,)))
        case bool():
            out.append(bytes((BOOLEAN, value)))
        case float() | int():
            out.append(_NUMBER.pack(NUMBER, value))
        case str():
            out.append(_string(value))
        case AmfDate():
            out += (bytes((DATE,)), _DATE.pack(value.unix_ms, value.zone_minutes))
        case Xml():
            out += (bytes((XML_DOCUMENT,)), _sized(value.text, 4))
        case bytes():
            out += (bytes((AVMPLUS,)), serialize_amf3(value))
        case _:
            _write_held(out, value, depth + 1)


def _write_held(out: list[bytes], value: dict[str, AmfValue] | list[AmfValue] | TypedObject, depth: int) -> None:
    match value:
        case EcmaArray():
            out += (bytes((ECMA_ARRAY,)), len(value).to_bytes(4, "big"))
            _write_members(out, value, depth)
        case dict():
            out.append(bytes((OBJECT,)))
            _write_members(out, value, depth)
        case list():
            out += (bytes((STRICT_ARRAY,)), len(value).to_bytes(4, "big"))
            for item in value:
                _write(out, item, depth)
        case TypedObject():
            out += (bytes((TYPED_OBJECT,)), _name(value.class_name))
            _write_members(out, value.members, depth)
        case _:
            raise LocalProtocolError(f"{type(value).__name__} is no AMF value")


def _write_members(out: list[bytes], members: dict[str, AmfValue], depth: int) -> None:
    for key, value in members.items():
        out.append(_name(key))
        _write(out, value, depth)
    out.append(_END)


def _string(text: str) -> bytes:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_SHORT_BYTES:
        return struct.pack(">BH", STRING, len(encoded)) + encoded
    return struct.pack(">BI", LONG_STRING, len(encoded)) + encoded


def _sized(text: str, width: int) -> bytes:
    encoded = text.encode("utf-8", "replace")
    return len(encoded).to_bytes(width, "big") + encoded


def _name(text: str) -> bytes:
    try:
        return _sized(text, 2)
    except OverflowError:
        raise LocalProtocolError(f"AMF name of {len(text)} characters does not fit 65535 bytes") from None
