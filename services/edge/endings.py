"""Why a session is over, in one word for metrics: the reason itself is for people, and says more.

The texts come from where sessions are ended, from the cluster, and for relays from servers elsewhere: a table of what they begin
with makes one of a bounded number of words of each.
"""

from __future__ import annotations

from enum import Enum

from lalmesh.runtime.follower import UNREACHABLE
from lalmesh.runtime.listener import BLACKLISTED
from services.edge.entrance import Closed
from services.edge.fanout import OTHER_CONFIGURATION

NOT_BEGUN = "it did not begin to play"
TIME_OVER = "the edge drains, and its time is over"


class Ending(Enum):
    """What metrics count a session's end by."""

    CLIENT = "client"  #: it left
    CONNECTION = "connection_lost"
    PROTOCOL = "protocol_error"
    SILENT = "silent"  #: nothing was heard of it for too long
    SLOW = "too_slow"  #: a player that never caught up
    STREAM_OVER = "stream_over"
    NO_STREAM = "no_stream"  #: it waited for one in vain
    TAKEN_OVER = "taken_over"
    KICKED = "kicked"
    BLACKLISTED = "blacklisted"
    DRAINED = "draining"
    STOPPED = "node_stops"
    UNREACHABLE = "no_origin"
    CONFIGURATION = "configuration"  #: its format cannot go on with the stream
    NOT_BEGUN = "not_begun"
    RELAY = "relay_over"  #: a relay to or from elsewhere ended, or failed
    FAILED = "internal_error"
    OTHER = "other"


_BEGINNINGS: tuple[tuple[str, Ending], ...] = (
    ("closed by the peer", Ending.CLIENT),
    ("closed by the client", Ending.CLIENT),
    ("described anew", Ending.CLIENT),
    ("announced anew", Ending.CLIENT),
    ("only described", Ending.CLIENT),
    ("gone", Ending.CLIENT),
    ("connection lost", Ending.CONNECTION),
    ("protocol error", Ending.PROTOCOL),
    ("sent over", Ending.PROTOCOL),
    ("nothing set up", Ending.PROTOCOL),
    ("silent for", Ending.SILENT),
    ("no request within", Ending.SILENT),
    ("too slow", Ending.SLOW),
    ("the publisher did not come back", Ending.STREAM_OVER),
    ("the group is closed", Ending.STREAM_OVER),
    ("nobody plays it", Ending.STREAM_OVER),
    ("taken over", Ending.TAKEN_OVER),
    (BLACKLISTED, Ending.BLACKLISTED),
    (TIME_OVER, Ending.DRAINED),
    (Closed.DRAINING.value, Ending.DRAINED),
    ("the edge stops", Ending.STOPPED),
    (UNREACHABLE, Ending.UNREACHABLE),
    (OTHER_CONFIGURATION, Ending.CONFIGURATION),
    ("this stream cannot be had in this format", Ending.CONFIGURATION),
    ("too many choices of channels", Ending.CONFIGURATION),
    (NOT_BEGUN, Ending.NOT_BEGUN),
    ("refused", Ending.NOT_BEGUN),
    ("wrong credentials", Ending.NOT_BEGUN),
    ("internal error", Ending.FAILED),
)


def ending_of(reason: str, *, is_relay: bool = False) -> Ending:
    """The word for `reason`; that of a relay comes from elsewhere where it is none of ours."""
    for beginning, ending in _BEGINNINGS:
        if reason.startswith(beginning):
            return ending
    if "nobody publishe" in reason:  # "APP/NAME: nobody published it within ..."
        return Ending.NO_STREAM
    if reason.endswith(OTHER_CONFIGURATION):
        return Ending.CONFIGURATION
    return Ending.RELAY if is_relay else Ending.OTHER
