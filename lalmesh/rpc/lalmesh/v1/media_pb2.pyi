from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Codec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODEC_UNSPECIFIED: _ClassVar[Codec]
    CODEC_H264: _ClassVar[Codec]
    CODEC_H265: _ClassVar[Codec]
    CODEC_AV1: _ClassVar[Codec]
    CODEC_VP9: _ClassVar[Codec]
    CODEC_AAC: _ClassVar[Codec]
    CODEC_OPUS: _ClassVar[Codec]
    CODEC_PCMA: _ClassVar[Codec]
    CODEC_PCMU: _ClassVar[Codec]
    CODEC_MP3: _ClassVar[Codec]
    CODEC_AC3: _ClassVar[Codec]
    CODEC_EAC3: _ClassVar[Codec]
    CODEC_FLAC: _ClassVar[Codec]
    CODEC_MP2: _ClassVar[Codec]
    CODEC_SCRIPT: _ClassVar[Codec]
    CODEC_OPAQUE: _ClassVar[Codec]
CODEC_UNSPECIFIED: Codec
CODEC_H264: Codec
CODEC_H265: Codec
CODEC_AV1: Codec
CODEC_VP9: Codec
CODEC_AAC: Codec
CODEC_OPUS: Codec
CODEC_PCMA: Codec
CODEC_PCMU: Codec
CODEC_MP3: Codec
CODEC_AC3: Codec
CODEC_EAC3: Codec
CODEC_FLAC: Codec
CODEC_MP2: Codec
CODEC_SCRIPT: Codec
CODEC_OPAQUE: Codec

class Epoch(_message.Message):
    __slots__ = ("term", "revision")
    TERM_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    term: int
    revision: int
    def __init__(self, term: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class Place(_message.Message):
    __slots__ = ("term", "revision", "heir")
    TERM_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    HEIR_FIELD_NUMBER: _ClassVar[int]
    term: int
    revision: int
    heir: bool
    def __init__(self, term: _Optional[int] = ..., revision: _Optional[int] = ..., heir: _Optional[bool] = ...) -> None: ...

class Track(_message.Message):
    __slots__ = ("track_id", "version", "codec", "configuration", "width", "height", "frame_rate_numerator", "frame_rate_denominator", "reorder_depth", "profile", "sample_rate_hz", "channels", "video_metadata")
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FRAME_RATE_NUMERATOR_FIELD_NUMBER: _ClassVar[int]
    FRAME_RATE_DENOMINATOR_FIELD_NUMBER: _ClassVar[int]
    REORDER_DEPTH_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_METADATA_FIELD_NUMBER: _ClassVar[int]
    track_id: int
    version: int
    codec: Codec
    configuration: bytes
    width: int
    height: int
    frame_rate_numerator: int
    frame_rate_denominator: int
    reorder_depth: int
    profile: str
    sample_rate_hz: int
    channels: int
    video_metadata: bytes
    def __init__(self, track_id: _Optional[int] = ..., version: _Optional[int] = ..., codec: _Optional[_Union[Codec, str]] = ..., configuration: _Optional[bytes] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., frame_rate_numerator: _Optional[int] = ..., frame_rate_denominator: _Optional[int] = ..., reorder_depth: _Optional[int] = ..., profile: _Optional[str] = ..., sample_rate_hz: _Optional[int] = ..., channels: _Optional[int] = ..., video_metadata: _Optional[bytes] = ...) -> None: ...

class TrackSet(_message.Message):
    __slots__ = ("version", "tracks")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    version: int
    tracks: _containers.RepeatedCompositeFieldContainer[Track]
    def __init__(self, version: _Optional[int] = ..., tracks: _Optional[_Iterable[_Union[Track, _Mapping]]] = ...) -> None: ...

class AccessUnit(_message.Message):
    __slots__ = ("track_id", "dts", "cts", "random_access", "payload", "wall_clock_offset_us")
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    DTS_FIELD_NUMBER: _ClassVar[int]
    CTS_FIELD_NUMBER: _ClassVar[int]
    RANDOM_ACCESS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WALL_CLOCK_OFFSET_US_FIELD_NUMBER: _ClassVar[int]
    track_id: int
    dts: int
    cts: int
    random_access: bool
    payload: bytes
    wall_clock_offset_us: int
    def __init__(self, track_id: _Optional[int] = ..., dts: _Optional[int] = ..., cts: _Optional[int] = ..., random_access: _Optional[bool] = ..., payload: _Optional[bytes] = ..., wall_clock_offset_us: _Optional[int] = ...) -> None: ...

class UnitName(_message.Message):
    __slots__ = ("publication", "seq")
    PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    publication: bytes
    seq: int
    def __init__(self, publication: _Optional[bytes] = ..., seq: _Optional[int] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("epoch", "place", "publication", "first_seq", "missing", "wall_clock_us", "tracks", "units", "traceparent")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    WALL_CLOCK_US_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    epoch: Epoch
    place: Place
    publication: bytes
    first_seq: int
    missing: int
    wall_clock_us: int
    tracks: TrackSet
    units: _containers.RepeatedCompositeFieldContainer[AccessUnit]
    traceparent: str
    def __init__(self, epoch: _Optional[_Union[Epoch, _Mapping]] = ..., place: _Optional[_Union[Place, _Mapping]] = ..., publication: _Optional[bytes] = ..., first_seq: _Optional[int] = ..., missing: _Optional[int] = ..., wall_clock_us: _Optional[int] = ..., tracks: _Optional[_Union[TrackSet, _Mapping]] = ..., units: _Optional[_Iterable[_Union[AccessUnit, _Mapping]]] = ..., traceparent: _Optional[str] = ...) -> None: ...
