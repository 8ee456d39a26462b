"""The RTSP client's connection against our own server core: two ends back to back, bytes handed over by the test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from errno import ENOTCONN, ETIMEDOUT

import pytest
from support.fake_transport import FakeTransport, deliver
from support.loops import NEEDS_UVLOOP, new_uvloop

from lalmesh.client import ClientOptions, ConnectionFailed, Refused, RefusedNotAuthorized, RefusedNotFound, RtspTransport, _link
from lalmesh.client._link import MAX_QUEUED_BYTES, Mode
from lalmesh.client._rtsp_dial import parse_rtsp_url, redirected, udp_choice
from lalmesh.client._rtsp_link import RtspLink, UdpChoice
from lalmesh.client._rtsp_media import Report, RtspMedia, Wanted
from lalmesh.errors import RemoteProtocolError, StreamNotFound, UnsupportedError
from lalmesh.protocol.http_auth import ClientAuth
from lalmesh.protocol.rtsp import (
    Announced,
    AnnounceRequested,
    Described,
    DescribeRequested,
    Headers,
    PacketReceived,
    PlayRequested,
    RecordRequested,
    Request,
    RtspClient,
    RtspServer,
    RtspUrl,
    ServerEvent,
    ServerState,
    SetupRequested,
    serialize_frame,
)
from lalmesh.runtime.networks import Networks

DESCRIPTION = b"v=0\r\nm=video 0 RTP/AVP 96\r\n"
CONTROLS = ("one", "two")
WAIT_S = 1.0


@dataclass
class Media(RtspMedia):
    """Two tracks whose packets nobody reads."""

    published: bytes = b""
    received: list[tuple[int, bytes, bool]] = field(default_factory=list)
    set_ups: list[tuple[int, bool]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    due_us: int | None = None
    untaken: int = 0
    flushed: bool = False
    flush_error: UnsupportedError | None = None

    @property
    def description(self) -> bytes:
        return self.published

    def wanted(self, event: Described | Announced, url: RtspUrl) -> Wanted:
        base = event.base_url if isinstance(event, Described) else f"{url}/"
        return Wanted(tuple(base + control for control in CONTROLS), base)

    def set_up(self, track: int, *, is_udp: bool) -> None:
        self.set_ups.append((track, is_udp))

    def receive(self, track: int, data: bytes, now_us: int, *, is_rtcp: bool) -> None:
        self.received.append((track, data, is_rtcp))
        self.untaken += len(data)

    @property
    def next_timer_us(self) -> int | None:
        return self.due_us

    def handle_timer(self, now_us: int) -> list[Report]:
        self.due_us = None
        return self.reports

    @property
    def untaken_bytes(self) -> int:
        return self.untaken

    def flush(self, now_us: int) -> None:
        self.flushed = True
        if self.flush_error is not None:
            raise self.flush_error

    def goodbyes(self) -> list[Report]:
        return [Report(1, b"bye")] if self.published else []


def refusing(ends: Ends, status: int, *fields: tuple[str, str]) -> Callable[[ServerEvent], bool]:
    """An answer to whatever is asked."""

    def answer(event: ServerEvent) -> bool:
        ends.server.reject(status, *fields)
        return True

    return answer


class Ends:
    """A link and a server core, and the bytes between them."""

    def __init__(self, mode: Mode, *, login: str = "", denied: Container[str] = ()) -> None:
        url = parse_rtsp_url(f"rtsp://{login}127.0.0.1/live/a")
        self.media = Media(DESCRIPTION if mode == "publish" else b"")
        auth = ClientAuth(url.user, url.password, os.urandom) if url.user else None
        client = RtspClient(url, mode, description=self.media.description, auth=auth)
        self.link = RtspLink(client, self.media, mode, url=url, udp="no", denied=denied)
        self.wire = FakeTransport(sockname=("127.0.0.1", 5000), peername=("127.0.0.1", 554))
        self.server = RtspServer(os.urandom)
        self.events: list[ServerEvent] = []
        self.link.connection_made(self.wire)

    def agree(self, answer: Callable[[ServerEvent], bool] = lambda event: False) -> None:
        """Let the server accept all but what `answer` has answered, until neither has anything to say."""
        while self.wire.written:
            data = bytes(self.wire.written)
            self.wire.written.clear()
            for event in self.server.feed(data, 0):
                self.events.append(event)
                if not answer(event):
                    self.accept(event)
            self.deliver(self.server.data_to_send())

    def accept(self, event: ServerEvent) -> None:
        match event:
            case DescribeRequested():
                self.server.accept_describe(DESCRIPTION, CONTROLS)
            case AnnounceRequested():
                self.server.accept_announce(CONTROLS)
            case SetupRequested(transports=(first, *_)):
                self.server.accept_setup(first)
            case PlayRequested():
                self.server.accept_play()
            case RecordRequested():
                self.server.accept_record()

    def deliver(self, data: bytes) -> None:
        deliver(self.link, data)

    def packets(self) -> list[PacketReceived]:
        return [event for event in self.events if isinstance(event, PacketReceived)]


async def test_a_player_is_let_in_and_gets_packets() -> None:
    ends = Ends("play")
    ends.agree()
    assert ends.link.started.result() is None
    assert ends.media.set_ups == [(0, False), (1, False)]
    ends.deliver(serialize_frame(0, b"picture") + serialize_frame(3, b"report"))
    assert ends.media.received == [(0, b"picture", False), (1, b"report", True)]
    await asyncio.wait_for(ends.link.wait_untaken(), WAIT_S)


@pytest.mark.parametrize("source", ["127.0.0.9", "0.0.0.0"])
async def test_a_server_whose_packets_come_from_where_nothing_may_be_sent_is_none(source: str) -> None:
    ends = Ends("play", denied=Networks(["127.0.0.0/8"]))

    def move(event: ServerEvent) -> bool:
        if not isinstance(event, SetupRequested):
            return False
        ends.server.accept_setup(replace(event.transports[0], source=source))
        return True

    ends.agree(move)
    with pytest.raises(RemoteProtocolError, match="must not be reached"):
        ends.link.started.result()


async def test_a_publisher_is_let_in_and_sends_packets_in_one_write() -> None:
    ends = Ends("publish")
    ends.agree()
    ends.link.send(0, [b"one", b"two"])
    ends.link.send(1, [b"three"])
    assert not ends.wire.written
    await asyncio.sleep(0)
    ends.agree()
    assert [(event.track, event.payload) for event in ends.packets()] == [(0, b"one"), (0, b"two"), (1, b"three")]


async def test_what_is_drained_is_on_its_way_at_once() -> None:
    ends = Ends("publish")
    ends.agree()
    ends.link.send(0, [b"one"])
    with pytest.raises(StopIteration):  # it waits for nothing: the loop has no turn in which it would be sent
        ends.link.drain().send(None)
    ends.agree()
    assert [event.payload for event in ends.packets()] == [b"one"]


async def test_a_connection_that_was_reset_is_closed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Ends("publish")
    ends.agree()
    monkeypatch.setattr(ends.wire, "write_eof", raise_not_connected)
    closing = asyncio.ensure_future(ends.link.close())
    await asyncio.sleep(0)
    assert ends.wire.closed == "abort"
    ends.link.connection_lost(None)
    await closing


async def test_nothing_is_sent_behind_the_goodbye() -> None:
    ends = Ends("publish")
    ends.agree()
    closing = asyncio.ensure_future(ends.link.close())
    await asyncio.sleep(0)
    said = bytes(ends.wire.written)
    ends.link.send(0, [b"late"])
    with pytest.raises(StopIteration):
        ends.link.drain().send(None)
    assert bytes(ends.wire.written) == said
    ends.link.connection_lost(None)
    await closing


def raise_not_connected() -> None:
    raise OSError(ENOTCONN, "not connected")


async def test_a_publisher_says_goodbye() -> None:
    ends = Ends("publish")
    ends.agree()
    closing = asyncio.ensure_future(ends.link.close())
    await asyncio.sleep(0)
    ends.agree()
    assert [(event.track, event.is_rtcp, event.payload) for event in ends.packets()] == [(1, True, b"bye")]
    assert ends.server.state is ServerState.INIT
    ends.link.connection_lost(None)
    await closing


@pytest.mark.parametrize(("status", "kind"), [(404, RefusedNotFound), (403, RefusedNotAuthorized), (503, Refused)])
async def test_a_refusal_has_the_code_of_the_server(status: int, kind: type[Refused]) -> None:
    ends = Ends("play")
    ends.agree(refusing(ends, status))
    with pytest.raises(kind, match=f"RTSP {status}"):
        ends.link.started.result()
    assert ends.wire.closed
    assert kind is not RefusedNotFound or isinstance(ends.link.failure, StreamNotFound)


async def test_a_challenge_is_answered() -> None:
    ends = Ends("play", login="me:secret@")

    def challenge(event: ServerEvent) -> bool:
        if not isinstance(event, DescribeRequested) or event.request.headers.get("authorization"):
            return False
        ends.server.reject(401, ("WWW-Authenticate", 'Digest realm="r", nonce="n"'))
        return True

    ends.agree(challenge)
    assert ends.link.started.result() is None


async def test_wrong_credentials_are_refused_once() -> None:
    ends = Ends("play", login="me:wrong@")
    ends.agree(refusing(ends, 401, ("WWW-Authenticate", 'Digest realm="r", nonce="n"')))
    with pytest.raises(RefusedNotAuthorized):
        ends.link.started.result()
    assert len(ends.events) == 2


async def test_a_redirect_is_a_result() -> None:
    ends = Ends("play")
    ends.agree(refusing(ends, 302, ("Location", "rtsp://other/live/a")))
    assert ends.link.started.result() == "rtsp://other/live/a"


async def test_a_proxy_is_not_gone_through() -> None:
    ends = Ends("play")
    ends.agree(refusing(ends, 305, ("Location", "rtsp://proxy/")))
    with pytest.raises(UnsupportedError):
        ends.link.started.result()


async def test_reports_go_out_when_they_are_due() -> None:
    ends = Ends("publish")
    ends.agree()
    ends.media.reports = [Report(0, b"report")]
    ends.media.due_us = 0
    ends.link.send(0, [b"one"])
    for _ in range(3):
        await asyncio.sleep(0)
    ends.agree()
    assert [(event.payload, event.is_rtcp) for event in ends.packets()] == [(b"one", False), (b"report", True)]


@NEEDS_UVLOOP
def test_a_timer_that_is_due_at_once_is_looked_at_by_what_comes_before_it_runs() -> None:
    async def work() -> None:
        ends = Ends("play")
        ends.agree()
        ends.media.due_us = 0
        ends.deliver(serialize_frame(0, b"one"))
        ends.deliver(serialize_frame(0, b"two"))  # uvloop's handle does not say when it runs
        assert [data for _, data, _ in ends.media.received] == [b"one", b"two"]
        ends.link.abort()

    with asyncio.Runner(loop_factory=new_uvloop) as runner:
        runner.run(work())


async def test_a_player_that_takes_nothing_stops_the_server() -> None:
    ends = Ends("play")
    ends.agree()
    frame = serialize_frame(0, bytes(60_000))
    for _ in range(MAX_QUEUED_BYTES // 60_000 + 1):
        ends.deliver(frame)
    assert not ends.wire.reading
    ends.media.untaken = 0
    waiting = asyncio.ensure_future(ends.link.wait_untaken())
    await asyncio.sleep(0)
    assert ends.wire.reading
    ends.deliver(frame)
    await asyncio.wait_for(waiting, WAIT_S)


class Unread(FakeTransport):
    """One whose peer takes nothing."""

    def get_write_buffer_size(self) -> int:
        return len(self.written)


async def test_a_server_that_asks_without_end_has_to_take_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_link, "MAX_UNSENT_BYTES", 1 << 20)
    ends = Ends("play")
    ends.agree()
    ends.wire = Unread()
    ends.link._transport = ends.wire
    asked = Request(
        method="OPTIONS", uri="*", headers=Headers((("CSeq", "9" * 15_000),))
    ).serialize()  # which the answer says again
    for _ in range((1 << 20) // 15_000 + 10):
        ends.deliver(asked)
    assert ends.wire.closed == "abort"
    with pytest.raises(ConnectionFailed, match="unsent, limit 1048576"):
        await ends.link.wait_untaken()


async def test_a_stream_that_the_server_closes_is_over() -> None:
    ends = Ends("play")
    ends.agree()
    ends.link.connection_lost(None)
    assert ends.media.flushed
    await asyncio.wait_for(ends.link.wait_untaken(), WAIT_S)
    assert ends.link.ended == "closed by the server"


async def test_what_cannot_be_read_at_the_end_is_left_out_and_the_end_goes_on() -> None:
    ends = Ends("play")
    ends.agree()
    ends.media.flush_error = UnsupportedError("interleaved AAC")
    ends.link.connection_lost(None)
    await asyncio.wait_for(ends.link.wait_gone(), WAIT_S)
    assert ends.link.ended == "closed by the server"


async def test_a_connection_that_breaks_is_a_failure() -> None:
    for mode in ("play", "publish"):
        ends = Ends("play" if mode == "play" else "publish")
        ends.agree()
        ends.link.connection_lost(OSError(ETIMEDOUT, "timed out"))
        with pytest.raises(ConnectionFailed, match="timed out"):
            ends.link.check()


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), BrokenPipeError("broken pipe")], ids=["reset", "broken pipe"])
async def test_a_server_that_has_not_read_our_reports_when_it_closes_has_closed_all_the_same(error: OSError) -> None:
    playing = Ends("play")
    playing.agree()
    playing.link.connection_lost(error)
    assert playing.media.flushed
    assert playing.link.ended == "closed by the server"
    publishing = Ends("publish")
    publishing.agree()
    publishing.link.connection_lost(error)
    with pytest.raises(ConnectionFailed, match=str(error)):
        publishing.link.check()


async def test_the_server_may_end_a_session() -> None:
    ends = Ends("play")
    ends.agree()
    ends.deliver(b"TEARDOWN rtsp://host/live/a RTSP/1.0\r\nCSeq: 1\r\n\r\n")
    assert ends.link.ended == "TEARDOWN"
    published = Ends("publish")
    published.agree()
    published.deliver(b"TEARDOWN rtsp://host/live/a RTSP/1.0\r\nCSeq: 1\r\n\r\n")
    with pytest.raises(ConnectionFailed, match="TEARDOWN"):
        published.link.check()


async def test_bytes_that_are_no_rtsp_end_it() -> None:
    ends = Ends("play")
    ends.deliver(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(RemoteProtocolError):
        ends.link.started.result()


# the way to a server


@pytest.mark.parametrize(
    ("mode", "url", "transport", "choice"),
    [
        ("play", "rtsp://host/a", "auto", "try"),
        ("play", "rtsps://host/a", "auto", "no"),
        ("publish", "rtsp://host/a", "auto", "no"),
        ("play", "rtsp://host/a", "tcp", "no"),
        ("publish", "rtsp://host/a", "udp", "only"),
    ],
)
def test_how_packets_go(mode: Mode, url: str, transport: RtspTransport, choice: UdpChoice) -> None:
    assert udp_choice(mode, RtspUrl.parse(url), ClientOptions(rtsp_transport=transport)) == choice


def test_a_login_goes_along_to_the_same_host_only() -> None:
    url = RtspUrl.parse("rtsp://me:secret@host/a")
    assert redirected(url, "rtsp://host:8554/b").user == "me"
    assert redirected(url, "rtsp://other/b").user == ""
    assert redirected(url, "rtsp://you:x@host/b").user == "you"


@pytest.mark.parametrize("target", ["rtsp://host/a", "http://host/a", "nonsense"])
def test_no_redirect_leaves_an_encrypted_connection(target: str) -> None:
    with pytest.raises(RemoteProtocolError):
        redirected(RtspUrl.parse("rtsps://host/a"), target)
