"""What the scheduler is told of an edge's sessions, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from prometheus_client import CollectorRegistry
from support.edge_fakes import EDGE
from support.virtual_time import in_virtual_time

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.sessions import SessionRole, SessionTouch
from services.edge.client import Client
from services.edge.metrics import EdgeMetrics
from services.edge.session import Session, SessionMedia, Sessions
from services.edge.session_reports import CHUNK, GATHER_S, LEAVE_S, WHOLE_ROUNDS, SessionReports

CAM = StreamKey.of("live", "cam")
REPORT_S = 5.0


class Told:
    """An edge, and what its scheduler heard."""

    def __init__(self) -> None:
        metrics = EdgeMetrics(CollectorRegistry())
        self.sessions = Sessions(metrics)
        self.reports = SessionReports(self.sessions, self, lambda: EDGE, metrics, report_s=REPORT_S)  # type: ignore[arg-type]
        self.words: list[list[SessionTouch]] = []
        self.is_away = False
        self.takes_s = 0.0
        self.error: Exception | None = None

    async def touch_sessions(self, node: NodeAddress, sessions: Sequence[SessionTouch], deadline_s: float) -> None:
        if self.is_away:
            raise Unavailable("away", retry_after_s=1)
        if self.error is not None:
            raise self.error
        await asyncio.sleep(self.takes_s)
        self.words.append(list(sessions))

    def open(self, role: SessionRole = SessionRole.PLAYER) -> Session:
        client = Client(
            protocol="rtmp", address="192.0.2.1", peer="192.0.2.1:9", url="rtmp://a/live/cam", query="a=1&token=x", user_agent="F"
        )
        session = self.sessions.open(client, role, CAM, lambda _: None)
        session.bytes_moved = lambda: 70
        session.media = lambda: SessionMedia(("h264",), client.asked_us + 5000, 3, 1)
        return session

    def heard(self) -> list[SessionTouch]:
        words, self.words = self.words, []
        return [touch for word in words for touch in word]


@in_virtual_time
async def test_a_session_is_told_of_at_once_and_whole_without_its_secrets() -> None:
    told = Told()
    running = asyncio.create_task(told.reports.run())
    await asyncio.sleep(0.5)
    told.open()
    await asyncio.sleep(GATHER_S * 2)
    (touch,) = told.heard()
    assert (touch.protocol, touch.peer, touch.url, touch.query) == ("rtmp", "192.0.2.1:9", "rtmp://a/live/cam", "a=1&token=***")
    assert (touch.sent_bytes, touch.received_bytes, touch.is_total, touch.is_brief) == (70, 0, True, False)
    assert (touch.codecs, touch.first_media_ms, touch.queued_bytes, touch.skips) == (("h264",), 5, 3, 1)
    running.cancel()


@in_virtual_time
async def test_afterwards_a_few_figures_are_told_each_round_and_its_end_at_once() -> None:
    told = Told()
    while int((session := told.open(SessionRole.PUBLISHER)).session_id[-2:], 16) % WHOLE_ROUNDS:
        told.sessions.closed(session, "told of whole before the twelfth round")
    running = asyncio.create_task(told.reports.run())
    await asyncio.sleep(2 * REPORT_S + 1)
    first, *later = told.heard()
    assert (first.is_brief, first.received_bytes) == (False, 70)
    assert [(touch.is_brief, touch.url, touch.received_bytes) for touch in later] == [(True, "", 70)] * 2
    told.sessions.closed(session, "gone")
    await asyncio.sleep(GATHER_S * 2)
    assert [(touch.id, touch.over) for touch in told.heard()] == [(session.session_id, True)]
    running.cancel()


@in_virtual_time
async def test_one_that_goes_on_under_its_id_is_not_told_to_be_over() -> None:
    told = Told()
    session = told.open(SessionRole.RELAY_PULL)
    running = asyncio.create_task(told.reports.run())
    await asyncio.sleep(1)
    told.heard()
    told.sessions.closed(session, "the source has gone")
    told.sessions.open(replace(session.client, session_id=session.session_id), SessionRole.RELAY_PULL, CAM, lambda _: None)
    await asyncio.sleep(GATHER_S * 2)
    assert [(touch.id, touch.over, touch.is_brief) for touch in told.heard()] == [(session.session_id, False, False)]
    running.cancel()


@in_virtual_time
async def test_who_is_still_here_is_told_of_whole_once_the_scheduler_is_back() -> None:
    told = Told()
    session = told.open()
    running = asyncio.create_task(told.reports.run())
    await asyncio.sleep(1)
    told.heard()
    told.is_away = True
    gone = told.open()
    await asyncio.sleep(2 * REPORT_S)
    told.sessions.closed(gone, "gone")
    await asyncio.sleep(REPORT_S)
    told.is_away = False
    await asyncio.sleep(REPORT_S + 1)
    heard = told.heard()
    assert [touch.is_brief for touch in heard if touch.id == session.session_id][:1] == [False]
    assert all(touch.over for touch in heard if touch.id == gone.session_id)
    running.cancel()


@in_virtual_time
async def test_many_are_told_of_in_parts() -> None:
    told = Told()
    for _ in range(CHUNK * 2 + 1):
        told.open()
    running = asyncio.create_task(told.reports.run())
    await asyncio.sleep(REPORT_S - 0.1)
    assert [len(word) for word in told.words][:3] == [CHUNK, CHUNK, 1]
    assert len({touch.id for touch in told.heard()}) == CHUNK * 2 + 1
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@in_virtual_time
async def test_an_edge_that_leaves_says_that_all_are_over() -> None:
    told = Told()
    told.open()
    running = asyncio.create_task(told.reports.run())
    await asyncio.sleep(1)
    told.heard()
    running.cancel()
    await told.reports.leave()
    assert [touch.over for touch in told.heard()] == [True]


def test_what_a_client_said_in_other_bytes_can_be_told() -> None:
    client = Client(
        protocol="rtsp",
        address="192.0.2.1",
        peer="192.0.2.1:9",
        url="rtsp://h\udcff/live/cam",
        query="x=\udcff",
        user_agent="VLC \udce9",
    )
    assert (client.url, client.query, client.user_agent) == ("rtsp://h\ufffd/live/cam", "x=\ufffd", "VLC \ufffd")


@in_virtual_time
async def test_a_session_that_cannot_be_told_of_ends_no_word_about_others() -> None:
    told = Told()
    told.error = UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")
    running = asyncio.create_task(told.reports.run())
    told.open()
    await asyncio.sleep(0.5)
    told.error = None
    told.open()
    await asyncio.sleep(0.5)
    assert len(told.heard()) == 1
    running.cancel()


@in_virtual_time
async def test_a_session_of_which_nothing_can_be_said_ends_no_word_about_others() -> None:
    told = Told()
    running = asyncio.create_task(told.reports.run())
    for is_broken in (True, False):
        session = told.open()
        if is_broken:
            session.media = lambda: [].pop()
    await asyncio.sleep(REPORT_S + 1)
    assert {touch.id for touch in told.heard()} == {session.session_id}
    session.bytes_moved = lambda: [].pop()
    other = told.open()
    await asyncio.sleep(GATHER_S * 2)
    told.heard()
    running.cancel()
    await told.reports.leave()
    assert {touch.id: touch.over for touch in told.heard()}[other.session_id]


@in_virtual_time
async def test_a_scheduler_that_is_slow_does_not_hold_up_an_edge_that_leaves() -> None:
    told = Told()
    for _ in range(10 * CHUNK):
        told.open()
    running = asyncio.create_task(told.reports.run())
    await asyncio.sleep(REPORT_S)
    running.cancel()
    assert {touch.over for touch in told.heard()} == {False}
    told.takes_s = 1.0
    began = asyncio.get_running_loop().time()
    await told.reports.leave()
    assert asyncio.get_running_loop().time() - began == LEAVE_S
    assert [touch.over for touch in told.heard()] == [True] * CHUNK
