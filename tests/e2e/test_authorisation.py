"""Who may publish and play: every protocol with every method, right, wrong, expired, missing and replayed, and in time."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm
from support import ffmpeg, wire
from support.access_attempts import PLAYS, PUBLISHES, RTMP, TLS_PLAYS, TLS_PUBLISHES, Outcome, attempt
from support.access_callback import GOOD, CallbackServer
from support.cluster import Standalone
from support.operator_api import call
from support.ports import LOOPBACK
from support.process import wait_until

from lalmesh.names import StreamKey
from lalmesh.protocol.http_auth import ClientAuth
from lalmesh.runtime.authorisation import Action, lal_secret_of, signed_query

Media = Callable[[str], Path]

SOON_S = 10.0  #: much less than `LONG_S`, and more than a refusal, of some 10 ms, takes on a machine that runs other tests
LONG_S = 60.0  #: for what nothing here is to wait for: handshakes, claims, a callback
LASTS_S = 600  #: that what is shown is good for
LIMIT_S = 30.0
SETTING_S = 30.0  #: for a node to have heard of a setting
LAL_KEY, MASTER = "q191201771", "PenGrl"
SIGNING = secrets.token_hex(16)
USER, PASSWORD = "alice", "wonder land"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY, OTHER_RSA_KEY = (rsa.generate_private_key(65537, 2048) for _ in range(2))
FETCHED_KEY = ec.generate_private_key(ec.SECP256R1())  #: that of the key set
SECRET = secrets.token_hex(32)
WELCOME, DENIED, UNLISTED = "127.0.0.2", "127.0.0.9", "127.0.0.77"  #: addresses of this machine
RULES = [
    "any lal/* lal_secret",
    "any signed/* signed",
    "any jwt/* jwt",
    "any password/* password",
    "any callback/* callback",
    "any closed/* deny",
    "play watched/* signed jwt",
    "publish watched/* open",
    "any open/* open",
]
LONG = {"edge.limits.handshake_timeout_s": LONG_S, "cluster.claim_timeout_s": LONG_S, "auth.callback.timeout_s": LONG_S}
METHODS = ("lal", "signed", "jwt", "password", "callback")
CASES = ("good", "wrong", "expired", "missing", "replayed")


@pytest.fixture(scope="module")
def callback() -> Iterator[CallbackServer]:
    public = json.loads(ECAlgorithm.to_jwk(FETCHED_KEY.public_key()))
    with CallbackServer({"keys": [public | {"kid": "fetched", "alg": "ES256"}]}) as server:
        yield server


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, callback: CallbackServer) -> Iterator[Standalone]:
    """A server with a rule for each method."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "users").write_text(f"{USER}:{PASSWORD.replace(' ', '_')}\n")
    (folder / "lal").write_text(LAL_KEY)
    (folder / "master").write_text(MASTER)
    (folder / "keys").write_text(f"k1:{SIGNING}\nold:{SIGNING[::-1]}\n")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = (key.public_key().public_bytes(serialization.Encoding.PEM, form) for key in (EC_KEY, RSA_KEY))
    (folder / "public.pem").write_bytes(b"".join(pem))
    (folder / "secret").write_text(SECRET)
    settings = {
        "auth.rules": RULES,
        "auth.otherwise": "deny",
        "auth.failures_per_minute": 0,
        "auth.lal_secret.key_file": str(folder / "lal"),
        "auth.lal_secret.master_secret_file": str(folder / "master"),
        "auth.signed.keys_file": str(folder / "keys"),
        "auth.jwt.public_key_file": str(folder / "public.pem"),
        "auth.jwt.secret_file": str(folder / "secret"),
        "auth.jwt.jwks_url": callback.keys_url,
        "auth.password.publish_users_file": str(folder / "users"),
        "auth.password.play_users_file": str(folder / "users"),
        "auth.callback.url": callback.url,
        **{f"auth.addresses.{action}_allow": ["127.0.0.0/28"] for action in ("publish", "play")},
        **{f"auth.addresses.{action}_deny": [DENIED] for action in ("publish", "play")},
        "edge.play.wait_publisher_s": 0,
        "hls.wait_s": 0,
        **LONG,
        **certificate(folder),
    }
    with Standalone(folder, settings) as server:
        yield server


def certificate(folder: Path) -> dict[str, object]:
    """One that nobody has to believe in."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=30)
    return {f"{role}.tls.{name}_file": str(file) for role in ("edge", "hls") for name, file in (("cert", cert), ("key", key))}


# what is shown


@dataclass(slots=True, frozen=True)
class Shown:
    """What a client shows."""

    query: str = ""
    authorization: str = ""


def token(
    action: str, name: str = "*", *, lasts_s: int = LASTS_S, key: ec.EllipticCurvePrivateKey = EC_KEY, app: str = "jwt"
) -> str:
    claims = {"exp": int(time.time()) + lasts_s, "action": action, "app": app, "name": name}
    return jwt.encode(claims, key, algorithm="ES256")


def shown(method: str, case: str, action: str, stream: str) -> Shown | None:
    """What a client shows in a case; None where the method has no such case.

    A password and lal's secret never expire, and the callback says itself what is over, so none of them has `expired`; nothing of a
    password or of a callback's token is for a stream, so neither has `replayed`.
    """
    name = stream.rpartition("/")[2]
    other = "other" if case == "replayed" else name
    match method, case:
        case _, "missing":
            return Shown()
        case "lal", "good" | "replayed":
            return Shown(f"lal_secret={lal_secret_of(other, LAL_KEY)}")
        case "lal", "wrong":
            return Shown(f"lal_secret={MASTER.lower()}")  # lal's defect
        case "signed", "good" | "expired" | "replayed":
            expires_s = int(time.time()) + (-1 if case == "expired" else LASTS_S)
            key = StreamKey("signed", other)
            return Shown(signed_query(SIGNING.encode(), Action(action), key, expires_s=expires_s, key_id="k1", address="127.0.0.1"))
        case "signed", "wrong":
            key = StreamKey("signed", name)
            return Shown(signed_query(b"x" * 16, Action(action), key, expires_s=int(time.time()) + LASTS_S, key_id="k1"))
        case "jwt", "good" | "expired" | "replayed":
            return Shown("token=" + token(action, other, lasts_s=-60 if case == "expired" else LASTS_S))
        case "jwt", "wrong":
            return Shown("token=" + token(action, name, key=OTHER_KEY))
        case "password", "good" | "wrong":
            return Shown(f"user={USER}&pass={PASSWORD.replace(' ', '_') if case == 'good' else 'x'}")
        case "callback", "good" | "wrong":
            return Shown(f"token={GOOD if case == 'good' else 'x'}")
        case _:
            return None


MATRIX = [
    (protocol, action, method, case)
    for action, protocols in (("publish", (*PUBLISHES, *TLS_PUBLISHES)), ("play", (*PLAYS, *TLS_PLAYS)))
    for protocol in protocols
    for method in METHODS
    for case in CASES
    if shown(method, case, action, f"{method}/x") is not None
]


def check_refusal(outcome: Outcome, protocol: str, action: str) -> None:
    """The words of each protocol for it."""
    assert outcome.took_s < SOON_S
    if protocol in RTMP:
        assert outcome.answer == f"{_refusal(action)}: Unauthorized"
    else:
        assert outcome.answer == "401"
        assert outcome.fields["www-authenticate"]


def _refusal(action: str) -> str:
    """By RTMP."""
    return "NetStream.Publish.BadName" if action == "publish" else "NetStream.Play.Failed"


@pytest.mark.parametrize(("protocol", "action", "method", "case"), MATRIX)
async def test_every_protocol_with_every_method(node: Standalone, protocol: str, action: str, method: str, case: str) -> None:
    stream = f"{method}/{action}-{protocol}-{case}"
    show = shown(method, case, action, stream)
    assert show is not None
    outcome = await attempt(node, protocol, action, stream, show.query, show.authorization)
    if case == "good":
        assert outcome.is_let_in, outcome
        assert outcome.took_s < SOON_S
    else:
        check_refusal(outcome, protocol, action)


@pytest.mark.parametrize(("protocol", "action"), [*((one, "publish") for one in PUBLISHES), *((one, "play") for one in PLAYS)])
async def test_a_rule_that_denies_and_one_that_lets_in(node: Standalone, protocol: str, action: str) -> None:
    denied = await attempt(node, protocol, action, f"closed/{protocol}", f"lal_secret={MASTER}")
    if protocol == "rtmp":
        assert denied.answer.endswith(": Forbidden")
    else:
        assert denied.answer == "403"
    assert (await attempt(node, protocol, action, f"open/{protocol}")).is_let_in
    assert not (await attempt(node, protocol, action, f"unheard-of/{protocol}")).is_let_in


@pytest.mark.parametrize("protocol", ["http-flv", "ws-flv", "http-hls", "hls-node"])
async def test_http_takes_headers_too(node: Standalone, protocol: str) -> None:
    basic = base64.b64encode(f"{USER}:{PASSWORD.replace(' ', '_')}".encode()).decode()
    assert (await attempt(node, protocol, "play", "password/x", authorization=f"Basic {basic}")).is_let_in
    assert (await attempt(node, protocol, "play", "jwt/x", authorization=f"Bearer {token('play')}")).is_let_in
    assert not (await attempt(node, protocol, "play", "jwt/x", authorization=f"Bearer {token('publish')}")).is_let_in


async def test_rtsp_takes_a_token_as_bearer_and_as_password(node: Standalone) -> None:
    basic = base64.b64encode(f"x:{token('publish')}".encode()).decode()
    assert (await attempt(node, "rtsp", "publish", "jwt/bearer", authorization=f"Bearer {token('publish')}")).answer == "200"
    refused = await attempt(node, "rtsp", "publish", "jwt/basic")
    assert refused.fields["www-authenticate"].startswith("Basic ")
    assert (await attempt(node, "rtsp", "publish", "jwt/basic", authorization=f"Basic {basic}")).answer == "200"


async def test_a_digest_is_good_for_its_method_and_resource_alone(node: Standalone) -> None:
    """Replay: lal took any nonce, and the nonce, the realm and the URI that the client itself named."""
    stream = "password/digest"
    asked = await attempt(node, "rtsp", "publish", stream)
    url = f"rtsp://127.0.0.1/{stream}"
    client = ClientAuth(USER, PASSWORD.replace(" ", "_"), secrets.token_bytes)
    challenges = [f"Digest {each}" for each in asked.fields["www-authenticate"].split("Digest ")[1:]]
    assert client.challenged([each.rstrip(", ") for each in challenges])
    answer = client.authorization("ANNOUNCE", url) or ""
    assert (await attempt(node, "rtsp", "publish", stream, authorization=answer)).answer == "200"
    assert (await attempt(node, "rtsp", "publish", "password/other", authorization=answer)).answer == "401"
    assert (await attempt(node, "rtsp", "play", stream, authorization=answer)).answer == "401"
    assert (await attempt(node, "rtsp", "publish", f"{stream}/below", authorization=answer)).answer == "401"
    assert (await attempt(node, "rtsp", "publish", stream, authorization=answer, source=WELCOME)).answer == "401"
    forged = answer.replace('nonce="', 'nonce="0')
    assert (await attempt(node, "rtsp", "publish", stream, authorization=forged)).answer == "401"


async def test_what_was_captured_is_good_for_no_other_action_and_from_nowhere_else(node: Standalone) -> None:
    for captured, action, protocols in (("publish", "play", PLAYS), ("play", "publish", PUBLISHES)):
        for method in ("signed", "jwt"):
            show = shown(method, "good", captured, f"{method}/x")
            assert show is not None
            for protocol in protocols:
                check_refusal(await attempt(node, protocol, action, f"{method}/x", show.query), protocol, action)
    for action, protocols in (("publish", PUBLISHES), ("play", PLAYS)):
        show = shown("signed", "good", action, "signed/x")  # for one address
        assert show is not None
        for protocol in protocols:
            check_refusal(await attempt(node, protocol, action, "signed/x", show.query, source=WELCOME), protocol, action)


async def test_a_master_secret_opens_every_stream(node: Standalone) -> None:
    wanted = [*(("publish", protocol) for protocol in PUBLISHES), *(("play", protocol) for protocol in PLAYS)]
    asked = (attempt(node, protocol, action, f"lal/master-{protocol}", f"lal_secret={MASTER}") for action, protocol in wanted)
    outcomes = dict(zip(wanted, await asyncio.gather(*asked), strict=True))
    assert [each for each, outcome in outcomes.items() if not outcome.is_let_in] == []


@pytest.mark.parametrize(
    ("algorithm", "key_id", "good", "wrong"),
    [
        ("HS256", None, SECRET, SECRET[::-1]),
        ("RS256", None, RSA_KEY, OTHER_RSA_KEY),
        ("ES256", None, EC_KEY, OTHER_KEY),
        ("ES256", "fetched", FETCHED_KEY, EC_KEY),
    ],
    ids=("a secret", "RSA", "an elliptic curve", "a key set"),
)
async def test_tokens_by_every_kind_of_key(node: Standalone, algorithm: str, key_id: str | None, good: Any, wrong: Any) -> None:
    def made(key: Any, action: str, lasts_s: int = LASTS_S) -> str:
        claims = {"exp": int(time.time()) + lasts_s, "action": action, "app": "jwt"}
        headers = {"kid": key_id} if key_id is not None else None
        return "token=" + jwt.encode(claims, key, algorithm=algorithm, headers=headers)

    for protocol, action in (("rtmp", "publish"), ("rtsp", "play"), ("ws-flv", "play"), ("hls-node", "play")):
        stream = f"jwt/{algorithm}-{key_id}"
        assert (await attempt(node, protocol, action, stream, made(good, action))).is_let_in, protocol
        for query in (made(wrong, action), made(good, action, -60)):
            check_refusal(await attempt(node, protocol, action, stream, query), protocol, action)


# addresses


@pytest.mark.parametrize("source", [WELCOME, DENIED, UNLISTED])
async def test_addresses_that_may_not_are_refused_whatever_they_show(node: Standalone, source: str) -> None:
    publishes = [("publish", protocol) for protocol in (*PUBLISHES, *TLS_PUBLISHES)]
    wanted = [*publishes, *(("play", protocol) for protocol in (*PLAYS, *TLS_PLAYS))]
    asked = (attempt(node, protocol, action, f"open/{protocol}", source=source) for action, protocol in wanted)
    for (action, protocol), outcome in zip(wanted, await asyncio.gather(*asked), strict=True):
        expected = f"{_refusal(action)}: Forbidden" if protocol in RTMP else "403"
        assert outcome.is_let_in if source == WELCOME else outcome.answer == expected, (action, protocol, outcome)


async def test_an_address_is_denied_and_let_in_again_while_it_runs(node: Standalone) -> None:
    async def until(protocol: str, *, is_let_in: bool) -> None:
        deadline_s = time.monotonic() + SETTING_S
        while (found := await attempt(node, protocol, "play", "open/nobody", source=WELCOME)).is_let_in is not is_let_in:
            assert time.monotonic() < deadline_s, found

    url = f"{node.api_url}/v1/settings"
    assert (await asyncio.to_thread(call, "PATCH", url, {"values": {"auth.addresses.play_deny": [WELCOME]}}))[0] == 200
    for protocol in ("http-flv", "hls-node"):
        await until(protocol, is_let_in=False)
    assert (await attempt(node, "http-flv", "play", "open/nobody", source=DENIED)).answer == "404", "in place of what the file says"
    assert (await asyncio.to_thread(call, "DELETE", url))[0] == 200
    for protocol in ("http-flv", "hls-node"):
        await until(protocol, is_let_in=True)


async def test_what_was_wrong_is_not_told(node: Standalone) -> None:
    query = shown("signed", "good", "play", "signed/x")
    assert query is not None
    shows = ["", "sign=x", query.query, query.query.replace("key=k1", "key=k2"), query.query.replace("expires=", "expires=1")]
    outcomes = [await attempt(node, "http-flv", "play", "signed/y", each) for each in shows]
    assert len({outcome.answer for outcome in outcomes}) == 1
    heads = [{name: value for name, value in outcome.fields.items() if name != "date"} for outcome in outcomes]
    assert all(head == heads[0] for head in heads)


async def test_the_callback_is_told_who_wants_what(node: Standalone, callback: CallbackServer) -> None:
    await attempt(node, "rtmp", "publish", "callback/asked", f"user=u&pass={GOOD}")
    [asked] = [one for one in callback.asked if one["path"] == "callback/asked"]
    assert (asked["user"], asked["password"], asked["action"], asked["protocol"]) == ("u", GOOD, "publish", "rtmp")
    assert asked["ip"] == "127.0.0.1"


# real clients


def test_ffmpeg_publishes_and_plays_with_what_it_was_given(node: Standalone, media: Media, tmp_path: Path) -> None:
    good = f"?token={token('publish')}"
    file = media("h264_aac")
    with pytest.raises(AssertionError):
        ffmpeg.run("-re", "-i", file, "-t", "5", "-c", "copy", "-f", "flv", node.rtmp_url("jwt/ffmpeg"))
    with ffmpeg.Publisher(file, node.rtmp_url("jwt/ffmpeg") + good, log=tmp_path / "push.log", loops=-1):
        play = f"?token={token('play')}"
        frames = ("-frames:v", "25", "-map", "0:v", "-c", "copy", "-f", "null", "-")
        wait_until("the stream", lambda: "ffmpeg" in _streams(node), LIMIT_S)
        ffmpeg.run("-i", node.flv_url("jwt/ffmpeg") + play, *frames)
        ffmpeg.run("-rtsp_transport", "tcp", "-i", node.rtsp_url("jwt/ffmpeg") + play, *frames)
        with pytest.raises(AssertionError):
            ffmpeg.run("-i", node.flv_url("jwt/ffmpeg"), *frames)
        with pytest.raises(AssertionError):
            ffmpeg.run("-rtsp_transport", "tcp", "-i", node.rtsp_url("jwt/ffmpeg"), *frames)


def _streams(node: Standalone) -> str:
    import urllib.request

    with urllib.request.urlopen(f"{node.api_url}/v1/streams") as answer:
        return str(answer.read())


async def test_hls_is_guarded_down_to_its_segments(node: Standalone, media: Media, tmp_path: Path) -> None:
    with ffmpeg.Publisher(media("h264_aac"), node.rtmp_url("watched/hls"), log=tmp_path / "push.log", loops=-1):
        wait_until("the stream", lambda: "watched" in _streams(node), LIMIT_S)
        query = signed_query(
            SIGNING.encode(), Action.PLAY, StreamKey("watched", "hls"), expires_s=int(time.time()) + LASTS_S, key_id="k1"
        )
        await _playlist(node.ports["http"], f"/hls/watched/hls.m3u8?{query}")  # nobody waits for the first segment here
        url = f"http://127.0.0.1:{node.ports['http']}/hls/watched/hls.m3u8?{query}"
        ffmpeg.run("-i", url, "-frames:v", "50", "-map", "0:v", "-c", "copy", "-f", "null", "-", limit_s=60)
        for port in (node.ports["http"], node.ports["hls"]):
            for path in ("/hls/watched/hls.m3u8", "/hls/hls.m3u8"):
                playlist, lines = await _playlist(port, f"{path}?{query}")
                segment = next(line for line in lines if ".ts" in line)
                assert "sign=" not in segment
                where = _joined(playlist, segment)
                assert await _status(port, where) == 200
                bare = where.partition("?")[0]
                assert await _status(port, bare) == 401
                assert await _status(port, f"{bare}?{query}") == 401
                assert await _status(port, where[:-3] + "abc") == 401
                assert await _status(port, path) == 401
                forged = "Lalmesh-Edge: 0 1 127.0.0.1 x"
                assert (await wire.head_of(port, bare, forged)).status == 401


async def _playlist(port: int, target: str) -> tuple[str, list[str]]:
    """A playlist after its redirections, to a pass and to a session: where it was in the end, and its lines."""
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        where = target
        for added in ("hls_pass=", "session_id="):
            answer = await wire.head_of(port, where)
            assert answer.status == 302, answer
            where = answer.headers["location"]
            assert added in where
        async with wire.connected(port) as connection:
            got = await wire.request(connection, where, "Connection: close")
            body = (await connection.drained()).decode()
        if got.status == 200 and ".ts" in body:
            return where, body.splitlines()
        assert time.monotonic() < deadline_s, (got, body)


def _joined(playlist: str, line: str) -> str:
    from urllib.parse import urljoin

    return urljoin(playlist, line)


async def _status(port: int, target: str) -> int:
    return (await wire.head_of(port, target)).status


# the callback is down


@pytest.mark.parametrize(("on_failure", "is_let_in"), [("allow", True), ("deny", False)])
async def test_a_callback_that_is_down(tmp_path: Path, stack: ExitStack, on_failure: str, is_let_in: bool) -> None:
    nobody = stack.enter_context(socket.socket())  # its port stays taken, and is not listened on
    nobody.bind((LOOPBACK, 0))
    settings = {
        "auth.rules": ["any * callback"],
        "auth.callback.url": f"http://{LOOPBACK}:{nobody.getsockname()[1]}/",
        "auth.callback.on_failure": on_failure,
        "edge.play.wait_publisher_s": 0,
        "hls.wait_s": 0,
        **LONG,
    }
    with Standalone(tmp_path, settings) as server:
        for protocol, action in [*((one, "publish") for one in PUBLISHES), *((one, "play") for one in PLAYS)]:
            outcome = await attempt(server, protocol, action, f"live/{protocol}", "token=x")
            assert outcome.took_s < SOON_S
            assert outcome.is_let_in is is_let_in, (protocol, action, outcome)
            if not is_let_in:
                by_rtmp = f"NetStream.{action.title()}.Failed: Authorization unavailable"
                assert outcome.answer == (by_rtmp if protocol == "rtmp" else "503"), (protocol, action)


async def test_whoever_is_wrong_too_often_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "lal").write_text(LAL_KEY)
    settings = {
        "auth.rules": ["any live/* lal_secret"],
        "auth.failures_per_minute": 5,
        "auth.lal_secret.key_file": str(tmp_path / "lal"),
        "edge.play.wait_publisher_s": 0,
    }
    with Standalone(tmp_path, settings) as server:
        answers = [(await attempt(server, "http-flv", "play", "live/x", "lal_secret=x")).answer for _ in range(7)]
        assert answers == ["401"] * 5 + ["429"] * 2
        good = f"lal_secret={lal_secret_of('x', LAL_KEY)}"
        assert (await attempt(server, "rtsp", "play", "live/x", good)).answer == "403"
        assert "Too many" in (await attempt(server, "rtmp", "publish", "live/x", good)).answer
        assert (await attempt(server, "http-flv", "play", "free/x")).answer == "404"
