"""Where a player of HLS asks for what, once its server has moved or begun again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.virtual_time import in_virtual_time

from lalmesh.client import ClientOptions
from lalmesh.client.load import _hls_player
from lalmesh.client.load._crowd import Crowd
from lalmesh.client.load._hls_player import HlsPlayer
from lalmesh.client.load._http_asking import HttpAnswer
from lalmesh.client.load._http_reading import HttpUrl

LAST = "#EXT-X-ENDLIST\n"
PARTS = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-PART-INF:PART-TARGET=0.5\n"

Said = str | int | tuple[str, str]  #: a body, a status without one, or where it was answered and a body


def listed(first: int, *, head: str = "", end: str = "") -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{head}#EXT-X-MEDIA-SEQUENCE:{first}\n#EXTINF:1,\n{first}.ts\n{end}"


class Server:
    """Gives playlists in turn, and whatever media are asked for."""

    def __init__(self, *playlists: Said) -> None:
        self._playlists = iter(playlists)
        self.asked: list[str] = []

    def __call__(self, dialler: object) -> Server:
        return self

    async def get(self, url: HttpUrl, *, keep_bytes: int, limit_s: float) -> HttpAnswer:
        self.asked.append(str(url))
        if ".m3u8" not in url.path:
            return HttpAnswer(url, 200, "OK", b"", 5)
        said = next(self._playlists)
        if isinstance(said, int):
            return HttpAnswer(url, said, "No", b"", 0)
        where, text = (str(url), said) if isinstance(said, str) else said
        return HttpAnswer(HttpUrl.parse(where), 200, "OK", text.encode(), len(text))

    def close(self) -> None:
        """Nobody asks any more."""


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., HlsPlayer]:
    """Play what a server says until its playlist is over."""

    def played(server: Server) -> HlsPlayer:
        monkeypatch.setattr(_hls_player, "HttpAsking", server)
        players: list[HlsPlayer] = []

        @in_virtual_time
        async def run() -> None:
            crowd = Crowd(ClientOptions(), None, udp=False, stall_s=1.0)
            try:
                players.append(HlsPlayer("http://h/a.m3u8", 0, crowd, looks=False))
                await players[0].run()
            finally:
                crowd.close()

        run()
        return players[0]

    return played


Play = Callable[[Server], HlsPlayer]


def test_what_a_playlist_lists_is_where_it_was_answered(play: Play) -> None:
    server = Server(listed(0), ("http://other:81/b/a.m3u8", listed(1)), listed(2, end=LAST))
    play(server)
    assert server.asked == [
        "http://h/a.m3u8",
        "http://h/0.ts",
        "http://h/a.m3u8",
        "http://other:81/b/1.ts",
        "http://h/a.m3u8",
        "http://h/2.ts",
    ]


def test_a_server_that_knows_no_such_part_is_asked_for_its_playlist_as_it_is(play: Play) -> None:
    server = Server(listed(100, head=PARTS), 400, listed(0, head=PARTS, end=LAST))
    player = play(server)
    asked = [path.partition("http://h/")[2] for path in server.asked]
    assert asked == ["a.m3u8", "100.ts", "a.m3u8?_HLS_msn=101&_HLS_part=0", "a.m3u8", "0.ts"]
    assert player.faults == {"HTTP 400 for a playlist": 1, "numbers of segments began again": 1}


def test_what_goes_before_media_is_read_again_where_numbers_begin_again(play: Play) -> None:
    map_tag = '#EXT-X-MAP:URI="init.mp4"\n'
    server = Server(*(listed(first, head=map_tag) for first in (100, 101)), listed(0, head=map_tag, end=LAST))
    play(server)
    assert [path.rpartition("/")[2] for path in server.asked if ".m3u8" not in path] == [
        "init.mp4",
        "100.ts",
        "101.ts",
        "init.mp4",
        "0.ts",
    ]


def test_a_playlist_that_ends_before_anything_came_is_no_loss(play: Play) -> None:
    player = play(Server("#EXTM3U\n#EXT-X-TARGETDURATION:1\n" + LAST))
    assert (player.refused, player.lost) == ("end of the playlist", "")
    player = play(Server(listed(0, end=LAST)))
    assert (player.refused, player.lost) == ("", "end of the playlist")
