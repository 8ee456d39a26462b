from lalmesh.rpc.lalmesh.v1 import control_pb2 as _control_pb2
from lalmesh.rpc.lalmesh.v1 import hls_pb2 as _hls_pb2
from lalmesh.rpc.lalmesh.v1 import media_pb2 as _media_pb2
from lalmesh.rpc.lalmesh.v1 import origin_pb2 as _origin_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_EDGE: _ClassVar[Role]
    ROLE_ORIGIN: _ClassVar[Role]
    ROLE_HLS: _ClassVar[Role]

class StreamState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_STATE_UNSPECIFIED: _ClassVar[StreamState]
    STREAM_STATE_WAITING: _ClassVar[StreamState]
    STREAM_STATE_LIVE: _ClassVar[StreamState]
    STREAM_STATE_GRACE: _ClassVar[StreamState]
    STREAM_STATE_CLOSED: _ClassVar[StreamState]

class Refusal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSAL_UNSPECIFIED: _ClassVar[Refusal]
    REFUSAL_EXISTS: _ClassVar[Refusal]
    REFUSAL_NOT_FOUND: _ClassVar[Refusal]
    REFUSAL_NO_ORIGIN: _ClassVar[Refusal]
    REFUSAL_UNAVAILABLE: _ClassVar[Refusal]
    REFUSAL_FENCED: _ClassVar[Refusal]
    REFUSAL_NOT_JOINED: _ClassVar[Refusal]
    REFUSAL_INVALID: _ClassVar[Refusal]
    REFUSAL_NO_WORKER: _ClassVar[Refusal]
    REFUSAL_SETTLING: _ClassVar[Refusal]
    REFUSAL_FULL: _ClassVar[Refusal]

class SessionRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_ROLE_UNSPECIFIED: _ClassVar[SessionRole]
    SESSION_ROLE_PUBLISHER: _ClassVar[SessionRole]
    SESSION_ROLE_PLAYER: _ClassVar[SessionRole]
    SESSION_ROLE_RELAY_PULL: _ClassVar[SessionRole]
    SESSION_ROLE_RELAY_PUSH: _ClassVar[SessionRole]
ROLE_UNSPECIFIED: Role
ROLE_EDGE: Role
ROLE_ORIGIN: Role
ROLE_HLS: Role
STREAM_STATE_UNSPECIFIED: StreamState
STREAM_STATE_WAITING: StreamState
STREAM_STATE_LIVE: StreamState
STREAM_STATE_GRACE: StreamState
STREAM_STATE_CLOSED: StreamState
REFUSAL_UNSPECIFIED: Refusal
REFUSAL_EXISTS: Refusal
REFUSAL_NOT_FOUND: Refusal
REFUSAL_NO_ORIGIN: Refusal
REFUSAL_UNAVAILABLE: Refusal
REFUSAL_FENCED: Refusal
REFUSAL_NOT_JOINED: Refusal
REFUSAL_INVALID: Refusal
REFUSAL_NO_WORKER: Refusal
REFUSAL_SETTLING: Refusal
REFUSAL_FULL: Refusal
SESSION_ROLE_UNSPECIFIED: SessionRole
SESSION_ROLE_PUBLISHER: SessionRole
SESSION_ROLE_PLAYER: SessionRole
SESSION_ROLE_RELAY_PULL: SessionRole
SESSION_ROLE_RELAY_PUSH: SessionRole

class Endpoint(_message.Message):
    __slots__ = ("protocol", "host", "port")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    protocol: str
    host: str
    port: int
    def __init__(self, protocol: _Optional[str] = ..., host: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class Capacity(_message.Message):
    __slots__ = ("egress_bps", "sessions", "streams", "memory_bytes", "cpu_fraction")
    EGRESS_BPS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_FRACTION_FIELD_NUMBER: _ClassVar[int]
    egress_bps: int
    sessions: int
    streams: int
    memory_bytes: int
    cpu_fraction: float
    def __init__(self, egress_bps: _Optional[int] = ..., sessions: _Optional[int] = ..., streams: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., cpu_fraction: _Optional[float] = ...) -> None: ...

class Load(_message.Message):
    __slots__ = ("ingress_bps", "egress_bps", "sessions", "streams", "cpu_fraction", "memory_bytes", "opened_sessions", "hls_egress_bps")
    INGRESS_BPS_FIELD_NUMBER: _ClassVar[int]
    EGRESS_BPS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    CPU_FRACTION_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    OPENED_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    HLS_EGRESS_BPS_FIELD_NUMBER: _ClassVar[int]
    ingress_bps: int
    egress_bps: int
    sessions: int
    streams: int
    cpu_fraction: float
    memory_bytes: int
    opened_sessions: int
    hls_egress_bps: int
    def __init__(self, ingress_bps: _Optional[int] = ..., egress_bps: _Optional[int] = ..., sessions: _Optional[int] = ..., streams: _Optional[int] = ..., cpu_fraction: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., opened_sessions: _Optional[int] = ..., hls_egress_bps: _Optional[int] = ...) -> None: ...

class NodeReport(_message.Message):
    __slots__ = ("node", "role", "zone", "machine", "endpoints", "capacity", "load", "draining", "leaving", "streams", "version", "relays", "worker_of")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RELAYS_FIELD_NUMBER: _ClassVar[int]
    WORKER_OF_FIELD_NUMBER: _ClassVar[int]
    node: _origin_pb2.NodeRef
    role: Role
    zone: str
    machine: str
    endpoints: _containers.RepeatedCompositeFieldContainer[Endpoint]
    capacity: Capacity
    load: Load
    draining: bool
    leaving: bool
    streams: _containers.RepeatedCompositeFieldContainer[HeldStream]
    version: str
    relays: _containers.RepeatedCompositeFieldContainer[_control_pb2.RelayStatus]
    worker_of: str
    def __init__(self, node: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., role: _Optional[_Union[Role, str]] = ..., zone: _Optional[str] = ..., machine: _Optional[str] = ..., endpoints: _Optional[_Iterable[_Union[Endpoint, _Mapping]]] = ..., capacity: _Optional[_Union[Capacity, _Mapping]] = ..., load: _Optional[_Union[Load, _Mapping]] = ..., draining: _Optional[bool] = ..., leaving: _Optional[bool] = ..., streams: _Optional[_Iterable[_Union[HeldStream, _Mapping]]] = ..., version: _Optional[str] = ..., relays: _Optional[_Iterable[_Union[_control_pb2.RelayStatus, _Mapping]]] = ..., worker_of: _Optional[str] = ...) -> None: ...

class HeldStream(_message.Message):
    __slots__ = ("app", "name", "epoch", "place", "publication", "state", "tracks", "players", "bitrate_bps", "units", "missing", "left_out", "published", "relayed_to", "frames_end_s", "frames", "payload_bytes", "gops_end_us", "gop_frames", "gop_ms", "delay_us")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    PLAYERS_FIELD_NUMBER: _ClassVar[int]
    BITRATE_BPS_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    RELAYED_TO_FIELD_NUMBER: _ClassVar[int]
    FRAMES_END_S_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    GOPS_END_US_FIELD_NUMBER: _ClassVar[int]
    GOP_FRAMES_FIELD_NUMBER: _ClassVar[int]
    GOP_MS_FIELD_NUMBER: _ClassVar[int]
    DELAY_US_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    epoch: _media_pb2.Epoch
    place: _media_pb2.Place
    publication: bytes
    state: StreamState
    tracks: _media_pb2.TrackSet
    players: int
    bitrate_bps: int
    units: int
    missing: int
    left_out: _containers.RepeatedScalarFieldContainer[str]
    published: bool
    relayed_to: _containers.RepeatedScalarFieldContainer[str]
    frames_end_s: int
    frames: _containers.RepeatedScalarFieldContainer[int]
    payload_bytes: _containers.RepeatedScalarFieldContainer[int]
    gops_end_us: int
    gop_frames: _containers.RepeatedScalarFieldContainer[int]
    gop_ms: _containers.RepeatedScalarFieldContainer[int]
    delay_us: int
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., epoch: _Optional[_Union[_media_pb2.Epoch, _Mapping]] = ..., place: _Optional[_Union[_media_pb2.Place, _Mapping]] = ..., publication: _Optional[bytes] = ..., state: _Optional[_Union[StreamState, str]] = ..., tracks: _Optional[_Union[_media_pb2.TrackSet, _Mapping]] = ..., players: _Optional[int] = ..., bitrate_bps: _Optional[int] = ..., units: _Optional[int] = ..., missing: _Optional[int] = ..., left_out: _Optional[_Iterable[str]] = ..., published: _Optional[bool] = ..., relayed_to: _Optional[_Iterable[str]] = ..., frames_end_s: _Optional[int] = ..., frames: _Optional[_Iterable[int]] = ..., payload_bytes: _Optional[_Iterable[int]] = ..., gops_end_us: _Optional[int] = ..., gop_frames: _Optional[_Iterable[int]] = ..., gop_ms: _Optional[_Iterable[int]] = ..., delay_us: _Optional[int] = ...) -> None: ...

class NodeCommand(_message.Message):
    __slots__ = ("joined", "group_moved", "fenced", "evicted", "hls_assigned", "recording_rules", "reclaim_wanted", "drain", "kick_sessions", "blacklist", "relay_jobs", "live_settings", "app_usage")
    JOINED_FIELD_NUMBER: _ClassVar[int]
    GROUP_MOVED_FIELD_NUMBER: _ClassVar[int]
    FENCED_FIELD_NUMBER: _ClassVar[int]
    EVICTED_FIELD_NUMBER: _ClassVar[int]
    HLS_ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    RECORDING_RULES_FIELD_NUMBER: _ClassVar[int]
    RECLAIM_WANTED_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    KICK_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    BLACKLIST_FIELD_NUMBER: _ClassVar[int]
    RELAY_JOBS_FIELD_NUMBER: _ClassVar[int]
    LIVE_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    APP_USAGE_FIELD_NUMBER: _ClassVar[int]
    joined: Joined
    group_moved: GroupMoved
    fenced: Fenced
    evicted: Evicted
    hls_assigned: HlsAssigned
    recording_rules: RecordingRules
    reclaim_wanted: ReclaimWanted
    drain: Drain
    kick_sessions: _control_pb2.KickSessions
    blacklist: _control_pb2.Blacklist
    relay_jobs: _control_pb2.RelayJobs
    live_settings: _control_pb2.LiveSettings
    app_usage: _control_pb2.AppUsage
    def __init__(self, joined: _Optional[_Union[Joined, _Mapping]] = ..., group_moved: _Optional[_Union[GroupMoved, _Mapping]] = ..., fenced: _Optional[_Union[Fenced, _Mapping]] = ..., evicted: _Optional[_Union[Evicted, _Mapping]] = ..., hls_assigned: _Optional[_Union[HlsAssigned, _Mapping]] = ..., recording_rules: _Optional[_Union[RecordingRules, _Mapping]] = ..., reclaim_wanted: _Optional[_Union[ReclaimWanted, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., kick_sessions: _Optional[_Union[_control_pb2.KickSessions, _Mapping]] = ..., blacklist: _Optional[_Union[_control_pb2.Blacklist, _Mapping]] = ..., relay_jobs: _Optional[_Union[_control_pb2.RelayJobs, _Mapping]] = ..., live_settings: _Optional[_Union[_control_pb2.LiveSettings, _Mapping]] = ..., app_usage: _Optional[_Union[_control_pb2.AppUsage, _Mapping]] = ...) -> None: ...

class Joined(_message.Message):
    __slots__ = ("term", "hls", "elsewhere", "lease")
    TERM_FIELD_NUMBER: _ClassVar[int]
    HLS_FIELD_NUMBER: _ClassVar[int]
    ELSEWHERE_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    term: int
    hls: _containers.RepeatedCompositeFieldContainer[HlsEndpoint]
    elsewhere: _containers.RepeatedCompositeFieldContainer[Endpoint]
    lease: int
    def __init__(self, term: _Optional[int] = ..., hls: _Optional[_Iterable[_Union[HlsEndpoint, _Mapping]]] = ..., elsewhere: _Optional[_Iterable[_Union[Endpoint, _Mapping]]] = ..., lease: _Optional[int] = ...) -> None: ...

class HlsEndpoint(_message.Message):
    __slots__ = ("node", "host", "port")
    NODE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    node: str
    host: str
    port: int
    def __init__(self, node: _Optional[str] = ..., host: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class HlsAssigned(_message.Message):
    __slots__ = ("owner",)
    OWNER_FIELD_NUMBER: _ClassVar[int]
    owner: _hls_pb2.HlsOwner
    def __init__(self, owner: _Optional[_Union[_hls_pb2.HlsOwner, _Mapping]] = ...) -> None: ...

class RecordingRules(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[RecordingRule]
    def __init__(self, rules: _Optional[_Iterable[_Union[RecordingRule, _Mapping]]] = ...) -> None: ...

class RecordingRule(_message.Message):
    __slots__ = ("pattern", "formats", "segment_s", "segment_bytes", "keep_s", "keep_bytes")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_S_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    KEEP_S_FIELD_NUMBER: _ClassVar[int]
    KEEP_BYTES_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    formats: _containers.RepeatedScalarFieldContainer[str]
    segment_s: int
    segment_bytes: int
    keep_s: int
    keep_bytes: int
    def __init__(self, pattern: _Optional[str] = ..., formats: _Optional[_Iterable[str]] = ..., segment_s: _Optional[int] = ..., segment_bytes: _Optional[int] = ..., keep_s: _Optional[int] = ..., keep_bytes: _Optional[int] = ...) -> None: ...

class GroupMoved(_message.Message):
    __slots__ = ("location", "grant")
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    location: Location
    grant: _origin_pb2.Grant
    def __init__(self, location: _Optional[_Union[Location, _Mapping]] = ..., grant: _Optional[_Union[_origin_pb2.Grant, _Mapping]] = ...) -> None: ...

class ReclaimWanted(_message.Message):
    __slots__ = ("streams",)
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[Stream]
    def __init__(self, streams: _Optional[_Iterable[_Union[Stream, _Mapping]]] = ...) -> None: ...

class Stream(_message.Message):
    __slots__ = ("app", "name")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("deadline_ms", "all_workers")
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    ALL_WORKERS_FIELD_NUMBER: _ClassVar[int]
    deadline_ms: int
    all_workers: bool
    def __init__(self, deadline_ms: _Optional[int] = ..., all_workers: _Optional[bool] = ...) -> None: ...

class Fenced(_message.Message):
    __slots__ = ("app", "name", "epoch")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    epoch: _media_pb2.Epoch
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., epoch: _Optional[_Union[_media_pb2.Epoch, _Mapping]] = ...) -> None: ...

class Evicted(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Location(_message.Message):
    __slots__ = ("app", "name", "place", "origin", "heir")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    HEIR_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    place: _media_pb2.Place
    origin: _origin_pb2.NodeRef
    heir: _origin_pb2.NodeRef
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., place: _Optional[_Union[_media_pb2.Place, _Mapping]] = ..., origin: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., heir: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("refusal", "detail", "retry_after_ms")
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    refusal: Refusal
    detail: str
    retry_after_ms: int
    def __init__(self, refusal: _Optional[_Union[Refusal, str]] = ..., detail: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class ClaimPublishRequest(_message.Message):
    __slots__ = ("edge", "claims")
    EDGE_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    edge: _origin_pb2.NodeRef
    claims: _containers.RepeatedCompositeFieldContainer[Claim]
    def __init__(self, edge: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., claims: _Optional[_Iterable[_Union[Claim, _Mapping]]] = ...) -> None: ...

class Claim(_message.Message):
    __slots__ = ("app", "name", "publication", "take_over", "held", "repeat_only", "asked_app", "asked_query")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    TAKE_OVER_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    REPEAT_ONLY_FIELD_NUMBER: _ClassVar[int]
    ASKED_APP_FIELD_NUMBER: _ClassVar[int]
    ASKED_QUERY_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    publication: bytes
    take_over: bool
    held: HeldClaim
    repeat_only: bool
    asked_app: str
    asked_query: str
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., publication: _Optional[bytes] = ..., take_over: _Optional[bool] = ..., held: _Optional[_Union[HeldClaim, _Mapping]] = ..., repeat_only: _Optional[bool] = ..., asked_app: _Optional[str] = ..., asked_query: _Optional[str] = ...) -> None: ...

class HeldClaim(_message.Message):
    __slots__ = ("epoch", "place", "origin", "heir")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    HEIR_FIELD_NUMBER: _ClassVar[int]
    epoch: _media_pb2.Epoch
    place: _media_pb2.Place
    origin: _origin_pb2.NodeRef
    heir: _origin_pb2.NodeRef
    def __init__(self, epoch: _Optional[_Union[_media_pb2.Epoch, _Mapping]] = ..., place: _Optional[_Union[_media_pb2.Place, _Mapping]] = ..., origin: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., heir: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ...) -> None: ...

class ClaimPublishResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ClaimResult]
    def __init__(self, results: _Optional[_Iterable[_Union[ClaimResult, _Mapping]]] = ...) -> None: ...

class ClaimResult(_message.Message):
    __slots__ = ("grant", "refused")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    grant: _origin_pb2.Grant
    refused: Refused
    def __init__(self, grant: _Optional[_Union[_origin_pb2.Grant, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ...) -> None: ...

class MoveGroupRequest(_message.Message):
    __slots__ = ("edge", "moves")
    EDGE_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    edge: _origin_pb2.NodeRef
    moves: _containers.RepeatedCompositeFieldContainer[Move]
    def __init__(self, edge: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., moves: _Optional[_Iterable[_Union[Move, _Mapping]]] = ...) -> None: ...

class Move(_message.Message):
    __slots__ = ("app", "name", "epoch", "place", "publication", "avoid_nodes", "at")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    AVOID_NODES_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    epoch: _media_pb2.Epoch
    place: _media_pb2.Place
    publication: bytes
    avoid_nodes: _containers.RepeatedScalarFieldContainer[str]
    at: _origin_pb2.NodeRef
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., epoch: _Optional[_Union[_media_pb2.Epoch, _Mapping]] = ..., place: _Optional[_Union[_media_pb2.Place, _Mapping]] = ..., publication: _Optional[bytes] = ..., avoid_nodes: _Optional[_Iterable[str]] = ..., at: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ...) -> None: ...

class MoveGroupResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ClaimResult]
    def __init__(self, results: _Optional[_Iterable[_Union[ClaimResult, _Mapping]]] = ...) -> None: ...

class LocateRequest(_message.Message):
    __slots__ = ("wanted",)
    WANTED_FIELD_NUMBER: _ClassVar[int]
    wanted: _containers.RepeatedCompositeFieldContainer[Wanted]
    def __init__(self, wanted: _Optional[_Iterable[_Union[Wanted, _Mapping]]] = ...) -> None: ...

class Wanted(_message.Message):
    __slots__ = ("app", "name", "after", "unreachable", "at_once", "via", "query", "asked_app")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_FIELD_NUMBER: _ClassVar[int]
    AT_ONCE_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    ASKED_APP_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    after: _media_pb2.Place
    unreachable: _origin_pb2.NodeRef
    at_once: bool
    via: _containers.RepeatedScalarFieldContainer[str]
    query: str
    asked_app: str
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., after: _Optional[_Union[_media_pb2.Place, _Mapping]] = ..., unreachable: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., at_once: _Optional[bool] = ..., via: _Optional[_Iterable[str]] = ..., query: _Optional[str] = ..., asked_app: _Optional[str] = ...) -> None: ...

class LocateResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[LocateResult]
    def __init__(self, results: _Optional[_Iterable[_Union[LocateResult, _Mapping]]] = ...) -> None: ...

class LocateResult(_message.Message):
    __slots__ = ("location", "refused")
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    location: Location
    refused: Refused
    def __init__(self, location: _Optional[_Union[Location, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("node", "claims", "groups")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    node: _origin_pb2.NodeRef
    claims: _containers.RepeatedCompositeFieldContainer[Released]
    groups: _containers.RepeatedCompositeFieldContainer[Released]
    def __init__(self, node: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., claims: _Optional[_Iterable[_Union[Released, _Mapping]]] = ..., groups: _Optional[_Iterable[_Union[Released, _Mapping]]] = ...) -> None: ...

class Released(_message.Message):
    __slots__ = ("app", "name", "epoch", "publication", "place")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    epoch: _media_pb2.Epoch
    publication: bytes
    place: _media_pb2.Place
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., epoch: _Optional[_Union[_media_pb2.Epoch, _Mapping]] = ..., publication: _Optional[bytes] = ..., place: _Optional[_Union[_media_pb2.Place, _Mapping]] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ReleaseResult]
    def __init__(self, results: _Optional[_Iterable[_Union[ReleaseResult, _Mapping]]] = ...) -> None: ...

class ReleaseResult(_message.Message):
    __slots__ = ("released",)
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    released: bool
    def __init__(self, released: _Optional[bool] = ...) -> None: ...

class LocateHlsRequest(_message.Message):
    __slots__ = ("node", "wanted")
    NODE_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    node: _origin_pb2.NodeRef
    wanted: _containers.RepeatedCompositeFieldContainer[HlsWanted]
    def __init__(self, node: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., wanted: _Optional[_Iterable[_Union[HlsWanted, _Mapping]]] = ...) -> None: ...

class HlsWanted(_message.Message):
    __slots__ = ("app", "name", "after")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    after: _media_pb2.Epoch
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., after: _Optional[_Union[_media_pb2.Epoch, _Mapping]] = ...) -> None: ...

class LocateHlsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[LocateHlsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[LocateHlsResult, _Mapping]]] = ...) -> None: ...

class LocateHlsResult(_message.Message):
    __slots__ = ("owner", "refused")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    owner: _hls_pb2.HlsOwner
    refused: Refused
    def __init__(self, owner: _Optional[_Union[_hls_pb2.HlsOwner, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ...) -> None: ...

class RaiseHlsLimitRequest(_message.Message):
    __slots__ = ("node", "limits")
    NODE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    node: _origin_pb2.NodeRef
    limits: _containers.RepeatedCompositeFieldContainer[HlsLimit]
    def __init__(self, node: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., limits: _Optional[_Iterable[_Union[HlsLimit, _Mapping]]] = ...) -> None: ...

class HlsLimit(_message.Message):
    __slots__ = ("app", "name", "epoch", "limit")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    epoch: _media_pb2.Epoch
    limit: int
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., epoch: _Optional[_Union[_media_pb2.Epoch, _Mapping]] = ..., limit: _Optional[int] = ...) -> None: ...

class RaiseHlsLimitResponse(_message.Message):
    __slots__ = ("raised",)
    RAISED_FIELD_NUMBER: _ClassVar[int]
    raised: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, raised: _Optional[_Iterable[bool]] = ...) -> None: ...

class ReleaseHlsRequest(_message.Message):
    __slots__ = ("node", "released")
    NODE_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    node: _origin_pb2.NodeRef
    released: _containers.RepeatedCompositeFieldContainer[HlsReleased]
    def __init__(self, node: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., released: _Optional[_Iterable[_Union[HlsReleased, _Mapping]]] = ...) -> None: ...

class HlsReleased(_message.Message):
    __slots__ = ("app", "name", "epoch", "next_number")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NEXT_NUMBER_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    epoch: _media_pb2.Epoch
    next_number: int
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., epoch: _Optional[_Union[_media_pb2.Epoch, _Mapping]] = ..., next_number: _Optional[int] = ...) -> None: ...

class ReleaseHlsResponse(_message.Message):
    __slots__ = ("released",)
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    released: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, released: _Optional[_Iterable[bool]] = ...) -> None: ...

class TouchSessionsRequest(_message.Message):
    __slots__ = ("node", "sessions")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    node: _origin_pb2.NodeRef
    sessions: _containers.RepeatedCompositeFieldContainer[SessionTouch]
    def __init__(self, node: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., sessions: _Optional[_Iterable[_Union[SessionTouch, _Mapping]]] = ...) -> None: ...

class SessionTouch(_message.Message):
    __slots__ = ("id", "app", "name", "protocol", "peer", "sent_bytes", "over", "role", "received_bytes", "opened_us", "url", "query", "user_agent", "codecs", "queued_bytes", "skips", "first_media_ms", "is_total", "is_brief")
    ID_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    OPENED_US_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    USER_AGENT_FIELD_NUMBER: _ClassVar[int]
    CODECS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SKIPS_FIELD_NUMBER: _ClassVar[int]
    FIRST_MEDIA_MS_FIELD_NUMBER: _ClassVar[int]
    IS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    IS_BRIEF_FIELD_NUMBER: _ClassVar[int]
    id: str
    app: str
    name: str
    protocol: str
    peer: str
    sent_bytes: int
    over: bool
    role: SessionRole
    received_bytes: int
    opened_us: int
    url: str
    query: str
    user_agent: str
    codecs: _containers.RepeatedScalarFieldContainer[str]
    queued_bytes: int
    skips: int
    first_media_ms: int
    is_total: bool
    is_brief: bool
    def __init__(self, id: _Optional[str] = ..., app: _Optional[str] = ..., name: _Optional[str] = ..., protocol: _Optional[str] = ..., peer: _Optional[str] = ..., sent_bytes: _Optional[int] = ..., over: _Optional[bool] = ..., role: _Optional[_Union[SessionRole, str]] = ..., received_bytes: _Optional[int] = ..., opened_us: _Optional[int] = ..., url: _Optional[str] = ..., query: _Optional[str] = ..., user_agent: _Optional[str] = ..., codecs: _Optional[_Iterable[str]] = ..., queued_bytes: _Optional[int] = ..., skips: _Optional[int] = ..., first_media_ms: _Optional[int] = ..., is_total: _Optional[bool] = ..., is_brief: _Optional[bool] = ...) -> None: ...

class TouchSessionsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TellEventsRequest(_message.Message):
    __slots__ = ("node", "events")
    NODE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    node: _origin_pb2.NodeRef
    events: _containers.RepeatedCompositeFieldContainer[_control_pb2.Event]
    def __init__(self, node: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., events: _Optional[_Iterable[_Union[_control_pb2.Event, _Mapping]]] = ...) -> None: ...

class TellEventsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FindStreamsRequest(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class FindStreamsResponse(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: _containers.RepeatedCompositeFieldContainer[FoundStreams]
    def __init__(self, found: _Optional[_Iterable[_Union[FoundStreams, _Mapping]]] = ...) -> None: ...

class FoundStreams(_message.Message):
    __slots__ = ("apps", "fetched_app")
    APPS_FIELD_NUMBER: _ClassVar[int]
    FETCHED_APP_FIELD_NUMBER: _ClassVar[int]
    apps: _containers.RepeatedScalarFieldContainer[str]
    fetched_app: str
    def __init__(self, apps: _Optional[_Iterable[str]] = ..., fetched_app: _Optional[str] = ...) -> None: ...
