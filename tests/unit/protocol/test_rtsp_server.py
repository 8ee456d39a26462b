from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from lalmesh.protocol.rtsp import (
    AnnounceRequested,
    DescribeRequested,
    Headers,
    MediaRange,
    MessageReader,
    PacketReceived,
    Paused,
    PlayRequested,
    RecordRequested,
    Request,
    Response,
    RtspServer,
    ServerEvent,
    ServerState,
    SetupRequested,
    StreamPath,
    TornDown,
    Transport,
    _url,
    serialize_frame,
)
from lalmesh.protocol.rtsp._answers import MAX_UNSENT_BYTES
from lalmesh.protocol.rtsp._messages import Message
from lalmesh.protocol.rtsp._requests import MAX_URI_CHARS
from lalmesh.protocol.rtsp._server import MAX_HELD_PACKETS, MAX_HELD_REQUESTS

URI = "rtsp://h:5544/live/cam"
TCP = "RTP/AVP/TCP;unicast;interleaved=0-1"
UDP = "RTP/AVP;unicast;client_port=5000-5001"
SDP = b"v=0\r\nm=video 0 RTP/AVP 96\r\n"
CONTROLS = ["trackID=0", "trackID=1"]
ALLOW_INIT = "OPTIONS, GET_PARAMETER, SET_PARAMETER, DESCRIBE, ANNOUNCE, SETUP"


def random_bytes(count: int) -> bytes:
    return random.Random(count).randbytes(count)


class Peer:
    """A client that says exactly what a test makes it say."""

    def __init__(self) -> None:
        self.server = RtspServer(random_bytes)
        self.reader = MessageReader()
        self.last_cseq = 0
        self.session = ""

    def wire(self, method: str, uri: str = URI, body: bytes = b"", **said: str) -> bytes:
        self.last_cseq += 1
        fields = {"CSeq": str(self.last_cseq), **({"Session": self.session} if self.session else {}), **said}
        named = tuple((name.replace("_", "-"), value) for name, value in fields.items() if value)
        return Request(method=method, uri=uri, headers=Headers(named), body=body).serialize()

    def say(self, data: bytes, now_s: float = 0.0) -> list[ServerEvent]:
        return list(self.server.feed(data, now_s))

    def ask(self, method: str, uri: str = URI, body: bytes = b"", **said: str) -> list[ServerEvent]:
        return self.say(self.wire(method, uri, body, **said))

    def heard(self) -> list[Response]:
        return [answer for answer in self.reader.feed(self.server.data_to_send()) if isinstance(answer, Response)]

    def answer(self) -> Response:
        (answer,) = self.heard()
        return answer

    def status(self, method: str, uri: str = URI, body: bytes = b"", **said: str) -> int:
        self.ask(method, uri, body, **said)
        return self.answer().status

    def set_up(self, track: int = 0, transport: str = TCP) -> Response:
        (event,) = self.ask("SETUP", f"{URI}/trackID={track}", Transport=transport)
        assert isinstance(event, SetupRequested)
        self.server.accept_setup(event.transports[0])
        answer = self.answer()
        self.session = answer.headers.get("session").partition(";")[0]
        return answer


def described() -> Peer:
    peer = Peer()
    peer.ask("DESCRIBE")
    peer.server.accept_describe(SDP, CONTROLS)
    peer.heard()
    return peer


def ready(*transports: str) -> Peer:
    peer = described()
    for track, transport in enumerate(transports or (TCP, "RTP/AVP/TCP;unicast;interleaved=2-3")):
        peer.set_up(track, transport)
    return peer


def playing(*transports: str) -> Peer:
    peer = ready(*transports)
    peer.ask("PLAY")
    peer.server.accept_play()
    peer.heard()
    return peer


def announced() -> Peer:
    peer = Peer()
    peer.ask("ANNOUNCE", body=SDP, Content_Type="application/sdp")
    peer.server.accept_announce(["streamid=0", "streamid=1"])
    peer.heard()
    return peer


def recording(*, is_answered: bool = True) -> Peer:
    peer = announced()
    for track in range(2):
        peer.ask(
            "SETUP", f"{URI}/streamid={track}", Transport=f"RTP/AVP/TCP;unicast;interleaved={2 * track}-{2 * track + 1};mode=record"
        )
        peer.server.accept_setup(Transport(protocol="RTP/AVP/TCP", interleaved=(2 * track, 2 * track + 1), mode="record"))
    peer.session = peer.server.session_id
    peer.ask("RECORD")
    if is_answered:
        peer.server.accept_record()
    peer.heard()
    return peer


def test_options_tells_what_can_be_asked() -> None:
    peer = Peer()
    assert peer.ask("OPTIONS", "*", Timestamp="12.5") == []
    answer = peer.answer()
    assert answer.status == 200
    assert answer.headers.get("public") == (
        "OPTIONS, GET_PARAMETER, SET_PARAMETER, DESCRIBE, ANNOUNCE, SETUP, PLAY, PAUSE, TEARDOWN, RECORD"
    )
    assert (answer.headers.get("cseq"), answer.headers.get("timestamp")) == ("1", "12.5")


def test_nothing_is_said_of_a_stream_before_the_application_decides() -> None:
    peer = Peer()
    (event,) = peer.ask("DESCRIBE", f"{URI}?k=v", Authorization="Basic eA==", Accept="application/sdp")
    assert isinstance(event, DescribeRequested)
    assert event.path == StreamPath("live", "cam", "k=v")
    assert event.request.headers.get("authorization") == "Basic eA=="
    assert peer.heard() == []
    peer.server.accept_describe(SDP, CONTROLS)
    answer = peer.answer()
    assert (answer.status, answer.body) == (200, SDP)
    assert answer.headers.get("content-base") == f"{URI}?k=v/"
    assert answer.headers.get("content-type") == "application/sdp"


@pytest.mark.parametrize("status", [401, 403, 404, 302, 503])
def test_a_request_is_refused_with_its_own_status_and_may_come_again(status: int) -> None:
    peer = Peer()
    peer.ask("DESCRIBE")
    peer.server.reject(status, ("WWW-Authenticate", "Digest a"), ("WWW-Authenticate", "Basic b"), ("Location", "rtsp://x/y"))
    answer = peer.answer()
    assert answer.status == status
    assert answer.headers.all("www-authenticate") == ["Digest a", "Basic b"]
    assert answer.headers.get("location") == "rtsp://x/y"
    (again,) = peer.ask("DESCRIBE")
    assert isinstance(again, DescribeRequested)


def test_a_publisher_is_asked_for_credentials_as_a_player_is() -> None:
    # lal takes any publisher, whatever it is told to check
    peer = Peer()
    (event,) = peer.ask("ANNOUNCE", body=SDP, Content_Type="application/sdp")
    assert isinstance(event, AnnounceRequested)
    assert (event.path.name, event.description) == ("cam", SDP)
    peer.server.reject(401, ("WWW-Authenticate", "Digest a"))
    assert peer.answer().status == 401
    assert peer.status("SETUP", f"{URI}/streamid=0", Transport=f"{TCP};mode=record") == 455


def test_a_track_is_set_up_over_tcp_with_a_session_nobody_guesses() -> None:
    answer = described().set_up()
    assert answer.headers.get("transport") == "RTP/AVP/TCP;unicast;interleaved=0-1"
    assert answer.headers.get("session") == random_bytes(16).hex() + ";timeout=60"


def test_a_track_is_set_up_over_udp_with_what_the_application_adds() -> None:
    peer = described()
    (event,) = peer.ask("SETUP", f"{URI}/trackID=1", Transport=f"RTP/SAVP;unicast;client_port=1-2,{UDP},{TCP}")
    assert isinstance(event, SetupRequested)
    assert (event.track, event.is_publisher) == (1, False)
    assert [transport.is_tcp for transport in event.transports] == [False, True]
    peer.server.accept_setup(Transport(client_port=(5000, 5001), server_port=(20_000, 20_001), ssrc=7))
    assert peer.answer().headers.get("transport") == "RTP/AVP;unicast;client_port=5000-5001;server_port=20000-20001;ssrc=00000007"
    assert peer.server.transports[1].is_udp


def test_channels_that_are_taken_or_not_named_become_others() -> None:
    peer = ready(TCP, TCP)
    assert [transport.interleaved for transport in peer.server.transports.values()] == [(0, 1), (2, 3)]
    peer = ready("RTP/AVP/TCP;unicast")
    assert peer.server.transports[0].interleaved == (0, 1)


def test_a_track_may_be_set_up_again() -> None:
    peer = ready(UDP)
    assert peer.set_up(0, TCP).headers.get("transport") == "RTP/AVP/TCP;unicast;interleaved=0-1"
    assert peer.set_up(0, TCP).headers.get("transport") == "RTP/AVP/TCP;unicast;interleaved=0-1"
    assert list(peer.server.transports) == [0]


@pytest.mark.parametrize(
    ("transport", "status"),
    [
        ("RTP/AVP;multicast;port=1-2", 461),
        ("RTP/SAVP;unicast;client_port=1-2", 461),
        ("RTP/AVP;unicast", 461),
        ("RTP/AVP;unicast;client_port=0-1", 461),  # nobody can send there
        ("RTP/AVP;unicast;client_port=x", 400),
        ("", 400),
        (f"{TCP};mode=record", 455),
    ],
)
def test_a_transport_that_will_not_do_is_refused(transport: str, status: int) -> None:
    assert described().status("SETUP", f"{URI}/trackID=0", Transport=transport) == status


def test_a_track_that_is_not_there_is_not_found() -> None:
    peer = described()
    assert peer.status("SETUP", f"{URI}/trackID=2", Transport=TCP) == 404
    assert peer.status("SETUP", URI, Transport=TCP) == 459


def test_a_player_may_set_up_a_track_that_it_knows_already() -> None:
    peer = Peer()
    (event,) = peer.ask("SETUP", f"{URI}/trackID=0", Transport=TCP)
    assert isinstance(event, SetupRequested)
    assert (event.track, event.path) == (None, StreamPath("live/cam", "trackID=0", ""))
    with pytest.raises(LocalProtocolError):
        peer.server.accept_setup(event.transports[0])


def test_tracks_that_only_the_application_knows_are_set_up_as_it_says() -> None:
    peer = Peer()
    for track in (0, 1):
        (event,) = peer.ask("SETUP", f"{URI}/trackID={track}", Transport=TCP)
        assert isinstance(event, SetupRequested)
        assert event.path.name == f"trackID={track}"
        peer.server.accept_setup(event.transports[0], track=track)
        peer.session = peer.server.session_id
    assert peer.ask("TEARDOWN", f"{URI}/trackID=0") == [TornDown((0,), False)]
    (event,) = peer.ask("PLAY")
    assert isinstance(event, PlayRequested)
    assert event.tracks == (1,)


def test_a_client_cannot_have_packets_sent_elsewhere() -> None:
    (event,) = described().ask("SETUP", f"{URI}/trackID=0", Transport=f"{UDP};destination=10.0.0.99;source=10.0.0.98")
    assert isinstance(event, SetupRequested)
    assert event.transports == (Transport(client_port=(5000, 5001)),)


def test_play_tells_where_packets_begin_for_this_player() -> None:
    peer = ready()
    (event,) = peer.ask("PLAY", Range="npt=0.000-")
    assert isinstance(event, PlayRequested)
    assert (event.tracks, event.range, event.is_resumed) == ((0, 1), MediaRange("npt", "0.000"), False)
    peer.server.accept_play({0: (45_102, 12_887_480), 1: (7, 9)})
    headers = peer.answer().headers
    assert headers.get("rtp-info") == f"url={URI}/trackID=0;seq=45102;rtptime=12887480,url={URI}/trackID=1;seq=7;rtptime=9"
    assert (headers.get("session"), headers.get("range")) == (peer.session, "npt=now-")
    assert peer.server.state is ServerState.PLAYING


def test_packets_of_a_player_are_reports_on_its_tracks() -> None:
    peer = playing()
    data = serialize_frame(3, b"rr") + serialize_frame(9, b"lost") + serialize_frame(0, b"hole")
    assert peer.say(data) == [PacketReceived(1, True, b"rr"), PacketReceived(0, False, b"hole")]


def test_a_player_pauses_and_goes_on() -> None:
    peer = playing()
    assert peer.ask("PAUSE") == [Paused((0, 1))]
    assert peer.answer().status == 200
    assert peer.server.state is ServerState.READY_TO_PLAY
    assert peer.say(serialize_frame(1, b"rr")) == []
    (event,) = peer.ask("PLAY")
    assert isinstance(event, PlayRequested)
    assert not event.is_resumed


def test_one_track_can_be_played_paused_and_torn_down_alone() -> None:
    peer = ready()
    (event,) = peer.ask("PLAY", f"{URI}/trackID=1")
    assert isinstance(event, PlayRequested)
    assert event.tracks == (1,)
    peer.server.accept_play()
    peer.ask("PLAY", f"{URI}/trackID=0")
    peer.server.accept_play()
    assert peer.ask("PAUSE", f"{URI}/trackID=1") == [Paused((1,))]
    assert peer.server.state is ServerState.PLAYING
    assert peer.ask("TEARDOWN", f"{URI}/trackID=0") == [TornDown((0,), False)]
    assert peer.server.state.name == "READY_TO_PLAY"
    assert peer.ask("TEARDOWN", f"{URI}/trackID=1") == [TornDown((1,), True)]
    assert peer.server.session_id == ""


def test_a_player_that_asks_to_play_again_is_answered() -> None:
    peer = playing()
    (event,) = peer.ask("PLAY", Range="npt=30-")
    assert isinstance(event, PlayRequested)
    assert event.is_resumed
    peer.server.accept_play()
    assert peer.answer().status == 200


def test_teardown_ends_the_session() -> None:
    peer = playing()
    assert peer.ask("TEARDOWN") == [TornDown((0, 1), True)]
    assert peer.answer().status == 200
    assert (peer.server.session_id, peer.server.transports) == ("", {})
    assert peer.status("PLAY") == 454


def test_a_publisher_records() -> None:
    peer = recording(is_answered=False)
    assert peer.say(serialize_frame(0, b"rtp")) == []
    peer.server.accept_record()
    assert peer.say(serialize_frame(3, b"sr")) == [PacketReceived(0, False, b"rtp"), PacketReceived(1, True, b"sr")]
    assert peer.server.state is ServerState.RECORDING
    assert peer.ask("PAUSE") == [Paused((0, 1))]
    assert peer.say(serialize_frame(0, b"late")) == []


def test_a_publisher_may_forget_to_say_record() -> None:
    peer = announced()
    (event,) = peer.ask("SETUP", f"{URI}/streamid=0", Transport=TCP)
    assert isinstance(event, SetupRequested)
    assert event.is_publisher


def test_an_announcement_has_a_description() -> None:
    assert Peer().status("ANNOUNCE", body=SDP, Content_Type="text/plain") == 415
    assert Peer().status("ANNOUNCE", Content_Type="application/sdp") == 400
    (event,) = Peer().ask("ANNOUNCE", body=SDP)  # lal says no type, which others refuse
    assert isinstance(event, AnnounceRequested)


def test_a_description_of_another_kind_cannot_be_had() -> None:
    assert Peer().status("DESCRIBE", Accept="application/mheg") == 406
    assert len(Peer().ask("DESCRIBE", Accept="application/rtsl, application/SDP;level=2")) == 1


@pytest.mark.parametrize("method", ["PLAY", "PAUSE", "RECORD", "TEARDOWN"])
def test_what_may_not_come_now_is_told_with_what_may(method: str) -> None:
    peer = Peer()
    assert peer.ask(method) == []
    answer = peer.answer()
    assert (answer.status, answer.headers.get("allow")) == (455, ALLOW_INIT)


def test_a_publisher_cannot_play_and_a_player_cannot_record() -> None:
    assert recording().status("PLAY") == 455
    assert recording().status("ANNOUNCE", body=SDP) == 455
    assert playing().status("RECORD") == 455
    assert playing().status("SETUP", f"{URI}/trackID=1", Transport=TCP) == 455


def test_another_session_is_not_found() -> None:
    for method in ("PLAY", "GET_PARAMETER", "TEARDOWN", "SETUP"):
        assert playing().status(method, Session="12345678") == 454
    assert Peer().status("PLAY", Session="191201771") == 454  # the id of every session of lal


def test_a_client_may_forget_its_session_on_its_own_connection() -> None:
    peer = ready()
    assert len(peer.ask("PLAY", Session="")) == 1


@pytest.mark.parametrize("method", ["GET_PARAMETER", "SET_PARAMETER"])
def test_parameters_are_answered(method: str) -> None:
    # lal leaves both unanswered
    assert Peer().status(method) == 200
    assert playing().status(method) == 200
    assert playing().status(method, body=b"barparam\r\n") == 451


def test_requirements_that_are_not_known_are_named() -> None:
    peer = Peer()
    assert peer.ask("DESCRIBE", Require="www.onvif.org/ver20/backchannel", Proxy_Require="x, y") == []
    answer = peer.answer()
    assert (answer.status, answer.headers.get("unsupported")) == (551, "www.onvif.org/ver20/backchannel, x, y")


def test_requests_that_are_wrong_in_themselves_are_refused() -> None:
    peer = Peer()
    assert peer.status("REDIRECT") == 501
    assert peer.status("play") == 501
    assert peer.status("OPTIONS", CSeq="") == 400
    peer.say(b"OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert [answer.status for answer in peer.heard()] == [505, 505]


def test_a_uri_that_is_too_long_is_refused() -> None:
    peer, longest = Peer(), f"{URI}?{'x' * (MAX_URI_CHARS - len(URI) - 1)}"
    for method in ("DESCRIBE", "ANNOUNCE", "OPTIONS", "SETUP"):
        assert peer.status(method, longest + "x") == 414
    assert len(peer.ask("DESCRIBE", longest)) == 1


def test_a_long_uri_costs_its_setups_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def unquoted(text: str, **said: str) -> str:
        decoded.append(text)
        return unquote(text, **said)

    peer = Peer()
    peer.ask("ANNOUNCE", f"{URI}?{'%41' * 1300}", SDP)
    peer.server.accept_announce([f"t{track}" for track in range(16)])
    peer.heard()
    monkeypatch.setattr(_url, "unquote", unquoted)
    assert {peer.status("SETUP", "rtsp://h/x", Transport=TCP) for _ in range(1000)} == {404}
    assert max(map(len, decoded)) < 20


def test_pipelined_requests_wait_for_their_turn() -> None:
    peer = Peer()
    sent = peer.wire("OPTIONS") + peer.wire("DESCRIBE") + peer.wire("GET_PARAMETER") + peer.wire("OPTIONS")
    assert len(peer.say(sent)) == 1
    assert [answer.headers.get("cseq") for answer in peer.heard()] == ["1"]
    peer.server.accept_describe(SDP, CONTROLS)
    assert peer.say(b"") == []
    assert [answer.headers.get("cseq") for answer in peer.heard()] == ["2", "3", "4"]


def test_requests_that_are_answered_at_once_need_no_second_call() -> None:
    peer = Peer()
    for event in peer.server.feed(peer.wire("DESCRIBE") + peer.wire("DESCRIBE"), 0.0):
        assert isinstance(event, DescribeRequested)
        peer.server.reject(404)
    assert [answer.status for answer in peer.heard()] == [404, 404]


def test_packets_go_on_while_a_request_of_a_player_waits() -> None:
    peer = playing()
    events = peer.say(peer.wire("PLAY") + serialize_frame(1, b"rr"))
    assert [type(event) for event in events] == [PlayRequested, PacketReceived]


def test_what_is_no_request_is_answered_and_ends_the_connection() -> None:
    peer = Peer()
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            peer.say(b"\x00")
    answer = peer.answer()
    assert (answer.status, answer.headers.get("connection")) == (400, "close")
    peer.server = RtspServer(random_bytes)
    with pytest.raises(LimitExceeded):
        peer.ask("ANNOUNCE", body=bytes(70_000))
    assert peer.answer().status == 413


def test_what_waits_has_bounds() -> None:
    peer = Peer()
    peer.ask("DESCRIBE")
    with pytest.raises(LimitExceeded):
        peer.say(peer.wire("OPTIONS") * (MAX_HELD_REQUESTS + 1))
    for size_bytes, count in ((60_000, 200), (1, MAX_HELD_PACKETS + 1)):
        publisher = recording(is_answered=False)
        with pytest.raises(LimitExceeded):
            publisher.say(serialize_frame(0, bytes(size_bytes)) * count)


class Watched(deque[Message]):
    """Counts how often a message in it is looked at."""

    looks = 0

    def __iter__(self) -> Iterator[Message]:
        for message in super().__iter__():
            self.looks += 1
            yield message

    def __reversed__(self) -> Iterator[Message]:
        for message in super().__reversed__():
            self.looks += 1
            yield message


def test_what_waits_is_looked_at_once_however_often_more_comes() -> None:
    peer = Peer()
    held = peer.server._inbox.messages = Watched()
    peer.ask("DESCRIBE")
    peer.say(peer.wire("OPTIONS") + serialize_frame(0, b"") * MAX_HELD_PACKETS)
    for _ in range(1000):
        peer.say(b"\n")
    assert (len(held), held.looks) == (MAX_HELD_PACKETS + 1, MAX_HELD_PACKETS + 1)
    with pytest.raises(LimitExceeded, match=f"packets .* of {MAX_HELD_PACKETS + 1}"):
        peer.say(serialize_frame(0, b""))


def test_what_waited_and_was_taken_makes_room() -> None:
    peer = Peer()
    for _ in range(3):
        peer.ask("DESCRIBE")
        peer.say((peer.wire("OPTIONS") + serialize_frame(0, bytes(60_000)) * 2) * MAX_HELD_REQUESTS)
        peer.server.reject(404)
        assert peer.say(b"") == []
        assert len(peer.heard()) == MAX_HELD_REQUESTS + 1


def test_requests_are_held_as_long_as_it_is_wished_and_packets_go_on() -> None:
    peer = playing()
    peer.server.holds_requests = True
    assert [type(event) for event in peer.say(serialize_frame(1, b"rr") + peer.wire("PAUSE"))] == [PacketReceived]
    assert peer.say(peer.wire("OPTIONS")) == []
    assert peer.heard() == []
    peer.server.holds_requests = False
    assert peer.say(b"") == [Paused((0, 1))]
    assert [answer.status for answer in peer.heard()] == [200, 200]
    peer.server.holds_requests = True
    with pytest.raises(LimitExceeded):
        peer.say(peer.wire("OPTIONS") * (MAX_HELD_REQUESTS + 1))


def test_answers_that_nobody_takes_do_not_pile_up() -> None:
    peer = Peer()
    one = peer.wire("OPTIONS", CSeq="9" * 15_000)  # which the answer says again
    with pytest.raises(LimitExceeded, match="unsent answers"):
        peer.say(one * (MAX_UNSENT_BYTES // 15_000 + 1))


@pytest.mark.parametrize("accept", ["accept_record", "accept_play", "reject", "accept_announce", "accept_describe", "accept_setup"])
def test_an_answer_to_nothing_is_our_own_error(accept: str) -> None:
    arguments: dict[str, list[object]] = {
        "reject": [404],
        "accept_announce": [[]],
        "accept_describe": [b"", []],
        "accept_setup": [Transport()],
    }
    for peer in (Peer(), described()):
        with pytest.raises(LocalProtocolError):
            getattr(peer.server, accept)(*arguments.get(accept, []))


def test_more_tracks_than_there_is_room_for_are_our_own_error() -> None:
    peer = Peer()
    peer.ask("DESCRIBE")
    with pytest.raises(LocalProtocolError):
        peer.server.accept_describe(SDP, ["x"] * 17)


def test_a_session_with_udp_is_over_after_its_time_of_silence() -> None:
    peer = playing(UDP)
    peer.say(peer.wire("GET_PARAMETER"), 100.0)
    assert peer.server.expires_at_s == 160.0
    peer.server.heard(130.0)  # a receiver report
    peer.server.heard(120.0)
    assert peer.server.expires_at_s == 190.0


def test_a_session_on_the_connection_lasts_as_long_as_it() -> None:
    assert playing().server.expires_at_s is None
    assert described().server.expires_at_s is None


def test_a_player_may_look_at_another_stream_and_keeps_its_own() -> None:
    peer = playing()
    peer.ask("DESCRIBE", "rtsp://h/live/other")
    peer.server.accept_describe(SDP, ["x"])
    peer.heard()
    assert peer.ask("PAUSE", f"{URI}/trackID=1") == [Paused((1,))]


def test_responses_of_a_client_are_passed_over() -> None:
    assert Peer().say(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n") == []


def conversation() -> bytes:
    peer = Peer()
    peer.session = random_bytes(16).hex()
    parts = [peer.wire("OPTIONS", Session=""), peer.wire("ANNOUNCE", body=SDP, Session="")]
    parts += [peer.wire("SETUP", f"{URI}/streamid=0", Transport=f"{TCP};mode=record", Session=""), peer.wire("RECORD")]
    parts += [serialize_frame(0, b"rtp"), serialize_frame(1, b"rtcp"), peer.wire("GET_PARAMETER"), peer.wire("TEARDOWN")]
    return b"".join(parts)


def accept(server: RtspServer, event: ServerEvent) -> None:
    match event:
        case DescribeRequested():
            server.accept_describe(SDP, CONTROLS)
        case AnnounceRequested():
            server.accept_announce(["streamid=0"])
        case SetupRequested():
            server.accept_setup(event.transports[0], track=event.track or 0)
        case PlayRequested():
            server.accept_play()
        case RecordRequested():
            server.accept_record()
        case _:
            return


def run(parts: list[bytes]) -> tuple[list[ServerEvent], bytes]:
    server, events = RtspServer(random_bytes), []
    for part in parts:
        for event in server.feed(part, 0.0):
            events.append(event)
            accept(server, event)
    return events, server.data_to_send()


@given(st.lists(st.integers(0, 1000), max_size=8))
def test_any_split_of_the_bytes_gives_the_same_events_and_answers(cuts: list[int]) -> None:
    data = conversation()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    whole = run([data])
    assert [type(event) for event in whole[0]] == [
        AnnounceRequested,
        SetupRequested,
        RecordRequested,
        PacketReceived,
        PacketReceived,
        TornDown,
    ]
    assert run([data[start:end] for start, end in pairwise(edges)]) == whole


@given(st.integers(0, 1000), st.integers(0, 40), st.binary(max_size=12))
def test_any_bytes_give_events_or_an_error(at: int, left_out: int, put_in: bytes) -> None:
    data = conversation()
    try:
        run([data[:at] + put_in + data[at + left_out :]])
    except RemoteProtocolError:
        return
