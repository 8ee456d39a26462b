from lalmesh.rpc.lalmesh.v1 import media_pb2 as _media_pb2
from lalmesh.rpc.lalmesh.v1 import origin_pb2 as _origin_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HlsOwner(_message.Message):
    __slots__ = ("app", "name", "epoch", "worker", "limit", "exact", "signature")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    epoch: _media_pb2.Epoch
    worker: _origin_pb2.NodeRef
    limit: int
    exact: bool
    signature: bytes
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., epoch: _Optional[_Union[_media_pb2.Epoch, _Mapping]] = ..., worker: _Optional[_Union[_origin_pb2.NodeRef, _Mapping]] = ..., limit: _Optional[int] = ..., exact: _Optional[bool] = ..., signature: _Optional[bytes] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("assignment", "path", "query", "session")
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    assignment: HlsOwner
    path: str
    query: str
    session: bytes
    def __init__(self, assignment: _Optional[_Union[HlsOwner, _Mapping]] = ..., path: _Optional[str] = ..., query: _Optional[str] = ..., session: _Optional[bytes] = ...) -> None: ...

class FetchChunk(_message.Message):
    __slots__ = ("head", "data")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    head: FetchHead
    data: bytes
    def __init__(self, head: _Optional[_Union[FetchHead, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class FetchHead(_message.Message):
    __slots__ = ("status", "headers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    status: int
    headers: _containers.ScalarMap[str, str]
    def __init__(self, status: _Optional[int] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...
