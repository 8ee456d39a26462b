"""One request to a receiver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote

import aiohttp

from lalmesh.errors import ServiceError
from lalmesh.runtime import telemetry
from lalmesh.runtime.notify import EVENT, Receiver
from services.scheduler.notifying._formats import Message
from services.scheduler.notifying._signing import signature_of

MAX_ERROR_CHARS = 200  #: of an answer that is no success, for the log and the dead letter
LATER = frozenset({408, 425, 429})  #: of 4xx: those that say to come again
AT_ONCE = 32  #: requests to one receiver; what waits for its turn is no longer waiting for an answer


class DeliveryError(ServiceError):
    """A receiver did not take an event."""

    def __init__(self, reason: str, *, is_refused: bool = False) -> None:
        """Say why, and whether it will not take it later either."""
        self.is_refused = is_refused
        super().__init__(reason)


class Sink(Protocol):
    """What brings messages to a receiver."""

    async def send(self, receiver: Receiver, url: str, event_id: str, message: Message, attempt: int) -> None:
        """Bring it once.

        Raises:
            DeliveryError: it was not taken.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class HttpSink:
    """By HTTP POST. Build it on the loop that uses it."""

    def __init__(self, *, wall_clock: Callable[[], float] = time.time) -> None:
        """Nothing is connected yet; `wall_clock` gives the Unix seconds of signatures."""
        self._wall_clock = wall_clock
        connector = aiohttp.TCPConnector(limit=0)  # receivers may be of one host: one that is slow must leave room to the others
        self._client = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        self._turns: dict[str, asyncio.Semaphore] = {}  # of receivers, by their names

    async def send(self, receiver: Receiver, url: str, event_id: str, message: Message, attempt: int) -> None:
        """See `Sink.send`."""
        async with self._turns.setdefault(receiver.name, asyncio.Semaphore(AT_ONCE)):
            await self._send(receiver, url, event_id, message, attempt)

    async def _send(self, receiver: Receiver, url: str, event_id: str, message: Message, attempt: int) -> None:
        timeout = aiohttp.ClientTimeout(total=receiver.timeout_s)
        where = url.replace(EVENT, quote(message.name, safe=""))
        headers = self._headers(receiver, event_id, message, attempt)
        try:
            async with self._client.post(
                where, data=message.body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                _check(answer)
        except TimeoutError:
            raise DeliveryError(f"no answer in {receiver.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryError((str(error) or type(error).__name__)[:MAX_ERROR_CHARS]) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _headers(self, receiver: Receiver, event_id: str, message: Message, attempt: int) -> dict[str, str]:
        now_s = int(self._wall_clock())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "lalmesh",
            "webhook-id": event_id,
            "webhook-timestamp": str(now_s),
            "lalmesh-event": message.name,
            "lalmesh-attempt": str(attempt),
        }
        if receiver.secret:
            headers["webhook-signature"] = signature_of(receiver.secret, event_id, now_s, message.body)
        return headers | telemetry.carried(telemetry.current())


def _check(answer: aiohttp.ClientResponse) -> None:
    if not 200 <= answer.status < 300:
        raise DeliveryError(
            f"HTTP {answer.status} {answer.reason or ''}"[:MAX_ERROR_CHARS].rstrip(),
            is_refused=400 <= answer.status < 500 and answer.status not in LATER,
        )
