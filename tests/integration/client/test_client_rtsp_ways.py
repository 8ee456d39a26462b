"""How the packets of RTSP clients go, where a server does not do UDP, or does it otherwise than most."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from support.ports import LOOPBACK
from support.pulled import LIMIT_S, first_sounds, push_sound
from support.rtsp_script import SESSION, Answer, ScriptedServer
from support.rtsp_talk import PCMA_SDP, packet

from lalmesh.client import ClientOptions, Refused, TimedOut, open_player
from lalmesh.client._rtsp_ways import HOLE_PUNCH
from lalmesh.container.flv import TAG_AUDIO
from lalmesh.errors import RemoteProtocolError

SOON_S = 0.3
AUTO = ClientOptions(stall_timeout_s=30, first_media_timeout_s=30)
TCP = ClientOptions(stall_timeout_s=30, first_media_timeout_s=30, rtsp_transport="tcp")
UDP = ClientOptions(stall_timeout_s=30, first_media_timeout_s=30, rtsp_transport="udp")
UNSUPPORTED = Answer(status=461)


# TCP or UDP, and 461


@pytest.mark.parametrize(("options", "is_udp"), [(AUTO, True), (UDP, True), (TCP, False)], ids=["auto", "udp", "tcp"])
async def test_a_player_asks_for_the_way_that_it_is_set_to(options: ClientOptions, is_udp: bool) -> None:
    async with ScriptedServer() as server:
        assert await first_sounds(server.url, options)
        asked = (await server.asked("SETUP")).headers.get("transport")
    assert asked.startswith("RTP/AVP;unicast;client_port=") == is_udp
    assert asked.startswith("RTP/AVP/TCP;unicast;interleaved=0-1") != is_udp


@pytest.mark.parametrize(("options", "is_udp"), [(AUTO, False), (UDP, True), (TCP, False)], ids=["auto", "udp", "tcp"])
async def test_a_publisher_asks_for_the_way_that_it_is_set_to(options: ClientOptions, is_udp: bool) -> None:
    async with ScriptedServer() as server:
        await push_sound(server.url, options)
        asked = (await server.asked("SETUP")).headers.get("transport")
        assert ("client_port=" in asked) == is_udp
        assert "mode=record" in asked
        assert bool(server.frames) != is_udp


async def test_a_player_that_may_takes_the_connection_where_udp_is_unsupported() -> None:
    async with ScriptedServer({"SETUP": [UNSUPPORTED]}) as server:
        assert await first_sounds(server.url, AUTO)
        assert "interleaved=0-1" in (await server.asked("SETUP", 2)).headers.get("transport")
        assert server.methods.count("DESCRIBE") == 1


TWO_TRACKS = PCMA_SDP + b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:streamid=1\r\n"


async def test_a_player_whose_second_track_is_refused_by_udp_sets_all_up_again() -> None:
    described = Answer(fields={"Content-Type": "application/sdp"}, body=TWO_TRACKS)
    first = Answer(fields={"Session": SESSION, "Transport": "RTP/AVP;unicast;client_port=1-2;server_port=3-4"})
    async with ScriptedServer({"DESCRIBE": [described], "SETUP": [first, UNSUPPORTED]}) as server:
        assert await first_sounds(server.url, AUTO)
        assert server.methods[:8] == ["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "TEARDOWN", "SETUP", "SETUP", "PLAY"]
        ways = [request.headers.get("transport") for request in server.requests if request.method == "SETUP"]
    assert ["client_port" in way for way in ways] == [True, True, False, False]


@pytest.mark.parametrize("use", [first_sounds, push_sound])
async def test_who_wants_udp_only_is_told_that_it_is_unsupported(use: Callable[[str, ClientOptions], Awaitable[object]]) -> None:
    async with ScriptedServer({"SETUP": [UNSUPPORTED]}) as server:
        with pytest.raises(Refused, match="RTSP 461"):
            await use(server.url, UDP)


async def test_unsupported_on_the_connection_too_is_a_refusal() -> None:
    async with ScriptedServer({"SETUP": [UNSUPPORTED, UNSUPPORTED]}) as server:
        with pytest.raises(Refused, match="RTSP 461"):
            await first_sounds(server.url, AUTO)


async def test_a_server_that_takes_another_way_than_asked_for_is_at_fault() -> None:
    fields = {"Session": SESSION, "Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
    async with ScriptedServer({"SETUP": [Answer(fields=fields)]}) as server:
        with pytest.raises(RemoteProtocolError, match="interleaved"):
            await first_sounds(server.url, UDP)


async def test_a_publisher_by_udp_needs_ports_to_send_to() -> None:
    fields = {"Session": SESSION, "Transport": "RTP/AVP;unicast;client_port=1-2"}
    async with ScriptedServer({"SETUP": [Answer(fields=fields)]}) as server:
        with pytest.raises(RemoteProtocolError, match="without server ports"):
            await push_sound(server.url, UDP)


async def test_a_player_by_whose_ports_nothing_comes_takes_the_connection() -> None:
    async with ScriptedServer(packets=0) as server:
        options = ClientOptions(udp_silence_s=SOON_S, first_media_timeout_s=SOON_S)
        with pytest.raises(TimedOut, match="first message"):
            await first_sounds(server.url, options)
        ways = [request.headers.get("transport") for request in server.requests if request.method == "SETUP"]
    assert ["client_port" in way for way in ways] == [True, False]


# hole punching


async def test_a_player_punches_before_it_asks_for_media() -> None:
    async with ScriptedServer() as server:
        assert await first_sounds(server.url, UDP)
        assert server.early
        assert set(server.early) == {HOLE_PUNCH}
        reports = server.pairs[0][1].recv(2000)
    assert reports[1] == 201  # a receiver report, so that RTCP comes in too


async def test_media_from_another_port_of_the_server_are_taken_and_those_of_other_hosts_are_not() -> None:
    async with ScriptedServer(packets=1) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as foreign:
            other.bind((LOOPBACK, 0))
            foreign.bind(("127.0.0.2", 0))
            async with asyncio.timeout(LIMIT_S), open_player(server.url, UDP) as player:
                for number in range(1, 10):
                    server.send(packet(number, ssrc=9), foreign)
                    server.send(packet(number), other)
                server.writers[0].close()
                sounds = [tag async for tag in player if tag.type_id == TAG_AUDIO]
    assert len(sounds) == 10
