"""What a publisher tells of its video beside the stream, such as HDR (Enhanced RTMP v2, Metadata Frame).

It is names, each with its value, in AMF 0. A name that comes again replaces its value; one whose value is Undefined or an empty
object is told no more. The standard defines one name, ``colorInfo``; others pass through.
"""

from __future__ import annotations

from lalmesh.amf import UNDEFINED, AmfValue, parse_amf0, serialize_amf0
from lalmesh.errors import UnsupportedError

MAX_VIDEO_METADATA_BYTES = 16 << 10  #: kept for every join; a colorInfo with every member that is defined is below 1 KiB

_AMF0_STRINGS = (b"\x02", b"\x0c")  # the markers of a string and of a long one (AMF 0 §2.4, §2.14)


def merge_metadata(present: bytes, body: bytes) -> bytes:
    """The metadata that holds after a Metadata message.

    Args:
        present: what held before, as this function gave it; empty: nothing.
        body: of the message, past its FourCC.

    Raises:
        RemoteProtocolError: the body is malformed.
        LimitExceeded: one of the bounds of `lalmesh.amf` is passed.
        UnsupportedError: over `MAX_VIDEO_METADATA_BYTES`, in AMF 3, or not names with values.
    Source: Enhanced RTMP v2, Metadata Frame
    """
    if not body:
        return present
    if len(body) > MAX_VIDEO_METADATA_BYTES:
        raise UnsupportedError(f"video metadata of over {MAX_VIDEO_METADATA_BYTES} bytes")
    if not body.startswith(_AMF0_STRINGS):
        raise UnsupportedError("video metadata that does not begin with a name in AMF 0")
    members = _pairs(present) | _pairs(body)
    merged = _serialize({name: value for name, value in members.items() if not _says_nothing(value)})
    if len(merged) > MAX_VIDEO_METADATA_BYTES:
        raise UnsupportedError(f"video metadata of over {MAX_VIDEO_METADATA_BYTES} bytes")
    return merged


def tell_metadata(before: bytes, now: bytes) -> bytes:
    """The body that brings a player that was told of `before` to `now`: all of it, and names that are gone as Undefined."""
    if not before or before == now:
        return now
    gone = _pairs(before).keys() - _pairs(now).keys()
    return _serialize(dict.fromkeys(sorted(gone), UNDEFINED)) + now


def _pairs(body: bytes) -> dict[str, AmfValue]:
    values, pairs = iter(parse_amf0(body)), dict[str, AmfValue]()
    for name in values:
        if not isinstance(name, str):
            raise UnsupportedError("video metadata with a value that has no name")
        try:
            pairs[name] = next(values)
        except StopIteration:
            raise UnsupportedError("video metadata with a name that has no value") from None
    return pairs


def _serialize(pairs: dict[str, AmfValue]) -> bytes:
    return serialize_amf0(*(part for pair in pairs.items() for part in pair))


def _says_nothing(value: AmfValue) -> bool:
    """Whether it is Undefined, or an object with nothing in it, as deep as one looks.

    Interop: ffmpeg sends a ``colorInfo`` with an empty ``colorConfig`` where it knows no colours, and there are players that stop
    at any Metadata message (mpegts.js): it is not sent where it has no use.
    """
    return value is UNDEFINED or (isinstance(value, dict) and all(map(_says_nothing, value.values())))
