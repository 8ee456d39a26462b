from __future__ import annotations

import random
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lalmesh.amf import AmfValue, serialize_amf0
from lalmesh.errors import LocalProtocolError, RemoteProtocolError, UnsupportedError
from lalmesh.protocol.rtmp import (
    CAPS_RECONNECT,
    MEDIA_CSID,
    SERVER_CAPABILITIES,
    Capabilities,
    ChunkWriter,
    ClientEvent,
    ClientState,
    ConnectAccepted,
    Connected,
    MediaMessage,
    Message,
    PlayRequested,
    PlayStarted,
    PublishRequested,
    PublishStarted,
    Redirected,
    RtmpClient,
    RtmpServer,
    RtmpUrl,
    ServerEvent,
    StatusFailed,
    StreamClosed,
    StreamEnded,
    chunk_message,
)

URL = RtmpUrl.parse("rtmp://h/live/inst/cam?token=1")
Mode = Literal["publish", "play"]


def random_bytes(count: int) -> bytes:
    return random.Random(count).randbytes(count)


class Pair:
    """A client and a server back to back, over a line that cuts what it carries into pieces of `step` bytes."""

    def __init__(self, mode: Mode, *, step: int = 1 << 20, is_complex: bool = False, caps: Capabilities | None = None) -> None:
        self.client = RtmpClient(URL, mode, random_bytes, complex_handshake=is_complex, capabilities=caps)
        self.server = RtmpServer(random_bytes)
        self.step = step
        self.client_events: list[ClientEvent] = []
        self.server_events: list[ServerEvent] = []
        self.accepts = True
        self.redirect_url = ""

    def run(self) -> Pair:
        quiet = False
        while not quiet:
            to_server = self.client.data_to_send()
            for at in range(0, len(to_server), self.step):
                for event in self.server.feed(to_server[at : at + self.step]):
                    self.server_events.append(event)
                    self.answer(event)
            to_client = self.server.data_to_send()
            self.to_client(to_client)
            quiet = not to_server and not to_client
        return self

    def to_client(self, data: bytes) -> None:
        for at in range(0, len(data), self.step):
            self.client_events += self.client.feed(data[at : at + self.step])

    def answer(self, event: ServerEvent) -> None:
        match event:
            case Connected():
                if self.redirect_url:
                    self.server.reject_connect(redirect_url=self.redirect_url)
                else:
                    self.server.accept_connect()
            case PublishRequested(stream_id=stream_id):
                (self.server.accept_publish if self.accepts else self.server.reject_publish)(stream_id)
            case PlayRequested(stream_id=stream_id):
                (self.server.accept_play if self.accepts else self.server.reject_play)(stream_id)
            case _:
                pass


class Script:
    """A server that says exactly what a test makes it say, to a client that has asked for its stream."""

    def __init__(self, mode: Mode, *, started: bool = True) -> None:
        self.client = RtmpClient(URL, mode, random_bytes)
        self.writer = ChunkWriter()
        list(self.client.feed(b"\x03" + bytes(1536 * 2)))
        self.say("_result", 1.0, {}, {"code": "NetConnection.Connect.Success"})
        self.say("_result", 4.0 if mode == "publish" else 2.0, None, 1.0)
        if started:
            self.status("NetStream.Publish.Start" if mode == "publish" else "NetStream.Play.Start")

    def message(self, type_id: int, payload: bytes, stream_id: int = 1) -> list[ClientEvent]:
        return list(self.client.feed(self.writer.send(3, Message(type_id, stream_id, 0, payload))))

    def say(self, name: str, transaction_id: float, *arguments: AmfValue) -> list[ClientEvent]:
        return self.message(20, serialize_amf0(name, transaction_id, *arguments))

    def status(self, code: str, level: str = "status", **more: AmfValue) -> list[ClientEvent]:
        return self.say("onStatus", 0.0, None, {"level": level, "code": code, "description": "d", **more})


@pytest.mark.parametrize("is_complex", [False, True])
@settings(max_examples=10, deadline=None)
@given(step=st.sampled_from((1, 5, 129, 1537, 5000)))
def test_a_client_publishes_to_a_server_under_any_split(is_complex: bool, step: int) -> None:
    pair = Pair("publish", step=step, is_complex=is_complex).run()
    assert [type(event) for event in pair.client_events] == [ConnectAccepted, PublishStarted]
    sent = [(9, 0xFFFFFE, bytes(70_000)), (8, 0xFFFFFF, b"a"), (9, 0xFFFFFFFF, bytes(61_000)), (8, 3, b"b")]
    for type_id, time, payload in sent:
        pair.client.send_media(type_id, time, payload[:5], payload[5:])
    pair.client.close()
    pair.run()
    assert pair.server_events[2:] == [MediaMessage(1, *message) for message in sent] + [StreamClosed(1)]


@pytest.mark.parametrize("step", [1, 4097, 1 << 20])
def test_a_client_plays_shared_bytes_under_any_split(step: int) -> None:
    pair = Pair("play", step=step).run()
    sent = [(18, 0, serialize_amf0("onMetaData", {})), (9, 0x1000000, bytes(130_000)), (8, 0x1000005, b"a")]
    for type_id, time, payload in sent:
        pieces = chunk_message(MEDIA_CSID[type_id], type_id, time, payload[:5], payload[5:], chunk_size=60_000)
        pair.to_client(b"".join(pieces))
    pair.server.end_play(1)
    pair.run()
    media = [event for event in pair.client_events if isinstance(event, MediaMessage)]
    assert media == [MediaMessage(1, *message) for message in sent]
    assert pair.client_events[1] == PlayStarted()
    assert pair.client_events[-1] == StreamEnded("UserControl.StreamEOF")


def test_a_client_says_where_it_wants_to_go_and_what_it_knows() -> None:
    pair = Pair("publish", caps=SERVER_CAPABILITIES).run()
    connected, request = pair.server_events
    assert isinstance(connected, Connected)
    assert (connected.app, connected.tc_url) == ("live/inst", "rtmp://h/live/inst")
    assert pair.server.client_capabilities == SERVER_CAPABILITIES
    assert request == PublishRequested(stream_id=1, app="live/inst", name="cam", query="token=1", kind="live")
    assert pair.client_events[0] == ConnectAccepted()


@pytest.mark.parametrize(("mode", "code"), [("publish", "NetStream.Publish.BadName"), ("play", "NetStream.Play.StreamNotFound")])
def test_a_refusal_is_reported_and_nothing_before_it(mode: Mode, code: str) -> None:
    pair = Pair(mode)
    pair.accepts = False
    pair.run()
    assert [type(event) for event in pair.client_events] == [ConnectAccepted, StatusFailed]
    assert isinstance(pair.client_events[1], StatusFailed)
    assert pair.client_events[1].code == code
    assert pair.client.state is ClientState.ENDED


def test_a_redirect_is_reported() -> None:
    pair = Pair("play")
    pair.redirect_url = "rtmp://other/live/inst"
    assert pair.run().client_events == [Redirected("rtmp://other/live/inst")]


def test_a_request_to_reconnect_is_reported_and_the_stream_goes_on() -> None:
    pair = Pair("publish", caps=Capabilities(caps_ex=CAPS_RECONNECT)).run()
    assert pair.server.request_reconnect("rtmp://other/live/inst")
    assert pair.run().client_events[-1] == Redirected("rtmp://other/live/inst")
    pair.client.send_media(8, 0, b"a")
    assert pair.run().server_events[-1] == MediaMessage(1, 8, 0, b"a")


def test_metadata_is_set_at_the_server_and_stored_without_that() -> None:
    pair = Pair("publish").run()
    stored = serialize_amf0("onMetaData", {"width": 1.0})
    pair.client.send_media(18, 0, stored)
    assert pair.run().server_events[-1] == MediaMessage(1, 18, 0, stored)


@pytest.mark.parametrize("mode", ["publish", "play"])
def test_media_is_sent_only_by_a_client_that_publishes(mode: Mode) -> None:
    client = RtmpClient(URL, mode, random_bytes)
    with pytest.raises(LocalProtocolError, match="handshaking"):
        client.send_media(8, 0, b"a")


def test_a_refused_connect_is_reported() -> None:
    client = RtmpClient(URL, "play", random_bytes)
    list(client.feed(b"\x03" + bytes(1536 * 2)))
    info: AmfValue = {"level": "error", "code": "NetConnection.Connect.Rejected", "description": "no"}
    wire = ChunkWriter().send(3, Message(20, 0, 0, serialize_amf0("_error", 1.0, None, info)))
    assert list(client.feed(wire)) == [StatusFailed("NetConnection.Connect.Rejected", "no")]


@pytest.mark.parametrize("code", ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop", "NetStream.Play.Complete"])
def test_the_end_is_reported_once(code: str) -> None:
    script = Script("play")
    assert script.status(code) == [StreamEnded(code)]
    assert script.status("NetStream.Play.Stop") + script.message(9, b"late") == []


def test_a_server_that_closes_ends_the_stream() -> None:
    assert Script("publish").say("close", 0.0, None) == [StreamEnded("NetConnection.Connect.Closed")]


def test_the_end_of_another_stream_is_not_ours() -> None:
    script = Script("play")
    assert script.message(4, bytes.fromhex("0001 00000002"), 0) == []
    assert script.message(4, bytes.fromhex("0001 00000001"), 0) == [StreamEnded("UserControl.StreamEOF")]


def test_an_error_in_mid_stream_is_reported() -> None:
    assert Script("publish").status("NetStream.Publish.Denied", "error") == [StatusFailed("NetStream.Publish.Denied", "d")]


def test_a_refused_release_stream_does_not_matter() -> None:
    script = Script("publish", started=False)
    assert script.say("_error", 2.0, None, {"level": "error", "code": "NetConnection.Call.Failed"}) == []
    assert script.status("NetStream.Publish.Start") == [PublishStarted()]


def test_media_before_play_start_starts_the_stream() -> None:
    script = Script("play", started=False)
    assert script.message(9, b"v") == [PlayStarted(), MediaMessage(1, 9, 0, b"v")]
    assert script.status("NetStream.Play.Start") == []


def test_what_the_server_says_of_itself_is_not_script_data() -> None:
    script = Script("play")
    assert script.message(18, serialize_amf0("|RtmpSampleAccess", True, True)) == []
    assert script.message(18, serialize_amf0("onStatus", {"code": "NetStream.Data.Start"})) == []
    assert len(script.message(18, serialize_amf0("onMetaData", {}))) == 1


def test_a_publisher_passes_over_media_of_the_server() -> None:
    assert Script("publish").message(18, serialize_amf0("onMetaData", {})) == []


def test_a_stream_id_that_is_none_is_an_error() -> None:
    client = RtmpClient(URL, "play", random_bytes)
    list(client.feed(b"\x03" + bytes(1536 * 2)))
    writer = ChunkWriter()
    list(client.feed(writer.send(3, Message(20, 0, 0, serialize_amf0("_result", 1.0, None, None)))))
    with pytest.raises(RemoteProtocolError, match="without a stream id"):
        list(client.feed(writer.send(3, Message(20, 0, 0, serialize_amf0("_result", 2.0, None, None)))))


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("mode", ["publish", "play"])
@settings(max_examples=25, deadline=None)
@given(
    said=st.lists(
        st.tuples(st.sampled_from((1, 2, 3, 4, 5, 6, 8, 9, 15, 17, 18, 20, 22)), st.sampled_from((0, 1)), st.binary(max_size=12)),
        max_size=4,
    )
)
def test_any_messages_end_in_events_or_a_documented_error(mode: Mode, started: bool, said: list[tuple[int, int, bytes]]) -> None:
    script = Script(mode, started=started)
    try:
        for type_id, stream_id, payload in said:
            script.message(type_id, payload, stream_id)
    except (RemoteProtocolError, UnsupportedError):
        pass


NAMES = ["_result", "_error", "onStatus", "close", "onBWDone"]
INFO: st.SearchStrategy[AmfValue] = st.one_of(
    st.none(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(("NetStream.Play.Start", "NetStream.Publish.Start", "NetStream.Play.Stop")).map(lambda code: {"code": code}),
    st.just({"level": "error", "ex": {"redirect": 1.0}}),
)


@pytest.mark.parametrize("mode", ["publish", "play"])
@settings(max_examples=25, deadline=None)
@given(said=st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 6), INFO, INFO), max_size=5))
def test_any_commands_end_in_events_or_a_documented_error(mode: Mode, said: list[tuple[str, int, AmfValue, AmfValue]]) -> None:
    client = RtmpClient(URL, mode, random_bytes)
    writer = ChunkWriter()
    list(client.feed(b"\x03" + bytes(1536 * 2)))
    try:
        for name, transaction_id, *arguments in said:
            wire = writer.send(3, Message(20, 0, 0, serialize_amf0(name, float(transaction_id), *arguments)))
            list(client.feed(wire))
    except RemoteProtocolError:
        pass
