"""Players of HLS of a load: they ask as players do, stall where they have nothing to play, and no server keeps a run waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from support.http_thread import HttpThread, QuietHandler

from lalmesh.client import ClientOptions
from lalmesh.client.load._crowd import Crowd
from lalmesh.client.load._hls_player import HlsPlayer

QUICK = ClientOptions(connect_timeout_s=0.6, handshake_timeout_s=0.4, first_media_timeout_s=0.4)
PATIENT = ClientOptions(connect_timeout_s=30, handshake_timeout_s=30, first_media_timeout_s=30)
LIMIT_S = 30.0
WATCHED_S = 7.0
SLACK_S = 0.2  #: of a thread of the server on a busy machine

Answer = tuple[int, str]


@dataclass
class Pieces:
    """A playlist of segments, each of which is there from its time on."""

    target: int
    piece_s: float
    late_s: dict[int, float] = field(default_factory=dict)  #: of some
    began_s: float = field(default_factory=time.monotonic)

    def answer(self, path: str) -> Answer:
        """What is told now."""
        if path.endswith(".ts"):
            return 200, "media"
        now_s = time.monotonic() - self.began_s
        last = max(
            n for n in range(-3, 100) if n * self.piece_s + self.late_s.get(n, 0.0) - 0.02 <= now_s and n <= self._bound(now_s)
        )
        listed = range(last - 2, last + 1)
        lines = "".join(f"#EXTINF:{self.piece_s},\n{n + 3}.ts\n" for n in listed)
        return 200, f"#EXTM3U\n#EXT-X-TARGETDURATION:{self.target}\n#EXT-X-MEDIA-SEQUENCE:{listed[0] + 3}\n{lines}"

    def _bound(self, now_s: float) -> int:
        """A segment that is late keeps those behind it back."""
        return min((n - 1 for n, late_s in self.late_s.items() if now_s < n * self.piece_s + late_s), default=100)


@dataclass(frozen=True)
class Asked:
    """What was asked for, and what was said."""

    at_s: float
    path: str
    text: str


def handler_of(answer: Callable[[str], Answer], asked: list[Asked]) -> type[QuietHandler]:
    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802 - its name
            at_s = time.monotonic()
            status, text = answer(self.path)
            asked.append(Asked(at_s, self.path, text))
            self.answer(status, text.encode())

    return Handler


async def played(
    answer: Callable[[str], Answer], for_s: float, *, options: ClientOptions = PATIENT
) -> tuple[HlsPlayer, list[Asked]]:
    """A player that was there for so long, or until it was refused or lost; what it asked for."""
    asked: list[Asked] = []
    with HttpThread(handler_of(answer, asked)) as server:
        crowd = Crowd(options, None, udp=False, stall_s=0.1)
        player = HlsPlayer(f"{server.root}/a.m3u8", 0, crowd, looks=False)
        task = asyncio.ensure_future(player.run())
        await asyncio.wait([task], timeout=for_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        crowd.close()
    return player, asked


async def test_pieces_that_come_in_time_are_no_stalls_wherever_polls_fall() -> None:
    servers = [
        Pieces(1, 1.0, {3: 0.1, 4: -0.1}),
        Pieces(1, 1.4),  # rounded down, as RFC 8216 §4.3.3.1 allows
        Pieces(2, 1.0),
        Pieces(1, 0.5),
    ]
    found = await asyncio.gather(*(played(server.answer, WATCHED_S) for server in servers))
    assert [(player.flow.stalls, player.faults, player.lost) for player, _ in found] == [(0, {}, "")] * len(servers)
    for server, (_, asked) in zip(servers, found, strict=True):
        polls = [one for one in asked if one.path.endswith(".m3u8")]
        assert len(polls) > WATCHED_S / server.target / 2
        is_new = [True, *(before.text != after.text for before, after in pairwise(polls))]
        for (before, after), has_changed in zip(pairwise(polls), is_new, strict=False):  # RFC 8216 §6.3.4
            assert after.at_s - before.at_s > server.target * (1.0 if has_changed else 0.5) - SLACK_S


async def test_a_piece_that_is_late_is_no_stall_as_long_as_those_before_it_last() -> None:
    late = [Pieces(1, 1.0, {3: 1.0}), Pieces(2, 1.0, {3: 1.0}), Pieces(1, 0.5, {5: 1.0})]
    found = await asyncio.gather(*(played(server.answer, WATCHED_S) for server in late))
    assert [player.flow.stalls for player, _ in found] == [0, 0, 0]
    assert all(player.flow.longest_s > 1.3 for player, _ in found)


async def test_a_player_that_has_nothing_to_play_stalls() -> None:
    late = [Pieces(1, 1.0, {3: 3.2}), Pieces(1, 1.0, {3: 100.0})]
    found = await asyncio.gather(*(played(server.answer, WATCHED_S) for server in late))
    assert [player.flow.stalls for player, _ in found] == [1, 1]
    assert all(player.flow.longest_s > 3.0 for player, _ in found)


EMPTY = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"
NEVER: dict[str, tuple[Callable[[str], Answer], str]] = {
    "no segment": (lambda path: (200, EMPTY), "no first media within 0.8 s"),
    "no segment is there": (
        lambda path: (404, "") if path.endswith(".ts") else (200, f"{EMPTY}#EXTINF:1,\n{int(time.monotonic())}.ts\n"),
        "no first media within 0.8 s",
    ),
    "it names itself": (lambda path: (200, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n"), "multivariant"),
    "what goes before media is not there": (
        lambda path: (404, "") if "init" in path else (200, f'{EMPTY}#EXT-X-MAP:URI="init.mp4"\n#EXTINF:1,\n0.m4s\n'),
        "no first media within 0.8 s",
    ),
}


@pytest.mark.parametrize(("answer", "said"), NEVER.values(), ids=NEVER)
async def test_a_player_that_never_gets_media_is_refused_in_time(answer: Callable[[str], Answer], said: str) -> None:
    player, asked = await played(answer, LIMIT_S, options=QUICK)
    assert player.settled.is_set()
    assert said in player.refused
    assert len(asked) < 20


async def test_a_playlist_that_does_not_block_though_it_says_so_is_not_asked_for_all_the_time() -> None:
    def answer(path: str) -> Answer:
        if ".m3u8" not in path:
            return 200, "part"
        control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-PART-INF:PART-TARGET=0.5\n"
        return 200, EMPTY + control + '#EXT-X-PART:DURATION=0.5,URI="p",INDEPENDENT=YES\n'

    player, asked = await played(answer, 2.0)
    assert player.joined_s is not None
    assert len(asked) < 15


async def test_media_that_are_gone_are_faults() -> None:
    pieces = Pieces(1, 0.5)

    def answer(path: str) -> Answer:
        return (404, "") if path.endswith("5.ts") else pieces.answer(path)

    player, _ = await played(answer, 3.0)
    assert player.faults == {"HTTP 404 for media": 1}
