"""RTSP players and publishers against the RTSP server of GStreamer, where its bindings are installed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from support import ffmpeg
from support.media import media
from support.ports import LOOPBACK
from support.process import Child, wait_until

from lalmesh.client import ClientOptions, Counts, Refused, RefusedNotAuthorized, RtspTransport, open_player, push
from lalmesh.container.flv import AUDIO_TRACK_ID, VIDEO_TRACK_ID, BodyDemuxer
from lalmesh.media import AccessUnit, Codec

PYTHON = Path("/usr/bin/python3")  #: Debian's, for which its bindings are
BINDINGS = [Path("/usr/lib/python3/dist-packages/gi"), *Path("/usr/lib").glob("*/girepository-1.0/GstRtspServer-1.0.typelib")]
LIMIT_S = 20
PORT = re.compile(r"port (\d+)\n")

PROGRAM = """
import sys, gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
launch, mode, ways, login = sys.argv[1:]
factory.set_launch(launch)
if mode == "record":
    factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    factory.set_stop_on_disconnect(True)
if ways == "tcp":
    factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
if login:
    permissions = GstRtspServer.RTSPToken()
    permissions.set_string("media.factory.role", "user")
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    auth.add_digest(*login.split(":"), permissions)
    server.set_auth(auth)
    factory.add_role_from_structure(Gst.Structure.from_string("user, media.factory.access=true, media.factory.construct=true")[0])
server.get_mount_points().add_factory("/live/test", factory)
server.attach(None)
print("port", server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""
#: Live, since with files its server stops now and then at an assertion of its own, "gst_rtsp_media_get_rates".
PIPELINE = (
    "( videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1"
    " ! x264enc speed-preset=veryfast bframes=3 b-adapt=false key-int-max=25"
    " ! video/x-h264,profile=main ! rtph264pay name=pay0 pt=96"
    " audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8 )"
)
PICTURES = 75

pytestmark = pytest.mark.skipif(
    len(BINDINGS) < 2 or not BINDINGS[0].exists(), reason="no gir1.2-gst-rtsp-server-1.0 and python3-gi here"
)


RECORDING = (
    "( rtph264depay name=depay0 ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au ! filesink buffer-mode=2"
    " location={file} rtpmp4gdepay name=depay1 ! fakesink sync=false )"
)


Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start it for a pipeline; its URL. Its stream begins with each player."""
    with ExitStack() as stack:

        def start(pipeline: str, mode: str = "play", *, ways: str = "all", login: str = "") -> str:
            command: list[str | Path] = ["timeout", "-k", "2", "60", PYTHON, "-c", PROGRAM, pipeline, mode, ways, login]
            child = stack.enter_context(Child(command, log=tmp_path / "server.log"))
            wait_until("the port of the server", lambda: PORT.search(child.output()) is not None, LIMIT_S, child=child)
            found = PORT.search(child.output())
            assert found is not None
            return f"rtsp://{LOOPBACK}:{found[1]}/live/test"

        yield start


async def played(url: str, options: ClientOptions, pictures: int) -> tuple[set[Codec], list[AccessUnit]]:
    """The codecs and the first units of a stream."""
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    async with asyncio.timeout(LIMIT_S), open_player(url, options) as player:
        async for tag in player:
            events = demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)
            units += [event for event in events if isinstance(event, AccessUnit)]
            if sum(unit.track_id == VIDEO_TRACK_ID for unit in units) >= pictures:
                break
    return {track.codec for track in demuxer.tracks.tracks}, units


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_its_streams_are_played_with_rising_times(serve: Serve, transport: RtspTransport) -> None:
    codecs, units = await played(serve(PIPELINE), ClientOptions(rtsp_transport=transport), PICTURES)
    assert codecs == {Codec.H264, Codec.PCMA, Codec.SCRIPT}
    for track_id in (VIDEO_TRACK_ID, AUDIO_TRACK_ID):
        times = [unit.dts for unit in units if unit.track_id == track_id]
        assert all(one < two for one, two in pairwise(times))
    assert any(unit.cts > 0 for unit in units)  # B-frames


async def test_where_it_does_not_do_udp_the_connection_is_taken(serve: Serve) -> None:
    url = serve(PIPELINE, ways="tcp")
    assert (await played(url, ClientOptions(), 3))[1]
    with pytest.raises(Refused, match="RTSP 461"):
        await played(url, ClientOptions(rtsp_transport="udp"), 3)


async def test_it_is_told_who_plays(serve: Serve) -> None:
    url = serve(PIPELINE, login="me:secret")
    assert (await played(url.replace("//", "//me:secret@"), ClientOptions(), 3))[1]
    with pytest.raises(RefusedNotAuthorized, match="RTSP 401"):
        await played(url.replace("//", "//me:wrong@"), ClientOptions(), 3)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_it_records_every_picture_that_is_published(serve: Serve, transport: RtspTransport, tmp_path: Path) -> None:
    file = tmp_path / "got.h264"
    url, options = serve(RECORDING.format(file=file), "record"), ClientOptions(rtsp_transport=transport)
    await push(media("h264_aac"), url, Counts(), options=options)
    await asyncio.to_thread(wait_until, "all pictures", lambda: hashes(file) == hashes(media("h264_aac")), LIMIT_S, every_s=0.5)


def hashes(file: Path) -> list[str]:
    """Of the pictures of a file, as far as it is written."""
    if not file.exists() or not file.stat().st_size:
        return []
    rows = ffmpeg.run("-i", file, "-map", "0:v", "-f", "framemd5", "-")
    return [line.rpartition(",")[2].strip() for line in rows.splitlines() if not line.startswith("#")]
