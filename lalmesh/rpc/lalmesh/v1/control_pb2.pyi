from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RelayState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RELAY_STATE_UNSPECIFIED: _ClassVar[RelayState]
    RELAY_STATE_CONNECTING: _ClassVar[RelayState]
    RELAY_STATE_RUNNING: _ClassVar[RelayState]
    RELAY_STATE_PAUSED: _ClassVar[RelayState]
    RELAY_STATE_FAILED: _ClassVar[RelayState]
RELAY_STATE_UNSPECIFIED: RelayState
RELAY_STATE_CONNECTING: RelayState
RELAY_STATE_RUNNING: RelayState
RELAY_STATE_PAUSED: RelayState
RELAY_STATE_FAILED: RelayState

class Event(_message.Message):
    __slots__ = ("id", "kind", "app", "name", "at_us", "node", "facts", "traceparent")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    app: str
    name: str
    at_us: int
    node: str
    facts: str
    traceparent: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., app: _Optional[str] = ..., name: _Optional[str] = ..., at_us: _Optional[int] = ..., node: _Optional[str] = ..., facts: _Optional[str] = ..., traceparent: _Optional[str] = ...) -> None: ...

class KickSessions(_message.Message):
    __slots__ = ("session_ids", "reason")
    SESSION_IDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    session_ids: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    def __init__(self, session_ids: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...

class Blacklist(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[BlacklistEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[BlacklistEntry, _Mapping]]] = ...) -> None: ...

class BlacklistEntry(_message.Message):
    __slots__ = ("network", "expires_us")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_US_FIELD_NUMBER: _ClassVar[int]
    network: str
    expires_us: int
    def __init__(self, network: _Optional[str] = ..., expires_us: _Optional[int] = ...) -> None: ...

class RelayJobs(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[RelayJob]
    def __init__(self, jobs: _Optional[_Iterable[_Union[RelayJob, _Mapping]]] = ...) -> None: ...

class RelayJob(_message.Message):
    __slots__ = ("id", "is_push", "app", "name", "urls", "start_timeout_ms", "retries", "rtsp_udp", "verify_tls", "ca_file", "via")
    ID_FIELD_NUMBER: _ClassVar[int]
    IS_PUSH_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    URLS_FIELD_NUMBER: _ClassVar[int]
    START_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    RTSP_UDP_FIELD_NUMBER: _ClassVar[int]
    VERIFY_TLS_FIELD_NUMBER: _ClassVar[int]
    CA_FILE_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    id: str
    is_push: bool
    app: str
    name: str
    urls: _containers.RepeatedScalarFieldContainer[str]
    start_timeout_ms: int
    retries: int
    rtsp_udp: bool
    verify_tls: bool
    ca_file: str
    via: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., is_push: _Optional[bool] = ..., app: _Optional[str] = ..., name: _Optional[str] = ..., urls: _Optional[_Iterable[str]] = ..., start_timeout_ms: _Optional[int] = ..., retries: _Optional[int] = ..., rtsp_udp: _Optional[bool] = ..., verify_tls: _Optional[bool] = ..., ca_file: _Optional[str] = ..., via: _Optional[_Iterable[str]] = ...) -> None: ...

class RelayStatus(_message.Message):
    __slots__ = ("id", "state", "url", "session_id", "attempts", "error", "since_us")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: RelayState
    url: str
    session_id: str
    attempts: int
    error: str
    since_us: int
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[RelayState, str]] = ..., url: _Optional[str] = ..., session_id: _Optional[str] = ..., attempts: _Optional[int] = ..., error: _Optional[str] = ..., since_us: _Optional[int] = ...) -> None: ...

class LiveSettings(_message.Message):
    __slots__ = ("revision", "values", "term")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REVISION_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    revision: int
    values: _containers.ScalarMap[str, str]
    term: int
    def __init__(self, revision: _Optional[int] = ..., values: _Optional[_Mapping[str, str]] = ..., term: _Optional[int] = ...) -> None: ...

class AppUsage(_message.Message):
    __slots__ = ("apps",)
    APPS_FIELD_NUMBER: _ClassVar[int]
    apps: _containers.RepeatedCompositeFieldContainer[AppFigures]
    def __init__(self, apps: _Optional[_Iterable[_Union[AppFigures, _Mapping]]] = ...) -> None: ...

class AppFigures(_message.Message):
    __slots__ = ("app", "publishers", "players", "egress_bps")
    APP_FIELD_NUMBER: _ClassVar[int]
    PUBLISHERS_FIELD_NUMBER: _ClassVar[int]
    PLAYERS_FIELD_NUMBER: _ClassVar[int]
    EGRESS_BPS_FIELD_NUMBER: _ClassVar[int]
    app: str
    publishers: int
    players: int
    egress_bps: int
    def __init__(self, app: _Optional[str] = ..., publishers: _Optional[int] = ..., players: _Optional[int] = ..., egress_bps: _Optional[int] = ...) -> None: ...
