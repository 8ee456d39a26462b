"""Alarms: what publishers send is worse than it should be. Looked at once a second, where any is configured.

The road of a unit has no part in it: bytes and jumps of the clock are counted anyway, and pictures are found in the ring
(40 ns each), where an alarm is about them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from lalmesh.media import Kind
from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_outbox import EventOutbox
from services.edge.publication import Publication
from services.edge.session import Session

WINDOW_S = 5  #: over which rates are measured

NO_KEYFRAME, BITRATE, FRAME_RATE, JUMP = "no_keyframe", "bitrate_low", "frame_rate_low", "timestamp_jump"


@dataclass(slots=True, frozen=True, kw_only=True)
class AlarmSettings:
    """When there is an alarm; 0: never."""

    no_keyframe_s: float = 0.0
    bitrate_low_bps: int = 0
    frames_per_s: float = 0.0
    timestamp_jump: bool = False

    @property
    def any(self) -> bool:
        """Whether anything is to be looked at."""
        return bool(self.no_keyframe_s or self.bitrate_low_bps or self.frames_per_s or self.timestamp_jump)


@dataclass(slots=True, frozen=True)
class Measured:
    """What was found of a publication, for an alarm that is configured."""

    alarm: str
    value: float
    limit: float
    is_bad: bool


@dataclass(slots=True)
class _Watched:
    """What is remembered of a publication."""

    stream: StreamKey
    publication: bytes
    jumps: int = 0
    units: int = 0  # that were looked at
    keyframe_s: float = 0.0  # when the last one was found, or video began
    has_video: bool = False
    past: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=WINDOW_S + 1))  # time, bytes, pictures
    pictures: int = 0
    bad: dict[str, Measured] = field(default_factory=dict)  # alarms that are on, as they were measured last


class Alarms:
    """Of all publications of an edge."""

    def __init__(
        self,
        settings: AlarmSettings,
        outbox: EventOutbox,
        session_of: Callable[[StreamKey], Session | None],
        clock: Callable[[], float],
    ) -> None:
        """Tell `outbox`; `session_of` gives the publisher of a stream, `clock` seconds."""
        self.settings = settings
        self._outbox = outbox
        self._session_of = session_of
        self._clock = clock
        self._watched: dict[Publication, _Watched] = {}

    def sweep(self, publications: Iterable[tuple[StreamKey, Publication]]) -> None:
        """Once a second."""
        now, before = self._clock(), self._watched
        self._watched = {}
        for stream, core in publications if self.settings.any else ():
            watched = before.pop(core, None) or _Watched(stream, core.publication, jumps=core.clock_jumps, keyframe_s=now)
            self._watched[core] = watched
            found = list(self._measure(core, watched, now))
            if gone := watched.bad.keys() - {measured.alarm for measured in found}:
                self._end(watched, gone, self._session_of(stream))
            for measured in found:
                self._tell(watched, measured)
        for watched in before.values():  # those have gone
            self._end(watched, watched.bad.keys(), None)

    def _measure(self, core: Publication, watched: _Watched, now: float) -> Iterator[Measured]:
        settings = self.settings
        if settings.no_keyframe_s or settings.frames_per_s:
            self._look(core, watched, now)
        watched.past.append((now, core.counters.payload_bytes, watched.pictures))
        if settings.timestamp_jump:
            jumps, watched.jumps = core.clock_jumps - watched.jumps, core.clock_jumps
            yield Measured(JUMP, jumps, 0, jumps > 0)
        if settings.no_keyframe_s and watched.has_video:
            silent_s = now - watched.keyframe_s
            yield Measured(NO_KEYFRAME, round(silent_s, 1), settings.no_keyframe_s, silent_s > settings.no_keyframe_s)
        then, moved, pictures = watched.past[0]
        if now - then < WINDOW_S - 0.5:
            return
        if settings.bitrate_low_bps:
            bps = round((core.counters.payload_bytes - moved) * 8 / (now - then))
            yield Measured(BITRATE, bps, settings.bitrate_low_bps, bps < settings.bitrate_low_bps)
        if settings.frames_per_s and watched.has_video:
            rate = round((watched.pictures - pictures) / (now - then), 1)
            yield Measured(FRAME_RATE, rate, settings.frames_per_s, rate < settings.frames_per_s)

    def _look(self, core: Publication, watched: _Watched, now: float) -> None:
        """Count the pictures that came since the last look, and find the last one that can be begun with."""
        video = {track.track_id for track in core.tracks.tracks if track.kind is Kind.VIDEO}
        if video and not watched.has_video:
            watched.has_video, watched.keyframe_s = True, now
        new, watched.units = core.counters.units - watched.units, core.counters.units
        if not new or not video:
            return
        pictures = [unit.random_access for unit in core.ring.newest(new) if unit.track_id in video]
        watched.pictures += len(pictures)
        if any(pictures):
            watched.keyframe_s = now

    def _tell(self, watched: _Watched, measured: Measured) -> None:
        was_bad = measured.alarm in watched.bad
        if measured.alarm == JUMP:  # each is one of its own, and over at once
            if measured.is_bad:
                self._add(EventKind.ALARM, watched, measured, self._session_of(watched.stream))
        elif measured.is_bad:
            watched.bad[measured.alarm] = measured
            if not was_bad:
                self._add(EventKind.ALARM, watched, measured, self._session_of(watched.stream))
        elif was_bad:
            del watched.bad[measured.alarm]
            self._add(EventKind.ALARM_OVER, watched, measured, self._session_of(watched.stream))

    def _end(self, watched: _Watched, alarms: Iterable[str], session: Session | None) -> None:
        """Alarms that nobody can look at any more are over: their publication has gone, or they are not configured now."""
        for alarm in sorted(alarms):
            self._add(EventKind.ALARM_OVER, watched, watched.bad.pop(alarm), session)

    def _add(self, kind: EventKind, watched: _Watched, measured: Measured, session: Session | None) -> None:
        facts = {
            "alarm": measured.alarm,
            "value": measured.value,
            "limit": measured.limit,
            "session_id": session.session_id if session is not None else "",
            "protocol": session.client.protocol if session is not None else "",
            "role": session.role.value if session is not None else "",
        }
        self._outbox.add(kind, watched.stream, facts, trace=telemetry.of_publication(watched.publication))
