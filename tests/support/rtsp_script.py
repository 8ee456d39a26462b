"""An RTSP server that says what a test has it say, right or wrong; what it is not told about it does well, for a stream of PCMA."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lalmesh.protocol.rtsp import Headers, MessageReader, Request, Response, serialize_frame
from support.loopback_server import LoopbackServer
from support.ports import LOOPBACK
from support.rtsp_talk import PCMA_SDP, packet
from support.udp_relay import udp_pair

PUBLIC = "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, GET_PARAMETER, TEARDOWN"
SESSION = "4711"
PACKETS = 50  #: that a player gets at once: a second

_CLIENT_PORT = re.compile(r"client_port=(\d+)-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said to one request."""

    status: int = 200
    fields: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    behind: bytes = b""  #: sent after it
    hangs_up: bool = False


SILENCE = Answer(status=0)  #: no answer at all
HANG_UP = Answer(status=0, hangs_up=True)


class ScriptedServer(LoopbackServer):
    """``async with ScriptedServer({"PLAY": [Answer(status=454)]}) as server: server.url``."""

    def __init__(
        self,
        script: Mapping[str, Sequence[Answer]] | None = None,
        *,
        packets: int = PACKETS,
        timeout_s: int = 60,
        reads: bool = True,
    ) -> None:
        """Say what is in `script`, by method and in order; after the last of a method do it well.

        Args:
            script: what is said otherwise.
            packets: that a player gets, all at once.
            timeout_s: of sessions, as it is told.
            reads: whether anything is read once it records.
        """
        super().__init__()
        self.requests: list[Request] = []
        self.frames = 0  #: that came among the requests
        self.early: list[bytes] = []  #: datagrams that were there before PLAY
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._script = {method: list(answers) for method, answers in (script or {}).items()}
        self._packets = packets
        self._timeout_s = timeout_s
        self._reads = reads
        self._client_ports: tuple[int, int] | None = None
        self._asked = asyncio.Condition()

    @property
    def url(self) -> str:
        """Of its stream."""
        return f"rtsp://{LOOPBACK}:{self.port}/live/test"

    @property
    def methods(self) -> list[str]:
        """What was asked so far."""
        return [request.method for request in self.requests]

    def say(self, method: str, answers: Sequence[Answer]) -> None:
        """Answer the next requests of a method so."""
        self._script[method] = list(answers)

    async def asked(self, method: str, count: int = 1) -> Request:
        """Wait until a method was asked for so often; the last of those requests."""
        async with self._asked:
            await self._asked.wait_for(lambda: self.methods.count(method) >= count)
        return [request for request in self.requests if request.method == method][count - 1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        self.writers.append(writer)
        messages = MessageReader()
        while data := await reader.read(65_536):
            for message in messages.feed(data):
                if isinstance(message, Request):
                    await self._answer(message, writer)
                else:
                    self.frames += 1
            while not self._reads and "RECORD" in self.methods:
                await asyncio.Event().wait()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        waiting = self._script.get(request.method)
        answer = waiting.pop(0) if waiting else self._good(request)
        if answer.status:
            fields = (("CSeq", request.headers.get("cseq")), *answer.fields.items())
            writer.write(Response(status=answer.status, headers=Headers(fields), body=answer.body).serialize() + answer.behind)
            await writer.drain()
        if answer.hangs_up:
            writer.close()
        async with self._asked:
            self.requests.append(request)
            self._asked.notify_all()

    def _good(self, request: Request) -> Answer:
        match request.method:
            case "OPTIONS":
                return Answer(fields={"Public": PUBLIC})
            case "DESCRIBE":
                return Answer(fields={"Content-Type": "application/sdp", "Content-Base": f"{request.uri}/"}, body=PCMA_SDP)
            case "SETUP":
                session = f"{SESSION};timeout={self._timeout_s}"
                return Answer(fields={"Session": session, "Transport": self._transport(request.headers.get("transport"))})
            case "PLAY":
                return Answer(fields={"Session": SESSION}, behind=self._play())
            case _:
                return Answer(fields={"Session": SESSION})

    def _transport(self, asked: str) -> str:
        found = _CLIENT_PORT.search(asked)
        if found is None:
            return asked
        self._client_ports = int(found[1]), int(found[2])
        pair = udp_pair()
        self.pairs.append(pair)
        for sock in pair:
            self._resources.enter_context(sock)
        port = pair[0].getsockname()[1]
        return f"{asked};server_port={port}-{port + 1}"

    def _play(self) -> bytes:
        """What was sent before, and what comes now: datagrams, or frames behind the answer."""
        for rtp, _ in self.pairs:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.early.append(rtp.recv(65_536))
        packets = [packet(number) for number in range(self._packets)]
        if not self.pairs:
            return b"".join(serialize_frame(0, one) for one in packets)
        for one in packets:
            self.send(one)
        return b""

    def send(self, datagram: bytes, sender: socket.socket | None = None) -> None:
        """Send a datagram to the player, from the port that it was told or from another."""
        assert self._client_ports is not None
        (sender or self.pairs[-1][0]).sendto(datagram, (LOOPBACK, self._client_ports[0]))
