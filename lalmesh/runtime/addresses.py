"""Writing hosts and ports down, and reading them again."""

from __future__ import annotations

import ipaddress


def host_port(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 address (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_of(peer: str) -> str:
    """The host of what `host_port` wrote, or of a host alone; an IPv4 address that is mapped to IPv6 as IPv4."""
    if peer.startswith("["):
        return plain(peer[1:].partition("]")[0])
    return peer.partition(":")[0] if peer.count(":") == 1 else plain(peer)


def plain(address: str) -> str:
    """An address in its normal form; one that is mapped to IPv6 as IPv4 (RFC 4291 §2.5.5.2). What is none stays as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
