from lalmesh.rpc.lalmesh.v1 import origin_pb2 as _origin_pb2
from lalmesh.rpc.lalmesh.v1 import scheduler_pb2 as _scheduler_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ShowNodesRequest(_message.Message):
    __slots__ = ("reads_too",)
    READS_TOO_FIELD_NUMBER: _ClassVar[int]
    reads_too: bool
    def __init__(self, reads_too: _Optional[bool] = ...) -> None: ...

class ShowNodesResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[NodeFigures]
    def __init__(self, nodes: _Optional[_Iterable[_Union[NodeFigures, _Mapping]]] = ...) -> None: ...

class NodeFigures(_message.Message):
    __slots__ = ("node", "load", "standings", "reads")
    NODE_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    STANDINGS_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    node: _origin_pb2.NodeRef
    load: _scheduler_pb2.Load
    standings: _containers.RepeatedCompositeFieldContainer[StreamStanding]
    reads: _containers.RepeatedCompositeFieldContainer[ReadFrom]
    def __init__(self, node: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., load: _Optional[_Union[_scheduler_pb2.Load, _Mapping]] = ..., standings: _Optional[_Iterable[_Union[StreamStanding, _Mapping]]] = ..., reads: _Optional[_Iterable[_Union[ReadFrom, _Mapping]]] = ...) -> None: ...

class ReadFrom(_message.Message):
    __slots__ = ("origin", "streams")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    origin: str
    streams: int
    def __init__(self, origin: _Optional[str] = ..., streams: _Optional[int] = ...) -> None: ...

class StreamStanding(_message.Message):
    __slots__ = ("app", "name", "state")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    state: _scheduler_pb2.StreamState
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[_Union[_scheduler_pb2.StreamState, str]] = ...) -> None: ...

class ShowStreamsRequest(_message.Message):
    __slots__ = ("streams", "edges_too")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    EDGES_TOO_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[_scheduler_pb2.Stream]
    edges_too: bool
    def __init__(self, streams: _Optional[_Iterable[_Union[_scheduler_pb2.Stream, _Mapping]]] = ..., edges_too: _Optional[bool] = ...) -> None: ...

class ShowStreamsResponse(_message.Message):
    __slots__ = ("streams",)
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[StreamFigures]
    def __init__(self, streams: _Optional[_Iterable[_Union[StreamFigures, _Mapping]]] = ...) -> None: ...

class StreamFigures(_message.Message):
    __slots__ = ("held", "is_played", "players", "left_out", "played")
    HELD_FIELD_NUMBER: _ClassVar[int]
    IS_PLAYED_FIELD_NUMBER: _ClassVar[int]
    PLAYERS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    PLAYED_FIELD_NUMBER: _ClassVar[int]
    held: _containers.RepeatedCompositeFieldContainer[HeldAt]
    is_played: bool
    players: int
    left_out: _containers.RepeatedScalarFieldContainer[str]
    played: _containers.RepeatedCompositeFieldContainer[HeldAt]
    def __init__(self, held: _Optional[_Iterable[_Union[HeldAt, _Mapping]]] = ..., is_played: _Optional[bool] = ..., players: _Optional[int] = ..., left_out: _Optional[_Iterable[str]] = ..., played: _Optional[_Iterable[_Union[HeldAt, _Mapping]]] = ...) -> None: ...

class HeldAt(_message.Message):
    __slots__ = ("node", "role", "held")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    node: _origin_pb2.NodeRef
    role: _scheduler_pb2.Role
    held: _scheduler_pb2.HeldStream
    def __init__(self, node: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., role: _Optional[_Union[_scheduler_pb2.Role, str]] = ..., held: _Optional[_Union[_scheduler_pb2.HeldStream, _Mapping]] = ...) -> None: ...
