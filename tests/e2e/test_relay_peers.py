"""Relays with servers of other makes, with TLS, and their sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.adobe_server import AdobeServer
from support.cluster import Node
from support.etcd import make_certificates
from support.ffmpeg import FFMPEG, Player, Publisher, bounded, quiet
from support.frames import of_file, read
from support.gstreamer import gstreamer, is_installed
from support.process import Child, wait_until
from support.relaying import LIMIT_S, ROWS, StartStandalone, asked, check_frames, other, relays

from bench.peers import NodeMediaServer

Media = Callable[[str], Path]


def check_pictures(file: Path, url: str, folder: Path, name: str, stack: ExitStack) -> None:
    """Play `url` for a while: what comes by RTP are pictures of `file`, whole."""
    player = stack.enter_context(Player(url, folder / f"{name}.rows", log=folder / f"{name}.log"))
    wait_until(f"packets of {name}", lambda: player.row_count() >= ROWS, LIMIT_S, child=player)
    player.stop()
    assert {frame.md5 for frame in read(player.rows).track("video")} <= {frame.md5 for frame in of_file(file).track("video")}


def sessions(node: Node, role: str) -> list[dict[str, Any]]:
    """Those of relays, as the API shows them."""
    items: list[dict[str, Any]] = asked(node, f"/v1/sessions?role={role}")["items"]
    return items


async def test_relays_by_tls_from_every_input_by_a_file_of_rules_and_their_sessions(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    file, certificates = media("h264_aac"), make_certificates(tmp_path)
    tls = {"edge.tls.cert_file": certificates.cert_file("server"), "edge.tls.key_file": certificates.key_file("server")}
    far = other(start_standalone, "far", {**tls})
    known = f"ca_file={certificates.ca_file}"
    async with AdobeServer("cam", "secret") as adobe:
        lines = [
            "# what is fetched, and what is sent",
            f"pull rtsps/* {far.rtsp_url('live/{name}', tls=True)} {known} stop_after_s=-1",
            f"pull wss/* {far.ws_url('live/{name}', tls=True)} {known}",
            f"push sent/* {far.rtmp_url('rtmps/{name}', tls=True)} {far.rtsp_url('rtsps/{name}', tls=True)} {known}",
            f"push sent/* {adobe.url('cam:secret')}",
        ]
        (tmp_path / "rules").write_text("\n".join(lines))
        here = other(start_standalone, "here", {"relay.rules_file": str(tmp_path / "rules"), "edge.session.report_s": 1})
        await asyncio.to_thread(check_relays_by_tls, here, far, file, stack, tmp_path)
        async with asyncio.timeout(LIMIT_S):
            await adobe.came.wait()
    assert "secret" not in str(relays(here)) + here.output()


def check_relays_by_tls(here: Node, far: Node, file: Path, stack: ExitStack, folder: Path) -> None:
    stack.enter_context(Publisher(file, far.rtmp_url("live/cam"), log=folder / "far.log", loops=10))
    check_pictures(file, here.flv_url("rtsps/cam"), folder, "from-rtsps", stack)
    check_frames(file, here.flv_url("wss/cam"), folder, "from-wss", stack)
    source = [*quiet(FFMPEG), "-re", "-stream_loop", "10", "-i", str(file), "-c", "copy"]
    rtsp = ["-f", "rtsp", "-rtsp_transport", "tcp", here.rtsp_url("sent/door")]
    stack.enter_context(Child(bounded(150, [*source, *rtsp]), log=folder / "door.log"))
    check_pictures(file, far.flv_url("rtmps/door"), folder, "to-rtmps", stack)
    check_pictures(file, far.flv_url("rtsps/door"), folder, "to-rtsps", stack)
    check_sessions(here)


def check_sessions(here: Node) -> None:
    """Relays have sessions like all others; one that is kicked is dialled anew."""
    wait_until("sessions", lambda: len(sessions(here, "relay_push")) == 3 and len(sessions(here, "relay_pull")) > 0, LIMIT_S)
    pushes = sessions(here, "relay_push")
    assert sorted(each["protocol"] for each in pushes) == ["rtmp", "rtmps", "rtsps"]
    assert "rtsps" in {each["protocol"] for each in sessions(here, "relay_pull")}
    for session in (sessions(here, "relay_pull")[0], pushes[0]):
        [relay] = [each for each in relays(here) if each["session"] == session["id"]]
        asked(here, f"/v1/sessions/{session['id']}", method="DELETE")

        def is_dialled_anew(relay: dict[str, Any] = relay) -> bool:
            [now] = [each for each in relays(here) if each["id"] == relay["id"]]
            return bool(now["state"] == "running" and now["since_us"] > relay["since_us"])

        wait_until("another dial", is_dialled_anew, LIMIT_S)
    # the pull has had no player for all that time, and its rule says never
    assert [each["state"] for each in relays(here) if each["stream"] == "rtsps/cam"] == ["running"]


@pytest.mark.skipif(not is_installed(), reason="no gir1.2-gst-rtsp-server-1.0 and python3-gi here")
def test_a_stream_is_fetched_from_the_rtsp_server_of_gstreamer(
    start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    url = stack.enter_context(gstreamer(tmp_path / "gstreamer.log"))
    here = start_standalone({"relay.pulls": [f"live/tcp {url}", f"live/udp {url} rtsp_transport=udp"]})
    names = ("tcp", "udp")
    players = [Player(here.flv_url(f"live/{name}"), tmp_path / f"{name}.rows", log=tmp_path / f"{name}.log") for name in names]
    for player in players:
        stack.enter_context(player)
    wait_until("packets by both", lambda: all(player.row_count() >= ROWS for player in players), LIMIT_S)
    for player in players:
        player.stop()
        video = read(player.rows).track("video")
        assert all(one.dts < two.dts for one, two in pairwise(video))


@pytest.mark.skipif(not NodeMediaServer.available(), reason="node and npm are not installed")
def test_a_stream_is_fetched_by_http_flv_from_node_media_server(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    NodeMediaServer.install()
    file, source = media("h264_aac"), stack.enter_context(NodeMediaServer(tmp_path / "nms"))
    here = start_standalone({"relay.pulls": [f"live/* http://127.0.0.1:{source.ports['http']}/live/{{name}}.flv"]})
    stack.enter_context(Publisher(file, f"rtmp://127.0.0.1:{source.ports['rtmp']}/live/cam", log=tmp_path / "push.log", loops=10))
    check_frames(file, here.flv_url("live/cam"), tmp_path, "nms", stack)
