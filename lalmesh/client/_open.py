"""The player and the publisher for a URL."""

from __future__ import annotations

from lalmesh.client._http import HttpFlvPlayer, WebSocketFlvPlayer
from lalmesh.client._link import ClientLink
from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.client._player import Player
from lalmesh.client._publisher import Publisher
from lalmesh.client._rtmp import RtmpPlayer, RtmpPublisher
from lalmesh.client._rtsp import RtspPlayer, RtspPublisher
from lalmesh.errors import UnsupportedError
from lalmesh.media import TrackSet

#: by URL scheme
PLAYERS: dict[str, type[Player]] = {
    "rtmp": RtmpPlayer,
    "rtmps": RtmpPlayer,
    "rtsp": RtspPlayer,
    "rtsps": RtspPlayer,
    "http": HttpFlvPlayer,
    "https": HttpFlvPlayer,
    "ws": WebSocketFlvPlayer,
    "wss": WebSocketFlvPlayer,
}


def open_player(url: str, options: ClientOptions = DEFAULT_OPTIONS) -> Player:
    """The player for `url`, by its scheme; it connects when entered.

    Raises:
        UnsupportedError: no player is known for the scheme.
    """
    scheme = _scheme(url)
    player = PLAYERS.get(scheme)
    if player is None:
        raise UnsupportedError(f"URL scheme {scheme!r}; known are {', '.join(PLAYERS)}")
    return player(url, options)


def is_described(url: str) -> bool:
    """Whether a publisher to `url` has to tell its tracks before anything of them."""
    return _scheme(url) in ("rtsp", "rtsps")


def open_publisher(url: str, tracks: TrackSet, options: ClientOptions = DEFAULT_OPTIONS) -> Publisher[ClientLink]:
    """The publisher to `url`, by its scheme; it connects when entered, and refuses then what is no URL of a known scheme.

    Args:
        url: where to.
        tracks: what is published, as far as it is known; all where the URL `is_described`.
        options: limits and trust.
    """
    return RtspPublisher(url, tracks, options) if is_described(url) else RtmpPublisher(url, options)


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()
