"""Where clients connect: addresses are looked up first, and those that they must not reach are left out.

So it holds for whatever a URL or a redirect names, a name that leads inside included.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Container, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from lalmesh.client._options import ClientOptions

LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}  #: by version

NAT64: Final = IPv6Network("64:ff9b::/96")  #: the prefix that all may use; one of an operator's own is in `relay.deny` if anywhere

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


class DeniedError(OSError):
    """An address is one that must not be reached."""

    def __init__(self, address: str) -> None:
        """Say which."""
        super().__init__(errno.EACCES, f"{address} is in a network that must not be reached")


async def open_socket(host: str, port: int, options: ClientOptions) -> socket.socket:
    """A socket that is connected to the first address of `host` that answers.

    Raises:
        OSError: none does; `DeniedError` where that is so because it must not.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await connect_first(host, found, options.denied)


async def connect_first(host: str, found: Iterable[AddressInfo], denied: Container[str]) -> socket.socket:
    """A socket that is connected to the first that answers of the addresses that were `found` for `host`.

    Raises:
        OSError: none does; `DeniedError` where that is so because it must not.
    """
    loop = asyncio.get_running_loop()
    failure: OSError = OSError(f"{host} has no address")
    for info in found:
        try:
            sock = make_socket(info, denied)
        except OSError as error:
            failure = error
            continue
        try:
            await loop.sock_connect(sock, info[4])
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def make_socket(info: AddressInfo, denied: Container[str]) -> socket.socket:
    """A socket for an address that was looked up.

    Raises:
        DeniedError: it is one of `denied`.
        OSError: there can be no socket for it.
    """
    family, kind, protocol, _, address = info
    if is_denied(address[0], denied):
        raise DeniedError(address[0])
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    return sock


def is_denied(address: str, denied: Container[str]) -> bool:
    """Whether nothing may be sent to `address`; systems take the unspecified one for their own machine's, so it is as that is.

    An address of IPv6 from which a router on the way makes one of IPv4 is denied with that.
    """
    try:
        found = ip_address(address)
    except ValueError:  # a name, which nothing is sent to
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if isinstance(found, IPv6Address) and (led_to := _led_to(found)) is not None and str(led_to) in denied:
        return True
    return address in denied or (found.is_unspecified and LOOPBACK[found.version] in denied)


def _led_to(address: IPv6Address) -> IPv4Address | None:
    """The address of IPv4 that what is sent to `address` reaches, by NAT64 (RFC 6052 §2.1) or 6to4 (RFC 3056 §2)."""
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else address.sixtofour


def socket_factory(options: ClientOptions) -> Callable[[AddressInfo], socket.socket]:
    """`make_socket` for a connector of aiohttp, which calls it for each address of each request, redirected ones too."""
    return lambda info: make_socket(info, options.denied)
