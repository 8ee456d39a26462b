"""What nodes say to the scheduler and hear from it: claims, moves, locations, reports, commands (`hls.py` has those of HLS)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from lalmesh.media import TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, Epoch, Grant, Location, NodeAddress, NodeId, Place
from lalmesh.runtime.scheduling.control import AppUsage, Blacklist, KickSessions, LiveSettings, RelayJobs, RelayStatus
from lalmesh.runtime.scheduling.hls import HlsAssigned, HlsEndpoint, RecordingRules

MAX_GOPS = 16  #: of a stream that are told of: half a minute of the usual ones
MAX_FRAME_SECONDS = 31  #: that the frames of a stream are told of: as many as lal shows
MAX_ITEMS = 1000  #: claims, moves, wanted streams or sessions of one request: some 300 KB, so one list never holds up the others
MAX_LOCATE_S = 10.0  #: the longest that a `locate` waits, whatever its deadline


class Role(Enum):
    """What a node does."""

    EDGE = "edge"
    ORIGIN = "origin"
    HLS = "hls"


class StreamState(Enum):
    """How far a group or a publication is."""

    WAITING = "waiting"
    LIVE = "live"
    GRACE = "grace"
    CLOSED = "closed"


class Refusal(Enum):
    """Why the scheduler says no."""

    EXISTS = "exists"  #: somebody else publishes it
    NOT_FOUND = "not_found"
    NO_ORIGIN = "no_origin"  #: none has room
    UNAVAILABLE = "unavailable"  #: the registry or the scheduler cannot be reached; what was asked may have been done
    FENCED = "fenced"  #: epoch or publication outdated
    NOT_JOINED = "not_joined"  #: the asking node is no member (now)
    INVALID = "invalid"
    NO_WORKER = "no_worker"  #: no hls node has room
    SETTLING = "settling"  #: first claims wait until those who hold streams had time to say so; nothing was granted
    FULL = "full"  #: the application has all the publishers that it may have


@dataclass(slots=True, frozen=True)
class Refused:
    """The answer no, to one item of a request."""

    refusal: Refusal
    detail: str = ""
    retry_after_s: float = 0.0  #: seconds after which asking again makes sense; 0: do not


class AskedUrl(NamedTuple):
    """What the URL of a client says beside the name of the stream, for the URLs of relays that name it."""

    app: str = ""  #: where applications mean nothing (`cluster.match_app`); empty where it has none, or the stream has it
    query: str = ""  #: raw, with secrets


NOT_ASKED = AskedUrl()


@dataclass(slots=True, frozen=True, kw_only=True)
class Held:
    """What a publication was granted, and where its group is."""

    epoch: Epoch
    place: Place
    origin: NodeAddress  #: that has the group, be it the heir that took over
    heir: NodeAddress | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class Claim:
    """An edge asks for the right to write a stream."""

    stream: StreamKey
    publication: bytes  #: made by the edge; the same again asks the same question again
    take_over: bool = False  #: replace a live publisher
    repeat_only: bool = False  #: grant nothing anew, only say what a claim without an answer got
    held: Held | None = None  #: a re-claim: the registry may have forgotten what was granted already; None: a first claim
    asked: AskedUrl = NOT_ASKED  #: by the publisher


@dataclass(slots=True, frozen=True, kw_only=True)
class Move:
    """A publishing edge asks for another origin."""

    stream: StreamKey
    epoch: Epoch
    place: Place  #: the place that no longer works
    publication: bytes
    avoid: tuple[str, ...] = ()  #: names of origins that were tried
    at: NodeId | None = None  #: the heir that has taken over, to be written down; None: find another origin


@dataclass(slots=True, frozen=True)
class Wanted:
    """A reader asks where a stream is."""

    stream: StreamKey
    after: Place | None = None  #: wait for a higher place; None: any
    unreachable: NodeId | None = None  #: the origin that this reader cannot reach; others may
    at_once: bool = False  #: do not wait: answer once the registry has been asked
    via: tuple[str, ...] = ()  #: where it is wanted for other clusters: these; at most `MAX_VIA`
    asked: AskedUrl = NOT_ASKED  #: by who wants it


@dataclass(slots=True, frozen=True, kw_only=True)
class Released:
    """What a node gives back: the claim of an edge (epoch, publication) or the group of an origin (place)."""

    stream: StreamKey
    epoch: Epoch = NO_EPOCH
    publication: bytes = b""
    place: Place = NO_PLACE


@dataclass(slots=True, frozen=True)
class Endpoint:
    """What the outside reaches a listener of a node by."""

    protocol: str  #: ``rtmp``, ``rtmps``, ``http``, ``https`` ...
    host: str
    port: int


@dataclass(slots=True, frozen=True, kw_only=True)
class Capacity:
    """What a node can carry; 0 not stated."""

    egress_bps: int = 0
    sessions: int = 0
    streams: int = 0
    memory_bytes: int = 0
    cpu_fraction: float = 0.0  #: of all cores that the node may use


@dataclass(slots=True, frozen=True, kw_only=True)
class Load:
    """What a node carries now."""

    ingress_bps: int = 0
    egress_bps: int = 0
    sessions: int = 0
    streams: int = 0
    cpu_fraction: float = 0.0  #: of all cores that the node may use
    memory_bytes: int = 0
    opened_sessions: int = 0  #: that have come since its start, those that have gone too
    hls_egress_bps: int = 0  #: what of `egress_bps` is HLS and recordings that an edge gives: of no session


@dataclass(slots=True, frozen=True, kw_only=True)
class HeldStream:
    """A stream that a node carries: published here (edge), owned here (origin) or segmented here (hls, with the epoch of that)."""

    stream: StreamKey
    epoch: Epoch = NO_EPOCH
    place: Place = NO_PLACE
    publication: bytes = b""
    state: StreamState = StreamState.LIVE
    tracks: TrackSet = field(default_factory=TrackSet)
    players: int = 0  #: edge: sessions; origin: subscriptions; hls: whether somebody asked for it not long ago
    bitrate_bps: int = 0  #: of the last report interval
    units: int = 0  #: received since the publication began
    missing: int = 0  #: holes since the publication began, in units
    left_out: tuple[str, ...] = ()  #: tracks that an output of the node cannot carry, such as ``ts: pcma``
    published: bool = False  #: edge: by a publisher of its own, not only played
    relayed_to: tuple[str, ...] = ()  #: edge: clusters that it goes to or comes from; at most `MAX_VIA`
    frames_end_s: int = 0  #: edge: Unix seconds, end of the last whole second that `frames` tells of
    #: edge: pictures, or audio frames where there is no video, that came in each of the seconds before, the newest first
    frames: tuple[int, ...] = ()  #: at most `MAX_FRAME_SECONDS`
    payload_bytes: tuple[int, ...] = ()  #: edge: of all tracks, that came in each of those seconds
    gops_end_us: int = 0  #: edge: Unix microseconds of the key frame that ended the newest whole GOP; 0: none has ended
    gop_frames: tuple[int, ...] = ()  #: edge: pictures of each GOP up to there, the newest first; at most `MAX_GOPS`
    gop_ms: tuple[int, ...] = ()  #: edge: how long each lasts
    #: readers, origin: how late the oldest unit of the last run came, by the clocks of both nodes; None: not known
    delay_us: int | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class NodeReport:
    """What a node says of itself each second."""

    node: NodeAddress  #: with the address of its gRPC listener
    role: Role
    zone: str = ""
    machine: str = ""  #: nodes with the same value die together; empty: the node shares with nobody
    endpoints: tuple[Endpoint, ...] = ()
    capacity: Capacity = field(default_factory=Capacity)
    load: Load = field(default_factory=Load)
    draining: bool = False
    leaving: bool = False  #: in order: the node has given its own back
    streams: tuple[HeldStream, ...] = ()
    version: str = ""
    relays: tuple[RelayStatus, ...] = ()  #: of an edge
    worker_of: str = ""  #: name of the node that this one is a process of, which shares its ports; empty: it is a whole one


@dataclass(slots=True, frozen=True)
class Joined:
    """Answers each report."""

    term: int  #: 0 while the scheduler does not know it
    hls: tuple[HlsEndpoint, ...] = ()  #: to edges: the hls nodes that are joined; any answers for any stream
    elsewhere: tuple[Endpoint, ...] = ()  #: to edges that drain: where their players and publishers may go
    #: that the node lives under, 0 where it is not written down; another one than before: it was taken for dead meanwhile
    lease: int = field(default=0, compare=False)


@dataclass(slots=True, frozen=True)
class GroupMoved:
    """A stream that the node carries is read and written somewhere else now."""

    location: Location
    grant: Grant | None = None  #: to the publishing edge: signed, for the new place


@dataclass(slots=True, frozen=True)
class ReclaimWanted:
    """To an edge: the registry does not show what it publishes there. It is to claim these streams again, with what it holds."""

    streams: tuple[StreamKey, ...]


@dataclass(slots=True, frozen=True)
class Drain:
    """Give everything away in order, then end, as on SIGTERM."""

    deadline_s: float = 0.0  #: 0: what the node is configured to take
    all_workers: bool = False  #: to one of several workers: all of its node drain, else the others go on


@dataclass(slots=True, frozen=True)
class StreamFenced:
    """Another publication holds the stream under a higher epoch: let go."""

    stream: StreamKey
    epoch: Epoch


@dataclass(slots=True, frozen=True)
class Evicted:
    """The node is no member any more and must not join again under this incarnation."""

    reason: str


NodeCommand = (
    Joined
    | GroupMoved
    | StreamFenced
    | ReclaimWanted
    | Drain
    | Evicted
    | HlsAssigned
    | RecordingRules
    | KickSessions
    | Blacklist
    | RelayJobs
    | LiveSettings
    | AppUsage
)
