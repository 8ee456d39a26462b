"""What the samples have to show: nothing grows, and when the last one has left all is as it was before the first one came."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from e2e.soak.samples import Sampler, Series, Values
from e2e.soak.world import REMEMBERED_NUM, SHARD_EVENTS_NUM
from support.slopes import Slope, second_half, slope

from lalmesh.runtime.event_log import SHARDS
from services.edge.answer_cache import MAX_ENTRIES
from services.edge.hls_guard import PATHS_KEPT
from services.edge.upstreams import MAX_LAST

MIB = 1 << 20
#: growth in the second half of a run that matters, for each process; less is what allocators and pools do. In an hour a standalone
#: server has some 4,500 streams, each with a player: one object of each, or two blocks of memory, are more than that
MATTERS: Mapping[str, float] = {
    "rss_bytes": 8 * MIB,  # the heap keeps what its highest peak needed, and peaks of a server of all roles are as high
    "lalmesh_heap_used_bytes": 2 * MIB,
    "connections": 1.5,  # of two descriptors each
    "other_descriptors": 3,
    "lalmesh_tasks": 5,
    "threads": 3,
    "timers": 10,
    "channels": 2,
    "objects": 3_000,
    "own_objects": 1_500,
    "lalmesh_python_blocks": 8_000,
}
#: the same of etcd, whose heap breathes, and of Redis
THEIRS_MATTER: Mapping[str, float] = {"rss_bytes": 16 * MIB, "descriptors": 3, "threads": 3}
#: the same of what is shared
STORES_MATTER: Mapping[str, float] = {
    "etcd_keys": 20,
    "redis_keys": 20,
    "redis_bytes": 2 * MIB,
    "stored_files_cluster": 100,
    "stored_files_standalone": 100,
}
SHARED_MATTER: Mapping[str, Mapping[str, float]] = {"etcd": THEIRS_MATTER, "redis": THEIRS_MATTER, "stores": STORES_MATTER}
#: more than there was at rest before that is no leak; what is under way just then is waited for, so that this is what is kept
AT_REST: Mapping[str, float] = {
    # A scheduler's client of Redis keeps a connection for each of its calls that were ever under way together, 64 at most, and
    # Redis its end of it: in two hours two more. HTTP gives up within 30 s what nobody uses, links are there from the start.
    "descriptors": 4,
    "lalmesh_tasks": 2,  # no pool keeps any, and in two hours there was none more: two come and go with a request
    # Pools of threads stay as large as what was ever asked of them together: of an hls node 8 for storage, 8 for recordings, 2 that
    # zip, 2 that make playlists, 6 of the loop's own; gRPC and etcd begin one more where all are busy. In two hours 4 more at most.
    "threads": 6,
    "timers": 4,  # of what is asked every second or so, with a deadline each: in two hours 2 more at most
    "channels": 1,  # a link that there was not yet
    "etcd_keys": 2,
    "redis_keys": 2,
}
#: the same where a run has warmed up for seconds: pools have seen less come together, and not all that goes on has begun once
AFTER_SECONDS: Mapping[str, float] = {**AT_REST, "descriptors": 8, "lalmesh_tasks": 4, "threads": 12, "timers": 8}
TYPE_AT_REST = 6  #: more objects of a type of ours than there were at rest before: requests have some, pools keep none
KEY = "lalmesh.names.StreamKey"
#: of a cache and a log: each may have a key of its own
KEYED = ("lalmesh.protocol.hls._paths.HlsPath", "lalmesh.runtime.events.Event")
#: types of which some stay for each of the last `REMEMBERED_NUM` names, and how many do in the process that holds most
REMEMBERED: Mapping[str, int] = {
    "lalmesh.runtime.fences.Fence": 4,  # of edge and origin, and two of the hls node, where they are one process
    "lalmesh.runtime.ownership.Epoch": 4,
    "lalmesh.runtime.ownership.Location": 1,  # where an edge read them last, with the place, the origin and its heir
    "lalmesh.runtime.ownership.NodeAddress": 2,
    "lalmesh.runtime.ownership.NodeId": 2,
    "lalmesh.runtime.ownership.Place": 1,
    KEY: 4,
}
_LOGGED = SHARDS * SHARD_EVENTS_NUM
#: types of which there may be as many as a cache or a log has room for
CACHED: Mapping[str, int] = {
    "lalmesh.media.Track": 2 * _LOGGED,  # of the events of the log
    "lalmesh.protocol.hls._names.InitName": PATHS_KEPT,
    "lalmesh.protocol.hls._names.SegmentName": PATHS_KEPT,
    "lalmesh.protocol.hls._paths.HlsPath": PATHS_KEPT,
    "lalmesh.runtime.event_log.EventCursor": 2 * SHARDS,  # of a receiver, and of its delivery
    "lalmesh.runtime.event_log.LoggedEvent": _LOGGED,
    "lalmesh.runtime.events.Event": _LOGGED,
    "lalmesh.runtime.hls_answers.Played": MAX_ENTRIES,
    "services.edge.answer_cache.Answer": MAX_ENTRIES,
    "services.edge.hls_counting.Asked": PATHS_KEPT,
    "services.edge.upstreams.Upstream": MAX_LAST,
    "services.scheduler.api._checking._Kind": 100,  # of what the API may be asked with
}
#: what has to be 0 once everybody has left, in every process that tells of it
ZERO = (
    "edge_connections",
    "edge_sessions",
    "edge_publications",
    "edge_relays",
    "edge_udp_tracks",
    "edge_hls_players",
    "origin_groups",
    "origin_subscriptions",
    "origin_ring_bytes",
    "hls_connections",
    "hls_streams",
    "hls_players",
    "hls_memory_bytes",
    "hls_recording_streams",
    "hls_recording_waiting_files",
    "hls_recording_waiting_bytes",
    "hls_recording_spool_bytes",
    "scheduler_streams",
    "scheduler_hls_streams",
    "scheduler_hls_waiting_streams",
    "scheduler_webhook_backlog",
    "lalmesh_events_waiting",
    "listed_sessions_cluster",
    "listed_sessions_standalone",
    "etcd_claims",
    "etcd_groups",
    "etcd_hls",
    "etcd_relays",
    "redis_endless_keys",
)


@dataclass(frozen=True, slots=True)
class Grown:
    """How one value of one process went."""

    process: str
    what: str
    slope: Slope
    level: float  #: the last value
    matters: float

    @property
    def is_leak(self) -> bool:
        """Whether it surely grows by what matters."""
        return self.slope.growth > self.matters


@dataclass
class Rest:
    """How all is when nobody is there."""

    values: dict[str, Values] = field(default_factory=dict)  #: by process
    types: dict[str, dict[str, int]] = field(default_factory=dict)  #: of ours, by process
    pids: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, sampler: Sampler, pids: Mapping[str, int]) -> Rest:
        """As it was looked at last."""
        return cls({**sampler.newest}, {**sampler.types}, dict(pids))


def not_zero(values: Mapping[str, Values], but: Container[str] = ()) -> list[str]:
    """What should be 0 and is not; some things take longer, `but` for those."""
    return [
        f"{process}: {what} is {value:g}"
        for process, seen in sorted(values.items())
        for what, value in sorted(seen.items())
        if what in ZERO and value and what not in but
    ]


def untold(values: Mapping[str, Values], names: Iterable[str] = ZERO) -> list[str]:
    """What no process tells of, and so can never be found to be wrong."""
    told = {what for seen in values.values() for what in seen}
    return [f"no process tells of {what}" for what in names if what not in told]


def left_over(before: Rest, after: Rest, but: Container[str] = (), at_rest: Mapping[str, float] = AT_REST) -> list[str]:
    """What is there at rest, and was not at rest before: of processes that have lived all the time; some things take longer."""
    found = list[str]()
    for process in _lasting(before, after):
        then, now = before.values[process], after.values[process]
        for what, more in at_rest.items():
            if what in now and what not in but and now[what] > then.get(what, 0) + more:
                found.append(f"{process}: {now[what]:g} {what} at rest, {then.get(what, 0):g} before")
        kinds, kinds_before = after.types.get(process, {}), before.types.get(process, {})
        for kind, more_of_it in _more_of_types(kinds_before, kinds):
            if more_of_it > TYPE_AT_REST and kind not in but:
                found.append(f"{process}: {kinds[kind]} of {kind} at rest, {kinds_before.get(kind, 0)} before")
    return found


def most_left(before: Rest, after: Rest, but: Container[str] = ()) -> Values:
    """The most that a process has more of at rest than before, of all that has a bound: how near that is."""
    most = dict.fromkeys((*AT_REST, "objects of a type"), 0.0)
    for process in _lasting(before, after):
        then, now = before.values[process], after.values[process]
        kinds = _more_of_types(before.types.get(process, {}), after.types.get(process, {}))
        more = {what: now.get(what, 0) - then.get(what, 0) for what in AT_REST}
        more["objects of a type"] = max((count for kind, count in kinds if kind not in but), default=0)
        most = {what: max(count, more[what]) for what, count in most.items()}
    return most


def _lasting(before: Rest, after: Rest) -> list[str]:
    """Processes that have lived all the time."""
    both = after.values.keys() & before.values.keys()
    return sorted(process for process in both if after.pids.get(process) == before.pids.get(process))


def _more_of_types(before: Mapping[str, int], now: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """How many of each type of ours there are beyond those of before, or as many as are remembered or cached."""
    for kind, count in sorted(now.items()):
        allowed = max(before.get(kind, 0), REMEMBERED.get(kind, 0) * REMEMBERED_NUM, CACHED.get(kind, 0))
        if kind == KEY:
            allowed += sum(now.get(keyed, 0) for keyed in KEYED)
        yield kind, count - allowed


def grown(series: Series, slack: float = 1.0, but: Container[str] = ()) -> list[Grown]:
    """The slopes of the second half, of each process' longest life, but of some; `slack` times as much matters as in an hour."""
    longest: dict[tuple[str, str], int] = {}
    for (process, pid, what), points in series.points.items():
        best = longest.get((process, what))
        if best is None or len(points) > len(series.points[process, best, what]):
            longest[process, what] = pid
    found = list[Grown]()
    for (process, what), pid in sorted(longest.items()):
        limit = SHARED_MATTER.get(process, MATTERS).get(what)
        if limit is None or what in but:
            continue
        points = series.points[process, pid, what]
        if (seen := slope(second_half(points))) is not None:
            found.append(Grown(process, what, seen, points[-1][1], limit * slack))
    return found


def unjudged(judged: Sequence[Grown], ours: Sequence[str], but: Container[str] = ()) -> list[str]:
    """What there has to be a slope of, and is not: of `ours`, processes that have lived all the time, and of all that is shared.

    There need not be one of `but`.
    """
    wanted = [(process, what) for process in ours for what in MATTERS]
    wanted += [(process, what) for process, limits in SHARED_MATTER.items() for what in limits]
    seen = {(each.process, each.what) for each in judged}
    return [f"{process}: {what}" for process, what in wanted if (process, what) not in seen and what not in but]
