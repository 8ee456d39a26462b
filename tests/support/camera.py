"""A camera, as cheap ones are: RTSP with Digest, a description that leaves things out, and a way on which packets are lost.

It shares no dialogue with the server of the project: its answers are written by hand. What it does wrong is drawn from a seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from pathlib import Path

from lalmesh.protocol.rtsp import InterleavedFrame, MessageReader, Request
from support.camera_film import Film
from support.camera_login import digest, parameters
from support.camera_ways import CameraCounters, CameraSettings, DatagramWay, InterleavedWay, Way
from support.loopback_server import LoopbackServer
from support.ports import LOOPBACK

REALM = "IP Camera(12345)"

_TRACK = re.compile(r"trackID=(\d+)")


class Camera(LoopbackServer):
    """``async with Camera(file) as camera: camera.url``."""

    def __init__(self, file: Path, settings: CameraSettings | None = None) -> None:
        """Show what is in a FLV file."""
        super().__init__()
        self.settings = settings or CameraSettings()
        self.counters = CameraCounters()
        self.film = Film(file, self.settings)

    @property
    def address(self) -> str:
        """Its URL without the login."""
        return f"rtsp://{LOOPBACK}:{self.port}/Streaming/Channels/101?transportmode=unicast"

    @property
    def url(self) -> str:
        """Its URL, login included."""
        return self.address.replace("//", f"//{self.settings.user}:{self.settings.password}@", 1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One player."""
        await _Connection(self, reader, writer).serve()


class _Connection:
    """One player."""

    def __init__(self, camera: Camera, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.camera = camera
        self.settings = camera.settings
        self.reader = reader
        self.writer = writer
        self.nonce = hashlib.md5(str(id(self)).encode(), usedforsecurity=False).hexdigest()
        self.ways: dict[int, Way] = {}
        self.playing: asyncio.Task[None] | None = None
        self.heard_s = 0.0

    async def serve(self) -> None:
        messages, loop = MessageReader(), asyncio.get_running_loop()
        self.heard_s = loop.time()
        try:
            while True:
                async with asyncio.timeout_at(self.heard_s + self.settings.timeout_s):
                    data = await self.reader.read(65_536)
                if not data:
                    return
                for message in messages.feed(data):
                    if isinstance(message, InterleavedFrame):
                        self.camera.counters.reports += 1  # says nothing of the session to this camera
                    elif isinstance(message, Request):
                        self.heard_s = loop.time()
                        await self.answer(message)
        finally:
            if self.playing is not None:
                self.playing.cancel()
                await asyncio.gather(self.playing, return_exceptions=True)
            for way in self.ways.values():
                way.close()

    async def answer(self, request: Request) -> None:
        if request.method != "OPTIONS" and not self.is_known(request):
            self.camera.counters.refused += 1
            algorithm = f', algorithm="{self.settings.algorithm}"' if self.settings.algorithm else ""
            self.say(request, "401 Unauthorized", f'WWW-Authenticate: Digest realm="{REALM}", nonce="{self.nonce}"{algorithm}')
            return
        self.camera.counters.methods.append(request.method)
        match request.method:
            case "OPTIONS":
                self.say(request, "200 OK", f"Public: {self.settings.public}")
            case "DESCRIBE":
                base, body = f"Content-Base: {self.camera.address}/", self.camera.film.describe(self.camera.address, "recvonly")
                self.say(request, "200 OK", base, "Content-Type: application/sdp", body=body)
            case "SETUP":
                self.set_up(request)
            case "PLAY":
                self.say(request, "200 OK", "Session: 10001", "Range: npt=now-")
                self.playing = asyncio.create_task(self.play())
            case "GET_PARAMETER":
                self.say(request, "200 OK", "Session: 10001")
            case "TEARDOWN":
                self.say(request, "200 OK")
                self.writer.write_eof()
            case _:
                self.say(request, "405 Method Not Allowed")
        await self.writer.drain()

    def is_known(self, request: Request) -> bool:
        said = parameters(request.headers.get("authorization"))
        wanted = digest(self.settings, REALM, self.nonce, request.method, request.uri)
        return (said.get("username"), said.get("uri"), said.get("response")) == (self.settings.user, request.uri, wanted)

    def set_up(self, request: Request) -> None:
        found, asked = _TRACK.search(request.uri), request.headers.get("transport")
        ports = re.search(r"client_port=(\d+)-(\d+)", asked)
        if found is None or int(found[1]) >= len(self.camera.film.tracks):
            self.say(request, "404 Not Found")
        elif ports is not None and not self.settings.does_udp:
            self.say(request, "461 Unsupported transport")
        else:
            number = int(found[1])
            said = self.open_way(number, asked, ports)
            session = f"Session:10001 ; timeout={int(self.settings.timeout_s)}"
            self.say(request, "200 OK", session, f"Transport: {said}")

    def open_way(self, number: int, asked: str, ports: re.Match[str] | None) -> str:
        """The way of a track, as the client is told."""
        settings, counters = self.settings, self.camera.counters
        if ports is None:
            interleaved = InterleavedWay(settings, counters, self.writer, 2 * number)
            self.ways[number] = interleaved
            return f'{interleaved.transport};ssrc=22345684;mode="play"'
        datagrams = DatagramWay(settings, counters, (int(ports[1]), int(ports[2])))
        self.ways[number] = datagrams
        return f"{asked.strip()};server_port={datagrams.ports}"

    def say(self, request: Request, status: str, *fields: str, body: bytes = b"") -> None:
        """Interop: names of headers as cameras have them, the number behind the others."""
        lines = [f"RTSP/1.0 {status}", *fields, f"CSeq: {request.headers.get('cseq')}"]
        lines += [f"Content-length: {len(body)}"] if body else []
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body)

    async def play(self) -> None:
        await self.camera.film.show(self.ways, self.drain)

    async def drain(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()
