from __future__ import annotations

import random
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import LocalProtocolError, RemoteProtocolError
from lalmesh.protocol.http_auth import ClientAuth, Scheme, ServerAuth, Verdict, parse_credentials
from lalmesh.protocol.rtsp import (
    Announced,
    AnnounceRequested,
    ClientEvent,
    ClientState,
    Described,
    DescribeRequested,
    Ended,
    Failed,
    FellBackToTcp,
    Headers,
    MediaRange,
    MessageReader,
    PacketReceived,
    Paused,
    PlayRequested,
    RecordRequested,
    Redirected,
    Request,
    Response,
    RtpInfo,
    RtspClient,
    RtspServer,
    RtspUrl,
    ServerEvent,
    ServerState,
    SetupRequested,
    Started,
    TornDown,
    TrackRequest,
    TrackSetUp,
    Transport,
    resolve_control,
    serialize_frame,
)
from lalmesh.protocol.rtsp._calls import MAX_PENDING_CALLS
from lalmesh.protocol.sdp import parse_session

URL = RtspUrl.parse("rtsp://user:secret@h:8554/live/cam?k=v")
SDP = b"v=0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=control:trackID=0\r\nm=audio 0 RTP/AVP 8\r\na=control:trackID=1\r\n"
PUBLIC = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
Mode = Literal["publish", "play"]


def random_bytes(count: int) -> bytes:
    return random.Random(count).randbytes(count)


class Script:
    """A server that says exactly what a test makes it say."""

    def __init__(self, mode: Mode = "play", *, auth: ClientAuth | None = None) -> None:
        self.client = RtspClient(URL, mode, description=SDP, auth=auth)
        self.reader = MessageReader()
        self.request = self.asked()

    def asked(self) -> Request:
        """The one request that the client sent just now."""
        (request,) = [message for message in self.reader.feed(self.client.data_to_send()) if isinstance(message, Request)]
        self.request = request
        return request

    def quiet(self) -> bool:
        return self.client.data_to_send() == b""

    def say(self, status: int = 200, body: bytes = b"", now_s: float = 0.0, **said: str) -> list[ClientEvent]:
        fields = {"CSeq": self.request.headers.get("cseq"), **said}
        named = Headers(tuple((name.replace("_", "-"), value) for name, value in fields.items() if value))
        return list(self.client.feed(Response(status=status, headers=named, body=body).serialize(), now_s))

    def raw(self, data: bytes) -> list[ClientEvent]:
        return list(self.client.feed(data, 0.0))


def described() -> Script:
    script = Script()
    script.say(Public=PUBLIC)
    script.asked()
    script.say(body=SDP, Content_Base="rtsp://h:8554/live/cam/")
    return script


def active(*, public: str = PUBLIC, timeout: str = "", auth: ClientAuth | None = None) -> Script:
    script = Script(auth=auth)
    script.say(Public=public)
    script.asked()
    script.say(body=SDP)
    script.client.setup([TrackRequest("rtsp://h/1")])
    script.asked()
    script.say(Session=f"abc{timeout}", Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
    script.asked()
    script.say(now_s=100.0, Range="npt=now-", RTP_Info="url=rtsp://h/1;seq=7;rtptime=9")
    return script


def test_a_player_asks_step_by_step() -> None:
    script = Script()
    assert (script.request.method, script.request.uri) == ("OPTIONS", "rtsp://h:8554/live/cam?k=v")
    assert script.say(Public=PUBLIC) == []
    assert script.asked().method == "DESCRIBE"
    assert script.request.headers.get("accept") == "application/sdp"
    (event,) = script.say(body=SDP, Content_Base="rtsp://h:8554/live/cam/")
    assert event == Described(description=SDP, base_url="rtsp://h:8554/live/cam/")
    assert script.quiet()
    script.client.setup(
        [TrackRequest("rtsp://h:8554/live/cam/trackID=0"), TrackRequest("rtsp://h:8554/live/cam/trackID=1", (6, 7))]
    )
    assert (script.asked().method, script.request.uri) == ("SETUP", "rtsp://h:8554/live/cam/trackID=0")
    assert script.request.headers.get("transport") == "RTP/AVP/TCP;unicast;interleaved=0-1"
    assert script.say(Session="abc;timeout=30", Transport="RTP/AVP/TCP;unicast;interleaved=4-5") == [
        TrackSetUp(0, Transport(protocol="RTP/AVP/TCP", interleaved=(4, 5)))
    ]
    assert script.asked().headers.get("session") == "abc"
    assert script.request.headers.get("transport") == "RTP/AVP;unicast;client_port=6-7"
    (event,) = script.say(Session="abc", Transport="RTP/AVP;unicast;client_port=6-7;server_port=8-9")
    assert event == TrackSetUp(1, Transport(client_port=(6, 7), server_port=(8, 9)))
    assert (script.asked().method, script.request.uri) == ("PLAY", "rtsp://h:8554/live/cam/")
    assert script.raw(serialize_frame(4, b"early")) == [PacketReceived(0, False, b"early")]
    assert script.say(Range="npt=now-", RTP_Info="url=rtsp://h/x;seq=1") == [
        Started((RtpInfo("rtsp://h/x", 1),), MediaRange("npt", "now"))
    ]
    assert script.raw(serialize_frame(5, b"sr") + serialize_frame(0, b"other")) == [PacketReceived(0, True, b"sr")]


def test_a_publisher_says_what_its_description_is() -> None:
    # lal leaves the type out, which other servers refuse
    script = Script("publish")
    script.say()
    assert (script.asked().method, script.request.body) == ("ANNOUNCE", SDP)
    assert script.request.headers.get("content-type") == "application/sdp"
    assert script.say() == [Announced()]
    script.client.setup([TrackRequest("rtsp://h/1")])
    assert script.asked().headers.get("transport") == "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"
    script.say(Session="abc", Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
    assert script.asked().method == "RECORD"
    assert script.say() == [Started()]


def test_user_and_password_never_stand_in_a_request() -> None:
    assert b"secret" not in Script().client.data_to_send()
    assert "secret" not in Script().request.uri


@pytest.mark.parametrize("status", [404, 405, 501, 400, 461])
def test_a_server_that_does_not_know_options_is_asked_all_the_same(status: int) -> None:
    script = Script()
    assert script.say(status) == []
    assert script.asked().method == "DESCRIBE"


def test_what_is_refused_fails_with_its_status() -> None:
    script = Script()
    script.say()
    script.asked()
    assert script.say(404) == [Failed("DESCRIBE", 404, "Not Found")]
    assert script.client.state is ClientState.ENDED
    assert script.raw(b"RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n") == []


@pytest.mark.parametrize("status", [301, 302, 305])
@pytest.mark.parametrize(("location", "url"), [("rtsp://x:1/y", "rtsp://x:1/y"), ("/other?z", "rtsp://h:8554/other?z")])
def test_a_redirection_is_reported(status: int, location: str, url: str) -> None:
    for before in (0, 1):
        script = Script()
        if before:
            script.say()
            script.asked()
        assert script.say(status, Location=location) == [Redirected(url, status == 305)]


def test_a_redirection_to_nowhere_is_a_failure() -> None:
    assert Script().say(302) == [Failed("OPTIONS", 302, "Moved Temporarily")]


def test_answers_to_nothing_are_passed_over() -> None:
    script = Script()
    for cseq in ("99", "x", "0", "-1"):
        assert script.say(CSeq=cseq) == []
    assert script.say(100) == []
    assert script.quiet()
    assert script.say(CSeq="") == []  # some cameras say no number
    assert script.asked().method == "DESCRIBE"


def test_the_way_that_a_server_does_not_tell_is_the_one_that_was_asked_for() -> None:
    script = described()
    script.client.setup([TrackRequest("rtsp://h/1"), TrackRequest("rtsp://h/2")])
    script.asked()
    script.say()
    script.asked()
    assert script.say(Transport="RTP/AVP/TCP;unicast") == [TrackSetUp(1, Transport(protocol="RTP/AVP/TCP"))]
    assert script.raw(serialize_frame(3, b"rtcp")) == [PacketReceived(1, True, b"rtcp")]


def test_a_server_without_udp_gets_all_tracks_over_tcp() -> None:
    # lal switches each track on its own
    script = described()
    script.client.setup([TrackRequest("rtsp://h/1", (2, 3)), TrackRequest("rtsp://h/2", (4, 5))])
    script.asked()
    assert script.say(461) == [FellBackToTcp()]
    assert script.asked().headers.get("transport") == "RTP/AVP/TCP;unicast;interleaved=0-1"
    script.say(Session="abc", Transport="RTP/AVP/TCP;interleaved=0-1")
    assert script.asked().headers.get("transport") == "RTP/AVP/TCP;unicast;interleaved=2-3"
    assert script.say(461) == [Failed("SETUP", 461, "Unsupported Transport")]


@pytest.mark.parametrize("mode", ["play", "publish"])
def test_tracks_that_were_set_up_over_udp_are_torn_down_before_they_come_over_tcp(mode: Mode) -> None:
    script = Script(mode)
    script.say()
    script.asked()
    script.say(body=SDP)
    script.client.setup([TrackRequest("rtsp://h/1", (2, 3)), TrackRequest("rtsp://h/2", (4, 5))])
    script.asked()
    script.say(Session="abc", Transport="RTP/AVP;unicast;client_port=2-3")
    script.asked()
    script.say(461)
    assert (script.asked().method, script.request.headers.get("session")) == ("TEARDOWN", "abc")
    assert script.say() == []
    if mode == "publish":
        assert script.asked().method == "ANNOUNCE"
        assert script.say() == []
    assert (script.asked().uri, script.request.headers.get("session")) == ("rtsp://h/1", "")
    assert script.request.headers.get("transport").startswith("RTP/AVP/TCP;unicast;interleaved=0-1")


@pytest.mark.parametrize(("public", "method"), [(PUBLIC, "GET_PARAMETER"), ("OPTIONS, PLAY", "OPTIONS"), ("", "OPTIONS")])
def test_signs_of_life_are_given_at_half_the_time_out_by_what_the_server_offers(public: str, method: str) -> None:
    script = active(public=public, timeout=";timeout=30")
    assert script.client.next_timer_s == 115.0
    script.client.handle_timer(114.0)
    assert script.quiet()
    script.client.handle_timer(115.5)
    assert (script.asked().method, script.request.headers.get("session")) == (method, "abc")
    assert script.client.next_timer_s == 130.5
    assert script.say() == []


def test_a_server_that_does_not_know_what_it_offers_gets_another_sign_of_life() -> None:
    script = active()
    script.client.handle_timer(130.0)
    script.asked()
    assert script.say(501) == []
    script.client.handle_timer(160.0)
    assert script.asked().method == "OPTIONS"
    assert script.say(500) == []
    assert script.client.state is ClientState.ACTIVE


@pytest.mark.parametrize("public", [PUBLIC, ""])
def test_a_session_that_the_server_has_lost_is_over(public: str) -> None:
    script = active(public=public)
    script.client.handle_timer(130.0)
    script.asked()
    assert script.say(454) == [Ended("session not found")]
    assert script.client.next_timer_s is None


def test_a_short_time_out_makes_no_flood() -> None:
    assert active(timeout=";timeout=1").client.next_timer_s == 101.0


def test_a_server_asks_too() -> None:
    script = active()
    assert script.raw(b"OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\nSET_PARAMETER * RTSP/1.0\r\nCSeq: 10\r\n\r\n") == []
    answers = [message for message in script.reader.feed(script.client.data_to_send()) if isinstance(message, Response)]
    assert [(answer.status, answer.headers.get("cseq")) for answer in answers] == [(200, "9"), (200, "10")]
    assert script.raw(b"ANNOUNCE * RTSP/1.0\r\nCSeq: 11\r\n\r\n") == []
    assert script.client.data_to_send().startswith(b"RTSP/1.0 501 ")
    assert active().raw(b"REDIRECT * RTSP/1.0\r\nCSeq: 1\r\nLocation: rtsp://x/y\r\n\r\n") == [Redirected("rtsp://x/y")]
    assert active().raw(b"REDIRECT * RTSP/1.0\r\nCSeq: 1\r\n\r\n") == [Ended("REDIRECT")]
    assert active().raw(b"TEARDOWN * RTSP/1.0\r\nCSeq: 1\r\n\r\n") == [Ended("TEARDOWN")]


def test_closing_tells_the_server_where_it_knows_of_us() -> None:
    script = active()
    script.client.close()
    assert script.asked().method == "TEARDOWN"
    script.client.close()
    assert script.quiet()
    early = Script()
    early.client.close()
    assert early.quiet()


def test_tracks_are_set_up_when_it_is_time() -> None:
    with pytest.raises(LocalProtocolError):
        Script().client.setup([TrackRequest("rtsp://h/1")])
    for count in (0, 17):
        with pytest.raises(LocalProtocolError):
            described().client.setup([TrackRequest("rtsp://h/1")] * count)


def test_what_is_no_answer_is_an_error_for_ever() -> None:
    script = Script()
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            script.raw(b"\x00")


def test_a_way_that_is_none_is_an_error() -> None:
    script = described()
    script.client.setup([TrackRequest("rtsp://h/1")])
    script.asked()
    with pytest.raises(RemoteProtocolError):
        script.say(Transport="RTP/AVP/TCP;interleaved=300-301")


def test_a_client_that_is_closed_while_it_falls_back_asks_no_more() -> None:
    script = described()
    script.client.setup([TrackRequest("rtsp://h/1", (2, 3))])
    script.asked()
    answer = Response(status=461, headers=Headers((("CSeq", script.request.headers.get("cseq")),)))
    for event in script.client.feed(answer.serialize(), 0.0):
        assert event == FellBackToTcp()
        script.client.close()
    assert script.quiet()


def test_a_server_that_never_answers_signs_of_life_costs_nothing_more() -> None:
    script = active()
    for number in range(2 * MAX_PENDING_CALLS):
        script.client.handle_timer(200.0 + 60.0 * number)
    script.client.data_to_send()
    assert len(script.client._calls._pending) == MAX_PENDING_CALLS


def test_credentials_are_asked_for_once_and_shown_ever_after() -> None:
    script = Script(auth=ClientAuth("user", "secret", random_bytes))
    assert script.request.headers.get("authorization") == ""
    assert script.say(401, WWW_Authenticate='Digest realm="cam", nonce="1"') == []
    assert script.asked().headers.get("authorization").startswith("Digest ")
    assert script.request.headers.get("cseq") == "2"
    script.say()
    assert 'nonce="1"' in script.asked().headers.get("authorization")
    script.say(401, WWW_Authenticate='Digest realm="cam", nonce="2", stale=true')
    assert 'nonce="2"' in script.asked().headers.get("authorization")
    assert script.say(401, WWW_Authenticate='Digest realm="cam", nonce="3"') == [Failed("DESCRIBE", 401, "Unauthorized")]


def test_a_server_that_finds_everything_stale_is_not_asked_for_ever() -> None:
    script = Script(auth=ClientAuth("user", "secret", random_bytes))
    stale = 'Digest realm="cam", nonce="1", stale=true'
    for _ in range(2):
        assert script.say(401, WWW_Authenticate=stale) == []
        script.asked()
    assert script.say(401, WWW_Authenticate=stale) == [Failed("OPTIONS", 401, "Unauthorized")]


def test_signs_of_life_go_on_though_a_camera_has_another_nonce_every_five_minutes() -> None:
    script = active(auth=ClientAuth("user", "secret", random_bytes))
    statuses, nonce = list[int](), ""
    for now_s in range(130, 1330, 30):
        script.client.handle_timer(float(now_s))
        good = f'nonce="{now_s // 300}"'
        while good not in script.asked().headers.get("authorization"):
            assert good != nonce
            statuses.append(401)
            nonce = good
            assert script.say(401, WWW_Authenticate=f'Digest realm="cam", {good}, stale="FALSE"', now_s=float(now_s)) == []
        statuses.append(200)
        assert script.say(now_s=float(now_s)) == []
        assert script.quiet()
    assert (statuses.count(401), statuses.count(200)) == (5, 40)


def test_without_credentials_a_challenge_is_a_failure() -> None:
    assert Script().say(401, WWW_Authenticate='Basic realm="x"') == [Failed("OPTIONS", 401, "Unauthorized")]


class Pair:
    """A client and a server back to back, each with an application, over a line that cuts what it carries."""

    def __init__(self, mode: Mode, *, step: int = 1 << 20, is_udp: bool = False, password: str = "secret") -> None:
        self.auth = ServerAuth("lalmesh", b"0123456789abcdef", schemes=(Scheme.DIGEST_SHA256, Scheme.DIGEST_MD5))
        self.client = RtspClient(URL, mode, description=SDP, auth=ClientAuth("user", password, random_bytes))
        self.server = RtspServer(random_bytes)
        self.step = step
        self.mode = mode
        self.ports = [(5000, 5001), (5002, 5003)] if is_udp else [None, None]
        self.takes_udp = True
        self.client_events: list[ClientEvent] = []
        self.server_events: list[ServerEvent] = []

    def run(self) -> Pair:
        while (to_server := self.client.data_to_send()) or (to_client := self.server.data_to_send()):
            for at in range(0, len(to_server), self.step):
                for event in self.server.feed(to_server[at : at + self.step], 0.0):
                    self.server_events.append(event)
                    self.serve(event)
            to_client = self.server.data_to_send()
            for at in range(0, len(to_client), self.step):
                for answer in self.client.feed(to_client[at : at + self.step], 0.0):
                    self.client_events.append(answer)
                    self.use(answer)
        return self

    def is_known(self, request: Request) -> bool:
        shown = request.headers.get("authorization")
        if not shown:
            return False
        verdict = self.auth.check(parse_credentials(shown), "secret", method=request.method, uri=request.uri, now_s=1e9)
        return verdict is Verdict.ACCEPTED

    def serve(self, event: ServerEvent) -> None:
        match event:
            case PacketReceived() | Paused() | TornDown():
                return
            case _ if not self.is_known(event.request):
                self.server.reject(401, *(("WWW-Authenticate", challenge) for challenge in self.auth.challenges(1e9)))
            case DescribeRequested():
                self.server.accept_describe(SDP, ["trackID=0", "trackID=1"])
            case AnnounceRequested():
                self.server.accept_announce([media.control for media in parse_session(event.description).media])
            case SetupRequested():
                if event.transports[0].is_udp and not self.takes_udp:
                    self.server.reject(461)
                else:
                    self.server.accept_setup(event.transports[0])
            case PlayRequested():
                self.server.accept_play({0: (1, 2)})
            case RecordRequested():
                self.server.accept_record()

    def use(self, event: ClientEvent) -> None:
        if isinstance(event, Described | Announced):
            base = event.base_url if isinstance(event, Described) else str(URL)
            controls = [media.control for media in parse_session(SDP).media]
            wanted = [
                TrackRequest(resolve_control(base, control), ports) for control, ports in zip(controls, self.ports, strict=True)
            ]
            self.client.setup(wanted)

    def kinds(self) -> list[type]:
        return [type(event) for event in self.client_events]


@pytest.mark.parametrize("step", [1 << 20, 1, 7])
@pytest.mark.parametrize("is_udp", [False, True])
def test_our_player_plays_from_our_server(step: int, is_udp: bool) -> None:
    pair = Pair("play", step=step, is_udp=is_udp).run()
    assert pair.kinds() == [Described, TrackSetUp, TrackSetUp, Started]
    assert pair.server.state is ServerState.PLAYING
    assert all(transport.is_udp is is_udp for transport in pair.server.transports.values())


@pytest.mark.parametrize("is_udp", [False, True])
def test_our_publisher_publishes_to_our_server(is_udp: bool) -> None:
    pair = Pair("publish", is_udp=is_udp).run()
    assert pair.kinds() == [Announced, TrackSetUp, TrackSetUp, Started]
    assert pair.server.state is ServerState.RECORDING
    pair.client.close()
    assert pair.run().server_events[-1] == TornDown((0, 1), True)


@pytest.mark.parametrize("mode", ["play", "publish"])
def test_our_client_falls_back_to_tcp_at_our_server(mode: Mode) -> None:
    pair = Pair(mode, is_udp=True)
    pair.takes_udp = False
    assert pair.run().kinds()[1:] == [FellBackToTcp, TrackSetUp, TrackSetUp, Started]
    assert [transport.interleaved for transport in pair.server.transports.values()] == [(0, 1), (2, 3)]


@pytest.mark.parametrize("mode", ["play", "publish"])
def test_a_wrong_password_gets_a_second_401_and_no_closed_connection(mode: Mode) -> None:
    pair = Pair(mode, password="wrong").run()
    assert pair.client_events == [Failed("DESCRIBE" if mode == "play" else "ANNOUNCE", 401, "Unauthorized")]
    assert len(pair.server_events) == 2
    assert pair.server.state is ServerState.INIT


def answers() -> bytes:
    return b"".join(
        (
            f"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: {PUBLIC}\r\n\r\n".encode(),
            b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: %d\r\n\r\n" % len(SDP) + SDP,
            b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: abc\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n",
            serialize_frame(0, b"early"),
            b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nRange: npt=now-\r\n\r\n",
            serialize_frame(0, b"rtp") + serialize_frame(1, b"rtcp"),
            b"TEARDOWN rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        )
    )


def play(parts: list[bytes]) -> tuple[list[ClientEvent], bytes]:
    client, events = RtspClient(URL, "play"), []
    for part in parts:
        for event in client.feed(part, 0.0):
            events.append(event)
            if isinstance(event, Described):
                client.setup([TrackRequest("rtsp://h/1")])
    return events, client.data_to_send()


@given(st.lists(st.integers(0, 700), max_size=8))
def test_any_split_of_the_bytes_gives_the_same_events_and_requests(cuts: list[int]) -> None:
    data = answers()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    whole = play([data])
    assert [type(event) for event in whole[0]] == [
        Described,
        TrackSetUp,
        PacketReceived,
        Started,
        PacketReceived,
        PacketReceived,
        Ended,
    ]
    assert play([data[start:end] for start, end in pairwise(edges)]) == whole


@given(st.integers(0, 700), st.integers(0, 40), st.binary(max_size=12))
def test_any_bytes_give_events_or_an_error(at: int, left_out: int, put_in: bytes) -> None:
    data = answers()
    try:
        play([data[:at] + put_in + data[at + left_out :]])
    except RemoteProtocolError:
        return
