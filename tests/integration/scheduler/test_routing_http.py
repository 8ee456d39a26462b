"""Routes over HTTP: a real listener, members in the same process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
from support.members import Member, eventually
from yarl import URL

from lalmesh.names import StreamKey
from lalmesh.runtime.registry import RegistryUnavailable, TransactionResult
from lalmesh.runtime.scheduling import Capacity, Endpoint, HeldStream, Load, NodeReport, Role
from lalmesh.runtime.zones import Zones
from services.scheduler import SchedulerApp
from services.scheduler.api import ApiRole, ApiSettings, ApiToken, hash_token
from services.scheduler.registry import MemoryRegistry
from services.scheduler.routes import RoutingSettings

TOKEN = "a token that is long enough"
ZONES = Zones({"west": ["10.0.0.0/8", "127.0.0.0/8"], "east": ["10.1.0.0/16"]})
CAM = StreamKey.of("live", "cam")
PORTS = {"rtmp": 1935, "rtsp": 5544, "ws_rtsp": 5566, "http": 8080}


@dataclass
class Edge(Member):
    """A member that says what edges say."""

    zone: str = ""
    host: str = ""
    ports: dict[str, int] = field(default_factory=lambda: dict(PORTS))
    room: int = 100
    sessions: int = 0
    draining: bool = False
    worker_of: str = ""

    def report(self) -> NodeReport:
        endpoints = tuple(Endpoint(protocol, self.host or self.name, port) for protocol, port in self.ports.items())
        return replace(
            super().report(),
            zone=self.zone,
            endpoints=endpoints,
            capacity=Capacity(sessions=self.room),
            load=Load(sessions=self.sessions),
            draining=self.draining,
            worker_of=self.worker_of,
        )


@dataclass
class Web:
    """A scheduler, and who asks it."""

    app: SchedulerApp
    client: aiohttp.ClientSession

    def edge(self, name: str, **more: Any) -> Edge:
        return Edge(name, Role.EDGE, self.app.service, **more)

    async def get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        url = URL(f"http://127.0.0.1:{self.app.http_port}{path}", encoded=True)
        async with self.client.get(url, allow_redirects=False, headers=headers) as answer:
            await answer.read()
            return answer

    async def route(self, query: str, purpose: str = "play", **headers: str) -> dict[str, Any]:
        answer = await self.get(f"/v1/route/{purpose}?{query}", **headers)
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())


async def started(settings: RoutingSettings, **more: Any) -> AsyncIterator[Web]:
    app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [b"key"], http_port=0, routing=settings, **more)
    await app.start()
    await app.service.ready()
    async with aiohttp.ClientSession() as client:
        yield Web(app, client)
    await app.stop()


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async for each in started(RoutingSettings(zones=ZONES)):
        yield each


@pytest.fixture
async def guarded() -> AsyncIterator[Web]:
    token = ApiToken(name="balancer", role=ApiRole.VIEWER, hash=hash_token(TOKEN))
    async for each in started(RoutingSettings(zones=ZONES), api=ApiSettings(tokens=(token,), open_reads=False)):
        yield each


async def test_a_route_says_where_and_why(web: Web) -> None:
    async with Member("o1", Role.ORIGIN, web.app.service), web.edge("e1", zone="west") as edge:
        await edge.granted(CAM)
        found = await web.route("stream=live/cam&protocol=http-flv")
    assert found == {
        "url": "http://e1:8080/live/cam.flv",
        "stream": "live/cam",
        "protocol": "http-flv",
        "edge": "e1",
        "edge_zone": "west",
        "origin": "o1",
        "shared": False,
        "shared_by": 1,
        "choice": "only",
        "client_zone": "west",
        "zone_match": "same",
        "used": 0.0,
        "used_of": "sessions",
        "reason": "e1 is the only one with room, 0.0% of its sessions used; in zone west",
        "traceparent": None,
        "ttl_s": 5.0,
    }


async def test_the_workers_of_an_edge_are_one_edge(web: Web) -> None:
    workers = [web.edge(f"e-{number}", worker_of="e", host="e", room=10, sessions=number, streams=5) for number in (1, 2)]
    async with Member("o1", Role.ORIGIN, web.app.service), workers[0], workers[1]:
        await workers[0].granted(CAM)
        found = await web.route("stream=live/cam&protocol=http-flv")
        assert (found["url"], found["edge"], found["shared"]) == ("http://e:8080/live/cam.flv", "e", False)
        assert (found["used"], found["choice"]) == (0.15, "only")
        again = await web.route("stream=live/cam&protocol=rtmp", "publish")
        assert (again["edge"], again["choice"]) == ("e", "publishes")
        workers[0].draining = True
        await eventually(lambda: workers[0].name in {each.node.name for each in web.app.service.members if each.report.draining})
        found = await web.route("stream=live/cam&protocol=http-flv")
        assert (found["edge"], found["used"]) == ("e", 0.2)


@pytest.mark.parametrize(
    ("protocol", "url"),
    [
        ("rtmp", "rtmp://e1:1935/live/cam"),
        ("rtsp", "rtsp://e1:5544/live/cam"),
        ("ws-rtsp", "ws://e1:5566/live/cam"),
        ("ws-fmp4", "ws://e1:8080/live/cam.mp4"),
        ("hls", "http://e1:8080/hls/live/cam.m3u8"),
        ("ll-hls", "http://e1:8080/hls/live/cam/index.m3u8"),
    ],
)
async def test_each_protocol_has_its_url(web: Web, protocol: str, url: str) -> None:
    async with web.edge("e1"):
        assert (await web.route(f"stream=live/cam&protocol={protocol}"))["url"] == url


async def test_the_zone_is_that_of_the_client_that_is_asked_for(web: Web) -> None:
    async with web.edge("w", zone="west"), web.edge("e", zone="east"):
        for query, edge in (("", "w"), ("&client=10.1.2.3", "e"), ("&client=::ffff:10.1.2.3", "e"), ("&zone=east", "e")):
            assert (await web.route(f"stream=live/cam&protocol=rtmp{query}"))["edge"] == edge
        elsewhere = await web.route("stream=live/cam&protocol=rtmp&zone=north")
        assert elsewhere["zone_match"] == "other"


async def test_another_client_is_asked_for_with_a_token_only(guarded: Web) -> None:
    query = "stream=live/cam&protocol=rtmp"
    async with guarded.edge("w", zone="west"), guarded.edge("e", zone="east"):
        assert (await guarded.route(query))["edge"] == "w"
        assert (await guarded.get(f"/v1/route/play?{query}&client=10.1.2.3")).status == 403
        found = await guarded.route(f"{query}&client=10.1.2.3", Authorization=f"Bearer {TOKEN}")
        assert found["edge"] == "e"


@pytest.mark.parametrize(
    "path", ["/v1/route/play?stream=live/cam&protocol=http-flv", "/v1/route/publish?stream=live/a&protocol=rtmp"]
)
async def test_anybody_who_asks_and_never_comes_fills_no_edge_and_a_balancer_does(guarded: Web, path: str) -> None:
    balancer, query = {"Authorization": f"Bearer {TOKEN}"}, "stream=live/cam&protocol=rtmp"
    async with guarded.edge("e", room=100):
        for _ in range(60):
            assert (await guarded.get(path)).status == 200
            assert (await guarded.get("/play/live/cam.flv")).status == 302
            await guarded.route(f"{query}&client=192.0.2.7", **balancer)  # for whom there is no more room than for others
        answers = [(await guarded.get(path, **balancer)).status for _ in range(110)]
        assert 200 in answers[60:90]
        assert answers[-1] == 503


async def test_whoever_asks_for_hls_takes_no_room_of_sessions(web: Web) -> None:
    async with web.edge("e", room=2):
        for _ in range(10):
            assert (await web.get("/play/live/cam.m3u8")).status == 302
            assert (await web.route("stream=live/cam&protocol=ll-hls"))["used"] == 0.0


@pytest.mark.parametrize(
    "query",
    [
        "stream=live/cam",
        "stream=live/cam&protocol=gopher",
        "stream=cam&protocol=rtmp",
        "stream=live/..&protocol=rtmp",
        "stream=live/cam&protocol=rtmp&client=nobody",
        "stream=live/cam&protocol=rtmp&zone=a%20b",
        "stream=live/cam&protocol=rtmp&more=1",
    ],
)
async def test_what_cannot_be_asked_is_a_problem_that_names_the_field(web: Web, query: str) -> None:
    answer = await web.get(f"/v1/route/play?{query}")
    problem = await answer.json(content_type=None)
    assert (answer.status, answer.content_type) == (400, "application/problem+json")
    assert problem["errors"][0]["field"] in ("protocol", "stream", "client", "zone", "more")


async def test_publishers_are_sent_where_publishing_is_possible_only(web: Web) -> None:
    async with web.edge("e1"):
        assert (await web.route("stream=live/cam&protocol=rtmp", "publish"))["url"] == "rtmp://e1:1935/live/cam"
        assert (await web.get("/v1/route/publish?stream=live/cam&protocol=http-flv")).status == 400


async def test_a_publisher_that_comes_back_goes_where_it_was(web: Web) -> None:
    async with Member("o1", Role.ORIGIN, web.app.service), web.edge("e1", sessions=80) as edge, web.edge("e2"):
        await edge.granted(CAM)
        found = await web.route("stream=live/cam&protocol=rtmp", "publish")
        assert (found["edge"], found["choice"]) == ("e1", "publishes")


async def test_a_player_goes_where_the_stream_is_played(web: Web) -> None:
    held = [HeldStream(stream=CAM, players=3)]
    async with web.edge("e1", sessions=21, held=held), web.edge("e2", sessions=20):
        found = await web.route("stream=live/cam&protocol=rtmp")
        assert (found["edge"], found["choice"]) == ("e1", "has_stream")
        assert (await web.route("stream=live/other&protocol=rtmp"))["edge"] == "e2"


async def test_where_nobody_listens_it_is_not_found_and_where_none_has_room_it_may_be_asked_again(web: Web) -> None:
    async with web.edge("e1", room=1, sessions=1):
        nowhere = await web.get("/v1/route/play?stream=live/cam&protocol=rtmps")
        full = await web.get("/v1/route/play?stream=live/cam&protocol=rtmp")
    assert (nowhere.status, full.status, full.headers["Retry-After"]) == (404, 503, "2")


async def test_edges_that_may_come_are_waited_for(web: Web) -> None:
    async def status() -> int:
        return (await web.get("/v1/route/play?stream=live/cam&protocol=rtmp")).status

    assert await status() == 503
    async with web.edge("e1") as edge:
        assert await status() == 200
        await edge.vanish()
        directory = web.app.service.directory
        await eventually(lambda: directory.is_away(edge.address.node))
        assert await status() == 503


async def test_edges_that_drain_are_away_or_have_gone_are_not_named(web: Web) -> None:
    async def names() -> Counter[str]:
        return Counter([(await web.route("stream=live/cam&protocol=rtmp"))["edge"] for _ in range(30)])

    async with web.edge("e1"), web.edge("e2") as second, web.edge("e3") as third:
        second.draining = True
        await third.vanish()
        directory = web.app.service.directory
        await eventually(lambda: [directory.state_of(record) for record in directory.nodes()] == ["joined", "draining", "away"])
        assert await names() == {"e1": 30}
        second.draining = False
        await eventually(lambda: directory.state_of(directory.nodes()[1]) == "joined")
        assert await names() == {"e2": 30}  # nobody has come to the first, and so as many are expected there
        assert set(await names()) == {"e1", "e2"}


async def test_edges_behind_one_address_are_not_named_but_told_of(web: Web) -> None:
    async with web.edge("e1", host="lb"), web.edge("e2", host="lb"):
        found = await web.route("stream=live/cam&protocol=rtmp")
    assert (found["url"], found["edge"], found["shared"], found["shared_by"]) == ("rtmp://lb:1935/live/cam", None, True, 2)


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("live/cam.flv?token=a%2Fb&x=1", "http://e1:8080/live/cam.flv?token=a%2Fb&x=1"),
        ("live/cam.ts", "http://e1:8080/live/cam.ts"),
        ("live/a/cam.mp4", "http://e1:8080/live/a/cam.mp4"),
        ("live/cam.m3u8", "http://e1:8080/hls/live/cam.m3u8"),
        ("live/cam/index.m3u8", "http://e1:8080/hls/live/cam/index.m3u8"),
        ("live/caf%C3%A9%201.flv", "http://e1:8080/live/caf%C3%A9%201.flv"),
    ],
)
async def test_players_are_sent_to_an_edge_with_their_query(web: Web, path: str, location: str) -> None:
    async with web.edge("e1"):
        answer = await web.get(f"/play/{path}")
    assert (answer.status, answer.headers.get("Location"), answer.headers["Cache-Control"]) == (302, location, "no-store")


async def test_players_are_sent_to_the_tls_port_where_there_is_no_other(web: Web) -> None:
    async with web.edge("e1", ports={"https": 4433}):
        assert (await web.get("/play/live/cam.flv")).headers["Location"] == "https://e1:4433/live/cam.flv"


@pytest.mark.parametrize(("path", "status"), [("live/cam", 400), ("live/cam.avi", 400), ("cam.flv", 404), ("live//cam.flv", 400)])
async def test_what_cannot_be_played_is_a_problem(web: Web, path: str, status: int) -> None:
    async with web.edge("e1"):
        answer = await web.get(f"/play/{path}")
    assert (answer.status, answer.content_type) == (status, "application/problem+json")


async def test_before_the_registry_was_read_whoever_asks_is_to_come_back() -> None:
    class Mute(MemoryRegistry):
        async def transact(self, *_: object) -> TransactionResult:
            raise RegistryUnavailable("down", retry_after_s=1.0)

    app = SchedulerApp(Mute(asyncio.get_running_loop().time), [b"key"], http_port=0)
    await app.start()
    async with aiohttp.ClientSession() as client:
        answer = await Web(app, client).get("/play/live/cam.flv")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    await app.stop()


async def test_where_applications_do_not_count_a_stream_is_known_by_its_name() -> None:
    async for web in started(RoutingSettings(match_app=False)):
        async with Member("o1", Role.ORIGIN, web.app.service), web.edge("e1") as edge:
            await edge.granted(StreamKey("-", "cam"))
            found = await web.route("stream=any/cam&protocol=rtmp")
        assert (found["origin"], found["url"]) == ("o1", "rtmp://e1:1935/any/cam")
