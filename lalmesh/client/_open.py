"""The player for a URL."""

from __future__ import annotations

from lalmesh.client._http import HttpFlvPlayer, WebSocketFlvPlayer
from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.client._player import Player
from lalmesh.client._rtmp import RtmpPlayer
from lalmesh.errors import UnsupportedError

#: by URL scheme
PLAYERS: dict[str, type[Player]] = {
    "rtmp": RtmpPlayer,
    "rtmps": RtmpPlayer,
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
    scheme = url.partition(":")[0].lower()
    player = PLAYERS.get(scheme)
    if player is None:
        raise UnsupportedError(f"URL scheme {scheme!r}; known are {', '.join(PLAYERS)}")
    return player(url, options)
