"""Who may publish and play over RTSP: each defect of lal's there, and its absence here."""

from __future__ import annotations

import base64

from lalmesh.protocol.http_auth import ClientAuth, Scheme
from lalmesh.protocol.rtsp import Headers, Request, StreamPath
from lalmesh.runtime.sessions import SessionRole
from services.edge.rtsp_auth import MAX_WRONG, ConnectionAuth, RtspAuth
from services.edge.rtsp_link import AuthSettings

URI = "rtsp://host/live/cam"
CAM, OTHER = StreamPath("live", "cam", ""), StreamPath("live", "other", "")
ADDRESS = "10.0.0.1"
USERS = AuthSettings(publish_users={"alice": "in"}, play_users={"bob": "out"})
PUBLISHER, PLAYER = SessionRole.PUBLISHER, SessionRole.PLAYER


def connection(settings: AuthSettings = USERS, address: str = ADDRESS, secret: bytes = b"s" * 16) -> ConnectionAuth:
    return RtspAuth(settings, secret).connection(address)


def request(method: str = "ANNOUNCE", shown: str | None = None) -> Request:
    fields = (("Authorization", shown),) if shown is not None else ()
    return Request(method=method, uri=URI, headers=Headers(fields))


def user(name: str, password: str, challenges: list[str]) -> ClientAuth:
    auth = ClientAuth(name, password, bytes)
    assert auth.challenged(challenges)
    return auth


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_without_users_anybody_may() -> None:
    assert connection(AuthSettings()).challenges(request(), PUBLISHER, CAM) == []


def test_a_publisher_is_asked_too() -> None:
    auth = connection()
    challenges = auth.challenges(request(), PUBLISHER, CAM)
    assert [challenge.partition(" ")[0] for challenge in challenges] == ["Digest", "Digest"]
    assert "SHA-256" in challenges[0]
    assert "MD5" in challenges[1]
    alice = user("alice", "in", challenges)
    assert auth.challenges(request(shown=alice.authorization("ANNOUNCE", URI)), PUBLISHER, CAM) == []


def test_wrong_credentials_get_a_second_challenge_within_a_bound() -> None:
    auth = connection()
    for times in range(MAX_WRONG):
        assert (auth.wrong, auth.is_over) == (times, False)
        wrong = user("alice", "guess", auth.challenges(request(), PUBLISHER, CAM))
        assert auth.challenges(request(shown=wrong.authorization("ANNOUNCE", URI)), PUBLISHER, CAM)
    assert auth.is_over


def test_a_nonce_of_somebody_else_is_stale() -> None:
    foreign = user("alice", "in", connection(secret=b"t" * 16).challenges(request(), PUBLISHER, CAM))
    auth = connection()
    challenges = auth.challenges(request(shown=foreign.authorization("ANNOUNCE", URI)), PUBLISHER, CAM)
    assert all(challenge.endswith("stale=true") for challenge in challenges)
    assert (len(challenges), auth.wrong) == (2, 0)


def test_a_captured_answer_is_of_no_use_elsewhere() -> None:
    captured = user("alice", "in", connection().challenges(request(), PUBLISHER, CAM)).authorization("ANNOUNCE", URI)
    assert connection().challenges(request(shown=captured), PUBLISHER, CAM) == []
    assert connection(address="10.0.0.2").challenges(request(shown=captured), PUBLISHER, CAM)
    assert connection().challenges(request("DESCRIBE", captured), PUBLISHER, CAM)


def test_the_name_counts() -> None:
    auth = connection()
    mallory = user("mallory", "in", auth.challenges(request(), PUBLISHER, CAM))
    assert auth.challenges(request(shown=mallory.authorization("ANNOUNCE", URI)), PUBLISHER, CAM)


def test_who_may_play_may_not_publish() -> None:
    auth = connection()
    bob = user("bob", "out", auth.challenges(request("DESCRIBE"), PLAYER, CAM))
    shown = bob.authorization("DESCRIBE", URI)
    assert auth.challenges(request("DESCRIBE", shown), PLAYER, CAM) == []
    assert auth.challenges(request("ANNOUNCE"), PUBLISHER, CAM)


def test_what_was_allowed_holds_for_that_stream_on_that_connection() -> None:
    auth = connection(AuthSettings(play_users={"bob": "out"}, schemes=(Scheme.BASIC,)))
    assert auth.challenges(request("DESCRIBE", basic("bob", "out")), PLAYER, CAM) == []
    assert auth.challenges(request("SETUP"), PLAYER, CAM) == []
    assert auth.challenges(request("DESCRIBE"), PLAYER, OTHER) == ['Basic realm="lalmesh"']


def test_basic_is_not_taken_where_it_was_not_offered() -> None:
    assert connection().challenges(request(shown=basic("alice", "in")), PUBLISHER, CAM)


def test_credentials_that_do_not_parse_are_wrong() -> None:
    auth = connection()
    for shown in ("", "Digest", "Basic %%%", "Bearer x", "Digest username=alice"):
        assert auth.challenges(request(shown=shown), PUBLISHER, CAM)
    assert auth.wrong == 4  # the empty one shows nothing


def test_a_secret_is_not_shown() -> None:
    assert "out" not in repr(USERS)
