"""The console over real HTTP: with files, without them, and what nobody gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.members import Member

from lalmesh.runtime.scheduling import Role
from services.scheduler import SchedulerApp, console
from services.scheduler.console import INDEX, NOT_BUILT, PLAYER, POLICY
from services.scheduler.registry import MemoryRegistry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the console is looked for."""
    monkeypatch.setattr(console, "FOLDERS", (tmp_path / "console",))
    return tmp_path / "console"


def build(folder: Path) -> None:
    (folder / "assets").mkdir(parents=True)
    (folder / INDEX).write_text("<p>console")
    (folder / PLAYER).write_text("<p>player")
    (folder / "assets" / "a-1234.js").write_text("1")
    (folder.parent / "secret.html").write_text("secret")


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[SchedulerApp, aiohttp.ClientSession]]:
    app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [b"key"], http_port=0)
    await app.start()
    try:
        await app.service.ready()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{app.http_port}") as session:
            yield app, session
    finally:
        await app.stop()


async def test_pages_have_policies_and_files_are_kept(folder: Path) -> None:
    build(folder)
    async with serving() as (app, session), Member("e1", Role.EDGE, app.service):
        async with session.get("/console/") as page:
            assert (page.status, await page.text(), page.content_type) == (200, "<p>console", "text/html")
            assert page.headers["Content-Security-Policy"] == POLICY
            assert page.headers["Cache-Control"] == "no-cache"
        async with session.get(f"/console/{PLAYER}") as player:
            assert (player.status, "frame-ancestors 'self'" in player.headers["Content-Security-Policy"]) == (200, True)
        async with session.get("/console/assets/a-1234.js") as script:
            assert (script.status, await script.text(), script.content_type) == (200, "1", "text/javascript")
            assert "immutable" in script.headers["Cache-Control"]
        async with session.get("/console", allow_redirects=False) as lead:
            assert (lead.status, lead.headers["Location"]) == (308, "/console/")
        async with session.get("/lal.html") as old:
            assert (old.status, old.url.path) == (200, "/console/")
        async with session.head("/console/") as head:
            assert head.status == 200
        async with session.post("/console/") as posted:
            assert posted.status == 405


@pytest.mark.parametrize("path", ["..%2fsecret.html", "%2e%2e/secret.html", "assets/../../secret.html", "assets/", "a.js"])
async def test_nothing_but_its_files_is_served(folder: Path, path: str) -> None:
    build(folder)
    async with serving() as (app, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", app.http_port)
        writer.write(f"GET /console/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 404 "), answer
        assert b"secret" not in answer


async def test_without_a_console_it_is_said_what_is_missing(folder: Path) -> None:
    async with serving() as (_, session):
        for path in ("/console/", "/console/index.html"):
            async with session.get(path) as page:
                assert (page.status, await page.text()) == (404, NOT_BUILT)
