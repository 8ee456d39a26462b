"""HTTP of an hls node in front of its service: sessions, heads, what is zipped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import cast

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from support.hls_fakes import FakeStorage
from support.tracing import parent_of, traced
from yarl import URL

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.authorisation import Access, FromEdge
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.hls_answers import CODECS_HEADER, PUBLICATION_HEADER, Played
from lalmesh.runtime.hls_sessions import Players, SessionIds, session_in
from lalmesh.runtime.http_port import HttpPort, reading_app
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.scheduling import NamedStreams
from lalmesh.runtime.telemetry import TraceContext
from services.hls.answer import Answer, playlist_answer, refusal, with_codecs
from services.hls.guard import Guard
from services.hls.http import HlsHttp
from services.hls.metrics import HlsMetrics
from services.hls.naming import StreamNames
from services.hls.record_http import RecordHttp
from services.hls.service import HlsService

HOST, LIMIT_S = "127.0.0.1", 30.0
IDS = SessionIds((b"a key of sessions",), on_files=True)
SHARED = SessionIds((b"a key of sessions",))
TEXT = "#EXTM3U\n" * 500
STREAM = StreamKey("live", "cam")
PUBLICATION, TRACE, CLIENT = b"\1" * 8, TraceContext(0xA, 1), TraceContext(0xB, 2)


class Site:
    """An hls node's HTTP, whose service says the same to everybody."""

    def __init__(self, ids: SessionIds | None = IDS) -> None:
        self.asked: list[str] = []
        self.is_away = False
        self.takes_s = 0.0  #: as who counts players sees it, for an answer
        self._late_s = 0.0
        self.text = TEXT
        self.headers: Mapping[str, str] = {}  #: of the last answer
        access = Access.open_to_all()
        self._edges = access.edge_headers
        self.registry = CollectorRegistry()
        self.players = Players(30.0, asyncio.get_running_loop().time, lambda: time.time() + self._late_s)
        names = StreamNames(self._find, asyncio.get_running_loop().time)
        metrics = HlsMetrics(self.registry)
        http = HlsHttp(cast(HlsService, self), names, RecordHttp(FakeStorage()), self.players, metrics, ids)
        guard = Guard(access, names, http.answer)
        self.port = HttpPort("http", reading_app(guard.answer, CorsPolicy(())), ListenerLimits(), metrics)

    async def _find(self, name: str) -> NamedStreams:
        if self.is_away:
            raise Unavailable("no scheduler", retry_after_s=1.0)
        return NamedStreams((STREAM,))

    async def answer(self, path: str, query: str) -> Answer:
        """What the service answers."""
        self.asked.append(f"{path}?{query}")
        self._late_s += self.takes_s
        if self.is_away:
            return refusal(503, "no scheduler")
        return with_codecs(playlist_answer(self.text, 1), ["h264", "aac"], PUBLICATION)

    async def ask(self, target: str, method: str = "GET", *, by_edge: bool = False) -> tuple[int, str, str]:
        """Status, body and Location; where it is `by_edge`, that counts the player."""
        url = URL(f"http://{HOST}:{self.port.port}{target}", encoded=True)
        said = self._edges.of(target, FromEdge("192.0.2.7", is_checked=True, is_counted=True), time.time()) if by_edge else {}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, headers=said, allow_redirects=False) as answer,
        ):
            self.headers = answer.headers
            return answer.status, await answer.text(), answer.headers.get("Location", "")

    def sent_bytes(self, to: str) -> float | None:
        return self.registry.get_sample_value("hls_sent_bytes_total", {"to": to})


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as made:
        yield made


async def started(stack: AsyncExitStack, ids: SessionIds | None = IDS) -> Site:
    site = Site(ids)
    await site.port.start(HOST, 0)
    stack.push_async_callback(site.port.close, "over")
    return site


async def test_a_first_playlist_is_asked_for_again_with_an_id_and_what_was_asked_stays(stack: AsyncExitStack) -> None:
    site = await started(stack)
    status, _, where = await site.ask("/hls/cam.m3u8?token=a%2Fb&_HLS_msn=7")
    assert (status, site.asked) == (302, [])
    assert where.startswith("/hls/cam.m3u8?token=a%2Fb&_HLS_msn=7&session_id=")
    assert (await site.ask(where))[:2] == (200, TEXT)
    assert (len(site.players), [touch.sent_bytes for touch in site.players.touches()]) == (1, [len(TEXT)])


@pytest.mark.parametrize("ids", [IDS, SHARED])
async def test_a_player_that_waits_for_its_answer_counts_from_when_it_asked(stack: AsyncExitStack, ids: SessionIds) -> None:
    site = await started(stack, ids)
    site.takes_s = 600.0
    assert (await site.ask((await site.ask("/hls/live/cam.m3u8"))[2]))[0] == 200
    joins = site.players.times.joins
    assert joins.count == 1
    assert joins.sum_s == pytest.approx(600.0, abs=LIMIT_S)


@pytest.mark.parametrize("ids", [IDS, SHARED])
async def test_a_player_that_is_counted_here_is_traced_and_its_trace_is_on_no_line(stack: AsyncExitStack, ids: SessionIds) -> None:
    site = await started(stack, ids)
    with traced() as recorded:
        telemetry.remember_publication(PUBLICATION, TRACE)
        _, _, where = await site.ask(f"/hls/live/cam.m3u8?a=1&traceparent={CLIENT}")
        session_id, rest = session_in(where.partition("?")[2])
        assert rest == f"a=1&traceparent={CLIENT}"
        for _ in range(2):
            assert (await site.ask(where))[0] == 200
    assert set(site.asked) == {f"/hls/live/cam.m3u8?a=1&session_id={session_id}" if ids.on_files else "/hls/live/cam.m3u8?a=1"}
    spans = recorded.all()
    assert {name: parent_of(span) for name, span in spans.items()} == {"edge.play": CLIENT, "edge.first_frame": TRACE}


async def test_an_id_of_another_stream_or_none_of_ours_is_not_found(stack: AsyncExitStack) -> None:
    site = await started(stack)
    for session_id in ("x", IDS.make(StreamKey("live", "other"))):
        assert (await site.ask(f"/hls/live/cam.m3u8?session_id={session_id}"))[0] == 404
    assert (site.asked, len(site.players)) == ([], 0)


async def test_a_head_is_no_player_and_nothing_that_was_sent(stack: AsyncExitStack) -> None:
    site = await started(stack)
    target = f"/hls/live/cam.m3u8?session_id={IDS.make(STREAM)}"
    assert await site.ask(target, "HEAD") == (200, "", "")
    assert (len(site.players), site.sent_bytes("player")) == (0, 0.0)
    await site.ask(target)
    assert (len(site.players), site.sent_bytes("player")) == (1, float(len(TEXT)))


async def test_what_edges_get_is_told_apart_from_what_players_get(stack: AsyncExitStack) -> None:
    site = await started(stack, SHARED)
    for _ in range(2):
        assert (await site.ask("/hls/live/cam.m3u8", by_edge=True))[0] == 200
    _, text, _ = await site.ask(f"/hls/live/cam.m3u8?session_id={SHARED.make(STREAM)}")
    assert (site.sent_bytes("edge"), site.sent_bytes("player")) == (2 * len(TEXT), len(text))


async def test_who_was_kicked_is_told_that_it_is_over(stack: AsyncExitStack) -> None:
    site = await started(stack)
    session_id = IDS.make(STREAM)
    target = f"/hls/live/cam.m3u8?session_id={session_id}"
    assert (await site.ask(target))[0] == 200
    site.players.kick([session_id])
    assert (await site.ask(target))[0] == 410
    assert len(site.players) == 0


async def test_where_caches_may_share_files_playlists_alone_carry_the_id(stack: AsyncExitStack) -> None:
    site = await started(stack, SHARED)
    where = (await site.ask("/hls/live/cam/index.m3u8?token=1"))[2]
    session_id = where.partition("&session_id=")[2]
    for name in ("index", "live", "playlist"):
        assert (await site.ask(f"/hls/live/cam/{name}.m3u8?token=1&session_id={session_id}&_HLS_msn=3"))[0] == 200
    assert site.asked == [
        "/hls/live/cam/index.m3u8?token=1&_HLS_msn=3",
        "/hls/live/cam/live.m3u8?token=1&_HLS_msn=3",
        "/hls/live/cam/playlist.m3u8?token=1&_HLS_msn=3",
    ]
    assert [touch.sent_bytes for touch in site.players.touches()] == [3 * len(TEXT)]
    site.players.kick([session_id])
    assert (await site.ask(where))[0] == 410


async def test_there_a_multivariant_playlist_names_its_variants_with_the_id(stack: AsyncExitStack) -> None:
    site = await started(stack, SHARED)
    site.text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8?token=1\n"
    where = (await site.ask("/hls/live/cam/index.m3u8?token=1"))[2]
    session_id = where.partition("&session_id=")[2]
    assert (await site.ask(where))[1].splitlines()[-1] == f"live.m3u8?token=1&session_id={session_id}"
    assert site.asked == ["/hls/live/cam/index.m3u8?token=1"]


async def test_who_is_counted_by_an_edge_is_not_counted_again_and_the_edge_hears_the_codecs(stack: AsyncExitStack) -> None:
    site = await started(stack, SHARED)
    assert (await site.ask("/hls/live/cam.m3u8", by_edge=True))[0] == 200
    assert (len(site.players), site.headers.get(CODECS_HEADER)) == (0, "h264,aac")
    assert site.headers.get(PUBLICATION_HEADER) == str(Played(PUBLICATION.hex()))
    where = (await site.ask("/hls/live/cam.m3u8"))[2]
    assert (await site.ask(where))[0] == 200
    assert not {CODECS_HEADER, PUBLICATION_HEADER} & site.headers.keys()
    assert [touch.codecs for touch in site.players.touches()] == [("h264", "aac")]


async def test_where_each_line_carries_the_id_no_edge_can_count(stack: AsyncExitStack) -> None:
    site = await started(stack)
    assert (await site.ask("/hls/live/cam.m3u8", by_edge=True))[0] == 302


async def test_there_an_id_of_another_key_is_replaced_and_files_do_not_need_one(stack: AsyncExitStack) -> None:
    site = await started(stack, SHARED)
    status, _, where = await site.ask("/hls/live/cam.m3u8?session_id=x&token=1")
    assert (status, where.partition("&session_id=")[0]) == (302, "/hls/live/cam.m3u8?token=1")
    assert (await site.ask(where))[0] == 200
    assert (await site.ask("/hls/live/cam/1.1-1.ts?session_id=x"))[0] == 200
    assert len(site.players) == 1


async def test_a_segment_needs_no_id(stack: AsyncExitStack) -> None:
    site = await started(stack)
    assert (await site.ask("/hls/live/cam/1.1-1.ts"))[0] == 200
    assert len(site.players) == 0


async def test_where_the_name_cannot_be_told_the_service_says_so(stack: AsyncExitStack) -> None:
    site = await started(stack)
    site.is_away = True
    assert (await site.ask("/hls/cam.m3u8"))[0] == 503


async def test_without_a_key_nobody_is_counted(stack: AsyncExitStack) -> None:
    site = await started(stack, None)
    assert (await site.ask("/hls/live/cam.m3u8"))[0] == 200
    assert len(site.players) == 0
