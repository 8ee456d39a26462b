"""What keeps the blacklist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lalmesh.runtime.scheduling.control import MAX_BLACKLIST, BlacklistEntry


class BlacklistFullError(Exception):
    """There are `MAX_BLACKLIST` networks on it already."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__(f"{MAX_BLACKLIST} networks are on the blacklist already")


@dataclass(slots=True, frozen=True, kw_only=True)
class Listed:
    """A network on the blacklist."""

    network: str  #: CIDR, normal form
    expires_us: int = 0  #: Unix microseconds; 0: never
    created_us: int = 0
    reason: str = ""  #: for the operator's eyes

    @property
    def entry(self) -> BlacklistEntry:
        """What nodes are told of it."""
        return BlacklistEntry(self.network, self.expires_us)

    def is_over(self, now_us: int) -> bool:
        """Whether its time has passed."""
        return 0 < self.expires_us <= now_us


class BlacklistStore(Protocol):
    """Shared by all replicas, or in memory where one is all there is.

    Raises (every method but `close`):
        SessionsUnavailable: no answer in time, or the server cannot be reached.
    """

    async def load(self) -> Mapping[str, Listed] | None:
        """What is on it by network, where that is another list than this store gave last; None where it is the same."""
        ...

    async def put(self, listed: Sequence[Listed]) -> None:
        """Add networks, in place of what was said of them before.

        Raises:
            BlacklistFullError: there is no room for them all; none was added.
        """
        ...

    async def remove(self, network: str) -> bool:
        """Take a network off; False where it is not on it."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...
