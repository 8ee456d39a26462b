"""What all clients can be told: how long to wait, whom to trust."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


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
