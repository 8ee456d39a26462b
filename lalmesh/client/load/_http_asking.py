"""One player's connection for requests one after the other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lalmesh.client._errors import ConnectionFailed, TimedOut
from lalmesh.client.load._http_reading import HttpUrl, ResponseReader
from lalmesh.client.load._talks import request
from lalmesh.client.load._wire import Dialler, Wire


@dataclass(slots=True, frozen=True)
class HttpAnswer:
    """What came for a request."""

    url: HttpUrl  #: that answered: another than was asked, behind redirects
    status: int
    reason: str
    body: bytes  #: empty where it was not to be kept
    size_bytes: int  #: of the body


class HttpAsking:
    """Asks. A body that nobody looks at is thrown away inside the kernel."""

    def __init__(self, dialler: Dialler) -> None:
        """Connect when it is needed."""
        self._dialler = dialler
        self._wire: Wire | None = None
        self._where: tuple[str, int, bool] | None = None

    async def get(self, url: HttpUrl, *, keep: bool, limit_s: float) -> HttpAnswer:
        """Get what is at `url`, or where that leads; its body too, if `keep`.

        Raises:
            ConnectionFailed, TimedOut, RemoteProtocolError: it cannot be had.
        """
        for _ in range(self._dialler.options.max_redirects + 1):
            answer, location = await self._ask(url, keep, limit_s)
            if not location:
                return answer
            url = url.joined_url(location)
        raise ConnectionFailed(f"over {self._dialler.options.max_redirects} redirects")

    async def _ask(self, url: HttpUrl, keep: bool, limit_s: float) -> tuple[HttpAnswer, str]:
        where = url.host, url.port, url.is_encrypted
        try:
            async with asyncio.timeout(limit_s):
                if self._wire is not None and self._where == where:
                    try:
                        return await self._exchange(self._wire, url, keep)
                    except ConnectionFailed:  # it was closed meanwhile, as servers do with idle ones
                        pass
                self.close()
                self._wire = await self._dialler.dial(url.host, url.port, tls=url.is_encrypted)
                self._where = where
                return await self._exchange(self._wire, url, keep)
        except TimeoutError:
            self.close()
            raise TimedOut("answer", limit_s) from None

    async def _exchange(self, wire: Wire, url: HttpUrl, keep: bool) -> tuple[HttpAnswer, str]:
        wire.send(request(url))
        response, pieces, passed_bytes = ResponseReader(), list[bytes](), 0
        while not response.is_whole:
            passes = response.can_be_passed and bool(response.left) and not keep and response.status == 200
            try:
                size, data = (wire.discard(response.left or 0), None) if passes else (0, wire.read())
            except ConnectionFailed:
                if response.status and response.can_be_passed and response.left is None:
                    break  # that was its end
                raise
            if size:
                response.passed(size)
                passed_bytes += size
            elif data:
                body = response.feed(data)
                passed_bytes += len(body)
                pieces.append(body)
            else:
                await wire.readable()
        if not response.keeps_open:
            self.close()
        body = b"".join(pieces) if keep or response.status != 200 else b""
        return HttpAnswer(url, response.status, response.reason, body, passed_bytes), response.location

    def close(self) -> None:
        """Give the connection up."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
