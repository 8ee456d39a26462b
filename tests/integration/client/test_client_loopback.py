"""Publisher, players and the three commands' work against throw-away servers on loopback, built on our own server core."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import assert_never

import pytest
import uvloop
from aiohttp import WSMsgType, web

from lalmesh.client import (
    ClientOptions,
    ConnectionFailed,
    Counts,
    FlvWriter,
    InvalidUrl,
    Refused,
    RefusedExists,
    RefusedNotFound,
    RtmpPublisher,
    TimedOut,
    open_player,
    probe,
    pull,
    push,
    read_tags,
)
from lalmesh.container.flv import TAG_VIDEO, Tag, TagReader, flv_header, previous_tag_size, tag_header
from lalmesh.errors import StreamNotFound, UnsupportedError
from lalmesh.protocol.rtmp import (
    DEFAULT_OUT_CHUNK_SIZE,
    MEDIA_CSID,
    Connected,
    MediaMessage,
    PausedOrResumed,
    PlayRequested,
    PublishRequested,
    RtmpServer,
    ServerEvent,
    StreamClosed,
    chunk_message,
)

ROOT = Path(__file__).parents[3]
CAPTURES = ROOT / "tests" / "captures" / "flv"
H264 = CAPTURES / "h264-aac-bframes.flv"
HEVC = CAPTURES / "hevc-aac-enhanced.flv"
SOON_S = 0.3
LIMIT_S = 30.0
RUN_S = 60.0  #: for a command, on a slow machine
PATIENT = ClientOptions(
    connect_timeout_s=LIMIT_S, handshake_timeout_s=LIMIT_S, first_media_timeout_s=LIMIT_S, stall_timeout_s=LIMIT_S
)


def tags_of(path: Path) -> list[Tag]:
    return list(TagReader().feed(path.read_bytes()))


class Server:
    """A whole RTMP server for one stream: keeps what is published to it, plays what it is told to."""

    def __init__(self, to_play: list[Tag] | None = None, *, redirect: str = "", refuse: str = "", goes_on: bool = False) -> None:
        self.to_play = to_play or []
        self.redirect = redirect
        self.refuse = refuse
        self.goes_on = goes_on
        self.published: list[Tag] = []
        self.names: list[str] = []
        self.closed = asyncio.Event()
        self.playing = 0  # the message stream on which media is to begin
        self.port = 0

    def url(self, name: str = "live/test", scheme: str = "rtmp") -> str:
        return f"{scheme}://localhost:{self.port}/{name}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        core = RtmpServer(os.urandom)
        try:
            while data := await reader.read(65536):
                for event in core.feed(data):
                    self.handle(core, event)
                writer.write(core.data_to_send())
                if self.playing:
                    writer.write(self.media(core, self.playing))
                    self.playing = 0
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def handle(self, core: RtmpServer, event: ServerEvent) -> None:
        match event:
            case Connected():
                if self.redirect:
                    core.reject_connect(redirect_url=self.redirect)
                elif self.refuse != "in silence":
                    core.accept_connect()
            case PublishRequested():
                self.names.append(f"{event.app}/{event.name}?{event.query}")
                if self.refuse:
                    core.reject_publish(event.stream_id, self.refuse, "says the test")
                else:
                    core.accept_publish(event.stream_id)
            case PlayRequested():
                self.play(core, event)
            case MediaMessage():
                self.published.append(Tag(event.type_id, event.timestamp_ms, event.payload))
            case StreamClosed():
                self.closed.set()
            case PausedOrResumed():
                pass
            case _:
                assert_never(event)

    def play(self, core: RtmpServer, event: PlayRequested) -> None:
        if self.refuse:
            core.reject_play(event.stream_id, self.refuse, "says the test")
            return
        core.accept_play(event.stream_id)
        self.playing = event.stream_id

    def media(self, core: RtmpServer, stream_id: int) -> bytes:
        pieces: list[bytes | memoryview] = []
        for tag in self.to_play:
            csid, size = MEDIA_CSID[tag.type_id], DEFAULT_OUT_CHUNK_SIZE
            pieces += chunk_message(csid, tag.type_id, tag.timestamp_ms, b"", tag.body, chunk_size=size, stream_id=stream_id)
        if not self.goes_on:
            core.end_play(stream_id)
            pieces.append(core.data_to_send())
        return b"".join(pieces)


@asynccontextmanager
async def listening(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    listener = await asyncio.start_server(server.serve, "localhost", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server


def flv_bytes(tag: Tag) -> bytes:
    return tag_header(tag.type_id, tag.timestamp_ms, len(tag.body)) + tag.body + previous_tag_size(len(tag.body))


@asynccontextmanager
async def http_server(tags: list[Tag]) -> AsyncIterator[str]:
    """``HOST:PORT`` of a server with /live/test.flv, a redirect to it at /moved.flv, and nothing else."""

    async def play(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_bytes(flv_header(True, True))
            for tag in tags:
                await socket.send_bytes(flv_bytes(tag))
            await socket.close()
            return socket
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(flv_header(True, True) + b"".join(map(flv_bytes, tags)))
        return response

    async def moved(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/live/test.flv")

    async def forbidden(request: web.Request) -> web.StreamResponse:
        raise web.HTTPForbidden(text="not for you\nreally")

    async def text(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        assert (await socket.receive()).type is WSMsgType.CLOSE
        return socket

    app = web.Application()
    app.add_routes([web.get("/live/test.flv", play), web.get("/moved.flv", moved)])
    app.add_routes([web.get("/no.flv", forbidden), web.get("/text.flv", text)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0)
    await site.start()
    try:
        yield f"localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def played(url: str, options: ClientOptions = PATIENT) -> list[Tag]:
    async with open_player(url, options) as player:
        tags = [tag async for tag in player]
        assert player.end_reason
        return tags


async def flood(out: RtmpPublisher) -> None:
    for _ in range(100):
        out.send(TAG_VIDEO, 0, bytes(1 << 20))
        await out.drain()


# publishing


async def test_a_file_arrives_as_it_is() -> None:
    async with listening(Server()) as server:
        counts = Counts()
        await push(H264, server.url("live/test?key=1"), counts, fast=True)
        await asyncio.wait_for(server.closed.wait(), LIMIT_S)
    assert server.published == tags_of(H264)
    assert server.names == ["live/test?key=1"]
    assert (counts.tags, counts.video_frames, counts.audio_frames) == (len(server.published), 15, 45)


async def test_a_file_in_real_time_takes_its_time() -> None:
    async with listening(Server()) as server:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await push(CAPTURES / "h264-multitrack.flv", server.url(), Counts())
        assert loop.time() - began >= 0.4  # half a second at 15 pictures a second, less the last picture


async def test_a_looped_file_goes_on() -> None:
    async with listening(Server()) as server:
        await push(H264, server.url(), Counts(), loops=3, fast=True)
        await asyncio.wait_for(server.closed.wait(), LIMIT_S)
    pictures = [tag for tag in server.published if tag.type_id == TAG_VIDEO and tag.body[1] == 1]
    times = [tag.timestamp_ms for tag in pictures]
    assert len(pictures) == 45
    assert times == sorted(times)
    assert times[15] - times[0] == times[30] - times[15] > times[14] - times[0]
    assert sum(tag.type_id == TAG_VIDEO and tag.body[1] == 2 for tag in server.published) == 1  # one end, the last


@pytest.mark.parametrize("form", ["enhanced", "legacy"])
async def test_hevc_takes_the_form_that_is_asked_for(form: str) -> None:
    async with listening(Server()) as server:
        await push(HEVC, server.url(), Counts(), fast=True, hevc="legacy" if form == "legacy" else "enhanced")
        await asyncio.wait_for(server.closed.wait(), LIMIT_S)
    video = [tag.body for tag in server.published if tag.type_id == TAG_VIDEO]
    assert len(video) >= 16
    assert {bool(body[0] & 0x80) for body in video} == {form == "enhanced"}


async def test_a_refused_publisher_learns_why() -> None:
    async with listening(Server(refuse="NetStream.Publish.BadName")) as server:
        with pytest.raises(RefusedExists, match="says the test") as caught:
            await push(H264, server.url(), Counts())
    assert caught.value.code == "NetStream.Publish.BadName"


async def test_a_publisher_follows_a_redirect_and_keeps_its_name() -> None:
    async with listening(Server()) as goal:
        async with listening(Server(redirect=f"rtmp://localhost:{goal.port}/other")) as server:
            await push(H264, server.url("live/test?key=1"), Counts(), fast=True)
        await asyncio.wait_for(goal.closed.wait(), LIMIT_S)
    assert goal.names == ["other/test?key=1"]


async def test_a_redirect_in_a_circle_ends() -> None:
    async with listening(Server()) as server:
        server.redirect = server.url().removesuffix("/test")
        with pytest.raises(ConnectionFailed, match="over 2 redirects"):
            await push(H264, server.url(), Counts())


async def test_a_server_that_goes_away_ends_a_publisher_that_sleeps() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        core = RtmpServer(os.urandom)
        while not server.names:
            for event in core.feed(await reader.read(65536)):
                server.handle(core, event)
            writer.write(core.data_to_send())
        writer.close()

    server = Server()
    listener = await asyncio.start_server(hang_up, "localhost", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener, RtmpPublisher(server.url(), PATIENT) as out:
        with pytest.raises(ConnectionFailed):
            await out.sleep(30)


async def test_a_server_that_reads_nothing_ends_a_publisher() -> None:
    async def stop_reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        core = RtmpServer(os.urandom)
        while not server.names:
            for event in core.feed(await reader.read(65536)):
                server.handle(core, event)
            writer.write(core.data_to_send())
        await over.wait()
        writer.transport.abort()

    over, server = asyncio.Event(), Server()
    listener = await asyncio.start_server(stop_reading, "localhost", 0, limit=1024)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener, RtmpPublisher(server.url(), replace(PATIENT, stall_timeout_s=SOON_S)) as out:
        with pytest.raises(TimedOut, match="room to send"):
            await flood(out)
        over.set()


# playing


async def test_rtmp_gives_the_messages_and_ends_with_the_stream() -> None:
    async with listening(Server(tags_of(H264))) as server:
        assert await played(server.url()) == tags_of(H264)


@pytest.mark.parametrize("url", ["http://{}/live/test.flv", "http://{}/moved.flv", "ws://{}/live/test.flv"])
async def test_http_and_websocket_give_the_messages_and_end_with_the_stream(url: str) -> None:
    async with http_server(tags_of(H264)) as host:
        assert await played(url.format(host)) == tags_of(H264)


async def test_more_than_the_queue_holds_arrives_whole() -> None:
    big = [Tag(TAG_VIDEO, number, b"\x17\x01" + bytes(1 << 20)) for number in range(24)]
    async with listening(Server(big)) as server, open_player(server.url(), PATIENT) as player:
        await asyncio.sleep(0.2)  # let the queue fill up
        assert [tag async for tag in player] == big


@pytest.mark.parametrize("path", ["nothing.flv", "live/other.flv"])
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_http_without_the_stream_is_not_found(scheme: str, path: str) -> None:
    async with http_server([]) as host:
        with pytest.raises(RefusedNotFound, match="HTTP 404"):
            await played(f"{scheme}://{host}/{path}")


async def test_a_refusal_over_http_keeps_the_first_line_of_its_text() -> None:
    async with http_server([]) as host:
        with pytest.raises(Refused, match=r"HTTP 403 \(not for you\)$"):
            await played(f"http://{host}/no.flv")


async def test_rtmp_without_the_stream_is_not_found() -> None:
    async with listening(Server(refuse="NetStream.Play.StreamNotFound")) as server:
        with pytest.raises(StreamNotFound):
            await played(server.url())


async def test_text_over_websocket_breaks_the_protocol() -> None:
    async with http_server([]) as host:
        with pytest.raises(Exception, match="text message"):
            await played(f"ws://{host}/text.flv")


async def test_no_answer_no_media_and_a_stall_are_told_apart() -> None:
    async with listening(Server(refuse="in silence")) as server:
        with pytest.raises(TimedOut, match="consent to play"):
            await played(server.url(), replace(PATIENT, handshake_timeout_s=SOON_S))
    async with listening(Server(goes_on=True)) as server:
        with pytest.raises(TimedOut, match="first message"):
            await played(server.url(), replace(PATIENT, first_media_timeout_s=SOON_S))
        server.to_play = tags_of(H264)
        with pytest.raises(TimedOut, match="no message"):
            await played(server.url(), replace(PATIENT, stall_timeout_s=SOON_S))


@pytest.mark.parametrize("scheme", ["rtmp", "http", "ws"])
async def test_nobody_there_is_a_failed_connection(scheme: str) -> None:
    async with listening(Server()) as server:
        port = server.port
    with pytest.raises(ConnectionFailed):
        await played(f"{scheme}://localhost:{port}/live/test.flv")


async def test_a_url_that_leads_nowhere_is_refused_before_anything_is_dialled() -> None:
    with pytest.raises(UnsupportedError):
        open_player("ftp://localhost/live/test")
    for url in ("rtmp://localhost", "rtmp:///live/test", "rtmp://localhost:x/live/test", "rtmp://localhost/live"):
        with pytest.raises(InvalidUrl):
            await played(url)


def test_another_event_loop_gives_the_same() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_rtmp_gives_the_messages_and_ends_with_the_stream())
        runner.run(test_a_file_arrives_as_it_is())


async def test_a_player_that_leaves_says_so() -> None:
    async with listening(Server(tags_of(H264), goes_on=True)) as server:
        async with open_player(server.url(), PATIENT) as player:
            await anext(player)
        await asyncio.wait_for(server.closed.wait(), LIMIT_S)


# encryption


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    key, cert = folder / "key.pem", folder / "cert.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*request, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return key, cert


async def test_rtmps_checks_the_certificate_unless_told_otherwise(certificate: tuple[Path, Path]) -> None:
    key, cert = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    async with listening(Server(tags_of(H264)), context) as server:
        with pytest.raises(ConnectionFailed, match="certificate"):
            await played(server.url(scheme="rtmps"))
        assert await played(server.url(scheme="rtmps"), ClientOptions(verify=False)) == tags_of(H264)
        await push(H264, server.url(scheme="rtmps"), Counts(), fast=True, options=ClientOptions(ca_file=cert))
        await asyncio.wait_for(server.closed.wait(), LIMIT_S)
    assert server.published == tags_of(H264)


# pull and probe


@pytest.mark.parametrize("scheme", ["rtmp", "http"])
async def test_a_pulled_file_holds_what_was_played(tmp_path: Path, scheme: str) -> None:
    tags = tags_of(H264)
    async with listening(Server(tags)) as server, http_server(tags) as host:
        url = server.url() if scheme == "rtmp" else f"http://{host}/live/test.flv"
        with (tmp_path / "out.flv").open("wb", buffering=0) as file:
            writer, counts = FlvWriter(file, seekable=True), Counts()
            await pull(url, writer, counts, options=PATIENT)
            writer.close()
    assert (tmp_path / "out.flv").read_bytes()[:13] == flv_header(True, True)
    assert [tag async for tag in read_tags(tmp_path / "out.flv")] == tags
    assert counts.video_frames == 15


@pytest.mark.parametrize(("limits", "pictures"), [({"max_frames": 5}, 5), ({"duration_s": 0.5}, 8)])
async def test_a_pull_stops_when_there_is_enough(tmp_path: Path, limits: dict[str, float], pictures: int) -> None:
    async with listening(Server(tags_of(H264), goes_on=True)) as server:
        with (tmp_path / "out.flv").open("wb", buffering=0) as file:
            writer, counts = FlvWriter(file, seekable=True), Counts()
            await pull(server.url(), writer, counts, options=PATIENT, **limits)  # type: ignore[arg-type]
            writer.close()
    assert counts.video_frames == pictures


async def test_a_probe_tells_what_the_stream_is() -> None:
    async with listening(Server(tags_of(H264), goes_on=True)) as server:
        report = await probe(server.url(), duration_s=0.3, options=PATIENT)
    video, audio = report.tracks
    assert (video.codec, video.width, video.height, video.frames) == ("h264", 96, 64, 15)
    assert (audio.codec_string, audio.sample_rate_hz, audio.channels) == ("mp4a.40.2", 44100, 1)
    assert report.gop_frames == 10
    assert report.dts_monotonic
    assert report.first_byte_ms is not None
    assert report.first_keyframe_ms is not None
    assert report.first_byte_ms <= report.first_keyframe_ms


async def test_a_probe_of_a_stream_that_ends_before_it_began_finds_nothing() -> None:
    async with listening(Server()) as server:
        with pytest.raises(StreamNotFound, match="nothing came"):
            await probe(server.url(), options=PATIENT)


# the commands

PROGRAM = "import typer; from services.standalone.client_cli import add_client_commands as add; a = typer.Typer(); add(a); a()"


async def run(*args: str | Path, stdin: bytes = b"", stop_at_bytes: int = 0) -> tuple[int, bytes, str]:
    """Exit status, standard output and error output of ``lalmesh`` with `args`; interrupted once it has written so much."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *map(str, args), cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    first = b""
    if stop_at_bytes:
        assert process.stdout is not None
        first = await asyncio.wait_for(process.stdout.readexactly(stop_at_bytes), RUN_S)
        process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(stdin), RUN_S)
    assert process.returncode is not None
    return process.returncode, first + out, err.decode()


async def test_push_reads_standard_input_and_counts() -> None:
    async with listening(Server()) as server:
        status, _, said = await run("push", "-", server.url(), "--fast", stdin=H264.read_bytes())
        await asyncio.wait_for(server.closed.wait(), LIMIT_S)
    assert (status, said) == (0, f"sent {len(server.published)} messages, 11462 bytes, 15 pictures, 45 audio frames\n")
    assert server.published == tags_of(H264)


async def test_pull_writes_standard_output_and_stops_when_told() -> None:
    async with listening(Server(tags_of(H264), goes_on=True)) as server:
        status, out, said = await run("pull", server.url(), "-", stop_at_bytes=H264.stat().st_size)
    assert status == 0
    assert list(TagReader().feed(out)) == tags_of(H264)
    assert "15 pictures" in said


async def test_probe_prints_one_json_object() -> None:
    async with http_server(tags_of(H264)) as host:
        status, out, _ = await run("probe", f"ws://{host}/live/test.flv", "--json", "--duration", "0.5")
    report = json.loads(out)
    assert (status, report["protocol"], [track["codec"] for track in report["tracks"]]) == (0, "ws-flv", ["h264", "aac"])


@pytest.mark.parametrize("command", [("push", H264), ("pull", "-"), ("probe",)])
async def test_a_refusal_is_one_line_and_status_1(command: tuple[str | Path, ...]) -> None:
    code = "NetStream.Publish.BadName" if command[0] == "push" else "NetStream.Play.StreamNotFound"
    async with listening(Server(refuse=code)) as server:
        name, *rest = command
        args = (*rest, server.url()) if name == "push" else (server.url(), *rest)
        status, out, said = await run(name, *args)
    assert (status, out) == (1, b"")
    assert said.splitlines()[-1] == f"lalmesh {name}: refused: {code} (says the test)"


async def test_what_is_no_flv_is_refused_before_a_stream_is_taken() -> None:
    async with listening(Server()) as server:
        status, _, said = await run("push", "-", server.url(), stdin=b"RIFF")
    assert (status, server.names) == (1, [])
    assert "FLV stream starts with" in said
