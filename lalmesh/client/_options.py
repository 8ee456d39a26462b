"""What all clients can be told: how long to wait, whom to trust."""

from __future__ import annotations

import ssl
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lalmesh.protocol.rtp import DEFAULT_REORDER_MS

RtspTransport = Literal["auto", "udp", "tcp"]


@dataclass(slots=True, frozen=True, kw_only=True)
class ClientOptions:
    """Limits and trust of one client. All times are seconds."""

    connect_timeout_s: float = 5.0  #: name lookup, TCP and TLS
    #: from there to the server's consent; lalmesh itself lets a player wait 10 s for a publisher before it says no
    handshake_timeout_s: float = 15.0
    first_media_timeout_s: float = 10.0  #: from consent to the first message
    stall_timeout_s: float = 10.0  #: without a message while playing; without room to send while publishing
    max_redirects: int = 2  #: one to a node, one more where that has just handed the stream over
    verify: bool = True  #: check the server's certificate and name
    ca_file: Path | None = None  #: whom to trust instead of the system's authorities
    #: how the packets of RTSP go. auto: a player tries UDP, and takes the connection where the server does not do UDP or nothing
    #: comes by it; a publisher takes the connection, since nobody tells it that nothing comes; both do so where that is encrypted
    rtsp_transport: RtspTransport = "auto"
    udp_silence_s: float = 3.0  #: without a first packet, after which ``auto`` gives UDP up
    reorder_ms: int = DEFAULT_REORDER_MS  #: the most that a packet lost on its way by UDP delays those behind it
    drop_broken_gop: bool = False  #: after a loss, drop pictures up to the next that can be decoded alone
    denied: Container[str] = ()  #: addresses that are not dialled, whatever name or redirect leads there
    via: tuple[str, ...] = ()  #: of a relay: the clusters that it comes through (`lalmesh.relay_path`)

    def ssl_context(self) -> ssl.SSLContext:
        """The context of encrypted connections.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


DEFAULT_OPTIONS = ClientOptions()
