"""The RTSP server of GStreamer, where its bindings are installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.ports import LOOPBACK
from support.process import Child, wait_until

PYTHON = Path("/usr/bin/python3")  #: Debian's, for which its bindings are
BINDINGS = [Path("/usr/lib/python3/dist-packages/gi"), *Path("/usr/lib").glob("*/girepository-1.0/GstRtspServer-1.0.typelib")]
LIMIT_S = 30.0  #: for it to listen
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


def is_installed() -> bool:
    """Whether gir1.2-gst-rtsp-server-1.0 and python3-gi are."""
    return len(BINDINGS) >= 2 and BINDINGS[0].exists()


@contextmanager
def gstreamer(log: Path, pipeline: str = PIPELINE, mode: str = "play", *, ways: str = "all", login: str = "") -> Iterator[str]:
    """A server of a pipeline: its URL. Its stream begins with each player."""
    command: list[str | Path] = ["timeout", "-k", "2", "60", PYTHON, "-c", PROGRAM, pipeline, mode, ways, login]
    with Child(command, log=log) as child:
        wait_until("the port of the server", lambda: PORT.search(child.output()) is not None, LIMIT_S, child=child)
        found = PORT.search(child.output())
        assert found is not None
        yield f"rtsp://{LOOPBACK}:{found[1]}/live/test"
