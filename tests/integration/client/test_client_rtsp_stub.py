"""RTSP publisher and player against a server that asks who they are, sends them away, falls silent or hangs up."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Sequence
from itertools import count

import pytest
from support.ports import LOOPBACK
from support.pulled import LIMIT_S, first_sounds, push_sound
from support.rtsp_script import HANG_UP, PUBLIC, SESSION, SILENCE, Answer, ScriptedServer
from support.rtsp_talk import frame

from lalmesh.client import (
    ClientOptions,
    ConnectionFailed,
    Refused,
    RefusedNotAuthorized,
    TimedOut,
    open_player,
    open_publisher,
)
from lalmesh.container.flv import AUDIO_TRACK_ID, TAG_AUDIO
from lalmesh.media import Codec, Track, TrackSet

SOON_S = 0.3
AUTO = ClientOptions(stall_timeout_s=30, first_media_timeout_s=30)
TCP = ClientOptions(stall_timeout_s=30, first_media_timeout_s=30, rtsp_transport="tcp")
UDP = ClientOptions(stall_timeout_s=30, first_media_timeout_s=30, rtsp_transport="udp")
#: 20 ms of G.711 A-law, for a publisher that sends on and on
TONE = TrackSet((Track(track_id=AUDIO_TRACK_ID, codec=Codec.PCMA, sample_rate_hz=8000, channels=1),))

# authentication

BASIC, OLD, MD5, SHA = (
    'Basic realm="r"',
    'Digest realm="r", nonce="n"',
    'Digest realm="r", nonce="n", qop="auth", algorithm=MD5',
    'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256',
)


def challenge(*challenges: str) -> Answer:
    """As several fields: they do not fit into one mapping otherwise."""
    return Answer(status=401, fields={"WWW-Authenticate": ", ".join(challenges)})


@pytest.mark.parametrize(
    ("challenges", "begin"),
    [
        ([BASIC], "Basic bWU6cGFzcw=="),
        ([BASIC, OLD], "Digest "),
        ([OLD], "Digest "),
        ([MD5, SHA], "Digest "),
    ],
)
@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
async def test_a_challenge_is_answered_wherever_it_comes(method: str, challenges: Sequence[str], begin: str) -> None:
    async with ScriptedServer({method: [challenge(*challenges)]}) as server:
        assert await first_sounds(server.url.replace("//", "//me:pass@"), TCP)
        said = (await server.asked(method, 2)).headers.get("authorization")
        assert said.startswith(begin)
        assert ("SHA-256" in said) == (SHA in challenges)
        assert all(request.headers.get("authorization") for request in server.requests[server.methods.index(method) + 1 :])


async def test_an_answer_to_a_challenge_is_right() -> None:
    async with ScriptedServer({"ANNOUNCE": [challenge(OLD)]}) as server:
        await push_sound(server.url.replace("//", "//me:pass@"), TCP)
        said = (await server.asked("ANNOUNCE", 2)).headers.get("authorization")
    secret, request = (hashlib.md5(text.encode()).hexdigest() for text in ("me:r:pass", f"ANNOUNCE:{server.url}"))
    assert hashlib.md5(f"{secret}:n:{request}".encode()).hexdigest() in said


async def test_a_nonce_that_is_stale_is_replaced() -> None:
    stale = Answer(status=401, fields={"WWW-Authenticate": 'Digest realm="r", nonce="second", stale=true'})
    async with ScriptedServer({"DESCRIBE": [challenge(OLD)], "PLAY": [stale]}) as server:
        assert await first_sounds(server.url.replace("//", "//me:pass@"), TCP)
        assert 'nonce="second"' in (await server.asked("PLAY", 2)).headers.get("authorization")


@pytest.mark.parametrize("login", ["", "me:wrong@"])
async def test_who_is_not_known_is_refused(login: str) -> None:
    async with ScriptedServer({"DESCRIBE": [challenge(OLD)] * 3}) as server:
        with pytest.raises(RefusedNotAuthorized, match="RTSP 401"):
            await first_sounds(server.url.replace("//", f"//{login}"), TCP)
        assert server.methods.count("DESCRIBE") == (2 if login else 1)


# signs of life


@pytest.mark.parametrize(
    ("public", "method"), [(PUBLIC, "GET_PARAMETER"), ("OPTIONS, DESCRIBE, SETUP, PLAY", "OPTIONS"), ("", "OPTIONS")]
)
@pytest.mark.parametrize("options", [TCP, UDP], ids=["tcp", "udp"])
async def test_signs_of_life_are_what_the_server_offers(public: str, method: str, options: ClientOptions) -> None:
    offer = Answer(fields={"Public": public})
    async with ScriptedServer({"OPTIONS": [offer] * 5}, timeout_s=2) as server, asyncio.timeout(LIMIT_S):
        async with open_player(server.url, options):
            await server.asked(method, 2 + (method == "OPTIONS"))
            sign = [request for request in server.requests if request.method == method][-1]
        assert sign.headers.get("session") == SESSION
        assert server.methods[4:6] == [method, method]


async def test_a_sign_of_life_that_the_server_does_not_know_after_all_is_replaced() -> None:
    async with ScriptedServer({"GET_PARAMETER": [Answer(status=501)]}, timeout_s=2) as server, asyncio.timeout(LIMIT_S):
        async with open_player(server.url, TCP):
            await server.asked("OPTIONS", 2)
        assert server.methods[4:6] == ["GET_PARAMETER", "OPTIONS"]


async def test_a_publisher_gives_signs_of_life() -> None:
    async with ScriptedServer(timeout_s=2) as server, asyncio.timeout(LIMIT_S), open_publisher(server.url, TONE, UDP):
        await server.asked("GET_PARAMETER", 2)


async def test_a_session_that_the_server_has_lost_is_over() -> None:
    async with ScriptedServer({"GET_PARAMETER": [Answer(status=454)]}, timeout_s=2) as server, asyncio.timeout(LIMIT_S):
        async with open_player(server.url, TCP) as player:
            assert [tag async for tag in player]
        assert player.end_reason == "session not found"


# redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307])
@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP"])
async def test_a_player_goes_where_it_is_sent(method: str, status: int) -> None:
    async with ScriptedServer() as target:
        sent = Answer(status=status, fields={"Location": target.url})
        async with ScriptedServer({method: [sent]}) as server:
            assert await first_sounds(server.url, AUTO)
        assert "PLAY" in target.methods


async def test_a_redirect_may_leave_the_server_out() -> None:
    async with ScriptedServer({"DESCRIBE": [Answer(status=302, fields={"Location": "/live/other"})]}) as server:
        assert await first_sounds(server.url, TCP)
        assert (await server.asked("PLAY")).uri.rstrip("/") == f"rtsp://{LOOPBACK}:{server.port}/live/other"


async def test_a_redirect_to_nowhere_is_a_refusal() -> None:
    async with ScriptedServer({"DESCRIBE": [Answer(status=302)]}) as server:
        with pytest.raises(Refused, match="RTSP 302"):
            await first_sounds(server.url, TCP)


async def test_a_player_does_not_go_in_circles() -> None:
    async with ScriptedServer() as server:
        server.say("DESCRIBE", [Answer(status=302, fields={"Location": server.url})] * 9)
        with pytest.raises(ConnectionFailed, match="redirects"):
            await first_sounds(server.url, TCP)


async def test_a_player_that_is_sent_elsewhere_later_ends_and_says_where() -> None:
    request = b"REDIRECT rtsp://127.0.0.1/live/test RTSP/1.0\r\nCSeq: 1\r\nLocation: rtsp://other/live/test\r\n\r\n"
    playing = Answer(fields={"Session": SESSION}, behind=frame(0) + request)
    async with ScriptedServer({"PLAY": [playing]}) as server, asyncio.timeout(LIMIT_S):
        async with open_player(server.url, TCP) as player:
            assert [tag async for tag in player]
        assert player.end_reason == "redirected to rtsp://other/live/test"


# time-outs, and servers that go away


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
async def test_a_player_waits_for_consent_as_long_as_it_is_set_to(method: str) -> None:
    async with ScriptedServer({method: [SILENCE]}) as server:
        with pytest.raises(TimedOut, match=r"consent to play within 0\.3 s"):
            await first_sounds(server.url, ClientOptions(handshake_timeout_s=SOON_S))


@pytest.mark.parametrize("method", ["ANNOUNCE", "SETUP", "RECORD"])
async def test_a_publisher_waits_for_consent_as_long_as_it_is_set_to(method: str) -> None:
    async with ScriptedServer({method: [SILENCE]}) as server:
        with pytest.raises(TimedOut, match="consent to publish"):
            await push_sound(server.url, ClientOptions(handshake_timeout_s=SOON_S))


async def test_a_connection_has_a_time_limit() -> None:
    with socket.create_server((LOOPBACK, 0)) as deaf:  # TLS never begins
        url = f"rtsps://{LOOPBACK}:{deaf.getsockname()[1]}/live/test"
        with pytest.raises(TimedOut, match="connection to"):
            await first_sounds(url, ClientOptions(connect_timeout_s=SOON_S, verify=False))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_media_that_stop_end_a_player(transport: str) -> None:
    options = ClientOptions(rtsp_transport="udp" if transport == "udp" else "tcp", stall_timeout_s=SOON_S)
    async with ScriptedServer(packets=3) as server:
        with pytest.raises(TimedOut, match=r"no message within 0\.3 s"):
            await first_sounds(server.url, options)


async def test_a_server_that_takes_nothing_ends_a_publisher() -> None:
    async with ScriptedServer(reads=False) as server, asyncio.timeout(LIMIT_S):
        with pytest.raises(TimedOut, match="room to send"):
            await talk_on(server.url, ClientOptions(stall_timeout_s=SOON_S))


async def talk_on(url: str, options: ClientOptions) -> None:
    """Publish for ever, as fast as the server takes it."""
    async with open_publisher(url, TONE, options) as publisher:
        for number in count():
            publisher.send(TAG_AUDIO, 20 * number, b"\x72" + bytes(60_000))
            await publisher.drain()


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
async def test_a_server_that_hangs_up_has_failed(method: str) -> None:
    async with ScriptedServer({method: [HANG_UP]}) as server:
        with pytest.raises(ConnectionFailed, match="closed by the server"):
            await first_sounds(server.url, AUTO)


@pytest.mark.parametrize("options", [TCP, UDP], ids=["tcp", "udp"])
async def test_a_server_that_hangs_up_later_ends_the_stream_behind_what_it_sent(options: ClientOptions) -> None:
    async with ScriptedServer() as server, asyncio.timeout(LIMIT_S):
        async with open_player(server.url, options) as player:
            server.writers[0].close()
            sounds = [tag async for tag in player if tag.type_id == TAG_AUDIO]
        assert player.end_reason == "closed by the server"
    assert len(sounds) == 50
