"""What a worker is told by its node, and what it tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from lalmesh.media import TICKS_PER_SECOND
from lalmesh.runtime.durations import STORING_BUCKETS_S, Durations
from lalmesh.runtime.fences import FENCES_KEPT, Fences
from lalmesh.runtime.follower import UNREACHABLE, FollowSettings, Locates, OriginLinks
from lalmesh.runtime.storage import Storage
from services.hls.cuts import CutSettings
from services.hls.events import HlsEvents
from services.hls.recorded import NodeRecordings
from services.hls.rendition import Format
from services.hls.shelf import Budget
from services.hls.store import StoreCounters

if TYPE_CHECKING:
    from services.hls.worker import Worker


class Cleanup(Enum):
    """What becomes of stored segments."""

    NEVER = "never"
    AFTER_END = "after_end"
    ROLLING = "rolling"


@dataclass(slots=True, frozen=True, kw_only=True)
class WorkerSettings:
    """How streams are segmented and kept."""

    cuts: CutSettings = field(default_factory=CutSettings)
    list_size: int = 6
    delete_threshold: int = 6  #: stored segments that stay when they have left the playlists, where cleanup is rolling
    cleanup: Cleanup = Cleanup.ROLLING
    formats: tuple[Format, ...] = ()  #: that are made whether anybody asks or not
    idle_s: float | None = 60.0  #: how long a stream is segmented that nobody asks for; None: to its end
    wait_s: float = 20.0  #: how long a request waits for the first segment
    remembered_num: int = FENCES_KEPT  #: streams whose highest epoch a node remembers
    transcode: bool = True  #: whether G.711 is made AAC, where the extra is installed
    follow: FollowSettings = field(default_factory=FollowSettings)

    @property
    def linger_s(self) -> float:
        """How long segments are of use when the stream has ended."""
        return self.cuts.segment * (self.list_size + self.delete_threshold) / TICKS_PER_SECOND

    @property
    def resumable_s(self) -> float:
        """How long after the last segment another worker goes on with the playlists of a stream that has not ended."""
        return self.follow.keep_s + self.cuts.max_target_s

    @property
    def useful_s(self) -> float:
        """How long segments are of use when nobody segments their stream."""
        return max(self.linger_s, self.resumable_s)


class Ending(Enum):
    """How a worker has ended."""

    OVER = "the stream is over"
    IDLE = "nobody asks for it"
    STOPPED = "the node stops"
    OUTDATED = "another node segments it"
    FAILED = "failed"
    LOST = UNREACHABLE


@dataclass(slots=True)
class WorkerCounters:
    """What workers have made. Only rises."""

    segments: int = 0
    parts: int = 0
    segment_bytes: int = 0
    gaps: int = 0  #: numbers that were given up
    discontinuities: int = 0
    unmuxed_units: int = 0  #: that a container did not take, each counted once a container
    #: from the end of a segment's media until it was in storage
    segment_lag: Durations = field(default_factory=lambda: Durations(STORING_BUCKETS_S))
    link_delay: Durations = field(default_factory=Durations)  #: of the unit that ended a segment, from its publisher's edge


class WorkerHost(Protocol):
    """What a worker needs of its node."""

    settings: WorkerSettings
    links: OriginLinks
    locates: Locates  #: asks where streams are
    seen: Fences  #: who was seen to write streams, before any worker of theirs that is
    storage: Storage
    budget: Budget
    store_counters: StoreCounters
    counters: WorkerCounters
    gaps: Durations  #: of readers whose stream went from one origin to another
    recordings: NodeRecordings | None  #: None: nothing is ever recorded
    events: HlsEvents | None  #: None: nobody hears of segments

    def raise_limit(self, worker: Worker, limit: int) -> None:
        """Have the registry count numbers below `limit` as used; `Worker.limit_raised` hears of it."""
        ...

    def ended(self, worker: Worker) -> None:
        """The worker has ended; `Worker.ending` says how."""
        ...
