"""What lal calls things: its API and its events name sessions and versions alike, so that programs for it go on working."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import unquote

import lalmesh
from lalmesh.errors import InvalidName, RemoteProtocolError
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.protocol.hls import PLAYLIST_SUFFIX, parse_path

API_VERSION = "v0.4.9"  #: of the API that is answered alike
NOTIFY_VERSION = "v0.2.5"  #: of the events

_RTMP = {"publisher": "RTMPPUBSUB", "player": "RTMPPUBSUB", "relay_pull": "RTMPPULL", "relay_push": "RTMPPUSH"}
_RTSP = {"publisher": "RTSPPUB", "player": "RTSPSUB", "relay_pull": "RTSPPULL", "relay_push": "RTSPPUSH"}
_OTHERS = {"flv": "FLV", "ts": "TS", "fmp4": "MP4", "hls": "HLS"}
_ENDS = {"publisher": "PUB", "player": "SUB", "relay_pull": "PULL", "relay_push": "PUSH"}
_PREFIXES = sorted(
    {*_RTMP.values(), *_RTSP.values(), *(f"{name}{end}" for name in _OTHERS.values() for end in _ENDS.values())},
    key=len,
    reverse=True,
)


def lal_protocol(protocol: str) -> str:
    """``RTMP``, ``RTSP``, ``FLV``, ``TS``, ``HLS``; ``MP4``, which lal has not. TLS and WebSocket make no difference to lal."""
    if "rtmp" in protocol:
        return "RTMP"
    if "rtsp" in protocol:
        return "RTSP"
    return _OTHERS.get(protocol.rpartition("-")[2], protocol.upper())


def lal_session_id(session_id: str, protocol: str, role: str) -> str:
    """The id of a session with the prefix that lal gives it; `own_session_id` takes it off again."""
    name = lal_protocol(protocol)
    if name in ("RTMP", "RTSP"):
        return (_RTMP if name == "RTMP" else _RTSP).get(role, name) + session_id
    return f"{name}{_ENDS.get(role, '')}{session_id}"


def own_session_id(lal_id: str) -> str:
    """The id of a session without the prefix of lal. Our ids are lower-case, so no part of one is taken for it."""
    return next((lal_id.removeprefix(prefix) for prefix in _PREFIXES if lal_id.startswith(prefix)), lal_id)


def lal_app_name(stream: StreamKey, urls: Iterable[str]) -> str:
    """The application of a stream; where applications mean nothing it is what the first of `urls` has that has any."""
    if stream.app != ANY_APP:
        return stream.app
    return next((app for app in map(_app_in, urls) if app), "")


def _app_in(url: str) -> str:
    """The application that a URL names; a playlist below ``/hls/`` may name none, as anything else may, whatever stands in it."""
    path = "/" + url.rpartition("://")[2].partition("?")[0].partition("/")[2]
    if url.startswith("http") and path.endswith(PLAYLIST_SUFFIX):
        try:
            return parse_path(path).app or ""
        except (InvalidName, RemoteProtocolError):
            return ""
    return unquote(path.strip("/").rpartition("/")[0])


def lal_version() -> str:
    """The version as lal writes it."""
    return f"v{lalmesh.__version__}"


def bin_info() -> str:
    """What lal says of its build."""
    return f"lalmesh {lal_version()}"


def lal_time(at_us: int) -> str:
    """A time as lal writes it, such as ``2026-01-02 03:04:05.678 Z UTC``; trailing zeros of the milliseconds are cut."""
    at = datetime.fromtimestamp(at_us / 1e6, UTC)
    fraction = f".{at.microsecond // 1000:03}".rstrip("0").rstrip(".")
    return f"{at:%Y-%m-%d %H:%M:%S}{fraction} Z UTC"
