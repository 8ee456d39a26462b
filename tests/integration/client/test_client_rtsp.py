"""RTSP publisher and player against a server on our own core, against a camera, and against ffmpeg as a server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from support import ffmpeg
from support.camera import Camera
from support.camera_ways import CameraSettings
from support.ffmpeg import FFMPEG, bounded, quiet
from support.media import media
from support.ports import LOOPBACK, free_ports
from support.process import Child
from support.udp_relay import UdpRelay, Weather, udp_pair

from lalmesh.client import (
    ClientOptions,
    ConnectionFailed,
    Counts,
    FlvWriter,
    Refused,
    RefusedNotAuthorized,
    RefusedNotFound,
    RtspTransport,
    TimedOut,
    open_player,
    probe,
    pull,
    push,
)
from lalmesh.client._rtsp_receiving import RtspReceiving
from lalmesh.client._rtsp_sending import RtspSending
from lalmesh.container.flv import AUDIO_TRACK_ID, TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, VIDEO_TRACK_ID, BodyDemuxer, Tag, TagReader
from lalmesh.media import AccessUnit, Kind, TrackSet
from lalmesh.protocol.http_auth import ServerAuth, Verdict, parse_credentials
from lalmesh.protocol.rtp import ReceiverSettings, is_rtcp
from lalmesh.protocol.rtsp import (
    AnnounceRequested,
    Described,
    DescribeRequested,
    PacketReceived,
    PlayRequested,
    RecordRequested,
    RtspServer,
    RtspUrl,
    ServerEvent,
    SetupRequested,
    TornDown,
    Transport,
    serialize_frame,
)
from lalmesh.protocol.sdp import parse_session

ROOT = Path(__file__).parents[3]
CAPTURES = ROOT / "tests" / "captures" / "flv"
H264 = CAPTURES / "h264-aac-bframes.flv"
HEVC = CAPTURES / "hevc-aac-enhanced.flv"
QUICK = ClientOptions(
    connect_timeout_s=3, handshake_timeout_s=1, first_media_timeout_s=1, stall_timeout_s=1, udp_silence_s=0.3, max_redirects=1
)
PATIENT = ClientOptions(stall_timeout_s=5)
TCP = ClientOptions(stall_timeout_s=5, rtsp_transport="tcp")
UDP = ClientOptions(stall_timeout_s=5, rtsp_transport="udp")


def units_of(tags: list[Tag]) -> tuple[TrackSet, list[AccessUnit]]:
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    for tag in tags:
        units += [event for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(event, AccessUnit)]
    tracks = {track.track_id for track in demuxer.tracks.tracks if track.kind is not Kind.DATA}
    return demuxer.tracks, [unit for unit in units if unit.track_id in tracks]


def tags_of(path: Path) -> list[Tag]:
    return list(TagReader().feed(path.read_bytes()))


class Server:
    """A whole RTSP server for one stream: keeps what is published to it, plays what is in a file, refuses as it is told."""

    def __init__(
        self, to_play: list[Tag] | None = None, *, refuse: int = 0, redirect: str = "", login: tuple[str, str] | None = None
    ) -> None:
        self.to_play = to_play or []
        self.refuse = refuse
        self.redirect = redirect
        self.login = login
        self.auth = ServerAuth("test", b"0" * 16)
        self.description = b""
        self.packets: list[tuple[int, bytes]] = []
        self.reports = 0
        self.requests: list[str] = []
        self.began = asyncio.Event()
        self.over = asyncio.Event()
        self.port = 0
        self.ports: list[tuple[socket.socket, socket.socket]] = []
        self.writers: list[asyncio.StreamWriter] = []

    def url(self, login: str = "", scheme: str = "rtsp") -> str:
        return f"{scheme}://{login}localhost:{self.port}/live/test"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        core, loop = RtspServer(os.urandom), asyncio.get_running_loop()
        self.writers.append(writer)
        try:
            while data := await reader.read(65536):
                played: list[bytes] = []
                for event in core.feed(data, loop.time()):
                    played += self.handle(core, event)
                writer.write(core.data_to_send() + b"".join(played))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def handle(self, core: RtspServer, event: ServerEvent) -> list[bytes]:
        match event:
            case DescribeRequested() | AnnounceRequested():
                self.begin(core, event)
            case SetupRequested(transports=(first, *_), track=track):
                assert track is not None
                core.accept_setup(first if first.is_tcp else self.open_ports(track, first))
            case RecordRequested():
                core.accept_record()
            case PlayRequested():
                core.accept_play()
                return self.play(core)
            case PacketReceived(track, is_rtcp_packet, payload):
                self.take(track, payload, is_rtcp_packet)
            case TornDown():
                self.over.set()
        return []

    def begin(self, core: RtspServer, event: DescribeRequested | AnnounceRequested) -> None:
        self.requests.append(event.request.method)
        if self.login is not None and not self.knows(event):
            challenges = self.auth.challenges(time.time())
            core.reject(401, *(("WWW-Authenticate", challenge) for challenge in challenges))
        elif self.redirect:
            core.reject(302, ("Location", self.redirect))
        elif self.refuse:
            core.reject(self.refuse)
        elif isinstance(event, AnnounceRequested):
            self.description = event.description
            core.accept_announce([section.control for section in parse_session(event.description).media])
        else:
            sending = RtspSending(units_of(self.to_play)[0], os.urandom)
            core.accept_describe(sending.description, [section.control for section in parse_session(sending.description).media])

    def knows(self, event: DescribeRequested | AnnounceRequested) -> bool:
        header = event.request.headers.get("authorization")
        if not header or self.login is None:
            return False
        shown, (user, password) = parse_credentials(header), self.login
        known = password if shown.user == user else None
        verdict = self.auth.check(shown, known, method=event.request.method, uri=event.request.uri, now_s=time.time())
        return verdict is Verdict.ACCEPTED

    def open_ports(self, track: int, asked: Transport) -> Transport:
        assert asked.client_port is not None
        pair = udp_pair()
        self.ports.append(pair)
        for sock, is_rtcp_port in zip(pair, (False, True), strict=True):
            asyncio.get_running_loop().add_reader(sock, self.read, sock, track, is_rtcp_port)
        port = pair[0].getsockname()[1]
        return Transport(client_port=asked.client_port, server_port=(port, port + 1), mode=asked.mode)

    def read(self, sock: socket.socket, track: int, is_rtcp_port: bool) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.take(track, sock.recv(65536), is_rtcp_port)

    def take(self, track: int, packet: bytes, is_rtcp_packet: bool) -> None:
        assert is_rtcp(packet) == is_rtcp_packet
        if is_rtcp_packet:
            self.reports += 1
        else:
            self.packets.append((track, packet))
            self.began.set()

    def play(self, core: RtspServer) -> list[bytes]:
        """All at once: on the connection what comes back, by UDP as datagrams."""
        sending, frames = RtspSending(units_of(self.to_play)[0], os.urandom), list[bytes]()
        for tag in self.to_play:
            for given in sending.package(tag.type_id, tag.timestamp_ms, tag.body, 0):
                transport = core.transports[given.track]
                for packet in given.packets:
                    if transport.interleaved is not None:
                        frames.append(serialize_frame(transport.interleaved[given.is_rtcp], packet))
                    elif transport.client_port is not None:
                        sock = self.ports[given.track][given.is_rtcp]
                        sock.sendto(packet, (LOOPBACK, transport.client_port[given.is_rtcp]))
        return frames

    def published(self) -> list[Tag]:
        """What was published, as tags."""
        receiving = RtspReceiving(ReceiverSettings(), os.urandom)
        url = RtspUrl.parse("rtsp://host/")
        for track in range(len(receiving.wanted(Described(description=self.description, base_url=str(url)), url).urls)):
            receiving.set_up(track, is_udp=True)
        for track, packet in self.packets:
            receiving.receive(track, packet, 0, is_rtcp=False)
        receiving.flush(0)
        return receiving.tags.take()

    def close(self) -> None:
        for pair in self.ports:
            for sock in pair:
                asyncio.get_running_loop().remove_reader(sock)
                sock.close()


@asynccontextmanager
async def listening(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    listener = await asyncio.start_server(server.serve, LOOPBACK, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        async with listener:
            yield server
    finally:
        server.close()


def assert_same(sent: list[Tag], got: list[Tag]) -> None:
    """The same units, with the same presentation times but for a constant, and decoding times that rise."""
    (sent_tracks, before), (got_tracks, after) = units_of(sent), units_of(got)
    for kind in (Kind.VIDEO, Kind.AUDIO):
        ours, theirs = sent_tracks.first(kind), got_tracks.first(kind)
        if ours is None:
            continue
        assert theirs is not None
        assert theirs.codec is ours.codec
        mine, its = [[one for one in units if one.track_id == track.track_id] for units, track in ((before, ours), (after, theirs))]
        assert len(mine) == len(its)
        shift = its[0].pts - mine[0].pts
        assert all(abs(one.pts + shift - two.pts) <= 90 for one, two in zip(mine, its, strict=True))
        assert all(one.dts < two.dts for one, two in pairwise(its))


async def pulled(url: str, path: Path, options: ClientOptions, *, duration_s: float | None = None) -> tuple[list[Tag], str]:
    with path.open("wb", buffering=0) as file:
        writer = FlvWriter(file, seekable=True)
        try:
            reason = await pull(url, writer, Counts(), options=options, duration_s=duration_s)
        finally:
            writer.close()
    return tags_of(path), reason


# publishing


@pytest.mark.parametrize("options", [TCP, UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("file", [H264, HEVC, CAPTURES / "mp3.flv"], ids=lambda file: file.stem)
async def test_a_file_arrives_with_its_times(file: Path, options: ClientOptions) -> None:
    async with listening(Server()) as server:
        counts = Counts()
        await push(file, server.url(), counts, options=options, fast=True)
        await asyncio.wait_for(server.over.wait(), 3)
        await asyncio.sleep(0.05)  # datagrams that are on their way
        assert_same(tags_of(file), server.published())
    assert counts.tags == len(tags_of(file))
    assert server.reports > 0  # at least the goodbye


async def test_a_login_goes_with_a_publisher() -> None:
    async with listening(Server(login=("me", "pass:w@rd"))) as server:
        await push(H264, server.url("me:pass:w@rd@"), Counts(), fast=True)
        with pytest.raises(RefusedNotAuthorized, match="RTSP 401"):
            await push(H264, server.url("me:wrong@"), Counts(), fast=True)
        with pytest.raises(RefusedNotAuthorized):
            await push(H264, server.url(), Counts(), fast=True)
    assert server.requests == ["ANNOUNCE"] * 5


async def test_a_refused_publisher_learns_why() -> None:
    async with listening(Server(refuse=403)) as server:
        with pytest.raises(RefusedNotAuthorized, match="RTSP 403"):
            await push(H264, server.url(), Counts(), fast=True)


async def test_a_publisher_goes_where_it_is_sent_but_not_for_ever() -> None:
    async with listening(Server()) as server, listening(Server(redirect=server.url())) as other:
        await push(H264, other.url(), Counts(), fast=True, options=QUICK)
        await asyncio.wait_for(server.over.wait(), 3)
        other.redirect = other.url()
        with pytest.raises(ConnectionFailed, match="redirects"):
            await push(H264, other.url(), Counts(), fast=True, options=QUICK)


async def test_a_server_that_goes_away_ends_a_publisher() -> None:
    async with listening(Server()) as server:
        pushing = asyncio.ensure_future(push(H264, server.url(), Counts(), loops=0))
        await asyncio.wait_for(server.began.wait(), 3)
        server.writers[0].transport.abort()
        with pytest.raises(ConnectionFailed):
            await asyncio.wait_for(pushing, 3)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_ffmpeg_as_server_decodes_what_is_published(transport: RtspTransport, tmp_path: Path) -> None:
    (port,), file = free_ports(1), media("h264_aac")
    url, hashes = f"rtsp://{LOOPBACK}:{port}/live/test", ("-map", "0:v", "-f", "framemd5")
    command = [*quiet(FFMPEG), "-rtsp_flags", "listen", "-listen_timeout", "10", "-i", url, *hashes, str(tmp_path / "got")]
    with Child(bounded(30, command), log=tmp_path / "ffmpeg.log") as child:
        options = ClientOptions(rtsp_transport=transport)
        for _ in range(50):
            try:
                await push(file, url, Counts(), options=options)
                break
            except ConnectionFailed:  # it does not listen yet
                await asyncio.sleep(0.1)
        assert await asyncio.to_thread(child.wait, 15) == 0, child.describe()
    await asyncio.to_thread(ffmpeg.run, "-i", file, *hashes, tmp_path / "sent")
    sent, got = (rows_of(tmp_path / name) for name in ("sent", "got"))
    assert len(got) > 100
    assert got == sent[: len(got)]


def rows_of(path: Path) -> list[str]:
    return [line.rpartition(",")[2].strip() for line in path.read_text().splitlines() if not line.startswith("#")]


# playing


@pytest.mark.parametrize("transport", ["auto", "tcp", "udp"])
async def test_a_stream_is_pulled_whole(transport: RtspTransport, tmp_path: Path) -> None:
    options = ClientOptions(rtsp_transport=transport, stall_timeout_s=1)
    async with listening(Server(tags_of(H264))) as server:
        with contextlib.suppress(TimedOut):  # by its end: this server says nothing of it
            await pulled(server.url(), tmp_path / "got.flv", options)
    got = tags_of(tmp_path / "got.flv")
    assert got[0].type_id == TAG_SCRIPT
    # Without a word about the end, the last pictures wait for others that may be shown before them.
    sent_units, got_units = units_of(tags_of(H264))[1], units_of(got)[1]
    assert len(sent_units) - 4 <= len(got_units) <= len(sent_units)


async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass
    writer.close()


async def test_missing_streams_and_silent_servers_end_a_player() -> None:
    async with listening(Server(refuse=404)) as server:
        with pytest.raises(RefusedNotFound, match="RTSP 404"):
            async with open_player(server.url(), QUICK):
                pass
    silent = await asyncio.start_server(keep_silent, LOOPBACK, 0)
    async with silent:
        with pytest.raises(TimedOut, match="consent"):
            async with open_player(f"rtsp://{LOOPBACK}:{silent.sockets[0].getsockname()[1]}/a", QUICK):
                pass
    async with listening(Server(tags_of(H264)[:2])) as server:  # lets in, and plays nothing
        with pytest.raises(TimedOut, match="first message"):
            async with open_player(server.url(), QUICK) as player:
                await anext(player)


def test_streams_go_over_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    subprocess.run([*make, *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=30)

    async def body() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        options = ClientOptions(ca_file=certificate)
        async with listening(Server(), context) as server:
            await push(H264, server.url(scheme="rtsps"), Counts(), options=options, fast=True)
            await asyncio.wait_for(server.over.wait(), 3)
            assert_same(tags_of(H264), server.published())
            with pytest.raises(ConnectionFailed, match="certificate"):
                await push(H264, server.url(scheme="rtsps"), Counts(), fast=True)
        async with (
            listening(Server(tags_of(H264)), context) as server,
            open_player(server.url(scheme="rtsps"), options) as player,
        ):
            assert player.protocol == "rtsps"
            assert (await anext(player)).type_id == TAG_SCRIPT

    asyncio.run(body())


# cameras

DIALECTS = {
    "plain": CameraSettings(loss=0, reorder=0, speed=8, loops=1),
    "absolute controls": CameraSettings(loss=0, reorder=0, speed=8, loops=1, has_absolute_controls=True),
    "no rtpmap": CameraSettings(loss=0, reorder=0, speed=8, loops=1, has_rtpmap=False),
    "SHA-256": CameraSettings(loss=0, reorder=0, speed=8, loops=1, algorithm="SHA-256", has_sprop=True),
    "reorders": CameraSettings(loss=0, reorder=0.05, speed=8, loops=1),
}


@pytest.mark.parametrize("settings", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("options", [TCP, UDP], ids=["tcp", "udp"])
async def test_a_camera_is_played_whole(settings: CameraSettings, options: ClientOptions, tmp_path: Path) -> None:
    file = media("h264_b3_aac")
    async with Camera(file, settings) as camera:
        with contextlib.suppress(TimedOut):  # it does not say when its film is over
            await pulled(camera.url, tmp_path / "got.flv", ClientOptions(rtsp_transport=options.rtsp_transport, stall_timeout_s=1))
        assert camera.counters.refused == 1  # one challenge for all that follows
        if options.rtsp_transport == "udp":
            assert camera.counters.punched
            assert camera.counters.reports
    (_, sent), (_, got) = units_of(tags_of(file)), units_of(tags_of(tmp_path / "got.flv"))
    assert len(sent) - 6 <= len(got) <= len(sent)  # what may be shown before the last pictures has not come
    for track_id in (VIDEO_TRACK_ID, AUDIO_TRACK_ID):
        times = [unit.dts for unit in got if unit.track_id == track_id]
        assert all(one < two for one, two in pairwise(times))


async def test_a_camera_that_wants_signs_of_life_gets_them(tmp_path: Path) -> None:
    async with Camera(media("h264_pcma"), CameraSettings(timeout_s=2, loss=0, reorder=0)) as camera:
        tags, reason = await pulled(camera.url, tmp_path / "got.flv", PATIENT, duration_s=4)
        assert camera.counters.methods.count("GET_PARAMETER") >= 3
    assert reason == "the duration is reached"
    assert {TAG_AUDIO, TAG_VIDEO} <= {tag.type_id for tag in tags}


async def test_a_camera_that_does_not_do_udp_is_played_on_the_connection() -> None:
    async with Camera(media("h264_aac"), CameraSettings(does_udp=False, speed=4)) as camera:
        async with open_player(camera.url, PATIENT) as player:
            assert (await anext(player)).type_id == TAG_SCRIPT
        with pytest.raises(Refused, match="RTSP 461"):
            async with open_player(camera.url, UDP):
                pass


async def test_a_camera_whose_packets_do_not_arrive_is_played_on_the_connection() -> None:
    async with Camera(media("h264_aac"), CameraSettings(sends_udp=False, speed=4)) as camera:
        async with open_player(camera.url, QUICK) as player:
            assert (await anext(player)).type_id == TAG_SCRIPT
        assert camera.counters.methods.count("DESCRIBE") == 2


async def test_a_camera_that_is_told_wrong_credentials_refuses() -> None:
    async with Camera(media("h264_aac")) as camera:
        with pytest.raises(RefusedNotAuthorized, match="RTSP 401"):
            async with open_player(camera.url.replace("Secret-1", "wrong"), QUICK):
                pass
        assert camera.counters.refused == 2


async def test_a_camera_on_a_bad_network_is_played_on_and_broken_pictures_can_be_left_out(tmp_path: Path) -> None:
    frames: dict[bool, int] = {}
    for drop in (False, True):
        options = ClientOptions(rtsp_transport="udp", drop_broken_gop=drop, stall_timeout_s=1, reorder_ms=50)
        async with Camera(media("h264_aac"), CameraSettings(speed=4, loops=2, loss=0.02)) as camera:
            with contextlib.suppress(TimedOut):  # it does not say when its film is over
                await pulled(camera.url, tmp_path / "got.flv", options)
            assert camera.counters.lost
            assert camera.counters.late
        frames[drop] = sum(unit.track_id == VIDEO_TRACK_ID for unit in units_of(tags_of(tmp_path / "got.flv"))[1])
    assert 0 < frames[True] < frames[False]


async def test_a_camera_is_probed() -> None:
    async with Camera(media("h264_b3_aac"), CameraSettings(loss=0, reorder=0, speed=4)) as camera:
        report = await probe(camera.url, duration_s=1, options=TCP)
    assert report.protocol == "rtsp"
    assert {track.codec for track in report.tracks} == {"h264", "aac"}
    assert report.dts_monotonic
    assert report.gop_frames == 25


# networks


async def test_a_relay_loses_the_same_packets_each_time() -> None:
    lost: list[int] = []
    for _ in range(2):
        async with listening(Server()) as server, UdpRelay(server.port, Weather(loss=0.1, reorder=0.1, delay_ms=5)) as relay:
            await push(H264, server.url().replace(str(server.port), str(relay.port)), Counts(), options=UDP, fast=True)
            await asyncio.wait_for(server.over.wait(), 3)
            await asyncio.sleep(0.1)
            assert relay.counters.lost
            assert relay.counters.late
            assert len(server.packets) == relay.counters.passed
        lost.append(relay.counters.lost)
    assert lost[0] == lost[1]


# the command line


async def test_the_commands_speak_rtsp(tmp_path: Path) -> None:
    async with listening(Server()) as server:
        done = await command("push", H264, server.url(), "--fast")
        assert done[0] == 0, done
        await asyncio.wait_for(server.over.wait(), 3)
    async with Camera(media("h264_aac"), CameraSettings(speed=4)) as camera:
        done = await command("pull", camera.url, tmp_path / "got.flv", "--frames", "20", "--rtsp-transport", "tcp")
        assert done[0] == 0, done
        assert len(units_of(tags_of(tmp_path / "got.flv"))[1]) >= 20
        done = await command("probe", camera.url, "--duration", "0.5")
        assert done[0] == 0, done
        assert "h264" in done[1]
        assert "(rtsp)" in done[1]


PROGRAM = "import typer; from services.standalone.client_cli import add_client_commands as add; a = typer.Typer(); add(a); a()"


async def command(*words: object) -> tuple[int | None, str]:
    program = [sys.executable, "-c", PROGRAM, *map(str, words)]
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*program, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(child.communicate(), 30)
    return child.returncode, (out + err).decode()
