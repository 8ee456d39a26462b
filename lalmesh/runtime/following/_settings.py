"""What a follower is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lalmesh.runtime.scheduling.model import NOT_ASKED, AskedUrl


class Demand(NamedTuple):
    """For whom a stream is wanted."""

    via: tuple[str, ...] = ()  #: the clusters that it is wanted for (`Wanted.via`)
    asked: AskedUrl = NOT_ASKED  #: by who asked first


NO_DEMAND = Demand()


@dataclass(slots=True, frozen=True, kw_only=True)
class FollowSettings:
    """How a follower waits and gives up."""

    lost_s: float = 30.0  #: how long to look for a stream while no origin has it
    awaits_first: bool = False  #: look without end for a stream of which nothing has come yet: whoever wants it says how long
    keep_s: float = 0.0  #: how much of the stream its origin is asked to keep for a successor
    demand: Demand = NO_DEMAND  #: told while nothing of the stream has come
