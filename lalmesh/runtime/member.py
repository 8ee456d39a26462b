"""A node as a member of its cluster: what the nodes of all roles report alike, and what each of them is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import lalmesh
from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.load import ProcessLoad
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling import (
    Capacity,
    Drain,
    Endpoint,
    Evicted,
    HeldStream,
    HlsEndpoint,
    LiveSettings,
    Load,
    Membership,
    NodeCommand,
    NodeReport,
    Role,
    SchedulerClient,
)

LEAVE_DEADLINE_S = 2.0


@dataclass(slots=True, frozen=True, kw_only=True)
class MemberSettings:
    """How a node takes part in its cluster."""

    zone: str = ""
    machine: str = ""
    worker_of: str = ""  #: name of the node that this one is a worker of; empty: it is a whole one
    advertise_host: str = ""  #: what others reach it by; empty: the address of its machine
    capacity: Capacity = field(default_factory=Capacity)
    report_interval_s: float = 1.0
    silence_s: float = 2.0


class Member:
    """The membership of one node. `run` is a task of its app, `leave` ends it in order."""

    def __init__(
        self,
        node: NodeId,
        role: Role,
        settings: MemberSettings,
        scheduler: SchedulerClient,
        report: Callable[[], NodeReport],
        command: Callable[[NodeCommand], None],
        *,
        machine_address: Callable[[], str],
        evicted: Callable[[str], None],
    ) -> None:
        """Prepare.

        Args:
            node: who it is.
            role: what it does.
            settings: how it takes part.
            scheduler: whom it joins.
            report: says what there is now, by `report` of this member.
            command: hears what the scheduler has to say.
            machine_address: gives the host for others where none is set.
            evicted: hears that another start of this node has taken its place: this one has to end.
        """
        self.address = NodeAddress(node, "")  #: with the host and port of its gRPC listener, once it has one
        self.evicted = ""  #: why, once it was
        self.is_draining = False  #: as the next report says
        self.drain_asked: Callable[[Drain], None] = _nobody  #: hears that the scheduler has it drain
        self.settings_told: Callable[[LiveSettings], None] = _nothing  #: hears of the settings that were made over the API
        self._role = role
        self._settings = settings
        self._told = command
        self._machine_address = machine_address
        self._evicted = evicted
        self._process = ProcessLoad()
        self._membership = Membership(
            scheduler.join, report, self._command, interval_s=settings.report_interval_s, silence_s=settings.silence_s
        )

    def apply(self, settings: MemberSettings) -> None:
        """Report the capacity of `settings` from now on."""
        self._settings = replace(self._settings, capacity=settings.capacity)

    @property
    def host(self) -> str:
        """What others reach this node by."""
        return self._settings.advertise_host or self._machine_address()

    @property
    def joined(self) -> asyncio.Event:
        """Set while the scheduler answers."""
        return self._membership.joined

    @property
    def has_joined(self) -> bool:
        """Whether the scheduler has answered once: from then on this node works without it."""
        return self._membership.term > 0

    @property
    def lease(self) -> int:
        """What it lives under, as the scheduler said last; 0 before. Another one: it was taken for dead meanwhile."""
        return self._membership.lease

    @property
    def hls(self) -> tuple[HlsEndpoint, ...]:
        """The hls nodes that the scheduler named last."""
        return self._membership.hls

    @property
    def elsewhere(self) -> tuple[Endpoint, ...]:
        """Of an edge that drains: where other edges are, as the scheduler named them last."""
        return self._membership.elsewhere

    def listens_at(self, grpc_port: int) -> NodeAddress:
        """Other nodes reach this one at `grpc_port`; gives its address from now on."""
        self.address = self.address._replace(address=host_port(self.host, grpc_port))
        return self.address

    async def run(self) -> None:
        """Join, and join again whenever that ends."""
        await self._membership.run()

    def report_now(self) -> None:
        """Send the next report at once: something changed that others wait for."""
        self._membership.report_now()

    def begin_drain(self) -> None:
        """Say at once, and from now on, that this node gives away what it has: it is given nothing new."""
        self.is_draining = True
        self.report_now()

    async def leave(self) -> None:
        """Leave in order, or within `LEAVE_DEADLINE_S` without an answer."""
        await self._membership.leave(LEAVE_DEADLINE_S)

    def report(self, load: Load, streams: Sequence[HeldStream], endpoints: Sequence[Endpoint] = ()) -> NodeReport:
        """What to report now: `load`, to which what the process takes of the machine is added, and what the node has."""
        return NodeReport(
            node=self.address,
            role=self._role,
            zone=self._settings.zone,
            machine=self._settings.machine,
            endpoints=tuple(endpoints),
            capacity=self._settings.capacity,
            load=replace(load, cpu_fraction=self._process.cpu_fraction(), memory_bytes=self._process.memory_bytes()),
            draining=self.is_draining,
            streams=tuple(streams),
            version=lalmesh.__version__,
            worker_of=self._settings.worker_of,
        )

    def _command(self, command: NodeCommand) -> None:
        match command:
            case Evicted(reason):
                self.evicted = reason
                self._evicted(f"{self._role.value} node evicted from the cluster: {reason}")
            case Drain():
                self.drain_asked(command)
            case LiveSettings():
                self.settings_told(command)
            case _:
                self._told(command)


def _nothing(settings: LiveSettings) -> None:
    """Nobody hears of settings."""


def _nobody(drain: Drain) -> None:
    """Nobody hears of a drain that the scheduler asks for."""
