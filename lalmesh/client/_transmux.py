"""HEVC from one form of FLV into the other; everything else stays the bytes that it was."""

from __future__ import annotations

from typing import Literal

from lalmesh.container.flv import TAG_SCRIPT, TAG_VIDEO, BodyDemuxer, BodyMuxer, HevcForm, Tag
from lalmesh.media import AccessUnit, Codec, Kind, MediaEvent, Track, TracksChanged, ticks_to_ms

HevcChoice = Literal["keep", "enhanced", "legacy"]  #: as it comes, or a `HevcForm`


class HevcTransmuxer:
    """Give the HEVC of one stream the form that is asked for."""

    def __init__(self, form: HevcForm) -> None:
        """Write HEVC in `form`."""
        self._demuxer = BodyDemuxer()
        self._muxer = BodyMuxer(hevc=form)

    def convert(self, tag: Tag) -> list[Tag]:
        """What takes the place of `tag`: itself, unless it is HEVC.

        The metadata goes again before a configuration, since its codec id tells the form too.

        Raises:
            RemoteProtocolError: video or script data is malformed.
        """
        if tag.type_id not in (TAG_VIDEO, TAG_SCRIPT):
            return [tag]
        events = self._demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)
        video = self._demuxer.tracks.first(Kind.VIDEO)
        if tag.type_id != TAG_VIDEO or video is None or video.codec is not Codec.H265:
            return [tag]
        return [out for event in events for out in self._video(event, video, tag.timestamp_ms)]

    def _video(self, event: MediaEvent, video: Track, timestamp_ms: int) -> list[Tag]:
        if isinstance(event, AccessUnit):
            body = self._muxer.body_prefix(video, event) + event.payload
            return [Tag(TAG_VIDEO, ticks_to_ms(event.dts) & 0xFFFFFFFF, body)]
        if isinstance(event, TracksChanged):
            metadata = (TAG_SCRIPT, self._muxer.metadata(event.tracks))
            messages = [metadata, self._muxer.sequence_header(video), self._muxer.video_metadata(video)]
        else:
            messages = [self._muxer.sequence_end(video)]
        return [Tag(type_id, timestamp_ms, body) for type_id, body in filter(None, messages)]


def transmuxer(choice: HevcChoice) -> HevcTransmuxer | None:
    """What makes `choice` true; None where nothing is to be done."""
    return None if choice == "keep" else HevcTransmuxer(choice)
