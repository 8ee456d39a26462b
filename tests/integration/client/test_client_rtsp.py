"""RTSP publisher and player against a server on our own core, and against ffmpeg as a server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support import ffmpeg
from support.camera import Camera
from support.camera_ways import CameraSettings
from support.ffmpeg import FFMPEG, bounded, quiet
from support.media import media
from support.ports import LOOPBACK, free_ports
from support.process import Child
from support.pulled import assert_same, pulled, tags_of, units_of
from support.rtsp_stream import StreamServer, listening
from support.udp_relay import UdpRelay, Weather

from lalmesh.client import (
    ClientOptions,
    ConnectionFailed,
    Counts,
    RefusedNotAuthorized,
    RefusedNotFound,
    RtspTransport,
    TimedOut,
    open_player,
    push,
)
from lalmesh.container.flv import TAG_SCRIPT

ROOT = Path(__file__).parents[3]
CAPTURES = ROOT / "tests" / "captures" / "flv"
H264 = CAPTURES / "h264-aac-bframes.flv"
HEVC = CAPTURES / "hevc-aac-enhanced.flv"
LIMIT_S = 30.0
PATIENT = ClientOptions(handshake_timeout_s=LIMIT_S, first_media_timeout_s=LIMIT_S, stall_timeout_s=LIMIT_S, max_redirects=1)
TCP, UDP = replace(PATIENT, rtsp_transport="tcp"), replace(PATIENT, rtsp_transport="udp")


# publishing


@pytest.mark.parametrize("options", [TCP, UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("file", [H264, HEVC, CAPTURES / "mp3.flv"], ids=lambda file: file.stem)
async def test_a_file_arrives_with_its_times(file: Path, options: ClientOptions) -> None:
    async with listening(StreamServer()) as server:
        counts = Counts()
        await push(file, server.url(), counts, options=options, fast=True)
        await asyncio.wait_for(server.over.wait(), LIMIT_S)
        await asyncio.sleep(0.05)  # datagrams that are on their way
        assert_same(tags_of(file), server.published())
    assert counts.tags == len(tags_of(file))
    assert server.reports  # at least the goodbye


async def test_a_login_goes_with_a_publisher() -> None:
    async with listening(StreamServer(login=("me", "pass:w@rd"))) as server:
        await push(H264, server.url("me:pass:w@rd@"), Counts(), fast=True)
        with pytest.raises(RefusedNotAuthorized, match="RTSP 401"):
            await push(H264, server.url("me:wrong@"), Counts(), fast=True)
        with pytest.raises(RefusedNotAuthorized):
            await push(H264, server.url(), Counts(), fast=True)
    assert server.requests == ["ANNOUNCE"] * 5


async def test_a_refused_publisher_learns_why() -> None:
    async with listening(StreamServer(refuse=403)) as server:
        with pytest.raises(RefusedNotAuthorized, match="RTSP 403"):
            await push(H264, server.url(), Counts(), fast=True)


async def test_a_publisher_goes_where_it_is_sent_but_not_for_ever() -> None:
    async with listening(StreamServer()) as server, listening(StreamServer(redirect=server.url())) as other:
        await push(H264, other.url(), Counts(), fast=True, options=PATIENT)
        await asyncio.wait_for(server.over.wait(), LIMIT_S)
        other.redirect = other.url()
        with pytest.raises(ConnectionFailed, match="redirects"):
            await push(H264, other.url(), Counts(), fast=True, options=PATIENT)


async def test_a_server_that_goes_away_ends_a_publisher() -> None:
    async with listening(StreamServer()) as server:
        pushing = asyncio.ensure_future(push(H264, server.url(), Counts(), loops=0))
        await asyncio.wait_for(server.began.wait(), LIMIT_S)
        server.writers[0].transport.abort()
        with pytest.raises(ConnectionFailed):
            await asyncio.wait_for(pushing, LIMIT_S)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_ffmpeg_as_server_decodes_what_is_published(transport: RtspTransport, tmp_path: Path) -> None:
    (port,), file = free_ports(1), media("h264_aac")
    url, hashes = f"rtsp://{LOOPBACK}:{port}/live/test", ("-map", "0:v", "-f", "framemd5")
    command = [*quiet(FFMPEG), "-rtsp_flags", "listen", "-listen_timeout", "60", "-i", url, *hashes, str(tmp_path / "got")]
    with Child(bounded(90, command), log=tmp_path / "ffmpeg.log") as child:
        options = ClientOptions(rtsp_transport=transport)
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    await push(file, url, Counts(), options=options)
                    break
                except ConnectionFailed:  # it does not listen yet
                    await asyncio.sleep(0.1)
        assert await asyncio.to_thread(child.wait, LIMIT_S) == 0, child.describe()
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
    async with listening(StreamServer(tags_of(H264))) as server:
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
    async with listening(StreamServer(refuse=404)) as server:
        with pytest.raises(RefusedNotFound, match="RTSP 404"):
            async with open_player(server.url(), PATIENT):
                pass
    silent = await asyncio.start_server(keep_silent, LOOPBACK, 0)
    async with silent:
        with pytest.raises(TimedOut, match="consent"):
            async with open_player(
                f"rtsp://{LOOPBACK}:{silent.sockets[0].getsockname()[1]}/a", replace(PATIENT, handshake_timeout_s=1)
            ):
                pass
    async with listening(StreamServer(tags_of(H264)[:2])) as server:  # lets in, and plays nothing
        with pytest.raises(TimedOut, match="first message"):
            async with open_player(server.url(), replace(PATIENT, first_media_timeout_s=1, udp_silence_s=0.3)) as player:
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
        async with listening(StreamServer(), context) as server:
            await push(H264, server.url(scheme="rtsps"), Counts(), options=options, fast=True)
            await asyncio.wait_for(server.over.wait(), LIMIT_S)
            assert_same(tags_of(H264), server.published())
            with pytest.raises(ConnectionFailed, match="certificate"):
                await push(H264, server.url(scheme="rtsps"), Counts(), fast=True)
        async with (
            listening(StreamServer(tags_of(H264)), context) as server,
            open_player(server.url(scheme="rtsps"), options) as player,
        ):
            assert player.protocol == "rtsps"
            assert (await anext(player)).type_id == TAG_SCRIPT

    asyncio.run(body())


# networks


async def test_a_relay_loses_the_same_packets_each_time() -> None:
    lost: list[int] = []
    for _ in range(2):
        async with listening(StreamServer()) as server, UdpRelay(server.port, Weather(loss=0.1, reorder=0.1, delay_ms=5)) as relay:
            await push(H264, server.url().replace(str(server.port), str(relay.port)), Counts(), options=UDP, fast=True)
            await asyncio.wait_for(server.over.wait(), LIMIT_S)
            await asyncio.sleep(0.1)
            assert relay.counters.lost
            assert relay.counters.late
            assert len(server.packets) == relay.counters.passed
        lost.append(relay.counters.lost)
    assert lost[0] == lost[1]


# the command line


async def test_the_commands_speak_rtsp(tmp_path: Path) -> None:
    async with listening(StreamServer()) as server:
        done = await command("push", H264, server.url(), "--fast")
        assert done[0] == 0, done
        await asyncio.wait_for(server.over.wait(), LIMIT_S)
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
    out, err = await asyncio.wait_for(child.communicate(), 2 * LIMIT_S)
    return child.returncode, (out + err).decode()
