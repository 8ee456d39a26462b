"""The ``Transport`` header: what a client can do, in its order, and what a server chose (RFC 2326 §12.39)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.rtsp._messages import MAX_CHANNEL

MAX_TRANSPORTS: Final = 16  #: alternatives of one header that are looked at; clients send one to three

Pair: TypeAlias = tuple[int, int]  #: of RTP and of RTCP

_SECTION: Final = "RFC 2326 §12.39"
_MAX_PORT: Final = 65_535
_PARTS = re.compile(r'[^,"]*(?:"[^"]*"[^,"]*)*')  # what is between two commas that are not quoted
_RANGE = re.compile(r"([0-9]{1,5})\s*(?:-\s*([0-9]{1,5}))?")
_SSRC = re.compile(r"[0-9A-Fa-f]{1,8}")
_UDP: Final = frozenset(("RTP/AVP", "RTP/AVP/UDP"))
_TCP: Final = "RTP/AVP/TCP"


@dataclass(slots=True, frozen=True, kw_only=True)
class Transport:
    """One way for a track."""

    protocol: str = "RTP/AVP"  #: profile and lower transport, in upper case
    is_unicast: bool = True
    interleaved: Pair | None = None  #: channels of RTP and RTCP on the connection itself
    client_port: Pair | None = None
    server_port: Pair | None = None
    ssrc: int | None = None  #: of who sends, 32 bits
    mode: str = ""  #: ``play`` or ``record``; empty: play
    source: str = ""  #: address of who sends, where it is another than the server's
    destination: str = ""  #: address to send to, where it is another than the client's

    @property
    def is_tcp(self) -> bool:
        """Packets go among the messages. Interop: channels without ``TCP`` in the protocol mean the same."""
        return self.protocol == _TCP or (self.protocol in _UDP and self.interleaved is not None and self.client_port is None)

    @property
    def is_udp(self) -> bool:
        """Packets go as datagrams to one address."""
        return self.protocol in _UDP and self.is_unicast and not self.is_tcp

    @property
    def is_record(self) -> bool:
        """The client sends."""
        return self.mode == "record"

    def serialize(self) -> str:
        """One alternative, its parameters in the order in which RFC 2326 §12.39 has them."""
        parts = [self.protocol, "unicast" if self.is_unicast else "multicast"]
        parts += [f"destination={self.destination}"] if self.destination else []
        parts += [f"source={self.source}"] if self.source else []
        pairs = {"interleaved": self.interleaved, "client_port": self.client_port, "server_port": self.server_port}
        parts += [f"{name}={pair[0]}-{pair[1]}" for name, pair in pairs.items() if pair is not None]
        parts += [f"ssrc={self.ssrc:08X}"] if self.ssrc is not None else []
        parts += [f"mode={self.mode}"] if self.mode else []
        return ";".join(parts)


def serialize_transports(transports: Iterable[Transport]) -> str:
    """The header of several alternatives, the preferred one first."""
    return ",".join(transport.serialize() for transport in transports)


def parse_transports(header: str) -> list[Transport]:
    """The alternatives of a header, in order; such as are not known here are among them.

    Interop: one port or channel stands for itself and the next; a way that does not say whether it is unicast is, where it names
    ports or channels; an SSRC that is no hexadecimal number counts as not said.

    Raises:
        RemoteProtocolError: a port, a channel or a range that is none.
    """
    parts = [part.strip() for part in _PARTS.findall(header) if part.strip()]
    return [_parse_transport(part) for part in parts[:MAX_TRANSPORTS]]


def _parse_transport(text: str) -> Transport:
    protocol, *words = (word.strip() for word in text.split(";"))
    said: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        said.setdefault(name.strip().lower(), value.strip().strip('"'))
    interleaved = _parse_pair(said.get("interleaved"), MAX_CHANNEL)
    client_port = _parse_pair(said.get("client_port"), _MAX_PORT)
    is_unicast = "unicast" in said or ("multicast" not in said and (interleaved or client_port) is not None)
    return Transport(
        protocol=protocol.upper(),
        is_unicast=is_unicast,
        interleaved=interleaved,
        client_port=client_port,
        server_port=_parse_pair(said.get("server_port"), _MAX_PORT),
        ssrc=_parse_ssrc(said.get("ssrc", "")),
        mode=_parse_mode(said.get("mode", "")),
        source=said.get("source", ""),
        destination=said.get("destination", ""),
    )


def _parse_pair(text: str | None, limit: int) -> Pair | None:
    if text is None:
        return None
    found = _RANGE.fullmatch(text)
    first = int(found[1]) if found is not None else -1
    second = int(found[2]) if found is not None and found[2] else min(first + 1, limit)
    if not 0 <= first <= limit or not first <= second <= limit:
        raise RemoteProtocolError(f"range {text[:40]!r}, at most {limit}", section=_SECTION)
    return first, second


def _parse_ssrc(text: str) -> int | None:
    return int(text, 16) if _SSRC.fullmatch(text) else None


def _parse_mode(text: str) -> str:
    """Interop: QuickTime and old live555 say ``receive`` for ``record`` (a draft of RFC 2326 had it)."""
    mode = text.lower()
    return "record" if mode == "receive" else mode
