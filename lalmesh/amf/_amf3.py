"""AMF 3: parse and serialize (Adobe, Action Message Format AMF 3, 2013).

Vectors and dictionaries (§3.15, §3.16) and objects that write themselves (§3.12, "externalizable") are refused: no RTMP command
carries them, and the length of the last cannot be known without the class.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from lalmesh.amf._values import (
    MAX_DEPTH,
    MAX_NAME_BYTES,
    MAX_VALUES,
    UNDEFINED,
    AmfDate,
    AmfValue,
    Cursor,
    EcmaArray,
    TypedObject,
    Undefined,
    Xml,
)
from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError

UNDEFINED_MARKER, NULL, FALSE, TRUE, INTEGER, DOUBLE, STRING = range(7)
XML_DOCUMENT, DATE, ARRAY, OBJECT, XML, BYTE_ARRAY = range(7, 13)

MAX_U29 = (1 << 29) - 1
_INLINE = 1  # the lowest bit of a header: what it announces follows, and is not a reference

_DOUBLE = struct.Struct(">d")

_Held = TypeVar("_Held")


class _Traits(NamedTuple):
    """What the objects of one class have in common (§3.12)."""

    class_name: str
    sealed: tuple[str, ...]
    dynamic: bool


def parse_amf3(data: bytes) -> list[AmfValue]:
    """Give the AMF 3 values that `data` holds, one after the other; they share their tables of references.

    Args:
        data: any number of AMF 3 values, at most `MAX_VALUES` with all that they hold, and no more than bytes.

    Raises:
        RemoteProtocolError: a value is cut off, of a kind that is not accepted, or a reference to nothing.
        LimitExceeded: past `MAX_DEPTH`, `MAX_VALUES`, `MAX_TEXT_BYTES` or `MAX_NAME_BYTES`.
    Source: AMF 3 §3
    """
    cursor = Cursor(data)
    reader = Amf3Reader(cursor)
    values: list[AmfValue] = []
    while not cursor.at_end:
        values.append(reader.value())
    return values


def serialize_amf3(*values: AmfValue) -> bytes:
    """Give `values` as AMF 3, without references, numbers always as doubles.

    The zone of a date is lost, and an `EcmaArray` without items comes back as a list.

    Raises:
        LocalProtocolError: nested deeper than `MAX_DEPTH`, an empty key, a string of 256 MiB, or not an AMF value at all.
    Source: AMF 3 §3
    """
    out: list[bytes] = []
    for value in values:
        _write(out, value, 0)
    return b"".join(out)


class Amf3Reader:
    """Read AMF 3 values from a cursor."""

    __slots__ = ("_complex", "_cursor", "_replaying", "_strings", "_traits")

    def __init__(self, cursor: Cursor) -> None:
        """Read from where `cursor` stands, with empty tables."""
        self._cursor = cursor
        self._strings: list[str] = []
        self._traits: list[_Traits] = []
        self._complex: list[tuple[int, int]] = []  # marker and place of each value that can be referred to
        self._replaying = False

    def value(self) -> AmfValue:
        """Read the next value."""
        cursor = self._cursor
        cursor.spend_value()
        return self._of(cursor.byte())

    def _of(self, marker: int) -> AmfValue:
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        reader = _READERS.get(marker)
        if reader is not None:
            return reader(self)
        by_marker = _REFERABLE.get(marker)
        if by_marker is None:
            raise RemoteProtocolError(f"AMF 3 marker {marker:#04x}", section="AMF 3 §3.1", at=self._cursor.at - 1)
        return self._referable(marker, by_marker)

    def integer(self) -> float:
        """Read an integer of 29 bits with sign (§3.6)."""
        number = self._u29()
        return float(number - (MAX_U29 + 1) if number > MAX_U29 >> 1 else number)

    def double(self) -> float:
        """Read a double (§3.7)."""
        number: float = _DOUBLE.unpack(self._cursor.take(8))[0]
        return number

    def string(self) -> str:
        """Read a string, or what a reference to one names (§3.8)."""
        return self._text(self._cursor.text)

    def xml(self, size: int) -> Xml:
        """Read an XML document of `size` bytes (§3.9, §3.13)."""
        return Xml(self._cursor.text(size))

    def date(self, _: int) -> AmfDate:
        """Read a date (§3.10)."""
        return AmfDate(self.double())

    def byte_array(self, size: int) -> bytes:
        """Read a byte array of `size` bytes (§3.14)."""
        self._cursor.spend_text(size)
        return self._cursor.take(size)

    def array(self, count: int) -> AmfValue:
        """Read an array with `count` items that have no names (§3.11)."""
        named = EcmaArray()
        self._dynamic_members(named)
        items = [self.value() for _ in range(count)]
        if not named:
            return items
        named.update((str(index), item) for index, item in enumerate(items))
        return named

    def object(self, flags: int) -> AmfValue:
        """Read an object; `flags` say where its traits are (§3.12)."""
        traits = self._traits_of(flags)
        members = {name: self.value() for name in traits.sealed}
        if traits.dynamic:
            self._dynamic_members(members)
        return TypedObject(traits.class_name, members) if traits.class_name else members

    def _referable(self, marker: int, read: Callable[[Amf3Reader, int], AmfValue]) -> AmfValue:
        start = self._cursor.at
        header = self._u29()
        if not header & _INLINE:
            return self._replay(marker, header >> 1)
        if not self._replaying:
            self._complex.append((marker, start))
        return self._held(lambda: read(self, header >> 1))

    def _replay(self, marker: int, index: int) -> AmfValue:
        """Read what a reference names again: a cycle then ends at `MAX_DEPTH`, a thicket at `MAX_VALUES`."""
        if index >= len(self._complex) or self._complex[index][0] != marker:
            raise RemoteProtocolError(f"AMF 3 reference {index} to nothing", section="AMF 3 §3.12", at=self._cursor.at)
        after, outer = self._cursor.at, self._replaying
        self._cursor.at, self._replaying = self._complex[index][1], True
        value = self._held(lambda: self._of(marker))
        self._cursor.at, self._replaying = after, outer
        return value

    def _held(self, read: Callable[[], _Held]) -> _Held:
        self._cursor.descend()
        held = read()
        self._cursor.ascend()
        return held

    def _traits_of(self, flags: int) -> _Traits:
        if not flags & 1:
            return _lookup(self._traits, flags >> 1, "traits", self._cursor.at)
        if flags & 2:
            raise RemoteProtocolError("AMF 3 object that writes itself", section="AMF 3 §3.12", at=self._cursor.at)
        count = flags >> 3
        if count > MAX_VALUES:
            raise LimitExceeded("AMF member count", count, MAX_VALUES, at=self._cursor.at)
        traits = _Traits(self._name(), tuple(self._name() for _ in range(count)), bool(flags & 4))
        if not self._replaying:
            self._traits.append(traits)
        return traits

    def _dynamic_members(self, into: dict[str, AmfValue]) -> None:
        while key := self._name():
            into[key] = self.value()

    def _name(self) -> str:
        name = self._text(self._cursor.name)
        if len(name) > MAX_NAME_BYTES:  # one that refers to a longer string
            raise LimitExceeded("AMF name size", len(name), MAX_NAME_BYTES, at=self._cursor.at)
        return name

    def _text(self, read: Callable[[int], str]) -> str:
        header = self._u29()
        if not header & _INLINE:
            text = _lookup(self._strings, header >> 1, "string", self._cursor.at)
            self._cursor.spend_text(len(text) * 4)
            return text
        text = read(header >> 1)
        if text and not self._replaying:  # the empty string is never sent by reference (§3.8)
            self._strings.append(text)
        return text

    def _u29(self) -> int:
        """Read a number of up to 29 bits in one to four bytes (§1.3.1)."""
        number = 0
        for _ in range(3):
            byte = self._cursor.byte()
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number
        return number << 8 | self._cursor.byte()


_Item = TypeVar("_Item")


def _lookup(table: list[_Item], index: int, what: str, at: int) -> _Item:
    if index >= len(table):
        raise RemoteProtocolError(f"AMF 3 {what} reference {index} of {len(table)}", section="AMF 3 §2.2", at=at)
    return table[index]


_CONSTANTS: dict[int, AmfValue] = {UNDEFINED_MARKER: UNDEFINED, NULL: None, FALSE: False, TRUE: True}
_READERS: dict[int, Callable[[Amf3Reader], AmfValue]] = {
    INTEGER: Amf3Reader.integer,
    DOUBLE: Amf3Reader.double,
    STRING: Amf3Reader.string,
}
_REFERABLE: dict[int, Callable[[Amf3Reader, int], AmfValue]] = {
    XML_DOCUMENT: Amf3Reader.xml,
    DATE: Amf3Reader.date,
    ARRAY: Amf3Reader.array,
    OBJECT: Amf3Reader.object,
    XML: Amf3Reader.xml,
    BYTE_ARRAY: Amf3Reader.byte_array,
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
            out.append(bytes((TRUE if value else FALSE,)))
        case float() | int():
            out += (bytes((DOUBLE,)), _DOUBLE.pack(value))
        case str():
            out += (bytes((STRING,)), _text_bytes(value))
        case AmfDate():
            out += (bytes((DATE, _INLINE)), _DOUBLE.pack(value.unix_ms))
        case Xml():
            out += (bytes((XML,)), _text_bytes(value.text))
        case bytes():
            out += (bytes((BYTE_ARRAY,)), _sized(value))
        case _:
            _write_held(out, value, depth + 1)


def _write_held(out: list[bytes], value: dict[str, AmfValue] | list[AmfValue] | TypedObject, depth: int) -> None:
    match value:
        case EcmaArray():
            out.append(bytes((ARRAY, _INLINE)))
            _write_members(out, value, depth)
        case dict():
            out.append(bytes((OBJECT, 0x0B)) + _text_bytes(""))  # inline, inline traits, dynamic, no sealed members
            _write_members(out, value, depth)
        case list():
            out += (bytes((ARRAY,)), _header(len(value)), _text_bytes(""))
            for item in value:
                _write(out, item, depth)
        case TypedObject():
            out.append(bytes((OBJECT, 0x0B)) + _text_bytes(value.class_name))
            _write_members(out, value.members, depth)
        case _:
            raise LocalProtocolError(f"{type(value).__name__} is no AMF value")


def _write_members(out: list[bytes], members: dict[str, AmfValue], depth: int) -> None:
    for key, value in members.items():
        if not key:
            raise LocalProtocolError("AMF 3 member without a name", section="AMF 3 §3.12")
        out.append(_text_bytes(key))
        _write(out, value, depth)
    out.append(_text_bytes(""))


def _text_bytes(text: str) -> bytes:
    return _sized(text.encode("utf-8", "replace"))


def _sized(data: bytes) -> bytes:
    return _header(len(data)) + data


def _header(count: int) -> bytes:
    """The header of something inline with `count` of whatever it has (§1.3.1)."""
    number = count << 1 | _INLINE
    if number > MAX_U29:
        raise LocalProtocolError(f"AMF 3 length {count} does not fit 28 bits", section="AMF 3 §1.3.1")
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number >> 7 | 0x80, number & 0x7F))
    if number < 0x20_0000:
        return bytes((number >> 14 | 0x80, number >> 7 & 0x7F | 0x80, number & 0x7F))
    return bytes((number >> 22 | 0x80, number >> 15 & 0x7F | 0x80, number >> 8 & 0x7F | 0x80, number & 0xFF))
