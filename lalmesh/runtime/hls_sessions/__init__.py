"""Counting players of HLS: what edges and hls nodes share of it.

A player of HLS has no connection. Its first playlist is answered with a redirection to the same URL with a `session_id`, with
which it asks for playlists from then on. The id says when it was made, and is signed, so no node has to remember it: with
`hls.session.hash_key`, else with a key made of the cluster's. Whoever answers a player's request counts it, and says so to the
other, and tells the scheduler of those it saw. A player that moves keeps its id, and is one session.

Where `hls.session.hash_key` is set, every line of the playlists carries the id, as with lal: each byte of each player is counted,
and no cache can give one player what another had; hls nodes alone count then. Otherwise files and media playlists are the same for
all players, and what is counted of one is its playlists.
"""

from __future__ import annotations

from lalmesh.runtime.hls_sessions._events import PlayerEvents
from lalmesh.runtime.hls_sessions._ids import PARAMETER, SessionIds, made_us, session_in, with_session
from lalmesh.runtime.hls_sessions._players import ENDED, KICKED_S, LEFT, MAX_SESSIONS, HlsPlayer, Players, PlayerWatcher
from lalmesh.runtime.hls_sessions._reports import TOUCH_S, PlayerReports

__all__ = [
    "ENDED",
    "KICKED_S",
    "LEFT",
    "MAX_SESSIONS",
    "PARAMETER",
    "TOUCH_S",
    "HlsPlayer",
    "PlayerEvents",
    "PlayerReports",
    "PlayerWatcher",
    "Players",
    "SessionIds",
    "made_us",
    "session_in",
    "with_session",
]
