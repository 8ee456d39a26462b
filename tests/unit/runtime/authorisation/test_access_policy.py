"""Rules, the order of methods, refusals, passes, and what is remembered of the callback."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import (
    COUNTED_HEADER,
    EDGE_HEADER,
    Action,
    AddressList,
    Allowed,
    Answer,
    Answers,
    Ask,
    Breaker,
    Callback,
    EdgeHeaders,
    Family,
    FromEdge,
    LalSecret,
    Method,
    MethodName,
    Passes,
    Passwords,
    Policy,
    Reason,
    Refused,
    Remembered,
    Request,
    family_of,
    lal_secret_of,
    parse_rule,
    payload_of,
    question_of,
)
from lalmesh.runtime.networks import Networks

STREAM = StreamKey("live", "cam")
PLAY = Request(action=Action.PLAY, stream=STREAM, protocol="http-flv", address="192.0.2.7", query="token=t")
PUBLISH = replace(PLAY, action=Action.PUBLISH, protocol="rtmp", query="")
METHODS: dict[MethodName, Method] = {
    MethodName.LAL_SECRET: LalSecret("k"),
    MethodName.PASSWORD: Passwords({"alice": "in"}, {"bob": "out"}),
    MethodName.CALLBACK: Callback(),
}


def policy(*rules: str, otherwise: bool = True) -> Policy:
    return Policy([parse_rule(text) for text in rules], METHODS, is_open_otherwise=otherwise)


def refused(verdict: object) -> Refused:
    assert isinstance(verdict, Refused)
    return verdict


@pytest.mark.parametrize(
    ("protocol", "family"),
    [
        ("rtmps", "rtmp"),
        ("wss-rtsp", "rtsp"),
        ("ws-flv", "flv"),
        ("https-ts", "ts"),
        ("https-hls", "hls"),
        ("http-record", "record"),
    ],
)
def test_protocols_are_of_families(protocol: str, family: str) -> None:
    assert family_of(protocol) is Family(family)


def test_without_rules_everybody_may() -> None:
    assert isinstance(Policy().decide(PLAY, 0.0, {}), Allowed)
    assert not Policy().guards(frozenset(Family))


def test_the_first_rule_that_matches_counts() -> None:
    decides = policy("play:hls * deny", "publish live/* lal_secret", "any live/c* open", "any * deny")
    assert isinstance(decides.decide(PLAY, 0.0, {}), Allowed)
    assert refused(decides.decide(PUBLISH, 0.0, {})).reason is Reason.UNAUTHORISED
    assert refused(decides.decide(replace(PLAY, protocol="http-hls"), 0.0, {})).reason is Reason.FORBIDDEN
    assert refused(decides.decide(replace(PLAY, stream=StreamKey("vod", "x")), 0.0, {})).reason is Reason.FORBIDDEN


def test_what_no_rule_matches_is_as_configured() -> None:
    assert isinstance(policy("play x/* deny").decide(PLAY, 0.0, {}), Allowed)
    assert refused(policy("play x/* deny", otherwise=False).decide(PLAY, 0.0, {})).reason is Reason.FORBIDDEN


@pytest.mark.parametrize(
    "text", ["", "play *", "watch * open", "play:srt * open", "play * magic", "play * open signed", "play * " + "x" * 3000]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rule(text)


def test_any_method_of_a_rule_lets_in_and_the_callback_is_asked_last() -> None:
    decides = policy("play * callback lal_secret")
    shown = replace(PLAY, query=f"lal_secret={lal_secret_of('cam', 'k')}")
    assert decides.decide(shown, 0.0, {}) == Allowed("lal_secret")
    assert decides.decide(PLAY, 0.0, {}) == Ask(question_of(PLAY))
    assert decides.decide(PLAY, 0.0, {question_of(PLAY): Answer.YES}) == Allowed("callback")


def test_a_refusal_says_the_same_whatever_was_wrong() -> None:
    decides = policy("play * lal_secret password")
    wrong = [replace(PLAY, query=text) for text in ("", "lal_secret=x", "user=bob&pass=x", "user=eve&pass=out")]
    said = {(refused(decides.decide(each, 0.0, {})).reason, refused(decides.decide(each, 0.0, {})).asks_login) for each in wrong}
    assert said == {(Reason.UNAUTHORISED, True)}
    assert [refused(decides.decide(each, 0.0, {})).was_shown for each in wrong] == [False, True, True, True]


def test_a_callback_that_does_not_answer_refuses_or_lets_in_as_configured() -> None:
    answers: Answers = {question_of(PLAY): Answer.NONE}
    assert refused(policy("play * callback").decide(PLAY, 0.0, answers)).reason is Reason.UNAVAILABLE
    lenient = Policy([parse_rule("play * callback")], {MethodName.CALLBACK: Callback(fail_open=True)})
    assert isinstance(lenient.decide(PLAY, 0.0, answers), Allowed)
    assert refused(lenient.decide(PLAY, 0.0, {question_of(PLAY): Answer.NO})).reason is Reason.UNAUTHORISED


def test_addresses_are_looked_at_before_credentials() -> None:
    lists = {Action.PLAY: AddressList(Networks(("192.0.2.0/24",)), Networks(("192.0.2.8",)))}
    decides = Policy(addresses=lists)
    assert isinstance(decides.decide(PLAY, 0.0, {}), Allowed)
    assert refused(decides.decide(replace(PLAY, address="192.0.2.8"), 0.0, {})).reason is Reason.FORBIDDEN
    assert refused(decides.decide(replace(PLAY, address="198.51.100.1"), 0.0, {})).reason is Reason.FORBIDDEN
    assert isinstance(decides.decide(replace(PUBLISH, address="198.51.100.1"), 0.0, {}), Allowed)
    assert decides.guards(frozenset({Family.HLS}))


def test_the_callback_is_told_what_mediamtx_tells() -> None:
    request = replace(PLAY, query="token=t&user=u&pass=p", user_agent="curl")
    assert payload_of(question_of(request), "7") == {
        "user": "u",
        "password": "p",
        "token": "t",
        "ip": "192.0.2.7",
        "action": "read",
        "path": "live/cam",
        "protocol": "http-flv",
        "id": "7",
        "query": "token=t&user=u&pass=p",
        "userAgent": "curl",
    }
    assert question_of(PUBLISH).action == "publish"
    assert question_of(replace(PLAY, protocol="http-record")).action == "playback"


def test_what_the_callback_said_is_remembered_for_a_while() -> None:
    remembered, question = Remembered(yes_s=5.0, no_s=0.0), question_of(PLAY)
    remembered.keep(question, Answer.YES, 10.0)
    assert remembered.get(question, 14.9) is Answer.YES
    assert remembered.get(question, 15.0) is None
    remembered.keep(question, Answer.NO, 16.0)
    remembered.keep(question, Answer.NONE, 16.0)
    assert remembered.get(question, 16.0) is None


def test_what_is_remembered_is_bounded() -> None:
    remembered = Remembered(yes_s=5.0, no_s=5.0)
    for number in range(10_001):
        remembered.keep(question_of(replace(PLAY, query=str(number))), Answer.YES, 0.0)
    assert len(remembered) == 10_000
    assert remembered.get(question_of(replace(PLAY, query="0")), 0.0) is None


def test_a_server_that_fails_is_let_be_and_asked_again_once_a_pause() -> None:
    breaker = Breaker(2, 5.0)
    breaker.failed(0.0)
    assert breaker.may_ask(0.0)
    breaker.failed(1.0)
    assert not breaker.may_ask(5.9)
    assert breaker.may_ask(6.0)
    assert not breaker.may_ask(6.1)  # one question is under way
    breaker.answered()
    assert breaker.may_ask(6.2)


# between nodes


def test_a_pass_is_good_for_its_stream_its_address_and_its_time() -> None:
    passes = Passes((b"new", b"old"), 60)
    made = Passes((b"old",), 60).make(STREAM, "192.0.2.7", 1000.0)
    assert passes.is_good(made, STREAM, "192.0.2.7", 1059.0)
    assert not passes.is_good(made, STREAM, "192.0.2.7", 1060.0)
    assert not passes.is_good(made, STREAM, "192.0.2.8", 1000.0)
    assert not passes.is_good(made, StreamKey("live", "other"), "192.0.2.7", 1000.0)
    assert not passes.is_good("f" + made, STREAM, "192.0.2.7", 1000.0)
    assert not Passes((b"other",), 60).is_good(made, STREAM, "192.0.2.7", 1000.0)
    assert Passes((b"old",), 60, binds_address=False).make(STREAM, "a", 0.0) == Passes((b"old",), 60, binds_address=False).make(
        STREAM, "b", 0.0
    )


def test_what_an_edge_says_is_for_one_target_and_a_moment() -> None:
    headers, said = EdgeHeaders((b"key",)), FromEdge("2001:db8::1", True)
    text = headers.make("/hls/live/cam.m3u8", said, 1000.0)
    assert headers.read(text, "/hls/live/cam.m3u8", 1030.0) == said
    assert headers.read(text, "/hls/live/other.m3u8", 1030.0) is None
    assert headers.read(text, "/hls/live/cam.m3u8", 1061.0) is None
    assert headers.read(text.replace(" 1 ", " 0 "), "/hls/live/cam.m3u8", 1030.0) is None
    assert EdgeHeaders((b"other",)).read(text, "/hls/live/cam.m3u8", 1030.0) is None
    for junk in ("", "a b c", "x 1 a b", "zz 1 a " + "é"):
        assert headers.read(junk, "/", 0.0) is None


def test_that_an_edge_counts_a_player_is_said_beside_what_nodes_of_before_read() -> None:
    headers, target = EdgeHeaders((b"key",)), "/hls/live/cam.m3u8"
    plain, counted = (FromEdge("192.0.2.1", True, is_counted=is_counted) for is_counted in (False, True))
    assert headers.of(target, plain, 0.0) == {EDGE_HEADER: headers.make(target, plain, 0.0)}
    said = headers.of(target, counted, 0.0)
    assert headers.read(said[EDGE_HEADER], target, 0.0) == plain
    assert headers.read_all(said, target, 0.0) == counted
    for other in ("", "x", "é", EdgeHeaders((b"other",)).of(target, counted, 0.0)[COUNTED_HEADER]):
        assert headers.read_all({**said, COUNTED_HEADER: other}, target, 0.0) == plain
    assert headers.read_all({COUNTED_HEADER: said[COUNTED_HEADER]}, target, 0.0) is None


def test_address_lists_that_are_empty_guard_nothing() -> None:
    families = frozenset({Family.HLS, Family.RECORD})
    everywhere, not_there = (AddressList(Networks(()), Networks(denied)) for denied in ((), ("10.0.0.0/8",)))
    assert not Policy(addresses={Action.PLAY: everywhere}).guards(families)
    assert Policy(addresses={Action.PLAY: not_there}).guards(families)
