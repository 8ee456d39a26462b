from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lalmesh.amf import AmfValue, serialize_amf0
from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError, UnsupportedError
from lalmesh.protocol.rtmp import (
    CAPS_RECONNECT,
    Capabilities,
    ChunkReader,
    ChunkWriter,
    Connected,
    ConnectionState,
    MediaMessage,
    Message,
    PausedOrResumed,
    PlayRequested,
    PublishRequested,
    RtmpServer,
    ServerEvent,
    StreamClosed,
    _server,
)
from lalmesh.protocol.rtmp._chunk_reader import MAX_OPENING_MESSAGE_BYTES
from lalmesh.protocol.rtmp._commands import Command, parse_command
from lalmesh.protocol.rtmp._served import MAX_MESSAGE_STREAMS
from lalmesh.protocol.rtmp._session import (
    COMMAND_WEIGHT_BYTES,
    CONTROL_WEIGHT_BYTES,
    MAX_HELD_BYTES,
    MAX_HELD_MESSAGES,
    REQUESTS_OF_A_BURST_BYTES,
)

C0C1C2 = b"\x03" + bytes(1536 * 2)


def random_bytes(count: int) -> bytes:
    return random.Random(count).randbytes(count)


class Peer:
    """A client that says exactly what a test makes it say."""

    def __init__(self) -> None:
        self.server = RtmpServer(random_bytes)
        self.writer, self.reader = ChunkWriter(), ChunkReader()
        list(self.server.feed(C0C1C2))
        self.server.data_to_send()

    def say(self, type_id: int, payload: bytes, stream_id: int = 0, time: int = 0) -> list[ServerEvent]:
        return list(self.server.feed(self.writer.send(3, Message(type_id, stream_id, time, payload))))

    def call(self, name: str, *arguments: AmfValue, stream_id: int = 0, transaction_id: float = 9.0) -> list[ServerEvent]:
        return self.say(20, serialize_amf0(name, transaction_id, *arguments), stream_id)

    def heard(self) -> list[Message]:
        return list(self.reader.feed(self.server.data_to_send()))

    def commands(self) -> list[Command]:
        return [parse_command(message) for message in self.heard() if message.type_id == 20]

    def codes(self) -> list[AmfValue]:
        infos = [command.argument(1) for command in self.commands()]
        return [info["code"] for info in infos if isinstance(info, dict) and "code" in info]


def connected(**said: AmfValue) -> Peer:
    peer = Peer()
    peer.call("connect", {"app": "live", **said}, transaction_id=1.0)
    peer.server.accept_connect()
    peer.call("createStream", None)
    peer.heard()
    return peer


def publishing() -> Peer:
    peer = connected()
    peer.call("publish", None, "cam", "live", stream_id=1)
    peer.server.accept_publish(1)
    peer.heard()
    return peer


def playing() -> Peer:
    peer = connected()
    peer.call("play", None, "cam", stream_id=1)
    peer.server.accept_play(1)
    peer.heard()
    return peer


def waiting_connect() -> Peer:
    peer = Peer()
    peer.call("connect", {"app": "live"}, transaction_id=1.0)
    return peer


def waiting_publish() -> Peer:
    peer = connected()
    peer.call("publish", None, "cam", stream_id=1)
    return peer


def waiting_play() -> Peer:
    peer = connected()
    peer.call("play", None, "cam", stream_id=1)
    return peer


def refused() -> Peer:
    peer = waiting_connect()
    peer.server.reject_connect()
    return peer


STATES: list[Callable[[], Peer]] = [Peer, waiting_connect, refused, connected, waiting_publish, publishing, waiting_play, playing]


def test_connect_is_reported_with_all_that_the_client_says() -> None:
    peer = Peer()
    said: dict[str, AmfValue] = {
        "app": "live/inst/?token=x?y",
        "tcUrl": "rtmp://h/live",
        "flashVer": "F 1",
        "objectEncoding": 3.0,
        "capsEx": 1.0,
        "fourCcList": ["hvc1"],
    }
    assert peer.call("connect", said) == [
        Connected(
            app="live/inst",
            query="token=x?y",
            tc_url="rtmp://h/live",
            flash_ver="F 1",
        )
    ]
    assert peer.server.client_capabilities == Capabilities(four_cc_list=("hvc1",), caps_ex=1)
    assert peer.heard() == []


@pytest.mark.parametrize("arguments", [(), (None,), ({},), ({"app": 7.0},), ({"app": "a//b"},)])
def test_a_connect_without_a_proper_app_is_left_to_the_application(arguments: tuple[AmfValue, ...]) -> None:
    (event,) = Peer().call("connect", *arguments)
    assert isinstance(event, Connected)
    assert event.app in ("", "a//b")


def test_an_accepted_client_learns_our_sizes_before_the_result() -> None:
    peer = waiting_connect()
    peer.server.accept_connect()
    heard = peer.heard()
    assert [message.type_id for message in heard] == [5, 6, 20]
    assert peer.reader.chunk_size == 60_000
    assert [m.payload.hex() for m in heard[:2]] == ["002625a0", "002625a002"]
    result = parse_command(heard[2])
    assert (result.name, result.transaction_id) == ("_result", 1.0)
    assert result.argument(1) == {
        "level": "status",
        "code": "NetConnection.Connect.Success",
        "description": "Connection succeeded.",
        "objectEncoding": 0.0,
    }


def test_clients_of_enhanced_rtmp_are_told_that_any_codec_is_passed_on() -> None:
    peer = Peer()
    peer.call("connect", {"app": "live", "capsEx": 3.0, "objectEncoding": 3.0})
    peer.server.accept_connect()
    info = peer.commands()[0].argument(1)
    assert isinstance(info, dict)
    assert (info["videoFourCcInfoMap"], info["fourCcList"], info["capsEx"], info["objectEncoding"]) == ({"*": 4.0}, ["*"], 4.0, 3.0)


def test_a_refused_connect_is_an_error_and_nothing_else_is_answered() -> None:
    peer = waiting_connect()
    peer.server.reject_connect(description="no")
    (error,) = peer.commands()
    assert (error.name, error.transaction_id) == ("_error", 1.0)
    assert error.argument(1) == {"level": "error", "code": "NetConnection.Connect.Rejected", "description": "no"}
    assert peer.call("createStream", None) + peer.say(9, b"x", 1) == []
    assert peer.server.state is ConnectionState.REFUSED
    assert peer.heard() == []


def test_a_redirect_names_the_other_server() -> None:
    peer = waiting_connect()
    peer.server.reject_connect(redirect_url="rtmp://other/live")
    info = peer.commands()[0].argument(1)
    assert isinstance(info, dict)
    assert info["ex"] == {"code": 302.0, "redirect": "rtmp://other/live"}


def test_publish_succeeds_only_after_it_is_accepted() -> None:
    peer = connected()
    events = peer.call("publish", None, "inst/cam?token=a/b", stream_id=1)
    assert events == [PublishRequested(stream_id=1, app="live/inst", name="cam", query="token=a/b", kind="live")]
    assert peer.heard() == []
    peer.server.accept_publish(1)
    assert peer.codes() == ["NetStream.Publish.Start", "NetStream.Publish.Start"]
    assert peer.say(9, b"\x17\x01", 1, 40) == [MediaMessage(1, 9, 40, b"\x17\x01")]


@pytest.mark.parametrize("calls", ["publish", "play"])
def test_a_refused_stream_hears_why_and_may_ask_again(calls: str) -> None:
    peer = connected()
    for _ in range(2):
        assert len(peer.call(calls, None, "cam", stream_id=1)) == 1
        if calls == "publish":
            peer.server.reject_publish(1)
        else:
            peer.server.reject_play(1)
        assert peer.codes() == ["NetStream.Publish.BadName" if calls == "publish" else "NetStream.Play.StreamNotFound"]


def test_play_succeeds_only_after_it_is_accepted() -> None:
    peer = connected()
    events = peer.call("play", None, "cam?a=b", -1000.0, stream_id=1)
    assert events == [PlayRequested(stream_id=1, app="live", name="cam", query="a=b")]
    assert peer.heard() == []
    peer.server.accept_play(1)
    heard = peer.heard()
    assert (heard[0].type_id, heard[0].payload.hex()) == (4, "000000000001")
    assert [message.stream_id for message in heard] == [0, 1, 1]


def test_a_player_hears_that_the_stream_is_over() -> None:
    peer = playing()
    peer.server.end_play(1)
    assert peer.codes() == ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"]
    assert len(peer.call("play", None, "cam", stream_id=1)) == 1


def test_a_publisher_hears_that_it_is_over() -> None:
    peer = publishing()
    peer.server.end_publish(1, description="kicked")
    assert peer.codes() == ["NetStream.Publish.Failed"]


def ended() -> Peer:
    peer = publishing()
    peer.server.end_publish(1)
    peer.heard()
    return peer


def rejected() -> Peer:
    peer = waiting_publish()
    peer.say(9, b"held", 1)
    peer.server.reject_publish(1)
    assert list(peer.server.feed(b"")) == []
    peer.heard()
    return peer


@pytest.mark.parametrize("state", [ended, rejected])
def test_what_a_dismissed_publisher_has_under_way_is_passed_over(state: Callable[[], Peer]) -> None:
    peer = state()
    assert peer.say(9, b"v", 1) + peer.say(18, b"\xff", 1) + peer.say(22, b"cut off", 1) == []
    assert peer.call("pause", None, True, stream_id=1) == []
    assert peer.call("closeStream", None, stream_id=1) == []  # it is no news
    with pytest.raises(RemoteProtocolError, match="media message while idle"):
        peer.say(9, b"v", 1)


@pytest.mark.parametrize("state", [ended, rejected])
@pytest.mark.parametrize("name", ["publish", "play"])
def test_a_dismissed_publisher_may_ask_again(state: Callable[[], Peer], name: str) -> None:
    assert len(state().call(name, None, "another", stream_id=1)) == 1


@pytest.mark.parametrize("state", ["waiting_play", "playing"])
def test_playing_the_next_name_closes_the_one_before(state: str) -> None:
    peer = waiting_play() if state == "waiting_play" else playing()
    first, second = peer.call("play", None, "other", stream_id=1)
    assert first == StreamClosed(1)
    assert isinstance(second, PlayRequested)
    peer.server.accept_play(1)


@pytest.mark.parametrize("stream_id", [0, 1, 7])
def test_a_pause_where_nothing_plays_is_passed_over(stream_id: int) -> None:
    peer = connected()
    assert peer.call("pause", None, True, 0.0, stream_id=stream_id) == []
    assert peer.heard() == []


def test_a_publisher_cannot_pause() -> None:
    with pytest.raises(RemoteProtocolError, match="pause while publishing"):
        publishing().call("pause", None, True, 0.0, stream_id=1)


@pytest.mark.parametrize("state", ["waiting_play", "playing"])
def test_a_player_pauses_and_resumes(state: str) -> None:
    peer = waiting_play() if state == "waiting_play" else playing()
    assert peer.call("pause", None, True, 0.0, stream_id=1) == [PausedOrResumed(1, True)]
    assert peer.call("pause", None, False, 0.0, stream_id=1) == [PausedOrResumed(1, False)]
    assert peer.codes() == ["NetStream.Pause.Notify", "NetStream.Unpause.Notify"]


@pytest.mark.parametrize(
    ("name", "arguments", "stream_id"),
    [
        ("deleteStream", (None, 1.0), 0),
        ("closeStream", (None,), 1),
        ("FCUnpublish", (None, "cam"), 0),
        ("FCUnpublish", (None, "another"), 0),
        ("publish", (None, False), 1),
    ],
)
def test_a_stream_is_closed_once(name: str, arguments: tuple[AmfValue, ...], stream_id: int) -> None:
    peer = publishing()
    assert peer.call(name, *arguments, stream_id=stream_id) == [StreamClosed(1)]
    assert peer.call("deleteStream", None, 1.0) == []
    with pytest.raises(RemoteProtocolError, match="media message while idle"):
        peer.say(9, b"x", 1)


def test_several_streams_wait_each_for_its_own_answer() -> None:
    peer = connected()
    peer.call("createStream", None)
    assert peer.commands()[0].argument(1) == 2.0
    peer.call("publish", None, "a", stream_id=1)
    peer.call("play", None, "b", stream_id=2)
    peer.server.accept_play(2)
    peer.server.reject_publish(1)
    assert peer.codes() == ["NetStream.Play.Reset", "NetStream.Play.Start", "NetStream.Publish.BadName"]


def test_commands_are_served_while_a_publish_waits() -> None:
    peer = waiting_publish()
    assert peer.call("createStream", None, transaction_id=5.0) == []
    assert peer.commands() == [Command("_result", 5.0, [None, 2.0])]
    assert peer.call("deleteStream", None, 1.0) == [StreamClosed(1)]


def test_media_waits_for_the_answer_to_its_publish() -> None:
    peer = waiting_publish()
    assert peer.say(8, b"a", 1) + peer.say(9, b"v", 1) == []
    peer.server.accept_publish(1)
    assert list(peer.server.feed(b"")) == [MediaMessage(1, 8, 0, b"a"), MediaMessage(1, 9, 0, b"v")]


def waiting_and_publishing() -> Peer:
    """Message stream 1 publishes, 2 waits with media."""
    peer = publishing()
    peer.call("createStream", None)
    peer.call("publish", None, "other", stream_id=2)
    assert peer.say(9, b"held", 2) == []
    peer.heard()
    return peer


def test_media_that_waits_does_not_hold_up_another_stream() -> None:
    peer = waiting_and_publishing()
    assert peer.say(9, b"v", 1) == [MediaMessage(1, 9, 0, b"v")]
    assert peer.call("createStream", None) == []
    assert len(peer.commands()) == 1
    peer.server.accept_publish(2)
    assert list(peer.server.feed(b"")) == [MediaMessage(2, 9, 0, b"held")]


def test_what_waited_comes_before_what_follows_it() -> None:
    peer = waiting_and_publishing()
    wire = b"".join(peer.writer.send(3, Message(9, stream_id, 0, b"v")) for stream_id in (1, 2))
    events: list[ServerEvent] = []
    for event in peer.server.feed(wire):
        if not events:
            peer.server.accept_publish(2)
        events.append(event)
    assert events == [MediaMessage(1, 9, 0, b"v"), MediaMessage(2, 9, 0, b"held"), MediaMessage(2, 9, 0, b"v")]


@pytest.mark.parametrize(
    ("name", "arguments", "stream_id"),
    [
        ("closeStream", (None,), 2),
        ("publish", (None, False), 2),
        ("deleteStream", (None, 2.0), 0),
        ("FCUnpublish", (None, "other"), 0),
    ],
)
def test_the_end_of_a_stream_waits_behind_its_media(name: str, arguments: tuple[AmfValue, ...], stream_id: int) -> None:
    peer = waiting_and_publishing()
    assert peer.call(name, *arguments, stream_id=stream_id) == []
    assert peer.say(9, b"v", 1) == [MediaMessage(1, 9, 0, b"v")]
    peer.server.accept_publish(2)
    assert list(peer.server.feed(b"")) == [MediaMessage(2, 9, 0, b"held"), StreamClosed(2)]


def test_commands_wait_for_the_answer_to_connect() -> None:
    peer = waiting_connect()
    assert peer.call("createStream", None, transaction_id=2.0) == []
    assert peer.call("publish", None, "cam", stream_id=1) == []
    peer.server.accept_connect()
    assert [type(event) for event in peer.server.feed(b"")] == [PublishRequested]


def test_what_waits_is_bounded_in_bytes_and_messages() -> None:
    peer = waiting_publish()
    peer.writer.chunk_size = MAX_HELD_BYTES
    list(peer.server.feed(ChunkWriter().set_chunk_size(MAX_HELD_BYTES)))
    assert peer.say(9, bytes(MAX_HELD_BYTES), 1) == []
    with pytest.raises(LimitExceeded, match="bytes before the answer"):
        peer.say(9, b"x", 1)
    peer = waiting_publish()
    with pytest.raises(LimitExceeded, match="messages before the answer"):
        list(peer.server.feed(peer.writer.send(3, Message(9, 1, 0, b"")) * (MAX_HELD_MESSAGES + 1)))


@pytest.mark.parametrize("state", [Peer, connected, waiting_play, playing])
@pytest.mark.parametrize("type_id", [8, 9, 15, 18, 22])
def test_media_where_it_does_not_belong_ends_that_connection(state: Callable[[], Peer], type_id: int) -> None:
    peer = state()
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="media message while"):
            peer.say(type_id, b"\x02\0\x01a", 1)


def test_script_data_arrives_without_set_data_frame() -> None:
    stored = serialize_amf0("onMetaData", {"width": 1.0})
    assert publishing().say(18, serialize_amf0("@setDataFrame") + stored, 1) == [MediaMessage(1, 18, 0, stored)]


def test_an_aggregate_arrives_as_its_parts() -> None:
    tags = bytes.fromhex("08 000001 000000 00 000000 61 0000000c 09 000001 000005 00 000000 76 0000000c")
    assert publishing().say(22, tags, 1, 100) == [MediaMessage(1, 8, 100, b"a"), MediaMessage(1, 9, 105, b"v")]


def test_empty_media_and_unknown_messages_are_passed_over() -> None:
    peer = publishing()
    assert peer.say(9, b"", 1) + peer.say(8, b"", 1) + peer.say(19, b"so", 0) + peer.say(99, b"?", 1) == []
    assert peer.call("somethingElse", None) == []
    assert peer.heard() == []


@pytest.mark.parametrize(
    ("name", "result"), [("releaseStream", None), ("FCPublish", None), ("_checkbw", None), ("getStreamLength", 0.0)]
)
def test_calls_that_encoders_wait_for_are_answered(name: str, result: AmfValue) -> None:
    peer = connected()
    assert peer.call(name, None, "cam", transaction_id=3.0) == []
    assert peer.commands() == [Command("_result", 3.0, [None, result])]


def test_acknowledgements_are_sent_only_to_a_peer_with_a_window() -> None:
    peer = publishing()
    peer.say(9, bytes(5000), 1)
    assert peer.heard() == []
    peer.say(5, (4000).to_bytes(4, "big"))
    assert [message.type_id for message in peer.heard()] == [3]
    peer.say(9, bytes(1000), 1)
    assert peer.heard() == []
    peer.say(9, bytes(1000), 1)
    assert [message.type_id for message in peer.heard()] == [3]


def test_the_acknowledged_number_wraps_at_32_bits() -> None:
    peer = publishing()
    peer.server._session._received_bytes = 0xFFFFFFF0
    peer.say(5, (1).to_bytes(4, "big"))
    assert [message.payload.hex() for message in peer.heard()] == ["00000000"]  # the message had 12 + 4 bytes


def test_a_wanted_window_is_announced() -> None:
    peer = connected()
    peer.say(6, bytes.fromhex("00001000 02"))
    assert [(m.type_id, m.payload.hex()) for m in peer.heard()] == [(5, "00001000")]


def test_pings_are_answered() -> None:
    peer = waiting_connect()
    peer.say(4, bytes.fromhex("0006 00012345"))
    assert [message.payload.hex() for message in peer.heard()] == ["000700012345"]


def test_a_client_that_understands_it_is_asked_to_reconnect() -> None:
    assert not publishing().server.request_reconnect("rtmp://other/live")
    peer = connected(capsEx=float(CAPS_RECONNECT))
    assert peer.server.request_reconnect("rtmp://other/live", "draining")
    info = peer.commands()[0].argument(1)
    code = "NetConnection.Connect.ReconnectRequest"
    assert info == {"level": "status", "code": code, "description": "draining", "tcUrl": "rtmp://other/live"}


def test_an_error_comes_after_what_the_same_read_held_before_it() -> None:
    server = RtmpServer(random_bytes)
    connect = ChunkWriter().send(3, Message(20, 0, 0, serialize_amf0("connect", 1.0, {"app": "live"})))
    events = server.feed(C0C1C2 + connect + bytes.fromhex("c9"))
    assert isinstance(next(events), Connected)
    with pytest.raises(RemoteProtocolError, match="first chunk of chunk stream 9 has fmt 3"):
        next(events)


def test_a_second_connect_and_commands_before_it_are_errors() -> None:
    with pytest.raises(RemoteProtocolError, match="connect while connected"):
        connected().call("connect", {"app": "live"})
    with pytest.raises(RemoteProtocolError, match="command while open"):
        Peer().call("createStream", None)


@pytest.mark.parametrize("name", ["publish", "play"])
@pytest.mark.parametrize("argument", [None, 7.0, {}])
def test_a_stream_without_a_name_is_an_error(name: str, argument: AmfValue) -> None:
    with pytest.raises(RemoteProtocolError, match="without a stream name"):
        connected().call(name, None, argument, stream_id=1)


@pytest.mark.parametrize("name", ["publish", "play"])
@pytest.mark.parametrize("stream_id", [0, 2, 0xFFFFFFFF])
def test_a_message_stream_that_was_not_created_is_not_to_be_used(name: str, stream_id: int) -> None:
    peer = connected()
    with pytest.raises(RemoteProtocolError, match=f"message stream {stream_id} was not created"):
        peer.call(name, None, "cam", stream_id=stream_id)


@pytest.mark.parametrize("name", ["publish", "play"])
def test_the_first_message_stream_may_be_used_without_creating_it(name: str) -> None:
    peer = connected()
    peer.call("deleteStream", None, 1.0)
    assert len(peer.call(name, None, "cam", stream_id=1)) == 1
    peer.call("createStream", None)
    assert peer.commands()[-1].argument(1) == 2.0


def test_before_a_publish_messages_are_short() -> None:
    peer = connected()
    list(peer.server.feed(ChunkWriter().set_chunk_size(1 << 20)))
    peer.writer.chunk_size = 1 << 20
    media = peer.writer.send(4, Message(9, 1, 0, bytes(MAX_OPENING_MESSAGE_BYTES + 1)))
    publish = peer.writer.send(3, Message(20, 1, 0, serialize_amf0("publish", 0.0, None, "cam")))
    (request,) = peer.server.feed(publish + media)  # in one read, as encoders do that wait for no answer
    assert isinstance(request, PublishRequested)
    with pytest.raises(LimitExceeded, match=f"message bytes of 65537, limit {MAX_OPENING_MESSAGE_BYTES}"):
        list(playing().server.feed(media))


def test_message_streams_are_counted() -> None:
    peer = connected()
    for _ in range(MAX_MESSAGE_STREAMS - 1):
        peer.call("createStream", None)
    with pytest.raises(LimitExceeded, match="message streams of 33"):
        peer.call("createStream", None)


def test_answers_that_nobody_asked_for_are_our_own_mistake() -> None:
    server = connected().server
    for answer in (server.accept_publish, server.reject_publish, server.accept_play, server.reject_play, server.end_play):
        with pytest.raises(LocalProtocolError, match="while idle"):
            answer(1)
    with pytest.raises(LocalProtocolError, match="accept_connect while connected"):
        server.accept_connect()


def test_an_iterator_left_early_loses_nothing() -> None:
    peer = publishing()
    wire = b"".join(peer.writer.send(3, Message(9, 1, i, b"x")) for i in range(3))
    first = next(peer.server.feed(wire))
    assert [first, *peer.server.feed(b"")] == [MediaMessage(1, 9, i, b"x") for i in range(3)]


def test_answers_do_not_pile_up() -> None:
    peer = connected()
    peer.writer.chunk_size = 60_000
    list(peer.server.feed(ChunkWriter().set_chunk_size(60_000)))
    peer.call("play", None, "n" * 50_000, stream_id=1)
    peer.server.accept_play(1)
    pause = peer.writer.send(3, Message(20, 1, 0, serialize_amf0("pause", 0.0, None, True)))
    with pytest.raises(LimitExceeded, match="unsent answers"):
        list(peer.server.feed(pause * 30))


#: by name: what is asked for, and on which message stream
CALLS: dict[str, tuple[tuple[AmfValue, ...], int]] = {
    "play": ((None, "a"), 1),
    "pause": ((None, True), 1),
    "seek": ((None, 0.0), 1),
    "_checkbw": ((None,), 0),
    "what nobody knows": ((), 0),
}


def said_again_and_again(name: str, peer: Peer) -> bytes:
    arguments, stream_id = CALLS[name]
    return peer.writer.send(3, Message(20, stream_id, 0, serialize_amf0(name, 1.0, *arguments)))


@pytest.mark.parametrize("read_bytes", [4 << 10, 256 << 10])
@pytest.mark.parametrize("name", CALLS)
def test_commands_without_end_have_one_though_their_answers_are_read(
    name: str, read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, taken = playing(), 0

    def counting(message: Message) -> Command:
        nonlocal taken
        taken += 1
        return parse_command(message)

    monkeypatch.setattr(_server, "parse_command", counting)
    call = said_again_and_again(name, peer)

    def flood() -> None:
        for _ in range((256 << 10) // read_bytes):
            list(peer.server.feed(call * (read_bytes // len(call))))
            peer.server.data_to_send()

    with pytest.raises(LimitExceeded, match=f"commands and pings.* limit {REQUESTS_OF_A_BURST_BYTES}"):
        flood()
    assert taken <= 1.1 * (REQUESTS_OF_A_BURST_BYTES + read_bytes) / COMMAND_WEIGHT_BYTES


@pytest.mark.parametrize("name", CALLS)
def test_a_command_now_and_then_is_taken_for_ever(name: str) -> None:
    peer = playing()
    call = said_again_and_again(name, peer)
    for _ in range(3600):
        list(peer.server.feed(call))
        peer.server.data_to_send()


def test_who_drags_a_slider_to_and_fro_is_answered_for_ever() -> None:
    peer = playing()
    calls = said_again_and_again("pause", peer) + said_again_and_again("seek", peer)
    for _ in range(2000):
        list(peer.server.feed(calls))
        peer.server.data_to_send()


def test_a_client_may_ask_for_all_its_streams_in_one_read() -> None:
    peer = Peer()
    peer.call("connect", {"app": "live"}, transaction_id=1.0)
    peer.server.accept_connect()
    names = ("releaseStream", "FCPublish", "createStream", "_checkbw", "getStreamLength")
    calls = [Message(20, 0, 0, serialize_amf0(name, 1.0, None, "cam")) for name in names] * MAX_MESSAGE_STREAMS
    calls += [Message(20, key, 0, serialize_amf0("publish", 0.0, None, "cam")) for key in range(1, MAX_MESSAGE_STREAMS + 1)]
    assert len(list(peer.server.feed(b"".join(peer.writer.send(3, call) for call in calls)))) == MAX_MESSAGE_STREAMS


@pytest.mark.parametrize(("type_id", "payload"), [(4, "0006 0000000{}"), (6, "0000000{} 02")])
def test_what_is_answered_below_commands_has_an_end_too(type_id: int, payload: str) -> None:
    peer = playing()
    said = [peer.writer.send(2, Message(type_id, 0, 0, bytes.fromhex(payload.format(number)))) for number in (1, 2, 1)]
    with pytest.raises(LimitExceeded, match="commands and pings"):
        list(peer.server.feed(said[0] + (said[1] + said[2]) * 5000))
    assert len(peer.heard()) <= (REQUESTS_OF_A_BURST_BYTES + 10_000 * 20) / CONTROL_WEIGHT_BYTES


def test_a_ping_now_and_then_is_answered_for_ever() -> None:
    peer = playing()
    for _ in range(5000):
        peer.say(4, bytes.fromhex("0006 00000001"))
        assert [message.payload for message in peer.heard()] == [bytes.fromhex("0007 00000001")]


def test_going_on_without_bytes_is_no_read_that_brings_something() -> None:
    peer = playing()
    call = said_again_and_again("_checkbw", peer)
    list(peer.server.feed(call * (REQUESTS_OF_A_BURST_BYTES // COMMAND_WEIGHT_BYTES)))
    for _ in range(1000):
        list(peer.server.feed(b""))
    with pytest.raises(LimitExceeded, match="commands and pings"):
        list(peer.server.feed(call * 50))


@pytest.mark.parametrize("state", STATES)
@settings(max_examples=20, deadline=None)
@given(
    said=st.lists(
        st.tuples(
            st.sampled_from((1, 2, 3, 4, 5, 6, 8, 9, 15, 16, 17, 18, 19, 20, 22, 99)),
            st.sampled_from((0, 1, 2)),
            st.binary(max_size=12),
        ),
        max_size=4,
    )
)
def test_any_messages_in_any_state_end_in_events_or_a_documented_error(
    state: Callable[[], Peer], said: list[tuple[int, int, bytes]]
) -> None:
    peer = state()
    try:
        for type_id, stream_id, payload in said:
            peer.say(type_id, payload, stream_id)
    except (RemoteProtocolError, UnsupportedError):
        pass


COMMANDS = [
    "connect",
    "createStream",
    "publish",
    "play",
    "pause",
    "seek",
    "closeStream",
    "deleteStream",
    "FCUnpublish",
    "FCPublish",
]
VALUES = st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=3), st.just({"app": "x"}), st.just(1.0))


@pytest.mark.parametrize("state", STATES)
@settings(max_examples=20, deadline=None)
@given(
    said=st.lists(
        st.tuples(st.sampled_from(COMMANDS), st.sampled_from((0, 1, 2)), st.floats(), st.lists(VALUES, max_size=3)), max_size=5
    )
)
def test_any_commands_in_any_state_end_in_events_or_a_documented_error(
    state: Callable[[], Peer], said: list[tuple[str, int, float, list[AmfValue]]]
) -> None:
    peer = state()
    try:
        for name, stream_id, transaction_id, arguments in said:
            peer.call(name, None, *arguments, stream_id=stream_id, transaction_id=transaction_id)
    except RemoteProtocolError:
        pass


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_end_in_events_or_a_documented_error(data: bytes, after_handshake: bool) -> None:
    server = RtmpServer(random_bytes)
    with contextlib.suppress(RemoteProtocolError, UnsupportedError):
        assert not list(server.feed(C0C1C2 + data if after_handshake else data))
