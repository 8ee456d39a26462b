"""Players counted by signed ids."""

from __future__ import annotations

from lalmesh.names import StreamKey
from services.hls.sessions import Players, is_session_id, new_session_id

CAM, OTHER = StreamKey("live", "cam"), StreamKey("live", "other")
KEY = b"0123456789abcdef"


def test_an_id_holds_for_its_stream_and_its_key_alone() -> None:
    made = new_session_id(CAM, KEY)
    assert is_session_id(made, CAM, KEY)
    assert not is_session_id(made, OTHER, KEY)
    assert not is_session_id(made, CAM, b"another key")
    assert made != new_session_id(CAM, KEY)


def test_made_up_ids_are_known_as_such() -> None:
    assert not any(is_session_id(text, CAM, KEY) for text in ("", "x", "é", "0" * 48, new_session_id(CAM, KEY)[:-1]))


def test_who_was_seen_is_told_once_with_what_was_sent() -> None:
    players = Players(30.0, lambda: 5.0)
    players.saw(CAM, "a", "192.0.2.1", 10)
    players.saw(CAM, "a", "192.0.2.1", 5)
    assert [(touch.id, touch.sent_bytes) for touch in players.touches()] == [("a", 15)]
    assert (players.touches(), len(players)) == ([], 1)


def test_who_asks_for_nothing_any_more_has_left() -> None:
    now = [0.0]
    players = Players(30.0, lambda: now[0])
    players.saw(CAM, "a", "192.0.2.1", 10)
    players.touches()
    now[0] = 31.0
    players.touches()
    assert len(players) == 0
