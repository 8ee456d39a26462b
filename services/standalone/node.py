"""One process: builds the roles that it is to play, starts them in order, stops them in reverse.

A role is imported when it is built: a node of one role starts in half the time and memory that all of them take.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from lalmesh.errors import Unavailable
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.config import Config, Loaded, Role, Sources
from lalmesh.runtime.follower import OriginLinks
from lalmesh.runtime.health import HealthServer
from lalmesh.runtime.link import LinkPool
from lalmesh.runtime.member import Member, MemberSettings
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling import Drain, GrpcSchedulerClient, HlsSchedulerClient
from lalmesh.runtime.telemetry import TraceCollector
from services.standalone import settings
from services.standalone.announcing import OutboxCollector, announce, now_us
from services.standalone.applying import apply_config
from services.standalone.build_info import BuildInfo
from services.standalone.links import DirectLinks, LinkCollector
from services.standalone.live import LiveNode
from services.standalone.loop_delay import LoopDelay
from services.standalone.process_metrics import ProcessMetrics
from services.standalone.stores import open_blacklist, open_event_log, open_registry, open_sessions
from services.standalone.workers import Worker, node_drains, share_of, worker_leaves

if TYPE_CHECKING:
    from services.edge.app import EdgeApp
    from services.hls.app import HlsApp
    from services.origin.app import OriginApp
    from services.scheduler.app import SchedulerApp

log = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 10.0  #: a standalone server has joined itself long before


class Node:
    """The roles of this process, running. Made by `running`."""

    def __init__(self, loaded: Loaded, role: Role, sources: Sources, worker: Worker | None = None) -> None:
        """Prepare a node that is to be as `loaded` says, and `sources` whenever they are read again; as one `worker` of it."""
        self._worker = worker
        self._config = loaded.config if worker is None else share_of(loaded.config, role, worker)
        self._keys = settings.cluster_keys(loaded.config)
        self._role = role
        self._stack = AsyncExitStack()
        self._metrics = CollectorRegistry()
        self._edge: EdgeApp | None = None
        self._origin: OriginApp | None = None
        self._scheduler: SchedulerApp | None = None
        self._hls: HlsApp | None = None
        self._health: HealthServer | None = None
        #: done, with the reason, once this node cannot go on
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        #: done once the scheduler has this node drain, with the seconds that it may take: 0 for what it is configured to take
        self.drain_asked: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._is_draining = False
        self._others_go_on = False  # the other workers of this node, where it drains
        self._started_us = now_us()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self._metrics)
        PlatformCollector(registry=self._metrics)
        GCCollector(registry=self._metrics)
        self._metrics.register(TraceCollector())
        self._metrics.register(ProcessMetrics(loaded.config.cluster.tls.cert_file))
        self._metrics.register(BuildInfo(self._config, role))
        loop_delay = LoopDelay()
        self._metrics.register(loop_delay)
        self._stack.callback(loop_delay.stop)
        outboxes = OutboxCollector(
            lambda: (("edge", self._edge), ("hls", self._hls), ("origin", self._origin), ("scheduler", self._scheduler))
        )
        self._metrics.register(outboxes)
        self._live = LiveNode(sources, loaded, self._apply, self._metrics)

    @property
    def ports(self) -> dict[str, int]:
        """What is listened on, by listener."""
        ports: dict[str, int] = {}
        if self._edge is not None:
            ports |= self._edge.ports
        if self._scheduler is not None:
            ports |= _some(api=self._scheduler.http_port, grpc=self._scheduler.grpc_port)
        if self._origin is not None:
            ports |= _some(grpc=self._origin.grpc_port)
        if self._hls is not None:
            ports |= _some(hls=self._hls.http_port, hls_https=self._hls.https_port, grpc=self._hls.grpc_port)
        if self._health is not None:
            ports["metrics"] = self._health.port
        return ports

    async def start(self) -> None:
        """Start every role.

        Raises:
            OSError: a port cannot be bound.
            ConfigError: a file that the configuration names cannot be used.
        """
        try:
            await self._start_roles()
        except BaseException:
            await self.stop()
            raise

    async def listens(self) -> None:
        """Return once all of it does."""
        if self._edge is not None:
            await self._edge.listens.wait()

    @property
    def drain_s(self) -> float:
        """How long it may take to drain where nobody says how long.

        A standalone server has nobody to give anything to: it waits for its players to go where it is told how long.
        """
        return 0.0 if self._role == "standalone" else self._config.cluster.drain_s

    async def drain(self, limit_s: float) -> None:
        """Give away what this node has, within `limit_s`. `stop` it then."""
        self._is_draining = True
        if self._others_go_on and self._edge is not None:
            self._edge.hand_over()
        roles = (self._edge,) if self._role == "standalone" else (self._edge, self._hls, self._origin)
        if limit_s > 0:
            await asyncio.gather(*(role.drain(limit_s) for role in roles if role is not None))

    async def stop(self) -> None:
        """Stop every role, the last one started first."""
        await self._stack.aclose()

    def reload(self) -> None:
        """Read the configuration and the certificates of public listeners again now, those that can be used."""
        self._live.reload()
        for part in (self._edge, self._hls, self._scheduler):
            if part is not None:
                part.reload()

    def _apply(self, config: Config) -> None:
        if self._worker is not None:
            config = share_of(config, self._role, self._worker)
        apply_config(config, self._keys, edge=self._edge, hls=self._hls, origin=self._origin, scheduler=self._scheduler)
        self._config = config  # what is built later is built by it

    def _listen_to(self, member: Member) -> None:
        member.drain_asked = self._told_to_drain
        member.settings_told = self._live.told

    def _told_to_drain(self, drain: Drain) -> None:
        if self._worker is not None:
            self._others_go_on = not drain.all_workers
            if drain.all_workers:
                node_drains(self._worker)
            else:
                worker_leaves(self._worker)
        self._drain_told(drain.deadline_s)

    def _drain_told(self, limit_s: float) -> None:
        if not self.drain_asked.done():
            self.drain_asked.set_result(limit_s)

    async def _start_roles(self) -> None:
        config, role = self._config, self._role
        keys = self._keys
        channels = settings.channels(config, keys)
        is_alone = role == "standalone" and self._worker is None
        listens = None if is_alone else channels
        if role in ("standalone", "scheduler"):
            await self._start_scheduler(keys, listens)
        if role in ("standalone", "origin"):
            await self._start_origin(keys, self._client(channels), listens)
        if role in ("standalone", "hls"):
            await self._start_hls(keys, self._client(channels), channels)
        if role == "edge" or is_alone:
            await self._start_edge(keys, self._client(channels), channels)
        await self._start_health()
        if role == "standalone":
            await self._joined()
        announce(self._scheduler or self._edge or self._hls or self._origin, role, self.ports, self._started_us)

    def _client(self, channels: Channels) -> HlsSchedulerClient:
        if self._scheduler is not None:
            return self._scheduler.service
        client = GrpcSchedulerClient(self._config.cluster.schedulers, dial=channels.dial)
        self._stack.push_async_callback(client.close)
        return client

    async def _start_scheduler(self, keys: tuple[bytes, ...], channels: Channels | None) -> None:
        from services.scheduler.app import SchedulerApp
        from services.scheduler.metrics import SchedulerMetrics
        from services.scheduler.reached import StoreMetrics
        from services.standalone.access_settings import app_limits
        from services.standalone.scheduler_settings import (
            api_settings,
            hub_settings,
            record_rules,
            relaying_settings,
            routing_settings,
        )

        config = self._config
        stores = StoreMetrics()
        self._metrics.register(stores)
        registry = await open_registry(config, self._stack, stores)
        self._scheduler = SchedulerApp(
            registry,
            keys,
            name=settings.node_name(config, "scheduler") if config.scheduler.etcd.endpoints else "",
            lease_s=config.cluster.lease_s,
            rejoin_s=config.cluster.rejoin_s,
            silence_s=config.cluster.silence_s,
            hls_always=config.hls.start == "always",
            hls_remember_s=config.scheduler.hls_remember_s,
            recording=record_rules(config),
            sessions=open_sessions(config, self._stack, stores),
            blacklist=open_blacklist(config, self._stack, stores),
            grpc_host=config.scheduler.grpc.host,
            grpc_port=config.scheduler.grpc.port,
            certificate=settings.certificate("scheduler.http.tls", config.scheduler.http.tls),
            advertise_host=settings.scheduler_host(config),
            channels=channels,
            http_host=config.scheduler.http.host,
            http_port=config.scheduler.http.port,
            api=api_settings(config),
            routing=routing_settings(config),
            relaying=relaying_settings(config),
            event_log=open_event_log(config, self._stack, stores),
            notify=hub_settings(config),
            limits=app_limits(config),
            metrics=SchedulerMetrics(self._metrics),
        )
        self._scheduler.service.replicas.drain_asked = self._drain_told
        self._scheduler.service.failed = self._fail
        self._scheduler.settings.base = lambda: self._live.loaded
        self._scheduler.settings.told = self._live.told
        await self._scheduler.start()
        self._stack.push_async_callback(self._scheduler.stop)

    async def _start_origin(self, keys: tuple[bytes, ...], client: HlsSchedulerClient, channels: Channels | None) -> None:
        from services.origin.app import OriginApp
        from services.standalone.origin_settings import origin_settings

        node = settings.node_id(self._config, "origin", shared=self._role == "standalone")
        built = origin_settings(self._config)
        built = replace(built, member=self._member(built.member))
        self._origin = OriginApp(node, keys, built, client, self._metrics, channels, settings.machine_address, self._fail)
        self._listen_to(self._origin.member)
        await self._origin.start()
        self._stack.push_async_callback(self._origin.stop)

    async def _start_hls(self, keys: tuple[bytes, ...], client: HlsSchedulerClient, channels: Channels) -> None:
        from services.hls.app import HlsApp
        from services.hls.storage import LateStorage
        from services.standalone.hls_settings import hls_settings, storage_options

        node = settings.node_id(self._config, "hls", shared=self._role == "standalone")
        built, links = hls_settings(self._config, keys), self._links(node, channels, "hls")
        storage = LateStorage(self._config.hls.storage.url, storage_options(self._config))
        peers = None if self._role == "standalone" else channels
        self._hls = HlsApp(node, keys, built, client, links, storage, self._metrics, peers, settings.machine_address, self._fail)
        self._stack.push_async_callback(self._hls.stop)
        self._listen_to(self._hls.member)
        await self._hls.start()

    def _links(self, node: NodeId, channels: Channels, role: str) -> OriginLinks:
        """How `node` reaches origins: directly where one is in this process."""
        if self._origin is not None:
            return DirectLinks(node, self._origin)
        pool = LinkPool(node, channels.dial, settings.link_limits(self._config))
        self._stack.push_async_callback(pool.close)
        self._metrics.register(LinkCollector(pool, role))
        return pool

    async def _start_edge(self, keys: tuple[bytes, ...], client: HlsSchedulerClient, channels: Channels) -> None:
        from services.edge.app import EdgeApp
        from services.standalone.edge_settings import edge_settings

        node = settings.node_id(self._config, "edge", shared=self._role == "standalone")
        built = edge_settings(self._config, keys)
        listen = tuple(replace(each, is_shared=self._worker is not None) for each in built.listen)
        built = replace(
            built,
            own_pages=self._own_pages(),
            member=self._member(built.member),
            listen=listen,
            is_alone=self._origin is not None,  # which lets only this process in
            joins_first=self._worker is not None and self._worker.joins_first,
        )
        links = self._links(node, channels, "edge")
        self._edge = EdgeApp(node, built, client, links, self._metrics, settings.machine_address, self._fail)
        self._stack.push_async_callback(self._edge.stop)
        self._listen_to(self._edge.member)
        await self._edge.start()

    def _member(self, member: MemberSettings) -> MemberSettings:
        """As one of several, where it is one; the origin of a standalone server is not."""
        return member if self._worker is None or self._role == "standalone" else replace(member, worker_of=self._worker.node)

    def _own_pages(self) -> tuple[str, ...]:
        """The console of this server, by the names that it is likely to be opened by."""
        port = self._scheduler.http_port if self._scheduler is not None else None
        if self._worker is not None and self._worker.scheduler_port:
            port = self._config.scheduler.http.port  # of another process of the same server
        return settings.own_pages(self._config, port) if port else ()

    async def _start_health(self) -> None:
        self._health = HealthServer(self._metrics, self._unready, settings.profiles(self._config, self._role))
        self._stack.push_async_callback(self._health.stop)
        await self._health.start(self._config.metrics.host, self._config.metrics.port)

    def _unready(self) -> str:
        """Why this node is not ready: until it has joined once, and from when it gives away what it has."""
        if self._is_draining:
            return "draining"
        for part in (self._origin, self._hls, self._edge):
            if part is not None and part.member.evicted:
                return f"evicted: {part.member.evicted}"
            if part is not None and not part.member.has_joined:
                return "not joined yet"
        if self._scheduler is not None and not self._scheduler.service.is_ready:
            return "the registry was not read yet"
        return ""

    def _fail(self, reason: str) -> None:
        if not self.failed.done():
            self.failed.set_result(reason)

    async def _joined(self) -> None:
        """Wait until the roles of a standalone server know each other.

        Raises:
            Unavailable: they did not within `JOIN_TIMEOUT_S`.
        """
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                for part in (self._origin, self._hls, self._edge):
                    if part is not None:
                        await part.member.joined.wait()
        except TimeoutError:
            raise Unavailable("the roles of this server did not join each other", retry_after_s=0.0) from None


def _some(**ports: int | None) -> dict[str, int]:
    return {name: port for name, port in ports.items() if port}
