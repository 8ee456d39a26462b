"""The RTMP client's connection against our own server core: two ends back to back, bytes handed over by the test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from support.fake_transport import FakeTransport, deliver

from lalmesh.client import (
    ConnectionFailed,
    Refused,
    RefusedExists,
    RefusedNotAuthorized,
    RefusedNotFound,
)
from lalmesh.client._link import MAX_QUEUED_BYTES, MAX_UNSENT_BYTES, Mode, consent
from lalmesh.client._options import DEFAULT_OPTIONS
from lalmesh.client._rtmp_link import GATHER_BYTES, RtmpLink, parse_rtmp_url, redirected
from lalmesh.container.flv import TAG_AUDIO, TAG_VIDEO, Tag
from lalmesh.errors import RemoteProtocolError, StreamExists, StreamNotFound
from lalmesh.protocol.rtmp import (
    DEFAULT_OUT_CHUNK_SIZE,
    Connected,
    MediaMessage,
    PlayRequested,
    PublishRequested,
    RtmpClient,
    RtmpServer,
    ServerEvent,
    StreamClosed,
    chunk_message,
)


class Ends:
    """A link and a server core, and the bytes between them."""

    def __init__(self, mode: Mode) -> None:
        url = parse_rtmp_url("rtmp://host/live/a")
        self.link = RtmpLink(RtmpClient(url, mode, os.urandom), mode)
        self.wire = FakeTransport()
        self.server = RtmpServer(os.urandom)
        self.link.connection_made(self.wire)

    def events(self) -> Iterator[ServerEvent]:
        """What the client wants, its bytes and the answers carried to and fro until neither end has any."""
        while self.wire.written:
            data = bytes(self.wire.written)
            self.wire.written.clear()
            yield from self.server.feed(data)
            self.deliver(self.server.data_to_send())

    def deliver(self, data: bytes) -> None:
        deliver(self.link, data)

    def agree(self) -> None:
        for event in self.events():
            match event:
                case Connected():
                    self.server.accept_connect()
                case PublishRequested(stream_id=stream_id):
                    self.server.accept_publish(stream_id)
                case PlayRequested(stream_id=stream_id):
                    self.server.accept_play(stream_id)
        assert self.link.started.result() is None

    def play(self, tag: Tag) -> None:
        pieces = chunk_message(6, tag.type_id, tag.timestamp_ms, b"", tag.body, chunk_size=DEFAULT_OUT_CHUNK_SIZE)
        self.deliver(b"".join(pieces))


async def test_what_is_sent_arrives() -> None:
    ends = Ends("publish")
    ends.agree()
    ends.link.send(TAG_VIDEO, 40, (b"\x17\x01", b"picture"))
    await asyncio.sleep(0)
    assert list(ends.events()) == [MediaMessage(1, TAG_VIDEO, 40, b"\x17\x01picture")]


async def test_what_is_sent_in_one_turn_is_one_write() -> None:
    ends = Ends("publish")
    ends.agree()
    ends.link.send(TAG_VIDEO, 40, (b"\x17\x01", b"picture"))
    ends.link.send(TAG_AUDIO, 41, (b"\xaf\x01", b"sound"))
    assert not ends.wire.written
    await asyncio.sleep(0)
    assert [message.timestamp_ms for message in ends.events() if isinstance(message, MediaMessage)] == [40, 41]


async def test_no_turn_gathers_more_than_its_bound() -> None:
    ends = Ends("publish")
    ends.agree()
    ends.link.send(TAG_VIDEO, 40, (bytes(GATHER_BYTES - 1),))
    assert not ends.wire.written
    ends.link.send(TAG_VIDEO, 80, (b"1",))
    assert len(ends.wire.written) > GATHER_BYTES


async def test_a_closed_publisher_says_that_its_stream_is_over() -> None:
    ends = Ends("publish")
    ends.agree()
    closing = asyncio.ensure_future(ends.link.close())
    await asyncio.sleep(0)
    assert ends.wire.closed == "eof"
    assert list(ends.events()) == [StreamClosed(1)]
    ends.link.connection_lost(None)
    await closing
    assert ends.wire.closed == "eof"


async def test_what_is_played_is_taken_in_order() -> None:
    ends = Ends("play")
    ends.agree()
    tags = [Tag(TAG_AUDIO, 0, b"\xaf\x01a"), Tag(TAG_AUDIO, 23, b"\xaf\x01b")]
    for tag in tags:
        ends.play(tag)
    assert await ends.link.take() == tags


async def test_a_stream_that_ends_gives_its_rest_first() -> None:
    ends = Ends("play")
    ends.agree()
    ends.play(Tag(TAG_AUDIO, 0, b"\xaf\x01a"))
    ends.server.end_play(1)
    ends.deliver(ends.server.data_to_send())
    assert len(await ends.link.take()) == 1
    assert await ends.link.take() == []
    assert ends.link.ended
    assert ends.wire.closed == "close"


async def test_broken_bytes_are_raised_after_the_media_before_them() -> None:
    ends = Ends("play")
    ends.agree()
    ends.play(Tag(TAG_AUDIO, 0, b"\xaf\x01a"))
    ends.deliver(b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\0\0\0\0")  # a chunk size of 0
    assert len(await ends.link.take()) == 1
    with pytest.raises(RemoteProtocolError, match="Set Chunk Size"):
        await ends.link.take()


async def test_a_full_queue_stops_reading_until_it_is_taken() -> None:
    ends = Ends("play")
    ends.agree()
    ends.play(Tag(TAG_VIDEO, 0, bytes(MAX_QUEUED_BYTES // 2)))
    assert ends.wire.reading
    ends.play(Tag(TAG_VIDEO, 0, bytes(MAX_QUEUED_BYTES // 2 + 1)))
    assert not ends.wire.reading
    await ends.link.take()
    assert ends.wire.reading


async def test_who_is_cancelled_as_the_server_agrees_is_cancelled() -> None:
    ends = Ends("play")
    asking = asyncio.ensure_future(consent(ends.link, DEFAULT_OPTIONS))
    await asyncio.sleep(0)
    ends.agree()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert ends.wire.closed == "abort"


async def test_who_never_drains_is_cut_off() -> None:
    ends = Ends("publish")
    ends.agree()
    ends.wire.stuck_bytes = MAX_UNSENT_BYTES + 1
    with pytest.raises(ConnectionFailed, match="unsent"):
        ends.link.send(TAG_VIDEO, 0, (b"\x17\x01",))
    assert ends.wire.closed == "abort"


async def test_drain_waits_for_room_and_learns_of_the_end() -> None:
    ends = Ends("publish")
    ends.agree()
    ends.link.pause_writing()
    waiting = asyncio.ensure_future(ends.link.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    ends.link.connection_lost(OSError("reset"))
    with pytest.raises(ConnectionFailed, match="reset"):
        await waiting


@pytest.mark.parametrize(
    ("mode", "code", "kind"),
    [
        ("publish", "NetStream.Publish.BadName", RefusedExists),
        ("publish", "NetStream.Publish.Denied", RefusedNotAuthorized),
        ("publish", "NetStream.Publish.Failed", Refused),
        ("play", "NetStream.Play.StreamNotFound", RefusedNotFound),
        ("play", "NetStream.Play.Failed", Refused),
    ],
)
async def test_a_refusal_is_an_error_of_its_own_kind(mode: Mode, code: str, kind: type[Refused]) -> None:
    ends = Ends(mode)
    for event in ends.events():
        match event:
            case Connected():
                ends.server.accept_connect()
            case PublishRequested(stream_id=stream_id):
                ends.server.reject_publish(stream_id, code, "why")
            case PlayRequested(stream_id=stream_id):
                ends.server.reject_play(stream_id, code, "why")
    with pytest.raises(kind) as caught:
        await ends.link.started
    assert (type(caught.value), caught.value.code, caught.value.description) == (kind, code, "why")


def test_refusals_are_the_service_errors_that_others_know() -> None:
    assert issubclass(RefusedNotFound, StreamNotFound)
    assert issubclass(RefusedExists, StreamExists)


async def test_a_publisher_that_is_stopped_later_learns_why() -> None:
    ends = Ends("publish")
    ends.agree()
    ends.server.end_publish(1, "NetStream.Publish.BadName", "taken over")
    ends.deliver(ends.server.data_to_send())
    with pytest.raises(RefusedExists, match="taken over"):
        ends.link.send(TAG_VIDEO, 0, (b"\x17\x01",))


async def test_a_redirect_is_an_answer_too() -> None:
    ends = Ends("play")
    for event in ends.events():
        assert isinstance(event, Connected)
        ends.server.reject_connect(redirect_url="rtmp://other/live")
    assert ends.link.started.result() == "rtmp://other/live"


@pytest.mark.parametrize("cut", ["before the answer", "while playing"])
async def test_a_connection_that_closes_ends_a_player_only_if_it_played(cut: str) -> None:
    ends = Ends("play")
    if cut == "while playing":
        ends.agree()
        ends.link.connection_lost(None)
        assert await ends.link.take() == []
    else:
        ends.link.connection_lost(None)
        with pytest.raises(ConnectionFailed):
            await ends.link.started


@pytest.mark.parametrize(
    ("target", "goal"),
    [
        ("", "rtmp://host:1936/live/a?key=1"),
        ("rtmp://other/app", "rtmp://other/app/a?key=1"),
        ("//other:1937/app/", "rtmp://other:1937/app/a?key=1"),
        ("/app/inner", "rtmp://host:1936/app/inner/a?key=1"),
    ],
)
def test_a_redirect_keeps_the_name(target: str, goal: str) -> None:
    assert str(redirected(parse_rtmp_url("rtmp://host:1936/live/a?key=1"), target)) == goal


@pytest.mark.parametrize("target", ["http://other/app", "rtmp://", "rtmp://other:x/app"])
def test_a_redirect_to_nowhere_is_the_servers_fault(target: str) -> None:
    with pytest.raises(RemoteProtocolError, match="redirect"):
        redirected(parse_rtmp_url("rtmp://host/live/a"), target)


def test_a_redirect_does_not_take_encryption_away() -> None:
    with pytest.raises(RemoteProtocolError, match="encrypted"):
        redirected(parse_rtmp_url("rtmps://host/live/a"), "rtmp://host/live")
