"""What players of all protocols share: from a stream name to a feed of its fan-out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from lalmesh.container.flv import BodyMuxer, HevcForm
from lalmesh.errors import InvalidName, RelayLoop
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.authorisation import Access, AccessRefused, Action, Reason, Refused
from lalmesh.runtime.blacklist import AddressBlacklist
from lalmesh.runtime.following import Demand
from lalmesh.runtime.listener import BLACKLISTED, limit_send_buffer
from lalmesh.runtime.scheduling import AskedUrl
from lalmesh.runtime.sessions import codecs_of
from lalmesh.runtime.telemetry import Attribute, SpanName
from services.edge.app_limits import EdgeLimits
from services.edge.client import Client
from services.edge.client_events import ClientEvents
from services.edge.direct import direct_socket
from services.edge.entrance import Entrance
from services.edge.fanout import FanOut
from services.edge.feed import WRITE_HIGH_WATER_BYTES, PlayerFeed
from services.edge.joining import Joining
from services.edge.missing import MissingStreams
from services.edge.outputs import OutputFormat
from services.edge.publisher import Publishers
from services.edge.publishing import Publishing
from services.edge.read_turns import ReadTurns, ReadTurnSettings
from services.edge.relay import Relay, Relays
from services.edge.session import SessionMedia, Sessions

CLOSE_FLUSH_S = 5.0  #: how long a closed player may take to read what waits for it
UVLOOP = "uvloop."  #: its transports keep what waits as it was given; those of asyncio put it together


@dataclass(slots=True, kw_only=True)
class EdgeContext:
    """What the terminators of an edge work with."""

    publishers: Publishers
    relays: Relays
    sessions: Sessions
    wait_publisher_s: float
    player_sndbuf_bytes: int
    max_message_bytes: int
    hevc: HevcForm
    match_app: bool
    chunk_size: int
    entrance: Entrance = field(default_factory=Entrance)
    access: Access = field(default_factory=Access.open_to_all)
    blacklist: AddressBlacklist = field(default_factory=AddressBlacklist)
    cluster_mark: str = ""  #: what this cluster is called in relay paths
    limits: EdgeLimits = field(init=False)
    read_turns: ReadTurns = field(init=False)
    _missing: MissingStreams = field(init=False)

    def __post_init__(self) -> None:
        """Count the clients of applications that have limits; look for streams that are missed; read publishers in turns."""
        self._missing = MissingStreams(self.relays.locates, self.events)
        self.limits = EdgeLimits(self.access.limits, self.sessions)
        self.read_turns = ReadTurns(ReadTurnSettings(), self.publishers, asyncio.get_running_loop())

    events: ClientEvents = field(default_factory=ClientEvents)

    async def publish(self, stream: StreamKey, client: Client, ended: Callable[[str], None]) -> Publishing:
        """Begin a publication of `client`; see `Publishers.start`. A relay takes no stream from anybody.

        Raises:
            ServiceError: it is refused.
        """
        facts = {Attribute.STREAM: str(stream), Attribute.PROTOCOL: client.protocol}
        trace = telemetry.start(SpanName.PUBLISH, client.trace, facts, at_us=client.asked_us)
        try:
            with telemetry.within(trace.context):
                self.entrance.check()
                self._check_path(stream, client)
                await self._check_access(Action.PUBLISH, stream, client)
                self.limits.check(stream.app, Action.PUBLISH)  # of those who begin at once: the scheduler counts claims
        except BaseException as error:
            trace.end(str(error) or type(error).__name__)
            raise
        take_over = False if client.via else None
        return await self.publishers.start(stream, ended, self._asked(client), take_over=take_over, trace=trace)

    async def join(self, stream: StreamKey, client: Client, wait_s: float | None = None) -> Joining:
        """Let a new player in, who has its session from now on, also while it waits for a publisher; see `Relays.acquire`.

        Where nobody is waited for, only who finds the stream is let in.

        Raises:
            ServiceError: it may not play, or there is no stream.
        """
        wait_s = self.wait_publisher_s if wait_s is None else wait_s
        try:
            if not wait_s:
                relay = await self.relay(stream, client, wait_s)
                return Joining(self.sessions, client, stream, relay)
            await self._let_in(stream, client)
        except BaseException as error:
            reason = str(error) or type(error).__name__
            facts = {Attribute.STREAM: str(stream), Attribute.PROTOCOL: client.protocol, Attribute.REASON: reason}
            telemetry.record(SpanName.PLAY, client.trace, client.asked_us, facts, error=reason)
            raise
        joining = Joining(self.sessions, client, stream)
        await joining.wait(self._wait(stream, client, wait_s))
        return joining

    async def relay(self, stream: StreamKey, client: Client, wait_s: float | None = None) -> Relay:
        """The relay of a stream for who only asks for it, without a session.

        Raises:
            ServiceError: there is none.
        """
        await self._let_in(stream, client)
        relay = await self._wait(stream, client, self.wait_publisher_s if wait_s is None else wait_s)
        with relay.given_back_unless_taken() as take:
            self._check_room(stream)
            return take()

    async def _let_in(self, stream: StreamKey, client: Client) -> None:
        """Return if a new player may come, which has to have its session before anything else is waited for."""
        self.entrance.check()
        self._check_path(stream, client)
        await self._check_access(Action.PLAY, stream, client)
        self._check_room(stream)

    async def _wait(self, stream: StreamKey, client: Client, wait_s: float) -> Relay:
        demand = Demand(client.via, self._asked(client))
        with self._missing.told(stream, client, demand):
            return await self.relays.acquire(stream, wait_s, demand)

    def _check_room(self, stream: StreamKey) -> None:
        """Return if one more player of the stream's application fits. Nobody counts before its session has been opened.

        Raises:
            AccessRefused: it does not.
        """
        self.limits.check(stream.app, Action.PLAY)

    async def _check_access(self, action: Action, stream: StreamKey, client: Client) -> None:
        if self.blacklist.blocks(client.address):
            raise AccessRefused(Refused(reason=Reason.FORBIDDEN, detail=BLACKLISTED))
        if not client.was_allowed:
            await self.access.check(client.request(action, stream))

    def _asked(self, client: Client) -> AskedUrl:
        return AskedUrl("" if self.match_app else client.app, client.query)

    def _check_path(self, stream: StreamKey, client: Client) -> None:
        if self.cluster_mark in client.via:
            raise RelayLoop(f"relay loop: {stream} would come back to this cluster: {' > '.join((*client.via, self.cluster_mark))}")

    def stream_key(self, app: str, name: str) -> StreamKey:
        """The checked key of a stream.

        Raises:
            InvalidName: the name is not allowed.
        """
        if not self.match_app:
            return StreamKey(ANY_APP, StreamKey.of(app or ANY_APP, name).name)
        if not app:
            raise InvalidName("no application in the stream name")
        return StreamKey.of(app, name)

    def body_muxer(self) -> BodyMuxer:
        """A muxer of FLV bodies as this edge's players get them."""
        return BodyMuxer(hevc=self.hevc)


class Playing:
    """One player's hold on a relay and its feed. Made when the relay has been acquired; `end` gives both back."""

    __slots__ = ("_ended", "_fanout", "_key", "_relay", "feed")

    def __init__(self, relay: Relay, form: OutputFormat, feed: PlayerFeed) -> None:
        """Take part in the output `form` of the relay."""
        self._relay = relay
        self._key = form.key
        self._fanout: FanOut = relay.fanout(form)
        self._ended = False
        self.feed = feed

    @property
    def burst(self) -> bytes | None:
        """What the player would get at once if it started now; None: nothing before the next random access point."""
        return self._fanout.burst_for(self.feed)

    def start(self, *, from_cache: bool = True) -> None:
        """Let media come: what is cached, or from the next random access point on.

        What the transport still holds, of whatever was said before, counts as a player that lags.
        """
        self._fanout.add(self.feed, from_cache=from_cache)
        if self.feed.backlog() > high_water(self.feed):  # its protocol was told before there was a player to tell
            self._fanout.paused(self.feed)

    def pause(self) -> None:
        """The transport is full."""
        self._fanout.paused(self.feed)

    def resume(self) -> None:
        """The transport has drained."""
        self._fanout.resumed(self.feed)

    def media(self) -> SessionMedia:
        """What goes to the player."""
        feed, relay = self.feed, self._relay
        queued_bytes = 0 if self._ended else feed.backlog()
        return SessionMedia(codecs_of(relay.tracks), feed.first_us, queued_bytes, feed.skips, relay.publication)

    @property
    def sent_bytes(self) -> int:
        """What was written to the player so far."""
        return self._fanout.sent_bytes(self.feed)

    def end(self) -> None:
        """The player has gone; a second call does nothing."""
        if not self._ended:
            self._ended = True
            self._fanout.remove(self.feed)
            self.feed.release()
            self._relay.left(self._key)
            self._relay.let_go()


def playing_on(
    transport: asyncio.Transport,
    relay: Relay,
    form: OutputFormat,
    close: Callable[[str], None],
    sndbuf_bytes: int,
) -> Playing:
    """A player of `relay` in `form` on `transport`; `close` ends it with a reason."""
    feed = feed_of(transport, close, sndbuf_bytes, (transport, relay))
    try:
        return Playing(relay, form, feed)
    except BaseException:
        feed.release()
        raise


def high_water(feed: PlayerFeed) -> int:
    """What may wait in a player's transport before it lags: nothing, where blocks go past it and must not overtake what waits."""
    return WRITE_HIGH_WATER_BYTES if feed.socket is None else 0


def feed_of(transport: asyncio.Transport, close: Callable[[str], None], sndbuf_bytes: int, taker: Hashable = None) -> PlayerFeed:
    """A feed of `taker` that writes to `transport`, whose buffers are set so that the fan-out sees a lag when it begins."""
    limit_send_buffer(transport, sndbuf_bytes)
    own, keeps_objects = direct_socket(transport), type(transport).__module__.startswith(UVLOOP)
    feed = PlayerFeed(transport.write, transport.get_write_buffer_size, close, own, keeps_objects=keeps_objects, taker=taker)
    transport.set_write_buffer_limits(high=high_water(feed), low=0)
    return feed


def close_soon(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
    """Close after what waits has been sent, or after `CLOSE_FLUSH_S`; so too where it is closing already, as the peer ended it."""
    if not transport.is_closing():
        transport.close()
    if transport.get_write_buffer_size():
        loop.call_later(CLOSE_FLUSH_S, transport.abort)
