"""The players of HLS that one node counts, and those that it answers no more."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, Metric

from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.addresses import host_of
from lalmesh.runtime.durations import JOIN_BUCKETS_S, Durations, durations_metric
from lalmesh.runtime.foreign_text import well_formed
from lalmesh.runtime.hls_answers import NOT_KNOWN, Played
from lalmesh.runtime.hls_sessions._ids import made_us
from lalmesh.runtime.secrets_in_urls import without_secrets
from lalmesh.runtime.sessions import SessionTouch
from lalmesh.runtime.telemetry import Attribute, Fact, Span, SpanName, TraceContext

MAX_SESSIONS: Final = 100_000  #: counted by one node at a time; more are served, and not counted
LEFT, ENDED = "it asked for nothing for long", "ended by an operator"  #: why a session is over
KICKED_S: Final = 3600.0  #: that an id which was kicked is answered no more: players give up long before
BLOCKED_S: Final = 5.0  #: the same of one whose address was blocked: its connections end within a second, and are let in no more
MAX_URL_CHARS: Final = 1000  #: of what is told of a player; UTF-8 makes four times as many bytes of them
MAX_AGENT_CHARS: Final = 250
#: after its id was made within which the first request that a node has of a player arrives, where that is new: it was redirected
#: to it, which takes a round trip. Who asks later comes from another node, or had no answer before
FIRST_US: Final = 2_000_000
KNOWN_US: Final = 30 * 86_400_000_000  #: since an id was made, at the longest: others do not say when
SKEW_US: Final = 5_000_000  #: that clocks of nodes may differ by
WHOLE_WORDS: Final = 12  #: of so many that tell of a player one tells everything, for a directory that lost it: a minute


@dataclass(slots=True, frozen=True, kw_only=True)
class HlsPlayer:
    """Who asks, as a request says; what its texts had that is no UTF-8 is replaced."""

    peer: str  #: address and port
    protocol: str = "hls"  #: or ``https-hls``
    url: str = ""  #: without query
    query: str = ""  #: without secrets
    user_agent: str = ""
    trace: TraceContext | None = None  #: what it says that it is a part of
    asked_us: int = 0  #: when its request arrived, Unix microseconds; 0: just now

    def __post_init__(self) -> None:
        """Have no text that could not be told of."""
        for name in ("url", "query", "user_agent"):
            object.__setattr__(self, name, well_formed(getattr(self, name)))

    @classmethod
    def asking(
        cls,
        peer: str,
        base: str,
        path: str,
        query: str,
        user_agent: str,
        trace: TraceContext | None = None,
        asked_us: int = 0,
    ) -> HlsPlayer:
        """Who asks for `path` from `peer`, by the scheme and host of `base`, since `asked_us`; what is long is cut."""
        return cls(
            peer=peer,
            protocol="https-hls" if base.startswith("https:") else "hls",
            url=f"{base}{path}"[:MAX_URL_CHARS],
            query=without_secrets(query)[:MAX_URL_CHARS],
            user_agent=user_agent[:MAX_AGENT_CHARS],
            trace=trace,
            asked_us=asked_us,
        )


_NO_SPAN: Final = Span(None)


@dataclass(slots=True)
class _Seen:
    player: HlsPlayer
    opened_us: int  # when it asked for the first time, be it elsewhere
    came_us: int  # when it was here first: that is from when it has to have its first media
    is_new: bool  # rather than from another node, where it had its first media
    play: Span = _NO_SPAN  # until its first media, where its client has a trace
    trace: TraceContext | None = None  # the span that its events are a part of
    at_s: float = 0.0
    sent_bytes: int = 0  # since the directory was told
    all_bytes: int = 0
    first_media_ms: int = 0
    codecs: tuple[str, ...] = ()
    words: int = 0  # that were told since the last one of everything, itself counted


_WORDS = {LEFT: "client", ENDED: "ended"}  # for metrics


class PlayerTimes:
    """What a node counts of its players, for metrics."""

    __slots__ = ("joins", "left")

    def __init__(self) -> None:
        """Nobody has come."""
        self.joins = Durations(JOIN_BUCKETS_S)  #: from a player's first request to its first media, or playlist that names some
        self.left: dict[str, int] = dict.fromkeys(_WORDS.values(), 0)  #: by why

    def metrics(self, prefix: str) -> Iterable[Metric]:
        """As metrics whose names begin with `prefix`."""
        text = "From the first request of a player of HLS to its first media, or playlist that names some."
        yield durations_metric(f"{prefix}_join_seconds", text, self.joins)
        gone = CounterMetricFamily(f"{prefix}_players_left", "Players of HLS that are over, by why.", labels=("reason",))
        for reason, count in self.left.items():
            gone.add_metric((reason,), count)
        yield gone


class PlayerWatcher(Protocol):
    """Who hears of players."""

    def player_came(self, touch: SessionTouch, trace: TraceContext | None) -> None:
        """A player has asked for the first time; `trace` is the span that this is a part of."""
        ...

    def player_left(self, touch: SessionTouch, sent_bytes: int, lasted_ms: int, reason: str, trace: TraceContext | None) -> None:
        """A player has not asked for long, or may not any more."""
        ...


class Players:
    """The players that asked this node not long ago, and those that were kicked."""

    def __init__(
        self,
        idle_s: float,
        clock: Callable[[], float],
        wall_clock: Callable[[], float] = time.time,
        spans: tuple[SpanName, SpanName] = (SpanName.PLAY, SpanName.FIRST_FRAME),
    ) -> None:
        """Begin with none.

        Args:
            idle_s: one that asks for nothing for so long has left.
            clock: gives seconds.
            wall_clock: gives those of Unix.
            spans: what the play and the first media of a player are called in traces.
        """
        self._spans = spans
        self._idle_s = idle_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._players: OrderedDict[tuple[StreamKey, str], _Seen] = OrderedDict()  # who asked last is the last
        self._untold: dict[tuple[StreamKey, str], None] = {}  # who asked since the directory was told, in that order
        self._over: list[SessionTouch] = []
        self._kicked: OrderedDict[str, float] = OrderedDict()  # ids, with when they may be forgotten
        self.watcher: PlayerWatcher | None = None  #: hears of those who come and go
        self.times = PlayerTimes()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._players)

    def knows(self, stream: StreamKey, session_id: str) -> bool:
        """Whether it is here, so that its id is good."""
        return (stream, session_id) in self._players

    def saw(
        self,
        stream: StreamKey,
        session_id: str,
        player: Callable[[], HlsPlayer],
        sent_bytes: int,
        *,
        is_media: bool = False,
        codecs: tuple[str, ...] = (),
        played: Played = NOT_KNOWN,
    ) -> None:
        """A player was answered.

        Args:
            stream: that it plays.
            session_id: a good id for that.
            player: gives who it is; asked of one that is new.
            sent_bytes: of the answer's body.
            is_media: whether that was media, or a playlist that names some.
            codecs: of the stream; empty where that is not known.
            played: the publication that it was answered with.
        """
        key = (stream, session_id)
        seen = self._players.get(key) or self._new(stream, session_id, player, codecs, played)
        if seen is None:
            return
        self._players.move_to_end(key)
        self._untold[key] = None
        seen.at_s = self._clock()
        seen.sent_bytes += sent_bytes
        seen.all_bytes += sent_bytes
        if codecs and codecs != seen.codecs:
            seen.codecs, seen.words = codecs, 0
        if is_media and not seen.first_media_ms:
            self._first_media(key, seen, played)

    def _new(
        self, stream: StreamKey, session_id: str, player: Callable[[], HlsPlayer], codecs: tuple[str, ...], played: Played
    ) -> _Seen | None:
        """One that has not asked before; None where there are too many, or it was ended while it waited for the answer."""
        if len(self._players) >= MAX_SESSIONS or self.is_kicked(session_id):
            return None
        found = player()
        asked_us = found.asked_us or self._now_us()  # it may have waited for its answer, be it for a publisher
        opened_us = _opened_us(session_id, asked_us)
        is_new = asked_us - opened_us <= FIRST_US
        seen = _Seen(found, opened_us, opened_us if is_new else asked_us, is_new, codecs=codecs)
        self._players[stream, session_id] = seen
        if is_new and seen.player.trace is not None:
            facts = _attributes(stream, session_id, seen)
            seen.play = telemetry.start(self._spans[0], seen.player.trace, facts, at_us=opened_us)
            seen.trace = seen.play.context
        if self.watcher is not None:
            self.watcher.player_came(_touch(stream, session_id, seen), seen.trace or played.trace)
        return seen

    def _first_media(self, key: tuple[StreamKey, str], seen: _Seen, played: Played) -> None:
        now_us = self._now_us()
        seen.first_media_ms = max(1, (now_us - seen.came_us) // 1000)
        if not seen.is_new:
            return
        self.times.joins.add(seen.first_media_ms / 1000)
        if played.trace is not None:
            facts = {**_attributes(*key, seen), Attribute.PUBLICATION: played.publication}
            links = (seen.play.context,)
            first = telemetry.start(self._spans[1], played.trace, facts, at_us=seen.opened_us, links=links)
            first.end(at_us=now_us)
            seen.trace = seen.trace or first.context
        seen.play.end(at_us=now_us)
        seen.play = _NO_SPAN

    def _now_us(self) -> int:
        return round(self._wall_clock() * 1_000_000)

    def expire(self, limit: int = MAX_SESSIONS) -> bool:
        """Forget those that have left, `limit` of them at most. Gives whether there may be more."""
        now = self._clock()
        for _ in range(min(limit, len(self._players))):
            key, seen = next(iter(self._players.items()))
            if now - seen.at_s <= self._idle_s:
                return False
            del self._players[key]
            self._untold.pop(key, None)
            self._left(key, seen, LEFT)
        return bool(self._players)

    @property
    def untold(self) -> int:
        """Of how many the directory is to be told."""
        return len(self._over) + len(self._untold)

    def touches(self, limit: int = MAX_SESSIONS) -> list[SessionTouch]:
        """What the directory is to be told: who was seen, or has ended, since the last call; `limit` of them at most."""
        told, self._over = self._over[:limit], self._over[limit:]
        for key in list(islice(self._untold, limit - len(told))):
            del self._untold[key]
            if (seen := self._players.get(key)) is not None:
                told.append(_touch(*key, seen))
                seen.sent_bytes, seen.words = 0, seen.words % WHOLE_WORDS + 1
        return told

    def again(self) -> list[Callable[[], None]]:
        """What tells the watcher of each that is here as of one that has just come, unless it has left meanwhile."""
        return [partial(self._came, key) for key in self._players]

    def _came(self, key: tuple[StreamKey, str]) -> None:
        seen = self._players.get(key)
        if seen is not None and self.watcher is not None:
            self.watcher.player_came(_touch(*key, replace(seen, words=0)), seen.trace)

    def not_told(self, touches: Iterable[SessionTouch]) -> None:
        """The directory did not take these in: they are told again."""
        for touch in touches:
            seen = self._players.get((touch.stream, touch.id))
            if touch.over and len(self._over) < MAX_SESSIONS:
                self._over.append(touch)
            elif seen is not None:
                seen.sent_bytes, seen.words = seen.sent_bytes + touch.sent_bytes, 0
                self._untold[touch.stream, touch.id] = None

    def kick(self, session_ids: Iterable[str]) -> None:
        """Answer these no more, whether they were seen here or not."""
        wanted = set(session_ids)
        self._end([key for key in self._players if key[1] in wanted])
        self._refuse(wanted, KICKED_S)

    def is_kicked(self, session_id: str) -> bool:
        """Whether it is not to be answered."""
        until_s = self._kicked.get(session_id)
        return until_s is not None and until_s > self._clock()

    def end_those(self, blocks: Callable[[str], bool]) -> None:
        """Count nobody any more whose address it `blocks`: they are let in no more."""
        blocked = [key for key, seen in self._players.items() if blocks(host_of(seen.player.peer))]
        self._end(blocked)
        self._refuse((session_id for _, session_id in blocked), BLOCKED_S)

    def _refuse(self, session_ids: Iterable[str], lasts_s: float) -> None:
        until_s = self._clock() + lasts_s
        for session_id in session_ids:
            self._kicked.pop(session_id, None)
            self._kicked[session_id] = until_s
        while len(self._kicked) > MAX_SESSIONS:
            self._kicked.popitem(last=False)

    def _left(self, key: tuple[StreamKey, str], seen: _Seen, reason: str) -> None:
        self.times.left[_WORDS[reason]] += 1
        if not seen.first_media_ms:
            seen.play.set({Attribute.REASON: reason})
            seen.play.end(reason)
        if self.watcher is not None:
            lasted_ms = (self._now_us() - seen.came_us) // 1000  # where it was before, or that it was away, is no part of that
            whole = replace(seen, words=0)
            self.watcher.player_left(_touch(*key, whole), seen.all_bytes, max(0, lasted_ms), reason, seen.trace)

    def _end(self, keys: Iterable[tuple[StreamKey, str]]) -> None:
        for key in keys:
            seen = self._players.pop(key)
            self._untold.pop(key, None)
            self._left(key, seen, ENDED)
            if len(self._over) < MAX_SESSIONS:
                self._over.append(replace(_touch(*key, seen), over=True))


def _opened_us(session_id: str, asked_us: int) -> int:
    """When a player with that id, who asks at `asked_us`, has asked first, Unix microseconds: then, if its id does not say it."""
    opened_us = made_us(session_id)
    is_known = opened_us and asked_us - KNOWN_US < opened_us < asked_us + SKEW_US
    return min(opened_us, asked_us) if is_known else asked_us


def _attributes(stream: StreamKey, session_id: str, seen: _Seen) -> dict[Attribute, Fact]:
    return {Attribute.STREAM: str(stream), Attribute.PROTOCOL: seen.player.protocol, Attribute.SESSION: session_id}


def _touch(stream: StreamKey, session_id: str, seen: _Seen) -> SessionTouch:
    player, is_brief = seen.player, 0 < seen.words < WHOLE_WORDS
    return SessionTouch(
        id=session_id,
        stream=stream,
        protocol=player.protocol,
        peer=player.peer,
        sent_bytes=seen.sent_bytes,
        is_brief=is_brief,
        opened_us=0 if is_brief else seen.opened_us,
        url="" if is_brief else player.url,
        query="" if is_brief else player.query,
        user_agent="" if is_brief else player.user_agent,
        codecs=() if is_brief else seen.codecs,
        first_media_ms=seen.first_media_ms,
    )
