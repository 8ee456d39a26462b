"""A camera that publishes: it announces what it shows to a server, with the same bad manners as the one that is asked for it.

Its requests are written by hand; it reads no more of the answers than it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from lalmesh.protocol.rtsp import InterleavedFrame, MessageReader, Response
from support.camera_film import Film
from support.camera_login import digest, parameters
from support.camera_ways import CameraCounters, CameraSettings, DatagramWay, InterleavedWay, Way
from support.ports import LOOPBACK

ANSWER_S = 30.0  #: longest wait for an answer, on a slow machine

_SERVER_PORT = re.compile(r"server_port=(\d+)-(\d+)")


class CameraPublisher:
    """``await CameraPublisher(file, url, settings).run()`` shows the file to the server at `url`."""

    def __init__(self, file: Path, url: str, settings: CameraSettings, *, by_udp: bool) -> None:
        """Publish a FLV file to a server on loopback; `url` is without a login, which is in `settings`."""
        self.settings = settings
        self.counters = CameraCounters()
        self.film = Film(file, settings)
        self.url = url
        self._by_udp = by_udp
        self._ways: dict[int, Way] = {}
        self._answers: asyncio.Queue[Response] = asyncio.Queue()
        self._number = 0
        self._session = ""
        self._challenge: dict[str, str] = {}

    async def run(self) -> None:
        """Publish the whole film, then say that it is over.

        Raises:
            AssertionError: the server refused.
        """
        port = int(self.url.split(":")[2].partition("/")[0])
        reader, self._writer = await asyncio.open_connection(LOOPBACK, port)
        reading = asyncio.create_task(self._read(reader))
        try:
            await self._begin()
            await self.film.show(self._ways, self._drain)
            await self._ask("TEARDOWN", self.url)
        finally:
            for way in self._ways.values():
                way.close()
            self._writer.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _begin(self) -> None:
        await self._ask("OPTIONS", self.url)
        description = self.film.describe(self.url, "sendonly")
        await self._ask("ANNOUNCE", self.url, "Content-Type: application/sdp", body=description)
        for number in range(len(self.film.tracks)):
            answer = await self._ask("SETUP", f"{self.url}/trackID={number}", f"Transport: {self._offer(number)};mode=record")
            self._session = answer.headers.get("session").partition(";")[0]
            self._take(number, answer.headers.get("transport"))
        await self._ask("RECORD", self.url, "Range: npt=0.000-")

    def _offer(self, number: int) -> str:
        if not self._by_udp:
            interleaved = InterleavedWay(self.settings, self.counters, self._writer, 2 * number)
            self._ways[number] = interleaved
            return interleaved.transport
        datagrams = DatagramWay(self.settings, self.counters)
        self._ways[number] = datagrams
        return f"RTP/AVP;unicast;client_port={datagrams.ports}"

    def _take(self, number: int, told: str) -> None:
        way = self._ways[number]
        if isinstance(way, DatagramWay):
            found = _SERVER_PORT.search(told)
            assert found is not None, told
            way.to = int(found[1]), int(found[2])

    async def _ask(self, method: str, uri: str, *fields: str, body: bytes = b"") -> Response:
        answer = await self._say(method, uri, fields, body)
        if answer.status == 401 and not self._challenge:
            self.counters.refused += 1
            self._challenge = self._chosen(answer.headers.all("www-authenticate"))
            answer = await self._say(method, uri, fields, body)
        assert answer.status == 200, f"{method}: {answer.status} {answer.reason}"
        self.counters.methods.append(method)
        return answer

    def _chosen(self, challenges: Sequence[str]) -> dict[str, str]:
        """The challenge with the algorithm that this one knows; one that knows none by name takes MD5."""
        known = [parameters(one) for one in challenges if one.startswith("Digest ")]
        return next(one for one in known if one.get("algorithm", "MD5") == (self.settings.algorithm or "MD5"))

    async def _say(self, method: str, uri: str, fields: Sequence[str], body: bytes) -> Response:
        self._number += 1
        lines = [f"{method} {uri} RTSP/1.0", f"CSeq: {self._number}", *fields]
        lines += [f"Session: {self._session}"] if self._session else []
        lines += [f"Authorization: {self._login(method, uri)}"] if self._challenge else []
        lines += [f"Content-length: {len(body)}"] if body else []
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body)
        async with asyncio.timeout(ANSWER_S):
            return await self._answers.get()

    def _login(self, method: str, uri: str) -> str:
        realm, nonce = self._challenge["realm"], self._challenge["nonce"]
        response = digest(self.settings, realm, nonce, method, uri)
        said = f'Digest username="{self.settings.user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}"'
        return f"{said}, algorithm={self.settings.algorithm}" if self.settings.algorithm else said

    async def _read(self, reader: asyncio.StreamReader) -> None:
        messages = MessageReader()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                for message in messages.feed(data):
                    if isinstance(message, Response):
                        self._answers.put_nowait(message)
                    elif isinstance(message, InterleavedFrame):
                        self.counters.reports += 1

    async def _drain(self) -> None:
        await self._writer.drain()
