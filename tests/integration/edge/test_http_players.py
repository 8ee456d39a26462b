"""Players over HTTP and WebSocket on real sockets: what they are told, what they get first, and why they are turned away."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import AUDIO, VIDEO, FakeLinks, FakeScheduler, FakeSubscription, gop, location, run_of, video
from support.loops import Run
from support.members import eventually

from lalmesh.amf import serialize_amf0
from lalmesh.container.fmp4 import Fmp4Demuxer
from lalmesh.container.mpegts import TsDemuxer
from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.listener import ListenerLimits
from services.edge import player, player_http, settling
from services.edge.fanout import FanOutSettings
from services.edge.hls_client import HlsClient, HlsProxySettings
from services.edge.http import HttpListener
from services.edge.metrics import EdgeMetrics
from services.edge.relay import RelaySettings

HOST = "127.0.0.1"
LIMIT_S = 30.0
NAMED = serialize_amf0("onMetaData", {"audiocodecid": 10.0})
SOUND = TrackSet((Track(track_id=3, codec=Codec.SCRIPT, configuration=NAMED), AUDIO), 1)
PICTURE = replace(VIDEO, configuration=bytes.fromhex("01000000001582010101 0000"))  # version 1, profile 0, level 2.1, 8 bits
LOUDER = TrackSet((Track(track_id=2, codec=Codec.AAC, configuration=bytes.fromhex("1190"), sample_rate_hz=48_000, channels=2),), 2)


def sounds(first: int, count: int) -> list[AccessUnit]:
    return [AccessUnit(2, seq * 1920, 0, True, b"\x21" * 20, seq, 1_000_000 + seq * 21_333) for seq in range(first, first + count)]


AT_ONCE = RelaySettings(fanout=FanOutSettings(max_delay_ms=0))
ASKS_FOR_SOCKET = b"""GET /live/a.flv HTTP/1.1\r
Host: edge\r
Connection: Upgrade\r
Upgrade: websocket\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
\r
"""


class Edge:
    """The HTTP port of an edge, whose origin the test drives."""

    def __init__(self, stack: AsyncExitStack, settings: RelaySettings = AT_ONCE) -> None:
        self._stack = stack
        self.registry = CollectorRegistry()
        self.scheduler, self.links = FakeScheduler(), FakeLinks()
        self.scheduler.put(location(1))
        metrics = EdgeMetrics(self.registry)
        context = edge_context(metrics, self.scheduler, self.links, settings, wait_publisher_s=LIMIT_S)
        self.relays, self.sessions = context.relays, context.sessions
        hls = HlsClient(tuple, HlsProxySettings(), asyncio.get_running_loop().time)
        self.listener = HttpListener(context, ListenerLimits(), metrics, CorsPolicy(()), hls)
        stack.push_async_callback(hls.close)
        stack.push_async_callback(self.relays.close)
        stack.push_async_callback(self.listener.close, "over")
        stack.callback(self.listener.stop_accepting)

    async def start(self) -> None:
        await self.listener.start(HOST, 0)
        self.client = await self._stack.enter_async_context(aiohttp.ClientSession())

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.listener.port}{path}"

    async def open(self, path: str, units: list[AccessUnit], tracks: TrackSet) -> tuple[aiohttp.ClientResponse, FakeSubscription]:
        """The first request for the stream, which is answered once its units are there."""
        asking = asyncio.create_task(self.client.get(self.url(path)))
        subscription = await self.links.opened(1)
        subscription.serve(run_of(units, tracks=tracks))
        answer = await asking
        self._stack.callback(answer.close)
        return answer, subscription


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        made = Edge(stack)
        await made.start()
        yield made


@pytest.mark.parametrize(
    ("path", "content_type", "protocol"),
    [
        ("/live/a.flv", "video/x-flv", "http-flv"),
        ("/live/a.ts", "video/mp2t", "http-ts"),
        ("/live/a.mp4", 'audio/mp4; codecs="mp4a.40.2"', "http-fmp4"),
    ],
)
async def test_the_answer_says_what_it_is(edge: Edge, path: str, content_type: str, protocol: str) -> None:
    answer, _ = await edge.open(path, sounds(0, 5), SOUND)
    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.headers["Cache-Control"] == "no-store"
    assert [session.protocol for session in edge.sessions] == [protocol]


async def test_a_transport_stream_of_sound_can_be_read_from_its_first_byte(edge: Edge) -> None:
    answer, subscription = await edge.open("/live/a.ts", sounds(0, 50), SOUND)
    subscription.events.receive(run_of(sounds(50, 10), tracks=SOUND))
    demuxer, units = TsDemuxer(), list[AccessUnit]()
    while len(units) < 58:
        events = demuxer.feed(await answer.content.readany())
        units += [event for event in events if isinstance(event, AccessUnit)]
    assert demuxer.counters.lost_bytes == 0
    assert units[0].payload == sounds(0, 1)[0].payload


async def test_a_new_configuration_ends_fragments_and_who_asks_again_gets_it(edge: Edge) -> None:
    answer, subscription = await edge.open("/live/a.mp4", sounds(0, 5), SOUND)
    subscription.events.receive(run_of(sounds(5, 5), tracks=LOUDER))
    units = [event for event in Fmp4Demuxer().feed(await answer.read()) if isinstance(event, AccessUnit)]
    assert len(units) == 5
    async with edge.client.get(edge.url("/live/a.mp4")) as again:
        assert again.headers["Content-Type"] == 'audio/mp4; codecs="mp4a.40.2"'
        demuxer, later = Fmp4Demuxer(), list[AccessUnit]()
        while len(later) < 5:
            events = list(demuxer.feed(await again.content.readany()))
            later += [event for event in events if isinstance(event, AccessUnit)]
        assert demuxer.tracks.tracks[0].sample_rate_hz == 48_000


async def test_fragments_begin_once_sound_has_joined_the_pictures(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "MAX_WAIT_S", 10 * LIMIT_S)
    asking = asyncio.create_task(edge.client.get(edge.url("/live/a.mp4")))
    subscription = await edge.links.opened(1)
    subscription.serve(run_of(gop(0, 8), tracks=TrackSet((PICTURE,), 1)))
    (relay,) = edge.relays
    await relay.ready
    subscription.events.receive(run_of(gop(0, 9)[8:], tracks=TrackSet((PICTURE, AUDIO), 2)))
    async with await asking as answer:
        assert answer.headers["Content-Type"] == 'video/mp4; codecs="vp09.00.21.08,mp4a.40.2"'
        demuxer, units = Fmp4Demuxer(), list[AccessUnit]()
        while len(units) < 9:
            units += [event for event in demuxer.feed(await answer.content.readany()) if isinstance(event, AccessUnit)]
        assert {track.codec for track in demuxer.tracks.tracks} == {Codec.VP9, Codec.AAC}


async def test_who_leaves_while_tracks_are_waited_for_lets_go_of_the_relay(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "MAX_WAIT_S", 10 * LIMIT_S)
    edge.relays.settings = replace(edge.relays.settings, linger_s=0)
    asking = asyncio.create_task(edge.client.get(edge.url("/live/a.mp4")))
    (await edge.links.opened(1)).serve(run_of(gop(0, 8), tracks=TrackSet((PICTURE,), 1)))
    (relay,) = edge.relays
    await relay.ready
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    await asyncio.wait([relay._task])
    assert (len(edge.relays), relay.fanouts) == (0, [])


async def test_over_websocket_a_new_configuration_is_told_in_order(edge: Edge) -> None:
    first, subscription = await edge.open("/live/a.flv", sounds(0, 2), SOUND)
    async with edge.client.ws_connect(edge.url("/live/a.mp4")) as ws:
        messages = [await ws.receive() for _ in range(4)]
        subscription.events.receive(run_of(sounds(2, 1), tracks=LOUDER))
        messages += [await ws.receive() for _ in range(3)]
    text, binary = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY
    assert [message.type for message in messages] == [text, binary, binary, binary, text, binary, binary]
    assert json.loads(messages[0].data) == {"mime": 'audio/mp4; codecs="mp4a.40.2"'}
    assert [message.data[4:8] for message in messages if message.type is binary] == [b"ftyp", b"moof", b"moof", b"ftyp", b"moof"]
    assert first.status == 200


def test_who_says_no_more_over_websocket_and_takes_nothing_either_is_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player, "CLOSE_FLUSH_S", 0.2)
    monkeypatch.setattr(player_http, "GOODBYE_S", 0.1)
    slow = FanOutSettings(max_delay_ms=0, slow_player_s=0.1)

    async def check() -> None:
        async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
            edge = Edge(stack, RelaySettings(fanout=slow))
            await edge.start()
            tracks = TrackSet((VIDEO,), 1)
            answer, subscription = await edge.open("/live/a.flv", gop(0, 3), tracks)
            answer.close()
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect((HOST, edge.listener.port))
            sock.sendall(ASKS_FOR_SOCKET)
            await eventually(lambda: [session.protocol for session in edge.sessions] == ["ws-flv"])
            for seq in range(3, 103):
                subscription.events.receive(run_of([video(seq, payload=bytes(1 << 16))], tracks=tracks))
            sock.shutdown(socket.SHUT_WR)
            await asyncio.sleep(2 * slow.slow_player_s)
            edge.relays.sweep()
            assert (len(edge.sessions), len(edge.listener.admission)) == (0, 1)
            await eventually(lambda: not len(edge.listener.admission))

    run(check())


@pytest.mark.parametrize(("path", "is_socket"), [("/live/a.ts", False), ("/live/a.ts", True)])
async def test_a_stream_of_which_nothing_can_be_carried_is_refused(edge: Edge, path: str, is_socket: bool) -> None:
    pictures = TrackSet((Track(track_id=1, codec=Codec.VP9, configuration=b"vpcC"), Track(track_id=3, codec=Codec.SCRIPT)), 1)
    first, _ = await edge.open("/live/a.flv", gop(0, 3), pictures)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"} if is_socket else {}
    async with edge.client.get(edge.url(path), headers=headers) as refused:
        assert (refused.status, await refused.text()) == (406, "live/a: ts cannot carry any of its tracks (vp9)\n")
    protocol = "ws-ts" if is_socket else "http-ts"
    assert edge.registry.get_sample_value("edge_refused_total", {"protocol": protocol, "reason": "codec"}) == 1.0
    assert (first.status, len(edge.sessions)) == (200, 1)


async def test_an_ending_that_is_none_of_ours_is_not_found(edge: Edge) -> None:
    async with edge.client.get(edge.url("/live/a.mkv")) as refused:
        assert refused.status == 404


async def test_who_is_refused_leaves_the_relay_to_end(edge: Edge) -> None:
    pictures = TrackSet((Track(track_id=1, codec=Codec.VP9, configuration=b"vpcC"),), 1)
    asking = asyncio.create_task(edge.client.get(edge.url("/live/a.ts")))
    (await edge.links.opened(1)).serve(run_of(gop(0, 3), tracks=pictures))
    async with await asking as refused:
        assert refused.status == 406
    (relay,) = edge.relays
    assert (relay.players, relay.fanouts) == (0, [])
    assert relay._linger is not None


@pytest.mark.parametrize(
    ("path", "content_type"), [("/live/a.flv", "video/x-flv"), ("/live/a.mp4", 'audio/mp4; codecs="mp4a.40.2"')]
)
async def test_a_head_says_what_a_player_would_get_and_plays_nothing(edge: Edge, path: str, content_type: str) -> None:
    first, _ = await edge.open("/live/a.flv", sounds(0, 2), SOUND)
    async with edge.client.head(edge.url(path)) as answer:
        assert (answer.status, answer.headers["Content-Type"], answer.headers["Cache-Control"]) == (200, content_type, "no-store")
        assert "Content-Length" not in answer.headers
    assert (first.status, len(edge.sessions)) == (200, 1)
