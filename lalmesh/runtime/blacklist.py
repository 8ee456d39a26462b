"""Addresses that are let in nowhere: the blacklist of the cluster, as a node was told it last.

A node keeps it while the scheduler is away, and each entry ends by its own time. An address is looked up once for each length of
prefix that there is, so a lookup costs as little with ten thousand single addresses as with one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from lalmesh.runtime.networks import Network, parse_address, parse_network
from lalmesh.runtime.scheduling.control import BlacklistEntry

log = logging.getLogger(__name__)

Prefix = tuple[int, int, int]  #: version, length, and the bits before it


class AddressBlacklist:
    """The blacklist of one node."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        """An empty one; `wall_clock` gives Unix seconds."""
        self._wall_clock = wall_clock
        self._size = 0
        self._parsed: dict[str, Prefix] = {}  # a list differs little from the one before, and to parse ten thousand takes 0.1 s
        #: by version and length of prefix: by the bits before it, Unix seconds at which it ends, or infinity
        self._networks: dict[int, list[tuple[int, dict[int, float]]]] = {4: [], 6: []}

    def __len__(self) -> int:
        """Networks on it, those included whose time is over."""
        return self._size

    def replace(self, entries: Iterable[BlacklistEntry]) -> None:
        """These are on it from now on, and no others. An entry that is no network is left out: the others hold all the same."""
        found: dict[tuple[int, int], dict[int, float]] = {}
        parsed: dict[str, Prefix] = {}
        for entry in entries:
            try:
                prefix = self._parsed.get(entry.network) or _prefix(parse_network(entry.network))
            except ValueError as exc:
                log.error("blacklist: an entry is left out: %s", exc)
                continue
            parsed[entry.network] = prefix
            version, length, bits = prefix
            ends_at = entry.expires_us / 1_000_000 if entry.expires_us else float("inf")
            known = found.setdefault((version, length), {})
            known[bits] = max(ends_at, known.get(bits, 0.0))
        self._parsed = parsed
        self._size = sum(map(len, found.values()))
        for version, width in ((4, 32), (6, 128)):
            lengths = sorted((length for each, length in found if each == version), reverse=True)
            self._networks[version] = [(width - length, found[version, length]) for length in lengths]

    def blocks(self, address: str) -> bool:
        """Whether `address` is on it now. What is no address, such as the name of a socket, never is."""
        if not self._size:
            return False
        parsed = parse_address(address)
        if parsed is None:
            return False
        number = int(parsed)
        for shift, networks in self._networks[parsed.version]:
            ends_at = networks.get(number >> shift)
            if ends_at is not None and ends_at > self._wall_clock():
                return True
        return False


def _prefix(network: Network) -> Prefix:
    return network.version, network.prefixlen, int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
