"""Relays: an edge's single subscription to each stream that it plays, shared by all its players (docs/design.md §4).

The first player of a stream opens its relay, the last one closes it after `linger_s`. A relay that loses its origin keeps its
players, and its follower goes on after the last unit that it has, wherever the stream is then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace

from lalmesh.errors import ServiceError, StreamNotFound
from lalmesh.media import TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.durations import GAP_BUCKETS_S, Durations
from lalmesh.runtime.each_alone import for_each_alone
from lalmesh.runtime.fences import Fence, Fences
from lalmesh.runtime.follower import UNREACHABLE, Follower, FollowSettings, OriginLinks
from lalmesh.runtime.following import NO_DEMAND, Demand
from lalmesh.runtime.gathering import Gatherer
from lalmesh.runtime.ownership import Location
from lalmesh.runtime.reader import Reader, ReaderCounters
from lalmesh.runtime.ring import Run
from lalmesh.runtime.scheduling import Refusal, SchedulerClient
from lalmesh.runtime.tally import add_counters
from lalmesh.runtime.telemetry import Attribute, SpanName
from services.edge.client import now_us
from services.edge.fanout import MAX_SENDING_MS, FanOut, FanOutCounters, FanOutSettings
from services.edge.held_bursts import HeldBursts
from services.edge.last_places import PLACES_KEPT, LastPlaces
from services.edge.looks import Looks
from services.edge.outputs import AnyFanOut, OutputFormat, Outputs
from services.edge.publisher import refusal_error

log = logging.getLogger(__name__)

OPEN_S = 1.0  #: for the first units of a stream that is there
ASK_EACH_S = 1.0  #: so often at most it is asked for one relay whether anybody can say where its stream is, however many wait


@dataclass(slots=True, frozen=True, kw_only=True)
class RelaySettings:
    """How relays wait, keep and give up."""

    linger_s: float = 3.0  #: how long a relay without players stays
    lost_s: float = 30.0  #: how long players are kept while no origin can be reached
    fanout: FanOutSettings = field(default_factory=FanOutSettings)
    transcode: bool = True  #: whether G.711 is made AAC for formats that cannot carry it, where the extra is installed


class Relay:
    """One stream on its way to the players of this edge."""

    def __init__(self, relays: Relays, stream: StreamKey, seen: Fence, demand: Demand) -> None:
        """Start looking for the stream; `seen` is what this edge knows of who writes it, `demand` for whom it is wanted."""
        self.stream = stream
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready.add_done_callback(lambda ready: ready.exception())  # nobody may be waiting for a relay that fails
        self._relays = relays
        settings = self._settings = relays.settings
        self._outputs = Outputs(
            stream,
            settings.fanout,
            settings.fanout.ring_limits(),
            relays.retire,
            self._fail,
            relays.bursts,
            transcode=settings.transcode,
            delays=relays.play_delays,
        )
        self._looked_at = 0  # units, when the delay of the newest was looked at last
        self._opened_us = now_us()
        self._users = 0
        self._linger: asyncio.TimerHandle | None = None
        self._has_failed = False
        self.unsaid: ServiceError | None = None  #: why its edge began where it knew the stream to be, if so
        self._asked_at_s = -math.inf  # by `may_ask`
        follow = FollowSettings(lost_s=settings.lost_s, awaits_first=True, demand=demand)
        self._follower = Follower(stream, relays.locates, relays.links, follow, Reader(*seen), self._begin)
        self._follower.begun = self._publication_begun
        self._follower.gaps = relays.gaps
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._follower.run(), name=f"relay {stream}")
        self._task.add_done_callback(self._finished)

    @property
    def reader(self) -> Reader:
        """What it has of the stream."""
        return self._follower.reader

    @property
    def publication(self) -> bytes:
        """The id of what came last; empty before anything has come."""
        last = self.reader.last
        return last.publication if last is not None else b""

    @property
    def unavailable(self) -> ServiceError | None:
        """Why nobody can say where the stream is, if so: by the last answer, or by what was asked while there was none."""
        refused = self._follower.refused
        if refused is None:
            return self.unsaid
        return None if refused.refusal is Refusal.NOT_FOUND else refusal_error(refused, self.stream)

    @property
    def players(self) -> int:
        """How many players there are, over all formats."""
        return self._outputs.players

    @property
    def tracks(self) -> TrackSet:
        """The tracks at the newest unit."""
        return self._outputs.tracks

    @property
    def fanouts(self) -> list[AnyFanOut]:
        """The fan-outs, one a format."""
        return self._outputs.fanouts

    @property
    def sent_bytes(self) -> int:
        """What was written to players of the stream so far. Only rises."""
        return self._outputs.sent_bytes

    @property
    def left_out(self) -> tuple[str, ...]:
        """What players do not get since their format cannot carry it, ``format: codec`` each."""
        return self._outputs.left_out

    @property
    def left_out_counts(self) -> Counter[tuple[str, str]]:
        """Tracks that were left out so far, by format and codec."""
        return self._outputs.left_out_counts

    async def settled(self) -> None:
        """Return once all tracks of a stream that has just begun are there, as far as anybody can tell (`settling`)."""
        await self._outputs.settling.wait()

    # players

    def may_ask(self) -> bool:
        """Whether it may be asked again for this relay whether anybody can say where the stream is; it is then."""
        if self._loop.time() - self._asked_at_s < ASK_EACH_S:
            return False
        self._asked_at_s = self._loop.time()
        return True

    def hold(self) -> None:
        """Somebody wants this relay to stay."""
        self._users += 1
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def let_go(self) -> None:
        """The reverse of `hold`; the last one starts the linger time."""
        self._users -= 1
        if not self._users:
            self._linger = self._loop.call_later(self._settings.linger_s, self._linger_over)

    @contextlib.contextmanager
    def given_back_unless_taken(self) -> Iterator[Callable[[], Relay]]:
        """For who holds the relay: let it go at the end of the context, unless what the context gives was called to take it."""
        taken = False

        def take() -> Relay:
            nonlocal taken
            taken = True
            return self

        try:
            yield take
        finally:
            if not taken:
                self.let_go()

    def _linger_over(self) -> None:
        self._relays.forget(self)  # at once: whoever comes now needs another
        self._task.cancel()

    @property
    def outputs(self) -> Outputs:
        """The formats that it is played in."""
        return self._outputs

    def fanout(self, form: OutputFormat) -> FanOut:
        """The fan-out of a format; a new one starts with what the relay has. Of a relay that has ended it ends as well, soon."""
        return self._outputs.fanout(form)

    def left(self, key: Hashable) -> None:
        """A player of the format with that key has gone."""
        self._outputs.left(key)

    def sweep(self) -> None:
        """Once a second."""
        self._outputs.sweep()
        reader = self.reader
        if reader.delay_us is not None and reader.counters.units != self._looked_at:
            self._looked_at = reader.counters.units
            self._relays.link_delays.add(reader.delay_us / 1e6)

    # the life of a relay

    def _begin(self, run: Run) -> None:
        """The first units: whoever waits may play. The next ones go past this."""
        self._follower.deliver = self._outputs.feed
        self._outputs.feed(run)
        if not self._has_failed:
            self.ready.set_result(None)

    def _publication_begun(self, run: Run) -> None:
        """The first units of a publication."""
        facts = {Attribute.STREAM: str(self.stream), Attribute.PUBLICATION: run.publication.hex()}
        begun_us = max(self._opened_us, run.units[0].wall_us)
        telemetry.record(SpanName.RELAY, telemetry.of_publication(run.publication), begun_us, facts)

    @property
    def location(self) -> Location | None:
        """Where it is read, or was said to be; None: nobody has said."""
        return self._follower.location

    def moved(self, location: Location) -> None:
        """The stream is somewhere else now; or was there, where nothing has come and nobody can say."""
        self._follower.moved(location)

    def _fail(self, error: BaseException) -> None:
        """A bug of ours, in what all formats share: nobody can play on."""
        log.error("relay failed", exc_info=error, extra={"stream_key": str(self.stream)})
        self._has_failed = True
        self._relays.forget(self)  # at once: whoever comes now needs another
        self._task.cancel()

    def _finished(self, task: asyncio.Task[str]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
        if self._has_failed:
            self._end("internal error")
        elif task.cancelled():
            self._end("nobody plays it")
        else:
            self._end(task.result(), is_over=task.result() != UNREACHABLE)

    def _end(self, reason: str, *, is_over: bool = False) -> None:
        self._relays.forget(self, is_over=is_over)
        if self._linger is not None:
            self._linger.cancel()
        if not self.ready.done():
            self.ready.set_exception(StreamNotFound(f"{self.stream}: {reason}"))
        self._outputs.end(reason)

    async def close(self) -> None:
        """End it now."""
        self._task.cancel()
        await asyncio.wait([self._task])


class Relays:
    """The relays of one edge."""

    def __init__(
        self,
        scheduler: SchedulerClient,
        links: OriginLinks,
        settings: RelaySettings,
        fences: Fences | None = None,
        published: Callable[[StreamKey], Location | None] = lambda _: None,
        remembered_num: int = PLACES_KEPT,
    ) -> None:
        """Prepare.

        Args:
            scheduler: finds streams.
            links: to the origins.
            settings: of each relay.
            fences: what this edge has seen of streams.
            published: where a stream is to be read that this edge publishes itself; None: it does not.
            remembered_num: streams of which it is remembered where they were read last, at most `PLACES_KEPT`.
        """
        self.locates = Gatherer(scheduler.locate)
        self._looks = Looks(scheduler, published, LastPlaces(remembered_num))
        self.links = links
        self.settings = settings
        self.link_delays, self.play_delays, self.gaps = Durations(), Durations(), Durations(GAP_BUCKETS_S)
        self.bursts = HeldBursts()  #: what players were given as they joined, of all relays that are and were
        self._past_fanouts = FanOutCounters()
        self._past_readers = ReaderCounters()
        self._past_left_out: Counter[tuple[str, str]] = Counter()
        self._relays: dict[StreamKey, Relay] = {}
        self._fences = fences if fences is not None else Fences()

    def __iter__(self) -> Iterator[Relay]:
        """Every relay."""
        return iter(list(self._relays.values()))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._relays)

    async def acquire(self, stream: StreamKey, wait_s: float, demand: Demand = NO_DEMAND) -> Relay:
        """The relay of `stream` once it has units, held for the caller, who lets it go.

        Where nobody can say where the stream is, it is looked for where this edge publishes it, or has read it last.

        Args:
            stream: what is to be played.
            wait_s: how long to wait for a publisher; 0: a stream that nobody publishes is refused at once.
            demand: for whom.

        Raises:
            StreamNotFound: nobody published it within `wait_s`.
            Unavailable: nobody could say so within `wait_s`.
        """
        relay, unsaid, waits = self._relays.get(stream), None, wait_s > 0
        if not waits:
            if relay is None or not relay.ready.done():
                unsaid = await self._looks.first(stream, demand)
                relay = self._relays.get(stream)
            wait_s = OPEN_S
        if relay is None:
            relay = self._relays[stream] = Relay(self, stream, self._fences.of(stream), demand)
        relay.hold()
        with relay.given_back_unless_taken() as take:
            try:
                async with asyncio.timeout(wait_s):
                    if waits and not relay.ready.done() and self._looks.known(stream) is not None and relay.may_ask():
                        unsaid = await self._looks.beside(relay.ready, stream, demand)
                    if unsaid is not None:
                        self._begin_where_known(relay, unsaid)
                    await asyncio.shield(relay.ready)
            except TimeoutError:
                raise (relay.unavailable or StreamNotFound(f"{stream}: nobody published it within {wait_s:g} s")) from None
            return take()

    def _begin_where_known(self, relay: Relay, unsaid: ServiceError) -> None:
        """Nobody can say where the stream is, as `unsaid` has it: the relay looks where this edge knows it to be, as by notice."""
        relay.unsaid = unsaid
        known = self._looks.known(relay.stream)
        if known is not None and not relay.ready.done():
            relay.moved(known)

    def forget(self, relay: Relay, *, is_over: bool = False) -> None:
        """The relay has ended; `is_over`: so has its stream."""
        if self._relays.get(relay.stream) is relay:
            del self._relays[relay.stream]
            if is_over:
                self._looks.last.forget(relay.stream)
            elif (location := relay.location) is not None:
                self._looks.last.see(location)
            add_counters(self._past_readers, relay.reader.counters)
            self._past_left_out += relay.left_out_counts
            self._fences.see(relay.stream, *relay.reader.seen)

    @property
    def gather(self) -> bool:
        """Whether any of them gathers what its players get."""
        return any(isinstance(fanout, FanOut) and fanout.delay_ms > MAX_SENDING_MS for relay in self for fanout in relay.fanouts)

    def slack_s(self, stream: StreamKey) -> float:
        """How long it is until players of `stream` get what comes next; 0: at once, or nobody plays it."""
        relay = self._relays.get(stream)
        return relay.outputs.slack_s if relay is not None else 0.0

    def retire(self, fanout: AnyFanOut) -> None:
        """The fan-out has ended."""
        add_counters(self._past_fanouts, fanout.counters)

    def moved(self, location: Location) -> None:
        """The scheduler says that a stream is somewhere else now."""
        self._looks.last.moved(location)
        relay = self._relays.get(location.stream)
        if relay is not None:
            relay.moved(location)

    @property
    def fanout_totals(self) -> FanOutCounters:
        """The counters of all fan-outs that are and were."""
        totals = replace(self._past_fanouts)
        for relay in self:
            for fanout in relay.fanouts:
                add_counters(totals, fanout.counters)
        return totals

    @property
    def reader_totals(self) -> ReaderCounters:
        """The counters of all readers that are and were."""
        totals = replace(self._past_readers)
        for relay in self:
            add_counters(totals, relay.reader.counters)
        return totals

    @property
    def left_out_totals(self) -> Counter[tuple[str, str]]:
        """Tracks that players did not get, of all relays that are and were, by format and codec."""
        return sum((relay.left_out_counts for relay in self), self._past_left_out)

    def sweep(self) -> None:
        """Call once a second."""
        self.bursts.sweep()
        for_each_alone(self, Relay.sweep, "relay could not be swept")

    async def close(self) -> None:
        """End all."""
        await asyncio.gather(*(relay.close() for relay in self))
