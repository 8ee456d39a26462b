"""Asking hls nodes: one request to the first node that can be reached, and one shared by all who want the same at the same time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiohttp

from lalmesh.errors import Unavailable
from lalmesh.runtime.hls_answers import CODECS_HEADER, PUBLICATION_HEADER, Played, codecs_in
from services.edge.answer_cache import PASSED_ON, Answer, AnswerCache
from services.edge.held_bodies import HeldBodies
from services.edge.hls_nodes import RETRY_AFTER_S, HlsNodes, HlsProxyCounters, Wanted, said
from services.edge.upstreams import HlsUpstreams, UpstreamChoice

CONNECT_S = 2.0  #: for a connection to a node; the next one is asked then
MAX_SHARED_BYTES = 8 << 20  #: of an answer that is kept in memory as a whole; 6 s at 10 Mbit/s are less
#: kept of answers that something is not there, beside the cache: whoever asks for what is nowhere must not drive out what there is
MISSING_BYTES, MAX_MISSING = 1 << 20, 500
MAX_LARGE = 1_000  #: things that are remembered as larger: they are not begun twice, to be kept and then to be passed on


@dataclass(slots=True, frozen=True, kw_only=True)
class HlsProxySettings:
    """What the edge keeps of hls nodes' answers."""

    upstreams: tuple[str, ...] = ()  #: HOST:PORT each; none: those that the scheduler knows
    cache_bytes: int = 64 << 20  #: 0: nothing is kept
    silence_s: float = 60.0  #: of a node after which it is given up: longer than it may let anybody wait


class _Fetch:
    """One request to a node and those who wait for its answer.

    Each waits for a future of its own, rather than for a shield around the task, which would cost two calls of the loop more.
    """

    __slots__ = ("_waiters", "task")

    def __init__(self, task: asyncio.Task[Answer | None]) -> None:
        self.task = task
        self._waiters: dict[asyncio.Future[Answer | None], None] = {}  # in the order in which they came
        task.add_done_callback(self._over)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for it."""
        return bool(self._waiters)

    async def answer(self) -> Answer | None:
        """Its answer, or what it raises; who is cancelled while he waits cancels nothing else."""
        if self.task.done():
            return self.task.result()
        waiter: asyncio.Future[Answer | None] = self.task.get_loop().create_future()
        self._waiters[waiter] = None
        try:
            return await waiter
        finally:
            del self._waiters[waiter]

    def _over(self, task: asyncio.Task[Answer | None]) -> None:
        error = None if task.cancelled() else task.exception()  # looked at, even where nobody is left to get it
        for waiter in self._waiters:
            if waiter.done():
                continue
            if task.cancelled():
                waiter.cancel()
            elif error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(task.result())


class HlsClient:
    """Asks hls nodes. Made where a loop runs; `close` ends it."""

    def __init__(self, upstreams: HlsUpstreams, settings: HlsProxySettings, clock: Callable[[], float]) -> None:
        """Ask `upstreams`; `clock` gives seconds."""
        self.counters = HlsProxyCounters()
        self.held = HeldBodies()  #: answers on their way, beside the cache
        self._cache = AnswerCache(settings.cache_bytes)
        self._missing = AnswerCache(min(settings.cache_bytes, MISSING_BYTES), MAX_MISSING)
        self._clock = clock
        self._fetches: dict[str, _Fetch] = {}
        self._large: dict[str, None] = {}  # in the order in which they were found
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # each is for a client's connection, which its listener has let in
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=settings.silence_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )
        self._nodes = HlsNodes(UpstreamChoice(upstreams, clock), self._session, self.counters)

    def now(self) -> float:
        """The time that answers' `fetched_at` is of."""
        return self._clock()

    async def close(self) -> None:
        """End every request."""
        tasks = [fetch.task for fetch in self._fetches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    async def answer(self, wanted: Wanted) -> Answer | None:
        """The answer to `wanted`, from the cache, from a request that is under way, or from one of its own.

        None where it is too large to be kept in memory, or of unknown size and turns out to be: `opened` passes it through.

        Raises:
            Unavailable: no node could be reached, or the one that was fell silent.
        """
        if wanted.target in self._large:
            return None
        cached = self._cache.get(wanted.target, self._clock()) or self._missing.get(wanted.target, self._clock())
        if cached is not None:
            self.counters.cached += 1
            return cached
        fetch = self._fetches.get(wanted.target)
        if fetch is None:
            return await self._joined(wanted.target, self._begin(wanted))
        answer = await self._joined(wanted.target, fetch)
        if answer is not None and not answer.may_be_shared:
            return await self._fetched(wanted)  # meant for whoever asked first, such as a session of its own
        self.counters.shared += answer is not None
        return answer

    def _begin(self, wanted: Wanted) -> _Fetch:
        fetch = _Fetch(asyncio.get_running_loop().create_task(self._fetched(wanted), name=f"hls {wanted.target}"))
        self._fetches[wanted.target] = fetch
        fetch.task.add_done_callback(lambda _: self._over(wanted.target, fetch))
        return fetch

    async def _joined(self, target: str, fetch: _Fetch) -> Answer | None:
        """Wait for a fetch; the last who leaves ends it, and no other does."""
        try:
            return await fetch.answer()
        finally:
            if not fetch.is_wanted and not fetch.task.done():
                self._over(target, fetch)  # at once: whoever comes now begins anew
                fetch.task.cancel()

    def _over(self, target: str, fetch: _Fetch) -> None:
        if self._fetches.get(target) is fetch:
            del self._fetches[target]

    async def _fetched(self, wanted: Wanted) -> Answer | None:
        async with self.opened(wanted) as upstream:
            size = upstream.content_length
            if size is not None and size > MAX_SHARED_BYTES:
                upstream.close()
                self._is_large(wanted.target)
                return None
            try:
                body = await self._whole_body(wanted.target, upstream)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.counters.unanswered += 1
                raise Unavailable(f"hls node broke off: {said(error)}", retry_after_s=RETRY_AFTER_S) from error
        if body is None:
            return None
        answer = Answer(
            status=upstream.status,
            headers=passed_on(upstream),
            body=body,
            fetched_at=self._clock(),
            codecs=codecs_in(upstream.headers.get(CODECS_HEADER, "")),
            played=Played.parse(upstream.headers.get(PUBLICATION_HEADER, "")),
        )
        (self._cache if answer.status == 200 else self._missing).put(wanted.target, answer)
        return answer

    def _is_large(self, target: str) -> None:
        self._large[target] = None
        if len(self._large) > MAX_LARGE:
            del self._large[next(iter(self._large))]

    async def _whole_body(self, target: str, upstream: aiohttp.ClientResponse) -> bytes | None:
        """The body; None where it is over `MAX_SHARED_BYTES`, or more than may be held of all together."""
        chunks, size = list[bytes](), 0
        try:
            async for chunk in upstream.content.iter_any():
                if size + len(chunk) > MAX_SHARED_BYTES:
                    self._is_large(target)
                if target in self._large or not self.held.take(len(chunk)):
                    upstream.close()
                    return None
                chunks.append(chunk)
                size += len(chunk)
            return b"".join(chunks)
        finally:
            self.held.give_back(size)

    @contextlib.asynccontextmanager
    async def opened(self, wanted: Wanted) -> AsyncIterator[aiohttp.ClientResponse]:
        """The head of an answer whose body the caller reads.

        Raises:
            Unavailable: no node could be reached, or the one that was fell silent.
        """
        self.counters.asked += 1
        upstream = await self._nodes.ask(wanted)
        try:
            yield upstream
        finally:
            upstream.release()


def passed_on(upstream: aiohttp.ClientResponse) -> dict[str, str]:
    """The headers of an answer that its player gets."""
    return {name: upstream.headers[name] for name in PASSED_ON if name in upstream.headers}
