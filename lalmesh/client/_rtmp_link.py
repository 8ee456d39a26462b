"""One RTMP connection of a client: bytes between a socket and an `RtmpClient`, and the way to it, redirects included.

No task lives here: reads go through the core into a queue, and who waits is woken. The queue is bounded by not reading on.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from dataclasses import replace
from typing import assert_never

from lalmesh.client._errors import ConnectionFailed, InvalidUrl, Refused, rtmp_refusal
from lalmesh.client._link import MAX_QUEUED_BYTES, ClientLink, Mode, connect, consent
from lalmesh.client._options import ClientOptions
from lalmesh.container.flv import Tag
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.protocol.rtmp import (
    CAN_FORWARD,
    AdobeAuth,
    Capabilities,
    ClientEvent,
    ConnectAccepted,
    MediaMessage,
    PlayStarted,
    PublishStarted,
    Redirected,
    RtmpClient,
    RtmpUrl,
    StatusFailed,
    StreamEnded,
)
from lalmesh.relay_path import RELAY_MEMBER, serialize_via

log = logging.getLogger(__name__)

GATHER_BYTES = 64 << 10  #: of messages sent in one turn of the loop, before they are written: half a second of 1 Mbit/s

#: codecs are carried, not decoded, so any of them is welcome; reconnecting on request is not offered
CLIENT_CAPABILITIES = Capabilities(four_cc_list=("*",), video={"*": CAN_FORWARD}, audio={"*": CAN_FORWARD})


class RtmpLink(ClientLink):
    """One connection. Make it inside a running loop."""

    def __init__(self, client: RtmpClient, mode: Mode) -> None:
        """Move bytes for `client`, which wants to do `mode`."""
        super().__init__(mode)
        self._client = client
        self._tags: deque[Tag] = deque()
        self._queued_bytes = 0
        self._gathered_bytes = 0  # of messages that were sent and are not written yet

    def _feed(self, data: memoryview) -> None:
        for event in self._client.feed(data):
            self._handle(event)
        if self._queued_bytes > MAX_QUEUED_BYTES:
            self._pause_reading()

    def _flush(self) -> None:
        self._gathered_bytes = 0
        self._write(self._client.data_to_send())

    def _say_goodbye(self) -> None:
        self._client.close()

    # the core

    def _handle(self, event: ClientEvent) -> None:
        match event:
            case MediaMessage():
                self._tags.append(Tag(event.type_id, event.timestamp_ms, event.payload))
                self._queued_bytes += len(event.payload)
                self._changed.set()
            case ConnectAccepted():
                pass
            case PublishStarted() | PlayStarted():
                self._start(None)
            case Redirected(url):
                self._start(url)
            case StatusFailed(code, description):
                self._fail(rtmp_refusal(code, description))
            case StreamEnded(code):
                self._over(code)
            case _:
                assert_never(event)

    def _start(self, redirect: str | None) -> None:
        if self.started.done():
            log.info("the server asks us to reconnect to %r; staying", redirect)
        super()._start(redirect)

    def _over(self, code: str) -> None:
        if self._is_playing():
            self._end(code)
        else:
            self._fail(Refused(code, "ended by the server"))

    # who uses it

    def send(self, type_id: int, timestamp_ms: int, parts: tuple[bytes, ...]) -> None:
        """Publish one message, in one write with what else is sent in this turn of the loop; `RtmpPublisher.send` says the rest."""
        self.check()
        self._client.send_media(type_id, timestamp_ms, *parts)
        if not self._gathered_bytes:
            self._loop.call_soon(self._flush)
        self._gathered_bytes += sum(map(len, parts))
        if self._gathered_bytes >= GATHER_BYTES:
            self._flush()
        self._check_unsent()

    async def take(self) -> list[Tag]:
        """What has come, waiting for it if need be; nothing when the stream is over.

        Raises:
            LalmeshError: what ended the connection; raised only after the media before it.
        """
        while not self._tags and not self.ended:
            self.check()
            self._changed.clear()
            await self._changed.wait()
        tags = list(self._tags)
        self._tags.clear()
        self._queued_bytes = 0
        self._read_on()
        return tags


def parse_rtmp_url(url: str) -> RtmpUrl:
    """Take apart the URL of a stream.

    Raises:
        InvalidUrl: it is none, or names no application or no stream.
        UnsupportedError: another scheme.
    """
    try:
        parsed = RtmpUrl.parse(url)
    except ValueError as error:
        raise InvalidUrl(f"{url}: {error}") from None
    if not parsed.app or not parsed.name:
        raise InvalidUrl(f"{url}: not of the form rtmp://HOST/APP/NAME")
    return parsed


def redirected(url: RtmpUrl, target: str) -> RtmpUrl:
    """Where `url` leads once the server said `target`: scheme to application, from ``//`` or from ``/`` on, or nothing at all.

    Raises:
        RemoteProtocolError: it is no such URL, or leads from an encrypted connection to a bare one.
    Source: Enhanced RTMP v2, Reconnect Request
    """
    if not target:
        return url
    if target.startswith("//"):
        target = f"{url.scheme}:{target}"
    elif target.startswith("/"):
        target = url.tc_url.removesuffix("/" + url.app) + target
    try:
        found = RtmpUrl.parse(f"{target.rstrip('/')}/{url.name}")
    except (ValueError, UnsupportedError) as error:
        raise RemoteProtocolError(f"redirect to {target!r}: {error}") from None
    if url.tls and not found.tls:
        raise RemoteProtocolError(f"redirect from an encrypted connection to {target!r}")
    return replace(found, user=url.user, password=url.password) if found.host == url.host and not found.user else found


async def dial(url: str, mode: Mode, options: ClientOptions, *, complex_handshake: bool = False) -> RtmpLink:
    """A connection on which the server has agreed to `mode`.

    Raises:
        InvalidUrl, UnsupportedError: of the URL.
        ConnectionFailed, TimedOut, Refused, RemoteProtocolError: of the server.
    """
    target = parse_rtmp_url(url)
    for _ in range(options.max_redirects + 1):
        link, redirect = await _reach(target, mode, options, complex_handshake=complex_handshake)
        if redirect is None:
            return link
        link.abort()
        target = redirected(target, redirect)
    raise ConnectionFailed(f"over {options.max_redirects} redirects, the last to {target}")


async def _reach(target: RtmpUrl, mode: Mode, options: ClientOptions, *, complex_handshake: bool) -> tuple[RtmpLink, str | None]:
    """A connection on which the server has said something: yes, or where else to go. It is made anew for each challenge."""
    auth = AdobeAuth(target.user, target.password, os.urandom)
    while True:
        client = RtmpClient(
            target,
            mode,
            os.urandom,
            complex_handshake=complex_handshake,
            capabilities=CLIENT_CAPABILITIES,
            app_query=auth.query,
            said={RELAY_MEMBER: serialize_via(options.via)} if options.via else None,
        )
        link = RtmpLink(client, mode)
        await connect(link, target.host, target.port, options, tls=target.tls)
        try:
            return link, await consent(link, options)
        except Refused as refused:
            if not target.user or not auth.challenged(refused.description):
                raise
