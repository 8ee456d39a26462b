"""A description as it is kept: what was said, in its order, and what it means where anybody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from lalmesh.protocol.sdp._formats import VIDEO_CLOCK_RATE_HZ, MediaFormat, by_payload_type, parse_format, parse_payload_type

MAX_FORMATS: Final = 32  #: of one section that are looked at; cameras offer one, a browser a dozen


class Attribute(NamedTuple):
    """One ``a=`` line."""

    name: str  #: in lower case
    value: str = ""  #: what follows the colon; empty where there is none

    def __str__(self) -> str:
        """The line, without its end."""
        return f"a={self.name}:{self.value}" if self.value else f"a={self.name}"


@dataclass(slots=True, frozen=True, kw_only=True)
class MediaDescription:
    """One ``m=`` section (RFC 8866 §5.14)."""

    media: str  #: ``video``, ``audio``, ``application`` ..., in lower case
    port: int = 0  #: UDP port; 0 in RTSP, where SETUP says it
    protocol: str = "RTP/AVP"
    payload_types: tuple[str, ...] = ()  #: as said, the preferred one first; numbers where the protocol is RTP
    connection: str = ""  #: the ``c=`` line of the section
    bandwidth: tuple[str, ...] = ()  #: its ``b=`` lines, such as ``AS:4000``
    attributes: tuple[Attribute, ...] = ()  #: in order

    @property
    def control(self) -> str:
        """The control URL: absolute, relative or empty (RFC 2326 §C.1.1)."""
        return find(self.attributes, "control")

    @property
    def direction(self) -> str:
        """``sendrecv``, ``sendonly``, ``recvonly`` or ``inactive``; empty where it is not said (RFC 8866 §6.7)."""
        said = (attribute.name for attribute in self.attributes)
        return next((name for name in said if name in ("sendrecv", "sendonly", "recvonly", "inactive")), "")

    @property
    def formats(self) -> list[MediaFormat]:
        """What its first `MAX_FORMATS` payload types stand for, in order; those that nothing tells of are left out.

        Of a protocol that is not RTP, there are none.
        """
        return list(self._formats())

    @property
    def passed_on(self) -> MediaFormat | None:
        """What its packets are passed on as by who does not understand them: its first format.

        Where nothing tells of any, it is the first payload type, without an encoding name. None where there is none, or the
        protocol is not RTP.
        """
        if "RTP/" not in self.protocol.upper():
            return None
        numbers = (parse_payload_type(number) for number in self.payload_types)
        untold = (MediaFormat(number, "", VIDEO_CLOCK_RATE_HZ) for number in numbers if number is not None)
        return next(self._formats(), None) or next(untold, None)

    def with_control(self, control: str) -> MediaDescription:
        """The same under another control URL, without the addresses and ports of who wrote it: to be sent on."""
        kept = tuple(attribute for attribute in self.attributes if attribute.name not in ("control", "range"))
        return replace(self, port=0, connection="", attributes=(*kept, Attribute("control", control)))

    def serialize(self) -> bytes:
        """The section, each line with its CRLF."""
        lines = [f"m={self.media} {self.port} {self.protocol} {' '.join(self.payload_types)}".rstrip()]
        lines += [f"c={self.connection}"] if self.connection else []
        lines += [f"b={bandwidth}" for bandwidth in self.bandwidth]
        return join_lines((*lines, *map(str, self.attributes)))

    def _formats(self) -> Iterator[MediaFormat]:
        """Each line is looked at once, and no more formats than are asked for."""
        if "RTP/" not in self.protocol.upper():
            return
        maps, parameters = by_payload_type(self._values("rtpmap")), by_payload_type(self._values("fmtp"))
        for number in self.payload_types[:MAX_FORMATS]:
            media_format = parse_format(self.media, number, maps, parameters)
            if media_format is not None:
                yield media_format

    def _values(self, name: str) -> list[str]:
        return [attribute.value for attribute in self.attributes if attribute.name == name]


@dataclass(slots=True, frozen=True, kw_only=True)
class SessionDescription:
    """A whole description (RFC 8866 §5). What RTSP has no use for, such as ``k=`` or ``r=``, is not kept."""

    origin: str = "- 0 0 IN IP4 127.0.0.1"  #: the ``o=`` line
    name: str = "-"  #: the ``s=`` line
    connection: str = ""  #: the ``c=`` line
    attributes: tuple[Attribute, ...] = ()  #: of the session, in order
    media: tuple[MediaDescription, ...] = ()

    @property
    def control(self) -> str:
        """The control URL of the whole presentation: absolute, relative, ``*`` or empty (RFC 2326 §C.1.1)."""
        return find(self.attributes, "control")

    @property
    def range(self) -> str:
        """What can be played, such as ``npt=0-`` or ``clock=20240101T000000Z-``; empty: not said (RFC 2326 §C.1.5)."""
        return find(self.attributes, "range")

    def serialize(self) -> bytes:
        """The whole text, in the order of RFC 8866 §9."""
        lines = ["v=0", f"o={self.origin}", f"s={self.name}"]
        lines += [f"c={self.connection}"] if self.connection else []
        lines += ["t=0 0", *map(str, self.attributes)]
        return join_lines(lines) + b"".join(media.serialize() for media in self.media)


def find(attributes: Iterable[Attribute], name: str) -> str:
    """The value of the first attribute of that name; empty where there is none."""
    return next((attribute.value for attribute in attributes if attribute.name == name), "")


def join_lines(lines: Iterable[str]) -> bytes:
    """Lines as bytes, each with its CRLF."""
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")
