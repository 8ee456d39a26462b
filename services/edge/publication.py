"""One publisher's run at its edge: the one writer of a stream, a pure core (docs/design.md §4).

It numbers the units, mends their times, and keeps enough of them to replay to another origin what it had not got.

That a publisher ends a track (`TrackEnded`, SequenceEnd on the wire) is not passed on: encoders say so when they stop or restart,
and whoever comes back within the grace time goes on with the same stream, which a player that was told of an end would not
follow. Players hear of the end when the stream is over for them: `FanOut.end`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lalmesh.media import AccessUnit, MediaEvent, TracksChanged, TrackSet
from lalmesh.runtime.ownership import NO_EPOCH, Epoch, UnitName
from lalmesh.runtime.ring import TRIM_US, Cursor, Ring, RingLimits, Run
from services.edge.clock import PublisherClock
from services.edge.silent_audio import SilentAudio

AWOKEN_US = 10_000_000  #: for so long more is kept after nothing has come for long
MORE_US = 1_000_000  #: and for so long, again and again, while what an origin lacks is not all on its way
MOST_REPLAY_US = 60_000_000  #: but no longer than that
NEVER_US = 1 << 62
UNSENT_US = 500_000  #: how old a unit may be that is not on its way yet, before more is kept; so often that is looked at
BEFORE_FIRST = -1  #: the unit before the first of a publication
MAX_UNITS = 50_000  #: bound of the replay ring; 30 s of 1,600 units a second

#: of all publications of an edge together, where they keep more than as a rule; each twice what it kept then, where that is more
UNTAKEN_BYTES = 1 << 30


@dataclass(slots=True, frozen=True, kw_only=True)
class PublicationSettings:
    """How a publication mends and what it keeps."""

    replay_s: float = 3.0  #: everything of the last so many seconds
    replay_max_s: float = 30.0  #: back to the last random access point, and what no origin has taken, but no further
    replay_max_bytes: int = 64 << 20
    clock_jump_ms: int = 10_000
    silent_audio: bool = False  #: add silent AAC where the publisher sends no audio
    silent_audio_wait_ms: int = 150

    def ring_limits(self, all_bytes: int = 0) -> RingLimits:
        """The bounds of the ring, where it keeps what is usual, or (`all_bytes`) all that is allowed, of so many bytes at most."""
        keep_us = int((max(self.replay_s, self.replay_max_s) if all_bytes else self.replay_s) * 1e6)
        return RingLimits(
            keep_us=keep_us,
            trim_us=TRIM_US,
            audio_cache_us=keep_us,
            max_us=max(keep_us, int(self.replay_max_s * 1e6)),
            max_bytes=min(self.replay_max_bytes, all_bytes or self.replay_max_bytes),
            max_units=MAX_UNITS,
        )


@dataclass(slots=True)
class PublicationCounters:
    """What came in. Only rises."""

    units: int = 0
    payload_bytes: int = 0


class Publication:
    """Numbers, mends and keeps the units of one publisher."""

    def __init__(
        self, publication: bytes, settings: PublicationSettings, share_bytes: Callable[[], int] = lambda: UNTAKEN_BYTES
    ) -> None:
        """Begin the publication of that id; units can come in once `grant` has said under which epoch.

        `share_bytes` tells how much of `UNTAKEN_BYTES` is its own, now: all of it where it is alone.
        """
        self.publication = publication
        self.epoch: Epoch = NO_EPOCH
        self.tracks = TrackSet()
        self.ring = Ring(settings.ring_limits(settings.replay_max_bytes))
        self.counters = PublicationCounters()
        self.first_us = 0  #: Unix microseconds of the first unit; 0: none has come
        self._clock = PublisherClock(settings.clock_jump_ms)
        self._silence = SilentAudio(settings.silent_audio_wait_ms) if settings.silent_audio else None
        self._next_seq = 0
        self._settings = settings
        self._pause_us = int(settings.replay_s * 1e6) - UNSENT_US
        self._fed_us = 0  # when something came last
        self._keeps_all_until_us = NEVER_US  # 0: what is usual is kept
        self._share_bytes = share_bytes
        self._as_a_rule_bytes = 0  # what was kept before more was
        self._cursors: list[Cursor] = []  # that origins read by
        self._sent_us = 0  # when all that was to be on its way was that last
        self._seen_end = 0  # of the ring, when that was looked at last
        self._look_us = 0  # when it is next

    def taken(self, now_us: int) -> None:
        """An origin takes units from now on (Unix µs): what it lacks is kept until it is on its way."""
        self._sent_us, self._seen_end = now_us, self.ring.end
        self._keep_all_until(now_us + MORE_US if len(self.ring) else 0)

    def not_taken(self) -> None:
        """No origin takes units: all is kept that is allowed, of its share at most, or twice of what is kept as a rule."""
        self._keep_all_until(NEVER_US)

    def replay_us(self, now_us: int) -> int:
        """How old the oldest unit is, in µs, where it is older than what is kept as a rule, or as old as can be; else 0."""
        limits = self._settings.ring_limits()
        age_us = now_us - self.ring.oldest_us if len(self.ring) else 0
        return min(age_us, limits.max_us) if age_us > limits.keep_us else 0

    def _look(self, now_us: int) -> None:
        """Whether more is to be kept than as a rule."""
        fed_before_us = now_us - self._fed_us
        is_steady = 0 <= fed_before_us < UNSENT_US
        is_sent = all(cursor.position >= (self._seen_end if is_steady else self.ring.end) for cursor in self._cursors)
        if is_sent or fed_before_us < 0:  # the clock was set back
            self._sent_us = now_us
        if self._fed_us and not 0 <= fed_before_us <= self._pause_us:
            # this edge may have stood still, with units that are on no way yet, and older now than what is kept as a rule
            until_us = NEVER_US if self._keeps_all_until_us == NEVER_US else now_us + AWOKEN_US
        elif not is_sent and now_us - self._sent_us < MOST_REPLAY_US:
            until_us = max(self._keeps_all_until_us, now_us + MORE_US)
        else:
            until_us = self._keeps_all_until_us if self._keeps_all_until_us > now_us else 0
        if until_us or self._keeps_all_until_us:  # its share may be another now
            self._keep_all_until(until_us)
        self._seen_end, self._look_us = self.ring.end, now_us + UNSENT_US

    def _keep_all_until(self, us: int) -> None:
        if us and not self._keeps_all_until_us:
            self._as_a_rule_bytes = self.ring.payload_bytes
        self._keeps_all_until_us = us
        self.ring.limits = self._settings.ring_limits(max(self._share_bytes(), 2 * self._as_a_rule_bytes) if us else 0)

    @property
    def clock_jumps(self) -> int:
        """How often the publisher's clock jumped."""
        return self._clock.jumps

    def grant(self, epoch: Epoch) -> None:
        """Units are written under `epoch` from now on, those that may be replayed as well."""
        if epoch != self.epoch and len(self.ring):
            kept, self.ring = self.ring, Ring(self.ring.limits)
            self._cursors.clear()
            for run in kept.runs(kept.start):
                run.epoch = epoch
                self.ring.append(run)
        self.epoch = epoch

    def cursor_after(self, held: UnitName | None) -> Cursor:
        """For an origin that holds the units up to `held`: everything that is kept and that it lacks."""
        after = UnitName(self.publication, BEFORE_FIRST)
        if held is not None and held.publication == self.publication:
            after = held
        position = self.ring.position_after(after)
        cursor = Cursor(self.ring, self.ring.start if position is None else position, after=after)
        self._cursors.append(cursor)
        return cursor

    def let_go(self, cursor: Cursor) -> None:
        """No origin reads by it any more."""
        if cursor in self._cursors:
            self._cursors.remove(cursor)

    def feed(self, events: Iterable[MediaEvent], now_us: int) -> bool:
        """Take in what a demuxer gave, received at `now_us` (Unix µs). Tells whether units came of it."""
        if not self._fed_us <= now_us < self._look_us:
            self._look(now_us)
        self._fed_us = now_us
        units: list[AccessUnit] = []
        grew = False
        for event in events if self._silence is None else self._silence.fill(events, now_us):
            if isinstance(event, AccessUnit):
                units.append(event)
            elif isinstance(event, TracksChanged):  # a `TrackEnded` goes no further, see above
                grew = self._append(units, now_us) or grew
                units = []
                self.tracks = TrackSet(event.tracks.tracks, self.tracks.version + 1)
        return self._append(units, now_us) or grew

    def _append(self, units: list[AccessUnit], now_us: int) -> bool:
        if not units:
            return False
        self.first_us = self.first_us or now_us
        tracks, mend, seq, counters = self.tracks, self._clock.mend, self._next_seq, self.counters
        for unit in units:
            mend(unit, tracks.get(unit.track_id), now_us)
            unit.seq = seq
            unit.wall_us = now_us
            seq += 1
        counters.units += len(units)
        self._next_seq = seq
        counters.payload_bytes += self.ring.append(Run(self.epoch, self.publication, tracks, units, self.ring.place))
        return True
