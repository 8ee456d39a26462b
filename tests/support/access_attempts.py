"""Attempts to publish and play by every protocol, said on raw sockets: what a server answers, and how soon."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from lalmesh.protocol.rtmp import PlayStarted, PublishStarted, RtmpUrl, StatusFailed
from support import wire
from support.cluster import Node
from support.rtsp_peer import RtspPeer
from support.rtsp_talk import PCMA_SDP

UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
)
HTTP = {"http-flv": ".flv", "http-ts": ".ts", "http-fmp4": ".mp4", "ws-flv": ".flv", "ws-ts": ".ts", "ws-fmp4": ".mp4"}
PUBLISHES = ("rtmp", "rtsp")
PLAYS = ("rtmp", "rtsp", *HTTP, "http-hls", "hls-node", "http-record")
TLS_PUBLISHES = ("rtmps", "rtsps")
TLS_PLAYS = ("rtmps", "rtsps", "https-flv", "wss-flv", "https-hls")
LIMIT_S = 10.0


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


async def attempt(node: Node, protocol: str, action: str, stream: str, query: str = "", authorization: str = "") -> Outcome:
    """Try `action` with `stream`, showing `query` and an Authorization header where the protocol has one."""
    began_s = time.monotonic()
    async with asyncio.timeout(LIMIT_S):
        answer, fields = await _said(node, protocol, action, f"{stream}?{query}" if query else stream, authorization)
    return Outcome(answer, time.monotonic() - began_s, fields)


async def _said(node: Node, protocol: str, action: str, target: str, authorization: str) -> tuple[str, Mapping[str, str]]:
    scheme, dash, form = protocol.partition("-")
    is_secure = scheme.endswith("s") and protocol not in PLAYS
    plain = scheme.removesuffix("s") + dash + form if is_secure else protocol
    listener = "hls" if protocol == "hls-node" else scheme if not dash else "https" if is_secure else "http"
    async with wire.connected(node.ports[listener], tls=_anybody() if is_secure else None) as connection:
        match plain:
            case "rtmp":
                return await _rtmp(connection, action, target), {}
            case "rtsp":
                return await _rtsp(connection, action, target, authorization)
            case _:
                return await _http(connection, plain, target, authorization)


def _anybody() -> ssl.SSLContext:
    """TLS with whoever is there."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _rtmp(connection: wire.Wire, action: str, target: str) -> str:
    mode: wire.Mode = "publish" if action == "publish" else "play"
    path, _, query = target.partition("?")
    app, _, name = path.rpartition("/")
    url = RtmpUrl(scheme="rtmp", host="127.0.0.1", port=1935, app=app, name=f"{name}?{query}" if query else name)
    peer = wire.RtmpPeer(connection, url, mode)
    while (events := await peer.events()) is not None:
        for event in events:
            if isinstance(event, StatusFailed):
                return f"{event.code}: {event.description}"
            if isinstance(event, PublishStarted | PlayStarted):
                return "started"
    return "closed"


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
            path = f"/{path}{HTTP[protocol]}"
    headers = [*(UPGRADE if protocol.startswith("ws-") else ()), *([f"Authorization: {authorization}"] if authorization else [])]
    answer = await wire.request(connection, f"{path}?{query}" if query else path, *headers)
    return str(answer.status), answer.headers
