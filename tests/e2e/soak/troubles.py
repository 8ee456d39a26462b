"""Everybody else: who is slow, wrong, sent away or killed, what is fetched and recorded, and receivers that fail at times."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import cycle, product
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from e2e.soak.comers import first_unit, judge, player_of
from e2e.soak.encoders import encoding
from e2e.soak.run import Run
from e2e.soak.world import RECORDED, Site
from support import wire
from support.clip import Clip, Got, digest
from support.clip import judge as judge_units
from support.cluster import Node
from support.ffmpeg import Publisher
from support.hls_poller import HlsPoller, Replicas, polling
from support.operator_api import block, call, sessions
from support.ports import LOOPBACK
from support.recorder import recording

from lalmesh.container.flv import BodyDemuxer
from lalmesh.container.fmp4 import Fmp4Demuxer
from lalmesh.errors import LalmeshError
from lalmesh.media import AccessUnit, Kind

SLOW_READ_BYTES, SLOW_EVERY_S = 2048, 0.25  #: of a slow player: 64 kbit/s
SLOW_BUFFER_BYTES = 4096  #: of its socket
SLOW_S = 20.0  #: for the server to let it go
HALF_S = 5.0  #: for the server to let go who says half a thing and waits
MISSING_S = 15.0  #: for it to say that nobody publishes a stream: it waits for a publisher first
KICKED_S = 10.0  #: for who is kicked to be out
BLOCKED_S = 3  #: how long an address is on the blacklist
BLOCK_AGAIN_S = 3.0  #: after which it is let in at the latest
STRANGER = "127.0.0.9"  #: an address of this machine that nobody else uses
RELAYED_S = 5.0  #: how long a relay is watched
RECORD_S = 8.0
RECORD_BEGIN = 100  #: the latest first unit of a recording: it begins with a key frame, once a node is told to make it
STORED_S = 15.0  #: for all of it to be stored once the stream is over
FAILED = "times that the receiver of webhooks failed"
PARTS_S = 8.0
REPUBLISHED_S = 1.0  #: until an encoder that was killed comes back
REVISIONS_KEPT = 100  #: of etcd, where it is compacted
BACK_S = 30.0  #: for an origin to be ready again

_RTMP_START = b"\x03" + bytes(8) + os.urandom(1528)  #: C0 and C1


async def slow_players(run: Run) -> None:
    """Players that take a tenth of their stream: they are skipped, and closed in the end, and nobody else notices."""

    async def one() -> None:
        site = run.chance.choice(run.world.sites)
        stream, film, there = run.new("slow"), run.films.main, run.chance.choice(site.edges)
        other = player_of(there, "flv", stream)
        async with encoding(run.chance.choice(site.edges).rtmp_url(stream), film.tracks) as encoder:
            showing = asyncio.create_task(encoder.show(film, 2 * SLOW_S))
            try:
                async with recording(other):
                    if await first_unit(run, other) and (wrong := await _reads_slowly(there, f"/{stream}.flv")):
                        run.fault(f"{stream}: a player that takes a tenth of it: {wrong}")
                    left_s = time.monotonic()
                judge(run, other, [film], left_s=left_s)
            finally:
                showing.cancel()
                await asyncio.gather(showing, return_exceptions=True)

    await run.every(run.pace.slow_s, "slow players", one, most=3)


async def _reads_slowly(node: Node, target: str) -> str:
    """What is wrong, if the server does not let it in and end it then, within `SLOW_S`."""
    head, loop = b"", asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        sock.setblocking(False)
        await loop.sock_connect(sock, (LOOPBACK, node.ports["http"]))
        await loop.sock_sendall(sock, f"GET {target} HTTP/1.1\r\nHost: edge\r\n\r\n".encode())
        try:
            async with asyncio.timeout(SLOW_S):
                while data := await loop.sock_recv(sock, SLOW_READ_BYTES):
                    head = head or data
                    await asyncio.sleep(SLOW_EVERY_S)
        except TimeoutError:
            return f"it is not closed in {SLOW_S} s"
        except ConnectionError:
            pass
    return "" if head.startswith(b"HTTP/1.1 200 ") else f"it is refused: {head[:100]!r}"


# Who is wrong


async def wrong_clients(run: Run) -> None:
    """Nonsense, halves of what is right, and codecs that are none, at every port."""
    kinds: list[tuple[str, Callable[[Run, Node], Awaitable[None]]]] = [
        ("nonsense", _nonsense), ("half a request", _half), ("wrong media", _wrong_media), ("datagrams of nobody", _stray),
        ("streams that nobody publishes", _missing), ("gone at once", _gone),
    ]  # fmt: skip
    turns = cycle(kinds)
    run.expected.update(f"wrong: {kind}" for kind, _ in kinds)

    async def one() -> None:
        kind, work = next(turns)
        await work(run, run.chance.choice(run.chance.choice(run.world.sites).edges))
        run.done[f"wrong: {kind}"] += 1

    await run.every(run.pace.wrong_s, "wrong clients", one, most=12)


def _any_port(run: Run, node: Node) -> int:
    return node.ports[run.chance.choice(["rtmp", "http", "rtsp", "ws_rtsp"])]


async def _nonsense(run: Run, node: Node) -> None:
    """Bytes of no meaning, to any port; the connection is closed."""
    async with wire.connected(_any_port(run, node)) as peer:
        await peer.send(run.chance.randbytes(run.chance.randint(1, 20_000)))
        await _let_go(peer)


async def _let_go(peer: wire.Wire) -> None:
    """Wait until the server closes.

    Raises:
        TimeoutError: it says nothing for `HALF_S`, and does not.
    """
    while await peer.receive(HALF_S):
        pass


async def _half(run: Run, node: Node) -> None:
    """The beginning of something right, and then nothing: the server closes, as its deadline for a handshake says."""
    port, begin = run.chance.choice(
        [
            ("rtmp", _RTMP_START[: run.chance.randint(1, len(_RTMP_START))]),
            ("http", b"GET /program/1.flv HTTP/1.1\r\nHost: e"),
            ("rtsp", b"DESCRIBE rtsp://host/program/1 RTSP/1.0\r\nCSeq: "),
        ]
    )
    async with wire.connected(node.ports[port]) as peer:
        await peer.send(begin)
        await _let_go(peer)


async def _gone(run: Run, node: Node) -> None:
    """Connects, and breaks the connection."""
    for _ in range(10):
        async with wire.connected(_any_port(run, node)):
            pass


async def _wrong_media(run: Run, node: Node) -> None:
    """A publisher whose codecs nobody knows, and whose frames are nonsense."""
    stream = run.new("wrong")
    async with wire.rtmp(node.rtmp_url(stream), "publish") as peer:
        await peer.started()
        for number in range(50):
            if peer.wire.writer.transport.is_closing():  # it was told to go
                return
            kind = run.chance.choice([8, 9, 18])
            body = bytes([run.chance.choice([0x17, 0x27, 0x1F, 0x93, 0xAF, 0x2F, 0x9C, 0])]) + run.chance.randbytes(300)
            peer.core.send_media(kind, number * 40, body)
            await peer.flush()
            await asyncio.sleep(0.02)


async def _missing(run: Run, node: Node) -> None:
    """Plays what nobody publishes, by HLS too."""
    stream = run.new("missing")
    for url in (node.flv_url(stream), node.http_url(f"hls/{stream}.m3u8"), node.http_url(f"hls/{stream}/live.m3u8")):
        answer = await wire.head_of(node.ports["http"], _target(url), limit_s=MISSING_S)
        if answer.status == 302:  # a player of HLS gets its session first
            answer = await wire.head_of(node.ports["http"], _target(urljoin(url, answer.headers["location"])), limit_s=MISSING_S)
        if answer.status != 404:
            run.fault(f"{url}, which nobody publishes: {answer.status}")


def _target(url: str) -> str:
    return urlsplit(url)._replace(scheme="", netloc="").geturl()


async def _stray(run: Run, node: Node) -> None:
    """Datagrams to ports of RTP that are not theirs."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(100):
            with suppress(OSError):
                sock.sendto(run.chance.randbytes(200), (LOOPBACK, run.chance.randint(20_000, 20_060)))
        await asyncio.sleep(0)


# Who is sent away


async def kicks(run: Run) -> None:
    """A publisher and its player are kicked."""

    async def one() -> None:
        site = run.chance.choice(run.world.sites)
        stream, film = run.new("kicked"), run.films.main
        player = player_of(run.chance.choice(site.edges), run.chance.choice(["rtmp", "flv", "ts", "rtsp"]), stream)
        kicked = False
        try:
            async with encoding(run.chance.choice(site.edges).rtmp_url(stream), film.tracks) as encoder, recording(player):
                showing = asyncio.create_task(encoder.show(film, 3 * KICKED_S))
                try:
                    if await first_unit(run, player):
                        kicked = True
                        await _kick_all(site, stream)
                        await asyncio.wait([showing], timeout=KICKED_S)
                        if not showing.done():
                            run.fault(f"{stream}: its publisher was kicked, and goes on after {KICKED_S} s")
                finally:
                    showing.cancel()
                    await asyncio.gather(showing, return_exceptions=True)
        except LalmeshError:
            if not kicked:
                raise

    await run.every(run.pace.kick_s, "kicks", one, most=2)


async def _kick_all(site: Site, stream: str) -> None:
    """Until nobody is left: sessions are told of once a second."""
    end_s = asyncio.get_running_loop().time() + KICKED_S / 2
    url = f"{site.api.api_url}/v1/sessions"
    while asyncio.get_running_loop().time() < end_s:
        found = await asyncio.to_thread(sessions, site.api.api_url, stream=stream)
        for session in found:
            await asyncio.to_thread(call, "DELETE", f"{url}/{session['id']}?reason=soak")
        if any(session["role"] == "publisher" for session in found):
            return
        await asyncio.sleep(0.5)


async def blacklist(run: Run) -> None:
    """An address is blocked for a while, and let in again by itself."""

    async def status(node: Node) -> int:
        async with wire.connected(node.ports["http"], source=STRANGER) as peer:
            return (await wire.request(peer, "/hls/blocked/nobody/index.m3u8")).status

    async def one() -> None:
        site = run.chance.choice(run.world.sites)
        node = run.chance.choice(site.edges)
        await asyncio.to_thread(block, site.api.api_url, STRANGER, BLOCKED_S)
        loop = asyncio.get_running_loop()
        blocked_s = loop.time()
        while await status(node) != 403:
            if loop.time() > blocked_s + BLOCKED_S - 1:
                run.fault(f"{STRANGER} is on the blacklist, and {node.name} lets it in")
                break
            await asyncio.sleep(0.2)
        await asyncio.sleep(max(0.0, blocked_s + BLOCKED_S + BLOCK_AGAIN_S - loop.time()))
        if await status(node) == 403:
            run.fault(f"{STRANGER} was on the blacklist for {BLOCKED_S} s, and {node.name} refuses it still")

    await run.every(run.pace.block_s, "blacklist entries", one, most=1)


# What is fetched, sent and recorded


async def relays(run: Run) -> None:
    """A stream of one side is fetched by, or sent to, the other, watched there, and let go."""
    ways = cycle(product(("pull", "push"), (0, 1)))
    run.expected.update({"relays: pull", "relays: push"})

    async def one() -> None:
        kind, first = next(ways)
        is_pull, film = kind == "pull", run.films.main
        here, there = run.world.sites[first], run.world.sites[1 - first]
        stream = run.new("relayed")
        source, target = run.chance.choice(here.edges).rtmp_url(stream), run.chance.choice(there.edges).rtmp_url(stream)
        api = (there if is_pull else here).api.api_url
        asked = {"kind": kind, "stream": stream, "urls": [source if is_pull else target]}
        async with encoding(source, film.tracks) as encoder:
            showing = asyncio.create_task(encoder.show(film, 60.0))
            try:
                made = await asyncio.to_thread(call, "POST", f"{api}/v1/relays", asked)
                if made[0] != 201:
                    run.fault(f"relay of {stream}: {made}")
                    return
                player = player_of(run.chance.choice(there.edges), run.chance.choice(["rtmp", "flv", "ts"]), stream)
                async with recording(player):
                    if await first_unit(run, player):
                        await asyncio.sleep(RELAYED_S)
                    left_s = time.monotonic()
                judge(run, player, [film], left_s=left_s)
                run.done[f"relays: {kind}"] += 1
                ended = await asyncio.to_thread(call, "DELETE", f"{api}/v1/relays/{made[1]['id']}")
                if ended[0] not in (200, 202, 204):
                    run.fault(f"end of the relay of {stream}: {ended}")
            finally:
                showing.cancel()
                await asyncio.gather(showing, return_exceptions=True)

    await run.every(run.pace.relay_s, "relays", one, most=2)


async def recordings(run: Run) -> None:
    """Streams that are recorded as FLV and HLS; all of them is in the files of FLV."""

    async def one() -> None:
        site = run.chance.choice(run.world.sites)
        stream, film = run.new(RECORDED), run.films.main
        async with encoding(run.chance.choice(site.edges).rtmp_url(stream), film.tracks) as encoder:
            await encoder.show(film, RECORD_S)
        end_s = time.monotonic() + STORED_S
        while wrong := await asyncio.to_thread(_unrecorded, site.media / "record" / stream, film.clip, encoder.last):
            if time.monotonic() > end_s:
                run.fault(f"recording of {stream}: {wrong}")
                break
            await asyncio.sleep(1.0)

    await run.every(run.pace.record_s, "recordings", one, most=2)


def _unrecorded(folder: Path, clip: Clip, last: Mapping[Kind, int]) -> str:
    """What the files of a recording lack of what was sent up to the `last` units; empty: nothing."""
    numbers: dict[Kind, list[int]] = {kind: [] for kind in last}
    for file in sorted(folder.glob("*.flv")):
        demuxer = BodyDemuxer()
        for tag in wire.tags_of_file(file):
            for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body):
                if isinstance(event, AccessUnit) and (track := demuxer.tracks.get(event.track_id)) is not None:
                    numbers[track.kind].append(clip.numbers.get(digest(event, track.codec), -1))
    for kind, got in numbers.items():
        if not got or got[0] > RECORD_BEGIN:
            return f"its first {kind.value} unit is {got[:1]}"
        if got != list(range(got[0], last[kind] + 1)):
            return f"{len(got)} {kind.value} units from {got[0]} to {got[-1]}, the last one was {last[kind]}"
    return ""


# Who is killed, and who fails


async def encoder_kills(run: Run) -> None:
    """ffmpeg publishes and is killed, comes back under the same name, and its player goes on."""

    async def one() -> None:
        site = run.chance.choice(run.world.sites)
        stream, film = run.new("killed"), run.films.main
        player = player_of(run.chance.choice(site.edges), run.chance.choice(["rtmp", "flv", "ws"]), stream)
        log = run.world.folder / "encoders.log"

        def publish() -> Publisher:
            return Publisher(film.clip.file, run.chance.choice(site.edges).rtmp_url(stream), log=log, limit_s=60)

        publisher = await asyncio.to_thread(publish)
        try:
            async with recording(player):
                if not await first_unit(run, player):
                    return
                await asyncio.sleep(2.0)
                await asyncio.to_thread(publisher.kill)
                await asyncio.sleep(REPUBLISHED_S)
                publisher = await asyncio.to_thread(publish)
                await first_unit(run, player)
                await asyncio.sleep(2.0)
            judge(run, player, [film], joints=1)
        finally:
            await asyncio.to_thread(publisher.kill)

    await run.every(run.pace.kill_encoder_s, "encoders killed", one, most=1)


async def origin_kills(run: Run) -> None:
    """SIGKILL of an origin; it is started again."""

    async def one() -> None:
        victim = run.world.victim
        await asyncio.to_thread(victim.kill)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(victim.restart)
        await asyncio.to_thread(victim.wait_ready, BACK_S)

    await run.every(run.pace.kill_origin_s, "origins killed", one, most=1)


async def compactions(run: Run) -> None:
    """etcd forgets what was, as it is set up to do wherever it is to last."""

    def forget() -> None:
        etcd = run.world.cluster.etcd
        revision = etcd.revision() - REVISIONS_KEPT
        if revision > run.compacted:  # etcd refuses to forget what it has forgotten
            etcd.compact(revision)
            run.compacted = revision

    await run.every(run.pace.compact_s, "etcd compacted", lambda: asyncio.to_thread(forget), most=1)


async def failing_hooks(run: Run) -> None:
    """The receiver of webhooks fails at times; what it took is forgotten here."""
    sink = run.world.sink
    run.expected.update({FAILED, "webhooks"})
    try:
        while await run.pause(run.pace.hooks_s):
            sink.fails = "/"
            await run.pause(run.pace.hooks_fail_s)
            sink.fails = ""
            run.done[FAILED] += 1
            run.done["webhooks"] += len(sink.hooks)
            sink.forget()
    finally:
        sink.fails = ""


async def low_latency(run: Run) -> None:
    """Players of low-latency HLS, who wait for each part."""

    async def one() -> None:
        site = run.chance.choice(run.world.sites)
        stream, film = run.new("parts"), run.films.main
        at = Replicas([run.chance.choice(site.edges).http_url("")])
        source = run.chance.choice(site.edges).rtmp_url(stream)
        async with encoding(source, film.tracks) as encoder, polling(at, f"/hls/{stream}/live.m3u8") as (player,):
            await encoder.show(film, PARTS_S)
        name = f"{stream} by low-latency HLS"
        found = judge_units(_units(player), [film.clip])
        run.units += found.units
        if not player.arrived:
            run.fault(f"{name}: no segment in {PARTS_S} s: {player.refusals[-3:]}")
        for fault in (*found.faults, *player.violations(), *player.missed):
            run.fault(f"{name}: {fault}")

    await run.every(run.pace.parts_s, "players of low-latency HLS", one, most=2)


def _units(player: HlsPoller) -> list[Got]:
    """What is in the segments that have come, up to the first that has not, by its times of presentation (see `Mp4Recorder`)."""
    demuxer, got, written = Fmp4Demuxer(), list[Got](), ""
    for number in range(min(player.arrived, default=0), max(player.arrived, default=-1) + 1):
        if (arrival := player.arrived.get(number)) is None:
            break
        data, head = arrival.data, player.listed[number].map_uri or ""
        if head != written:
            data, written = player.maps[head] + data, head
        for event in demuxer.feed(data):
            if isinstance(event, AccessUnit) and (track := demuxer.tracks.get(event.track_id)) is not None:
                name = digest(event, track.codec)
                got.append(Got(arrival.at_s, track.kind, name, event.pts, event.random_access))
    return got
