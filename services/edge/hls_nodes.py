"""Asking hls nodes one thing: who can be reached and knows where the stream is gives the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from yarl import URL

from lalmesh.errors import Unavailable
from lalmesh.runtime.hls_answers import OWNER_HEADER, OWNER_UNKNOWN
from services.edge.upstreams import Upstream, UpstreamChoice, stream_of

log = logging.getLogger(__name__)

DOUBT_S = 1.0  #: between two looks whether a node that has not answered yet is there still
#: for a node that is asked for a stream for the first time, until the one that has answered before is asked beside it: while the
#: schedulers hang, it may wait for them for seconds, and a player has a segment or two
PATIENCE_S = 0.5
RETRY_AFTER_S = 1.0
REDIRECTIONS = range(300, 400)  #: to a session, say: whoever sends a player there need not know of the stream


@dataclass(slots=True)
class HlsProxyCounters:
    """What became of requests. Only rises."""

    cached: int = 0  #: answered from the cache
    shared: int = 0  #: answered with what somebody else had asked for
    asked: int = 0  #: that a node was asked for
    overtaken: int = 0  #: answered by another node than the one that was asked first and did not answer in time
    failed_connects: int = 0  #: nodes that could not be reached
    unanswered: int = 0  #: that no node answered
    sent_bytes: int = 0  #: of bodies that clients were given


@dataclass(slots=True, frozen=True)
class Wanted:
    """What a player asks for."""

    target: str  #: path and query as they came, percent-encoded
    headers: Callable[[], Mapping[str, str]] = dict  #: gives what is to be sent on: asked when a node is, which is seldom
    method: str = "GET"

    @property
    def stream(self) -> str:
        """What decides which node is asked."""
        return stream_of(self.target.partition("?")[0])


class HlsNodes:
    """All hls nodes, as one that is asked."""

    def __init__(self, choice: UpstreamChoice, session: aiohttp.ClientSession, counters: HlsProxyCounters) -> None:
        """Ask through `session`, in the order of `choice`."""
        self._choice = choice
        self._session = session
        self._counters = counters

    async def ask(self, wanted: Wanted) -> aiohttp.ClientResponse:
        """The answer of the first node that can be reached and knows where the stream is; of one that does not where none does.

        Raises:
            Unavailable: no node could be reached, or the one that was fell silent.
        """
        headers = wanted.headers()  # now, while its client is here
        reason, asked, others_know = "no hls node is known", self._choice.ranked(wanted.stream), False
        for preferred in asked:
            try:
                upstream, answer = await self._asked_in_time(preferred, wanted, headers)
            except aiohttp.SocketTimeoutError as error:
                reason = f"hls node {preferred.name} fell silent: {said(error)}"
                break  # it is there and may have begun: the next one would be as late
            except (aiohttp.ClientError, OSError) as error:
                reason = f"hls node {preferred.name} cannot be reached: {said(error)}"
                self._counters.failed_connects += 1
                self._choice.failed(preferred)
                continue
            self._choice.reached(upstream)
            if not _knows_stream(answer) and preferred is not asked[-1]:
                reason = f"hls node {upstream.name} does not know who has the stream"
                answer.release()
                others_know = True
                continue
            if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and answer.status not in REDIRECTIONS:
                self._choice.answered(wanted.stream, upstream, first=others_know or upstream != preferred)
            return answer
        self._counters.unanswered += 1
        log.warning("hls request unanswered: %s", reason, extra={"target": wanted.target.partition("?")[0]})
        raise Unavailable(reason, retry_after_s=RETRY_AFTER_S)

    async def _asked_in_time(
        self, upstream: Upstream, wanted: Wanted, headers: Mapping[str, str]
    ) -> tuple[Upstream, aiohttp.ClientResponse]:
        """The answer of `upstream`, or of the node that has answered for the stream before if that is faster; and whose it is.

        Raises:
            aiohttp.ClientError: as `_asked`.
        """
        before = self._choice.last(wanted.stream)
        if before is None or before == upstream:
            return upstream, await self._asked(upstream, wanted, headers)
        asking = {asyncio.ensure_future(self._asked(upstream, wanted, headers)): upstream}
        try:
            if not (await asyncio.wait(asking, timeout=PATIENCE_S))[0]:
                asking[asyncio.ensure_future(self._asked(before, wanted, headers))] = before
            answering = await _first_that_knows(asking)
            answer, who = answering.result(), asking.pop(answering)
            self._counters.overtaken += who == before
            return who, answer
        finally:
            for task in asking:
                _give_up(task)

    async def _asked(self, upstream: Upstream, wanted: Wanted, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The answer of a node, as long as that is there: a machine that vanished says nothing for long.

        Raises:
            aiohttp.ClientError: no answer, or the node has left meanwhile.
        """
        url = URL(f"http://{upstream.authority}{wanted.target}", encoded=True)
        request = self._session.request(wanted.method, url, headers=headers, allow_redirects=False)
        asking = asyncio.ensure_future(request)
        try:
            while not (await asyncio.wait([asking], timeout=DOUBT_S))[0]:
                if not self._choice.knows(upstream):
                    asking.cancel()
                    raise aiohttp.ClientConnectionError("it has left the cluster")
        except asyncio.CancelledError:
            _give_up(asking)
            raise
        return asking.result()


async def _first_that_knows(asking: Collection[asyncio.Task[aiohttp.ClientResponse]]) -> asyncio.Task[aiohttp.ClientResponse]:
    """Whichever answers first and knows the stream; the last one where none does."""
    waiting = set(asking)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not waiting or (not task.exception() and _knows_stream(task.result())):
                return task


def _knows_stream(answer: aiohttp.ClientResponse) -> bool:
    return answer.headers.get(OWNER_HEADER) != OWNER_UNKNOWN


def _give_up(asking: asyncio.Task[aiohttp.ClientResponse]) -> None:
    if not asking.cancel() and not asking.exception():
        asking.result().close()


def said(error: BaseException) -> str:
    """What an error of a connection has to say."""
    return str(error) or type(error).__name__
