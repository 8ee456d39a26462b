"""The other side of a relay, as sessions and events show it: we have dialled it, and what it was dialled with may be a secret."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.push_targets import shown_target
from lalmesh.runtime.relay_rules import DEFAULT_PORTS, without_secrets
from lalmesh.runtime.sessions import dialled_protocol


@dataclass(slots=True, frozen=True, kw_only=True)
class Dialled:
    """A server that a relay goes to."""

    protocol: str  #: as of sessions
    host: str
    peer: str  #: with its port
    url: str  #: without what lets somebody in


def dialled(url: str, name: str, *, is_push: bool) -> Dialled:
    """The server at `url`, of a relay of the stream `name`."""
    parts = urlsplit(url, allow_fragments=False)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    shown = shown_target(url, name) if is_push else without_secrets(url)
    return Dialled(protocol=dialled_protocol(url), host=host, peer=host_port(host, port), url=shown)
