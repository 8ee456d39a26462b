"""Who may publish and play by RTSP, as real clients find out: Basic, Digest by MD5 and by SHA-256, in and out.

ffmpeg and GStreamer know Basic and MD5, libcurl and our own client SHA-256 too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

import pytest
from e2e.test_frames import RUN_S, Run
from support import curl_rtsp, ffmpeg, frames
from support.cluster import PROGRAM, Node, Standalone
from support.media import media
from support.process import wait_until
from support.rtsp_peer import RtspPeer, talking
from support.rtsp_talk import PCMA_SDP

from lalmesh.protocol.http_auth import ClientAuth
from lalmesh.protocol.rtsp import Response

Login = tuple[str, str]  #: name and password

MEDIA = "h264_aac"
PUBLISHER, PLAYER, STRANGER = ("alice", "in"), ("bob", "out"), ("alice", "wrong")
SCHEMES = ("basic", "digest", "sha-256")
#: By the scheme of the server, who can log in there.
CLIENTS = {
    "basic": ("ffmpeg", "ffmpeg5", "gstreamer"),
    "digest": ("ffmpeg", "ffmpeg5", "gstreamer", "lalmesh"),
    "sha-256": ("lalmesh",),
}
CASES = [(scheme, client) for scheme, clients in CLIENTS.items() for client in clients]
LEAST_PICTURES = 50  #: of the 200 that each sends: those who play come later
GSTREAMER_S = 14  #: for 8 s of media
PICTURES = ("-map", "0:v", *frames.DECODED, "-f", "framemd5")


class Servers:
    """One for each scheme, with the same users, and what clients log in to there."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        users = {}
        for role, (name, password) in {"publish": PUBLISHER, "play": PLAYER}.items():
            file = folder / role
            file.write_text(f"{name}:{password}\n")
            users[f"edge.rtsp.auth.{role}_users_file"] = str(file)
        self.nodes: dict[str, Node] = {}
        for scheme in SCHEMES:
            own = folder / scheme
            own.mkdir()
            settings = {"origin.grace_s": 1, "edge.rtsp.wait_publisher": False, "edge.rtsp.auth.scheme": scheme, **users}
            self.nodes[scheme] = stack.enter_context(Standalone(own, settings))

    def url(self, scheme: str, stream: str, login: Login | None = None) -> str:
        """Where a stream is, with a login in it."""
        return with_login(self.nodes[scheme].rtsp_url(f"live/{stream}"), login)


def with_login(url: str, login: Login | None) -> str:
    return url.replace("://", f"://{login[0]}:{login[1]}@") if login else url


def push(client: str, url: str) -> list[str | Path]:
    """The file in real time."""
    file = media(MEDIA)
    match client:
        case "lalmesh":
            return [PROGRAM, "push", file, url]
        case "gstreamer":
            pipeline = f"""env GST_PLUGIN_FEATURE_RANK=rtpmp4apay:NONE gst-launch-1.0 -q
                rtspclientsink name=out location={url} protocols=tcp
                filesrc location={file} ! flvdemux name=in in.video ! queue ! h264parse ! clocksync ! out.
                in.audio ! queue ! aacparse ! clocksync ! out."""
            return list(ffmpeg.bounded(GSTREAMER_S, pipeline.split()))
        case _:
            read: list[str | Path] = [*ffmpeg.quiet(program(client)), "-re", "-i", file, "-map", "0", "-c", "copy"]
            return [*read, "-f", "rtsp", "-rtsp_transport", "tcp", url]


def play(client: str, url: str, file: Path) -> list[str | Path]:
    """Into a file that `pictures` reads."""
    match client:
        case "lalmesh":
            return [PROGRAM, "pull", url, file]
        case "gstreamer":
            pipeline = f"""gst-launch-1.0 -q -e rtspsrc name=in location={url} protocols=tcp buffer-mode=none
                in. ! rtph264depay ! queue ! h264parse ! out.
                matroskamux name=out ! filesink location={file}"""
            return list(pipeline.split())
        case _:
            return [*ffmpeg.quiet(program(client)), "-rtsp_transport", "tcp", "-i", url, "-map", "0", "-c", "copy", "-y", file]


def program(client: str) -> Path:
    return ffmpeg.OLD_FFMPEG if client == "ffmpeg5" else ffmpeg.FFMPEG


def pictures(file: Path) -> list[str]:
    """The hash of each, as they are shown."""
    return [frame.md5 for frame in frames.parse(ffmpeg.run("-i", file, *PICTURES, "-")).track("video")]


class Playbacks:
    """What clients got that logged in, by scheme and client."""

    def __init__(self, folder: Path, run: Run, servers: Servers) -> None:
        self.servers = servers
        self.run = run
        self._folder = folder

    def file(self, scheme: str, client: str) -> Path:
        return self._folder / f"{scheme}.{client}.{'flv' if client == 'lalmesh' else 'mkv'}"

    def start(self, scheme: str, client: str, url: str, file: Path) -> None:
        """Play a stream of a client's own kind."""
        self.run.record(file.name, file, self.run.command(f"play.{file.name}", *play(client, url, file)))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(tmp_path_factory.mktemp("servers"), stack)


@pytest.fixture(scope="module")
def playbacks(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playbacks]:
    """Every client publishes where it can log in, and plays what it has published."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("clients")
        runs = {scheme: Run(folder, stack) for scheme in SCHEMES}
        for scheme, client in CASES:
            command = push(client, servers.url(scheme, client, PUBLISHER))
            runs[scheme].publish(client, media(MEDIA), runs[scheme].command(f"push.{scheme}.{client}", *command))
        for scheme, run in runs.items():
            run.wait_live(servers.nodes[scheme].api_url)
        all_players = Run(folder, stack)
        playbacks = Playbacks(folder, all_players, servers)
        for scheme, client in CASES:
            playbacks.start(scheme, client, servers.url(scheme, client, PLAYER), playbacks.file(scheme, client))
        for run in (*runs.values(), all_players):
            run.finish()
        yield playbacks


@pytest.mark.parametrize(("scheme", "client"), CASES)
def test_who_logs_in_publishes_and_plays(playbacks: Playbacks, scheme: str, client: str) -> None:
    file = playbacks.file(scheme, client)
    assert file.exists(), playbacks.run.explain()
    sent, got = pictures(media(MEDIA)), pictures(file)
    first = sent.index(got[0])
    assert got == sent[first : first + len(got)]
    assert len(got) >= LEAST_PICTURES


@pytest.mark.parametrize("client", ["ffmpeg", "ffmpeg5"])
@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_who_has_the_wrong_password_is_told_so(servers: Servers, run: Run, scheme: str, client: str) -> None:
    into = run.command("push", *push(client, servers.url(scheme, "closed", STRANGER)))
    out = run.command("play", *play(client, servers.url(scheme, "closed", STRANGER), run.folder / "closed.mkv"))
    for child in (into, out):
        with child:
            assert child.wait(RUN_S) != 0
            assert "401" in child.output()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """For one test."""
    with ExitStack() as stack:
        yield Run(tmp_path, stack)


def curl(method: str, url: str, login: Login, auth: str = "digest") -> int:
    """The status that libcurl gets in the end."""
    return curl_rtsp.ask(method, url, ":".join(login), auth, PCMA_SDP if method == "ANNOUNCE" else b"").status


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curl_logs_in_by_every_scheme(servers: Servers, scheme: str) -> None:
    auth = "basic" if scheme == "basic" else "digest"
    url = servers.url(scheme, "curl")
    for login, announced, described in ((PUBLISHER, 200, 401), (PLAYER, 401, 404), (STRANGER, 401, 401)):
        assert curl("ANNOUNCE", url, login, auth) == announced
        assert curl("DESCRIBE", url, login, auth) == described


# a nonce that is too old


@pytest.fixture
def bridge(servers: Servers, run: Run) -> Iterator[Callable[[Login | None], str]]:
    """To a server whose first challenge has a nonce that it never made: what comes back with it is as good as one too old."""
    file = run.folder / "bridge.json"
    way = f"stale={servers.nodes['digest'].rtsp_url('')}#foreign-nonce"
    with run.command("bridge", sys.executable, "-m", "support.rtsp_bridge", file, way) as child:
        wait_until("the bridge", file.exists, RUN_S, child=child)
        port = json.loads(file.read_text())["stale"]
        yield lambda login: with_login(f"rtsp://127.0.0.1:{port}/live/stale", login)


def test_clients_go_on_by_themselves_with_a_fresh_nonce(bridge: Callable[[Login | None], str], run: Run) -> None:
    """libcurl, GStreamer and our own client; ffmpeg asks no more than twice."""
    assert curl("DESCRIBE", bridge(None), PLAYER) == 404
    assert curl("DESCRIBE", bridge(None), STRANGER) == 401
    files = {client: run.folder / f"{client}.{'flv' if client == 'lalmesh' else 'mkv'}" for client in ("lalmesh", "gstreamer")}
    with run.command("push", *push("lalmesh", bridge(PUBLISHER))) as publisher, ExitStack() as stack:
        wait_until("the stream", lambda: curl("DESCRIBE", bridge(None), PLAYER) == 200, RUN_S)
        for client, file in files.items():
            run.record(client, file, run.command(f"play.{client}", *play(client, bridge(PLAYER), file)))
        publisher.wait(RUN_S)
        stack.callback(run.finish)
    for file in files.values():
        assert file.exists(), run.explain()
        assert len(pictures(file)) >= LEAST_PICTURES


# request by request


def about(servers: Servers, scheme: str, stream: str) -> AbstractAsyncContextManager[RtspPeer]:
    return talking(servers.nodes[scheme].ports["rtsp"], servers.url(scheme, stream))


async def ask(client: RtspPeer, method: str, shown: str = "") -> Response:
    return await client.ask(method, {"Authorization": shown} if shown else {}, PCMA_SDP if method == "ANNOUNCE" else b"")


def login_to(answer: Response, login: Login, method: str, url: str) -> str:
    """What a client shows for a challenge."""
    user = ClientAuth(*login, bytes)
    assert user.challenged(answer.headers.all("www-authenticate"))
    return user.authorization(method, url) or ""


@pytest.mark.parametrize(("method", "login", "status"), [("ANNOUNCE", PUBLISHER, 200), ("DESCRIBE", PLAYER, 404)])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_wrong_credentials_are_asked_for_again(servers: Servers, scheme: str, method: str, login: Login, status: int) -> None:
    """A second 401 and not a closed socket; then the right ones do, on the same connection."""
    async with about(servers, scheme, "again") as client:
        answer = await ask(client, method)
        for wrong in (STRANGER, PUBLISHER if login is PLAYER else PLAYER):
            answer = await ask(client, method, login_to(answer, wrong, method, client.talk.url))
            assert answer.status == 401
            assert "stale" not in answer.headers.get("www-authenticate")
        assert (await ask(client, method, login_to(answer, login, method, client.talk.url))).status == status
        assert (await client.ask("OPTIONS")).status == 200


@pytest.mark.parametrize(("method", "login", "status"), [("ANNOUNCE", PUBLISHER, 200), ("DESCRIBE", PLAYER, 404)])
@pytest.mark.parametrize("scheme", ["digest", "sha-256"])
async def test_a_nonce_of_somebody_else_lets_nobody_in(
    servers: Servers, scheme: str, method: str, login: Login, status: int
) -> None:
    algorithm = "MD5" if scheme == "digest" else "SHA-256"
    own = ClientAuth(*login, bytes)
    own.challenged([f'Digest realm="lalmesh", nonce="{"0" * 52}", algorithm={algorithm}, qop="auth"'])
    async with about(servers, scheme, "foreign") as client:
        answer = await ask(client, method, own.authorization(method, client.talk.url) or "")
        assert answer.status == 401
        assert all(challenge.endswith("stale=true") for challenge in answer.headers.all("www-authenticate"))
        assert (await ask(client, method, login_to(answer, login, method, client.talk.url))).status == status
