"""How often an address may show wrong credentials."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

from lalmesh.runtime.authorisation._addresses import parse_address

MAX_ADDRESSES: Final = 10_000  #: that are remembered: 1 MB; the one that failed the longest ago is forgotten
NETWORK_BITS: Final = 64  #: of IPv6: what one subscriber has
MINUTE_S: Final = 60.0


class Failures:
    """A bucket for each address: every failure takes one out, and so many a minute come back in."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        """Allow `per_minute` failures of an address, also at once; 0: any number. `clock` gives seconds."""
        self.per_minute = per_minute
        self._clock = clock
        self._failed: dict[str, tuple[float, float]] = {}  # how many there are still to forget, as of when

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._failed)

    def is_over(self, address: str) -> bool:
        """Whether `address` has failed too often lately."""
        return bool(self.per_minute) and self._unforgotten(_network(address)) > self.per_minute - 1  # less than one is left

    def failed(self, address: str) -> None:
        """It has failed."""
        if not self.per_minute:
            return
        key = _network(address)
        count = self._unforgotten(key) + 1.0
        self._failed.pop(key, None)
        self._failed[key] = (count, self._clock())
        if len(self._failed) > MAX_ADDRESSES:
            del self._failed[next(iter(self._failed))]

    def _unforgotten(self, key: str) -> float:
        count, at_s = self._failed.get(key, (0.0, 0.0))
        return max(0.0, count - (self._clock() - at_s) * self.per_minute / MINUTE_S)


def _network(address: str) -> str:
    found = parse_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, NETWORK_BITS), strict=False))
    return str(found or address)
