"""What is said on an RTMP connection, in virtual time and without a socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import FakeLinks, FakeScheduler, gop, location, run_of
from support.fake_transport import FakeTransport
from support.virtual_time import in_virtual_time

from lalmesh.amf import AmfValue, serialize_amf0
from lalmesh.protocol.rtmp import ChunkReader, ChunkWriter, Message
from lalmesh.protocol.rtmp._commands import parse_command
from lalmesh.protocol.rtmp._served import MAX_MESSAGE_STREAMS
from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.listener import Connection
from services.edge.metrics import EdgeMetrics
from services.edge.rtmp_dialogue import MAX_REQUESTS, REQUESTS_S, RtmpDialogue
from services.edge.rtmp_refusals import MAX_PLAYED_STREAM_ID, MAX_REFUSAL_LINES, REFUSAL_LINES_S

ADDRESS = "192.0.2.1"
TLS_HELLO = b"\x16\x03\x01\x02\x00\x01"
C0C1C2 = b"\x03" + bytes(2 * 1536)
ABSENT_S = 0.5  #: for how long a player waits for a publisher
NO_NAME = ".."


class Talk:
    """A dialogue, and a client of it that says what a test makes it say."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        metrics = EdgeMetrics(self.registry)
        self.scheduler, self.links = FakeScheduler(), FakeLinks()
        self.context = edge_context(metrics, self.scheduler, self.links, wait_publisher_s=ABSENT_S)
        self.wire = FakeTransport()
        connection = Connection(ADDRESS, 0.0, lambda _: None, refused=False)
        self.dialogue = RtmpDialogue(self.context, metrics, self.wire, connection, "rtmp", Remote(ADDRESS, f"{ADDRESS}:9"))
        self._writer, self._reader = ChunkWriter(), ChunkReader()

    def connect(self, streams: int) -> None:
        """Connect, and have message streams from 1 on."""
        self.dialogue.feed(C0C1C2)
        self.wire.written.clear()
        self.say(self.call("connect", {"app": "live"}), *(self.call("createStream", None) for _ in range(streams)))
        self.codes()

    def call(self, name: str, *arguments: AmfValue, on: int = 0) -> bytes:
        """A command on a message stream."""
        return self._writer.send(3, Message(20, on, 0, serialize_amf0(name, 1.0, *arguments)))

    def say(self, *said: bytes) -> None:
        """All of it comes in one read."""
        self.dialogue.feed(b"".join(said))

    async def play(self, name: str, on: Iterable[int]) -> None:
        """Play on message streams, by one read; returns once all that can be answered at once is."""
        self.say(*(self.call("play", None, name, on=stream_id) for stream_id in on))
        await asyncio.sleep(ABSENT_S / 100)

    async def begin_to_play(self) -> None:
        """Play on the first message stream what somebody publishes."""
        self.scheduler.put(location(1))
        self.say(self.call("play", None, "a", on=1))
        (await self.links.opened(1)).serve(run_of(gop(0, 3)))
        await asyncio.sleep(ABSENT_S / 100)
        assert self.codes()[-1] == ("NetStream.Play.Start", 1)

    def codes(self) -> list[tuple[AmfValue, int]]:
        """The statuses that came since the last call, and on which message streams."""
        heard = list(self._reader.feed(bytes(self.wire.written)))
        self.wire.written.clear()
        infos = [(parse_command(message).argument(1), message.stream_id) for message in heard if message.type_id == 20]
        return [(info["code"], stream_id) for info, stream_id in infos if isinstance(info, dict) and stream_id]

    def refused(self, reason: str) -> float | None:
        """How many requests were, as metrics have it."""
        return self.registry.get_sample_value("edge_refused_total", {"protocol": "rtmp", "reason": reason})


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@in_virtual_time
async def test_a_connection_that_broke_the_protocol_is_counted_once_whatever_is_read_of_it_afterwards() -> None:
    talk = Talk()
    for _ in range(3):  # the pieces of what came before the connection was lost
        talk.dialogue.feed(TLS_HELLO)
    assert talk.registry.get_sample_value("edge_protocol_errors_total", {"protocol": "rtmp"}) == 1


@in_virtual_time
async def test_one_connection_has_a_stream_packaged_for_few_of_its_message_streams() -> None:
    talk = Talk()
    talk.connect(MAX_MESSAGE_STREAMS)
    await talk.begin_to_play()
    await talk.play("a", range(2, MAX_MESSAGE_STREAMS + 1))
    codes = talk.codes()
    started = [stream_id for code, stream_id in codes if code == "NetStream.Play.Start"]
    failed = [stream_id for code, stream_id in codes if code == "NetStream.Play.Failed"]
    assert started == list(range(2, MAX_PLAYED_STREAM_ID + 1))
    assert failed == list(range(MAX_PLAYED_STREAM_ID + 1, MAX_MESSAGE_STREAMS + 1))
    (relay,) = talk.context.relays
    assert len(relay.fanouts) == MAX_PLAYED_STREAM_ID
    assert talk.refused("message stream") == len(failed)
    assert not talk.wire.closed
    await talk.context.relays.close()


@in_virtual_time
async def test_who_plays_only_on_a_message_stream_that_nothing_is_played_on_is_told_so_and_closed() -> None:
    talk = Talk()
    talk.connect(MAX_PLAYED_STREAM_ID + 1)
    await talk.play("a", [MAX_PLAYED_STREAM_ID + 1])
    assert talk.codes() == [("NetStream.Play.Failed", MAX_PLAYED_STREAM_ID + 1)]
    assert talk.wire.closed


@in_virtual_time
async def test_a_message_stream_that_was_deleted_is_the_next_to_be_had() -> None:
    talk = Talk()
    talk.connect(1)
    await talk.begin_to_play()
    for _ in range(2 * MAX_PLAYED_STREAM_ID):  # as a page does that shows one stream after the other
        talk.say(talk.call("createStream", None), talk.call("deleteStream", None, 1.0), talk.call("createStream", None))
        talk.say(talk.call("deleteStream", None, 2.0))
        await talk.play("a", [1])
        assert talk.codes()[-1] == ("NetStream.Play.Start", 1)
    await talk.context.relays.close()


@in_virtual_time
async def test_plays_one_upon_the_other_have_an_end(caplog: pytest.LogCaptureFixture) -> None:
    talk = Talk()
    talk.connect(1)
    await talk.play("nobody", [1] * 5000)
    assert talk.wire.closed
    assert talk.registry.get_sample_value("edge_protocol_errors_total", {"protocol": "rtmp"}) == 1
    (line,) = warnings_in(caplog)
    assert f"requests to publish and to play in {REQUESTS_S:g} s of {MAX_REQUESTS + 1}, limit {MAX_REQUESTS}" in line


@pytest.mark.parametrize("name", ["publish", "play"])
@in_virtual_time
async def test_requests_that_are_refused_beside_one_that_waits_have_an_end_and_few_lines(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    talk = Talk()
    talk.connect(MAX_MESSAGE_STREAMS)
    talk.say(talk.call("play", None, "nobody", on=1))
    for _ in range(100):
        talk.say(*(talk.call(name, None, NO_NAME, on=stream_id) for stream_id in range(2, MAX_PLAYED_STREAM_ID + 1)))
        await asyncio.sleep(ABSENT_S / 1000)
    assert talk.wire.closed
    refused = talk.refused("name")
    assert 0 < (refused or 0) <= MAX_REQUESTS
    assert len(warnings_in(caplog)) <= MAX_REFUSAL_LINES + 1


@in_virtual_time
async def test_who_asks_each_second_for_what_is_not_there_beside_what_is_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    talk = Talk()
    talk.connect(MAX_PLAYED_STREAM_ID)
    await talk.begin_to_play()
    seconds = 600
    for _ in range(seconds):
        await talk.play(NO_NAME, range(2, MAX_PLAYED_STREAM_ID + 1))
        await asyncio.sleep(1.0)
    assert not talk.wire.closed
    assert talk.refused("name") == seconds * (MAX_PLAYED_STREAM_ID - 1)
    lines = warnings_in(caplog)
    assert len(lines) <= MAX_REFUSAL_LINES * (1 + 1.1 * seconds / REFUSAL_LINES_S)
    assert any("refusals of this connection before it" in line for line in lines)
    await talk.context.relays.close()
