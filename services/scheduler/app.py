"""The scheduler with its listeners: built here, started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import grpc.aio

from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.authorisation import AppLimit
from lalmesh.runtime.certificate import CertificateCollector, CertificateWatch, ServerCertificate
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.event_log import EventLog
from lalmesh.runtime.http_port import HttpPort
from lalmesh.runtime.listener import ListenerMetrics, sweep_each_second
from lalmesh.runtime.recording import RecordRule
from lalmesh.runtime.registry import Registry
from lalmesh.runtime.sessions import SessionDirectory
from services.scheduler.api import (
    Api,
    ApiSettings,
    Operation,
    Turnstile,
    health,
    nodes,
    recordings,
    settings,
    stream_details,
    streams,
    tokens,
)
from services.scheduler.api import blacklist as blacklist_api
from services.scheduler.api import events as events_api
from services.scheduler.api import relays as relays_api
from services.scheduler.api import routing as routing_api
from services.scheduler.api import sessions as sessions_api
from services.scheduler.api import webhooks as webhooks_api
from services.scheduler.app_usage import AppUsagePart
from services.scheduler.blacklisting import Blacklisting, BlacklistStore, MemoryBlacklist
from services.scheduler.console import add_console, edge_endpoints
from services.scheduler.event_hub import EventHub, HubSettings
from services.scheduler.events import MemoryEventLog
from services.scheduler.kicks import Kicks
from services.scheduler.lal_api import lal_groups, lal_operations
from services.scheduler.live_settings import SettingsPart
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.notifying import HttpSink
from services.scheduler.peers import Peers, PeersFace
from services.scheduler.relays import RelayingSettings, build_relays
from services.scheduler.routes import Routes, RoutingSettings
from services.scheduler.rpc import SchedulerFace
from services.scheduler.service import HLS_REMEMBER_S, SchedulerService
from services.scheduler.sessions import MemorySessions

log = logging.getLogger(__name__)

STOP_GRACE_S = 1.0  #: for calls under way; nodes ask another replica after that


class SchedulerApp:
    """One replica: the service, its gRPC listener, its HTTP listener."""

    def __init__(
        self,
        registry: Registry,
        keys: Sequence[bytes],
        *,
        name: str = "",
        lease_s: int = 10,
        rejoin_s: float = 1.0,
        silence_s: float = 2.0,
        hls_always: bool = False,
        hls_remember_s: int = HLS_REMEMBER_S,
        recording: Sequence[RecordRule] = (),
        sessions: SessionDirectory | None = None,
        grpc_host: str = "127.0.0.1",
        grpc_port: int = 0,
        advertise_host: str = "",
        channels: Channels | None = None,
        http_host: str = "127.0.0.1",
        http_port: int | None = None,
        certificate: ServerCertificate | None = None,
        api: ApiSettings | None = None,
        routing: RoutingSettings | None = None,
        relaying: RelayingSettings | None = None,
        limits: Sequence[AppLimit] = (),
        blacklist: BlacklistStore | None = None,
        event_log: EventLog | None = None,
        notify: HubSettings | None = None,
        metrics: SchedulerMetrics | None = None,
    ) -> None:
        """Build it; nothing listens before `start`. Call it inside the running loop.

        Args:
            registry: what all replicas share; it stays the caller's to close.
            keys: cluster keys, the signing one first.
            name: of this replica among others; empty: there can be no other, nor nodes that outlive it and would be waited for.
            lease_s: seconds that a node lives without being renewed.
            rejoin_s: seconds after which what a node that is away has may be taken over.
            silence_s: seconds without a report that end a membership stream.
            hls_always: give every claimed stream to an hls node, asked for or not.
            hls_remember_s: seconds that the numbers of a stream are kept which nobody segments.
            recording: rules of the configuration.
            sessions: who watches without a connection; it stays the caller's to close. In memory by default.
            grpc_host: address to listen on.
            advertise_host: what the other replicas reach this one by; empty: the address that it listens on.
            channels: makes the gRPC listener; None does not listen: the roles of this process call `service`.
            grpc_port: 0 takes any free port.
            http_host: address to listen on.
            http_port: 0 takes any free port; None does not listen.
            certificate: of the HTTP listener, which speaks HTTPS then.
            api: who may ask over HTTP; by default anybody may look, and programs on this machine may change things.
            routing: what clients are sent to edges by, beside what those say of themselves.
            relaying: what is fetched from elsewhere and sent there.
            limits: what the streams of applications may use, which edges hold them to.
            blacklist: addresses that are let in nowhere; it stays the caller's to close. In memory by default.
            event_log: what happened; it stays the caller's to close. In memory by default.
            notify: who is told of that; nobody by default.
            metrics: where to count; its own by default.
        """
        sessions = sessions or MemorySessions()
        self.service = SchedulerService(
            registry,
            keys,
            name=name,
            lease_s=lease_s,
            rejoin_s=rejoin_s,
            silence_s=silence_s,
            hls_always=hls_always,
            hls_remember_s=hls_remember_s,
            recording=recording,
            sessions=sessions,
            metrics=metrics,
        )
        self._channels = channels
        self._advertise_host = advertise_host or grpc_host
        #: what nodes report, also those that joined other replicas
        self.peers = Peers(self.service, channels.dial if channels is not None and name else None)
        self.service.control.parts.append(self.peers)
        self.app_usage = AppUsagePart(self.service, self.peers, limits)
        self.service.control.parts.append(self.app_usage)
        self._api = api or ApiSettings()
        self._certificate = certificate
        self._certificate_watch = CertificateWatch(certificate, time.monotonic)
        if certificate is not None and http_port is not None:
            self.service.metrics.registry.register(CertificateCollector("scheduler", certificate))
        self._serving: Api | None = None  # once it listens
        service = self.service
        self.routes = routes = Routes(service.directory, service.members, service.metrics, time.monotonic, routing)
        service.control.parts.append(routes)
        #: what is fetched from elsewhere and sent there
        self.relays = build_relays(registry, service, name, relaying or RelayingSettings())
        #: made over the API, for all nodes
        self.settings = SettingsPart(registry, service.view.terms, service.members)
        service.control.parts.append(self.settings)
        #: sessions that are ended, and addresses that are let in nowhere
        self.kicks = Kicks(registry, service.members, sessions, service.metrics)
        self.blacklisting = Blacklisting(blacklist or MemoryBlacklist(), service.members, service.metrics)
        service.control.parts += [self.kicks, self.blacklisting]
        #: what happens, and who is told of it
        groups, kept = lal_groups(service, self.peers, sessions), event_log or MemoryEventLog()
        self.events = EventHub(
            service, kept, HttpSink, notify or HubSettings(), name, groups=groups, is_unheard=self.relays.is_unheard
        )
        service.control.parts.append(self.events)
        #: what can be asked for over HTTP; parts add theirs before `start`
        self.operations: list[Operation] = [
            *health.operations(self.service),
            *streams.operations(self.service, self.peers),
            *stream_details.operations(self.service, self.peers),
            *nodes.operations(self.service, self.peers),
            *tokens.operations(lambda: self._api.tokens),
            *recordings.operations(self.service.recordings),
            *relays_api.operations(self.relays, service.directory.nodes),
            *settings.operations(self.settings),
            *sessions_api.operations(sessions, self.kicks, service.directory.nodes),
            *blacklist_api.operations(self.blacklisting),
            *events_api.operations(self.events, routes.key),
            *webhooks_api.operations(self.events),
            *routing_api.operations(routes, lambda: service.is_ready),
            *lal_operations(
                lambda: self.events.about.server_id,
                service,
                self.peers,
                self.relays,
                sessions,
                self.kicks,
                self.blacklisting,
                match_app=(routing or RoutingSettings()).match_app,
            ),
        ]
        self._grpc_address = (grpc_host, grpc_port)
        self._http_address = None if http_port is None else (http_host, http_port)
        self._server: grpc.aio.Server | None = None
        self._http: HttpPort | None = None
        self._http_metrics = ListenerMetrics("scheduler", self.service.metrics.registry)
        self._sweeping: asyncio.Task[None] | None = None
        #: ports that are listened on; None before `start` and where nothing listens
        self.grpc_port: int | None = None
        self.http_port: int | None = None

    def document(self) -> dict[str, Any]:
        """The OpenAPI document of what can be asked for."""
        return self._api.build(self.operations).document

    async def start(self) -> None:
        """Follow the registry, then listen. Where that fails everything is stopped again.

        Raises:
            OSError: a port cannot be had.
        """
        try:
            self._bind_grpc()
            await self.service.start()
            await self._listen_http()
            await self._serve_grpc()
        except BaseException:
            await self.stop()
            raise

    def take(self, api: ApiSettings) -> None:
        """Go by these settings of the API from now on, but for how proxies begin."""
        self._api = replace(api, proxy_protocol=self._api.proxy_protocol)
        if self._serving is not None:
            self._api.apply(self._serving)
        if self._http is not None:
            self._http.admission.apply(api.limits)

    def reload(self) -> None:
        """Load the certificate again now, if it can be used."""
        self._certificate_watch.reload()

    async def stop(self) -> None:
        """End membership, finish what is under way, stop listening, give duties back. Nodes go to another replica as they are."""
        await self.events.told()
        await self.service.stop()  # membership streams end in order
        if self._server is not None:
            await self._server.stop(STOP_GRACE_S)
        await self.service.leave()
        if self._http is not None:
            await self._http.close("the scheduler stops")
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._server = self._http = self._sweeping = None
        self.grpc_port = self.http_port = None

    def _bind_grpc(self) -> None:
        """Have the port, which the other replicas are told of when this one begins to stand."""
        if self._channels is None:
            return
        self._server = self._channels.server()
        self._server.add_generic_rpc_handlers((SchedulerFace(self.service).handler(), PeersFace(self.peers.own).handler()))
        self.grpc_port = self._channels.listen(self._server, *self._grpc_address)
        self.service.presence.address = host_port(self._advertise_host, self.grpc_port)

    async def _serve_grpc(self) -> None:
        if self._server is not None:
            await self._server.start()
            log.info("gRPC on %s:%d", self._grpc_address[0], self.grpc_port)

    async def _listen_http(self) -> None:
        if self._http_address is None:
            return
        host, port = self._http_address
        self._serving = self._api.build(self.operations, Turnstile(self.service.metrics.http_busy.inc))
        app, headers = self._serving.app(), self._api.proxy_protocol
        add_console(app, lambda: edge_endpoints(self.service.directory))
        tls = self._certificate.context if self._certificate is not None else None
        http = self._http = HttpPort(
            "https" if tls else "http", app, self._api.limits, self._http_metrics, tls, takes_headers=headers
        )
        await http.start(host, port)
        self._sweeping = asyncio.create_task(
            sweep_each_second(lambda: (http.sweep, self._certificate_watch.sweep)), name="scheduler-sweep"
        )
        self.http_port = http.port
        log.info("%s on %s:%d", "HTTPS" if tls else "HTTP", host, self.http_port)
