"""Asking the callback, over HTTP."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

import aiohttp

from lalmesh.runtime import telemetry
from lalmesh.runtime.authorisation._callback import Breaker, CallbackSettings, Remembered, payload_of
from lalmesh.runtime.authorisation._metrics import AccessMetrics
from lalmesh.runtime.authorisation._verdict import Answer, CallbackQuestion

log = logging.getLogger(__name__)


class CallbackAsker:
    """Asks, within bounds. What is asked at the same time is asked once. `close` ends it."""

    def __init__(self, settings: CallbackSettings, metrics: AccessMetrics, clock: Callable[[], float]) -> None:
        """Ask as `settings` say; `clock` gives seconds."""
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._remembered = Remembered(settings.yes_s, settings.no_s)
        self._breaker = Breaker(settings.failures_num, settings.open_s)
        self._slots = asyncio.Semaphore(settings.concurrent_num)
        self._asking: dict[CallbackQuestion, asyncio.Task[Answer]] = {}
        tls = ssl.create_default_context(cafile=settings.ca_file or None) if settings.url.startswith("https:") else None
        self._tls: ssl.SSLContext | bool = tls or True
        self._session: aiohttp.ClientSession | None = None  # once somebody asks

    async def answer(self, question: CallbackQuestion, session_id: str) -> Answer:
        """What the callback says: now, or not long ago."""
        known = self._remembered.get(question, self._clock())
        if known is not None:
            return known
        asking = self._asking.get(question)
        if asking is None:
            if not self._breaker.may_ask(self._clock()):
                return Answer.NONE
            asking = asyncio.get_running_loop().create_task(self._asked(question, session_id), name="access-callback")
            self._asking[question] = asking
            asking.add_done_callback(lambda _: self._asking.pop(question, None))
        return await asyncio.shield(asking)  # others may wait for it too; it has a deadline of its own

    async def close(self) -> None:
        """End every question."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _asked(self, question: CallbackQuestion, session_id: str) -> Answer:
        """Have a turn, and ask. That no turn comes is no failure of the callback's."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await self._slots.acquire()
        except TimeoutError:
            self._metrics.callback_busy.inc()
            return Answer.BUSY
        try:
            return await self._ask(question, session_id)
        finally:
            self._slots.release()

    async def _ask(self, question: CallbackQuestion, session_id: str) -> Answer:
        began_s = self._clock()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                status = await self._post(question, session_id)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return self._failed(str(error) or type(error).__name__)
        if not (200 <= status < 300 or 400 <= status < 500):
            return self._failed(f"status {status}")
        self._breaker.answered()
        self._metrics.callback_open.set(0)
        self._metrics.callback_seconds.observe(self._clock() - began_s)
        answer = Answer.YES if status < 300 else Answer.NO
        self._remembered.keep(question, answer, self._clock())
        return answer

    async def _post(self, question: CallbackQuestion, session_id: str) -> int:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._settings.concurrent_num, ssl=self._tls),
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        payload = payload_of(question, session_id)
        trace = telemetry.carried(telemetry.current())
        async with self._session.post(self._settings.url, json=payload, headers=trace, allow_redirects=False) as response:
            return response.status

    def _failed(self, why: str) -> Answer:
        was_open = self._breaker.is_open
        self._breaker.failed(self._clock())
        self._metrics.callback_failures.inc()
        if self._breaker.is_open and not was_open:
            self._metrics.callback_open.set(1)
            log.error("the callback of authorisation does not answer: %s", why)
        elif not was_open:
            log.warning("a question to the callback of authorisation failed: %s", why)
        return Answer.NONE
