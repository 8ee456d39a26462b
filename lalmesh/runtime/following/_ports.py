"""The subscriptions of a reader: the one that it follows, and those that may take over."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from lalmesh.runtime.following._events import Command, Subscribe, Unsubscribe
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, Epoch, NodeAddress, NodeId, Place
from lalmesh.runtime.reader import Reader


@dataclass(slots=True)
class Port:
    """A subscription."""

    origin: NodeAddress
    epoch: Epoch = NO_EPOCH  #: of its group, once that is known
    place: Place = NO_PLACE


class Ports:
    """Those that there are, by number."""

    def __init__(self) -> None:
        """Begin with none."""
        self._ports: dict[int, Port] = {}
        self._next = 1

    def __iter__(self) -> Iterator[int]:
        """Their numbers."""
        return iter(self._ports)

    def __getitem__(self, number: int) -> Port:
        """One that is there."""
        return self._ports[number]

    def get(self, number: int) -> Port | None:
        """One that may have gone."""
        return self._ports.get(number)

    def pop(self, number: int) -> Port | None:
        """It has ended; None where it had already."""
        return self._ports.pop(number, None)

    def subscribe(self, origin: NodeAddress, place: Place) -> list[Command]:
        """Have one at an origin, which is asked for a place; nothing where there is one."""
        if any(port.origin.node == origin.node for port in self._ports.values()):
            return []
        number = self._next
        self._next += 1
        self._ports[number] = Port(origin)
        return [Subscribe(number, origin, place)]

    @property
    def waiting(self) -> list[int]:
        """Those whose group has no publication that the reader may follow, as far as it is known."""
        return [number for number, port in self._ports.items() if port.epoch == NO_EPOCH]

    def opened(self, epoch: Epoch) -> Iterator[Port]:
        """Those whose group has a publication, which is not below `epoch`."""
        return (port for port in self._ports.values() if port.epoch != NO_EPOCH and port.epoch >= epoch)

    def open_waiting_again(self, place: Place) -> list[Command]:
        """End those that wait, and have others in their place: as they open it is told what publication there is by now."""
        commands: list[Command] = []
        for number in self.waiting:
            commands.append(Unsubscribe(number))
            commands += self.subscribe(self._ports.pop(number).origin, place)
        return commands

    def leave_all_but(self, followed: int | None, wanted: Collection[NodeId]) -> list[Command]:
        """End those that are neither followed nor at a node that is wanted."""
        left = [number for number, port in self._ports.items() if number != followed and port.origin.node not in wanted]
        for number in left:
            del self._ports[number]
        return [Unsubscribe(number) for number in left]

    def highest_opened(self, reader: Reader) -> int | None:
        """Of those whose group is known and, to the reader, not outdated by now, the one to follow."""
        opened = {
            number: (port.epoch, port.place)
            for number, port in self._ports.items()
            if port.epoch != NO_EPOCH and reader.follows(port.epoch, port.place)
        }
        return max(opened, key=opened.__getitem__, default=None)
