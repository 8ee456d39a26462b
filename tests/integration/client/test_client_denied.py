"""Addresses that a client must not reach, by whatever way it is led there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from lalmesh.client import ClientOptions, ConnectionFailed, open_player, open_source
from lalmesh.runtime.networks import Networks

OUTSIDE, INSIDE = "127.0.0.1", "127.0.0.2"
OPTIONS = ClientOptions(denied=Networks([INSIDE]), rtsp_transport="tcp")
LIMIT_S = 30.0


@asynccontextmanager
async def guarded() -> AsyncIterator[tuple[int, list[object]]]:
    """A server inside: its port, and who came."""
    came: list[object] = []

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer.get_extra_info("peername"))
        writer.close()

    async with await asyncio.start_server(accept, INSIDE, 0) as server:
        yield server.sockets[0].getsockname()[1], came


@asynccontextmanager
async def redirecting(target: str) -> AsyncIterator[str]:
    """A server outside that sends everybody to `target`; where it is."""

    async def answer(_: web.Request) -> web.Response:
        raise web.HTTPFound(target)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, OUTSIDE, 0)
    await site.start()
    try:
        host, port = runner.addresses[0]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("scheme", ["rtmp", "rtsp", "http", "ws"])
async def test_it_is_not_dialled(scheme: str) -> None:
    async with guarded() as (port, came), asyncio.timeout(LIMIT_S):
        with pytest.raises(ConnectionFailed, match="must not be reached"):
            await open_source(f"{scheme}://{INSIDE}:{port}/live/cam", OPTIONS).__aenter__()
    assert came == []


@pytest.mark.parametrize("scheme", ["rtmp", "rtsp", "http"])
async def test_nor_by_a_name_that_leads_there(scheme: str) -> None:
    options = ClientOptions(denied=Networks(["127.0.0.0/8", "::1"]))
    with pytest.raises(ConnectionFailed, match="must not be reached"):
        await open_source(f"{scheme}://localhost:9/live/cam", options).__aenter__()


@pytest.mark.parametrize("scheme", ["rtmp", "rtsp", "http"])
@pytest.mark.parametrize("host", ["0.0.0.0", "[::ffff:0.0.0.0]", "[::]"])
async def test_nor_by_the_unspecified_address_that_systems_take_for_their_own(scheme: str, host: str) -> None:
    options = ClientOptions(denied=Networks(["127.0.0.0/8", "::1"]))
    with pytest.raises(ConnectionFailed, match="must not be reached"):
        await open_source(f"{scheme}://{host}:9/live/cam", options).__aenter__()


@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("inside", [INSIDE, f"[::ffff:{INSIDE}]"])
async def test_nor_by_a_redirect(scheme: str, inside: str) -> None:
    async with guarded() as (port, came), redirecting(f"http://{inside}:{port}/secret") as outside, asyncio.timeout(LIMIT_S):
        with pytest.raises(ConnectionFailed, match="must not be reached"):
            await open_player(f"{scheme}://{outside}/live/cam.flv", OPTIONS).__aenter__()
    assert came == []


async def test_nor_by_the_redirect_of_an_rtsp_server() -> None:
    async with guarded() as (port, came), asyncio.timeout(LIMIT_S):

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            cseq = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"cseq"))
            writer.write(b"RTSP/1.0 302 Found\r\n" + cseq + f"\r\nLocation: rtsp://{INSIDE}:{port}/x\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(accept, OUTSIDE, 0) as server:
            url = f"rtsp://{OUTSIDE}:{server.sockets[0].getsockname()[1]}/live/cam"
            with pytest.raises(ConnectionFailed, match="must not be reached"):
                await open_source(url, OPTIONS).__aenter__()
    assert came == []
