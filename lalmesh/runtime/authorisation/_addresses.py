"""Networks, and whether an address is in one of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> IpAddress | None:
    """The address, an IPv4 one where IPv6 only carries it; None where it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class Networks:
    """A few networks."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Take addresses and networks in CIDR form.

        Raises:
            ValueError: one is neither.
        """
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in networks)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """Whether `address` is in one of them; what is no address is in none."""
        found = parse_address(address)
        return found is not None and any(found.version == network.version and found in network for network in self._networks)
