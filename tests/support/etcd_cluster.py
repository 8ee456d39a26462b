"""A real etcd of three members, children on loopback ports: its leader moved, its members killed, its data lost or restored.

The methods block, as those of `support.etcd`. Elections take as long as with etcd's defaults (1 s).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from support.etcd import EtcdServer, Seat
from support.ports import free_ports

MEMBERS = 3


class EtcdCluster:
    """`MEMBERS` servers that are one registry. A context manager."""

    def __init__(self, folder: Path) -> None:
        """Not started yet; the logs go below `folder`."""
        ports = free_ports(2 * MEMBERS)
        names = [f"etcd-{number + 1}" for number in range(MEMBERS)]
        pairs = list(zip(names, ports[::2], ports[1::2], strict=True))
        cluster = ",".join(f"{name}=http://127.0.0.1:{peer}" for name, _, peer in pairs)
        self.members = [EtcdServer(folder / name, seat=Seat(name, client, peer, cluster)) for name, client, peer in pairs]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()  # in order each would wait for the others, 7 s together

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The URLs for clients."""
        return tuple(member.endpoint for member in self.members)

    def start(self) -> None:
        """Start all members on the data there is, and wait until each serves."""
        self._each(EtcdServer.start)

    def kill(self) -> None:
        """End all members without a chance to say goodbye."""
        self._each(EtcdServer.kill)

    def wipe(self) -> None:
        """Remove the data of members that do not run."""
        self._each(EtcdServer.wipe)

    def save(self, file: Path) -> None:
        """Write a snapshot of all that the registry holds to a file that is not there yet."""
        self.members[0].save(file)

    def restore(self, file: Path) -> None:
        """Have members that do not run begin with what was saved, whatever they had."""
        self.wipe()
        self._each(lambda member: member.restore(file))

    def control(self, *words: str) -> str:
        """What ``etcdctl`` answers to `words` at the first member."""
        return self.members[0].control(*words)

    def leader(self) -> EtcdServer:
        """The member that leads; all have to run."""
        numbers = self._numbers()
        (status,) = json.loads(self.control("endpoint", "status", "--write-out=json"))
        return next(member for member in self.members if numbers[member.endpoint] == status["Status"]["leader"])

    def move_leader(self) -> EtcdServer:
        """Have another member lead, which is returned."""
        before = self.leader()
        other = next(member for member in self.members if member is not before)
        before.control("move-leader", f"{self._numbers()[other.endpoint]:x}")
        return other

    def _numbers(self) -> dict[str, int]:
        """Member by member what etcd calls it by, under its URL for clients."""
        members = json.loads(self.control("member", "list", "--write-out=json"))["members"]
        return {member["clientURLs"][0]: int(member["ID"]) for member in members}

    def _each(self, work: Callable[[EtcdServer], None]) -> None:
        """Do it to all members at once: none serves before most do."""
        with ThreadPoolExecutor(MEMBERS) as threads:
            list(threads.map(work, self.members))
