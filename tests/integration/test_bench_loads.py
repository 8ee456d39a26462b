"""What loads a server in benchmarks does what it says, and notices what it has to: players that stall, publishers not let in."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster import Standalone
from support.media import media
from support.process import Child

from bench import _load

STREAMS = 3
FILE = "h264_aac"
KBPS = 515.0  #: of that file
WARM_UP_S, COUNTED_S = 1.0, 2.0
LIMIT_S = 40.0
REFUSED = r"no NetStream\.Publish\.Start from the server, but: .*NetStream\.Publish\.BadName"
LONG_S = 600.0  #: that players would stay, were they not asked to end
AT_ONCE_S = 20.0
STALL_S = 1.5  #: more than `STALL_S` of players.c


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    with Standalone(tmp_path_factory.mktemp("node")) as started:
        yield started


def players(node: Standalone, kind: str, number: int, seconds: float, log: Path) -> Child:
    port = node.ports["rtmp" if kind == "rtmp" else "http"]
    path = {"rtmp": ("live", "bench-%d"), "ws": ("/live/bench-%d.flv",), "http": ("/live/bench-%d.ts",)}[kind]
    return _load.play((kind, str(port), *path), number, seconds, WARM_UP_S, log, streams=STREAMS)


def test_publishers_and_players_of_their_streams(node: Standalone, tmp_path: Path) -> None:
    with _load.publish(node.ports["rtmp"], STREAMS, 0, 0.5, media(FILE), tmp_path / "publishers.log") as load:
        _load.wait_published(load, LIMIT_S)
        crowds = [players(node, kind, 5, WARM_UP_S + COUNTED_S, tmp_path / f"{kind}.log") for kind in ("rtmp", "ws", "http")]
        got = [_load.played(crowd, LIMIT_S) for crowd in crowds]
        load.terminate()
        sent = _load.published(load, LIMIT_S)
    assert [(each.players, each.closed) for each in got] == [(5, 0)] * 3
    assert min(each.lowest_kbps for each in got) > 0.7 * KBPS
    assert (sent.publishers, sent.closed) == (STREAMS, 0)
    assert sent.lowest_kbps == pytest.approx(KBPS, rel=0.2)


def test_players_notice_that_a_server_stands_still(node: Standalone, tmp_path: Path) -> None:
    with _load.publish(node.ports["rtmp"], STREAMS, 0, 0, media(FILE), tmp_path / "publishers.log") as load:
        _load.wait_published(load, LIMIT_S)
        crowd = players(node, "ws", 4, WARM_UP_S + COUNTED_S + STALL_S, tmp_path / "ws.log")
        _load.wait_playing(crowd, LIMIT_S)
        time.sleep(WARM_UP_S + 0.5)  # what they get from now on counts
        node.pause()
        time.sleep(STALL_S)
        node.resume()
        got = _load.played(crowd, LIMIT_S)
    assert (got.stalled, got.closed) == (4, 0)
    assert got.longest_gap_ms > 1000 * STALL_S - 200


@pytest.mark.parametrize("kind", ["rtmp", "ws"])
def test_players_that_are_asked_to_end_do_so_at_once_and_tell_what_they_got(node: Standalone, tmp_path: Path, kind: str) -> None:
    with _load.publish(node.ports["rtmp"], STREAMS, 0, 0, media(FILE), tmp_path / "publishers.log") as load:
        _load.wait_published(load, LIMIT_S)
        crowd = players(node, kind, 4, LONG_S, tmp_path / f"{kind}.log")
        _load.wait_playing(crowd, LIMIT_S)
        time.sleep(WARM_UP_S + COUNTED_S)
        crowd.terminate()
        got = _load.played(crowd, AT_ONCE_S)
    assert (got.players, got.closed, got.stalled) == (4, 0, 0)
    assert got.lowest_kbps > 0.7 * KBPS


def test_players_that_are_asked_to_end_know_who_was_closed_before(tmp_path: Path) -> None:
    with (
        Standalone(tmp_path, name="dying") as server,
        _load.publish(server.ports["rtmp"], STREAMS, 0, 0, media(FILE), tmp_path / "publishers.log") as load,
    ):
        _load.wait_published(load, LIMIT_S)
        with players(server, "http", 3, LONG_S, tmp_path / "http.log") as crowd:
            _load.wait_playing(crowd, LIMIT_S)
            server.kill()
            time.sleep(0.5)
            crowd.terminate()
            got = _load.played(crowd, AT_ONCE_S)
    assert (got.players, got.closed) == (3, 3)


def test_publishers_that_are_not_let_in_say_what_they_were_told(node: Standalone, tmp_path: Path) -> None:
    with _load.publish(node.ports["rtmp"], 1, 0, 0, media(FILE), tmp_path / "first.log") as first:
        _load.wait_published(first, LIMIT_S)
        second = _load.publish(node.ports["rtmp"], 1, 0, 0, media(FILE), tmp_path / "second.log")
        with second, pytest.raises(AssertionError, match=REFUSED):
            _load.wait_published(second, LIMIT_S)
