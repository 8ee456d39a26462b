"""What the benchmark of the client asks for, by every protocol, and what it holds the client to."""

from argparse import Namespace
from pathlib import Path

import pytest
from support.cluster import Node

from bench import _load, client
from bench._load import Usage
from bench._rounds import Found

PORTS = {"rtmp": 1935, "http": 8080, "https": 4433, "rtsp": 5544}
JUDGED = ["players-flv", "players-rtmp", "players-ts", "players-ws", "players-rtsp", "publishers"]
PLAN = Namespace(players=500, publishers=300)


@pytest.fixture
def node() -> Node:
    """One that nobody started."""
    node = object.__new__(Node)
    node._host, node._ports = "127.0.0.1", PORTS
    return node


def loading(client_percent: float, server_percent: float = 10) -> client.Sample:
    return client.Sample(500, Usage(0, 0, client_percent, 60), Usage(0, 0, server_percent, 120), client.Fared(10_000, 4.0))


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ("players-ts", "--players 500 --within 2.0 http://127.0.0.1:8080/live/client.ts"),
        ("players-ws", "--players 500 --within 2.0 ws://127.0.0.1:8080/live/client.flv"),
        ("players-rtsp", "--players 500 --within 2.0 rtsp://127.0.0.1:5544/live/client"),
        ("players-udp", "--rtsp-transport udp --players 200 --within 2.0 rtsp://127.0.0.1:5544/live/client"),
        ("players-https", "--insecure --players 200 --within 2.0 https://127.0.0.1:4433/live/client.flv"),
        ("players-hls", "--players 100 --within 2.0 http://127.0.0.1:8080/hls/live/client/index.m3u8"),
        ("publishers-rtsp", "--publish rtsp://127.0.0.1:5544/live/bench-{} --streams 300 --publish-within 2.0 --file bench.flv"),
        ("publishers", "--publish rtmp://127.0.0.1:1935/live/bench-{} --streams 300 --publish-within 2.0 --file bench.flv"),
    ],
)
def test_each_load_is_asked_for_by_its_protocol(node: Node, monkeypatch: pytest.MonkeyPatch, load: str, words: str) -> None:
    monkeypatch.setattr(client, "media", lambda name: Path(f"{name}.flv"))
    asked = client._asked(node, load, client.number(PLAN, load), 15.0)
    assert " ".join(asked) == f"--duration 15.0 {words}"


def test_few_come_where_each_takes_much_and_fewer_if_that_is_asked_for() -> None:
    assert [client.number(PLAN, load) for load in ("players-ws", "players-udp", "players-hls")] == [500, 200, 100]
    assert {client.number(Namespace(players=20, publishers=10), load) for load in client.LOADS} == {20, 10, client.DELAYED}


def test_the_same_load_is_made_in_c_where_the_program_can() -> None:
    assert [load for load, made_by in client.CLIENTS if made_by == client.IN_C] == [*JUDGED[:-1], "players-udp", JUDGED[-1]]
    assert {load for load, made_by in client.CLIENTS if made_by == client.OURS} == set(client.LOADS)


@pytest.mark.parametrize(
    ("load", "told"),
    [
        ("players-flv", ("http", "8080", "/live/client.flv")),
        ("players-rtmp", ("rtmp", "1935", "live", "client")),
        ("players-ts", ("http", "8080", "/live/client.ts")),
        ("players-ws", ("ws", "8080", "/live/client.flv")),
        ("players-rtsp", ("rtsp", "5544", "/live/client")),
        ("players-udp", ("rtsp-udp", "5544", "/live/client")),
    ],
)
def test_players_in_c_are_told_what_the_client_is(
    node: Node, monkeypatch: pytest.MonkeyPatch, load: str, told: tuple[str, ...]
) -> None:
    plays: list[tuple[object, ...]] = []
    monkeypatch.setattr(_load, "play", lambda *given: plays.append(given))
    client._started(node, load, client.IN_C, 500, (15.0, 4.0), Path("client.log"))
    assert plays == [(told, 500, 15.0, 4.0, Path("client.log"))]


def test_only_who_lets_the_kernel_drop_every_byte_is_held_to_the_server() -> None:
    found = Found({client.label(load, client.OURS): [loading(9)] for load in client.LOADS if load != client.DELAY})
    judged = client.judge(found, dict.fromkeys(client.LOADS, 200))
    assert [each.what for each in judged] == [
        f"lalmesh bench, 200 {client.LOADS[load].shown}: processor time" for load in client.LOADS if load in JUDGED
    ]
    assert {(each.found, each.bar) for each in judged} == {(0.9, client.MOST_TIMES_SERVER)}
    assert [client.row(load, client.OURS, found)[0] for load in ("players-hls", "publishers-rtsp")] == [
        "players, low-latency HLS",
        "publishers, RTSP, interleaved",
    ]


def test_a_server_shows_a_certificate_only_where_it_is_asked_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "self_signed", lambda folder: folder / "edge.pem")
    certificate = str(tmp_path / "edge.pem")
    assert client._settings("players-https", tmp_path) == {"edge.tls.cert_file": certificate, "edge.tls.key_file": certificate}
    assert [client._settings(load, tmp_path) for load in client.LOADS if load != "players-https"] == [{}] * (len(client.LOADS) - 1)


def test_players_whose_bytes_count_by_the_piece_may_miss_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "stream_kbps", lambda: 10_000)
    report = {"publishers": None, "players": [{"lowest_bps": 8_500_000}], "client": {"late_ms": {"p99": 7.0}}, "faults": []}
    assert client.of_report(report).problem == "one session had 8500 kbit/s of 10000"
    assert client.of_report(report, client.LOADS[client.HLS].least_share).problem == ""
