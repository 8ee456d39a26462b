"""Health and metrics of a node over HTTP: ``/healthz``, ``/readyz``, ``/metrics`` (docs/design.md §7); and a profile of it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from lalmesh.runtime import profile_http
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.http_port import HttpPort, reading_app
from lalmesh.runtime.listener import ListenerLimits, ListenerMetrics, sweep_each_second
from lalmesh.runtime.profile_http import ProfileHttp
from lalmesh.runtime.scrapes import Scrapes
from lalmesh.runtime.turns import Turns

TURN = 16  #: requests of each round of the loop, some 2 ms: whoever asks without end does not keep it from streams
LIMITS = ListenerLimits(connections=1000)  #: probes and scrapes: a handful in all


class HealthPort(ABC):
    """A port for probes and scrapes; whoever inherits it answers. All are answered, however many, a few each time."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Count in `registry`. Made where a loop runs."""
        self._turns = Turns(TURN)
        self._http = HttpPort(
            "metrics", reading_app(self._answer_in_turn, CorsPolicy(())), LIMITS, ListenerMetrics("health", registry)
        )
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where it listens, 0 before."""
        return self._http.port

    async def start(self, host: str, port: int) -> None:
        """Listen on `host` and `port` (0: a free one).

        Raises:
            OSError: the port cannot be bound.
        """
        await self._http.start(host, port)
        self._sweeping = asyncio.create_task(sweep_each_second(lambda: (self._http.sweep,)), name="health-sweep")

    async def stop(self) -> None:
        """Stop listening."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._http.close("the node stops")

    async def _answer_in_turn(self, request: web.Request) -> web.StreamResponse:
        await self._turns.wait()
        return await self._answer(request)

    @abstractmethod
    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """What is said to a request."""


class HealthServer(HealthPort):
    """Answers probes and scrapes. Alive is who answers; `ready` gives the reason for not being ready, empty where there is none."""

    def __init__(self, registry: CollectorRegistry, ready: Callable[[], str], profiles: ProfileHttp | None = None) -> None:
        """Serve the metrics of `registry`, and `profiles` where there are any. Made where a loop runs."""
        super().__init__(registry)
        self._profiles = profiles or ProfileHttp("", "")
        self._registry = registry
        self._scrapes = Scrapes(self._text)
        self._ready = ready

    async def _answer(self, request: web.Request) -> web.Response:
        match request.path:
            case "/healthz":
                return web.Response(text="ok\n")
            case "/readyz":
                reason = self._ready()
                return web.Response(status=503 if reason else 200, text=f"{reason or 'ready'}\n")
            case "/metrics":
                return web.Response(body=await self._scrapes.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
            case profile_http.PATH:
                return await self._profiles.answer(request)
            case profile_http.OBJECTS_PATH:
                return self._profiles.objects(request)
            case _:
                return web.Response(status=404, text="nothing here\n")

    async def _text(self) -> bytes:
        return generate_latest(self._registry)
