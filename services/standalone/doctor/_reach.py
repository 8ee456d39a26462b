"""Whether a host and port can be reached, and if not, why: name, port, or certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from dataclasses import dataclass

from lalmesh.runtime.addresses import host_port
from services.standalone.doctor._threads import in_thread

_IP_MTU = 14  #: linux/in.h; Python does not name it
_IPV6_MTU = 24  #: linux/in6.h


@dataclass(slots=True, frozen=True)
class Reached:
    """A connection that was made, and closed again."""

    address: str  #: of the host
    took_ms: float
    mtu_bytes: int  #: of the way there, as far as the kernel knows it; 0: it does not say


@dataclass(slots=True, frozen=True)
class Unreached:
    """No connection, or no handshake."""

    reason: str
    remedy: str


async def resolve(host: str, port: int = 0) -> list[str]:
    """The addresses of a host.

    Raises:
        OSError: there are none, or nobody says.
    """
    found = await in_thread(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


async def reach(host: str, port: int, limit_s: float, tls: ssl.SSLContext | None = None, name: str = "") -> Reached | Unreached:
    """Connect, speak TLS where there is a context, and hang up; `name` is who the certificate has to be for, by default `host`."""
    try:
        async with asyncio.timeout(limit_s):
            try:
                addresses = await resolve(host, port)
            except OSError as error:
                return Unreached(f"no address for {host}: {error.strerror or error}", f"add {host} to DNS, or write an address")
            return await _connect(addresses[0], port, tls, name or host)
    except TimeoutError:
        return Unreached(
            f"no answer in {limit_s:g} s", "look for a firewall or network policy on the way, and whether the host is up"
        )


async def _connect(address: str, port: int, tls: ssl.SSLContext | None, name: str) -> Reached | Unreached:
    began = time.perf_counter()
    try:
        _, writer = await asyncio.open_connection(address, port, ssl=tls, server_hostname=name if tls else None)
    except ssl.SSLError as error:
        return Unreached(f"TLS fails: {tls_reason(error)}", "look at the certificate there, its authority, and the name it is for")
    except ConnectionRefusedError:
        return Unreached(f"nothing listens on {host_port(address, port)}", "start what is to listen there, or mend the port")
    except OSError as error:
        return Unreached(f"{error.strerror or error}", "look at the network between here and there")
    took_ms = (time.perf_counter() - began) * 1000
    try:
        return Reached(address, took_ms, mtu_of(writer.get_extra_info("socket")))
    finally:
        writer.transport.abort()


def tls_reason(error: ssl.SSLError) -> str:
    """What went wrong, in the words of OpenSSL without its numbers."""
    return getattr(error, "verify_message", "") or (error.reason or str(error)).lower().replace("_", " ")


def mtu_of(sock: socket.socket) -> int:
    """The largest packet that is known to fit the way of a connected socket; 0: not known."""
    level, option = (socket.IPPROTO_IPV6, _IPV6_MTU) if sock.family == socket.AF_INET6 else (socket.IPPROTO_IP, _IP_MTU)
    try:
        return sock.getsockopt(level, option)
    except OSError:
        return 0


def client_tls(ca_file: str, cert_file: str = "", key_file: str = "") -> ssl.SSLContext:
    """What a client of ours checks a server by.

    Raises:
        OSError: a file cannot be read, or holds nothing of the kind.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    if cert_file:
        context.load_cert_chain(cert_file, key_file)
    return context


def split(address: str, port: int = 0) -> tuple[str, int]:
    """Host and port of ``host:port`` or of a URL; `port` where it has none."""
    rest = address.partition("://")[2] or address
    rest = rest.partition("/")[0].rpartition("@")[2]
    host, colon, number = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        host, number = rest, str(port)
    return host.strip("[]"), int(number)
