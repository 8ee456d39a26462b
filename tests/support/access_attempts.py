"""Attempts to publish and play by every protocol, said on raw sockets: what a server answers, and how soon."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from lalmesh.protocol.rtmp import PlayStarted, PublishStarted, RtmpUrl, StatusFailed
from support import wire
from support.cluster import Node
from support.rtsp_peer import talking
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
    match protocol:
        case "rtmp":
            return await _rtmp(node, action, target), {}
        case "rtsp":
            return await _rtsp(node, action, target, authorization)
        case _:
            return await _http(node, protocol, target, authorization)


async def _rtmp(node: Node, action: str, target: str) -> str:
    mode: wire.Mode = "publish" if action == "publish" else "play"
    app, _, name = target.partition("?")[0].rpartition("/")
    query = target.partition("?")[2]
    url = RtmpUrl(scheme="rtmp", host="127.0.0.1", port=node.ports["rtmp"], app=app, name=f"{name}?{query}" if query else name)
    async with wire.rtmp(url, mode) as peer:
        while (events := await peer.events()) is not None:
            for event in events:
                if isinstance(event, StatusFailed):
                    return f"{event.code}: {event.description}"
                if isinstance(event, PublishStarted | PlayStarted):
                    return "started"
    return "closed"


async def _rtsp(node: Node, action: str, target: str, authorization: str) -> tuple[str, Mapping[str, str]]:
    url = f"rtsp://127.0.0.1:{node.ports['rtsp']}/{target}"
    fields = {"Authorization": authorization} if authorization else {}
    async with talking(node.ports["rtsp"], url) as peer:
        if action == "publish":
            answer = await peer.ask("ANNOUNCE", {"Content-Type": "application/sdp", **fields}, PCMA_SDP)
        else:
            answer = await peer.ask("DESCRIBE", fields)
        return str(answer.status), {"www-authenticate": ", ".join(answer.headers.all("www-authenticate"))}


async def _http(node: Node, protocol: str, target: str, authorization: str) -> tuple[str, Mapping[str, str]]:
    path, _, query = target.partition("?")
    port = node.ports["hls" if protocol == "hls-node" else "http"]
    match protocol:
        case "http-hls" | "hls-node":
            path = f"/hls/{path}.m3u8"
        case "http-record":
            path = f"/record/{path}/none.flv"
        case _:
            path = f"/{path}{HTTP[protocol]}"
    headers = [*(UPGRADE if protocol.startswith("ws-") else ()), *([f"Authorization: {authorization}"] if authorization else [])]
    answer = await wire.head_of(port, f"{path}?{query}" if query else path, *headers)
    return str(answer.status), answer.headers
