from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.protocol.http_auth import (
    MAX_HEADER_CHARS,
    BasicCredentials,
    ClientAuth,
    DigestCredentials,
    NonceMaker,
    Scheme,
    ServerAuth,
    Verdict,
    digest_response,
    parse_challenges,
    parse_credentials,
)
from lalmesh.protocol.http_auth._server import is_same_resource

URI = "rtsp://h/live/cam/trackID=0"
NOW_S = 1_700_000_000.0
SECRET = b"0123456789abcdef"
ALL = (Scheme.DIGEST_SHA256, Scheme.DIGEST_MD5, Scheme.BASIC)


def random_bytes(count: int) -> bytes:
    return bytes(range(count))


def server(*schemes: Scheme) -> ServerAuth:
    return ServerAuth("lalmesh", SECRET, schemes=schemes or ALL, nonce_lifetime_s=60)


def client(password: str = 's:e,c"r\\et', challenges: list[str] | None = None) -> ClientAuth:
    auth = ClientAuth('us"er', password, random_bytes)
    if challenges is not None:
        assert auth.challenged(challenges)
    return auth


def verdict(shown: str | None, *, at_s: float = NOW_S, uri: str = URI, method: str = "SETUP", by: str = "") -> Verdict:
    assert shown is not None
    credentials = parse_credentials(shown)
    return server().check(credentials, 's:e,c"r\\et', method=method, uri=uri, now_s=at_s, client=by)


RFC_7616 = {
    "user": "Mufasa",
    "realm": "http-auth@example.org",
    "password": "Circle of Life",
    "method": "GET",
    "uri": "/dir/index.html",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "qop": "auth",
    "nonce_count": "00000001",
    "client_nonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
}


def test_the_examples_of_rfc_7616_come_out() -> None:
    # RFC 7616 §3.9.1
    assert digest_response("MD5", **RFC_7616) == "8ca523f5e9506fed4657c9700eebdbec"
    assert digest_response("SHA-256", **RFC_7616) == "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


def test_the_example_of_rfc_2069_comes_out() -> None:
    # RFC 2069 §2.4, as its erratum 749 corrects it
    response = digest_response(
        "MD5",
        user="Mufasa",
        realm="testrealm@host.com",
        password="CircleOfLife",
        method="GET",
        uri="/dir/index.html",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
    )
    assert response == "1949323746fe6a43ef61f9606e7febea"


def test_the_example_of_basic_is_read() -> None:
    assert parse_credentials("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") == BasicCredentials("Aladdin", "open sesame")  # RFC 7617 §2


def test_challenges_in_one_header_and_in_several_are_told_apart() -> None:
    found = parse_challenges(['Digest realm="a, \\"b\\"", nonce=x , qop="auth,auth-int",Basic realm = "c"', "Negotiate", ""])
    assert [challenge.scheme for challenge in found] == ["digest", "basic", "negotiate"]
    assert found[0].parameters == {"realm": 'a, "b"', "nonce": "x", "qop": "auth,auth-int"}
    assert found[1].parameters == {"realm": "c"}


@pytest.mark.parametrize("header", ["Basic !", "Basic dXNlcg==", 'Digest username="a"', "Digest", "Digest ===,"])
def test_broken_credentials_are_an_error(header: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_credentials(header)


def test_other_schemes_and_algorithms_are_not_supported() -> None:
    shown = 'Digest username="a",realm="b",nonce="c",uri="d",response="e",algorithm='
    for header in ("Bearer abc", "", f"{shown}SHA-512-256", f"{shown}MD5-sess"):
        with pytest.raises(UnsupportedError):
            parse_credentials(header)


def test_a_header_has_a_bound() -> None:
    with pytest.raises(LimitExceeded):
        parse_credentials("Basic " + "a" * MAX_HEADER_CHARS)
    with pytest.raises(LimitExceeded):
        parse_challenges(["a" * (MAX_HEADER_CHARS + 1)])


@pytest.mark.parametrize("scheme", ALL)
def test_a_client_that_knows_the_password_is_let_in_by_each_scheme(scheme: Scheme) -> None:
    auth = client(challenges=server(scheme).challenges(NOW_S))
    assert verdict(auth.authorization("SETUP", URI)) is Verdict.ACCEPTED
    assert verdict(auth.authorization("SETUP", URI)) is Verdict.ACCEPTED


def test_a_client_prefers_the_strongest_scheme_wherever_it_stands() -> None:
    for challenges in (server().challenges(NOW_S), server().challenges(NOW_S)[::-1]):
        shown = client(challenges=challenges).authorization("SETUP", URI)
        assert shown is not None
        assert "algorithm=SHA-256" in shown


def test_a_client_answers_an_old_server_as_rfc_2069_has_it() -> None:
    shown = client(challenges=['Digest realm="IP Camera(12345)", nonce="abc"']).authorization("DESCRIBE", "rtsp://h/1")
    assert shown is not None
    assert shown.startswith('Digest username="us\\"er", realm="IP Camera(12345)", nonce="abc", uri="rtsp://h/1", response="')
    assert "algorithm" not in shown
    assert "cnonce" not in shown


def test_opaque_is_given_back_and_nonces_are_counted() -> None:
    auth = client(challenges=['Digest realm="r", nonce="n", qop="auth", opaque="o p"'])
    shown = [auth.authorization("OPTIONS", "*") or "" for _ in range(2)]
    assert all('opaque="o p"' in header for header in shown)
    assert ["nc=0000000" + digit in header for digit, header in zip("12", shown, strict=True)] == [True, True]


def test_nothing_is_shown_before_a_server_asks() -> None:
    assert client().authorization("DESCRIBE", URI) is None


def test_a_wrong_password_is_refused_and_not_tried_again() -> None:
    auth = client("wrong", server().challenges(NOW_S))
    assert verdict(auth.authorization("SETUP", URI)) is Verdict.REFUSED
    assert not auth.challenged(server().challenges(NOW_S))


def test_a_client_that_was_let_in_answers_a_new_challenge() -> None:
    auth = client(challenges=server().challenges(NOW_S))
    auth.authorization("DESCRIBE", URI)
    auth.accepted()
    assert auth.challenged(server().challenges(NOW_S + 100))


def test_an_unknown_scheme_is_no_reason_to_ask_again() -> None:
    for header in ('Digest realm="r", nonce="n", algorithm=SHA-512-256', "Negotiate", 'Digest nonce="n", qop="auth-int"', ""):
        assert not client().challenged([header])


def test_a_nonce_that_is_too_old_is_stale_and_the_client_asks_again() -> None:
    auth = client(challenges=server().challenges(NOW_S))
    late = NOW_S + 61
    assert verdict(auth.authorization("SETUP", URI), at_s=late) is Verdict.STALE
    assert auth.challenged(server().challenges(late, stale=True))
    assert verdict(auth.authorization("SETUP", URI), at_s=late) is Verdict.ACCEPTED


def test_a_nonce_that_is_not_ours_is_not_taken() -> None:
    # lal takes any nonce, realm and URI from the client's header
    foreign = ServerAuth("lalmesh", b"another secret!!", schemes=ALL).challenges(NOW_S)
    assert verdict(client(challenges=foreign).authorization("SETUP", URI)) is Verdict.STALE
    other_realm = ServerAuth("other", SECRET, schemes=ALL).challenges(NOW_S)
    assert verdict(client(challenges=other_realm).authorization("SETUP", URI)) is Verdict.REFUSED


def test_an_answer_is_good_for_one_client_method_and_resource() -> None:
    shown = client(challenges=server().challenges(NOW_S, "10.0.0.1")).authorization("SETUP", URI)
    assert verdict(shown, by="10.0.0.1") is Verdict.ACCEPTED
    assert verdict(shown, by="10.0.0.2") is Verdict.STALE
    assert verdict(shown, by="10.0.0.1", method="PLAY") is Verdict.REFUSED
    assert verdict(shown, by="10.0.0.1", uri="rtsp://h/live/other") is Verdict.REFUSED


def test_a_user_that_does_not_exist_is_refused_even_with_an_empty_password() -> None:
    for scheme in ALL:
        shown = client("", server(scheme).challenges(NOW_S)).authorization("SETUP", URI)
        assert shown is not None
        credentials = parse_credentials(shown)
        assert server().check(credentials, None, method="SETUP", uri=URI, now_s=NOW_S) is Verdict.REFUSED


def test_a_scheme_that_is_not_offered_is_refused() -> None:
    shown = base64.b64encode(b"u:p").decode()
    digest_only = server(Scheme.DIGEST_MD5)
    basic = parse_credentials(f"Basic {shown}")
    assert digest_only.check(basic, "p", method="PLAY", uri=URI, now_s=NOW_S) is Verdict.REFUSED


@pytest.mark.parametrize(
    ("said", "requested"),
    [
        ("rtsp://h/live/cam", "rtsp://h/live/cam/"),
        ("/live/cam", "rtsp://h/live/cam"),
        ("rtsp://10.0.0.1:554/live/cam?a=1&b=2", "rtsp://h/live/cam?a=1&b=2"),
        ("rtsp://h/live/a%20b", "rtsp://h/live/a b"),
        ("*", "*"),
    ],
)
def test_a_uri_may_be_written_in_the_ways_of_clients(said: str, requested: str) -> None:
    assert is_same_resource(said, requested, "DESCRIBE")


@pytest.mark.parametrize("said", ["rtsp://h/", "", "*", "rtsp://h/live/ca", "rtsp://h/live/cam/trackID=0", "rtsp://h/live/cam?x"])
def test_a_uri_of_something_else_is_not_taken(said: str) -> None:
    assert not is_same_resource(said, "rtsp://h/live/cam", "SETUP")


def test_that_of_a_presentation_is_good_for_setting_up_its_tracks_and_for_nothing_else_below() -> None:
    said = "rtsp://h/live/cam"
    assert is_same_resource(said, "rtsp://h/live/cam/trackID=0", "SETUP")
    assert not is_same_resource(said, "rtsp://h/live/cam/other/trackID=0", "SETUP")
    for method in ("DESCRIBE", "ANNOUNCE", "PLAY"):
        assert not is_same_resource(said, "rtsp://h/live/cam/other", method)


def test_after_an_answer_that_was_accepted_another_nonce_is_answered_once() -> None:
    auth = ClientAuth("user", "secret", random_bytes)
    assert auth.challenged(['Digest realm="cam", nonce="1"'])
    for nonce in ("2", "3"):
        assert auth.authorization("PLAY", URI)
        auth.accepted()
        assert auth.authorization("OPTIONS", URI)
        assert not auth.challenged(
            [f'Digest realm="cam", nonce="{int(nonce) - 1}", stale="FALSE"']
        )  # not liked, for all that we know
        assert auth.challenged([f'Digest realm="cam", nonce="{nonce}", stale="FALSE"'])
        assert f'nonce="{nonce}"' in (auth.authorization("OPTIONS", URI) or "")
        assert not auth.challenged(['Digest realm="cam", nonce="9", stale="FALSE"'])


def test_a_password_that_is_wrong_is_wrong_whatever_nonce_comes_and_basic_has_none() -> None:
    auth = ClientAuth("user", "wrong", random_bytes)
    auth.accepted()  # what asks for no credentials
    for challenge in ('Digest realm="cam", nonce="{}"', 'Basic realm="cam{}"'):
        assert auth.challenged([challenge.format(1)])
        assert auth.authorization("DESCRIBE", URI)
        assert not auth.challenged([challenge.format(2)])
        auth = ClientAuth("user", "right", random_bytes)
    assert auth.challenged(['Basic realm="cam"'])
    for _ in range(2):
        assert auth.authorization("PLAY", URI)
        auth.accepted()
    auth.authorization("OPTIONS", URI)
    assert not auth.challenged(['Basic realm="cam"'])


@given(st.floats(0, 4e9), st.text(), st.text())
def test_a_nonce_is_good_until_it_is_old_and_as_it_was_made(now_s: float, name: str, other: str) -> None:
    maker = NonceMaker(SECRET, lifetime_s=60)
    nonce = maker.make(now_s, name)
    assert maker.is_good(nonce, now_s + 59, name)
    assert not maker.is_good(nonce, now_s + 61, name)
    assert not maker.is_good(nonce, now_s - 11, name)
    assert maker.is_good(other, now_s, name) is (other == nonce)


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_user_and_password_get_through(user: str, password: str) -> None:
    for scheme in (Scheme.DIGEST_SHA256, Scheme.DIGEST_MD5):
        auth = ClientAuth(user, password, random_bytes)
        assert auth.challenged(server(scheme).challenges(NOW_S))
        credentials = parse_credentials(auth.authorization("PLAY", URI) or "")
        assert isinstance(credentials, DigestCredentials)
        if not set(user) & set("\r\n"):
            assert server().check(credentials, password, method="PLAY", uri=URI, now_s=NOW_S) is Verdict.ACCEPTED


@given(st.text(max_size=200))
def test_any_header_gives_challenges_and_credentials_or_a_documented_error(header: str) -> None:
    for challenge in parse_challenges([header]):
        auth = ClientAuth("u", "p", random_bytes)
        if auth.challenged([header]):
            assert challenge is not None
            assert auth.authorization("PLAY", URI)
    for start in ("", "Digest ", "Basic "):
        try:
            parse_credentials(start + header)
        except (RemoteProtocolError, UnsupportedError):
            continue
