"""Play a stream into a FLV file."""

from __future__ import annotations

from lalmesh.client._flv_file import FlvWriter
from lalmesh.client._frames import Counts, TagSorter
from lalmesh.client._open import open_player
from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.client._transmux import HevcChoice, transmuxer
from lalmesh.media import Unwrapper


async def pull(
    url: str,
    writer: FlvWriter,
    counts: Counts,
    *,
    options: ClientOptions = DEFAULT_OPTIONS,
    duration_s: float | None = None,
    max_frames: int | None = None,
    hevc: HevcChoice = "keep",
) -> str:
    """Play a stream until it ends, or until there is enough of it. Cancelled, it leaves a file that is whole.

    Args:
        url: of any player that `open_player` knows.
        writer: where the messages go; the caller closes it.
        counts: raised as messages are written, for whoever wants to know meanwhile.
        options: limits and trust.
        duration_s: seconds of media, by decoding time, after which there is enough.
        max_frames: pictures, or of a stream without video audio frames, after which there is enough.
        hevc: the form that HEVC is written in.

    Returns:
        Why it is over.

    Raises:
        OSError: the file cannot be written.
        LalmeshError: one of what a `lalmesh.client.Player` raises.
    """
    sorter, convert = TagSorter(), transmuxer(hevc)
    enough = _Enough(duration_s, max_frames)
    async with open_player(url, options) as player:
        async for tag in player:
            kind = sorter.sort(tag)
            if kind.is_frame and enough.lasted(tag.timestamp_ms):
                return "the duration is reached"
            for message in (tag,) if convert is None else convert.convert(tag):
                writer.write(message)
            counts.add(kind, tag)
            if kind.is_frame and writer.opened and enough.counted(counts, has_video=sorter.tracks.has_video):
                return "the number of frames is reached"
    return player.end_reason


class _Enough:
    """When there is enough of a stream."""

    def __init__(self, duration_s: float | None, max_frames: int | None) -> None:
        self._duration_ms = None if duration_s is None else duration_s * 1000
        self._max_frames = max_frames
        self._unwrapper = Unwrapper(32)
        self._first_ms: int | None = None

    def lasted(self, timestamp_ms: int) -> bool:
        """Whether the frame of that time comes after the end."""
        time_ms = self._unwrapper.unwrap(timestamp_ms)
        self._first_ms = time_ms if self._first_ms is None else self._first_ms
        return self._duration_ms is not None and time_ms - self._first_ms >= self._duration_ms

    def counted(self, counts: Counts, *, has_video: bool) -> bool:
        """Whether what has come is enough."""
        return self._max_frames is not None and (counts.video_frames if has_video else counts.audio_frames) >= self._max_frames
