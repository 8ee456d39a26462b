"""Holes in the time of a track, closed for players of Media Source Extensions (MSE, W3C Recommendation §3.5.8).

Where a decode time comes more than twice the last frame's duration after the one before, a player takes it for a hole: it drops all
pictures up to the next key frame, whichever track the hole is in. But how long a frame lasts has gone out before anybody knows that
the next one is late. So the next one closes the hole:

- A picture is decoded earlier than its publisher said, and shown when it should be: its decode time follows that of the picture
  before as far behind as players allow, and its composition offset is longer by as much. The pictures after it catch up. To say
  instead that each picture lasts a second would do for browsers, but they would report a second more in their buffer than is there,
  and programs that fill in pictures by these durations would be a second late.
- Sound is heard without a pause whatever its times say (browsers do not insert silence), so it would be ahead of the pictures from
  there on: silence is put between. Sound of which no silence is known keeps its hole, and so does sound that is missing for longer
  than time has passed (`lalmesh.codec.silence`).
"""

from __future__ import annotations

from collections.abc import Iterator

from lalmesh.codec import aac, opus
from lalmesh.container.fmp4._durations import first_duration
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, Track

#: longest time that one sample is given; beyond, the times stepped or units are missing, and the next `tfdt` says so
MAX_SAMPLE_TICKS = 10 * TICKS_PER_SECOND
MAX_SILENT_FRAMES = 500  #: put into one hole: 10 s of the usual frames; one that takes more stays
_HOLE_FROM = 2  # durations of the last frame (MSE §3.5.8, step 6)
_OPUS_CONFIG = 0xFC  # of a TOC byte: all but the frame count code, which is then 0: one frame (RFC 6716 §3.1)


def hole_ticks(distance: int, duration: int) -> int:
    """How much too late a frame comes so many ticks after one of that duration; not above 0: players take it for no hole."""
    return distance - _HOLE_FROM * duration


def decoded_early(unit: AccessUnit, before: AccessUnit, duration: int) -> AccessUnit:
    """The same picture, decoded as soon after the one before it, of that duration, as it takes to be no hole."""
    dts = before.dts + _HOLE_FROM * duration
    return AccessUnit(unit.track_id, dts, unit.pts - dts, unit.random_access, unit.payload, unit.seq, unit.wall_us)


def silence(track: Track, before: AccessUnit, duration: int, until: int) -> Iterator[AccessUnit]:
    """Silent frames from the end of the frame `before`, of that duration, up to `until`; none where no silence is known."""
    frame = _silent_frame(track, before.payload)
    step = first_duration(track, frame)
    times = range(before.dts + duration, until - step + 1, step)
    for dts in times if frame and len(times) <= MAX_SILENT_FRAMES else ():
        yield AccessUnit(track.track_id, dts, 0, True, frame, before.seq, before.wall_us)


def _silent_frame(track: Track, payload: bytes) -> bytes:
    """A frame of silence that may follow the frame `payload`; empty where none is known."""
    try:
        match track.codec:
            case Codec.AAC:
                return aac.silent_frame(aac.AudioSpecificConfig.parse(track.configuration))
            case Codec.OPUS if payload and not opus.OpusHead.parse(track.configuration).mapping_family:
                return bytes((payload[0] & _OPUS_CONFIG,))  # a frame without data is what was left unsent (RFC 6716 §3.2.1)
            case _:
                return b""
    except (RemoteProtocolError, UnsupportedError):
        return b""
