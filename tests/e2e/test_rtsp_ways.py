"""The ways of RTSP beside plain TCP and UDP: RTSPS, WebSocket and WebSocket in TLS, in and out, with real clients.

No client in use speaks RTSP over WebSocket but those in browsers, so ffmpeg goes over a bridge there. What is compared is said in
`support.shown_times`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.test_frames import RUN_S, Run
from support import ffmpeg, frames
from support.cluster import Node, Standalone
from support.etcd import make_certificates
from support.media import media
from support.process import wait_until
from support.shown_times import HELD_BACK, SHOWN, check_times, source

MEDIA = "h264_aac_15s"
#: What the bridge carries, by name: the listener, and how it is spoken to.
BRIDGED = {
    "ws": ("ws_rtsp", "ws://127.0.0.1:{}/any/path"),
    "ws-text": ("ws_rtsp", "ws://127.0.0.1:{}/#text"),
    "ws-http": ("http", "ws://127.0.0.1:{}/live/whatever"),
    "wss": ("https", "wss://127.0.0.1:{}/"),
    "tls": ("rtsps", "rtsps://127.0.0.1:{}"),
}
WAYS = ("rtsps", *BRIDGED)
#: Each stream goes out by its own way and by RTSPS, and that of RTSPS by every way.
PLAYED = [*(("rtsps", way) for way in WAYS), *((way, "rtsps") for way in BRIDGED), *((way, way) for way in BRIDGED)]
#: How the sessions of a way are called.
PROTOCOLS = {"rtsps": "rtsps", "tls": "rtsps", "ws": "ws-rtsp", "ws-text": "ws-rtsp", "ws-http": "ws-rtsp", "wss": "wss-rtsp"}


class Bridge:
    """The bridge of a server; ffmpeg asks it for UDP first, as it does where nobody says otherwise."""

    def __init__(self, run: Run, node: Node) -> None:
        self._file = run.folder / "bridge.json"
        ways = [f"{name}={url.format(node.ports[listener])}" for name, (listener, url) in BRIDGED.items()]
        self.child = run.command("bridge", sys.executable, "-m", "support.rtsp_bridge", self._file, *ways)

    def wait_ready(self) -> dict[str, int]:
        """Its ports by way."""
        wait_until("the bridge", self._file.exists, RUN_S, child=self.child)
        return dict(json.loads(self._file.read_text()))


class Ways:
    """What went through one server by each way."""

    def __init__(self, run: Run, node: Node, bridge: Bridge) -> None:
        self.bridge = bridge
        self._run = run
        self._node = node
        self._ports = bridge.wait_ready()

    def url(self, way: str, stream: str) -> str:
        """Where a client goes."""
        if way == "rtsps":
            return self._node.rtsp_url(f"live/{stream}", tls=True)
        return f"rtsp://127.0.0.1:{self._ports[way]}/live/{stream}"

    def push(self, way: str) -> None:
        """ffmpeg, packets untouched, in real time."""
        read: list[str | Path] = [*ffmpeg.quiet(ffmpeg.FFMPEG), "-re", "-i", media(MEDIA), "-map", "0", "-c", "copy"]
        write = ["-f", "rtsp", *options(way), self.url(way, way)]
        self._run.publish(way, media(MEDIA), self._run.command(f"push.{way}", *read, *write))

    def play(self, stream: str, way: str) -> None:
        """ffmpeg into rows."""
        rows = self.rows(stream, way)
        read: list[str | Path] = [*ffmpeg.quiet(ffmpeg.FFMPEG), "-copyts", *options(way), "-i", self.url(way, stream)]
        self._run.record(
            rows.stem, rows, self._run.command(rows.stem, *read, *SHOWN, "-f", "framemd5", "-flush_packets", "1", rows)
        )

    def rows(self, stream: str, way: str) -> Path:
        """What a player got."""
        return self._run.folder / f"play.{stream}.{way}.md5"

    def received(self, stream: str, way: str) -> frames.Recording:
        """The same; an assertion says why it got nothing."""
        return self._run.received(self.rows(stream, way).stem)


def options(way: str) -> list[str]:
    """Of ffmpeg. A test certificate is taken."""
    return ["-tls_verify", "0"] if way == "rtsps" else []


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A server with a certificate."""
    folder = tmp_path_factory.mktemp("ways")
    made = make_certificates(folder / "tls")
    tls = {"edge.tls.cert_file": made.cert_file("server"), "edge.tls.key_file": made.key_file("server")}
    with Standalone(folder, {"origin.grace_s": 1, **tls}) as node:
        yield node


@pytest.fixture(scope="module")
def ways(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """All publishers and players at once."""
    with ExitStack() as stack:
        run = Run(tmp_path_factory.mktemp("clients"), stack)
        bridge = Bridge(run, node)
        stack.enter_context(bridge.child)
        ways = Ways(run, node, bridge)
        for way in WAYS:
            ways.push(way)
        run.wait_live(node.api_url)
        for stream, way in PLAYED:
            ways.play(stream, way)
        run.finish()
        yield ways


@pytest.mark.parametrize(("stream", "way"), PLAYED)
def test_every_frame_comes_by_every_way(ways: Ways, stream: str, way: str) -> None:
    check_times(source(MEDIA), ways.received(stream, way), HELD_BACK)


@pytest.mark.parametrize("way", BRIDGED)
def test_who_asks_for_udp_where_there_is_none_falls_back(ways: Ways, way: str) -> None:
    """Publishers and players: ffmpeg asks each time, unless it knows that there is TLS."""
    players = sum(1 for _, by in PLAYED if by == way)
    assert ways.bridge.child.output().splitlines().count(f"{way}: 461") == players + 1


def test_sessions_are_called_after_their_way(ways: Ways, node: Node) -> None:
    said = node.output()
    for way in WAYS:
        assert f'"protocol": "{PROTOCOLS[way]}"' in said
