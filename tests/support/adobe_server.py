"""A server that wants publishers to log in by Adobe's authentication, with answers as Wowza gives them. It takes what comes."""

from __future__ import annotations

import asyncio
import os
import secrets
from base64 import b64encode
from hashlib import md5
from urllib.parse import parse_qs

from lalmesh.protocol.rtmp import Connected, MediaMessage, PublishRequested, RtmpServer
from support.loopback_server import LoopbackServer
from support.ports import LOOPBACK

_REFUSED = "[ AccessManager.Reject ] : "


def _digest(text: str) -> str:
    return b64encode(md5(text.encode(), usedforsecurity=False).digest()).decode()


class AdobeServer(LoopbackServer):
    """``async with AdobeServer("user", "password") as server: server.url``."""

    def __init__(self, user: str, password: str) -> None:
        """Let in `user` alone."""
        super().__init__()
        self.user = user
        self.password = password
        self.messages = 0  #: of media that came
        self.connects = 0
        self.came = asyncio.Event()
        self._salts: dict[str, tuple[str, str]] = {}  # opaque: salt, challenge

    def url(self, login: str = "") -> str:
        """Where to publish."""
        return f"rtmp://{login and login + '@'}{LOOPBACK}:{self.port}/live/cam"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One publisher."""
        core = RtmpServer(os.urandom)
        while data := await reader.read(1 << 16):
            handled = [self._handle(core, event) for event in core.feed(data)]
            writer.write(core.data_to_send())
            await writer.drain()
            if not all(handled):
                break

    def _handle(self, core: RtmpServer, event: object) -> bool:
        if isinstance(event, Connected):
            self.connects += 1
            refusal = self._refusal(event.query)
            if refusal:
                core.reject_connect(description=_REFUSED + refusal)
                return False
            core.accept_connect()
        elif isinstance(event, PublishRequested):
            core.accept_publish(event.stream_id)
        elif isinstance(event, MediaMessage):
            self.messages += 1
            self.came.set()
        return True

    def _refusal(self, query: str) -> str:
        """What is said to who may not come in; empty for who may."""
        said = {name: values[0] for name, values in parse_qs(query.replace("+", "%2B")).items()}
        if said.get("authmod") != "adobe":
            return "[ code=403 need auth; authmod=adobe ] : "
        if said.get("user") != self.user:
            return "[ authmod=adobe ] : ?reason=nosuchuser"
        if "response" not in said:
            opaque, salt, challenge = (secrets.token_hex(4) for _ in range(3))
            self._salts[opaque] = salt, challenge
            asks = f"user={self.user}&salt={salt}&challenge={challenge}&opaque={opaque}"
            return f"[ authmod=adobe ] : ?reason=needauth&{asks}"
        opaque = said.get("opaque", "")
        salt, _ = self._salts.pop(opaque, ("", ""))
        expected = _digest(_digest(self.user + salt + self.password) + opaque + said.get("challenge", ""))
        return "" if said["response"] == expected else f"[ authmod=adobe ] : ?reason=authfailed&opaque={opaque}"
