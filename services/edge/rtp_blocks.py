"""The newest packets of a stream as datagrams, for players that join by UDP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lalmesh.remux import RtpDatagrams


@dataclass(slots=True)
class Block:
    """What one unit becomes. Not frozen: built for every unit."""

    dts: int  #: of the unit, ticks
    opens: bool  #: a player may begin here
    groups: list[RtpDatagrams]  #: by track
    size_bytes: int


class RecentBlocks:
    """The blocks from the newest one on that a player may begin at, and further back while somebody is still on the way there.

    Positions count blocks since the beginning and never come again.
    """

    def __init__(self, max_bytes: int) -> None:
        """Keep `max_bytes` at most, 0: nothing; of more, the oldest go."""
        self.overflows = 0  #: times that a block was given up because of the bound
        self._max_bytes = max_bytes
        self._blocks: list[Block] = []
        self._start = 0
        self._size_bytes = 0
        self._join: int | None = None

    @property
    def start(self) -> int:
        """The position of the oldest block kept."""
        return self._start

    @property
    def end(self) -> int:
        """The position that the next block will have."""
        return self._start + len(self._blocks)

    @property
    def join_position(self) -> int | None:
        """Where a player begins; None where it has to wait."""
        return self._join

    def at(self, position: int) -> Block:
        """The block at a position from `start` up to `end`."""
        return self._blocks[position - self._start]

    def since(self, position: int) -> Iterator[Block]:
        """The blocks from a position on."""
        return iter(self._blocks[position - self._start :])

    def add(self, block: Block, needed: int | None) -> None:
        """Take the next block in; what is before `needed` is needed no more, None: nobody needs anything."""
        if not self._max_bytes:
            return
        if block.opens:
            self._join = self.end
        self._blocks.append(block)
        self._size_bytes += block.size_bytes
        kept = self._join if self._join is not None else self.end
        self._drop(min(kept, kept if needed is None else needed) - self._start)
        while self._size_bytes > self._max_bytes and self._blocks:
            self.overflows += 1
            self._drop(1)

    def _drop(self, count: int) -> None:
        """Give up the oldest `count` blocks, where that is more than none."""
        if count <= 0:
            return
        self._size_bytes -= sum(block.size_bytes for block in self._blocks[:count])
        del self._blocks[:count]
        self._start += count
        if self._join is not None and self._join < self._start:
            self._join = None

    def clear(self) -> None:
        """Give everything up."""
        self._drop(len(self._blocks))
