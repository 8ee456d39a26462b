"""One player's connection for requests one after the other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lalmesh.client._errors import ConnectionFailed, TimedOut
from lalmesh.client.load._http_answer import MAX_REASON_BYTES, request
from lalmesh.client.load._http_reading import HttpUrl, ResponseReader
from lalmesh.client.load._wire import Dialler, Wire
from lalmesh.errors import LimitExceeded


@dataclass(slots=True, frozen=True)
class HttpAnswer:
    """What came for a request."""

    url: HttpUrl  #: that answered: another than was asked, behind redirects
    status: int
    reason: str
    body: bytes  #: empty where it was not to be kept; of a refusal its beginning
    size_bytes: int  #: of the body


class HttpAsking:
    """Asks. A body that nobody looks at is thrown away inside the kernel."""

    def __init__(self, dialler: Dialler) -> None:
        """Connect when it is needed."""
        self._dialler = dialler
        self._wire: Wire | None = None
        self._where: tuple[str, int, bool] | None = None
        self._has_answered = False  # any of what was asked last

    async def get(self, url: HttpUrl, *, keep_bytes: int, limit_s: float) -> HttpAnswer:
        """Get what is at `url`, or where that leads, and keep its body; `keep_bytes`: how long that may be, 0 where it is not kept.

        Raises:
            ConnectionFailed, TimedOut, RemoteProtocolError, InvalidUrl: it cannot be had.
            LimitExceeded: it is longer.
        """
        for _ in range(self._dialler.options.max_redirects + 1):
            answer, location = await self._ask(url, keep_bytes, limit_s)
            if not location:
                return answer
            url = url.joined_url(location)
        raise ConnectionFailed(f"over {self._dialler.options.max_redirects} redirects")

    async def _ask(self, url: HttpUrl, keep_bytes: int, limit_s: float) -> tuple[HttpAnswer, str]:
        where = url.host, url.port, url.is_encrypted
        try:
            async with asyncio.timeout(limit_s):
                if self._wire is not None and self._where == where:
                    try:
                        return await self._exchange(self._wire, url, keep_bytes)
                    except ConnectionFailed:
                        if self._has_answered:
                            self.close()
                            raise
                        # it was closed meanwhile, as servers do with idle ones
                self.close()
                self._wire = await self._dialler.dial(url.host, url.port, tls=url.is_encrypted)
                self._where = where
                return await self._exchange(self._wire, url, keep_bytes)
        except TimeoutError:
            self.close()
            raise TimedOut("answer", limit_s) from None

    async def _exchange(self, wire: Wire, url: HttpUrl, keep_bytes: int) -> tuple[HttpAnswer, str]:
        self._has_answered = False
        wire.send(request(url))
        response, pieces, passed_bytes = ResponseReader(), list[bytes](), 0
        while not response.is_whole:
            passes = response.can_be_passed and bool(response.left) and not keep_bytes and response.status == 200
            try:
                size, data = (wire.discard(response.left or 0), None) if passes else (0, wire.read())
            except ConnectionFailed:
                if response.status and response.can_be_passed and response.left is None:
                    break  # that was its end
                raise
            if size or data:
                self._has_answered = True
            if size:
                response.passed(size)
                passed_bytes += size
            elif data:
                body = response.feed(data)
                if passed_bytes < (keep_bytes if response.status == 200 else MAX_REASON_BYTES):
                    pieces.append(body)
                passed_bytes += len(body)
                if response.status == 200 and 0 < keep_bytes < passed_bytes:
                    raise LimitExceeded("bytes of an answer", passed_bytes, keep_bytes)
            else:
                await wire.readable()
        if not response.keeps_open:
            self.close()
        return HttpAnswer(url, response.status, response.reason, b"".join(pieces), passed_bytes), response.location

    def close(self) -> None:
        """Give the connection up."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
