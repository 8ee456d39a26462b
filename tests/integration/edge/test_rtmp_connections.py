"""RTMP connections of an edge on real sockets: several streams on one of them, and those that are not wanted."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import FakeLinks, FakeOutlet, FakeScheduler, FakeSubscription, gop, location, place, run_of, video
from support.etcd import make_certificates
from support.leaving import say_and_leave
from support.loops import Run
from support.members import eventually

from lalmesh.amf import AmfValue, serialize_amf0
from lalmesh.container.flv import TAG_AUDIO
from lalmesh.protocol.rtmp import ChunkReader, ChunkWriter, Message, _session
from lalmesh.protocol.rtmp._commands import parse_command
from lalmesh.runtime import listener as listener_module
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.scheduling import Endpoint, Refusal, Refused
from services.edge.entrance import Entrance
from services.edge.fanout import FanOutSettings
from services.edge.metrics import EdgeMetrics
from services.edge.read_turns import ReadTurnSettings
from services.edge.relay import RelaySettings
from services.edge.rtmp import RtmpConnection, RtmpListener
from services.edge.rtmp_dialogue import RtmpDialogue

HOST = "127.0.0.1"
DESCRIPTORS = "/proc/self/fd"
LIMIT_S = 30.0
HANDSHAKE_BYTES = 1536
SLOW_S = 0.1  #: after which a player that lags is ended
BLOCK, BLOCKS = bytes(1 << 20), 16  #: more than sockets and a player's queue take
SOUND = b"\xaf\0\x12\x10"  #: the configuration of AAC-LC, 44.1 kHz, stereo
FRAME = b"\xaf\x01frame"
TURN_MS, FRAMES = 100, 20
PING, PONG, PINGS = bytes.fromhex("0006 00000001"), bytes.fromhex("0007 00000001"), 2000
READ_BYTES, READS = 2048, 40  #: of a read, and how many it takes
ELSEWHERE = (Endpoint("rtmp", "other", 1936),)
EXISTS = Refused(Refusal.EXISTS, "elsewhere")


class Edge:
    """The RTMP port of an edge, whose scheduler and origins the test drives."""

    def __init__(self, limits: ListenerLimits | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.scheduler, self.links = FakeScheduler(), FakeLinks()
        self.scheduler.put(location(1))
        self._clients: list[Client] = []
        metrics = EdgeMetrics(CollectorRegistry())
        slow = RelaySettings(fanout=FanOutSettings(slow_player_s=SLOW_S))
        context = edge_context(metrics, self.scheduler, self.links, slow, wait_publisher_s=LIMIT_S, claim_timeout_s=LIMIT_S)
        self.is_full = False
        context = replace(context, entrance=Entrance(lambda: ELSEWHERE, lambda: self.is_full))
        self.entrance, self.read_turns = context.entrance, context.read_turns
        self.relays, self.publishers, self.sessions = context.relays, context.publishers, context.sessions
        self.listener = RtmpListener(context, limits or ListenerLimits(), metrics, tls)

    async def __aenter__(self) -> Edge:
        await self.listener.start(HOST, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.listener.stop_accepting()
        self.listener.close("over")
        await self.listener.admission.emptied()
        await self.publishers.close(1.0)
        await self.relays.close()
        for client in self._clients:
            client.writer.close()
        await asyncio.gather(*(client.writer.wait_closed() for client in self._clients), return_exceptions=True)

    async def dial(self, tls: ssl.SSLContext | None = None) -> Client:
        """A client that has said nothing."""
        client = Client(*await asyncio.open_connection(HOST, self.listener.port, ssl=tls))
        self._clients.append(client)
        return client

    async def connect(self, caps_ex: int = 0) -> Client:
        """A client that may ask for streams."""
        client = await self.dial()
        await client.begin(caps_ex=caps_ex)
        return client

    async def publishing(self, client: Client, stream_id: int) -> FakeOutlet:
        """The client publishes on a message stream; what the origin has of it."""
        client.call("publish", None, f"cam{stream_id}", stream_id=stream_id)
        await client.heard("NetStream.Publish.Start", stream_id)
        outlet = self.links.publications[-1]
        outlet.events.publication_opened(None, place(1))
        client.send(TAG_AUDIO, stream_id, SOUND)
        return outlet

    async def playing(self, client: Client, stream_id: int) -> FakeSubscription:
        """The client plays on a message stream; where its media comes from."""
        client.call("play", None, "a", stream_id=stream_id)
        subscription = await self.links.opened(1)
        subscription.serve(run_of(gop(0, 3)))
        await client.heard("NetStream.Play.Start", stream_id)
        return subscription

    async def stuffed(self, client: Client, stream_id: int) -> None:
        """The client plays on a message stream, and has more to read of it than it may: it reads nothing."""
        subscription = await self.playing(client, stream_id)
        for seq in range(3, 3 + BLOCKS):
            subscription.events.receive(run_of([video(seq, payload=BLOCK)]))


class UntilFull:
    """Publishers of whom all leave once one's transport takes nothing more."""

    def __init__(self, dialogue: RtmpDialogue) -> None:
        self._dialogue = dialogue

    def __len__(self) -> int:
        return 0 if self._dialogue.is_full else TURN_MS


class Client:
    """An RTMP client that says what a test makes it say."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._to_server, self._from_server = ChunkWriter(), ChunkReader()
        self._unseen: list[Message] = []

    async def begin(self, streams: int = 3, caps_ex: int = 0) -> None:
        """Connect, and create message streams from 1 on."""
        self.writer.write(b"\x03" + bytes(2 * HANDSHAKE_BYTES))
        await self.reader.readexactly(1 + 2 * HANDSHAKE_BYTES)
        self.call("connect", {"app": "live", "capsEx": float(caps_ex)})
        for _ in range(streams):
            self.call("createStream", None)

    def send(self, type_id: int, stream_id: int, payload: bytes) -> None:
        self.writer.write(self.said(type_id, stream_id, payload))

    def said(self, type_id: int, stream_id: int, payload: bytes) -> bytes:
        """What is to be sent next."""
        return self._to_server.send(3, Message(type_id, stream_id, 0, payload))

    def call(self, name: str, *arguments: AmfValue, stream_id: int = 0) -> None:
        self.send(20, stream_id, serialize_amf0(name, 1.0, *arguments))

    async def message(self, wanted: Callable[[Message], bool]) -> Message:
        """The next message that is wanted; those before it are passed over."""
        while True:
            while self._unseen:
                if wanted(message := self._unseen.pop(0)):
                    return message
            data = await self.reader.read(1 << 16)
            assert data, "the connection was closed"
            self._unseen += self._from_server.feed(data)

    async def heard(self, code: str, stream_id: int) -> dict[str, AmfValue]:
        """What comes with a status on a message stream, once it has come."""

        def wanted(message: Message) -> bool:
            info = parse_command(message).argument(1) if message.type_id == 20 and message.stream_id == stream_id else None
            return isinstance(info, dict) and info.get("code") == code

        info = parse_command(await self.message(wanted)).argument(1)
        assert isinstance(info, dict)
        return info

    async def answers(self) -> None:
        """Wait until what was sent has been dealt with."""
        self.call("_checkbw", None)
        await self.message(lambda message: message.type_id == 20 and parse_command(message).name == "_result")

    async def picture(self, stream_id: int) -> None:
        """Wait for a picture on a message stream."""
        await self.message(lambda message: message.type_id == 9 and message.stream_id == stream_id)

    async def closed(self) -> None:
        """Wait for the end of the connection."""
        try:
            while await self.reader.read(1 << 16):
                pass
        except ConnectionError:
            pass


def test_one_connection_publishes_plays_and_is_refused(run: Run) -> None:
    async def check() -> None:
        async with Edge() as edge:
            client = await edge.connect()
            outlet = await edge.publishing(client, 1)
            subscription = await edge.playing(client, 2)
            edge.scheduler.claim_refusals += [EXISTS] * 2
            client.call("publish", None, "taken", stream_id=3)
            client.send(TAG_AUDIO, 3, FRAME)  # before the answer
            await client.heard("NetStream.Publish.BadName", 3)
            client.send(TAG_AUDIO, 3, FRAME)  # under way
            client.send(TAG_AUDIO, 1, FRAME)
            await client.answers()
            subscription.events.receive(run_of([video(3)]))
            await client.picture(2)
            assert [unit.payload for taken in outlet.sent for unit in taken.units] == [b"frame"]
            assert (len(edge.sessions), len(edge.links.publications)) == (2, 1)

    run(check())


def test_the_last_media_of_who_left_are_taken_though_what_he_plays_cannot_be_sent(run: Run) -> None:
    async def check() -> None:
        async with Edge() as edge:
            client = await edge.connect()
            outlet = await edge.publishing(client, 1)
            subscription = await edge.playing(client, 2)
            say_and_leave(client.writer, b"".join(client.said(TAG_AUDIO, 1, FRAME) for _ in range(50)))
            for seq in (3, 4):  # the first picture is answered with a reset, the second ends the connection
                subscription.events.receive(run_of([video(seq)]))
            while len(edge.sessions):  # noqa: ASYNC110 -- nothing else tells
                await asyncio.sleep(0.005)
            assert outlet.seqs == list(range(50))

    run(check())


def test_a_connection_whose_last_words_fail_has_gone_all_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with Edge() as edge:
            client = await edge.connect()
            await edge.publishing(client, 1)
            subscription = await edge.playing(client, 2)

            def fail(_: RtmpDialogue, data: bytes) -> None:
                raise IndexError(len(data))

            monkeypatch.setattr(RtmpDialogue, "feed", fail)
            say_and_leave(client.writer, client.said(TAG_AUDIO, 1, FRAME))
            for seq in (3, 4):  # the first picture is answered with a reset, the second ends the connection
                subscription.events.receive(run_of([video(seq)]))
            while len(edge.listener.admission):  # noqa: ASYNC110 -- nothing else tells
                await asyncio.sleep(0.005)
            assert len(edge.sessions) == 0

    run(check())


def test_a_publisher_that_waits_does_not_hold_up_another_on_its_connection(run: Run) -> None:
    async def check() -> None:
        async with Edge() as edge:
            client = await edge.connect()
            outlet = await edge.publishing(client, 1)
            edge.scheduler.claim_gate.clear()
            client.call("publish", None, "slow", stream_id=2)
            client.send(TAG_AUDIO, 2, SOUND)
            client.send(TAG_AUDIO, 1, FRAME)
            await client.answers()
            assert outlet.seqs == [0]
            edge.scheduler.claim_gate.set()
            await client.heard("NetStream.Publish.Start", 2)

    run(check())


@pytest.mark.parametrize("name", ["publish", "play"])
def test_a_client_that_is_refused_all_it_asked_for_is_closed(run: Run, name: str) -> None:
    async def check() -> None:
        async with Edge() as edge:
            client = await edge.connect()
            client.call(name, None, "..", stream_id=1)
            client.send(20, 0, serialize_amf0("createStream", 1.0))
            await client.closed()

    run(check())


def test_a_stream_that_ends_leaves_the_others_of_its_connection_until_the_last(run: Run) -> None:
    async def check() -> None:
        async with Edge() as edge:
            client = await edge.connect()
            outlet = await edge.publishing(client, 1)
            subscription = await edge.playing(client, 2)
            subscription.events.subscription_closed(CloseReason.STREAM_ENDED, "over")
            await client.heard("NetStream.Play.Stop", 2)
            client.send(TAG_AUDIO, 1, FRAME)
            await client.answers()
            assert outlet.seqs == [0]
            outlet.events.publication_closed(CloseReason.FENCED, "a newer one")
            await client.heard("NetStream.Publish.BadName", 1)
            await client.closed()

    run(check())


def test_a_player_that_is_too_slow_does_not_end_what_its_connection_publishes(run: Run) -> None:
    async def check() -> None:
        async with Edge() as edge:
            client = await edge.connect()
            outlet = await edge.publishing(client, 1)
            await edge.stuffed(client, 2)
            await asyncio.sleep(2 * SLOW_S)
            edge.relays.sweep()
            assert len(edge.sessions) == 1
            await client.heard("NetStream.Play.Stop", 2)
            client.send(TAG_AUDIO, 1, FRAME)
            await client.answers()
            assert outlet.seqs == [0]

    run(check())


async def check_read_seldom(client: Client, outlet: FakeOutlet) -> None:
    """The client sends `FRAMES` frames slowly; all of them come, in few reads."""
    begun = asyncio.get_running_loop().time()
    for _ in range(FRAMES):
        client.send(TAG_AUDIO, 1, FRAME)
        await client.writer.drain()
        await asyncio.sleep(TURN_MS / 1000 / FRAMES)
    await client.answers()
    assert outlet.seqs == list(range(FRAMES))
    turns = (asyncio.get_running_loop().time() - begun) * 1000 / TURN_MS
    assert len(outlet.sent) <= turns + 2


def test_where_many_publish_what_came_since_the_last_turn_is_read_at_once_and_nothing_of_who_leaves_is_lost(run: Run) -> None:
    async def check() -> None:
        async with Edge() as edge:
            edge.read_turns.settings = ReadTurnSettings(max_delay_ms=TURN_MS, publishers_per_delay_ms=1)
            edge.read_turns.publishers = range(TURN_MS)
            before = len(os.listdir(DESCRIPTORS))
            client = await edge.connect()
            outlet = await edge.publishing(client, 1)
            await check_read_seldom(client, outlet)
            client.send(TAG_AUDIO, 1, FRAME)
            await client.answers()
            client.send(TAG_AUDIO, 1, FRAME)  # until its next turn nobody looks
            client.writer.close()
            await eventually(lambda: outlet.closed is not None)
            assert outlet.seqs == list(range(FRAMES + 2))
            await eventually(lambda: len(os.listdir(DESCRIPTORS)) == before)

    run(check())


def test_where_many_publish_who_sends_more_than_a_read_takes_waits_for_no_turn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with Edge() as edge:
            monkeypatch.setattr(edge.listener, "buffer", lambda: memoryview(bytearray(READ_BYTES)))
            edge.read_turns.settings = ReadTurnSettings(max_delay_ms=TURN_MS, publishers_per_delay_ms=1)
            edge.read_turns.publishers = range(TURN_MS)
            client = await edge.connect()
            outlet = await edge.publishing(client, 1)
            begun = asyncio.get_running_loop().time()
            sound = FRAME + bytes(READ_BYTES // 4)
            client.writer.write(b"".join(client.said(TAG_AUDIO, 1, sound) for _ in range(READS * 4)))
            await client.answers()
            assert outlet.seqs == list(range(READS * 4))
            assert (asyncio.get_running_loop().time() - begun) * 1000 < TURN_MS * READS / 3

    run(check())


@pytest.mark.parametrize("end", ["reset", "end of TCP", "end of TLS"])
def test_under_tls_nothing_is_lost_of_a_publisher_whose_last_frames_and_end_come_together(
    run: Run, tmp_path: Path, end: str
) -> None:
    certificates = make_certificates(tmp_path)
    server, peer = (ssl.SSLContext(protocol) for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    server.load_cert_chain(certificates.cert_file("server"), certificates.key_file("server"))
    peer.load_verify_locations(certificates.ca_file)

    async def check() -> None:
        async with Edge(tls=server) as edge:
            edge.read_turns.settings = ReadTurnSettings(max_delay_ms=TURN_MS, publishers_per_delay_ms=1)
            edge.read_turns.publishers = range(TURN_MS)
            client = await edge.dial(peer)
            await client.begin()
            outlet = await edge.publishing(client, 1)
            client.send(TAG_AUDIO, 1, FRAME)
            await client.answers()
            client.send(TAG_AUDIO, 1, FRAME)
            client.send(TAG_AUDIO, 1, FRAME)
            own = client.writer.get_extra_info("socket")
            if end == "reset":
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.writer.transport.abort()
            elif end == "end of TCP":
                with socket.socket(fileno=os.dup(own.fileno())) as same:
                    same.shutdown(socket.SHUT_WR)
            else:
                client.writer.close()
            await eventually(lambda: outlet.closed is not None)
            assert outlet.seqs == [0, 1, 2]

    run(check())


def has(outlet: FakeOutlet, seqs: list[int]) -> bool:
    return outlet.seqs == seqs


def test_a_publisher_whose_turn_fails_is_closed_as_any_read_that_does_and_the_others_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ValueError("a bug")

    async def check() -> None:
        async with Edge() as edge:
            edge.read_turns.settings = ReadTurnSettings(max_delay_ms=TURN_MS, publishers_per_delay_ms=1)
            edge.read_turns.publishers = range(TURN_MS)
            broken, other = await edge.connect(), await edge.connect()
            first, second = await edge.publishing(broken, 1), await edge.publishing(other, 2)
            for client, stream_id, outlet in ((broken, 1, first), (other, 2, second)):
                client.send(TAG_AUDIO, stream_id, FRAME)
                await eventually(partial(has, outlet, [0]))
            monkeypatch.setattr(first, "wake", fail)
            for client, stream_id in ((broken, 1), (other, 2)):  # whom the turns read by now
                client.send(TAG_AUDIO, stream_id, FRAME)
            with suppress(ConnectionError):
                await asyncio.wait_for(broken.reader.read(), LIMIT_S)  # to its end
            await eventually(partial(has, second, [0, 1]))

    run(check())


def test_what_players_gather_is_read_before_they_get_it_and_nothing_of_who_leaves_is_lost(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        async with Edge() as edge:
            edge.read_turns.settings = ReadTurnSettings(max_delay_ms=TURN_MS)
            edge.read_turns.players_gather = True
            monkeypatch.setattr(edge.relays, "slack_s", lambda _stream: 1.0)
            client = await edge.connect()
            outlet = await edge.publishing(client, 1)
            await check_read_seldom(client, outlet)
            client.send(TAG_AUDIO, 1, FRAME)
            client.writer.close()
            await eventually(lambda: outlet.closed is not None)
            assert outlet.seqs == list(range(FRAMES + 1))

    run(check())


def test_who_takes_no_answers_is_not_read_at_its_turn_either(run: Run) -> None:
    async def check() -> None:
        async with Edge() as edge:
            edge.read_turns.settings = ReadTurnSettings(max_delay_ms=TURN_MS, publishers_per_delay_ms=1)
            edge.read_turns.publishers = range(TURN_MS)
            client = await edge.connect()
            outlet = await edge.publishing(client, 1)
            await edge.stuffed(client, 2)
            client.send(TAG_AUDIO, 1, FRAME)
            turned = asyncio.Event()
            for _ in range(3):
                edge.read_turns.wait(turned.set)
                await turned.wait()
                turned.clear()
            assert outlet.seqs == []
            await client.answers()
            assert outlet.seqs == [0]

    run(check())


def test_whose_answers_to_what_is_read_at_its_turn_are_not_taken_is_read_no_further(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        async with Edge() as edge:
            monkeypatch.setattr(_session, "CONTROL_WEIGHT_BYTES", 0)  # nothing but what is not taken holds it up
            made: list[RtmpConnection] = []
            begin = RtmpConnection.connection_made

            def begun(self: RtmpConnection, transport: asyncio.BaseTransport) -> None:
                made.append(self)
                begin(self, transport)

            monkeypatch.setattr(RtmpConnection, "connection_made", begun)
            client = await edge.connect()
            await edge.publishing(client, 1)
            await client.answers()
            [connection] = made
            transport, dialogue = connection._transport, connection._dialogue
            assert transport is not None
            transport.set_write_buffer_limits(high=1)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            edge.read_turns.settings = ReadTurnSettings(max_delay_ms=TURN_MS, publishers_per_delay_ms=1)
            edge.read_turns.publishers = UntilFull(dialogue)
            reading = cast(asyncio.Transport, client.writer.transport)
            reading.pause_reading()
            asked, ping = 0, client.said(4, 0, PING)
            while not dialogue.is_full:
                asked += 1 + PINGS
                client.writer.write(ping)  # once this has been read, the others wait for the next turn
                await eventually(lambda: connection._waits)
                client.writer.write(ping * PINGS)
                turned = asyncio.Event()
                edge.read_turns.wait(turned.set)
                await turned.wait()
            waiting_bytes = transport.get_write_buffer_size()
            client.writer.write(ping * PINGS)
            await asyncio.sleep(TURN_MS / 1000)
            assert (transport.is_reading(), transport.get_write_buffer_size()) == (False, waiting_bytes)
            reading.resume_reading()
            for _ in range(asked + PINGS):
                await client.message(lambda message: message.payload == PONG)

    run(check())


def test_a_publisher_that_lost_its_stream_may_play_on(run: Run) -> None:
    async def check() -> None:
        async with Edge() as edge:
            client = await edge.connect()
            outlet = await edge.publishing(client, 1)
            subscription = await edge.playing(client, 2)
            outlet.events.publication_closed(CloseReason.FENCED, "a newer one")
            client.send(TAG_AUDIO, 1, FRAME)  # under way
            await client.answers()
            subscription.events.receive(run_of([video(3)]))
            await client.picture(2)
            client.send(TAG_AUDIO, 3, FRAME)  # nobody asked to publish that
            await client.closed()

    run(check())


def test_playing_another_stream_while_the_first_waits_is_no_error(run: Run) -> None:
    async def check() -> None:
        async with Edge() as edge:
            client = await edge.connect()
            client.call("play", None, "nobody", stream_id=1)
            client.call("pause", None, True, 0.0, stream_id=1)
            await client.heard("NetStream.Pause.Notify", 1)
            client.call("play", None, "a", stream_id=1)
            (await edge.links.opened(2)).serve(run_of(gop(0, 3)))
            await client.picture(1)
            assert [session.stream.name for session in edge.sessions] == ["a"]

    run(check())


def test_silence_ends_what_publishes_and_what_came_to_nothing_but_no_player(run: Run) -> None:
    async def check() -> None:
        async with Edge(ListenerLimits(idle_timeout_s=0.05)) as edge:
            publisher, player, idle = [await edge.connect() for _ in range(3)]
            await edge.publishing(publisher, 1)
            subscription = await edge.playing(player, 1)
            idle.call("play", None, "a", stream_id=1)
            await idle.heard("NetStream.Play.Start", 1)
            idle.call("closeStream", None, stream_id=1)
            await idle.answers()
            await asyncio.sleep(0.1)
            edge.listener.sweep()
            await publisher.closed()
            await idle.closed()
            subscription.events.receive(run_of([video(3)]))
            await player.picture(1)

    run(check())


def test_beyond_the_refusals_that_are_kept_connections_are_dropped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "REFUSALS_KEPT", 1)

    async def check() -> None:
        async with Edge(ListenerLimits(connections=1)) as edge:
            taken = await edge.connect()
            await taken.answers()
            refused = await edge.dial()
            dropped = await edge.dial()
            await dropped.closed()
            await refused.begin()
            await refused.closed()
            await taken.answers()
            assert len(edge.listener.admission) == 1

    run(check())


def test_a_handshake_of_tls_has_a_deadline(run: Run) -> None:
    async def check() -> None:
        async with Edge(ListenerLimits(handshake_timeout_s=0.1), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) as edge:
            await (await edge.dial()).closed()

    run(check())


@pytest.mark.parametrize("drains", [True, False])
def test_a_client_of_an_edge_that_drains_or_is_full_is_sent_to_another(run: Run, drains: bool) -> None:
    async def check() -> None:
        async with Edge() as edge:
            edge.entrance.drains, edge.is_full = drains, not drains
            client = await edge.connect()
            info = await client.heard("NetConnection.Connect.Rejected", 0)
            assert info["ex"] == {"code": 302.0, "redirect": "rtmp://other:1936/live"}
            await client.closed()

    run(check())


def test_who_is_connected_to_an_edge_that_drains_may_begin_nothing_new(run: Run) -> None:
    async def check() -> None:
        async with Edge() as edge:
            client = await edge.connect()
            await edge.publishing(client, 1)
            edge.entrance.drain()
            client.call("play", None, "a", stream_id=2)
            await client.heard("NetStream.Play.Failed", 2)
            client.call("publish", None, "b", stream_id=3)
            await client.heard("NetStream.Publish.Failed", 3)
            assert len(edge.sessions) == 1

    run(check())


@pytest.mark.parametrize("understands", [True, False])
def test_a_client_that_understands_it_is_asked_to_reconnect(run: Run, understands: bool) -> None:
    async def check() -> None:
        async with Edge() as edge:
            client = await edge.connect(caps_ex=int(understands))
            await edge.publishing(client, 1)
            edge.entrance.drain()
            (session,) = edge.sessions
            assert session.ask_to_reconnect() is understands
            if understands:
                info = await client.heard("NetConnection.Connect.ReconnectRequest", 0)
                assert info["tcUrl"] == "rtmp://other:1936/live"
            await client.answers()

    run(check())
