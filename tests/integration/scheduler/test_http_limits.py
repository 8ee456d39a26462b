"""The HTTP port of a scheduler has the deadlines of every listener."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from lalmesh.runtime.listener import ListenerLimits
from services.scheduler import SchedulerApp
from services.scheduler import app as scheduler_app
from services.scheduler.registry import MemoryRegistry

LIMIT_S = 10.0


async def test_it_waits_for_nobody_who_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_app, "HTTP_LIMITS", ListenerLimits(handshake_timeout_s=0.1))
    app = SchedulerApp(MemoryRegistry(time.monotonic), [b"key"], http_port=0)
    async with asyncio.timeout(LIMIT_S):
        await app.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", app.http_port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        await app.stop()
