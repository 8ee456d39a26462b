"""How often an address may do something: a bucket for each, out of which every time takes one, and into which some flow back."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Final

MAX_ADDRESSES: Final = 10_000  #: that are remembered: 1 MB; the one that came the longest ago is forgotten
NETWORK_BITS: Final = 64  #: of IPv6: what one subscriber has


class RateLimit:
    """The buckets. An address that is not remembered has a full one."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float]) -> None:
        """Let `per_s` times a second pass, and up to `burst` at once; `per_s` 0: any number. `clock` gives seconds."""
        self._clock = clock
        self._taken: dict[str, tuple[float, float]] = {}  # how many are missing in a bucket, as of when; the latest last
        self.set(per_s, burst)

    def set(self, per_s: float, burst: float) -> None:
        """Let so many pass from now on."""
        self._per_s, self._burst = per_s, burst

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._taken)

    def is_spent(self, address: str) -> bool:
        """Whether nothing is left for `address` for now."""
        return bool(self._per_s) and self._missing(network_of(address)) > self._burst - 1  # less than one is left

    def take(self, address: str) -> bool:
        """Take one out. Gives whether there was one."""
        if not self._per_s:
            return True
        key = network_of(address)
        missing = self._missing(key)
        had_one = missing <= self._burst - 1
        self._taken.pop(key, None)
        self._taken[key] = (missing + had_one, self._clock())
        if len(self._taken) > MAX_ADDRESSES:
            del self._taken[next(iter(self._taken))]
        return had_one

    def _missing(self, key: str) -> float:
        count, at_s = self._taken.get(key, (0.0, 0.0))
        return max(0.0, count - (self._clock() - at_s) * self._per_s)


def network_of(address: str) -> str:
    """What has a bucket of its own: an address of IPv4, or a network of `NETWORK_BITS` of IPv6; what is neither stays as it is."""
    return _network_of_ipv6(address) if ":" in address else address


@lru_cache(MAX_ADDRESSES)  # who asks for routes does so thousands of times a second, and this takes 30 us
def _network_of_ipv6(address: str) -> str:
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(found.ipv4_mapped or ipaddress.IPv6Network((found, NETWORK_BITS), strict=False))
