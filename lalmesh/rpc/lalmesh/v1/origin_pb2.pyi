from lalmesh.rpc.lalmesh.v1 import media_pb2 as _media_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CloseReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLOSE_REASON_UNSPECIFIED: _ClassVar[CloseReason]
    CLOSE_REASON_DONE: _ClassVar[CloseReason]
    CLOSE_REASON_STREAM_ENDED: _ClassVar[CloseReason]
    CLOSE_REASON_NOT_FOUND: _ClassVar[CloseReason]
    CLOSE_REASON_FENCED: _ClassVar[CloseReason]
    CLOSE_REASON_BAD_GRANT: _ClassVar[CloseReason]
    CLOSE_REASON_SOURCE_LOST: _ClassVar[CloseReason]
    CLOSE_REASON_DRAINING: _ClassVar[CloseReason]
    CLOSE_REASON_LINK_LOST: _ClassVar[CloseReason]
    CLOSE_REASON_LIMIT: _ClassVar[CloseReason]
CLOSE_REASON_UNSPECIFIED: CloseReason
CLOSE_REASON_DONE: CloseReason
CLOSE_REASON_STREAM_ENDED: CloseReason
CLOSE_REASON_NOT_FOUND: CloseReason
CLOSE_REASON_FENCED: CloseReason
CLOSE_REASON_BAD_GRANT: CloseReason
CLOSE_REASON_SOURCE_LOST: CloseReason
CLOSE_REASON_DRAINING: CloseReason
CLOSE_REASON_LINK_LOST: CloseReason
CLOSE_REASON_LIMIT: CloseReason

class LinkBatch(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[LinkItem]
    def __init__(self, items: _Optional[_Iterable[_Union[LinkItem, _Mapping]]] = ...) -> None: ...

class LinkItem(_message.Message):
    __slots__ = ("handle", "hello", "open_publication", "publication_opened", "open_subscription", "subscription_opened", "run", "closed", "source_lost")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    OPEN_PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_OPENED_FIELD_NUMBER: _ClassVar[int]
    OPEN_SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_OPENED_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LOST_FIELD_NUMBER: _ClassVar[int]
    handle: int
    hello: LinkHello
    open_publication: OpenPublication
    publication_opened: PublicationOpened
    open_subscription: OpenSubscription
    subscription_opened: SubscriptionOpened
    run: _media_pb2.Run
    closed: Closed
    source_lost: SourceLost
    def __init__(self, handle: _Optional[int] = ..., hello: _Optional[_Union[LinkHello, _Mapping]] = ..., open_publication: _Optional[_Union[OpenPublication, _Mapping]] = ..., publication_opened: _Optional[_Union[PublicationOpened, _Mapping]] = ..., open_subscription: _Optional[_Union[OpenSubscription, _Mapping]] = ..., subscription_opened: _Optional[_Union[SubscriptionOpened, _Mapping]] = ..., run: _Optional[_Union[_media_pb2.Run, _Mapping]] = ..., closed: _Optional[_Union[Closed, _Mapping]] = ..., source_lost: _Optional[_Union[SourceLost, _Mapping]] = ...) -> None: ...

class LinkHello(_message.Message):
    __slots__ = ("node", "incarnation")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    node: str
    incarnation: bytes
    def __init__(self, node: _Optional[str] = ..., incarnation: _Optional[bytes] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("app", "name", "epoch", "publication", "edge", "origin", "heir", "place", "signature")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    EDGE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    HEIR_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    epoch: _media_pb2.Epoch
    publication: bytes
    edge: NodeRef
    origin: NodeRef
    heir: NodeRef
    place: _media_pb2.Place
    signature: bytes
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., epoch: _Optional[_Union[_media_pb2.Epoch, _Mapping]] = ..., publication: _Optional[bytes] = ..., edge: _Optional[_Union[NodeRef, _Mapping]] = ..., origin: _Optional[_Union[NodeRef, _Mapping]] = ..., heir: _Optional[_Union[NodeRef, _Mapping]] = ..., place: _Optional[_Union[_media_pb2.Place, _Mapping]] = ..., signature: _Optional[bytes] = ...) -> None: ...

class NodeRef(_message.Message):
    __slots__ = ("node", "incarnation", "address")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    node: str
    incarnation: bytes
    address: str
    def __init__(self, node: _Optional[str] = ..., incarnation: _Optional[bytes] = ..., address: _Optional[str] = ...) -> None: ...

class OpenPublication(_message.Message):
    __slots__ = ("grant", "take_over_as_heir", "trace_context", "replay_ms")
    class TraceContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    GRANT_FIELD_NUMBER: _ClassVar[int]
    TAKE_OVER_AS_HEIR_FIELD_NUMBER: _ClassVar[int]
    TRACE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REPLAY_MS_FIELD_NUMBER: _ClassVar[int]
    grant: Grant
    take_over_as_heir: bool
    trace_context: _containers.ScalarMap[str, str]
    replay_ms: int
    def __init__(self, grant: _Optional[_Union[Grant, _Mapping]] = ..., take_over_as_heir: _Optional[bool] = ..., trace_context: _Optional[_Mapping[str, str]] = ..., replay_ms: _Optional[int] = ...) -> None: ...

class PublicationOpened(_message.Message):
    __slots__ = ("held", "place", "answers_close")
    HELD_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_CLOSE_FIELD_NUMBER: _ClassVar[int]
    held: _media_pb2.UnitName
    place: _media_pb2.Place
    answers_close: bool
    def __init__(self, held: _Optional[_Union[_media_pb2.UnitName, _Mapping]] = ..., place: _Optional[_Union[_media_pb2.Place, _Mapping]] = ..., answers_close: _Optional[bool] = ...) -> None: ...

class OpenSubscription(_message.Message):
    __slots__ = ("app", "name", "place", "after", "trace_context", "keep_ms")
    class TraceContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    TRACE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    KEEP_MS_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    place: _media_pb2.Place
    after: _media_pb2.UnitName
    trace_context: _containers.ScalarMap[str, str]
    keep_ms: int
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., place: _Optional[_Union[_media_pb2.Place, _Mapping]] = ..., after: _Optional[_Union[_media_pb2.UnitName, _Mapping]] = ..., trace_context: _Optional[_Mapping[str, str]] = ..., keep_ms: _Optional[int] = ...) -> None: ...

class SubscriptionOpened(_message.Message):
    __slots__ = ("epoch", "place")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    epoch: _media_pb2.Epoch
    place: _media_pb2.Place
    def __init__(self, epoch: _Optional[_Union[_media_pb2.Epoch, _Mapping]] = ..., place: _Optional[_Union[_media_pb2.Place, _Mapping]] = ...) -> None: ...

class SourceLost(_message.Message):
    __slots__ = ("app", "name", "place", "origin", "heir")
    APP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    HEIR_FIELD_NUMBER: _ClassVar[int]
    app: str
    name: str
    place: _media_pb2.Place
    origin: NodeRef
    heir: NodeRef
    def __init__(self, app: _Optional[str] = ..., name: _Optional[str] = ..., place: _Optional[_Union[_media_pb2.Place, _Mapping]] = ..., origin: _Optional[_Union[NodeRef, _Mapping]] = ..., heir: _Optional[_Union[NodeRef, _Mapping]] = ...) -> None: ...

class Closed(_message.Message):
    __slots__ = ("reason", "detail")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    reason: CloseReason
    detail: str
    def __init__(self, reason: _Optional[_Union[CloseReason, str]] = ..., detail: _Optional[str] = ...) -> None: ...
