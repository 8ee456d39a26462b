"""FLV messages by themselves, for whoever publishes them over RTMP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lalmesh.container.flv import BodyMuxer
from lalmesh.media import AccessUnit, TrackSet
from lalmesh.remux._flv_messages import MessagePackager
from lalmesh.remux._packager import Parts


class FlvMessage(NamedTuple):
    """One message; its body is in two pieces, so that a unit is not copied."""

    type_id: int  #: 8 audio, 9 video, 18 script data
    timestamp_ms: int
    prefix: bytes
    payload: bytes


class FlvMessages(MessagePackager):
    """Turns units into messages, each track told before its first."""

    def __init__(self, muxer: BodyMuxer) -> None:
        """Write message bodies with `muxer`."""
        super().__init__(muxer)
        self._messages: list[FlvMessage] = []
        self._tracks: TrackSet | None = None

    def _message(self, type_id: int, timestamp_ms: int, prefix: bytes, payload: bytes, parts: Parts) -> int:
        self._messages.append(FlvMessage(type_id, timestamp_ms, prefix, payload))
        return len(prefix) + len(payload)

    def messages(self, units: Iterable[AccessUnit], tracks: TrackSet) -> list[FlvMessage]:
        """What the next units, which are under `tracks`, become; what FLV does not carry becomes nothing."""
        self._messages, parts = [], Parts()
        for unit in units:
            if tracks is not self._tracks:
                if self._tracks is None:
                    self.start(tracks, unit.dts)
                else:
                    self.change(self._tracks, tracks, unit.dts, parts)
                self._tracks = tracks
            self.package(unit, tracks, parts)
        return self._messages
