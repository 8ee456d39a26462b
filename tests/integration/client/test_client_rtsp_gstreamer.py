"""RTSP players against the RTSP server of GStreamer, where its bindings are installed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from support.ports import LOOPBACK
from support.process import Child, wait_until

from lalmesh.client import ClientOptions, RtspTransport, open_player
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
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(sys.argv[1])
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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Child]:
    """It prints its port. Its stream begins with each player."""
    command: list[str | Path] = ["timeout", "-k", "2", "60", PYTHON, "-c", PROGRAM, PIPELINE]
    with Child(command, log=tmp_path / "server.log") as child:
        wait_until("the port of the server", lambda: PORT.search(child.output()) is not None, LIMIT_S, child=child)
        yield child


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_its_streams_are_played_with_rising_times(server: Child, transport: RtspTransport) -> None:
    found, demuxer, units = PORT.search(server.output()), BodyDemuxer(), list[AccessUnit]()
    assert found is not None
    url = f"rtsp://{LOOPBACK}:{found[1]}/live/test"
    async with asyncio.timeout(LIMIT_S), open_player(url, ClientOptions(rtsp_transport=transport)) as player:
        async for tag in player:
            events = demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)
            units += [event for event in events if isinstance(event, AccessUnit)]
            if sum(unit.track_id == VIDEO_TRACK_ID for unit in units) >= PICTURES:
                break
    assert {track.codec for track in demuxer.tracks.tracks} == {Codec.H264, Codec.PCMA, Codec.SCRIPT}
    for track_id in (VIDEO_TRACK_ID, AUDIO_TRACK_ID):
        times = [unit.dts for unit in units if unit.track_id == track_id]
        assert all(one < two for one, two in pairwise(times))
    assert any(unit.cts > 0 for unit in units)  # B-frames
