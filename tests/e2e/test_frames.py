"""Every frame that is pushed comes out of every player, bit for bit and on time: publisher × server × player, with real clients.

All media go through one server at once; each line of the table is a test of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from support import ffmpeg, frames, wire
from support.cluster import PROGRAM, Cluster, Node, Settings, Standalone
from support.etcd import make_certificates
from support.forks import forks_for
from support.frames import Recording, assert_same_from_join
from support.http_recorder import WAITS
from support.loops import NEEDS_UVLOOP
from support.media import media
from support.operator_api import live
from support.process import Child, wait_until

from lalmesh.container.flv import TAG_VIDEO

MEDIA = ("h264_aac", "h264_b3_aac", "hevc_aac", "av1_opus", "aac", "h264", "h264_mp3", "h264_pcma", "h264_pcmu")
PROTOCOLS = ("rtmp", "http-flv", "ws-flv")
SERVERS = (pytest.param("standalone-asyncio"), pytest.param("standalone-uvloop", marks=NEEDS_UVLOOP), pytest.param("cluster"))
PLACES = ("standalone", "cluster")
RUN_S = 60.0  #: for one run of 8 s on a slow machine
LEAST_S = 2.0  #: of media in each playback: a player that comes at the very end proves little
GRACE: Settings = {"origin.grace_s": 1}  #: players are told of the end soon after it
TESTS = Path(__file__).resolve().parents[1]


@dataclass
class Run:
    """Publishers and players of one server, and what came of them."""

    folder: Path
    stack: ExitStack
    sources: dict[str, Path] = field(default_factory=dict)  #: by stream, what is compared with
    publishers: list[Child] = field(default_factory=list)
    players: list[Child] = field(default_factory=list)
    rows: dict[str, Path] = field(default_factory=dict)  #: by playback: rows of ffmpeg, or a FLV file

    def publish(self, stream: str, source: Path, child: Child) -> None:
        """`child` publishes `stream`; what it sends is in `source`."""
        self.sources[stream] = source
        self.publishers.append(self.stack.enter_context(child))

    def push(self, stream: str, source: Path, url: str, program: Path = ffmpeg.FFMPEG) -> None:
        """Push a file with ffmpeg."""
        log = self.folder / f"push.{stream}.log"
        self.publish(stream, source, ffmpeg.Publisher(source, url, log=log, limit_s=RUN_S, ffmpeg=program))

    def play(self, playback: str, url: str, program: Path = ffmpeg.FFMPEG) -> None:
        """Play with ffmpeg."""
        rows = self.folder / f"{playback}.md5"
        self.record(playback, rows, ffmpeg.Player(url, rows, log=rows.with_suffix(".log"), limit_s=RUN_S, ffmpeg=program))

    def record(self, playback: str, rows: Path, child: Child) -> None:
        """`child` plays into `rows`."""
        self.rows[playback] = rows
        self.players.append(self.stack.enter_context(child))

    def command(self, name: str, *command: str | Path) -> Child:
        """A client that is not ffmpeg."""
        log, env = self.folder / f"{name}.log", {"PYTHONPATH": str(TESTS)}
        if (forks := forks_for(command)) is not None:
            return Child(command, log=log, env=env, forks=forks)
        return Child(ffmpeg.bounded(RUN_S, command), log=log, env=env)

    def play_websockets(self, urls: Mapping[str, str], *, once_live: str = "") -> None:
        """Play several streams over WebSocket, by playback; see `record_all`."""
        rows = {playback: self.folder / f"{playback}.ws.flv" for playback in urls}
        self.rows |= rows
        self.record_all("websocket", {rows[playback]: url for playback, url in urls.items()}, once_live=once_live)

    def record_all(self, way: Literal["http", "websocket"], urls: Mapping[Path, str], *, once_live: str = "") -> None:
        """Play into files, all by one process.

        `once_live`: an API; each player comes when it says that its stream has units. The process is there when this returns, so
        that streams can be published then: on a busy machine it is as long in starting as a stream of 8 s lasts.
        """
        pairs = [part for file, url in urls.items() for part in (url, file)]
        waits = ["--once-live", once_live] if once_live else []
        child = self.command(f"{way}-{len(self.players)}", sys.executable, "-m", f"support.{way}_recorder", *waits, *pairs)
        self.players.append(self.stack.enter_context(child))
        if once_live:
            wait_until("the recorder", lambda: WAITS in child.output(), RUN_S, child=child)

    def wait_live(self, api_url: str) -> None:
        """Wait until everything that is published has units."""
        wait_until("all streams", lambda: live(api_url) >= {f"live/{stream}" for stream in self.sources}, RUN_S)

    def finish(self) -> None:
        """Wait until publishers have sent everything and players have been told of the end."""
        for child in (*self.publishers, *self.players):
            child.wait(RUN_S)

    def check(self, stream: str, playback: str) -> None:
        """Compare a playback with what was published."""
        received = self.received(playback)
        joined = assert_same_from_join(frames.of_source(self.sources[stream]), received, to_end=True)
        lead = received.track("video") or received.track("audio")
        assert lead[-1].dts - lead[0].dts >= LEAST_S * 1000, joined

    def received(self, playback: str) -> Recording:
        """What a player got, or why it got nothing."""
        rows = self.rows[playback]
        assert rows.exists(), self.explain()
        assert rows.stat().st_size, self.explain()
        return frames.read(rows) if rows.suffix == ".md5" else frames.of_file(rows)

    def explain(self) -> str:
        """All that publishers and players said."""
        return "\n".join(child.describe() for child in (*self.publishers, *self.players) if child.output())


def into(folder: Path, server: str, stack: ExitStack, settings: Settings) -> tuple[Node, Node, str]:
    """Start `server`; the edge for publishers, the one for players, and the API."""
    if server == "cluster":
        cluster = stack.enter_context(Cluster(folder, settings={"all": GRACE, "edge": settings}))
        return cluster.edges[0], cluster.edges[1], cluster.api_url
    loop = ("--loop", server.removeprefix("standalone-")) if "-" in server else ()
    node = stack.enter_context(Standalone(folder, {**GRACE, **settings}, arguments=loop))
    return node, node, node.api_url


@pytest.fixture(scope="module", params=SERVERS)
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """All media through one server: RTMP players wait for the publishers, the others join later."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        ingest, egress, api_url = into(folder, request.param, stack, {})
        run = Run(folder, stack)
        for name in MEDIA:
            run.play(f"{name}.rtmp", egress.rtmp_url(f"live/{name}"))
        run.play_websockets({f"{name}.ws-flv": egress.ws_url(f"live/{name}") for name in MEDIA}, once_live=api_url)
        for name in MEDIA:
            run.push(name, media(name), ingest.rtmp_url(f"live/{name}"))
        run.wait_live(api_url)
        for name in MEDIA:
            run.play(f"{name}.http-flv", egress.flv_url(f"live/{name}"))
        run.finish()
        yield run


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", MEDIA)
def test_every_frame_comes_out_as_it_went_in(table: Run, name: str, protocol: str) -> None:
    table.check(name, f"{name}.{protocol}")


@pytest.fixture(scope="module", params=PLACES)
def clients(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """H.264 and AAC through other publishers and players, and through TLS."""
    folder = tmp_path_factory.mktemp("clients")
    certificates = make_certificates(folder / "tls")
    tls = {"edge.tls.cert_file": certificates.cert_file("server"), "edge.tls.key_file": certificates.key_file("server")}
    file = media("h264_aac")
    with ExitStack() as stack:
        ingest, egress, api_url = into(folder, request.param, stack, tls)
        run = Run(folder, stack)
        run.play_websockets({"plain.wss-flv": egress.ws_url("live/plain", tls=True)}, once_live=api_url)
        run.push("plain", file, ingest.rtmp_url("live/plain"))
        run.push("tls", file, ingest.rtmp_url("live/tls", tls=True))
        run.push("ffmpeg5", file, ingest.rtmp_url("live/ffmpeg5"), ffmpeg.OLD_FFMPEG)
        teed = folder / "gstreamer.flv"
        run.publish(
            "gstreamer", teed, run.command("push.gstreamer", *gstreamer_push(file, teed, ingest.rtmp_url("live/gstreamer")))
        )
        run.wait_live(api_url)
        for stream in ("tls", "ffmpeg5", "gstreamer"):
            run.play(f"{stream}.rtmp", egress.rtmp_url(f"live/{stream}"))
            run.play(f"{stream}.http-flv", egress.flv_url(f"live/{stream}"))
        run.play("plain.rtmps", egress.rtmp_url("live/plain", tls=True))
        run.play("plain.https-flv", egress.flv_url("live/plain", tls=True))
        run.play("plain.rtmp.ffmpeg5", egress.rtmp_url("live/plain"), ffmpeg.OLD_FFMPEG)
        run.play("plain.http-flv.ffmpeg5", egress.flv_url("live/plain"), ffmpeg.OLD_FFMPEG)
        for program, command in OTHER_PLAYERS.items():
            rows = folder / f"plain.rtmp.{program}.flv"
            words = [word.format(url=egress.rtmp_url("live/plain"), file=rows) for word in command]
            run.record(f"plain.rtmp.{program}", rows, run.command(f"play.{program}", *words))
        run.finish()
        yield run


OTHER_PLAYERS = {
    "rtmpdump": ("rtmpdump", "--live", "--quiet", "-r", "{url}", "-o", "{file}"),
    "gstreamer": ("gst-launch-1.0", "-q", "rtmp2src", "location={url}", "!", "filesink", "location={file}"),
}


def gstreamer_push(file: Path, copy: Path, url: str) -> list[str]:
    """GStreamer muxes the file's tracks anew, in real time; what it makes goes to `copy` too.

    The pace is set behind the muxer: one whose tracks come live waits for neither, and stamps what is late anew.
    """
    pipeline = f"""gst-launch-1.0 -q filesrc location={file} ! flvdemux name=in
        in.video ! queue ! h264parse ! out.video
        in.audio ! queue ! aacparse ! out.audio
        flvmux name=out streamable=true ! clocksync ! tee name=both
        both. ! queue ! filesink location={copy}
        both. ! queue ! rtmp2sink location={url}"""
    return pipeline.split()


@pytest.mark.parametrize(
    "playback",
    [
        *("tls.rtmp", "tls.http-flv", "ffmpeg5.rtmp", "ffmpeg5.http-flv", "gstreamer.rtmp", "gstreamer.http-flv"),
        *("plain.rtmps", "plain.https-flv", "plain.wss-flv", "plain.rtmp.ffmpeg5", "plain.http-flv.ffmpeg5"),
        *("plain.rtmp.rtmpdump", "plain.rtmp.gstreamer"),
    ],
)
def test_other_clients_and_tls_carry_every_frame(clients: Run, playback: str) -> None:
    clients.check(playback.partition(".")[0], playback)


@dataclass
class HevcEdges:
    """Where HEVC goes in, and by the form in which players get it, where it comes out."""

    enhanced: Node
    legacy: Node
    ingest: Node | None = None  #: None: a stream goes in where it comes out
    api_url: str = ""  #: of both; empty: each has its own

    @classmethod
    def start(cls, folder: Path, server: str, stack: ExitStack) -> HevcEdges:
        old: Settings = {"edge.play.hevc": "legacy"}
        if server == "cluster":
            cluster = stack.enter_context(Cluster(folder, settings={"all": GRACE}))
            return cls(cluster.edges[1], cluster.add("edge", old).wait_ready(), cluster.edges[0], cluster.api_url)
        enhanced = stack.enter_context(Standalone(folder, GRACE, name="enhanced"))
        return cls(enhanced, stack.enter_context(Standalone(folder, {**GRACE, **old}, name="legacy")))

    def out_of(self, stream: str) -> Node:
        return self.enhanced if stream.endswith("enhanced") else self.legacy

    def into(self, stream: str) -> Node:
        return self.ingest or self.out_of(stream)


ENHANCED_BIT, LEGACY_HEVC = 0x80, 12  #: of the first byte of a picture: the flag, the codec id
HEVC_FORMS = ("enhanced-to-legacy", "legacy-to-legacy", "legacy-to-enhanced")


@pytest.fixture(scope="module", params=PLACES)
def old_hevc(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """HEVC that comes as codec id 12, goes out so, or both."""
    folder = tmp_path_factory.mktemp("hevc")
    file = media("hevc_aac")
    with ExitStack() as stack:
        edges = HevcEdges.start(folder, request.param, stack)
        run = Run(folder, stack)
        for node in (edges.enhanced, edges.legacy):
            urls = {f"{each}.ws-flv": node.ws_url(f"live/{each}") for each in HEVC_FORMS if edges.out_of(each) is node}
            run.play_websockets(urls, once_live=edges.api_url or node.api_url)
        for stream in HEVC_FORMS:
            url = edges.into(stream).rtmp_url(f"live/{stream}")
            if stream.startswith("enhanced"):
                run.push(stream, file, url)
            else:
                run.publish(stream, file, run.command(f"push.{stream}", PROGRAM, "push", "--hevc", "legacy", file, url))
        for stream in HEVC_FORMS:
            run.play(f"{stream}.rtmp", edges.out_of(stream).rtmp_url(f"live/{stream}"))
            run.play(f"{stream}.http-flv", edges.out_of(stream).flv_url(f"live/{stream}"))
        run.finish()
        yield run


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("stream", HEVC_FORMS)
def test_hevc_as_older_clients_know_it_is_the_same_hevc(old_hevc: Run, stream: str, protocol: str) -> None:
    old_hevc.check(stream, f"{stream}.{protocol}")


@pytest.mark.parametrize("stream", HEVC_FORMS)
def test_hevc_comes_in_the_form_that_its_edge_is_set_to(old_hevc: Run, stream: str) -> None:
    tags = wire.tags_of_file(old_hevc.rows[f"{stream}.ws-flv"])
    firsts = {tag.body[0] for tag in tags if tag.type_id == TAG_VIDEO}
    enhanced = stream.endswith("enhanced")
    assert firsts
    assert all(bool(first & ENHANCED_BIT) == enhanced for first in firsts)
    assert enhanced or {first & 0x0F for first in firsts} == {LEGACY_HEVC}
