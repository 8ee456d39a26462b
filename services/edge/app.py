"""The edge node: its listeners, publications and relays, its membership."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from lalmesh.runtime.authorisation import Access, AccessMetrics
from lalmesh.runtime.certificate import CertificateWatch, certificate_metrics
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.each_alone import for_each_alone
from lalmesh.runtime.fences import Fences
from lalmesh.runtime.follower import OriginLinks
from lalmesh.runtime.http_port import HttpPort
from lalmesh.runtime.listener import sweep_each_second
from lalmesh.runtime.member import Member
from lalmesh.runtime.node_tasks import end_with_any
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling import (
    AppUsage,
    Endpoint,
    GroupMoved,
    NodeCommand,
    NodeReport,
    ReclaimWanted,
    RelayJobs,
    Role,
    SchedulerClient,
    StreamFenced,
)
from lalmesh.runtime.stream_series import StreamSeries
from services.edge.draining import until_all_have_gone
from services.edge.endings import TIME_OVER
from services.edge.entrance import Entrance
from services.edge.events import EdgeEvents
from services.edge.hls import EdgeHls
from services.edge.holdings import Holdings
from services.edge.http import HttpListener
from services.edge.live import apply_settings
from services.edge.metrics import EdgeMetrics
from services.edge.orders import Orders
from services.edge.player import EdgeContext
from services.edge.publisher import Publishers
from services.edge.relay import Relays
from services.edge.relaying import build_relaying
from services.edge.rtmp import RtmpListener
from services.edge.rtsp import RtspListener
from services.edge.rtsp_link import RtspSettings
from services.edge.rtsp_play import RtspPlaying
from services.edge.rtsp_service import RtspService
from services.edge.rtsp_websocket import RtspSocketListener
from services.edge.session import NOT_CLOSED, Sessions
from services.edge.session_reports import SessionReports
from services.edge.settings import EdgeSettings, ListenSettings
from services.edge.totals import series_of_streams, totals_of_clients, totals_of_streams, totals_of_udp

log = logging.getLogger(__name__)

Listener: TypeAlias = RtmpListener | RtspListener | RtspSocketListener | HttpListener

STOP_DEADLINE_S = 3.0
GOODBYES_S = 1.5  #: for clients to take in what they were told last


class EdgeApp:
    """One edge."""

    def __init__(
        self,
        node: NodeId,
        settings: EdgeSettings,
        scheduler: SchedulerClient,
        links: OriginLinks,
        registry: CollectorRegistry,
        machine_address: Callable[[], str],
        failed: Callable[[str], None],
    ) -> None:
        """Build it; `start` runs it.

        Args:
            node: this edge.
            settings: what it is to be.
            scheduler: whom it asks.
            links: to the origins.
            registry: for its metrics.
            machine_address: gives the host for others where none is set.
            failed: hears why this node has to end: another start of it has taken its place, or a part of it has failed.
        """
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._cors = CorsPolicy(settings.cors_origins, settings.own_pages)
        self._certificate = CertificateWatch(settings.certificate, self._loop.time)
        self.member = Member(
            node,
            Role.EDGE,
            settings.member,
            scheduler,
            self._report,
            self._command,
            machine_address=machine_address,
            evicted=failed,
        )
        self.metrics = EdgeMetrics(registry)
        fences = Fences(settings.remembered_num)
        self.publishers = Publishers(
            self.member.address,
            scheduler,
            links,
            settings.publication,
            take_over=settings.take_over,
            claim_timeout_s=settings.claim_timeout_s,
            delivery_s=settings.delivery_s,
            fences=fences,
        )
        self.access = Access(settings.access, AccessMetrics("edge", registry))
        self.relays = Relays(
            scheduler, links, settings.relay, fences, self.publishers.location, remembered_num=settings.remembered_num
        )
        self.sessions = Sessions(self.metrics)
        self.events = EdgeEvents(scheduler, self.member, self.sessions, self.publishers, settings.events)
        self._context = EdgeContext(
            publishers=self.publishers,
            relays=self.relays,
            sessions=self.sessions,
            wait_publisher_s=settings.wait_publisher_s,
            player_sndbuf_bytes=settings.player_sndbuf_bytes,
            max_message_bytes=settings.max_message_bytes,
            hevc=settings.hevc,
            match_app=settings.match_app,
            chunk_size=settings.chunk_size,
            entrance=Entrance(lambda: self.member.elsewhere, self._is_full),
            access=self.access,
            cluster_mark=settings.relaying.cluster_mark,
            events=self.events.clients,
        )
        self._context.read_turns.settings = settings.read_turns
        self._context.publishers.turn_s = settings.read_turns.longest_s
        self.relaying = build_relaying(self._context, self.metrics, settings.relaying)
        self._rtsp = self._rtsp_service(settings.rtsp) if settings.rtsp is not None else None
        self.listens = asyncio.Event()  #: set once it does
        self._has_handed_over = False
        self._listeners: dict[str, Listener] = {}
        self._hls = EdgeHls(settings.hls, settings.hls_players, self.member, scheduler, self.events)
        self._orders = Orders(
            self.sessions,
            self._context.blacklist,
            lambda: [listener.admission for listener in self._listeners.values()],
            self._hls.reports,
        )
        self._session_reports = SessionReports(
            self.sessions, scheduler, lambda: self.member.address, self.metrics, report_s=settings.session_report_s
        )
        self._holdings = Holdings(self.publishers, self.relays, self.sessions, self._hls.client.counters, self._loop.time)
        self._tasks: list[asyncio.Task[None]] = []
        self._failed = failed
        self._series = StreamSeries("edge", settings.stream_series)
        self.metrics.read_from(self._collect)

    @property
    def ports(self) -> dict[str, int]:
        """What is listened on, by protocol."""
        return {name: listener.port for name, listener in self._listeners.items()}

    async def start(self) -> None:
        """Listen, and join the cluster; or join, and `listens` is set once it has and listens.

        Raises:
            OSError: a port cannot be bound.
        """
        self.access.start()
        if not self._settings.joins_first:
            await self._listen()
        self._tasks = [
            self._loop.create_task(sweep_each_second(self._sweeps), name="edge-sweep"),
            self._loop.create_task(self.member.run(), name="edge-membership"),
            self._loop.create_task(self._session_reports.run(), name="edge-sessions"),
            self._loop.create_task(self._hls.run(), name="edge-hls-players"),
            self._loop.create_task(self.events.run(), name="edge-events"),
        ]
        if self._settings.joins_first:
            self._tasks.append(self._loop.create_task(self._listen_once_joined(), name="edge-listeners"))
        end_with_any(self._tasks, self._failed)

    async def _listen_once_joined(self) -> None:
        log.info("others listen here: this one does once it has joined")
        await self.member.joined.wait()
        if not self._has_handed_over:
            await self._listen()

    async def _listen(self) -> None:
        for listen in self._settings.listen:
            listener = self._listener(listen)
            listener.admission.blocks = self._context.blacklist.blocks
            await listener.start(listen.host, listen.port, is_shared=listen.is_shared)
            self._listeners[listen.protocol] = listener
            self.metrics.listens(listen.protocol)
        self.listens.set()

    def _rtsp_service(self, settings: RtspSettings) -> RtspService:
        silence_s = self._settings.limits.idle_timeout_s
        return RtspService(self._context, settings, self.metrics, RtspPlaying, silence_s=silence_s)

    def _listener(self, listen: ListenSettings) -> Listener:
        settings, rtsp, cors, hls = self._settings, self._rtsp, self._cors, self._hls
        is_secure, headers = listen.protocol.endswith("s"), listen.proxy_protocol
        tls = settings.certificate.context if settings.certificate is not None and is_secure else None
        match listen.protocol:
            case "rtmp" | "rtmps":
                return RtmpListener(self._context, settings.limits, self.metrics, tls, takes_headers=headers)
            case "rtsp" | "rtsps" if rtsp is not None:
                return RtspListener(rtsp, settings.limits, self.metrics, tls, takes_headers=headers)
            case "ws_rtsp" if rtsp is not None:
                return RtspSocketListener(rtsp, settings.limits, self.metrics, cors, takes_headers=headers)
            case _:
                ways = (cors, hls.client, tls, rtsp, hls.counting)
                return HttpListener(self._context, settings.limits, self.metrics, *ways, takes_headers=headers)

    def _sweeps(self) -> Iterable[Callable[[], None]]:
        yield from (listener.sweep for listener in self._listeners.values())
        yield self.relays.sweep
        yield self._look_at_gathering
        yield self.sessions.sweep
        yield self.events.sweep
        if self._rtsp is not None:
            yield self._rtsp.sweep
        yield self._certificate.sweep

    def _look_at_gathering(self) -> None:
        self._context.read_turns.players_gather = self._settings.is_alone and self.relays.gather

    def reload(self) -> None:
        """Load the certificate again now, if it can be used."""
        self._certificate.reload()

    def apply(self, settings: EdgeSettings) -> None:
        """Go by what can change while it runs; listeners and certificate stay as they are."""
        self._settings = replace(
            settings, listen=self._settings.listen, certificate=self._settings.certificate, is_alone=self._settings.is_alone
        )
        self.member.apply(settings.member)
        self.events.apply(settings.events)
        apply_settings(settings, self._context, self._listeners.values(), self._cors, self._rtsp)

    def hand_over(self) -> None:
        """Leave those who come now to other workers, which listen at the same ports."""
        self._has_handed_over = True
        for listener in self._listeners.values():
            listener.hand_over()

    async def drain(self, limit_s: float) -> None:
        """Let nobody in, say so to the scheduler and to those who are here, and wait until they have gone, or for `limit_s`."""
        entrance = self._context.entrance
        entrance.drain()
        self.member.begin_drain()
        await until_all_have_gone(entrance, self.sessions, self._hls_asked_at, self.metrics, limit_s)

    def _is_full(self) -> bool:
        return 0 < self._settings.member.capacity.sessions <= len(self.sessions)

    def _hls_asked_at(self) -> float:
        ports = [listener for listener in self._listeners.values() if isinstance(listener, HttpListener)]
        return max((port.hls_asked_at for port in ports), default=-math.inf)

    async def stop(self) -> None:
        """Take nothing new, end every session with a reason, give claims back, leave the cluster."""
        reason = TIME_OVER if self._context.entrance.drains else "the edge stops"
        for listener in self._listeners.values():
            listener.stop_accepting()
        await self.relaying.close(STOP_DEADLINE_S)
        for_each_alone(self.sessions, lambda session: session.close(reason), NOT_CLOSED)
        await self.publishers.close(STOP_DEADLINE_S)
        await self.relays.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYES_S):
                await asyncio.gather(*(listener.admission.emptied() for listener in self._listeners.values()))
        await asyncio.gather(self._session_reports.leave(), self._hls.reports.leave(), self.events.leave())
        await self.member.leave()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._listeners.values():
            if isinstance(listener, HttpPort):
                await listener.close(reason)
            else:
                listener.close(reason)
        if self._rtsp is not None:
            self._rtsp.close()
        await self._hls.close()
        await self.access.close()

    # membership

    def _command(self, command: NodeCommand) -> None:
        match command:
            case StreamFenced(stream, epoch):
                self.publishers.fenced(stream, epoch)
            case GroupMoved(location, grant):
                self.publishers.moved(location, grant)
                self.relays.moved(location)
            case ReclaimWanted(streams):
                self.publishers.reclaim(streams)
            case RelayJobs():
                self.relaying.follow(command)
            case AppUsage():
                self._context.limits.told(command)
            case _:
                self._orders.handle(command)

    def _report(self) -> NodeReport:
        report = self.member.report(*self._holdings.now(), self._endpoints())
        return replace(report, relays=self.relaying.statuses)

    def _endpoints(self) -> tuple[Endpoint, ...]:
        ports, listen = self.ports, self._settings.listen
        return tuple(
            Endpoint(each.protocol, self.member.host, each.advertise_port or ports.get(each.protocol, each.port)) for each in listen
        )

    def _collect(self) -> Iterable[Metric]:
        """What the parts of this edge count themselves."""
        yield from totals_of_streams(self.publishers, self.relays)
        yield from series_of_streams(self._series, self.publishers, self.relays, self._holdings.frames)
        yield from totals_of_clients(self._listeners, self.sessions, self._settings.member.capacity, is_full=self._is_full())
        yield from self._hls.collect()
        if self._rtsp is not None:
            yield from totals_of_udp(self._rtsp.ports)
        if self._settings.certificate is not None:
            yield from certificate_metrics("edge", self._settings.certificate)
