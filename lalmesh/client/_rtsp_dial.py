"""The way to an RTSP server: redirects, and what to do where it does not do UDP, or nothing comes by it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from lalmesh.client._errors import ConnectionFailed, InvalidUrl
from lalmesh.client._link import Mode, connect, consent
from lalmesh.client._options import ClientOptions
from lalmesh.client._rtsp_link import RtspLink, UdpChoice
from lalmesh.client._rtsp_media import RtspMedia
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.protocol.http_auth import ClientAuth
from lalmesh.protocol.rtsp import RtspClient, RtspUrl
from lalmesh.relay_path import RELAY_HEADER, serialize_via

log = logging.getLogger(__name__)

_Media = TypeVar("_Media", bound=RtspMedia)


def parse_rtsp_url(url: str) -> RtspUrl:
    """Take apart the URL of a stream.

    Raises:
        InvalidUrl: it is none.
        UnsupportedError: another scheme.
    """
    try:
        return RtspUrl.parse(url)
    except ValueError as error:
        raise InvalidUrl(f"{url}: {error}") from None


def redirected(url: RtspUrl, target: str) -> RtspUrl:
    """Where `url` leads once the server said `target`, which is absolute. The login goes along to the same host only.

    Raises:
        RemoteProtocolError: it is no such URL, or leads from an encrypted connection to a bare one.
    Source: RFC 2326 §10.10, §11.3
    """
    try:
        found = RtspUrl.parse(target)
    except (ValueError, UnsupportedError) as error:
        raise RemoteProtocolError(f"redirect to {target!r}: {error}") from None
    if url.tls and not found.tls:
        raise RemoteProtocolError(f"redirect from an encrypted connection to {str(found)!r}")
    if found.host == url.host and not found.user:
        found = replace(found, user=url.user, password=url.password)
    return found


def udp_choice(mode: Mode, url: RtspUrl, options: ClientOptions) -> UdpChoice:
    """Whether packets go by UDP, as `ClientOptions.rtsp_transport` has it."""
    if options.rtsp_transport == "udp":
        return "only"
    return "try" if options.rtsp_transport == "auto" and mode == "play" and not url.tls else "no"


async def dial_rtsp(url: str, mode: Mode, options: ClientOptions, build: Callable[[], _Media]) -> tuple[RtspLink, _Media]:
    """A connection on which the server has agreed to `mode`, and its media, which `build` makes for each attempt.

    Raises:
        InvalidUrl, UnsupportedError: of the URL, or of what the server has.
        ConnectionFailed, TimedOut, Refused, RemoteProtocolError: of the server.
    """
    target = parse_rtsp_url(url)
    udp = udp_choice(mode, target, options)
    link, media = await _reach(target, mode, options, udp, build)
    try:
        if udp != "try" or not link.is_udp or await link.hears(options.udp_silence_s):
            return link, media
    except BaseException:
        link.abort()
        raise
    log.info("%s: nothing came by UDP within %s s, taking the connection", target, options.udp_silence_s)
    await link.close()
    return await _reach(target, mode, options, "no", build)


async def _reach(
    target: RtspUrl, mode: Mode, options: ClientOptions, udp: UdpChoice, build: Callable[[], _Media]
) -> tuple[RtspLink, _Media]:
    fields = [(RELAY_HEADER, serialize_via(options.via))] if options.via else []
    for _ in range(options.max_redirects + 1):
        media = build()
        auth = ClientAuth(target.user, target.password, os.urandom) if target.user else None
        client = RtspClient(target, mode, description=media.description, auth=auth, fields=fields)
        link = RtspLink(client, media, mode, url=target, udp=udp, denied=options.denied)
        await connect(link, target.host, target.port, options, tls=target.tls)
        redirect = await consent(link, options)
        if redirect is None:
            return link, media
        link.abort()
        target = redirected(target, redirect)
        udp = "no" if udp == "try" and target.tls else udp
    raise ConnectionFailed(f"over {options.max_redirects} redirects, the last to {target}")
