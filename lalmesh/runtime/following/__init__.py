"""Following a stream wherever it goes: the decisions of a reader, pure; `lalmesh.runtime.follower` carries them out."""

from lalmesh.runtime.following._core import (
    ALONE_AFTER,
    LOCATE_S,
    LOOK_AGAIN_S,
    UNREACHABLE,
    Following,
)
from lalmesh.runtime.following._events import (
    Closed,
    Command,
    Delivered,
    Event,
    Finish,
    Locate,
    NotLocated,
    Opened,
    Started,
    Subscribe,
    TimerFired,
    Told,
    Unsubscribe,
)
from lalmesh.runtime.following._pauses import FIRST_RETRY_S, MAX_BELOW_S, MAX_RETRY_S, STEADY_S
from lalmesh.runtime.following._settings import NO_DEMAND, Demand, FollowSettings

__all__ = [
    "ALONE_AFTER",
    "FIRST_RETRY_S",
    "LOCATE_S",
    "LOOK_AGAIN_S",
    "MAX_BELOW_S",
    "MAX_RETRY_S",
    "NO_DEMAND",
    "STEADY_S",
    "UNREACHABLE",
    "Closed",
    "Command",
    "Delivered",
    "Demand",
    "Event",
    "Finish",
    "FollowSettings",
    "Following",
    "Locate",
    "NotLocated",
    "Opened",
    "Started",
    "Subscribe",
    "TimerFired",
    "Told",
    "Unsubscribe",
]
