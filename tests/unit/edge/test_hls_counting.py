"""Which players of HLS an edge counts, and what it has them ask."""

from __future__ import annotations

import pytest

from lalmesh.names import StreamKey
from lalmesh.protocol.hls import parse_path
from lalmesh.runtime.hls_sessions import HlsPlayer, Players, SessionIds, session_in
from services.edge.answer_cache import Answer
from services.edge.hls_counting import LEFT_ALONE_S, AskAgain, Asked, Counted, Ended, HlsCounting, Uncounted

CAM = StreamKey("live", "cam")
IDS, THEIRS = SessionIds((b"of the cluster",)), SessionIds((b"hls.session.hash_key",), on_files=True)
PLAYLIST, INDEX, FILE = (Asked(parse_path(f"/hls/live/cam/{name}"), CAM) for name in ("live.m3u8", "index.m3u8", "1.1-1.ts"))


class Edge:
    """Counts, at a time that tests set."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.players = Players(30.0, lambda: self.now_s)
        self.counting = HlsCounting(IDS, self.players, lambda: self.now_s)

    def counted(self, asked: Asked, query: str) -> Counted:
        found = self.counting.decide(asked, query)
        assert isinstance(found, Counted)
        return found

    def redirected(self, counted: Counted, where: str) -> Uncounted | None:
        """What becomes of a request whose node redirects to `where`."""
        return self.counting.redirected(counted, Answer(status=302, headers={"Location": where}, body=b"", fetched_at=0.0))


@pytest.fixture
def edge() -> Edge:
    return Edge()


def test_a_first_playlist_is_asked_for_again_with_an_id_with_which_all_players_are_one_to_the_node(edge: Edge) -> None:
    again = edge.counting.decide(PLAYLIST, "a=1&_HLS_msn=7")
    assert isinstance(again, AskAgain)
    session_id, rest = session_in(again.query)
    assert (IDS.is_good(session_id, CAM), rest) == (True, "a=1&_HLS_msn=7")
    assert edge.counting.decide(PLAYLIST, again.query) == Counted(PLAYLIST, session_id, "a=1&_HLS_msn=7")


def test_who_is_answered_is_counted_with_what_it_got(edge: Edge) -> None:
    session_id = IDS.make(CAM)
    for asked, sent_bytes in ((PLAYLIST, 10), (FILE, 5)):
        counted = edge.counted(asked, f"session_id={session_id}")
        edge.counting.answered(counted, lambda: HlsPlayer(peer="192.0.2.1"), sent_bytes, ("h264",))
    (touch,) = edge.players.touches()
    assert (touch.id, touch.sent_bytes, touch.codecs) == (session_id, 15, ("h264",))
    assert touch.first_media_ms > 0


@pytest.mark.parametrize(("asked", "is_media"), [(INDEX, False), (PLAYLIST, True), (FILE, True)])
def test_the_first_media_of_a_player_is_what_has_or_names_some_first(edge: Edge, asked: Asked, *, is_media: bool) -> None:
    counted = edge.counted(asked, f"session_id={IDS.make(CAM)}")
    edge.counting.answered(counted, lambda: HlsPlayer(peer="192.0.2.1"), 10)
    (touch,) = edge.players.touches()
    assert (touch.first_media_ms > 0) is is_media


def test_files_without_an_id_and_ids_that_are_not_ours_go_on_as_they_came(edge: Edge) -> None:
    assert edge.counting.decide(FILE, "a=1") == Uncounted("a=1")
    for session_id in ("x", THEIRS.make(CAM), IDS.make(StreamKey("live", "other"))):
        for asked in (PLAYLIST, FILE):
            query = f"session_id={session_id}&a=1"
            assert edge.counting.decide(asked, query) == Uncounted(query)


def test_who_was_kicked_is_not_answered(edge: Edge) -> None:
    session_id = IDS.make(CAM)
    edge.players.kick([session_id])
    assert edge.counting.decide(PLAYLIST, f"session_id={session_id}") == Ended()


def test_a_multivariant_playlist_alone_gets_the_id(edge: Edge) -> None:
    session_id, text = IDS.make(CAM), b"#EXTM3U\nlive.m3u8\n"
    assert (
        edge.counted(INDEX, f"session_id={session_id}").for_player(text)
        == b"#EXTM3U\nlive.m3u8?session_id=%s\n" % session_id.encode()
    )
    assert edge.counted(PLAYLIST, f"session_id={session_id}").for_player(text) == text


def test_nodes_of_before_that_count_by_the_same_key_are_left_to_it_for_a_while(edge: Edge) -> None:
    query = f"a=1&session_id={IDS.make(CAM)}"
    counted = edge.counted(PLAYLIST, query)
    assert edge.redirected(counted, f"/hls/live/cam/live.m3u8?a=1&session_id={IDS.make(CAM)}") == Uncounted(query)
    assert edge.counting.decide(PLAYLIST, query) == Uncounted(query)
    assert isinstance(edge.counting.decide(PLAYLIST, ""), AskAgain), "an id of ours is good there"
    edge.now_s = LEFT_ALONE_S
    assert edge.counting.decide(PLAYLIST, query) == counted


def test_nodes_that_count_by_a_key_of_their_own_give_their_ids_and_are_asked_without_ours(edge: Edge) -> None:
    query, theirs = f"a=1&session_id={IDS.make(CAM)}", f"session_id={THEIRS.make(CAM)}"
    assert edge.redirected(edge.counted(PLAYLIST, query), f"/hls/live/cam/live.m3u8?{theirs}") is None
    assert edge.counting.decide(PLAYLIST, "a=1") == Uncounted("a=1")
    assert edge.counting.decide(PLAYLIST, query) == Uncounted("a=1")
    edge.now_s = LEFT_ALONE_S
    assert edge.counting.decide(PLAYLIST, theirs) == Uncounted(theirs), "whenever it is: they are players of theirs"


def test_a_redirection_about_something_else_is_the_players(edge: Edge) -> None:
    query = f"session_id={IDS.make(CAM)}"
    counted = edge.counted(PLAYLIST, query)
    assert edge.redirected(counted, "/hls/live/cam/live.m3u8?hls_pass=x") is None
    assert edge.counting.decide(PLAYLIST, query) == counted
