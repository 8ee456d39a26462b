"""Loads on servers of others, on both event loops: what is told of them is true, and their logins are known."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path

import pytest
from support.adobe_server import AdobeServer
from support.loops import Run

from bench.peers import Nginx, NodeMediaServer, Server
from lalmesh.client import ClientOptions
from lalmesh.client.load import Bench, Plan, Report, made_media

MEDIA = made_media(bitrate_bps=400_000, frame_rate=Fraction(30), key_s=0.5, audio_bps=64_000)
OPTIONS = ClientOptions(first_media_timeout_s=30)


async def report_of(plan: Plan) -> Report:
    plan.check()
    return await Bench(plan, OPTIONS, MEDIA, say=print).run()


def plan_of(publish_url: str, *play_urls: str) -> Plan:
    return Plan(
        publish_url=publish_url,
        play_urls=play_urls,
        streams=2,
        players=3,
        looking=2,
        publish_within_s=0.1,
        play_within_s=0.1,
        settle_s=0.3,
        duration_s=1.0,
    )


def check_well(report: Report) -> None:
    assert report.faults == []
    for played in report.players:
        assert (played.joined, played.looks.missing, played.looks.doubled) == (6, 0, 0)
        assert played.looks.units > 40
        assert played.looks.delay_ms is not None
        assert played.lowest_bps > 250_000


@pytest.mark.skipif(not Nginx.available(), reason="nginx and its RTMP module are not installed")
def test_nginx_rtmp(tmp_path: Path, run: Run) -> None:
    async def load(server: Server) -> None:
        check_well(await report_of(plan_of(server.rtmp_url("live/a-{}"), server.rtmp_url("live/a-{}"))))

    with Nginx(tmp_path, wait_key=True) as server:
        run(load(server))


@pytest.mark.skipif(not NodeMediaServer.available(), reason="node and npm are not installed")
def test_node_media_server_whose_answers_come_in_chunks(tmp_path: Path, run: Run) -> None:
    async def load(server: Server) -> None:
        url = server.rtmp_url("live/a-{}")
        check_well(await report_of(plan_of(url, url, server.flv_url("live/a-{}"))))

    NodeMediaServer.install()
    with NodeMediaServer(tmp_path) as server:
        run(load(server))


@pytest.mark.parametrize(("login", "reasons"), [("cam:p%40ss%20word", 0), ("cam:wrong", 1)])
async def test_a_server_that_asks_who_we_are(login: str, reasons: int) -> None:
    async with AdobeServer("cam", "p@ss word") as server:
        plan = Plan(publish_url=server.url(login), publish_within_s=0, settle_s=0, duration_s=2)
        async with asyncio.timeout(30):
            report = await report_of(plan)
        assert server.connects == 3
        assert report.publishers is not None
        assert sum(report.publishers.refused.values()) == reasons
        assert (server.messages > 20) is not bool(reasons)
