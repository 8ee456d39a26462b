"""What an hls node says to those who ask it themselves, where somebody guards it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from unittest import mock

import pytest
from aiohttp import ClientSession, web
from prometheus_client import CollectorRegistry
from support.tracing import traced

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import (
    CLIENT_HEADER,
    EDGE_HEADER,
    Access,
    AccessMetrics,
    AccessSettings,
    FromEdge,
    LalSecret,
    MethodName,
    Policy,
    lal_secret_of,
    parse_rule,
)
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.http_port import HttpPort, reading_app
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.scheduling import NamedStreams
from lalmesh.runtime.telemetry import TraceContext
from services.hls.guard import Guard, LetIn
from services.hls.metrics import HlsMetrics
from services.hls.naming import StreamNames

SECRET = f"lal_secret={lal_secret_of('cam', 'k')}"


class Site:
    """A guard, before something that says what it got."""

    def __init__(self) -> None:
        self.failures = 0  #: of the scheduler, from now on
        policy = Policy([parse_rule("play * lal_secret")], {MethodName.LAL_SECRET: LalSecret("k")})
        registry = CollectorRegistry()
        self.access = Access(AccessSettings(policy=policy), AccessMetrics("hls", registry))
        names = StreamNames(self._find, asyncio.get_running_loop().time)
        guard = Guard(self.access, names, self._serve)
        self.port = HttpPort("http", reading_app(guard.answer, CorsPolicy(())), ListenerLimits(), HlsMetrics(registry))

    async def _find(self, name: str) -> NamedStreams:
        if self.failures:
            self.failures -= 1
            raise Unavailable("no scheduler", retry_after_s=1.0)
        return NamedStreams((StreamKey("live", name),))

    async def _serve(self, request: web.Request, let_in: LetIn) -> web.Response:
        return web.Response(text=f"{let_in.query} {let_in.peer}")

    async def ask(self, target: str, said: FromEdge | None = None, client: str = "") -> tuple[int, str]:
        """Status, and text or Location; `client` is what the edge says of its address and port."""
        headers = {EDGE_HEADER: self.access.edge_headers.make(target, said, time.time())} if said is not None else {}
        if client:
            headers[CLIENT_HEADER] = client
        url = f"http://127.0.0.1:{self.port.port}{target}"
        async with ClientSession() as session, session.get(url, headers=headers, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    await made.port.start("127.0.0.1", 0)
    yield made
    await made.port.close("over")


async def test_an_edge_that_has_let_it_in_is_believed_and_says_whose_it_is(site: Site) -> None:
    assert await site.ask("/hls/live/cam.m3u8?a=1", FromEdge("192.0.2.7", True)) == (200, "a=1 192.0.2.7")
    assert await site.ask("/record/live/cam/x.flv", FromEdge("192.0.2.7", True)) == (200, " 192.0.2.7")
    for address, client in (("192.0.2.7", "192.0.2.7:4711"), ("2001:db8::7", "[2001:db8::7]:4711")):
        assert await site.ask("/hls/live/cam.m3u8", FromEdge(address, True), client) == (200, f" {client}")


@pytest.mark.parametrize("client", ["192.0.2.8:4711", "192.0.2.7", "192.0.2.7:x", "192.0.2.7:65536", "192.0.2.7:080", ":1", "é:1"])
async def test_what_else_stands_for_the_port_of_a_client_is_not_taken(site: Site, client: str) -> None:
    assert await site.ask("/hls/live/cam.m3u8", FromEdge("192.0.2.7", True), client) == (200, " 192.0.2.7")
    assert (await site.ask("/hls/live/cam.m3u8", None, client))[0] == 401


async def test_who_comes_by_himself_is_known_by_address_and_port(site: Site) -> None:
    _, where = await site.ask(f"/hls/live/cam.m3u8?{SECRET}")
    assert re.fullmatch(r".* 127\.0\.0\.1:[1-9]\d+", (await site.ask(where, None, "127.0.0.1:1"))[1])


@pytest.mark.parametrize("path", ["/hls/live/cam.m3u8", "/hls/cam.m3u8"])
async def test_who_comes_by_himself_gets_a_pass(site: Site, path: str) -> None:
    assert (await site.ask(path))[0] == 401
    status, where = await site.ask(f"{path}?{SECRET}")
    assert (status, where.startswith(f"{path}?hls_pass=")) == (302, True)
    assert (await site.ask(where))[0] == 200
    assert (await site.ask(where, FromEdge("192.0.2.7", False)))[0] == 401  # the pass is of another address


async def test_its_trace_outlives_the_redirection_to_a_pass(site: Site) -> None:
    trace = TraceContext(0xB, 2)
    with traced():
        _, where = await site.ask(f"/hls/live/cam.m3u8?{SECRET}&traceparent={trace}")
    assert re.fullmatch(rf"/hls/live/cam\.m3u8\?hls_pass=[^&]+&traceparent={trace}", where)
    status, text = await site.ask(where)
    assert (status, "traceparent" in text) == (200, False)


async def test_what_cannot_be_told_is_not_served(site: Site) -> None:
    site.failures = 1
    assert (await site.ask("/hls/cam.m3u8"))[0] == 503
    assert (await site.ask("/hls/cam.m3u8"))[0] == 401
    assert (await site.ask("/hls/live/%2e%2e/cam.m3u8"))[0] in (400, 401, 404)
    assert (await site.ask("/hls/"))[0] == 404


async def test_recordings_are_closed_and_so_is_their_list(site: Site) -> None:
    assert (await site.ask("/record/live/cam/x.flv"))[0] == 401
    assert await site.ask(f"/record/live/cam/x.flv?{SECRET}") == (200, mock.ANY)
    assert (await site.ask(f"/record/?{SECRET}"))[0] == 403
