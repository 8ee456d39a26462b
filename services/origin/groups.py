"""The groups of one origin, and their shell: ports, timers, the registry's answers (docs/design.md §4)."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import assert_never

from lalmesh.errors import NotAuthorized
from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.fences import Fences
from lalmesh.runtime.link import (
    CloseReason,
    IncomingPublication,
    IncomingSubscription,
    PublicationPort,
    PublicationRequest,
    SubscriptionPort,
    SubscriptionRequest,
)
from lalmesh.runtime.ownership import Epoch, Grant, Location, NodeId, Place
from lalmesh.runtime.ring import Run
from lalmesh.runtime.tally import add_counters
from lalmesh.runtime.telemetry import Attribute, SpanName
from services.origin import events
from services.origin.group import Group, GroupCounters, GroupSettings

log = logging.getLogger(__name__)

MAX_GROUPS = 50_000  #: streams of one origin

#: Ask the registry to delete a group that has no claim: True done, False somebody claims it, None no answer.
ReleaseGroup = Callable[[StreamKey, Epoch, Place], Awaitable[bool | None]]


@dataclass(slots=True)
class GroupEntry:
    """A group with the ports of those who write and read it."""

    core: Group
    publications: dict[int, PublicationPort] = field(default_factory=dict)
    subscriptions: dict[int, SubscriptionPort] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None
    timer_at: float | None = None


class _Incoming:
    """One port of a group, as its link sees it."""

    __slots__ = ("_entry", "_groups", "_port")

    def __init__(self, groups: Groups, entry: GroupEntry, port: int) -> None:
        self._groups = groups
        self._entry = entry
        self._port = port


class _IncomingPublication(_Incoming):
    __slots__ = ("_opened_us", "_trace")

    def __init__(self, groups: Groups, entry: GroupEntry, port: int, trace: telemetry.TraceContext | None) -> None:
        super().__init__(groups, entry, port)
        self._trace = trace
        self._opened_us = time.time_ns() // 1000  # until the first units have come

    def receive(self, run: Run) -> None:
        """The next units."""
        if self._opened_us:
            facts = _attributes(self._entry.core.stream, run.publication)
            telemetry.record(SpanName.ORIGIN_FIRST_UNIT, self._trace, self._opened_us, facts)
            self._opened_us = 0
        if run.units:
            self._entry.core.delay_us = time.time_ns() // 1000 - run.units[0].wall_us
            self._groups.receive(self._entry, self._port, run)

    def closed(self, reason: CloseReason) -> None:
        """The publishing edge ended it, or the link broke."""
        if self._entry.publications.pop(self._port, None) is not None:
            with telemetry.within(self._trace):
                log.info("publication ended", extra={"stream_key": str(self._entry.core.stream), "reason": reason.name})
            self._groups.handle(self._entry, events.PublicationLost(self._port, reason is CloseReason.LINK_LOST))


class _IncomingSubscription(_Incoming):
    __slots__ = ()

    def closed(self, reason: CloseReason) -> None:
        """The reader left, or the link broke."""
        if self._entry.subscriptions.pop(self._port, None) is not None:
            self._groups.handle(self._entry, events.SubscriberLeft(self._port))


def _attributes(stream: StreamKey, publication: bytes) -> dict[Attribute, str]:
    return {Attribute.STREAM: str(stream), Attribute.PUBLICATION: publication.hex()}


class _Refused:
    """What a refused publication gives its link."""

    def receive(self, run: Run) -> None:
        """Nothing is taken."""

    def closed(self, reason: CloseReason) -> None:
        """Nothing is open."""


class Groups:
    """The `OriginEndpoint` of an origin."""

    def __init__(
        self,
        node: NodeId,
        cluster_keys: tuple[bytes, ...],
        settings: GroupSettings,
        release: ReleaseGroup,
        rng: random.Random | None = None,
    ) -> None:
        """Own the groups that grants signed with one of `cluster_keys` bring to `node`.

        `rng` spreads the pauses of groups; by default one of this start of the node.
        """
        self._node = node
        self._keys = cluster_keys
        self.settings = settings
        self._release = release
        self._rng = rng or random.Random(node.incarnation)
        self._groups: dict[StreamKey, GroupEntry] = {}
        self._fences = Fences(settings.remembered_num)
        self._past = GroupCounters()  # of the groups that are gone
        self._next_port = 1
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def __iter__(self) -> Iterator[Group]:
        """Every group."""
        return iter([entry.core for entry in self._groups.values()])

    def __len__(self) -> int:
        """How many groups there are."""
        return len(self._groups)

    @property
    def totals(self) -> GroupCounters:
        """The counters of all groups that are and were."""
        totals = replace(self._past)
        for group in self:
            add_counters(totals, group.counters)
        return totals

    def apply(self, settings: GroupSettings) -> None:
        """Go by these from now on; groups that are there keep the rings that they have."""
        self.settings = settings
        for group in self:
            group.settings = settings

    # what links call

    def open_publication(self, peer: NodeId, request: PublicationRequest, port: PublicationPort) -> IncomingPublication:
        """A node wants to publish."""
        grant, asked = request.grant, telemetry.from_node(request.trace_context)
        if asked is None:
            return self._open_publication(peer, request, port)
        facts = _attributes(grant.stream, grant.publication)
        with telemetry.span(SpanName.ORIGIN_PUBLISH, asked, facts) as span:
            incoming = self._open_publication(peer, request, port)
            span.set({Attribute.RESULT: "refused" if isinstance(incoming, _Refused) else "taken"})
        return incoming

    def _open_publication(self, peer: NodeId, request: PublicationRequest, port: PublicationPort) -> IncomingPublication:
        grant = request.grant
        try:
            self._check(grant, peer, as_heir=request.take_over_as_heir)
        except NotAuthorized as error:
            log.warning("grant refused: %s", error, extra={"stream_key": str(grant.stream), "peer": peer.name})
            port.close(CloseReason.BAD_GRANT, str(error))
            return _Refused()
        if self._fences.refuses(grant.stream, grant.epoch, grant.publication):
            port.close(CloseReason.FENCED, "a newer publication has been here")
            return _Refused()
        entry = self._entry(grant.stream)
        if entry is None:
            port.close(CloseReason.LIMIT, f"{MAX_GROUPS} streams")
            return _Refused()
        number = self._new_port()
        entry.publications[number] = port
        place, heir = grant.place, grant.heir
        if request.take_over_as_heir:
            place, heir = place._replace(heir=True), None
        log.info("publication of epoch %d.%d", *grant.epoch, extra={"stream_key": str(grant.stream), "peer": peer.name})
        replay_us = int(request.replay_s * 1e6)
        self.handle(entry, events.PublicationOpened(number, grant.epoch, grant.publication, place, heir, replay_us))
        self._fences.see(grant.stream, entry.core.epoch, entry.core.publication)
        return _IncomingPublication(self, entry, number, telemetry.from_node(request.trace_context))

    def open_subscription(self, peer: NodeId, request: SubscriptionRequest, port: SubscriptionPort) -> IncomingSubscription:
        """A node wants to read."""
        entry = self._entry(request.stream)
        if entry is None:
            port.close(CloseReason.LIMIT, f"{MAX_GROUPS} streams")
            return _Refused()
        number = self._new_port()
        entry.subscriptions[number] = port
        self.handle(entry, events.SubscriberJoined(number, request.after, round(request.keep_s * 1e6)))
        return _IncomingSubscription(self, entry, number)

    # what the scheduler says

    def moved(self, location: Location) -> None:
        """Where a stream is read and written now."""
        entry = self._groups.get(location.stream)
        if entry is not None:
            self.handle(entry, events.Moved(location, here=location.origin.node == self._node))

    # the parts of the calls above

    def _check(self, grant: Grant, peer: NodeId, *, as_heir: bool) -> None:
        grant.verify(self._keys)
        target = grant.heir if as_heir else grant.origin
        if target is None or target.node != self._node:
            raise NotAuthorized("the grant is for another origin or another start of this one")
        if grant.edge.node != peer:
            raise NotAuthorized(f"the grant is for edge {grant.edge.node.name}, not {peer.name}")

    def _entry(self, stream: StreamKey) -> GroupEntry | None:
        entry = self._groups.get(stream)
        if entry is None and len(self._groups) < MAX_GROUPS:
            entry = self._groups[stream] = GroupEntry(Group(stream, self.settings, self._rng))
        return entry

    def _new_port(self) -> int:
        self._next_port += 1
        return self._next_port

    # the shell of one group

    def receive(self, entry: GroupEntry, port: int, run: Run) -> None:
        """Give the units of a publication to its group, and wake those who read it: the hot path, without event and commands."""
        if entry.core.receive(port, run, self._loop.time()) and entry.subscriptions:
            for subscription in list(entry.subscriptions.values()):
                subscription.wake()

    def handle(self, entry: GroupEntry, event: events.Event) -> None:
        """Give one event to a group and carry out what it says."""
        for command in entry.core.handle(event, self._loop.time()):
            self._carry_out(entry, command)
        if entry.core.next_timer != entry.timer_at:
            self._set_timer(entry)

    def _carry_out(self, entry: GroupEntry, command: events.Command) -> None:
        match command:
            case events.AcceptPublication(port, held, place):
                entry.publications[port].opened(held, place)
            case events.TellPublication(port, location):
                entry.publications[port].source_lost(location)
            case events.ClosePublication(port, reason, detail):
                if (publication := entry.publications.pop(port, None)) is not None:
                    publication.close(reason, detail)
            case events.AcceptSubscriber(port, epoch, place, cursor):
                entry.subscriptions[port].opened(epoch, place)
                entry.subscriptions[port].send_from(cursor)
            case events.TellSubscriber(port, location):
                entry.subscriptions[port].source_lost(location)
            case events.CloseSubscriber(port, reason, detail):
                if (subscription := entry.subscriptions.pop(port, None)) is not None:
                    subscription.close(reason, detail)
            case events.Release(epoch, place):
                self._start(self._ask_release(entry, epoch, place))
            case events.Forget():
                self._forget(entry)
            case _:
                assert_never(command)

    def _set_timer(self, entry: GroupEntry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        entry.timer_at = entry.core.next_timer
        entry.timer = None if entry.timer_at is None else self._loop.call_at(entry.timer_at, self._timer_fired, entry)

    def _timer_fired(self, entry: GroupEntry) -> None:
        entry.timer = entry.timer_at = None  # a loop of coarse clock may call a moment early: then it is set again
        self.handle(entry, events.TimerFired())

    async def _ask_release(self, entry: GroupEntry, epoch: Epoch, place: Place) -> None:
        try:
            released = await self._release(entry.core.stream, epoch, place)
        except Exception:  # a bug there must not leave the group waiting for its answer for ever
            log.exception("release failed", extra={"stream_key": str(entry.core.stream)})
            released = None
        self.handle(entry, events.ReleaseAnswered(released, place))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget(self, entry: GroupEntry) -> None:
        log.info("group closed", extra={"stream_key": str(entry.core.stream)})
        if self._groups.get(entry.core.stream) is entry:
            add_counters(self._past, entry.core.counters)
            del self._groups[entry.core.stream]

    async def close(self) -> None:
        """End every group: publications and readers are told that this origin is going."""
        for task in list(self._tasks):
            task.cancel()
        for entry in list(self._groups.values()):
            if entry.timer is not None:
                entry.timer.cancel()
            for publication in entry.publications.values():
                publication.close(CloseReason.DRAINING, "the origin stops")
            for subscription in entry.subscriptions.values():
                subscription.close(CloseReason.DRAINING, "the origin stops")
            entry.publications.clear()  # what their links say from now on is of no interest
            entry.subscriptions.clear()
        self._groups.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)
