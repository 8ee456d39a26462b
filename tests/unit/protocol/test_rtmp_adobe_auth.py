from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.protocol.rtmp import AdobeAuth, RtmpClient, RtmpServer, RtmpUrl
from lalmesh.protocol.rtmp._events import Connected

NEEDED = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : "
ASKED = "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=cam&salt=sa+lt==&challenge=chal&opaque="
#: Of cam, pw, that salt, opaque ``opq=`` or challenge, and 01020304 of ours, as openssl has them: base64(md5(S opq= ours)), where S
#: is base64(md5(cam salt pw)).
WITH_OPAQUE = "J40xqyxbnZkOGfBIQNrbSQ=="
WITHOUT_OPAQUE = "HAJADIWjc3L+/Hq6eUkpLg=="


def auth() -> AdobeAuth:
    return AdobeAuth("cam", "pw", lambda count: bytes(range(1, count + 1)))


def test_who_is_asked_to_log_in_says_its_name_first() -> None:
    one = auth()
    assert one.challenged(NEEDED)
    assert one.query == "authmod=adobe&user=cam"


def test_a_challenge_is_answered_with_the_digest_of_name_salt_password_and_opaque() -> None:
    one = auth()
    assert one.challenged(NEEDED)
    assert one.challenged(ASKED + "opq=")
    assert one.query == f"authmod=adobe&user=cam&challenge=01020304&response={WITH_OPAQUE}&opaque=opq="


def test_without_an_opaque_the_challenge_takes_its_place() -> None:
    one = auth()
    assert one.challenged(ASKED)
    assert one.query == f"authmod=adobe&user=cam&challenge=01020304&response={WITHOUT_OPAQUE}"


def test_who_is_told_that_it_was_wrong_does_not_ask_again() -> None:
    one = auth()
    assert one.challenged(NEEDED)
    assert one.challenged(ASKED)
    assert not one.challenged("[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed&opaque=opq=")
    assert not one.challenged(NEEDED)


def test_a_server_that_never_has_enough_is_left() -> None:
    one = auth()
    assert sum(one.challenged(ASKED) for _ in range(10)) == 3


def test_other_refusals_are_none_of_its_business() -> None:
    assert not auth().challenged("Connection rejected.")
    assert not auth().challenged("[ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : ")


@given(st.text(max_size=200))
def test_any_description_is_an_answer_or_none(text: str) -> None:
    one = auth()
    assert one.challenged(f"authmod=adobe{text}") == bool(one.query)


def test_the_answer_goes_into_application_and_tc_url() -> None:
    client = RtmpClient(RtmpUrl.parse("rtmp://cam:pw@h/live/a?key=1"), "publish", bytes, app_query="authmod=adobe&user=cam")
    server = RtmpServer(bytes)
    found: list[Connected] = []
    for _ in range(4):
        found += [event for event in server.feed(client.data_to_send()) if isinstance(event, Connected)]
        list(client.feed(server.data_to_send()))
    [connected] = found
    assert (connected.app, connected.query) == ("live", "authmod=adobe&user=cam")
    assert connected.tc_url == "rtmp://h/live?authmod=adobe&user=cam"


def test_members_that_a_relay_adds_arrive() -> None:
    client = RtmpClient(RtmpUrl.parse("rtmp://h/live/a"), "play", bytes, said={"lalmeshRelay": "a~1, b~2"})
    server = RtmpServer(bytes)
    found: list[Connected] = []
    for _ in range(4):
        found += [event for event in server.feed(client.data_to_send()) if isinstance(event, Connected)]
        list(client.feed(server.data_to_send()))
    assert found[0].relay == "a~1, b~2"
