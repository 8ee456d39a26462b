"""The hls node: its workers, its listeners, its membership."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry

from lalmesh.runtime.authorisation import Access, AccessMetrics, Family
from lalmesh.runtime.certificate import CertificateWatch
from lalmesh.runtime.channels import STOP_GRACE_S, Channels
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.follower import OriginLinks
from lalmesh.runtime.hls_sessions import PlayerReports, Players
from lalmesh.runtime.http_port import HttpPort, reading_app
from lalmesh.runtime.listener import sweep_each_second
from lalmesh.runtime.member import Member
from lalmesh.runtime.node_tasks import end_with_any
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.recording import RecordRules
from lalmesh.runtime.scheduling import (
    Endpoint,
    GroupMoved,
    HeldStream,
    HlsAssigned,
    HlsSchedulerClient,
    Load,
    NamedStreams,
    NodeCommand,
    NodeReport,
    RecordingRules,
    Role,
)
from lalmesh.runtime.storage import Storage
from lalmesh.runtime.telemetry import SpanName
from services.hls.cleanup import keep_sweeping
from services.hls.events import HlsEvents
from services.hls.fetch import GrpcPeers, HlsFace, NoPeers
from services.hls.guard import Guard
from services.hls.hosting import Cleanup
from services.hls.http import HlsHttp
from services.hls.metrics import HlsMetrics
from services.hls.naming import StreamNames
from services.hls.orders import Orders
from services.hls.record_http import RecordHttp
from services.hls.recorded import NodeRecordings
from services.hls.recording_metrics import RecordingCollector
from services.hls.service import HlsService
from services.hls.settings import HlsSettings
from services.hls.shelf import Budget
from services.hls.worker import Worker
from services.hls.workers import Workers

log = logging.getLogger(__name__)

DRAIN_S = 15.0  #: for the open segments to become whole when the node stops, if it is to stop at once
SERVE_ON_S = 2.0  #: after everything was handed over, for edges to hear whom to ask instead: in the answer to their next report
LOOK_S = 1.0  #: between two looks for successors, while the scheduler does not answer: both list segments so long
FIND_DEADLINE_S = 3.0  #: for the scheduler to say which streams have a name


class HlsApp:
    """One hls node. With `channels` it listens for other hls nodes; without it is the only one."""

    def __init__(
        self,
        node: NodeId,
        cluster_keys: tuple[bytes, ...],
        settings: HlsSettings,
        scheduler: HlsSchedulerClient,
        links: OriginLinks,
        storage: Storage,
        registry: CollectorRegistry,
        channels: Channels | None,
        machine_address: Callable[[], str],
        failed: Callable[[str], None],
    ) -> None:
        """Build it; `start` runs it.

        Args:
            node: this node.
            cluster_keys: that assignments may be signed with.
            settings: what it is to be.
            scheduler: whom it asks.
            links: to the origins.
            storage: shared by all hls nodes; it stays the caller's to close.
            registry: for its metrics.
            channels: makes the gRPC listener and reaches other hls nodes; None: there are none.
            machine_address: gives the host for others where none is set.
            failed: hears why this node has to end: another start of it has taken its place, or a part of it has failed.
        """
        self.grpc_port = 0
        self._settings = settings
        self._scheduler = scheduler
        self._channels = channels
        self._storage = storage
        self.member = Member(
            node,
            Role.HLS,
            settings.member,
            scheduler,
            self._report,
            self._command,
            machine_address=machine_address,
            evicted=failed,
        )
        self._loop = asyncio.get_running_loop()
        self._cors = CorsPolicy(settings.cors_origins)
        self._certificate = CertificateWatch(settings.certificate, self._loop.time)
        self.workers = Workers(self.member.address, settings.worker, scheduler, links, storage, Budget(settings.memory_bytes))
        self.recordings = self.workers.recordings = NodeRecordings(
            storage, settings.spool_dir, settings.recording, self.member.joined.is_set, remember_s=settings.remember_s
        )
        self._peers = GrpcPeers(channels.dial) if channels is not None else None
        self._names = StreamNames(self._find, self._loop.time, match_app=settings.match_app)
        self.service = HlsService(self.workers, storage, self._peers or NoPeers(), cluster_keys, self._names)
        self._players = Players(settings.session_idle_s, self._loop.time, spans=(SpanName.HLS_PLAY, SpanName.HLS_FIRST_FRAME))
        self.events = self.workers.events = HlsEvents(scheduler, self.member, settings.storage_url)
        self.events.players_again = self._players.again
        self._players.watcher, self.recordings.stored = self.events.players, self.events.recorded
        self._reports = PlayerReports(self._players, scheduler, lambda: self.member.address)
        self._orders = Orders(self._reports, lambda: [port.admission for port in self._ports.values()])
        self.access = Access(settings.access, AccessMetrics("hls", registry, (Family.HLS, Family.RECORD)))
        self._ports = self._make_ports(HlsMetrics(registry))
        registry.register(RecordingCollector(self.recordings))
        self._server = channels.server() if channels is not None else None
        self._tasks: list[asyncio.Task[None]] = []
        self._failed = failed

    def _make_ports(self, metrics: HlsMetrics) -> dict[str, HttpPort]:
        settings = self._settings
        records = RecordHttp(self._storage, match_app=settings.match_app)
        answers = HlsHttp(self.service, self._names, records, self._players, metrics, settings.session_ids)
        guard = Guard(self.access, self._names, answers.answer, match_app=settings.match_app)
        contexts: dict[str, ssl.SSLContext | None] = {"http": None}
        if settings.certificate is not None:
            contexts["https"] = settings.certificate.context
        ports = {
            name: HttpPort(
                name,
                reading_app(guard.answer, self._cors),
                settings.limits,
                metrics,
                tls,
                takes_headers=name in settings.proxy_protocol,
            )
            for name, tls in contexts.items()
        }
        for port in ports.values():
            port.admission.blocks = self._orders.blacklist.blocks
        metrics.read_from(self.workers, self._players, ports, settings.certificate, settings.stream_series)
        return ports

    @property
    def http_port(self) -> int:
        """The port that players and edges ask."""
        return self._ports["http"].port

    @property
    def https_port(self) -> int:
        """The same in TLS; 0 where there is no certificate."""
        return self._ports["https"].port if "https" in self._ports else 0

    async def start(self) -> None:
        """Listen, and join the cluster.

        Raises:
            OSError: a port cannot be bound.
        """
        settings = self._settings
        if self._server is not None and self._channels is not None:
            self._server.add_generic_rpc_handlers((HlsFace(self.service).handlers(),))
            self.grpc_port = self._channels.listen(self._server, settings.grpc_host, settings.grpc_port)
            await self._server.start()
            self.workers.node = self.member.listens_at(self.grpc_port)
        self.access.start()
        await self._ports["http"].start(settings.http_host, settings.http_port)
        if "https" in self._ports:
            await self._ports["https"].start(settings.https_host, settings.https_port)
        self.recordings.start()
        self._tasks = [
            self._loop.create_task(sweep_each_second(self._sweeps), name="hls-ports"),
            self._loop.create_task(self.member.run(), name="hls-membership"),
            self._loop.create_task(self.events.run(), name="hls-events"),
        ]
        if settings.worker.cleanup is not Cleanup.NEVER:
            sweeping = keep_sweeping(self._storage, settings.worker.useful_s, settings.remember_s)
            self._tasks.append(self._loop.create_task(sweeping, name="hls-sweep"))
        if self._server is not None:
            self._tasks.append(self._loop.create_task(self._look_for_successors(), name="hls-successors"))
        if settings.session_ids is not None:
            self._tasks.append(self._loop.create_task(self._reports.run(), name="hls-sessions"))
        end_with_any(self._tasks, self._failed)

    async def drain(self, limit_s: float) -> None:
        """Take nothing new, let open segments become whole, hand the streams over, answer for a while still; `limit_s` in all."""
        ends_at = self._loop.time() + limit_s
        self.member.begin_drain()
        log.info("draining: %d streams", len(self.workers))
        await self.workers.close(limit_s)
        log.info("drained: %d streams are still here", len(self.workers))
        await asyncio.sleep(max(0.0, min(SERVE_ON_S, ends_at - self._loop.time())))

    async def stop(self) -> None:
        """Take nothing new, let open segments become whole, hand streams over, leave the cluster, stop listening."""
        if not self.member.is_draining:
            self.member.begin_drain()
            await self.workers.close(DRAIN_S)
        await self.recordings.stop()
        await asyncio.gather(self.access.close(), self.events.leave(), self._reports.leave())
        await self.member.leave()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(port.close("the hls node stops") for port in self._ports.values()))
        if self._server is not None:
            await self._server.stop(STOP_GRACE_S)
        if self._peers is not None:
            await self._peers.close()

    def _sweeps(self) -> Iterable[Callable[[], None]]:
        yield from (port.sweep for port in self._ports.values())
        yield self.events.sweep
        yield self._certificate.sweep

    def reload(self) -> None:
        """Load the certificate again now, if it can be used."""
        self._certificate.reload()

    async def _find(self, name: str) -> NamedStreams:
        return (await self._scheduler.find_streams([name], FIND_DEADLINE_S))[0]

    async def _look_for_successors(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self.member.has_joined and not self.member.joined.is_set():
                await self.workers.look_for_successors()

    # membership

    def apply(self, settings: HlsSettings) -> None:
        """Go by what can change while it runs; a stream that is segmented already goes on as it began."""
        self.member.apply(settings.member)
        self.workers.settings = settings.worker
        self.access.apply(settings.access)
        self._cors.allow(settings.cors_origins)
        for port in self._ports.values():
            port.admission.apply(settings.limits)

    def _command(self, command: NodeCommand) -> None:
        match command:
            case HlsAssigned(owner):
                self.service.learn_owner(owner)
                self.workers.assigned(owner)
            case RecordingRules(rules):
                self.recordings.follow(RecordRules(rules))
            case GroupMoved(location):
                self.workers.moved(location)
            case _:
                self._orders.handle(command)

    def _report(self) -> NodeReport:
        held = tuple(self._held(worker) for worker in self.workers)
        load = Load(sessions=len(self._players), streams=len(held))
        return self.member.report(load, held, self._endpoints())

    def _endpoints(self) -> tuple[Endpoint, ...]:
        if not self.http_port:
            return ()
        return (Endpoint("http", self.member.host, self._settings.advertise_http_port or self.http_port),)

    def _held(self, worker: Worker) -> HeldStream:
        reader = worker.reader
        return HeldStream(
            stream=worker.stream,
            epoch=worker.epoch,
            publication=reader.last.publication if reader is not None and reader.last is not None else b"",
            units=reader.counters.units if reader is not None else 0,
            missing=reader.counters.missing if reader is not None else 0,
            left_out=worker.left_out,
            players=int(worker.is_watched),
            delay_us=reader.delay_us if reader is not None else None,
        )
