"""Script data: onMetaData, which describes the stream, and all else, which passes through (FLV 10.1 §E.4.4, §E.5)."""

from __future__ import annotations

from lalmesh.amf import AmfValue, parse_amf0, parse_amf3_message, serialize_amf0
from lalmesh.container.flv._constants import ON_METADATA, SCRIPT_TRACK_ID, SET_DATA_FRAME
from lalmesh.container.flv._events import Stream
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_MS, AccessUnit, Codec, MediaEvent, Track

MAX_METADATA_BYTES = 256 << 10  #: kept for every join; the keyframe index of a file of 8 hours stays below

_NOT_FOR_PLAYERS = ("@", "|")  # @clearDataFrame speaks to the server, |RtmpSampleAccess to whoever pulls from another server


class ScriptBodies:
    """Demux the script messages of one publisher."""

    def __init__(self, stream: Stream) -> None:
        """Start without a track in `stream`."""
        self._stream = stream

    def demux(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Give what a message of type 18 holds."""
        return self._data(timestamp_ms, parse_amf0(body))

    def demux_amf3(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Give what a message of type 15 holds."""
        return self._data(timestamp_ms, parse_amf3_message(body))

    def _data(self, timestamp_ms: int, values: list[AmfValue]) -> list[MediaEvent]:
        if values[:1] == [SET_DATA_FRAME]:
            values = values[1:]
        if not values or not isinstance(values[0], str):
            raise UnsupportedError("script data without a name")
        if values[0] == ON_METADATA:
            return self._metadata(values)
        if values[0].startswith(_NOT_FOR_PLAYERS):
            raise UnsupportedError(f"script data {values[0][:32]}")
        events = [] if self._stream.tracks.get(SCRIPT_TRACK_ID) else self._configure(b"")
        dts = self._stream.unwrap(timestamp_ms) * TICKS_PER_MS
        return [*events, AccessUnit(SCRIPT_TRACK_ID, dts, 0, False, serialize_amf0(*values))]

    def _metadata(self, values: list[AmfValue]) -> list[MediaEvent]:
        if len(values) < 2 or not isinstance(values[1], dict):
            raise UnsupportedError("onMetaData without an object")
        configuration = serialize_amf0(*values[:2])
        if len(configuration) > MAX_METADATA_BYTES:
            raise UnsupportedError(f"onMetaData of over {MAX_METADATA_BYTES} bytes")
        try:
            parse_amf0(configuration)  # as who plays it does: what was no UTF-8 is longer now
        except RemoteProtocolError as error:
            raise UnsupportedError(f"onMetaData that cannot be read again: {error}") from error
        return self._configure(configuration)

    def _configure(self, configuration: bytes) -> list[MediaEvent]:
        return self._stream.replace(Track(track_id=SCRIPT_TRACK_ID, codec=Codec.SCRIPT, configuration=configuration))
