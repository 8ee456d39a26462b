"""The media model: codecs, tracks, access units and their 90 kHz times.

An *access unit* is one coded picture or one coded audio frame. Inside lalmesh its times are unwrapped ticks of 90 kHz; what a
protocol carries in another width or at another rate is unwrapped on entry and wrapped on exit with the helpers here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from typing import TypeAlias

TICKS_PER_SECOND = 90_000
TICKS_PER_MS = 90  #: an RTMP millisecond is exactly 90 ticks


class Kind(Enum):
    """What a track carries."""

    VIDEO = "video"
    AUDIO = "audio"
    DATA = "data"


class Codec(Enum):
    """How a track is coded."""

    H264 = "h264"
    H265 = "h265"
    AV1 = "av1"
    VP9 = "vp9"
    AAC = "aac"
    OPUS = "opus"
    PCMA = "pcma"
    PCMU = "pcmu"
    MP2 = "mp2"
    MP3 = "mp3"
    AC3 = "ac3"
    EAC3 = "eac3"
    FLAC = "flac"
    SCRIPT = "script"  #: FLV script data
    OPAQUE = "opaque"  #: passed on without being understood

    @property
    def kind(self) -> Kind:
        """What tracks of this codec carry."""
        return _KINDS.get(self, Kind.AUDIO)


_KINDS = dict.fromkeys((Codec.H264, Codec.H265, Codec.AV1, Codec.VP9), Kind.VIDEO) | dict.fromkeys(
    (Codec.SCRIPT, Codec.OPAQUE), Kind.DATA
)


@dataclass(slots=True, frozen=True, kw_only=True)
class Track:
    """One codec's sequence of access units, under one configuration."""

    track_id: int  #: 1 and up, unique in its stream
    codec: Codec
    version: int = 0  #: rises by one each time the configuration of this track changes
    #: decoder configuration record: `avcC`, `hvcC`, `av1C`, `vpcC`, AudioSpecificConfig, `OpusHead`, `dfLa` blocks ...;
    #: of a script track the newest onMetaData; empty where the codec has none
    configuration: bytes = b""
    width: int = 0  #: pixels, 0 unknown
    height: int = 0  #: pixels, 0 unknown
    frame_rate: Fraction | None = None  #: pictures a second, None unknown
    reorder_depth: int = 0  #: pictures that may be decoded before one that is shown earlier
    profile: str = ""  #: the codec's own words, such as ``High`` or ``LC``
    sample_rate_hz: int = 0  #: 0 unknown or no audio
    channels: int = 0  #: 0 unknown or no audio
    #: what a publisher tells of its video beside the stream: AMF 0 names, each with its value, such as ``colorInfo`` of HDR;
    #: empty: nothing (Enhanced RTMP v2, Metadata Frame)
    video_metadata: bytes = b""

    @property
    def kind(self) -> Kind:
        """What the track carries."""
        return self.codec.kind

    def after(self, old: Track | None) -> Track:
        """The track as it follows `old` under the same id: with the next version, or `old` itself where nothing differs."""
        if old is None:
            return self
        return old if replace(self, version=old.version) == old else replace(self, version=old.version + 1)


@dataclass(slots=True, frozen=True)
class TrackSet:
    """All tracks of a stream at one point of it. A change anywhere makes a new set with a higher version."""

    tracks: tuple[Track, ...] = ()
    version: int = 0
    #: whether a join has to wait for a picture that can be decoded alone; worked out once, since it is asked for with every unit
    has_video: bool = field(init=False, repr=False, compare=False, default=False)
    _by_id: dict[int, Track] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_video", self.first(Kind.VIDEO) is not None)
        self._by_id.update((track.track_id, track) for track in reversed(self.tracks))

    def get(self, track_id: int) -> Track | None:
        """The track of that id, if there is one."""
        return self._by_id.get(track_id)

    def first(self, kind: Kind) -> Track | None:
        """The first track of that kind, if there is one."""
        return next((track for track in self.tracks if track.kind is kind), None)

    def with_track(self, track: Track) -> TrackSet:
        """The set in which `track` replaces the one of its id, or comes last."""
        others = [track if old.track_id == track.track_id else old for old in self.tracks]
        if track not in others:
            others.append(track)
        return TrackSet(tuple(others), self.version + 1)

    def with_latest(self, track: Track) -> TrackSet:
        """The set in which `track` follows the one of its id, with the next version; this very set where that is the same track."""
        old = self.get(track.track_id)
        latest = track.after(old)
        return self if latest is old else self.with_track(latest)

    def without_track(self, track_id: int) -> TrackSet:
        """The set that lacks the track of that id."""
        return TrackSet(tuple(old for old in self.tracks if old.track_id != track_id), self.version + 1)


@dataclass(slots=True)
class AccessUnit:
    """One coded picture or one coded audio frame. Treated as immutable once a publication has numbered it.

    Payload: video is NALUs with 4-byte lengths (H264, H265), one temporal unit of OBUs with sizes (AV1), one frame (VP9); audio is
    one raw frame (AAC without ADTS); script data is one AMF0 message body; opaque is one packet.
    """

    track_id: int
    dts: int  #: decoding time, ticks of 90 kHz, unwrapped
    cts: int  #: presentation time less decoding time, ticks
    random_access: bool  #: decoding can start here; true of every audio frame
    payload: bytes
    seq: int = -1  #: number within its publication, from 0, rising by one; -1 until a publication gives it
    wall_us: int = 0  #: Unix time in microseconds at which the publishing edge received it; 0 until then

    @property
    def pts(self) -> int:
        """Presentation time in ticks of 90 kHz."""
        return self.dts + self.cts


@dataclass(slots=True, frozen=True)
class TracksChanged:
    """A track came, or its configuration changed: the units that follow belong to `tracks`."""

    tracks: TrackSet


@dataclass(slots=True, frozen=True)
class TrackEnded:
    """The publisher said that no more of this track comes. It stays in the track set."""

    track_id: int


MediaEvent: TypeAlias = AccessUnit | TracksChanged | TrackEnded  #: what every demuxer gives


class Unwrapper:
    """Make a counter of fixed width rise for ever: each value is taken as the nearest to the one before."""

    __slots__ = ("_half", "_last", "_modulus")

    def __init__(self, bits: int) -> None:
        """Unwrap a counter of `bits` bits."""
        self._modulus = 1 << bits
        self._half = self._modulus >> 1
        self._last: int | None = None

    def unwrap(self, value: int) -> int:
        """The unwrapped value nearest to the last one; the first is taken as it is. It may be negative after a step back."""
        if self._last is None:
            self._last = value
        else:
            delta = (value - self._last) % self._modulus
            self._last += delta - self._modulus if delta >= self._half else delta
        return self._last


def wrap(value: int, bits: int) -> int:
    """The low `bits` bits of `value`: what a field of that width carries."""
    return value & ((1 << bits) - 1)


def ms_to_ticks(ms: int) -> int:
    """Milliseconds as 90 kHz ticks, exactly."""
    return ms * TICKS_PER_MS


def ticks_to_ms(ticks: int) -> int:
    """90 kHz ticks as whole milliseconds, rounded down."""
    return ticks // TICKS_PER_MS


def us_to_ticks(us: int) -> int:
    """A time in µs as ticks, rounded down."""
    return us * TICKS_PER_MS // 1000


def rescale(value: int, from_hz: int, to_hz: int = TICKS_PER_SECOND) -> int:
    """A time at `from_hz` as the nearest time at `to_hz`."""
    return (value * to_hz * 2 + from_hz) // (from_hz * 2)


class PassedOver(Enum):
    """Why a message gave nothing, in few words: what can be counted per session and in a metric."""

    EXTRA_TRACK = "extra track"  #: beyond the one of its kind that is taken
    UNSUPPORTED_CODEC = "unsupported codec"  #: or a configuration of a kind that is not implemented
    NO_CONFIGURATION = "no configuration"  #: a frame before the configuration that it needs, or an empty configuration
    OTHER = "other"


@dataclass(slots=True)
class MediaCounters:
    """What a demuxer passed over, so that nothing is lost in silence."""

    ignored_tracks: int = 0  #: messages of tracks beyond the first of a multitrack message
    unsupported: int = 0  #: all others that gave nothing
    reasons: dict[str, int] = field(default_factory=dict)  #: those others by reason; at most `MAX_REASONS` keys
    classes: dict[PassedOver, int] = field(default_factory=dict)  #: those others by class
    examples: dict[PassedOver, str] = field(default_factory=dict)  #: the first reason of each class

    MAX_REASONS = 64

    def count(self, reason: str, passed_over: PassedOver = PassedOver.OTHER) -> None:
        """Note one message passed over for `reason`, which is of the class `passed_over`."""
        self.unsupported += 1
        self.classes[passed_over] = self.classes.get(passed_over, 0) + 1
        self.examples.setdefault(passed_over, reason)
        if reason in self.reasons or len(self.reasons) < self.MAX_REASONS:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
