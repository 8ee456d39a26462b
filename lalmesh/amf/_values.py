"""The Python side of AMF, and the bounded cursor that both versions are read with.

| AMF | Python |
|---|---|
| number, integer | float |
| boolean, string, null | bool, str, None |
| undefined, unsupported | `UNDEFINED` |
| object without a class | dict |
| object of a class | `TypedObject` |
| ECMA array; AMF 3 array with names | `EcmaArray` |
| strict array; AMF 3 array without names | list |
| date, XML | `AmfDate`, `Xml` |
| AMF 3 byte array | bytes |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias, Union

from lalmesh.errors import LimitExceeded, RemoteProtocolError

MAX_DEPTH = 32  #: nesting of one message; what encoders send nests 4 deep, and recursion must stay far from Python's limit
MAX_VALUES = 65_536  #: values of one message: an index of 30,000 keyframes fits, and parsing it takes under 0.1 s
MAX_TEXT_BYTES = 1 << 20  #: bytes of all strings of one message, those that are referred to counted each time
MAX_NAME_BYTES = 16_383  #: of a key or class name: four times that, as UTF-8 may need, still fits 16 bits


class Undefined(Enum):
    """The type of `UNDEFINED`."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED  #: ActionScript's undefined, which is not null


class EcmaArray(dict[str, "AmfValue"]):
    """An array with names (AMF 0 §2.10). It equals the dict of the same items."""


@dataclass(slots=True, frozen=True)
class TypedObject:
    """An object of a named class (AMF 0 §2.18)."""

    class_name: str
    members: dict[str, AmfValue]


@dataclass(slots=True, frozen=True)
class AmfDate:
    """A moment (AMF 0 §2.13)."""

    unix_ms: float
    zone_minutes: int = 0  #: -32768..32767; reserved, written as 0 by all who keep to the standard; AMF 3 has none


@dataclass(slots=True, frozen=True)
class Xml:
    """An XML document, unparsed (AMF 0 §2.17)."""

    text: str


AmfValue: TypeAlias = Union[  # noqa: UP007  (the names in quotes are not defined yet)
    float,
    bool,
    str,
    Literal[Undefined.UNDEFINED],
    dict[str, "AmfValue"],
    list["AmfValue"],
    TypedObject,
    AmfDate,
    Xml,
    bytes,
    None,
]


class Cursor:
    """A position in bytes from outside, and what may still be taken from them."""

    __slots__ = ("_depth", "_max_values", "_text_left", "_values_left", "at", "data")

    def __init__(self, data: bytes, max_values: int = MAX_VALUES) -> None:
        """Start at the first byte of `data`, with nothing spent.

        At most `max_values` may be taken, and no more than there are bytes: a value has one at least, and what references repeat
        is to cost no more than what is sent.
        """
        self.data = data
        self.at = 0
        self._depth = 0
        self._max_values = self._values_left = min(max_values, len(data) + 1)  # one is begun where the bytes end too early
        self._text_left = MAX_TEXT_BYTES

    @property
    def at_end(self) -> bool:
        """Whether every byte has been read."""
        return self.at >= len(self.data)

    def take(self, count: int) -> bytes:
        """Read `count` bytes.

        Raises:
            RemoteProtocolError: there are fewer.
        """
        end = self.at + count
        if end > len(self.data):
            raise RemoteProtocolError(f"AMF value cut off: {count} bytes wanted, {len(self.data) - self.at} left", at=self.at)
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def unsigned(self, count: int) -> int:
        """Read an unsigned number of `count` bytes."""
        return int.from_bytes(self.take(count), "big")

    def byte(self) -> int:
        """Read one byte."""
        return self.take(1)[0]

    def text(self, count: int) -> str:
        """Read a string of `count` bytes; what is not UTF-8 becomes U+FFFD.

        Raises:
            LimitExceeded: the strings of this message pass `MAX_TEXT_BYTES` with this one.
        """
        self.spend_text(count)
        return self.take(count).decode("utf-8", "replace")

    def name(self, count: int) -> str:
        """Read a key or class name of `count` bytes.

        Raises:
            LimitExceeded: longer than `MAX_NAME_BYTES`, or as `text`.
        """
        if count > MAX_NAME_BYTES:
            raise LimitExceeded("AMF name size", count, MAX_NAME_BYTES, at=self.at)
        return self.text(count)

    def spend_text(self, count: int) -> None:
        """Note `count` bytes of text."""
        self._text_left -= count
        if self._text_left < 0:
            raise LimitExceeded("AMF text size", MAX_TEXT_BYTES - self._text_left, MAX_TEXT_BYTES, at=self.at)

    def spend_value(self) -> None:
        """Note one more value."""
        self._values_left -= 1
        if self._values_left < 0:
            raise LimitExceeded("AMF value count", self._max_values + 1, self._max_values, at=self.at)

    def descend(self) -> None:
        """Enter a value that holds others; `ascend` leaves it."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise LimitExceeded("AMF nesting depth", self._depth, MAX_DEPTH, at=self.at)

    def ascend(self) -> None:
        """Leave the value that `descend` entered."""
        self._depth -= 1
