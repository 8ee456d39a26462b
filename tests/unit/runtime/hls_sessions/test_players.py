"""Players counted by signed ids."""

from __future__ import annotations

import pytest

from lalmesh.names import StreamKey
from lalmesh.runtime.hls_sessions import ENDED, KICKED_S, LEFT, HlsPlayer, Players, SessionIds, _players
from lalmesh.runtime.hls_sessions._players import WHOLE_WORDS
from lalmesh.runtime.sessions import SessionTouch
from lalmesh.runtime.telemetry import TraceContext

CAM, OTHER = StreamKey("live", "cam"), StreamKey("live", "other")
KEY = b"0123456789abcdef"
PLAYER = HlsPlayer(peer="192.0.2.1", url="http://a/hls/live/cam.m3u8", user_agent="VLC")


def test_an_id_holds_for_its_stream_and_its_key_alone() -> None:
    ids = SessionIds((KEY,))
    made = ids.make(CAM)
    assert ids.is_good(made, CAM)
    assert not ids.is_good(made, OTHER)
    assert not SessionIds((b"another key",)).is_good(made, CAM)
    assert made != ids.make(CAM)


def test_while_the_key_is_replaced_ids_of_both_hold_and_the_new_one_makes_them() -> None:
    both = SessionIds((b"the new key", KEY))
    assert both.is_good(SessionIds((KEY,)).make(CAM), CAM)
    assert SessionIds((b"the new key",)).is_good(both.make(CAM), CAM)


def test_made_up_ids_are_known_as_such() -> None:
    ids = SessionIds((KEY,))
    assert not any(ids.is_good(text, CAM) for text in ("", "x", "é" * 48, "0" * 48, ids.make(CAM)[:-1]))


def test_who_was_seen_is_told_once_with_what_was_sent() -> None:
    players = Players(30.0, lambda: 5.0)
    players.saw(CAM, "a", lambda: PLAYER, 10)
    players.saw(CAM, "a", lambda: PLAYER, 5)
    assert [(touch.id, touch.sent_bytes) for touch in players.touches()] == [("a", 15)]
    assert (players.touches(), len(players)) == ([], 1)


def test_who_asks_for_nothing_any_more_has_left() -> None:
    now = [0.0]
    players = Players(30.0, lambda: now[0])
    players.saw(CAM, "a", lambda: PLAYER, 10)
    players.touches()
    now[0] = 31.0
    assert not players.expire()
    assert len(players) == 0


class Watcher:
    def __init__(self) -> None:
        self.came: list[SessionTouch] = []
        self.left: list[tuple[str, str, int, int, str]] = []
        self.traces: list[TraceContext | None] = []

    def player_came(self, touch: SessionTouch, trace: TraceContext | None) -> None:
        self.came.append(touch)
        self.traces.append(trace)

    def player_left(self, touch: SessionTouch, sent_bytes: int, lasted_ms: int, reason: str, trace: TraceContext | None) -> None:
        self.left.append((touch.id, touch.url, sent_bytes, lasted_ms, reason))
        self.traces.append(trace)


def test_who_leaves_and_who_is_ended_is_told_of_with_all_that_it_got() -> None:
    now, watcher = [0.0], Watcher()
    players = Players(30.0, lambda: now[0], lambda: 100.0 + now[0])
    players.watcher = watcher
    for session_id in ("a", "b"):
        players.saw(CAM, session_id, lambda: PLAYER, 10)
        players.touches()
        players.saw(CAM, session_id, lambda: PLAYER, 5)
    players.kick(["b"])
    now[0] = 31.0
    players.expire()
    assert watcher.left == [("b", PLAYER.url, 15, 0, ENDED), ("a", PLAYER.url, 15, 31_000, LEFT)]
    assert (players.untold, [touch.id for touch in players.touches()]) == (1, ["b"])


def test_the_first_media_of_a_player_is_the_first_and_a_playlist_of_playlists_is_none() -> None:
    now = [0.0]
    players = Players(30.0, lambda: now[0], lambda: 100.0 + now[0])
    for now[0], is_media in ((0.0, False), (1.0, True), (2.0, True)):
        players.saw(CAM, "a", lambda: PLAYER, 10, is_media=is_media)
    assert [touch.first_media_ms for touch in players.touches()] == [1000]


def test_more_than_the_bound_are_answered_and_not_counted_and_of_the_kicked_the_oldest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_players, "MAX_SESSIONS", 2)
    players = Players(30.0, lambda: 0.0)
    for session_id in "abc":
        players.saw(CAM, session_id, lambda: PLAYER, 10)
    assert [players.knows(CAM, session_id) for session_id in "abc"] == [True, True, False]
    for session_id in "dedf":
        players.kick([session_id])
    assert [players.is_kicked(session_id) for session_id in "def"] == [True, False, True]


def test_who_is_here_is_told_of_again_whole_and_who_has_left_is_not() -> None:
    players, watcher = Players(30.0, lambda: 5.0), Watcher()
    players.watcher = watcher
    for session_id in ("a", "b"):
        players.saw(CAM, session_id, lambda: PLAYER, 10)
    players.touches()
    again = players.again()
    players.kick(["b"])
    for tell in again:
        tell()
    assert [(touch.id, touch.url) for touch in watcher.came] == [("a", PLAYER.url), ("b", PLAYER.url), ("a", PLAYER.url)]


def test_what_seldom_changes_is_told_once_and_again_where_it_was_not_heard() -> None:
    players = Players(30.0, lambda: 5.0, lambda: 100.0)
    players.saw(CAM, "a", lambda: PLAYER, 10, codecs=("h264",))
    (first,) = players.touches()
    assert (first.url, first.codecs, first.is_brief, first.opened_us) == (PLAYER.url, ("h264",), False, 100_000_000)
    players.saw(CAM, "a", lambda: PLAYER, 5, is_media=True)
    (later,) = players.touches()
    assert (later.url, later.is_brief, later.sent_bytes, later.first_media_ms) == ("", True, 5, 1)
    players.not_told([later])
    assert [(touch.url, touch.is_brief, touch.sent_bytes) for touch in players.touches()] == [(PLAYER.url, False, 5)]


def test_who_is_kicked_is_told_to_be_over_and_stays_so_for_a_while() -> None:
    now = [0.0]
    players = Players(30.0, lambda: now[0])
    players.saw(CAM, "a", lambda: PLAYER, 10)
    players.kick(["a", "elsewhere"])
    assert (players.is_kicked("a"), players.is_kicked("elsewhere"), players.is_kicked("b")) == (True, True, False)
    assert [(touch.id, touch.over) for touch in players.touches()] == [("a", True)]
    now[0] = KICKED_S
    assert not players.is_kicked("a")


def test_one_that_is_ended_while_it_waits_for_an_answer_does_not_come_back_with_it() -> None:
    players, watcher = Players(30.0, lambda: 5.0), Watcher()
    players.watcher = watcher
    for session_id in ("a", "b"):
        players.saw(CAM, session_id, lambda: PLAYER, 10)
    players.kick(["a"])
    players.end_those(lambda address: address == PLAYER.peer)
    for session_id in ("a", "b"):
        players.saw(CAM, session_id, lambda: PLAYER, 10)
    assert (len(players), [touch.id for touch in watcher.came]) == (0, ["a", "b"])
    assert [(touch.id, touch.over) for touch in players.touches()] == [("a", True), ("b", True)]


def test_players_of_a_blocked_address_are_over() -> None:
    players = Players(30.0, lambda: 0.0)
    players.saw(CAM, "a", lambda: PLAYER, 10)
    players.saw(CAM, "b", lambda: HlsPlayer(peer="192.0.2.2:9"), 10)
    players.end_those(lambda address: address == "192.0.2.2")
    assert [(touch.id, touch.over) for touch in players.touches()] == [("b", True), ("a", False)]


def test_what_a_player_said_in_other_bytes_can_be_told() -> None:
    client = HlsPlayer(peer="192.0.2.1", url="http://a\udcff/x", query="x=\udcff", user_agent="VLC \udce9")
    assert (client.url, client.query, client.user_agent) == ("http://a\ufffd/x", "x=\ufffd", "VLC \ufffd")


def test_other_codecs_are_told_and_no_word_of_them_changes_nothing() -> None:
    players = Players(30.0, lambda: 5.0)
    told = []
    for codecs in (("h264",), (), ("h265", "aac")):
        players.saw(CAM, "a", lambda: PLAYER, 10, codecs=codecs)
        told += [(touch.is_brief, touch.codecs) for touch in players.touches()]
    assert told == [(False, ("h264",)), (True, ()), (False, ("h265", "aac"))]


def test_now_and_then_everything_is_told_again() -> None:
    players = Players(30.0, lambda: 5.0)
    told = []
    for _ in range(2 * WHOLE_WORDS + 1):
        players.saw(CAM, "a", lambda: PLAYER, 10)
        told += [touch.is_brief for touch in players.touches()]
    assert [number for number, is_brief in enumerate(told) if not is_brief] == [0, WHOLE_WORDS, 2 * WHOLE_WORDS]


def test_who_asks_is_asked_once() -> None:
    asked: list[str] = []

    def player() -> HlsPlayer:
        asked.append("asked")
        return PLAYER

    players = Players(30.0, lambda: 5.0)
    for _ in range(3):
        players.saw(CAM, "a", player, 10)
    assert (asked, players.knows(CAM, "a"), players.knows(OTHER, "a")) == (["asked"], True, False)


def test_many_are_told_and_forgotten_by_and_by() -> None:
    now = [0.0]
    players = Players(30.0, lambda: now[0])
    for session_id in "abc":
        players.saw(CAM, session_id, lambda: PLAYER, 10)
    players.kick("a")
    assert [[touch.id for touch in players.touches(2)] for _ in range(2)] == [["a", "b"], ["c"]]
    now[0] = 20.0
    players.saw(CAM, "b", lambda: PLAYER, 10)
    now[0] = 31.0
    assert (players.expire(1), len(players), players.expire(1), players.knows(CAM, "b")) == (True, 1, False, True)


def test_what_is_told_of_a_player_is_bounded_and_has_no_secrets() -> None:
    made = HlsPlayer.asking("192.0.2.1", "https://a", "/hls/live/" + "x" * 2000, "token=1&a=2", "VLC" * 200)
    assert (made.protocol, made.query, len(made.url), len(made.user_agent)) == ("https-hls", "token=***&a=2", 1000, 250)


def test_how_long_the_first_media_took_and_why_players_are_over_is_counted() -> None:
    now = [0.0]
    players = Players(30.0, lambda: now[0], lambda: 100.0 + now[0])
    for session_id in ("a", "b"):
        players.saw(CAM, session_id, lambda: PLAYER, 10)
    now[0] = 2.0
    for _ in range(2):
        players.saw(CAM, "a", lambda: PLAYER, 10, is_media=True)
    assert (players.times.joins.count, players.times.joins.sum_s) == (1, 2.0)
    players.kick(["b"])
    now[0] = 40.0
    players.expire()
    assert players.times.left == {"client": 1, "ended": 1}
