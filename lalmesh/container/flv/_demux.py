"""FLV tags and RTMP messages in, access units out."""

from __future__ import annotations

from lalmesh.container.flv._audio import AudioBodies
from lalmesh.container.flv._constants import TAG_AUDIO, TAG_SCRIPT, TAG_SCRIPT_AMF3, TAG_VIDEO
from lalmesh.container.flv._events import Stream, UnsupportedCodec
from lalmesh.container.flv._script import ScriptBodies
from lalmesh.container.flv._video import VideoBodies
from lalmesh.errors import UnsupportedError
from lalmesh.media import MediaEvent, PassedOver, TrackSet


class BodyDemuxer:
    """Demux the tags or messages of one publisher: track 1 is video, 2 audio, 3 script data."""

    def __init__(self) -> None:
        """Start without tracks."""
        self._stream = Stream()
        self.counters = self._stream.counters  #: what was passed over: tracks beyond the first of their kind, what is not supported
        script = ScriptBodies(self._stream)
        self._handlers = {
            TAG_VIDEO: VideoBodies(self._stream).demux,
            TAG_AUDIO: AudioBodies(self._stream).demux,
            TAG_SCRIPT: script.demux,
            TAG_SCRIPT_AMF3: script.demux_amf3,
        }

    @property
    def tracks(self) -> TrackSet:
        """The tracks so far."""
        return self._stream.tracks

    def demux(self, type_id: int, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Give what one tag or message holds. What is not supported is counted, and gives nothing.

        Args:
            type_id: 8 audio, 9 video, 18 script data, 15 the same with AMF 3; others are counted.
            timestamp_ms: of the tag or message, its low 32 bits; steps over half their range count as a step back.
            body: without the tag or chunk header; an empty one gives nothing.

        Returns:
            Usually one `AccessUnit`; a `TracksChanged` always comes before the units that need it.

        Raises:
            RemoteProtocolError: the body or a codec's configuration is malformed.
            LimitExceeded: one of the bounds of this package or of `lalmesh.amf` is passed.
        Source: FLV 10.1 §E.4; Enhanced RTMP v2
        """
        if not body:
            return []
        handler = self._handlers.get(type_id)
        try:
            if handler is None:
                raise UnsupportedError(f"message type {type_id}")
            return handler(timestamp_ms, body)
        except UnsupportedCodec as error:
            self.counters.count(error.what, PassedOver.UNSUPPORTED_CODEC)
        except UnsupportedError as error:
            self.counters.count(error.what)
        return []
