"""Packets put back in the order of their sequence numbers, for a bounded time (RFC 3550 §A.1).

```
arrive   1 2 4 5 . . . . 6      3 is missing: 4 and 5 wait for it
give     1 2 . . . . . . |Lost(1) 4 5 6      reorder_ms after 4 arrived
```
No packet waits longer than `reorder_ms`, if the timer is handled when it is due, and none waits while nothing before it is missing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from lalmesh.protocol.rtp._packet import RtpPacket

DEFAULT_REORDER_MS: Final = 200  #: reordering on the way is below it; a player that is behind by it is not missed by eyes
MAX_HELD_PACKETS: Final = 512  #: 200 ms of 25 Mbit/s
MAX_DROPOUT: Final = 3000  #: a sequence number further ahead is that of a sender that began anew (§A.1)
MAX_MISORDER: Final = 512  #: as one further back; the 100 of §A.1 are 50 ms of 25 Mbit/s, and paths differ by more
MAX_REMEMBERED_GAPS: Final = 32  #: in which a packet that comes now is late, and not a second copy


@dataclass(slots=True, frozen=True)
class Lost:
    """Packets that are missing between the one given before and the next."""

    count: int  #: 0: the sender began anew with other sequence numbers, so nobody knows


Ordered: TypeAlias = RtpPacket | Lost  #: what the buffer gives


@dataclass(slots=True)
class ReorderCounters:
    """What happened to packets on their way."""

    lost: int = 0  #: given up
    late: int = 0  #: came after they had been given up; they count as lost, too
    duplicates: int = 0
    reordered: int = 0  #: came in time, behind one that was sent after them
    strays: int = 0  #: with a sequence number out of reach, which the next one did not follow
    restarts: int = 0  #: the sender began anew


class ReorderBuffer:
    """The packets of a source, in order. Times are µs of any clock that does not step."""

    def __init__(self, *, reorder_ms: int = DEFAULT_REORDER_MS, max_packets: int = MAX_HELD_PACKETS) -> None:
        """Let a packet wait for those before it for up to `reorder_ms` (0: not at all), `max_packets` at a time."""
        self._reorder_us = reorder_ms * 1000
        self._max_packets = max_packets
        self._next: int | None = None  # position of the next packet to give: its sequence number, unwrapped
        self._held: dict[int, tuple[int, RtpPacket]] = {}  # by position: when it came; in the order of coming
        self._gaps: deque[range] = deque(maxlen=MAX_REMEMBERED_GAPS)  # positions given up
        self._stray: RtpPacket | None = None
        self.counters = ReorderCounters()

    @property
    def next_timer(self) -> int | None:
        """When `handle_timer` is due, µs; None while nothing waits."""
        return next(iter(self._held.values()))[0] + self._reorder_us if self._held else None

    def push(self, packet: RtpPacket, now_us: int) -> list[Ordered]:
        """Take a packet that came at `now_us`; what can be given now.

        Nothing that may still come is given up here: a caller that was busy has more to hand in, and what is missing may be among
        it. `handle_timer` is for after that.
        """
        if self._next is None:
            self._next = packet.sequence_number
        ahead = (packet.sequence_number - self._next + 0x8000 & 0xFFFF) - 0x8000
        if ahead == 0 and not self._held:
            self._next += 1
            return [packet]
        if not -MAX_MISORDER <= ahead <= MAX_DROPOUT:
            return self._jumped(packet)
        if ahead < 0:
            self._count_old(self._next + ahead)
            return []
        return self._hold(self._next + ahead, packet, now_us)

    def handle_timer(self, now_us: int) -> list[Ordered]:
        """Give up what has been missing for too long at `now_us`."""
        given: list[Ordered] = []
        while self._held and (timer := self.next_timer) is not None and timer <= now_us:
            self._skip_gap(given)
        return given

    def flush(self) -> list[Ordered]:
        """Give all that waits: nothing more comes."""
        given: list[Ordered] = []
        while self._held:
            self._skip_gap(given)
        return given

    def restart(self) -> list[Ordered]:
        """Give all that waits: the packets of another source follow. The counters go on."""
        given = self.flush()
        self._next = self._stray = None
        self._gaps.clear()
        return given

    def _hold(self, position: int, packet: RtpPacket, now_us: int) -> list[Ordered]:
        if position in self._held:
            self.counters.duplicates += 1
            return []
        self._held[position] = now_us, packet
        given: list[Ordered] = []
        if position == self._next:
            self.counters.reordered += 1
            self._release(given)
        if len(self._held) > self._max_packets:
            self._skip_gap(given)
        return given if self._reorder_us else given + self.handle_timer(now_us)

    def _release(self, given: list[Ordered]) -> None:
        """Give what waits without anything missing before it."""
        assert self._next is not None
        while (entry := self._held.pop(self._next, None)) is not None:
            given.append(entry[1])
            self._next += 1

    def _skip_gap(self, given: list[Ordered]) -> None:
        """Give up what is missing before the first packet that waits."""
        assert self._next is not None
        first = min(self._held)
        if first > self._next:
            self._gaps.append(range(self._next, first))
            self.counters.lost += first - self._next
            given.append(Lost(first - self._next))
        self._next = first
        self._release(given)

    def _count_old(self, position: int) -> None:
        if any(position in gap for gap in self._gaps):
            self.counters.late += 1
        else:
            self.counters.duplicates += 1

    def _jumped(self, packet: RtpPacket) -> list[Ordered]:
        """A number out of reach: follow it once a second packet does (§A.1)."""
        before, self._stray = self._stray, packet
        if before is None or packet.sequence_number != before.sequence_number + 1 & 0xFFFF:
            self.counters.strays += 1
            return []
        self.counters.strays -= 1  # it was none
        self.counters.restarts += 1
        given = [*self.flush(), Lost(0), before, packet]
        self._stray = None
        self._gaps.clear()
        self._next = packet.sequence_number + 1
        return given
