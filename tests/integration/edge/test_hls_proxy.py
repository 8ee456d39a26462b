"""``/hls/`` and ``/record/`` through an edge, with real HTTP on both sides."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from urllib.parse import parse_qsl

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import FakeLinks, FakeScheduler
from support.tracing import context_of, parent_of, traced
from yarl import URL

from lalmesh.names import StreamKey
from lalmesh.runtime.addresses import host_of
from lalmesh.runtime.authorisation import AccessSettings, LalSecret, MethodName, Policy, lal_secret_of, parse_rule
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.hls_answers import CODECS_HEADER, OWNER_HEADER, OWNER_UNKNOWN, PUBLICATION_HEADER, Played
from lalmesh.runtime.hls_sessions import Players, SessionIds, session_in
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.scheduling import Endpoint
from lalmesh.runtime.telemetry import TraceContext
from services.edge.answer_cache import ENTRY_BYTES, Answer
from services.edge.held_bodies import HeldBodies
from services.edge.hls_client import MAX_SHARED_BYTES, HlsClient, HlsProxySettings
from services.edge.hls_counting import HlsCounting
from services.edge.hls_nodes import Wanted
from services.edge.http import HttpListener
from services.edge.metrics import EdgeMetrics
from services.edge.upstreams import Upstream, UpstreamChoice

HOST = "127.0.0.1"
LIMIT_S = 30.0
IDS = SessionIds((b"of the cluster",))
CAM = StreamKey("live", "a")
CLIENT, PUBLICATION = TraceContext(0xB, 2), TraceContext(0xA, 1)


class HlsNode:
    """An hls node: counts what it is asked for, and answers when it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.release = asyncio.Event()
        self.release.set()
        self.control = "max-age=10"
        self.status = 200
        self.knows = True  # who segments the stream
        self.counts_by: SessionIds | None = None  # players, whatever edges say
        self.body = b"segment"
        self.gone = 0  # requests that ended before their answer
        self.breaks_at = 0  # bytes of a body after which the connection breaks; 0: it does not
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        self.upstream = Upstream(name, HOST, 0)

    async def start(self) -> None:
        await self.runner.setup()
        site = web.TCPSite(self.runner, HOST, 0)
        await site.start()
        self.upstream = Upstream(self.name, HOST, self.runner.addresses[0][1])

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.rel_url.raw_path_qs)
        self.headers.append(dict(request.headers))
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.gone += 1
            raise
        told = {CODECS_HEADER: "h264,aac", PUBLICATION_HEADER: str(Played("ab", PUBLICATION))}
        headers = {"Cache-Control": self.control, "Content-Type": "video/mp2t", "X-Node": self.name, **told}
        if not self.knows:
            return web.Response(status=503, headers={OWNER_HEADER: OWNER_UNKNOWN})
        if self.counts_by is not None and "session_id" not in request.query and request.path.endswith(".m3u8"):
            where = f"{request.path}?session_id={self.counts_by.make(CAM)}"
            return web.Response(status=302, headers={"Cache-Control": "no-store", "Location": where})
        if self.status == 302:
            headers["Location"] = f"{request.path}?session_id={len(self.asked)}"
        if request.http_range.start is not None:
            part = self.body[request.http_range]
            return web.Response(status=206, body=part, headers=headers | {"Content-Range": f"bytes 0-3/{len(self.body)}"})
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304, headers=headers | {"ETag": '"1"'})
        if self.breaks_at:
            return await self._break(request, headers)
        if "chunked" in request.query:
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            await response.write(self.body)
            return response
        return web.Response(status=self.status, body=self.body, headers=headers)

    async def _break(self, request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        response.content_length = len(self.body)
        await response.prepare(request)
        await response.write(self.body[: self.breaks_at])
        assert request.transport is not None
        request.transport.abort()
        return response


class WatchedClient(HlsClient):
    """Tells how many requests wait for an answer."""

    waiting = 0

    async def answer(self, wanted: Wanted) -> Answer | None:
        self.waiting += 1
        try:
            return await super().answer(wanted)
        finally:
            self.waiting -= 1


class Stage:
    """An edge in front of hls nodes, and a client."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.nodes: list[HlsNode] = []
        self.upstreams: list[Upstream] = []
        self.late_s = 0.0  #: that has passed since, for who counts players

    async def start(
        self, nodes: int = 1, cors: tuple[str, ...] = (), settings: HlsProxySettings | None = None, *, counts: bool = False
    ) -> None:
        for number in range(nodes):
            node = HlsNode(f"hls-{number}")
            await node.start()
            self._stack.push_async_callback(node.runner.cleanup)
            self.nodes.append(node)
            self.upstreams.append(node.upstream)
        loop = asyncio.get_running_loop()
        self.hls = WatchedClient(lambda: self.upstreams, settings or HlsProxySettings(), loop.time)
        self._stack.push_async_callback(self.hls.close)
        metrics = EdgeMetrics(CollectorRegistry())
        context = edge_context(metrics, FakeScheduler(), FakeLinks())
        self.players = Players(30.0, loop.time, lambda: time.time() + self.late_s)
        counting = HlsCounting(IDS, self.players, loop.time) if counts else None
        self.access, self.entrance = context.access, context.entrance
        self.headers = context.access.edge_headers
        self.listener = HttpListener(context, ListenerLimits(), metrics, CorsPolicy(cors), self.hls, counting=counting)
        await self.listener.start(HOST, 0)
        self._stack.push_async_callback(self.listener.close, "over")
        self._stack.callback(self.listener.stop_accepting)
        self.session = await self._stack.enter_async_context(aiohttp.ClientSession())

    @property
    def node(self) -> HlsNode:
        return self.nodes[0]

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.listener.port}{path}"

    async def get(self, path: str, **headers: str) -> tuple[int, bytes, Mapping[str, str]]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(URL(self.url(path), encoded=True), headers=named, allow_redirects=False) as answer:
            return answer.status, await answer.read(), answer.headers

    async def asked(self, count: int) -> None:
        """Wait until the first node has been asked so often."""
        while len(self.node.asked) < count:  # noqa: ASYNC110 -- bounded by `LIMIT_S`
            await asyncio.sleep(0.01)

    async def heard(self, node: HlsNode, target: str) -> None:
        """Wait until `node` has been asked for `target`."""
        while target not in node.asked:  # noqa: ASYNC110 -- bounded by `LIMIT_S`
            await asyncio.sleep(0.01)

    async def waiting(self, count: int) -> None:
        """Wait until so many players wait for an answer."""
        while self.hls.waiting != count:  # noqa: ASYNC110 -- bounded by `LIMIT_S`
            await asyncio.sleep(0.01)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        yield Stage(stack)


async def test_a_segment_comes_through_and_is_kept_for_as_long_as_it_says(stage: Stage) -> None:
    await stage.start()
    answers = [await stage.get("/hls/live/a/1.2-3.ts?token=x%20y") for _ in range(3)]
    assert [(status, body) for status, body, _ in answers] == [(200, b"segment")] * 3
    assert stage.node.asked == ["/hls/live/a/1.2-3.ts?token=x%20y"]
    headers = answers[2][2]
    assert (headers["Content-Type"], headers["Cache-Control"], headers["Age"]) == ("video/mp2t", "max-age=10", "0")
    assert headers["Server"].startswith("lalmesh/")
    assert "X-Node" not in headers
    assert stage.hls.counters.cached == 2
    assert stage.hls.counters.sent_bytes == 3 * len(b"segment")


async def test_a_node_that_cannot_tell_who_has_the_stream_is_passed_over_and_the_one_that_can_is_asked_first(stage: Stage) -> None:
    await stage.start(nodes=3)
    order = UpstreamChoice(lambda: stage.upstreams, asyncio.get_running_loop().time).ranked("live/a")
    ranked = sorted(stage.nodes, key=lambda node: order.index(node.upstream))
    ranked[0].knows = ranked[1].knows = False
    answers = [await stage.get(f"/hls/live/a/1.2-{number}.ts") for number in range(3)]
    assert [status for status, _, _ in answers] == [200] * 3
    assert [len(node.asked) for node in ranked] == [1, 1, 3]
    ranked[2].knows = False
    assert (await stage.get("/hls/live/a/1.2-9.ts"))[0] == 503


async def test_the_node_hears_who_asks(stage: Stage) -> None:
    await stage.start()
    await stage.get("/record/", X_Forwarded_For="1.2.3.4", User_Agent="player", Cookie="secret")
    heard = stage.node.headers[0]
    assert (heard["X-Forwarded-For"], heard["X-Forwarded-Proto"], heard["User-Agent"]) == (HOST, "http", "player")
    assert heard["X-Forwarded-Host"].startswith(HOST)
    assert "Cookie" not in heard


async def test_requests_for_one_thing_at_the_same_time_are_one(stage: Stage) -> None:
    await stage.start()
    stage.node.release.clear()
    stage.node.control = "no-cache"
    asking = [asyncio.create_task(stage.get("/hls/live/a/live.m3u8?_HLS_msn=7")) for _ in range(20)]
    await stage.waiting(20)
    stage.node.release.set()
    assert {(await task)[1] for task in asking} == {b"segment"}
    assert len(stage.node.asked) == 1
    assert stage.hls.counters.shared == 19


async def test_what_is_meant_for_one_alone_is_not_shared(stage: Stage) -> None:
    await stage.start()
    stage.node.release.clear()
    stage.node.status, stage.node.control = 302, "no-store"
    asking = [asyncio.create_task(stage.get("/hls/a.m3u8")) for _ in range(5)]
    await stage.waiting(5)
    stage.node.release.set()
    places = {(await task)[2]["Location"] for task in asking}
    assert len(places) == 5


async def test_who_leaves_takes_nothing_from_others(stage: Stage) -> None:
    await stage.start()
    stage.node.release.clear()
    first = asyncio.create_task(stage.get("/hls/live/a/live.m3u8"))
    await stage.asked(1)
    second = asyncio.create_task(stage.get("/hls/live/a/live.m3u8"))
    await stage.waiting(2)
    first.cancel()
    await stage.waiting(1)
    stage.node.release.set()
    assert (await second)[:2] == (200, b"segment")
    assert (len(stage.node.asked), stage.node.gone) == (1, 0)


async def test_when_the_last_one_leaves_the_node_is_let_go(stage: Stage) -> None:
    await stage.start()
    stage.node.release.clear()
    asking = [asyncio.create_task(stage.get("/hls/live/a/live.m3u8")) for _ in range(3)]
    await stage.asked(1)
    await stage.waiting(3)
    for task in asking:
        task.cancel()
    while not stage.node.gone:  # noqa: ASYNC110 -- bounded by `LIMIT_S`
        await asyncio.sleep(0.01)
    assert stage.node.gone == 1


async def test_a_range_goes_straight_through(stage: Stage) -> None:
    await stage.start()
    for _ in range(2):
        status, body, headers = await stage.get("/record/live/a/x.mp4", Range="bytes=0-3")
        assert (status, body, headers["Content-Range"]) == (206, b"segm", "bytes 0-3/7")
    assert [heard["Range"] for heard in stage.node.headers] == ["bytes=0-3"] * 2
    assert stage.hls.counters.sent_bytes == 2 * 4


async def test_a_large_segment_is_kept_and_comes_whole(stage: Stage) -> None:
    await stage.start()
    stage.node.body = bytes(range(256)) * 10_000
    answers = [await stage.get("/hls/live/a/1.2-3.ts") for _ in range(2)]
    assert all((status, body) == (200, stage.node.body) for status, body, _ in answers)
    assert answers[1][2]["Content-Length"] == str(len(stage.node.body))
    assert (len(stage.node.asked), stage.hls.counters.cached) == (1, 1)


async def test_what_is_no_part_of_a_live_stream_is_shared_and_kept_as_well(stage: Stage) -> None:
    await stage.start()
    stage.node.release.clear()
    asking = [asyncio.create_task(stage.get("/record/live/a/0001.ts")) for _ in range(5)]
    await stage.waiting(5)
    stage.node.release.set()
    assert {(await task)[1] for task in asking} == {b"segment"}
    assert (await stage.get("/record/live/a/0001.ts"))[1] == b"segment"
    assert (len(stage.node.asked), stage.hls.counters.cached) == (1, 1)


async def test_a_large_recording_is_asked_for_twice_once_and_then_goes_straight_through(stage: Stage) -> None:
    await stage.start()
    stage.node.body = bytes(MAX_SHARED_BYTES + 1)
    asked = []
    for _ in range(3):
        assert (await stage.get("/record/live/a/x.mp4"))[:2] == (200, stage.node.body)
        asked.append(len(stage.node.asked))
    assert (asked, stage.hls.counters.cached, stage.hls.held.size_bytes) == ([2, 3, 4], 0, 0)
    assert stage.hls.counters.sent_bytes == 3 * len(stage.node.body)


async def test_conditions_go_to_the_node(stage: Stage) -> None:
    await stage.start()
    for _ in range(2):
        status, body, headers = await stage.get("/record/live/a/x.mp4", If_None_Match='"1"')
        assert (status, body, headers["ETag"]) == (304, b"", '"1"')
    assert len(stage.node.asked) == 2
    assert (await stage.get("/record/live/a/x.mp4"))[0] == 200


async def test_a_head_is_the_head_of_the_answer(stage: Stage) -> None:
    await stage.start()
    async with stage.session.head(stage.url("/hls/live/a/1.2-3.ts")) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert (answer.headers["Content-Length"], answer.headers["Content-Type"]) == ("7", "video/mp2t")
    assert (await stage.get("/hls/live/a/1.2-3.ts"))[1] == b"segment"
    assert stage.hls.counters.sent_bytes == len(b"segment")


async def test_each_query_is_a_request_of_its_own_and_comes_as_it_was(stage: Stage) -> None:
    await stage.start()
    queries = ["session_id=1&token=a%2Fb", "session_id=2&token=a%2Fb", "token=a+b&session_id=1", ""]
    for query in queries * 2:
        assert (await stage.get(f"/hls/live/a.m3u8?{query}"))[0] == 200
    assert stage.node.asked == ["/hls/live/a.m3u8" + (f"?{query}" if query else "") for query in queries]


async def test_that_something_is_not_there_is_asked_once_by_many(stage: Stage) -> None:
    await stage.start()
    stage.node.status, stage.node.control = 404, "max-age=1"
    stage.node.release.clear()
    asking = [asyncio.create_task(stage.get("/hls/live/a.m3u8")) for _ in range(20)]
    await stage.waiting(20)
    stage.node.release.set()
    assert {(await task)[0] for task in asking} == {404}
    assert len(stage.node.asked) == 1


async def test_who_asks_for_what_is_nowhere_drives_out_nothing(stage: Stage) -> None:
    await stage.start(settings=HlsProxySettings(cache_bytes=4 * ENTRY_BYTES))
    await stage.get("/hls/live/a/1.2-3.ts")
    stage.node.status, stage.node.control = 404, "max-age=1"
    for number in range(10):
        assert (await stage.get(f"/hls/live/a/{number}.1-1.ts"))[0] == 404
    assert (await stage.get("/hls/live/a/1.2-3.ts"))[0] == 200


async def test_many_who_wait_in_vain_are_told_together_and_it_is_not_kept(stage: Stage) -> None:
    await stage.start()
    stage.node.status, stage.node.control = 503, "no-store"
    stage.node.release.clear()
    asking = [asyncio.create_task(stage.get("/hls/live/a.m3u8")) for _ in range(20)]
    await stage.waiting(20)
    stage.node.release.set()
    assert {(await task)[0] for task in asking} == {503}
    assert (len(stage.node.asked), (await stage.get("/hls/live/a.m3u8"))[0], len(stage.node.asked)) == (1, 503, 2)


async def test_an_answer_that_breaks_off_is_no_answer(stage: Stage) -> None:
    await stage.start()
    stage.node.body, stage.node.breaks_at = bytes(1000), 500
    status, body, headers = await stage.get("/hls/live/a/1.2-3.ts")
    assert (status, headers["Retry-After"]) == (503, "1")
    assert body.startswith(b"hls node broke off")
    stage.node.breaks_at = 0
    assert (await stage.get("/hls/live/a/1.2-3.ts"))[:2] == (200, bytes(1000))
    assert stage.hls.held.size_bytes == 0


async def test_what_breaks_off_while_it_is_passed_on_breaks_off(stage: Stage) -> None:
    await stage.start()
    stage.node.body, stage.node.breaks_at = bytes(MAX_SHARED_BYTES + 1), 1 << 20
    with pytest.raises(aiohttp.ClientError):
        await stage.get("/record/live/a/x.mp4")


async def test_a_node_that_hangs_is_given_up(stage: Stage) -> None:
    await stage.start(settings=HlsProxySettings(silence_s=0.3))
    stage.node.release.clear()
    status, body, _ = await stage.get("/hls/live/a.m3u8")
    assert (status, body.split(b":")[0]) == (503, b"hls node hls-0 fell silent")
    assert stage.hls.counters.unanswered == 1


async def test_who_leaves_in_the_middle_of_what_is_passed_on_ends_it(stage: Stage) -> None:
    await stage.start()
    stage.node.body = bytes(64 << 20)
    answer = await stage.session.get(stage.url("/record/live/a/x.mp4"))
    await answer.content.readexactly(1 << 20)
    answer.close()
    while len(stage.node.runner.server.connections):  # type: ignore[union-attr]  # noqa: ASYNC110 -- bounded by `LIMIT_S`
        await asyncio.sleep(0.01)
    assert len(stage.listener.admission) == 0


async def test_what_there_is_no_memory_for_goes_through(stage: Stage) -> None:
    await stage.start()
    stage.hls.held = HeldBodies(max_bytes=3)
    assert (await stage.get("/hls/live/a/1.2-3.ts"))[:2] == (200, b"segment")
    stage.hls.held = HeldBodies()
    assert (await stage.get("/hls/live/a/1.2-3.ts"))[:2] == (200, b"segment")
    assert (len(stage.node.asked), stage.hls.held.size_bytes) == (3, 0)


@pytest.mark.parametrize("query", ["", "?chunked"])
async def test_what_is_too_large_to_be_kept_goes_through(stage: Stage, query: str) -> None:
    await stage.start()
    stage.node.body = bytes(range(256)) * (MAX_SHARED_BYTES // 256 + 1000)
    status, body, _ = await stage.get(f"/hls/live/a/1.2-3.ts{query}")
    assert (status, body) == (200, stage.node.body)
    assert stage.hls.counters.cached == 0


async def test_a_node_that_is_gone_is_passed_over(stage: Stage) -> None:
    await stage.start(nodes=3)
    for path in (f"/hls/live/{number}/live.m3u8" for number in range(20)):
        await stage.get(path)
    assert all(node.asked for node in stage.nodes)
    await stage.node.runner.cleanup()
    answers = [await stage.get(f"/hls/live/{number}/live.m3u8?again") for number in range(20)]
    assert {status for status, _, _ in answers} == {200}
    assert stage.hls.counters.failed_connects == 1


async def test_a_node_that_says_nothing_is_left_when_it_has_left_the_cluster(stage: Stage) -> None:
    await stage.start(nodes=2)
    path = await path_of_first(stage)
    stage.node.release.clear()
    asking = asyncio.create_task(stage.get(f"{path}?_HLS_msn=7"))
    await stage.asked(len(stage.node.asked) + 1)
    assert not (await asyncio.wait([asking], timeout=2.5))[0], "it may wait for what comes next"
    stage.upstreams.remove(stage.node.upstream)
    assert (await asking)[0] == 200
    assert stage.node.gone == 1
    assert stage.nodes[1].asked[-1] == f"{path}?_HLS_msn=7"


async def test_a_node_that_does_not_answer_in_time_is_overtaken_by_the_one_that_has_answered_before(stage: Stage) -> None:
    path, late, before = await joined_late(stage)
    late.release.clear()
    assert [(await stage.get(f"{path}?{number}"))[:2] for number in (2, 3)] == [(200, before.body)] * 2
    assert [asked for asked in late.asked if "?" in asked] == [f"{path}?2"], "the one that knew comes first then"
    assert late.gone == 1
    assert stage.hls.counters.overtaken == 1


async def test_a_node_that_redirects_a_player_has_not_answered_for_the_stream(stage: Stage) -> None:
    path, late, before = await joined_late(stage)
    late.status = 302
    assert (await stage.get(f"{path}?2"))[0] == 302
    late.release.clear()
    assert (await stage.get(f"{path}?3"))[:2] == (200, before.body)


async def test_a_node_that_waits_without_success_takes_nothing_from_the_first(stage: Stage) -> None:
    path, slow, before = await joined_late(stage)
    slow.release.clear()
    before.knows = False
    asking = asyncio.create_task(stage.get(f"{path}?2"))
    await stage.heard(before, f"{path}?2")
    slow.release.set()
    assert (await asking)[:2] == (200, slow.body)
    assert stage.hls.counters.overtaken == 0


async def joined_late(stage: Stage) -> tuple[str, HlsNode, HlsNode]:
    """A playlist, the node that is asked for it first and has just joined, and the one that has answered for it before."""
    await stage.start(nodes=2)
    path = await path_of_first(stage)
    late, before = stage.nodes
    before.body = b"of the one before"
    stage.upstreams.remove(late.upstream)
    await stage.get(f"{path}?1")
    stage.upstreams.append(late.upstream)
    return path, late, before


async def path_of_first(stage: Stage) -> str:
    """A playlist that the first node is asked for."""
    for number in itertools.count():
        path = f"/hls/live/{number}/live.m3u8"
        await stage.get(path)
        if stage.node.asked:
            break
    return path


async def test_without_a_node_players_are_told_to_try_again(stage: Stage) -> None:
    await stage.start(nodes=0)
    status, body, headers = await stage.get("/hls/live/a.m3u8")
    assert (status, body, headers["Retry-After"]) == (503, b"no hls node is known\n", "1")


async def test_pages_may_read_as_they_may_read_streams(stage: Stage) -> None:
    await stage.start(cors=("https://tv.example",))
    _, _, headers = await stage.get("/hls/live/a.m3u8", Origin="https://tv.example")
    assert headers["Access-Control-Allow-Origin"] == "https://tv.example"


async def test_flv_of_an_application_hls_is_the_edges_own(stage: Stage) -> None:
    await stage.start()
    status, body, _ = await stage.get("/hls/a.flv")
    assert (status, stage.node.asked) == (404, [])
    assert body.startswith(b"hls/a: nobody published it")


async def test_players_that_are_counted_here_are_one_to_the_node_each_with_an_id_of_its_own(stage: Stage) -> None:
    await stage.start(counts=True)
    places = [(await stage.get("/hls/live/a/live.m3u8?t=1"))[2]["Location"] for _ in range(20)]
    assert (len(set(places)), stage.node.asked) == (20, [])
    stage.node.release.clear()
    asking = [asyncio.create_task(stage.get(f"{where}&_HLS_msn=7", Range="bytes=0-3")) for where in places]
    await stage.waiting(20)
    stage.node.release.set()
    answers = [await task for task in asking]
    assert {(status, body) for status, body, _ in answers} == {(200, b"segment")}
    assert not any({CODECS_HEADER, PUBLICATION_HEADER} & headers.keys() for _, _, headers in answers)
    assert stage.node.asked == ["/hls/live/a/live.m3u8?t=1&_HLS_msn=7"]
    said = stage.headers.read_all(stage.node.headers[0], stage.node.asked[0], time.time())
    assert said is not None
    assert said.is_counted
    touches = stage.players.touches()
    assert {(touch.sent_bytes, touch.protocol, host_of(touch.peer), touch.codecs) for touch in touches} == {
        (7, "hls", HOST, ("h264", "aac"))
    }
    assert all(re.fullmatch(r".+:\d+", touch.peer) for touch in touches)
    assert {touch.url for touch in touches} == {stage.url("/hls/live/a/live.m3u8")}
    assert len(touches) == 20


async def test_a_player_that_waits_for_its_answer_counts_from_when_it_asked(stage: Stage) -> None:
    await stage.start(counts=True)
    where = (await stage.get("/hls/live/a/live.m3u8"))[2]["Location"]
    stage.node.release.clear()
    asking = asyncio.create_task(stage.get(where))
    await stage.waiting(1)
    stage.late_s = 12.0
    stage.node.release.set()
    assert (await asking)[0] == 200
    joins = stage.players.times.joins
    assert joins.count == 1
    assert joins.sum_s == pytest.approx(12.0, abs=1.0)


async def test_the_trace_of_a_client_goes_with_its_first_playlist_and_no_further(stage: Stage) -> None:
    await stage.start(counts=True)
    with traced() as recorded:
        where = (await stage.get(f"/hls/live/a/index.m3u8?t=1&traceparent={CLIENT}"))[2]["Location"]
        session_id, rest = session_in(where.partition("?")[2])
        assert rest == f"t=1&traceparent={CLIENT}"
        stage.node.body = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8?t=1\n"
        _, index, _ = await stage.get(where)
        assert index.splitlines()[-1].decode() == f"live.m3u8?t=1&session_id={session_id}"
        await stage.get(f"/hls/live/a/live.m3u8?t=1&session_id={session_id}")
    assert stage.node.asked == ["/hls/live/a/index.m3u8?t=1", "/hls/live/a/live.m3u8?t=1"]
    assert stage.node.headers[0]["traceparent"] == str(CLIENT)
    assert "traceparent" not in stage.node.headers[1]
    spans = recorded.all()
    assert {name: parent_of(span) for name, span in spans.items()} == {"edge.play": CLIENT, "edge.first_frame": PUBLICATION}
    [link] = spans["edge.first_frame"].links
    assert link.context.span_id == context_of(spans["edge.play"]).span_id


async def test_it_may_come_in_a_header_which_a_client_sends_with_each_request(stage: Stage) -> None:
    await stage.start(counts=True)
    with traced() as recorded:
        where = (await stage.get("/hls/live/a/live.m3u8", traceparent=str(CLIENT)))[2]["Location"]
        assert "traceparent" not in where
        await stage.get(where, traceparent=str(CLIENT))
    assert parent_of(recorded.all()["edge.play"]) == CLIENT


async def test_it_outlives_the_redirection_to_a_pass_and_no_secret_does(stage: Stage) -> None:
    await stage.start(counts=True)
    policy = Policy([parse_rule("play * lal_secret")], {MethodName.LAL_SECRET: LalSecret("k")})
    stage.access.apply(AccessSettings(policy=policy))
    with traced() as recorded:
        first = f"/hls/live/a.m3u8?lal_secret={lal_secret_of('a', 'k')}&traceparent={CLIENT}"
        passed = (await stage.get(first))[2]["Location"]
        where = (await stage.get(passed))[2]["Location"]
        assert (await stage.get(where))[0] == 200
    assert [name for name, _ in parse_qsl(passed.partition("?")[2])] == ["hls_pass", "traceparent"]
    assert [name for name, _ in parse_qsl(where.partition("?")[2])] == ["hls_pass", "session_id", "traceparent"]
    assert [name for name, _ in parse_qsl(stage.node.asked[0].partition("?")[2])] == ["hls_pass"]
    assert parent_of(recorded.all()["edge.play"]) == CLIENT


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_node_that_counts_is_asked_as_for_all_and_its_player_keeps_its_trace(stage: Stage, method: str) -> None:
    await stage.start()
    stage.node.counts_by = IDS
    with traced():
        url = URL(stage.url(f"/hls/a.m3u8?t=1&traceparent={CLIENT}"), encoded=True)
        async with stage.session.request(method, url, allow_redirects=False) as answer:
            where = answer.headers["Location"]
    assert re.fullmatch(rf"/hls/a\.m3u8\?session_id=[0-9a-f]+&traceparent={CLIENT}", where)
    assert (stage.node.asked, stage.node.headers[0]["traceparent"]) == (["/hls/a.m3u8?t=1"], str(CLIENT))


async def test_where_nothing_is_traced_nothing_goes_along(stage: Stage) -> None:
    await stage.start(counts=True)
    where = (await stage.get(f"/hls/live/a.m3u8?traceparent={CLIENT}", traceparent=str(CLIENT)))[2]["Location"]
    await stage.get(where)
    assert ("traceparent" in where, stage.node.asked, "traceparent" in stage.node.headers[0]) == (
        False,
        ["/hls/live/a.m3u8"],
        False,
    )


async def test_each_player_finds_its_id_in_a_multivariant_playlist_that_is_asked_for_once(stage: Stage) -> None:
    await stage.start(counts=True)
    stage.node.body = b"#EXTM3U\nlive.m3u8?t=1\n"
    for _ in range(3):
        where = (await stage.get("/hls/live/a/index.m3u8?t=1"))[2]["Location"]
        session_id = where.partition("&session_id=")[2]
        status, body, _ = await stage.get(where)
        assert (status, body.decode()) == (200, f"#EXTM3U\nlive.m3u8?t=1&session_id={session_id}\n")
    assert stage.node.asked == ["/hls/live/a/index.m3u8?t=1"]
    assert [touch.sent_bytes for touch in stage.players.touches()] == [len(body)] * 3


async def test_what_is_not_there_is_not_counted_and_who_was_kicked_is_told_so(stage: Stage) -> None:
    await stage.start(counts=True)
    stage.node.status = 404
    where = (await stage.get("/hls/live/a.m3u8"))[2]["Location"]
    assert (await stage.get(where))[0] == 404
    assert len(stage.players) == 0
    stage.players.kick([where.partition("session_id=")[2]])
    assert [(await stage.get(place))[0] for place in (where, where.replace("a.m3u8", "a/live.m3u8"))] == [410, 410]


async def test_a_head_is_no_player_and_the_head_of_what_a_player_gets(stage: Stage) -> None:
    await stage.start(counts=True)
    stage.node.body = b"#EXTM3U\nlive.m3u8\n"
    where = (await stage.get("/hls/live/a/index.m3u8"))[2]["Location"]
    async with stage.session.head(stage.url(where)) as answer:
        assert answer.status == 200
    assert len(stage.players) == 0
    assert len((await stage.get(where))[1]) == answer.content_length
    assert stage.node.asked == ["/hls/live/a/index.m3u8"]


async def test_what_there_is_no_memory_for_is_counted_as_it_goes_through(stage: Stage) -> None:
    await stage.start(counts=True)
    stage.hls.held = HeldBodies(max_bytes=3)
    where = (await stage.get("/hls/live/a.m3u8"))[2]["Location"]
    assert (await stage.get(where))[:2] == (200, b"segment")
    assert [touch.sent_bytes for touch in stage.players.touches()] == [len(b"segment")]


async def test_without_an_application_the_node_counts(stage: Stage) -> None:
    await stage.start(counts=True)
    assert (await stage.get("/hls/a.m3u8"))[0] == 200
    assert (stage.node.asked, len(stage.players)) == (["/hls/a.m3u8"], 0)


async def test_a_node_of_before_that_counts_all_the_same_is_left_to_it(stage: Stage) -> None:
    await stage.start(counts=True)
    stage.node.counts_by = IDS
    where = (await stage.get("/hls/live/a.m3u8"))[2]["Location"]
    for _ in range(2):
        assert (await stage.get(where))[:2] == (200, b"segment")
    assert stage.node.asked == ["/hls/live/a.m3u8", where]
    assert len(stage.players) == 0


async def test_a_node_with_a_key_of_its_own_gives_its_ids_and_keeps_them(stage: Stage) -> None:
    await stage.start(counts=True)
    stage.node.counts_by = SessionIds((b"hls.session.hash_key",), on_files=True)
    ours = (await stage.get("/hls/live/a.m3u8"))[2]["Location"]
    places = [(await stage.get(where))[2]["Location"] for where in (ours, ours, "/hls/live/a.m3u8")]
    for where in places:
        assert stage.node.counts_by.is_good(where.partition("session_id=")[2], CAM)
        assert (await stage.get(where))[:2] == (200, b"segment")
    assert stage.node.asked == ["/hls/live/a.m3u8"] * 3 + places


@pytest.mark.parametrize("is_alone", [False, True])
async def test_players_go_to_another_edge_or_to_other_workers_with_their_next_connection(stage: Stage, is_alone: bool) -> None:
    await stage.start()
    stage.entrance._elsewhere = lambda: (Endpoint("http", "10.0.0.2", 8080),)
    assert (await stage.get("/hls/live/a.m3u8"))[0] == 200  # by a connection that stays
    if is_alone:
        stage.listener.hand_over()
    stage.entrance.drain()
    status, _, headers = await stage.get("/hls/live/a.m3u8")
    assert (status, headers["Connection"]) == (200 if is_alone else 302, "close")
    if is_alone:
        with pytest.raises(aiohttp.ClientConnectorError):
            await stage.get("/hls/live/a.m3u8")
