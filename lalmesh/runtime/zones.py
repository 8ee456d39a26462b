"""In which zone a client is, by its address: the longest prefix that it is in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from lalmesh.runtime.networks import IpAddress, parse_address, parse_network, unmapped

MAX_NETWORKS = 100_000  #: of the table, some 10 MB

Address: TypeAlias = IpAddress

_Networks: TypeAlias = list[tuple[int, dict[int, str]]]  # how far to shift an address, and the zones by what is left of it


class Zones:
    """The table. What it costs to ask it is one look for each length of prefix that it has."""

    def __init__(self, networks: Mapping[str, Sequence[str]] | None = None) -> None:
        """Know the `networks` of each zone, such as ``10.1.0.0/16``.

        Raises:
            ValueError: one of them is no network, has bits below its prefix, or is in two zones.
        """
        found: dict[tuple[int, int], dict[int, str]] = {}
        for zone, texts in (networks or {}).items():
            for text in texts:
                network = parse_network(text, strict=True)
                shift = network.max_prefixlen - network.prefixlen
                known = found.setdefault((network.version, shift), {})
                if known.setdefault(int(network.network_address) >> shift, zone) != zone:
                    raise ValueError(f"{text} is in two zones")
        self._by_version: dict[int, _Networks] = {
            version: [(shift, zones) for (each, shift), zones in sorted(found.items()) if each == version] for version in (4, 6)
        }

    def of(self, address: str | Address) -> str:
        """The zone of `address`, empty where it is in none, or no address."""
        client = parse_address(address) if isinstance(address, str) else unmapped(address)
        if client is None:
            return ""
        number = int(client)
        for shift, zones in self._by_version[client.version]:
            if (zone := zones.get(number >> shift)) is not None:
                return zone
        return ""


def parse_zones(texts: Iterable[str]) -> Zones:
    """The table as the configuration has it: each text a zone and networks of it, ``west 10.1.0.0/16 2001:db8::/32``.

    Raises:
        ValueError: as `Zones`; or a text has no network, or they are over `MAX_NETWORKS`.
    """
    networks: dict[str, list[str]] = {}
    for text in texts:
        zone, *found = text.split()
        if not found:
            raise ValueError(f"{text!r} names no network")
        networks.setdefault(zone, []).extend(found)
    if (count := sum(map(len, networks.values()))) > MAX_NETWORKS:
        raise ValueError(f"{count} networks, limit {MAX_NETWORKS}")
    return Zones(networks)
