"""The origin node: its groups, the links that reach them, its membership."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.channels import STOP_GRACE_S, Channels
from lalmesh.runtime.durations import Durations, link_delay_metric
from lalmesh.runtime.gathering import Gatherer
from lalmesh.runtime.link import LinkCounters, LinkLimits, LinkServicer
from lalmesh.runtime.link_metrics import link_metrics
from lalmesh.runtime.load import ByteRate, ByteRates
from lalmesh.runtime.member import Member, MemberSettings
from lalmesh.runtime.node_events import NodeEvents
from lalmesh.runtime.node_tasks import end_with_any
from lalmesh.runtime.ownership import Epoch, Location, NodeId, Place
from lalmesh.runtime.scheduling import (
    GroupMoved,
    HeldStream,
    Load,
    NodeCommand,
    NodeReport,
    Released,
    Role,
    SchedulerClient,
    StreamState,
    Wanted,
)
from lalmesh.runtime.stream_series import StreamSeries
from services.origin.events import GroupState
from services.origin.group import Group, GroupSettings
from services.origin.groups import Groups

log = logging.getLogger(__name__)

RELEASE_DEADLINE_S = 5.0
#: releases are gathered for so long: with a lost edge, and while schedulers are away, many come together. Nobody waits for them
GATHERED_S = 0.1
LOOK_S = 0.1  #: between two looks whether anybody reads or writes
LOCATE_DEADLINE_S = 1.0  #: where a group may have gone that could not be released

_STATES = {
    GroupState.WAITING: StreamState.WAITING,
    GroupState.LIVE: StreamState.LIVE,
    GroupState.GRACE: StreamState.GRACE,
    GroupState.RELEASING: StreamState.GRACE,
    GroupState.MOVED: StreamState.CLOSED,
    GroupState.CLOSED: StreamState.CLOSED,
}


@dataclass(slots=True, frozen=True, kw_only=True)
class OriginSettings:
    """What an origin is to be."""

    member: MemberSettings = field(default_factory=MemberSettings)
    grpc_host: str = "127.0.0.1"
    grpc_port: int = 0
    groups: GroupSettings = field(default_factory=GroupSettings)
    link: LinkLimits = field(default_factory=LinkLimits)
    stream_series: int = 0  #: streams that metrics have series of; 0: none


class OriginApp:
    """One origin. With `channels` it listens for links; without it is reached by direct calls to `groups`."""

    def __init__(
        self,
        node: NodeId,
        cluster_keys: tuple[bytes, ...],
        settings: OriginSettings,
        scheduler: SchedulerClient,
        registry: CollectorRegistry,
        channels: Channels | None,
        machine_address: Callable[[], str],
        failed: Callable[[str], None],
    ) -> None:
        """Build it; `start` runs it.

        Args:
            node: this origin.
            cluster_keys: that grants may be signed with.
            settings: what it is to be.
            scheduler: whom it asks.
            registry: for its metrics.
            channels: makes the gRPC listener; None: it is called directly.
            machine_address: gives the host for others where none is set.
            failed: hears why this node has to end: another start of it has taken its place, or a part of it has failed.
        """
        self._settings = settings
        self._scheduler = scheduler
        self._channels = channels
        self.groups = Groups(node, cluster_keys, settings.groups, self._release)
        self._releases: Gatherer[Released, bool] = Gatherer(self._ask_release, window_s=GATHERED_S)
        self._is_answered = True  # the last release
        self.grpc_port = 0
        self._links: LinkServicer | None = None
        self._server = channels.server() if channels is not None else None
        self.member = Member(
            node,
            Role.ORIGIN,
            settings.member,
            scheduler,
            self._report,
            self._command,
            machine_address=machine_address,
            evicted=failed,
        )
        self.events = NodeEvents(scheduler, self.member)
        self._tasks: list[asyncio.Task[None]] = []
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._ingress = ByteRates(self._loop.time)
        self._egress = ByteRate(self._loop.time)
        self.link_delays = Durations()
        self._looked_at: dict[StreamKey, int] = {}  # units of each group, when the delay of its newest was looked at last
        self.series = StreamSeries("origin", settings.stream_series)
        registry.register(_OriginCollector(self))

    @property
    def links(self) -> int:
        """How many links stand."""
        return len(self._links.sessions) if self._links is not None else 0

    @property
    def link_totals(self) -> LinkCounters:
        """The counters of all links that are and were."""
        return self._links.totals if self._links is not None else LinkCounters()

    async def start(self) -> None:
        """Listen, and join the cluster.

        Raises:
            OSError: the gRPC port cannot be bound.
        """
        settings = self._settings
        if self._server is not None and self._channels is not None:
            self._links = LinkServicer(self.groups, settings.link)
            self._server.add_generic_rpc_handlers((self._links.handlers(),))
            self.grpc_port = self._channels.listen(self._server, settings.grpc_host, settings.grpc_port)
            await self._server.start()
            self.member.listens_at(self.grpc_port)
        self._tasks = [
            self._loop.create_task(self.member.run(), name="origin-membership"),
            self._loop.create_task(self.events.run(), name="origin-events"),
        ]
        end_with_any(self._tasks, self._failed)

    async def drain(self, limit_s: float) -> None:
        """Have the scheduler move every group, and serve on until nobody reads or writes any, or for `limit_s`."""
        self.member.begin_drain()
        log.info("draining: %d groups", len(self.groups))
        try:
            async with asyncio.timeout(limit_s):
                await self._none_left()
        except TimeoutError:
            log.warning("drained for %g s: %d groups are still here", limit_s, len(self.groups))
        else:
            log.info("drained: nobody reads or writes here")

    async def _none_left(self) -> None:
        while True:
            if not any(group.subscribers or group.state is GroupState.LIVE for group in self.groups):
                return
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        """Leave the cluster, end every group, stop listening."""
        await self.events.leave()
        await self.member.leave()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.groups.close()
        if self._server is not None:
            await self._server.stop(STOP_GRACE_S)

    async def _release(self, stream: StreamKey, epoch: Epoch, place: Place) -> bool | None:
        try:
            done = await self._releases.ask(Released(stream=stream, epoch=epoch, place=place), RELEASE_DEADLINE_S)
        except Unavailable:
            return None
        if not done:  # claimed; or it is at another origin, and the notice of that was lost
            answer = (await self._scheduler.locate([Wanted(stream, place)], LOCATE_DEADLINE_S))[0]
            if isinstance(answer, Location):
                self.groups.moved(answer)
        return done

    async def _ask_release(self, released: Sequence[Released], deadline_s: float) -> list[bool]:
        """Release groups; the log has a line when that is not answered, and one when it is again."""
        try:
            done = await self._scheduler.release(self.member.address, groups=released, deadline_s=deadline_s)
        except Unavailable as error:
            if self._is_answered:
                log.warning("groups are not released, and kept until they are: %s", error)
            self._is_answered = False
            raise
        if not self._is_answered:
            log.info("groups are released again")
        self._is_answered = True
        return done

    def _command(self, command: NodeCommand) -> None:
        match command:
            case GroupMoved(location, _):
                self.groups.moved(location)
            case _:
                log.info("scheduler says %s", command)

    def apply(self, settings: OriginSettings) -> None:
        """Go by what can change while it runs; groups that are there keep the rings that they have."""
        self.member.apply(settings.member)
        self.groups.apply(settings.groups)

    def _report(self) -> NodeReport:
        held = tuple(self._held(group) for group in self.groups)
        self._look_at_delays()
        load = Load(
            ingress_bps=sum(stream.bitrate_bps for stream in held),
            egress_bps=self._egress.bps(self.link_totals.payload_bytes_sent),
            sessions=sum(stream.players for stream in held),
            streams=len(held),
        )
        return self.member.report(load, held)

    def _look_at_delays(self) -> None:
        """With each report: how late the newest units have come, of those groups that got some since."""
        before, self._looked_at = self._looked_at, {}
        for group in self.groups:
            units = self._looked_at[group.stream] = group.counters.units
            if group.delay_us is not None and units != before.get(group.stream):
                self.link_delays.add(group.delay_us / 1e6)

    def _held(self, group: Group) -> HeldStream:
        return HeldStream(
            stream=group.stream,
            epoch=group.epoch,
            place=group.place,
            publication=group.publication,
            state=_STATES[group.state],
            tracks=group.ring.tracks,
            players=group.subscribers,
            bitrate_bps=self._ingress.bps(group, group.counters.payload_bytes),
            units=group.counters.units,
            missing=group.counters.missing,
            delay_us=group.delay_us,
        )


class _OriginCollector(Collector):
    """What an origin counts, read when it is asked for."""

    def __init__(self, origin: OriginApp) -> None:
        self._origin = origin

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        groups = list(self._origin.groups)
        states = GaugeMetricFamily("origin_groups", "Groups by state.", labels=("state",))
        for state in GroupState:
            states.add_metric((state.value,), sum(group.state is state for group in groups))
        yield states
        yield GaugeMetricFamily("origin_subscriptions", "Readers over all groups.", sum(group.subscribers for group in groups))
        yield GaugeMetricFamily("origin_ring_bytes", "Payload kept.", sum(group.ring.payload_bytes for group in groups))
        totals = self._origin.groups.totals
        yield CounterMetricFamily("origin_units", "Units taken in.", totals.units)
        yield CounterMetricFamily("origin_payload_bytes", "Payload taken in.", totals.payload_bytes)
        yield CounterMetricFamily("origin_missing_units", "Units announced as lost.", totals.missing)
        yield CounterMetricFamily("origin_repeated_units", "Units that were here already.", totals.repeated)
        yield CounterMetricFamily("origin_refused_units", "Units of outdated publications.", totals.refused)
        yield link_delay_metric("origin", self._origin.link_delays)
        if self._origin.series.most_num:
            yield from self._of_streams({group.stream: group for group in groups})
        yield from link_metrics("origin", self._origin.links, self._origin.link_totals)

    def _of_streams(self, groups: Mapping[StreamKey, Group]) -> Iterable[Metric]:
        """What is told of single streams."""
        taken = CounterMetricFamily("origin_stream_payload_bytes", "Payload of a stream taken in.", labels=("stream",))
        missing = CounterMetricFamily("origin_stream_missing_units", "Units of a stream announced as lost.", labels=("stream",))
        readers = GaugeMetricFamily("origin_stream_readers", "Readers of a stream.", labels=("stream",))
        for stream in self._origin.series.choose(groups.keys()):
            taken.add_metric((str(stream),), groups[stream].counters.payload_bytes)
            missing.add_metric((str(stream),), groups[stream].counters.missing)
            readers.add_metric((str(stream),), groups[stream].subscribers)
        yield from (taken, missing, readers)
        yield from self._origin.series.left_out(len(groups))
