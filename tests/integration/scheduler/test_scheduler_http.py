"""The HTTP face of the scheduler."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.certificates import self_signed, trusting
from support.members import Member, eventually

from lalmesh.media import Codec, Track, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.certificate import ServerCertificate
from lalmesh.runtime.forwarded import TrustedProxies
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.registry import RegistryUnavailable, TransactionResult
from lalmesh.runtime.scheduling import Drain, HeldStream, Role
from lalmesh.runtime.sessions import SessionCounts, SessionsUnavailable
from services.scheduler import SchedulerApp
from services.scheduler.api import ApiSettings
from services.scheduler.registry import MemoryRegistry
from services.scheduler.sessions import MemorySessions

TRACKS = TrackSet((Track(track_id=1, codec=Codec.H264, width=1920, height=1080, frame_rate=Fraction(30)),), 1)


@dataclass
class Web:
    app: SchedulerApp
    session: aiohttp.ClientSession

    async def get(self, path: str, status: int = 200) -> Any:
        async with self.session.get(f"http://127.0.0.1:{self.app.http_port}{path}") as answer:
            assert answer.status == status, await answer.text()
            if answer.content_type.endswith("json"):
                assert (answer.content_type == "application/problem+json") == (status >= 400)
                return await answer.json(content_type=None)
            return await answer.text()


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [b"key"], http_port=0)
    await app.start()
    await app.service.ready()
    async with aiohttp.ClientSession() as session:
        yield Web(app, session)
    await app.stop()


async def test_with_a_certificate_it_speaks_https_alone_and_shows_a_renewed_one_and_counts_that(tmp_path: Path) -> None:
    first = self_signed(tmp_path)
    certificate = ServerCertificate(str(first), str(first))
    app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [b"key"], http_port=0, certificate=certificate)
    await app.start()
    url = f"https://127.0.0.1:{app.http_port}/healthz"

    async def healthy(trusted: ssl.SSLContext) -> bool:
        async with aiohttp.ClientSession() as session, session.get(url, ssl=trusted) as answer:
            return answer.status == 200

    try:
        assert await healthy(trusting(first))
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(url.replace("https", "http"))
        first.write_bytes(self_signed(tmp_path, "renewed").read_bytes())
        app.reload()
        assert await healthy(trusting(first))
        first.write_bytes(b"no certificate")
        app.reload()
        names = ("reloads_total", "failures_total", "end_timestamp_seconds")
        counted = [app.service.metrics.registry.get_sample_value(f"scheduler_certificate_{name}") for name in names]
        assert counted == [1, 1, certificate.ends_at]
    finally:
        await app.stop()


async def test_health_readiness_and_metrics(web: Web) -> None:
    assert await web.get("/healthz") == "ok\n"
    assert await web.get("/readyz") == "ok\n"
    async with Member("o1", Role.ORIGIN, web.app.service), Member("e1", Role.EDGE, web.app.service) as edge:
        await edge.granted(StreamKey.of("live", "cam"))
        text = await web.get("/metrics")
    assert 'scheduler_claims_total{result="granted"} 1.0' in text
    assert 'scheduler_nodes{role="origin",state="joined"} 1.0' in text
    assert "scheduler_streams 1.0" in text
    assert "scheduler_hls_streams 0.0" in text
    assert "scheduler_claim_seconds_count 1.0" in text


async def test_it_is_not_ready_before_the_term_is_known() -> None:
    class Mute(MemoryRegistry):
        async def transact(self, *_: object) -> TransactionResult:
            raise RegistryUnavailable("down", retry_after_s=1.0)

    app = SchedulerApp(Mute(asyncio.get_running_loop().time), [b"key"], http_port=0)
    await app.start()
    async with aiohttp.ClientSession() as session:
        problem = await Web(app, session).get("/readyz", 503)
        assert problem == {
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "the registry was not read yet",
        }
        assert await Web(app, session).get("/healthz") == "ok\n"
    await app.stop()


async def test_a_stream_is_shown_with_what_its_nodes_report(web: Web) -> None:
    service = web.app.service
    async with Member("o1", Role.ORIGIN, service) as origin, Member("e1", Role.EDGE, service) as edge:
        cam = StreamKey.of("live", "cam")
        grant = await edge.granted(cam)
        assert (await web.get("/v1/streams"))["items"][0]["tracks"] is None
        edge.held.append(HeldStream(stream=cam, tracks=TRACKS, players=3, bitrate_bps=2_600_000, units=75, left_out=("flv: mp2",)))
        origin.held.append(HeldStream(stream=cam, tracks=TRACKS, players=2))
        await eventually(lambda: len(service.members.holders(cam)) == 2)
        page = await web.get("/v1/streams")
    assert {name: page[name] for name in ("page", "item_count", "page_count")} == {"page": 1, "item_count": 1, "page_count": 1}
    shown = page["items"][0]
    expected = {
        "stream": "live/cam",
        "app": "live",
        "name": "cam",
        "state": "live",
        "epoch": {"term": grant.epoch.term, "revision": grant.epoch.revision},
        "place": {"term": grant.place.term, "revision": grant.place.revision, "heir": False},
        "publication": grant.publication.hex(),
        "edge": "e1",
        "origin": "o1",
        "heir": None,
        "hls": None,
        "left_out": ["flv: mp2"],
        "hls_players": 0,
        "players": 3,
        "subscriptions": 2,
        "bitrate_bps": 2_600_000,
        "units": 75,
    }
    assert {name: shown[name] for name in expected} == expected
    assert shown["tracks"][0]["codec"] == "h264"
    assert shown["tracks"][0]["frame_rate"] == 30.0


async def test_without_the_session_directory_streams_are_shown_and_their_hls_players_are_not_known() -> None:
    class Away(MemorySessions):
        async def count(self, streams: Sequence[StreamKey]) -> list[SessionCounts]:
            raise SessionsUnavailable("down", retry_after_s=1.0)

    app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [b"key"], http_port=0, sessions=Away())
    await app.start()
    await app.service.ready()
    async with (
        aiohttp.ClientSession() as session,
        Member("o1", Role.ORIGIN, app.service),
        Member("e1", Role.EDGE, app.service) as e1,
    ):
        await e1.granted(StreamKey.of("live", "cam"))
        (shown,) = (await Web(app, session).get("/v1/streams"))["items"]
        assert (shown["hls_players"], shown["edge"]) == (None, "e1")
        assert "scheduler_session_failures_total 1.0" in await Web(app, session).get("/metrics")
    await app.stop()


async def test_streams_and_nodes_come_in_pages(web: Web) -> None:
    async with Member("o1", Role.ORIGIN, web.app.service), Member("e1", Role.EDGE, web.app.service) as edge:
        for number in range(5):
            await edge.granted(StreamKey.of("live", f"cam{number}"))
        page = await web.get("/v1/streams?page=2&items_per_page=2")
        assert [item["name"] for item in page["items"]] == ["cam2", "cam3"]
        assert (page["page"], page["item_count"], page["page_count"]) == (2, 5, 3)
        assert (await web.get("/v1/streams?page=9"))["items"] == []
        nodes = (await web.get("/v1/nodes"))["items"]
    assert [(node["name"], node["role"], node["state"], node["groups"]) for node in nodes] == [
        ("e1", "edge", "joined", 0),
        ("o1", "origin", "joined", 5),
    ]


@pytest.mark.parametrize("query", ["page=0", "page=x", "page=-1", "items_per_page=1001", "items_per_page=", "page=" + "9" * 50])
async def test_a_page_that_is_none_is_a_problem(web: Web, query: str) -> None:
    problem = await web.get(f"/v1/streams?{query}", 400)
    assert problem["title"] == "Bad Request"


async def test_what_is_not_there_is_a_problem_too(web: Web) -> None:
    assert (await web.get("/v1/none", 404))["status"] == 404
    async with web.session.post(f"http://127.0.0.1:{web.app.http_port}/v1/streams") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
        assert answer.content_type == "application/problem+json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_bug_of_ours_is_a_problem_and_its_traceback_is_logged(
    web: Web, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(web.app.service.directory, "streams", lambda: 1 // 0)
    problem = await web.get("/v1/streams", 500)
    assert (problem["title"], problem["detail"]) == ("Internal Server Error", "the request failed on this side")
    assert "ZeroDivisionError" in caplog.text


async def test_a_node_is_told_to_drain(web: Web) -> None:
    url = f"http://127.0.0.1:{web.app.http_port}/v1/nodes/o1/drain"
    async with Member("o1", Role.ORIGIN, web.app.service) as origin:
        async with web.session.post(url, json={"deadline_s": 7.5}) as answer:
            assert (answer.status, (await answer.json())["state"]) == (202, "draining")
        assert await origin.told(Drain) == Drain(7.5)
        async with web.session.post(url) as answer:
            assert answer.status == 202
        async with web.session.post(url, headers={"X-Forwarded-For": "192.0.2.1"}) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(("trusted", "status"), [("127.0.0.1", 403), ("127.0.0.2", 404)])
async def test_what_a_proxy_hands_on_is_of_no_program_on_this_machine(trusted: str, status: int) -> None:
    api = ApiSettings(limits=ListenerLimits(proxies=TrustedProxies([trusted])))
    app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [b"key"], http_port=0, api=api)
    await app.start()
    await app.service.ready()
    url = f"http://127.0.0.1:{app.http_port}/v1/nodes/nobody/drain"
    async with aiohttp.ClientSession() as client, client.post(url) as answer:
        assert answer.status == status
    await app.stop()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"deadline_s": -1}', 400),
        ('{"deadline_s": NaN}', 400),
        ('{"deadline_s": true}', 400),
        ("[]", 400),
        ('{"soon": 1}', 400),
        ("", 404),
    ],
)
async def test_a_drain_that_cannot_be_is_refused(web: Web, body: str, status: int) -> None:
    url = f"http://127.0.0.1:{web.app.http_port}/v1/nodes/stranger/drain"
    async with web.session.post(url, data=body or None, headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == status, await answer.text()
        assert answer.content_type == "application/problem+json"
