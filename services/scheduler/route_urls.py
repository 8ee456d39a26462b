"""What clients ask by, and the URLs that they are given (docs/design.md §6)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from lalmesh.names import StreamKey
from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.scheduling.model import Endpoint


@dataclass(slots=True, frozen=True, kw_only=True)
class RouteProtocol:
    """One way to play or publish."""

    name: str  #: as sessions are called, ``http-flv`` ...
    listener: str  #: as endpoints name it
    scheme: str  #: of the URL
    folder: str = ""  #: in front of the stream's path
    suffix: str = ""  #: behind it
    publishes: bool = False  #: whether it takes publishers; all play
    holds_session: bool = True  #: whether a client is a session of its edge; players of HLS are not

    def url(self, endpoint: Endpoint, stream: StreamKey) -> str:
        """Where `stream` is asked for at `endpoint`; its application keeps its slashes."""
        path = f"{self.folder}/{quote(str(stream), safe='/-_.~')}{self.suffix}"
        return f"{self.scheme}://{host_port(endpoint.host, endpoint.port)}{path}"


def _protocols() -> tuple[RouteProtocol, ...]:
    own = [RouteProtocol(name=name, listener=name, scheme=name, publishes=True) for name in ("rtmp", "rtmps", "rtsp", "rtsps")]
    sockets = [("ws-rtsp", "ws_rtsp", "ws"), ("wss-rtsp", "https", "wss")]
    own += [RouteProtocol(name=name, listener=at, scheme=scheme, publishes=True) for name, at, scheme in sockets]
    for scheme, at in (("http", "http"), ("https", "https"), ("ws", "http"), ("wss", "https")):
        for form, suffix in (("flv", ".flv"), ("ts", ".ts"), ("fmp4", ".mp4")):
            own.append(RouteProtocol(name=f"{scheme}-{form}", listener=at, scheme=scheme, suffix=suffix))
    for scheme, before in (("http", ""), ("https", "https-")):
        for form, suffix in (("hls", ".m3u8"), ("ll-hls", "/index.m3u8")):
            name = f"{before}{form}"
            own.append(RouteProtocol(name=name, listener=scheme, scheme=scheme, folder="/hls", suffix=suffix, holds_session=False))
    return tuple(own)


#: by name
PROTOCOLS = {protocol.name: protocol for protocol in _protocols()}
#: by the ending of a path below ``/play/``, to be looked for in this order; with TLS it is the one whose name starts with https
PLAYED = {
    "/index.m3u8": ("ll-hls", "https-ll-hls"),
    ".m3u8": ("hls", "https-hls"),
    ".flv": ("http-flv", "https-flv"),
    ".ts": ("http-ts", "https-ts"),
    ".mp4": ("http-fmp4", "https-fmp4"),
}
