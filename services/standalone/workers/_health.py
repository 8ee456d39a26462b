"""Health, metrics and profiles of a node of several workers: each has its own on the loopback, and these are of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from lalmesh.runtime.health import HealthPort
from lalmesh.runtime.scrapes import Scrapes
from services.standalone.workers._exposition import merged
from services.standalone.workers._shares import LOOPBACK
from services.standalone.workers._worker import CORE

ALIVE_S = 4.5  #: for a worker to say that it is alive: the chart's probe waits for 5 s
READY_S = 2.5  #: to say whether it is ready: that of the chart waits for 3 s
METRICS_S = 5.0  #: for its metrics: Prometheus waits for ten seconds
DEBUG_S = 90.0  #: for a profile, which takes a minute at most
DEBUG = "/debug/"  #: what is of one process begins so
WORKER = "worker"  #: the parameter that says of which

NOT_UP = "not up"


class Answer(NamedTuple):
    """What a worker says; status 0: nothing, within its time."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"

    @property
    def text(self) -> str:
        """The body, in one line."""
        return " ".join(self.body.decode(errors="replace").split())


class WorkersHealth(HealthPort):
    """Answers for all workers.

    A node is alive while all that are up are; ready once all that are to run have been at one time, and from then on while one is
    that clients come to, and the core where there is one: it does not go away with one of several.
    """

    def __init__(self, registry: CollectorRegistry, ports: Callable[[], Mapping[int, int]], ends: Callable[[], bool]) -> None:
        """Serve. Made where a loop runs.

        Args:
            registry: what the supervisor counts itself.
            ports: where the workers have theirs, by number; 0: it is not up. Workers that are not to run again are not among them.
            ends: whether they are told to end.
        """
        super().__init__(registry)
        self._registry = registry
        self._scrapes = Scrapes(self._metrics)
        self._ports = ports
        self._ends = ends
        self._were_ready = False  # all at one time
        self._client: aiohttp.ClientSession | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen on `host` and `port` (0: a free one).

        Raises:
            OSError: the port cannot be bound.
        """
        await super().start(host, port)
        self._client = aiohttp.ClientSession(auto_decompress=False)

    async def stop(self) -> None:
        """Stop listening, and asking."""
        await super().stop()
        if self._client is not None:
            await self._client.close()

    async def _answer(self, request: web.Request) -> web.Response:
        match request.path:
            case "/healthz":
                return _said("ok", await self._unhealthy())
            case "/readyz":
                return _said("ready", "draining" if self._ends() else await self._unready())
            case "/metrics":
                return web.Response(body=await self._scrapes.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
            case path if path.startswith(DEBUG):
                return await self._debug(request)
            case _:
                return web.Response(status=404, text="nothing here\n")

    async def _unhealthy(self) -> str:
        """Why the node is not alive, empty where it is."""
        up = {number: port for number, port in self._ports().items() if port}
        return _first(await self._unwell(up, "/healthz", ALIVE_S))

    async def _unready(self) -> str:
        """Why the node is not ready, empty where it is."""
        ports = self._ports()
        unwell = await self._unwell(ports, "/readyz", READY_S)
        self._were_ready = self._were_ready or not unwell
        is_served = CORE not in unwell and any(number not in (CORE, *unwell) for number in ports)
        return "" if self._were_ready and is_served else _first(unwell)

    async def _unwell(self, ports: Mapping[int, int], path: str, limit_s: float) -> dict[int, str]:
        """Which of the workers at `ports` do not say 200, and what each says instead."""
        answers = await asyncio.gather(*(self._ask(port, path, limit_s) for port in ports.values()))
        return {number: each.text or NOT_UP for number, each in zip(ports, answers, strict=True) if each.status != 200}

    async def _metrics(self) -> bytes:
        ports = self._ports()
        answers = await asyncio.gather(*(self._ask(port, "/metrics", METRICS_S) for port in ports.values()))
        texts = [
            (f'{WORKER}="{number}"', each.body.decode()) for number, each in zip(ports, answers, strict=True) if each.status == 200
        ]
        return merged([("", generate_latest(self._registry).decode()), *texts]).encode()

    async def _debug(self, request: web.Request) -> web.Response:
        """What a worker says to whoever has the token."""
        ports = {str(number): port for number, port in self._ports().items()}
        named = request.query.get(WORKER, "")
        if named not in ports:
            return web.Response(status=400, text=f"{WORKER}: one of {', '.join(ports)}\n")
        url = request.rel_url.without_query_params(WORKER)
        answer = await self._ask(ports[named], str(url), DEBUG_S, request.headers.get("Authorization"))
        if not answer.status:
            return web.Response(status=503, text=f"{WORKER} {named}: {NOT_UP}\n")
        return web.Response(status=answer.status, body=answer.body, headers={"Content-Type": answer.content_type})

    async def _ask(self, port: int, path: str, limit_s: float, authorization: str | None = None) -> Answer:
        if not port or self._client is None:
            return Answer(0)
        headers = {"Authorization": authorization} if authorization is not None else {}
        try:
            async with asyncio.timeout(limit_s), self._client.get(f"http://{LOOPBACK}:{port}{path}", headers=headers) as answer:
                return Answer(answer.status, await answer.read(), answer.headers.get("Content-Type", "text/plain"))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Answer(0)


def _first(unwell: Mapping[int, str]) -> str:
    return next((f"{WORKER} {number}: {said}" for number, said in unwell.items()), "")


def _said(well: str, unwell: str) -> web.Response:
    return web.Response(status=503 if unwell else 200, text=f"{unwell or well}\n")
