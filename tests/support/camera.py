"""A camera, as cheap ones are: RTSP with Digest, a description that leaves things out, and a way on which packets are lost.

It shares no dialogue with the server of the project: its answers are written by hand. What it does wrong is drawn from a seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, Kind, Track
from lalmesh.protocol.rtp import (
    HeaderExtension,
    PayloadFormat,
    RtpPacket,
    SenderIdentity,
    TrackSender,
    WallClock,
    build_packetizer,
    format_of,
    static_payload_type,
)
from lalmesh.protocol.rtsp import InterleavedFrame, MessageReader, Request
from support.camera_ways import CameraCounters, CameraSettings, DatagramWay, InterleavedWay, Way
from support.ports import LOOPBACK

REALM = "IP Camera(12345)"
SPROPS = frozenset(("sprop-parameter-sets", "sprop-vps", "sprop-sps", "sprop-pps", "profile-level-id"))
#: As ONVIF has it for the time of a picture (ONVIF Streaming §6.3): profile 0xABAC, three words.
EXTENSION = HeaderExtension(0xABAC, bytes(12))
EPOCH_US = 1_700_000_000_000_000  #: wall clock of a stream's time 0

_DIGEST = re.compile(r'(\w+)="?([^",]*)"?')
_TRACK = re.compile(r"trackID=(\d+)")


class Camera:
    """``async with Camera(file) as camera: camera.url``."""

    def __init__(self, file: Path, settings: CameraSettings | None = None) -> None:
        """Show what is in a FLV file."""
        self.settings = settings or CameraSettings()
        self.counters = CameraCounters()
        self.tracks, self.units = _media(file)
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def address(self) -> str:
        """Its URL without the login."""
        return f"rtsp://{LOOPBACK}:{self.port}/Streaming/Channels/101?transportmode=unicast"

    @property
    def url(self) -> str:
        """Its URL, login included."""
        return self.address.replace("//", f"//{self.settings.user}:{self.settings.password}@", 1)

    def describe(self) -> bytes:
        """Its session description."""
        lines = ["v=0", "o=- 1109162014219182 0 IN IP4 0.0.0.0", "s=Media Presentation", "c=IN IP4 0.0.0.0", "t=0 0"]
        lines += [f"a=control:{self.address}/" if self.settings.has_absolute_controls else "a=control:*"]
        for number, track in enumerate(self.tracks):
            lines += self._section(number, track, format_of(track))
        return "".join(f"{line}\r\n" for line in lines).encode()

    def _section(self, number: int, track: Track, told: PayloadFormat) -> Iterator[str]:
        payload_type = self.payload_type(number)
        yield f"m={track.kind.value} 0 RTP/AVP {payload_type}"
        if self.settings.has_rtpmap and payload_type >= 96:
            yield f"a=rtpmap:{payload_type} {told.encoding_name}/{told.clock_rate_hz}" + (f"/{told.channels}" * (told.channels > 1))
        said = {name: value for name, value in told.parameters.items() if self.settings.has_sprop or name not in SPROPS}
        if said:
            yield f"a=fmtp:{payload_type} " + "; ".join(f"{name}={value}" for name, value in said.items())
        yield f"a=control:{self.address}/trackID={number}" if self.settings.has_absolute_controls else f"a=control:trackID={number}"
        yield "a=recvonly"

    def payload_type(self, number: int) -> int:
        """Of a track."""
        fixed = static_payload_type(format_of(self.tracks[number]))
        return 96 + number if fixed is None else fixed

    def senders(self) -> list[TrackSender]:
        """What numbers the packets of each track, for one player."""
        clock = WallClock()
        return [
            TrackSender(
                build_packetizer(track),
                SenderIdentity(
                    ssrc=0x1000 + number,
                    payload_type=self.payload_type(number),
                    clock_rate_hz=format_of(track).clock_rate_hz,
                    first_sequence_number=self.settings.first_sequence_number,
                    timestamp_offset=0xFFFF0000,
                ),
                clock,
            )
            for number, track in enumerate(self.tracks)
        ]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await _Connection(self, reader, writer).serve()
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()


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
                self.say(request, "200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
            case "DESCRIBE":
                base = f"Content-Base: {self.camera.address}/"
                self.say(request, "200 OK", base, "Content-Type: application/sdp", body=self.camera.describe())
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
        said = dict(_DIGEST.findall(request.headers.get("authorization").partition(" ")[2]))
        name = {"": "md5", "MD5": "md5", "SHA-256": "sha256"}[self.settings.algorithm]

        def hashed(text: str) -> str:
            return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

        secret = hashed(f"{self.settings.user}:{REALM}:{self.settings.password}")
        wanted = hashed(f"{secret}:{self.nonce}:{hashed(f'{request.method}:{request.uri}')}")
        return (said.get("username"), said.get("uri"), said.get("response")) == (self.settings.user, request.uri, wanted)

    def set_up(self, request: Request) -> None:
        found, asked = _TRACK.search(request.uri), request.headers.get("transport")
        ports = re.search(r"client_port=(\d+)-(\d+)", asked)
        if found is None or int(found[1]) >= len(self.camera.tracks):
            self.say(request, "404 Not Found")
        elif ports is not None and not self.settings.does_udp:
            self.say(request, "461 Unsupported transport")
        else:
            number = int(found[1])
            settings, counters = self.settings, self.camera.counters
            way: Way = (
                InterleavedWay(settings, counters, self.writer, 2 * number)
                if ports is None
                else DatagramWay(settings, counters, (int(ports[1]), int(ports[2])))
            )
            self.ways[number] = way
            session = f"Session:10001 ; timeout={int(self.settings.timeout_s)}"
            self.say(request, "200 OK", session, f"Transport: {way.told(asked)}")

    def say(self, request: Request, status: str, *fields: str, body: bytes = b"") -> None:
        """Interop: names of headers as cameras have them, the number behind the others."""
        lines = [f"RTSP/1.0 {status}", *fields, f"CSeq: {request.headers.get('cseq')}"]
        lines += [f"Content-length: {len(body)}"] if body else []
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body)

    async def play(self) -> None:
        senders = self.camera.senders()
        async for number, unit in self.paced():
            if number not in self.ways:
                continue
            sender, way = senders[number], self.ways[number]
            is_first = sender.packet_count == 0
            for packet in sender.send(unit):
                way.media(self.with_extension(packet))
            if is_first:
                way.report(sender.report("camera", unit.wall_us))
            with contextlib.suppress(ConnectionError):
                await self.writer.drain()

    async def paced(self) -> AsyncIterator[tuple[int, AccessUnit]]:
        """Units when they are due, and the index of their track; times go on when the file begins again."""
        loop, run, offset = asyncio.get_running_loop(), 0, 0
        units = self.camera.units
        began_s, length = loop.time(), units[-1][1].dts - units[0][1].dts + TICKS_PER_SECOND // 25
        while not self.settings.loops or run < self.settings.loops:
            for number, unit in units:
                dts = unit.dts + offset
                wait_s = (dts - units[0][1].dts) / TICKS_PER_SECOND / self.settings.speed - (loop.time() - began_s)
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                wall_us = EPOCH_US + dts * 1_000_000 // TICKS_PER_SECOND
                yield number, AccessUnit(unit.track_id, dts, unit.cts, unit.random_access, unit.payload, wall_us=wall_us)
            run, offset = run + 1, offset + length
        for way in self.ways.values():
            way.finish()

    def with_extension(self, data: bytes) -> bytes:
        if not self.settings.has_extension:
            return data
        packet = RtpPacket.parse(data)
        packet.extension = EXTENSION
        return packet.serialize()


def _media(file: Path) -> tuple[list[Track], list[tuple[int, AccessUnit]]]:
    """The tracks of a FLV file that RTP carries, and its units with the index of their track."""
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    for tag in TagReader().feed(file.read_bytes()):
        units += [event for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(event, AccessUnit)]
    tracks = [track for track in demuxer.tracks.tracks if track.kind is not Kind.DATA and track.codec is not Codec.VP9]
    places = {track.track_id: place for place, track in enumerate(tracks)}
    return tracks, [(places[unit.track_id], unit) for unit in units if unit.track_id in places]
