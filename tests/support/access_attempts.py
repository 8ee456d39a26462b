"""Attempts to publish and play by every protocol, said on raw sockets: what a server answers, and how soon."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, RejectConnection, Request

from lalmesh.protocol.rtmp import PlayStarted, PublishStarted, RtmpUrl, StatusFailed
from support import wire
from support.cluster import Node
from support.rtsp_peer import RtspPeer
from support.rtsp_talk import PCMA_SDP

SWITCHED = 101
UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
)
#: what follows the name of a stream, by the form of what is played
FORMS = {"flv": ".flv", "ts": ".ts", "fmp4": ".mp4"}
PUBLISHES = ("rtmp", "rtsp", "ws-rtsp")
PLAYS = (*PUBLISHES, *(f"{way}-{form}" for way in ("http", "ws") for form in FORMS), "http-hls", "hls-node", "http-record")
#: each in TLS, by what it is called without
IN_TLS = {
    "rtmp": "rtmps",
    "rtsp": "rtsps",
    "hls-node": "hls-node-https",
    **{name: name.replace("http-", "https-").replace("ws-", "wss-") for name in PLAYS if name.startswith(("http-", "ws-"))},
}
TLS_PUBLISHES = tuple(IN_TLS[name] for name in PUBLISHES)
TLS_PLAYS = tuple(IN_TLS[name] for name in PLAYS)
RTMP, RTSP = ("rtmp", "rtmps"), ("rtsp", "rtsps", "ws-rtsp", "wss-rtsp")
LIMIT_S = 30.0
_PLAIN = {secure: plain for plain, secure in IN_TLS.items()}


@dataclass(slots=True, frozen=True)
class Outcome:
    """What came of an attempt."""

    answer: str  #: status, or code and description
    took_s: float = field(compare=False)
    fields: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_let_in(self) -> bool:
        """Whether it was allowed: it publishes, or there is only no such stream."""
        return self.answer in ("started", "200", "302", "404") or self.answer.startswith("NetStream.Play.StreamNotFound")


async def attempt(
    node: Node, protocol: str, action: str, stream: str, query: str = "", authorization: str = "", source: str = ""
) -> Outcome:
    """Try `action` with `stream`, showing `query` and an Authorization header where the protocol has one.

    `source`: the address of this machine to come from; empty: any.
    """
    began_s, target = time.monotonic(), f"{stream}?{query}" if query else stream
    async with asyncio.timeout(LIMIT_S), dialled(node, protocol, source) as connection:
        answer, fields = await _said(connection, without_tls(protocol), action, target, authorization)
    return Outcome(answer, time.monotonic() - began_s, fields)


def without_tls(protocol: str) -> str:
    """What a protocol is called without TLS."""
    return _PLAIN.get(protocol, protocol)


def dialled(node: Node, protocol: str, source: str = "") -> AbstractAsyncContextManager[wire.Wire]:
    """A connection to the listener for a protocol, from the address `source`."""
    plain = without_tls(protocol)
    is_secure = plain != protocol
    return wire.connected(node.ports[_listener(plain, is_secure=is_secure)], tls=_anybody() if is_secure else None, source=source)


def _listener(plain: str, *, is_secure: bool) -> str:
    match plain:
        case "rtmp" | "rtsp":
            return f"{plain}s" if is_secure else plain
        case "hls-node":
            return "hls_https" if is_secure else "hls"
        case _:
            return "https" if is_secure else "http"


async def _said(connection: wire.Wire, plain: str, action: str, target: str, authorization: str) -> tuple[str, Mapping[str, str]]:
    match plain:
        case "rtmp":
            return await _rtmp(connection, action, target), {}
        case "rtsp":
            return await _rtsp(connection, action, target, authorization)
        case "ws-rtsp":
            socket = SocketWire(connection)
            status = await socket.open("/", "rtsp")
            return await _rtsp(socket, action, target, authorization) if status == SWITCHED else (str(status), {})
        case _:
            return await _http(connection, plain, target, authorization)


class SocketWire(wire.Wire):
    """What goes through a WebSocket, each piece a binary message."""

    def __init__(self, connection: wire.Wire) -> None:
        super().__init__(connection.reader, connection.writer)
        self._socket = WSConnection(ConnectionType.CLIENT)

    async def open(self, target: str, *subprotocols: str) -> int:
        """Ask for the upgrade. Gives the status of the answer, 101 where there is one."""
        await super().send(self._socket.send(Request(host="edge.test", target=target, subprotocols=list(subprotocols))))
        while data := await super().receive():
            self._socket.receive_data(data)
            for event in self._socket.events():
                match event:
                    case AcceptConnection(subprotocol=chosen):
                        assert chosen == (subprotocols[0] if subprotocols else None)
                        return SWITCHED
                    case RejectConnection(status_code=status):
                        return status
        raise AssertionError("no answer to an upgrade")

    async def send(self, data: bytes) -> None:
        """As a message."""
        await super().send(self._socket.send(BytesMessage(data)))

    async def receive(self, limit_s: float = wire.LIMIT_S) -> bytes:
        """The next message, or a part of it; empty at the end, which is agreed to."""
        while data := await super().receive(limit_s):
            self._socket.receive_data(data)
            got = b""
            for event in self._socket.events():
                match event:
                    case BytesMessage(data=part):
                        got += part
                    case CloseConnection():
                        await super().send(self._socket.send(event.response()))
                        return b""
            if got:
                return got
        return b""


def _anybody() -> ssl.SSLContext:
    """TLS with whoever is there."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _rtmp(connection: wire.Wire, action: str, target: str) -> str:
    mode: wire.Mode = "publish" if action == "publish" else "play"
    peer = wire.RtmpPeer(connection, rtmp_url(target), mode)
    while (events := await peer.events()) is not None:
        for event in events:
            if isinstance(event, StatusFailed):
                return f"{event.code}: {event.description}"
            if isinstance(event, PublishStarted | PlayStarted):
                return "started"
    return "closed"


def rtmp_url(target: str) -> RtmpUrl:
    """The URL of a stream with its query, as clients say it on a connection that is there."""
    path, _, query = target.partition("?")
    app, _, name = path.rpartition("/")
    return RtmpUrl(scheme="rtmp", host="127.0.0.1", port=1935, app=app, name=f"{name}?{query}" if query else name)


async def _rtsp(connection: wire.Wire, action: str, target: str, authorization: str) -> tuple[str, Mapping[str, str]]:
    peer = RtspPeer(connection, f"rtsp://127.0.0.1/{target}")
    fields = {"Authorization": authorization} if authorization else {}
    if action == "publish":
        answer = await peer.ask("ANNOUNCE", {"Content-Type": "application/sdp", **fields}, PCMA_SDP)
    else:
        answer = await peer.ask("DESCRIBE", fields)
    return str(answer.status), {"www-authenticate": ", ".join(answer.headers.all("www-authenticate"))}


async def _http(connection: wire.Wire, protocol: str, target: str, authorization: str) -> tuple[str, Mapping[str, str]]:
    path, _, query = target.partition("?")
    match protocol:
        case "http-hls" | "hls-node":
            path = f"/hls/{path}.m3u8"
        case "http-record":
            path = f"/record/{path}/none.flv"
        case _:
            path = f"/{path}{FORMS[protocol.partition('-')[2]]}"
    headers = [*(UPGRADE if protocol.startswith("ws-") else ()), *([f"Authorization: {authorization}"] if authorization else [])]
    answer = await wire.request(connection, f"{path}?{query}" if query else path, *headers)
    return str(answer.status), answer.headers
