"""Addresses of clients, and networks of them. IPv4 is IPv4, also where it is written as IPv6 (RFC 4291 §2.5.5.2)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def parse_address(text: str) -> IpAddress | None:
    """The address, without its zone; None where it is none."""
    try:
        return unmapped(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def unmapped(address: IpAddress) -> IpAddress:
    """An IPv4 address that is written as one of IPv6 as what it is."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def parse_network(text: str, *, strict: bool = False) -> Network:
    """An address or a network in CIDR notation; bits beyond the prefix do not count, and are refused where that is `strict`.

    Raises:
        ValueError: it is neither.
    """
    if "%" in text:
        raise ValueError(f"{text!r} has a zone, which means nothing elsewhere")
    network = ipaddress.ip_network(text, strict=strict)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED.prefixlen and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - _MAPPED.prefixlen))
    return network


class Networks:
    """A few networks."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Take addresses and networks in CIDR form.

        Raises:
            ValueError: one is neither.
        """
        self._networks = tuple(map(parse_network, networks))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._networks)

    def __contains__(self, address: object) -> bool:
        """Whether `address`, a text, is in one of them; what is no address is in none."""
        found = parse_address(address) if isinstance(address, str) else None
        return found is not None and any(found.version == network.version and found in network for network in self._networks)
