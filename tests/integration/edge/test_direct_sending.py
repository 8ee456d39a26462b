"""The fan-out on real sockets: blocks that go past the transports, and what happens where a socket takes only a part of one."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
from support.certificates import self_signed, served_with, trusting
from support.edge_fakes import BOTH, run_of, video
from support.loops import LOOP_FACTORIES

from lalmesh.media import AccessUnit, Track, TrackSet
from lalmesh.remux import Parts
from services.edge import direct
from services.edge.direct import CAN_SEND_DIRECTLY, MANY_SOCKETS, TURN_BLOCKS, DirectSockets, direct_socket, shared_file
from services.edge.fanout import FanOut, FanOutSettings
from services.edge.feed import FeedState, PlayerFeed
from services.edge.held_bursts import HeldBursts
from services.edge.held_copies import EMPTY_LOOKS
from services.edge.outputs import OutputFormat
from services.edge.player import Playing, playing_on
from services.edge.relay import Relay

LIMIT_S = 30.0
SNDBUF_BYTES = 96 << 10  #: so small that blocks do not fit, but no smaller than a segment on loopback
BLOCKS = 150
BEFORE = b"before " * 1_000_000  #: more than the kernel takes
BEHIND = b"behind" * 100_000

pytestmark = pytest.mark.skipif(not CAN_SEND_DIRECTLY, reason="this system sends through transports only")


class PlainPackager:
    """The payloads, one after the other."""

    def start(self, tracks: TrackSet, dts: int) -> bytes:
        return b"start "

    def change(self, old: TrackSet, new: TrackSet, dts: int, parts: Parts) -> int:
        return 0

    def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        parts.append(unit.payload)
        return len(unit.payload)

    def end(self, tracks: TrackSet, dts: int, parts: Parts) -> int:
        return 0

    def left_out(self, tracks: TrackSet) -> tuple[Track, ...]:
        return ()

    def accepts(self, old: TrackSet, new: TrackSet) -> bool:
        return True


PLAIN = OutputFormat(key="", name="plain", packager=PlainPackager)


class FakeRelay:
    """A relay with one format."""

    def __init__(self, fanout: FanOut) -> None:
        self._fanout = fanout

    def fanout(self, form: OutputFormat) -> FanOut:
        return self._fanout

    def left(self, key: Hashable) -> None:
        pass

    def let_go(self) -> None:
        pass


class Stage:
    """A fan-out whose players are connections on loopback."""

    def __init__(self, **settings: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.bursts = HeldBursts()
        made = FanOutSettings(max_delay_ms=0, player_queue_bytes=1 << 30, player_queue_s=600.0, **settings)
        self.fanout = FanOut(PlainPackager(), made, self.loop, self.bursts, lambda _feed, facts: None)
        self.accepted: asyncio.Queue[Side] = asyncio.Queue()
        self.stack = ExitStack()

    async def listen(self, prefill: bytes = b"") -> int:
        server = await self.loop.create_server(lambda: Side(self, prefill), "127.0.0.1", 0)
        self.stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    async def player(self, port: int) -> tuple[socket.socket, Side]:
        """A client's socket, which takes in only what is read from it, and the server's side of it."""
        client = self.stack.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SNDBUF_BYTES)
        client.setblocking(False)
        await self.loop.sock_connect(client, ("127.0.0.1", port))
        side = await self.accepted.get()
        side.start()
        return client, side


class Side(asyncio.Protocol):
    """The server's side of one connection."""

    feed: PlayerFeed
    transport: asyncio.Transport

    def __init__(self, stage: Stage, prefill: bytes) -> None:
        self.stage = stage
        self.prefill = prefill
        self.pauses = 0
        self.playing: Playing | None = None
        self.drained = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(self.prefill)
        self.stage.accepted.put_nowait(self)

    def start(self) -> None:
        """Play, as a terminator does."""
        relay = cast(Relay, FakeRelay(self.stage.fanout))
        self.playing = playing_on(self.transport, relay, PLAIN, lambda reason: None, SNDBUF_BYTES)
        self.feed = self.playing.feed
        self.playing.start()

    def pause_writing(self) -> None:
        self.pauses += 1
        if self.playing is not None:
            self.playing.pause()

    def resume_writing(self) -> None:
        if self.playing is not None:
            self.playing.resume()
            self.drained.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.playing is not None:
            self.playing.end()
        self.lost.set()


async def read(client: socket.socket, size: int) -> bytes:
    got = bytearray()
    async with asyncio.timeout(LIMIT_S):
        while len(got) < size:
            data = await asyncio.get_running_loop().sock_recv(client, 64 << 10)
            assert data, f"closed after {len(got)} of {size} bytes"
            got += data
    return bytes(got)


@pytest.fixture(params=["one call", "one by one"], autouse=True)
def writing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel takes many writes in one call, and as it does not."""
    if request.param == "one by one":
        monkeypatch.setattr(direct, "kernel_writes", lambda: None)


@pytest.fixture(params=LOOP_FACTORIES)
def event_loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    made: Callable[[], asyncio.AbstractEventLoop] = request.param
    return made


def test_every_player_gets_every_byte_in_order_whatever_its_socket_takes(
    event_loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def play() -> None:
        stage, rng = Stage(), random.Random(5)
        with stage.stack:
            port = await stage.listen()
            players = [await stage.player(port) for _ in range(MANY_SOCKETS + 4)]
            payloads = [rng.randbytes(rng.choice((300, 5_000, 120_000))) for _ in range(BLOCKS)]
            expected = b"start " + b"".join(payloads)
            readers = [asyncio.create_task(read(client, len(expected))) for client, _ in players[:-2]]
            for seq, payload in enumerate(payloads):
                stage.fanout.feed(run_of([video(seq, key=seq == 0, payload=payload)], tracks=BOTH))
                await asyncio.sleep(0)
            stuck = [side for _, side in players[-2:]]
            assert all(side.feed.state is FeedState.LAGGING and side.pauses for side in stuck), "two read nothing"
            readers += [asyncio.create_task(read(client, len(expected))) for client, _ in players[-2:]]
            assert all(got == expected for got in await asyncio.gather(*readers))
            assert all(stage.fanout.sent_bytes(side.feed) == len(expected) for _, side in players)

    with asyncio.Runner(loop_factory=event_loop_factory) as runner:
        runner.run(play())


def test_what_a_transport_holds_already_is_neither_overtaken_nor_unbounded(
    event_loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def play() -> None:
        stage = Stage()
        with stage.stack:
            port = await stage.listen(prefill=BEFORE)
            players = [await stage.player(port) for _ in range(MANY_SOCKETS + 1)]
            assert all(side.feed.is_full for _, side in players)
            expected = BEFORE + b"start "
            for seq in range(3):
                expected += b"%d " % seq
                stage.fanout.feed(run_of([video(seq, key=seq == 0, payload=b"%d " % seq)], tracks=BOTH))
                assert all(side.feed.state is FeedState.LAGGING for _, side in players)
            assert [await read(client, len(expected)) for client, _ in players] == [expected] * len(players)

    with asyncio.Runner(loop_factory=event_loop_factory) as runner:
        runner.run(play())


@pytest.mark.parametrize("by_tls", [False, True])
def test_what_a_player_joins_with_and_what_waits_behind_that_is_held_until_it_has_taken_it(
    event_loop_factory: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path, *, by_tls: bool
) -> None:
    tls, clients_tls = None, None
    if by_tls:
        certificate = self_signed(tmp_path)
        tls, clients_tls = served_with(certificate), trusting(certificate)

    async def play() -> None:
        stage, (ours, theirs) = Stage(), socket.socketpair()
        stage.fanout.feed(run_of([video(0, key=True, payload=BEFORE)], tracks=BOTH))
        _, (reader, writer) = await asyncio.gather(
            stage.loop.connect_accepted_socket(lambda: Side(stage, b""), ours, ssl=tls),
            asyncio.open_connection(sock=theirs, ssl=clients_tls, server_hostname="edge" if by_tls else None),
        )
        side = await stage.accepted.get()
        with stage.stack:
            stage.stack.callback(writer.transport.abort)
            stage.stack.callback(side.transport.abort)
            side.start()
            assert (side.feed.state, stage.bursts.size_bytes) == (FeedState.LAGGING, len(b"start " + BEFORE))
            stage.fanout.feed(run_of([video(1, payload=BEHIND)], tracks=BOTH))
            copied_bytes = len(BEHIND) if by_tls or event_loop_factory is asyncio.new_event_loop else 0
            assert stage.bursts.copies.size_bytes == copied_bytes
            expected = b"start " + BEFORE + BEHIND
            async with asyncio.timeout(LIMIT_S):
                assert await reader.readexactly(len(expected)) == expected
                await side.drained.wait()
            assert (side.feed.state, stage.bursts.size_bytes) == (FeedState.LIVE, 0)
            assert stage.bursts.copies.handed_bytes(side.feed) == copied_bytes
            for _ in range(EMPTY_LOOKS):
                stage.bursts.sweep()
            assert stage.bursts.copies.size_bytes == 0
        async with asyncio.timeout(LIMIT_S):
            await side.lost.wait()

    with asyncio.Runner(loop_factory=event_loop_factory) as runner:
        runner.run(play())


def test_a_player_that_resets_disturbs_no_other(event_loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def play() -> None:
        stage = Stage()
        with stage.stack:
            port = await stage.listen()
            players = [await stage.player(port) for _ in range(MANY_SOCKETS + 1)]
            leaver, left = players.pop(0)
            leaver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            leaver.close()
            expected = b"start "
            for seq in range(50):
                payload = b"%05d" % seq * 1000
                expected += payload
                stage.fanout.feed(run_of([video(seq, key=seq == 0, payload=payload)], tracks=BOTH))
                await asyncio.sleep(0)
            assert [await read(client, len(expected)) for client, _ in players] == [expected] * len(players)
            async with asyncio.timeout(LIMIT_S):
                await left.lost.wait()
            assert stage.fanout.players == len(players)

    with asyncio.Runner(loop_factory=event_loop_factory) as runner:
        runner.run(play())


async def test_without_descriptors_left_blocks_go_through_the_transports(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> int:
        raise OSError(24, "Too many open files")

    stage = Stage()
    with stage.stack:
        port = await stage.listen()
        players = [await stage.player(port) for _ in range(MANY_SOCKETS)]
        monkeypatch.setattr(os, "memfd_create", none_left)
        monkeypatch.setattr(socket, "fromfd", none_left)
        players.append(await stage.player(port))
        assert players[-1][1].feed.socket is None
        stage.fanout.feed(run_of([video(0, key=True, payload=b"abc")], tracks=BOTH))
        assert [await read(client, 9) for client, _ in players] == [b"start abc"] * len(players)


@pytest.mark.parametrize("size", [100, 100_000])
def test_everybody_is_first_in_turn(size: int) -> None:
    """The sockets share one buffer, which has room for some of them: those from the first one on."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 10)
        ours.setblocking(False)
        count = 2 * TURN_BLOCKS
        sockets = [ours.dup() for _ in range(count)]
        sending, firsts = DirectSockets(sockets), list[int]()
        for turn in range(TURN_BLOCKS):
            late = dict(sending.send(b"x" * size, turn))
            took = [late.get(place, size) for place in range(count)]
            firsts += [place for place in range(count) if took[place] and not took[place - 1]]
            while True:
                try:
                    theirs.recv(1 << 20, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    break
        for sock in sockets:
            sock.close()
    assert firsts == [2 * turn for turn in range(TURN_BLOCKS)]


async def test_a_socket_of_our_own_outlives_that_of_its_transport_and_never_means_another() -> None:
    stage = Stage()
    with stage.stack:
        client, side = await stage.player(await stage.listen())
        own = direct_socket(side.transport)
        assert own is not None
        side.transport.abort()
        async with asyncio.timeout(LIMIT_S):
            await side.lost.wait()
        file = shared_file(b"x")
        reused = [socket.socket() for _ in range(20)]  # these take the lowest free numbers
        try:
            assert own.fileno() not in [sock.fileno() for sock in reused]
            assert os.sendfile(own.fileno(), file, 0, 1) == 1
            assert await read(client, 1) == b"x"
        finally:
            for sock in (own, *reused):
                sock.close()
            os.close(file)
