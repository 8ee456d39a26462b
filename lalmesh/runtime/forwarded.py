"""Whose request it is that a proxy hands on: what its header says, so far as those are trusted who wrote it.

Every proxy adds the address that it was asked by behind what it was sent, so the list is read from its end: as long as an address
is that of a trusted proxy, what that one wrote holds. What stands before is what the client sent, and nobody vouches for it.

Source: RFC 7239; X-Forwarded-For as nginx, HAProxy and Envoy write it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from lalmesh.errors import RemoteProtocolError
from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.networks import Networks, parse_address

MAX_HOPS: Final = 32  #: that are looked at; chains of proxies have three or four
SCHEMES: Final = ("http", "https")


class ForwardedHeader(Enum):
    """Which header the proxies write. Only one is read: a proxy hands the other on as the client sent it."""

    X_FORWARDED_FOR = "x-forwarded-for"  #: and X-Forwarded-Proto
    FORWARDED = "forwarded"  #: RFC 7239


class Headers(Protocol):
    """The headers of a request."""

    def getall(self, key: str, default: Sequence[str], /) -> Sequence[str]:
        """All that have the name `key`, in their order."""
        ...


@dataclass(slots=True, frozen=True)
class Remote:
    """Who is at the other end."""

    address: str
    peer: str  #: address:port for logs; the address alone where the port is not known
    scheme: str = ""  #: ``http``, ``https``: that the client asked by, where a proxy says; empty: as it came here
    is_handed_on: bool = False  #: its connection ends at a balancer, which hands on nothing but the bytes of it


NOBODY: Final = Remote("", "?")  #: as far as is known


class TrustedProxies:
    """Those whose word is taken for whom they speak for."""

    def __init__(self, networks: Iterable[str] = (), header: ForwardedHeader = ForwardedHeader.X_FORWARDED_FOR) -> None:
        """Trust what asks from `networks`, addresses or in CIDR form, and writes `header`.

        Raises:
            ValueError: one is no network.
        """
        self._networks = Networks(networks)
        self._header = header

    def __bool__(self) -> bool:
        """Whether anybody is trusted."""
        return bool(self._networks)

    def trusts(self, address: str) -> bool:
        """Whether `address` is that of a proxy."""
        return bool(self._networks) and address in self._networks

    def client_of(self, proxy: Remote, headers: Headers) -> Remote:
        """Whose request it is that a trusted `proxy` sent with `headers`; the proxy's own where those name nobody.

        Raises:
            RemoteProtocolError: a header that has to be read is broken: a client that sent that must not pass for the proxy.
        """
        return self._by_forwarded(proxy, headers) if self._header is ForwardedHeader.FORWARDED else self._by_list(proxy, headers)

    def _by_list(self, proxy: Remote, headers: Headers) -> Remote:
        client = proxy
        lines = headers.getall("X-Forwarded-For", ())
        texts = (text for line in reversed(lines) for text in reversed(line.split(",")))
        for text, _ in zip(texts, range(MAX_HOPS), strict=False):
            found = parse_node(text.strip())
            if found is None:
                break
            client = _remote(*found)
            if not self.trusts(client.address):
                break
        schemes = headers.getall("X-Forwarded-Proto", ())
        return Remote(client.address, client.peer, _scheme(schemes[-1].rpartition(",")[2] if schemes else ""))

    def _by_forwarded(self, proxy: Remote, headers: Headers) -> Remote:
        client = proxy
        for element, _ in zip(_from_the_end(headers.getall("Forwarded", ())), range(MAX_HOPS), strict=False):
            found = parse_node(element.get("for", ""))
            if found is None:
                break
            client = _remote(*found, _scheme(element.get("proto", "")))
            if not self.trusts(client.address):
                break
        return client


def _remote(address: str, port: int, scheme: str = "") -> Remote:
    return Remote(address, host_port(address, port) if port else address, scheme)


def _scheme(text: str) -> str:
    found = text.strip().lower()
    return found if found in SCHEMES else ""


def parse_node(text: str) -> tuple[str, int] | None:
    """Address and port of a node, 0 where it names none: ``192.0.2.7``, ``192.0.2.7:80``, ``2001:db8::7``, ``[2001:db8::7]:80``.

    None where it names no address: ``unknown``, ``_hidden`` and whatever else somebody writes (RFC 7239 §6).
    """
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":") if text.count(":") == 1 else (text, "", "")
    address = parse_address(host)
    if address is None:
        return None
    return str(address), int(port) if port.isascii() and port.isdigit() and len(port) <= len("65535") else 0


_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
#: one pair and what follows it (RFC 7239 §4). Interop: some leave out the quotes that colons and brackets need. What has matched is
#: not tried again with less of it: the blanks of a client's line could be shared out in as many ways as there are of them
_PAIR: Final = re.compile(rf'[ \t]*+(?:({_TOKEN})=("(?:[^"\\]|\\.)*+"|[^\s",;]*+))?+[ \t]*+([,;]|$)')


def parse_forwarded(line: str) -> list[dict[str, str]]:
    """The elements of one Forwarded header, in their order, each with its parameters by name in lower case.

    Raises:
        RemoteProtocolError: it is broken.
    Source: RFC 7239 §4
    """
    elements: list[dict[str, str]] = [{}]
    at = 0
    while True:
        found = _PAIR.match(line, at)
        if found is None:
            raise RemoteProtocolError("no list of pairs", section="RFC 7239 §4", at=at)
        name, value, separator = found.groups()
        if name is not None:
            elements[-1].setdefault(name.lower(), _unquoted(value))
        if not separator:
            return [element for element in elements if element]
        if separator == ",":
            elements.append({})
        at = found.end()


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _from_the_end(lines: Sequence[str]) -> Iterator[dict[str, str]]:
    """The elements of several headers, the last first; what is wrong with one that nobody gets to is not noticed."""
    for line in reversed(lines):
        yield from reversed(parse_forwarded(line))
