"""Time for a publisher of files: when a frame is due, and how a file follows itself."""

from __future__ import annotations

from lalmesh.container.flv import Tag
from lalmesh.media import Unwrapper, wrap

MAX_LEAD_S = 10.0  #: a frame that is due later has a jump of the clock before it, which nobody wants to sit through
MAX_LAG_S = 10.0  #: the same backwards; also a server so slow that catching up with it makes no sense
LEAST_WAIT_S = 0.001  #: no shorter wait: it would cost a system call and a wake-up, and timers are no finer
DEFAULT_FRAME_MS = 40  #: of a track with one frame only: 25 a second


class Pacer:
    """Tell how long to wait before a frame, so that frames leave at the pace of their times."""

    def __init__(self) -> None:
        """Begin with the first frame."""
        self._unwrapper = Unwrapper(32)
        self._zero_s: float | None = None  # the moment at which time 0 of the stream was or would have been

    def wait_s(self, timestamp_ms: int, now_s: float) -> float:
        """Seconds until the frame of that time is due; 0: now, as is what is due in less than `LEAST_WAIT_S`."""
        time_s = self._unwrapper.unwrap(timestamp_ms) / 1000
        if self._zero_s is None or not -MAX_LAG_S <= self._zero_s + time_s - now_s <= MAX_LEAD_S:
            self._zero_s = now_s - time_s
        wait_s = self._zero_s + time_s - now_s
        return wait_s if wait_s > LEAST_WAIT_S else 0.0


class LoopClock:
    """Let times go on when a file begins again: its first frame then follows its last by the length of a frame."""

    def __init__(self) -> None:
        """Start with the first run of the file, which is not moved."""
        self._unwrapper = Unwrapper(32)
        self._offset_ms = 0
        self._first_ms: int | None = None
        self._last_ms: dict[int, int] = {}  # of this run, by message type
        self._frame_ms: dict[int, int] = {}

    def move(self, tag: Tag, *, is_frame: bool) -> Tag:
        """`tag` at its time in the whole of all runs. What is no frame is moved too, but does not make the run longer."""
        time_ms = self._unwrapper.unwrap(tag.timestamp_ms)
        if is_frame:
            self._note(tag.type_id, time_ms)
        return Tag(tag.type_id, wrap(time_ms + self._offset_ms, 32), tag.body) if self._offset_ms else tag

    def _note(self, type_id: int, time_ms: int) -> None:
        if self._first_ms is None:
            self._first_ms = time_ms
        if type_id in self._last_ms and time_ms > self._last_ms[type_id]:
            self._frame_ms[type_id] = time_ms - self._last_ms[type_id]
        self._last_ms[type_id] = time_ms

    def begin_again(self) -> None:
        """The file is over, and is read from its start again."""
        if self._first_ms is not None:
            end_ms = max(last_ms + self._frame_ms.get(type_id, DEFAULT_FRAME_MS) for type_id, last_ms in self._last_ms.items())
            self._offset_ms += end_ms - self._first_ms
        self._unwrapper = Unwrapper(32)
        self._first_ms = None
        self._last_ms.clear()
