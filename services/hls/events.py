"""The events of an hls node: segments, recordings, and players, which come and go without a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lalmesh.media import TICKS_PER_SECOND
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.protocol.hls import SegmentName
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.hls_sessions import PlayerEvents
from lalmesh.runtime.member import Member
from lalmesh.runtime.node_events import NodeEvents
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.scheduling import HlsSchedulerClient
from lalmesh.runtime.telemetry import TraceContext
from services.hls import layout
from services.hls.cuts import Cut, SegmentBegun, SegmentClosed
from services.hls.recording import RECORD_FOLDER, RecordingFinished


class HlsEvents(NodeEvents):
    """What an hls node tells of."""

    def __init__(self, scheduler: HlsSchedulerClient, member: Member, storage: str = "") -> None:
        """Tell `scheduler`, in the name of `member`; paths are in `storage`."""
        super().__init__(scheduler, member)
        self._storage = storage
        #: what players do
        self.players = PlayerEvents(self.outbox)
        #: gives what tells of each player that is counted now, unless it has left meanwhile
        self.players_again: Callable[[], Iterable[Callable[[], None]]] = tuple

    def _sessions_again(self) -> Iterable[Callable[[], None]]:
        return self.players_again()

    def segment_begun(self, stream: StreamKey, epoch: Epoch, number: int, trace: TraceContext | None) -> None:
        """An MPEG-TS segment has begun, of the publication of that span."""
        self._segment(stream, epoch, number, "open", 0, trace)

    def segment_stored(self, stream: StreamKey, epoch: Epoch, number: int, duration: int, trace: TraceContext | None) -> None:
        """It is whole, `duration` ticks long, and in shared storage."""
        self._segment(stream, epoch, number, "close", duration, trace)

    def recorded(self, finished: RecordingFinished) -> None:
        """A recorded file is in shared storage."""
        facts = {
            "path": f"{RECORD_FOLDER}/{finished.path}",
            "format": finished.format.value,
            "size_bytes": finished.size_bytes,
            "duration_ms": finished.duration_ms,
            "started_us": finished.started_us,
            "reason": finished.reason.value,
            "missing": finished.missing,
        }
        self.outbox.add(EventKind.RECORDING_DONE, finished.stream, facts)

    def _segment(self, stream: StreamKey, epoch: Epoch, number: int, event: str, duration: int, trace: TraceContext | None) -> None:
        live, record = playlists_of(stream)
        facts = {
            "event": event,
            "cwd": self._storage,
            "ts_file": layout.file_path(stream, str(SegmentName(*epoch, number, "ts"))),
            "live_m3u8_file": live,
            "record_m3u8_file": record,
            "index": number,
            "duration_s": round(duration / TICKS_PER_SECOND, 3),
        }
        self.outbox.add(EventKind.HLS_MAKE_TS, stream, facts, trace=trace)


def playlists_of(stream: StreamKey) -> tuple[str, str]:
    """The live and the recorded playlist of a stream below ``/hls/``, without an application that means nothing, as with lal."""
    shown = stream.name if stream.app == ANY_APP else str(stream)
    return f"{shown}.m3u8", f"{shown}/record.m3u8"


class SegmentEvents:
    """What happens to the MPEG-TS segments of one worker."""

    def __init__(
        self,
        events: HlsEvents | None,
        stream: StreamKey,
        epoch: Epoch,
        are_made: Callable[[], bool],
        trace: Callable[[], TraceContext | None],
    ) -> None:
        """Tell `events`, if there are any, while such segments `are_made`; `trace` gives the span of the publication."""
        self._trace = trace
        self._events = events
        self._stream = stream
        self._epoch = epoch
        self._are_made = are_made
        self._open = -1  # the last segment that was told to have begun
        self._durations: dict[int, int] = {}  # ticks, of whole segments that are not stored yet

    def cut(self, cut: Cut) -> None:
        """Something has begun or ended."""
        if self._events is None or not self._are_made():
            return
        match cut:
            case SegmentBegun(number):
                self._begun(self._events, number)
            case SegmentClosed(number, duration):
                if number != self._open:  # such segments are made since then
                    self._begun(self._events, number)
                self._durations[number] = duration
            case _:
                pass

    def _begun(self, events: HlsEvents, number: int) -> None:
        self._open = number
        events.segment_begun(self._stream, self._epoch, number, self._trace())

    def stored(self, number: int) -> None:
        """A segment was stored."""
        duration = self._durations.pop(number, None)
        if duration is not None and self._events is not None:
            self._events.segment_stored(self._stream, self._epoch, number, duration, self._trace())

    def lost(self, number: int) -> None:
        """It never will be."""
        self._durations.pop(number, None)
