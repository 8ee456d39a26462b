"""The benchmarks of the control plane show medians, the worst loss, and which samples are worthless."""

import asyncio
import itertools
import json
from argparse import Namespace
from types import ModuleType

import pytest

from bench import _deciding, _failover, _route_asking, _routing, cluster, edges, hls, link, routing, rtsp, sessions, telemetry
from bench._report import tables
from bench._rounds import Found
from bench._route_asking import Asker, Request


@pytest.mark.parametrize("module", [cluster, edges, hls, link, routing, rtsp, sessions, telemetry])
def test_each_case_says_what_limits_it_and_what_would_move_it(module: ModuleType) -> None:
    assert module.LIMITS.startswith("What limits it: ")
    assert "What would move it: " in module.LIMITS


def lost(streams: int, p50_s: float, worst_s: float, *, missing: int = 0, stuck: int = 0) -> _failover.Sample:
    return _failover.Sample(streams, p50_s, worst_s, worst_s, 0.5, missing, stuck, 60.0, 30.0, 40.0)


def test_a_loss_is_shown_by_its_median_and_the_worst_of_all_rounds() -> None:
    samples = [lost(100, 0.1, 0.3), lost(100, 0.2, 0.9, missing=2), lost(100, 0.3, 0.4)]
    assert _failover.row(samples) == ["100", "0.200", "0.400", "0.900", "0.50", "2", "60", "30", "40"]


def test_rates_are_shown_with_what_one_item_takes() -> None:
    samples = [_deciding.Rate(900, 1000, 90, 0), _deciding.Rate(1000, 800, 80, 0), _deciding.Rate(1100, 900, 99, 0)]
    assert cluster.rate_row("claim", samples) == ["claim", "1000", "900-1100", "900", "90"]


def test_streams_that_do_not_go_on_refusals_and_nodes_that_are_away_make_a_sample_worthless() -> None:
    assert lost(10, 0.1, 0.2).problem == ""
    assert lost(10, 0.1, 0.2, stuck=1).problem
    assert _deciding.Rate(900, 1000, 90, 3).problem
    assert at_rest(100, 50).problem == ""
    assert at_rest(100, 50, away=1).problem == "1 of 100 nodes were away"
    assert at_rest(100, 50, nodes_percent=97).problem == "the nodes took 97% of a core, and reported late"


def at_rest(nodes: int, percent: float, *, etcd: float = 2.0, nodes_percent: float = 40, away: int = 0) -> _deciding.Idle:
    return _deciding.Idle(nodes, nodes * 100, nodes * 300, percent, 100 + nodes, etcd, nodes_percent, away)


def test_clusters_of_any_size_have_as_many_of_each_kind_of_node_in_proportion() -> None:
    assert [_deciding.roles(nodes) for nodes in (5, 25, 50, 100)] == [(1, 1, 3), (2, 2, 21), (5, 5, 40), (10, 10, 80)]


REST = Namespace(streams=(), nodes=(100, 25, 50), each=100, rounds=2, seconds=5)


def test_what_a_cluster_takes_at_rest_is_a_line_and_a_point_for_each_number_of_nodes() -> None:
    found: Found[cluster.Sample] = Found(
        {
            "reports-25": [at_rest(25, 12, etcd=1), at_rest(25, 14, etcd=2)],
            "reports-50": [None, None],
            "reports-100": [at_rest(100, 48), None],
        }
    )
    [table] = tables("\n".join(cluster.sections(REST, found)))
    assert [row[:5] for row in table["rows"]] == [["100", "10000", "30000", "48", "48-48"], ["25", "2500", "7500", "13", "12-14"]]
    assert [row[-2:] for row in table["rows"]] == [["2.0", "40"], ["1.5", "40"]]
    [plot] = cluster.plots(REST, found)
    assert (plot.name, plot.x) == ("cluster", "nodes, 100 streams each")
    assert {each.label: each.points for each in plot.curves} == {
        "scheduler": [(25.0, 13.0), (100.0, 48.0)],
        "etcd": [(25.0, 1.5), (100.0, 2.0)],
    }
    assert cluster.plots(REST, Found())[0].is_empty


def test_every_number_of_nodes_is_measured_under_a_name_of_its_own() -> None:
    labels = [each.label for each in cluster.subjects(Namespace(**vars(REST) | {"streams": (10,)}))]
    assert labels == ["rates", "failover-10", "reports-100", "reports-25", "reports-50"]


def test_a_round_of_rates_is_worthless_with_any_of_them() -> None:
    well, ill = _deciding.Rate(900, 1000, 90, 0), _deciding.Rate(900, 1000, 90, 3)
    assert cluster.Rates({"claim": well, "locate": well}).problem == ""
    assert cluster.Rates({"claim": well, "locate": ill}).problem == "locate: 3 were refused"


def test_units_that_are_lost_with_an_origin_are_a_missed_bar() -> None:
    plan = Namespace(streams=(10, 100, 1000), nodes=(), rounds=2, seconds=5)
    found: Found[cluster.Sample] = Found(
        {
            "rates": [cluster.Rates({"claim": _deciding.Rate(900, 1000, 90, 0)}), None],
            "failover-10": [lost(10, 0.1, 0.2), lost(10, 0.1, 0.2)],
            "failover-100": [lost(100, 0.1, 0.2, missing=2), None],
            "failover-1000": [None, None],
        }
    )
    assert [each.verdict for each in cluster.judge(plan, found)] == ["met", "missed", "not measured"]
    tables = "\n".join(cluster.sections(plan, found))
    assert "claim" in tables
    assert "| 100 " in tables


def sent(*, wrong: int = 0, failed: int = 0, spread: float = 4.0) -> _routing.Found:
    return _routing.Found(
        asked_per_s=2000, routed=100, no_room=0, failed=failed, p50_ms=1, p99_ms=9, worst_ms=20, percent=60, changes={"join": 3},
        wrong={"drain": wrong}, overfull=0, spread_percent=spread, end_spread_percent=2.0, used_percent=42,
    )  # fmt: skip


def test_routes_are_judged_by_who_was_sent_wrong_and_how_evenly_edges_fill() -> None:
    plan = Namespace(full=(2, 100, 7), per_s=2000, seconds=40, calm_s=40, rounds=2, edges=24)
    found = Found({"full-2": [sent(), sent(spread=9)], "full-100": [sent(), sent(wrong=1, failed=2, spread=11.5)]})
    judged = routing.judge(plan, found)
    assert [each.verdict for each in judged] == ["met"] * 3 + ["missed"] * 3
    assert [each.found for each in judged[3:]] == [2, 1, 11.5]
    assert "6 join in 2 rounds" in routing.introduction(plan, found.of("full-2"))
    assert dict(zip(routing.HEAD, routing.row(2, found.of("full-2")), strict=True))["not answered"] == "0"


def steady(per_s: float, percent: float, *, p99_ms: float = 9.0, unanswered: int = 0, asking: float = 30) -> _routing.Steady:
    return _routing.Steady(
        answered_per_s=per_s, unanswered=unanswered, p50_ms=2, p99_ms=p99_ms, worst_ms=20, percent=percent, asking_percent=asking
    )


def test_what_routes_cost_is_a_line_and_a_point_for_each_rate_and_for_as_many_as_are_answered() -> None:
    plan = Namespace(full=(), rates=(500.0, 1000.0), rounds=2, steady_s=20)
    rates: Found[_routing.Steady] = Found(
        {
            "rate-500": [steady(500, 18), steady(500, 20, p99_ms=11, unanswered=1)],
            "rate-1000": [None],
            "rate-most": [steady(2800, 99), steady(2900, 97)],
        }
    )
    [table] = tables("\n".join(routing.sections(plan, Found(), rates)))
    first, last = (dict(zip(routing.STEADY_HEAD, line, strict=True)) for line in table["rows"])
    assert list(first.values()) == ["500 a second", "500", "1", "2.0", "10.0", "20", "19", "18-20", "380", "30"]
    assert (last["asked for"], last["answered a second"], last["us each"]) == ("64 at a time", "2850", "344")
    [plot] = routing.plots(rates)
    assert (plot.name, [each.points for each in plot.curves]) == ("routing", [[(500, 19), (2850, 98)]])
    assert routing.plots(Found())[0].is_empty


def test_routes_that_nobody_got_or_that_could_not_be_asked_faster_are_worthless() -> None:
    assert [each.problem for each in (steady(500, 20), steady(2800, 99, asking=96))] == ["", ""]
    assert steady(0, 20).problem == "nobody was sent anywhere"
    assert steady(2000, 70, asking=96).problem == "who asks has no more to give: 96% of a core"


def test_a_route_is_late_from_when_it_was_to_be_asked_and_whoever_got_none_is_counted() -> None:
    requests = [Request("/", due=1.0, answered=1.0 + ms / 1000, status=status) for ms, status in ((2, 200), (4, 200), (9, 503))]
    found = _routing.steady([*requests, Request("/", due=1.0)], 2.0, 50, 30)
    assert (found.answered_per_s, found.unanswered, found.us_each) == (1, 2, 500_000)
    assert [found.p50_ms, found.p99_ms, found.worst_ms] == pytest.approx([4, 9, 9])
    assert _routing.steady([Request("/", due=1.0)], 2.0, 50, 30).problem == "nobody was sent anywhere"


class Transport:
    """Of a connection that answers at once, where it does."""

    def __init__(self, connection: _route_asking._Connection, *, answers: bool = True) -> None:
        self.connection, self.answers = connection, answers
        connection.connection_made(self)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        if self.answers:
            body = json.dumps({"asked": data.split()[1].decode()}).encode()
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            asyncio.get_running_loop().call_soon(self.connection.data_received, answer)

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)


def asker(done: list[Request], *answers: bool) -> Asker:
    """With a connection for each, which answers or does not."""
    made = Asker("127.0.0.1", 1, done.append)
    for each in answers:
        connection = _route_asking._Connection(made)
        Transport(connection, answers=each)
        made._all.append(connection)
    made._free += made._all
    return made


def test_for_as_many_as_are_answered_each_connection_asks_again_with_its_answer() -> None:
    done: list[Request] = []

    async def ask() -> None:
        numbers = itertools.count()
        await asker(done, True, True).run_at_most(lambda: f"/{next(numbers)}", 0.0)

    asyncio.run(ask())
    assert [(each.path, each.status, each.body["asked"]) for each in done] == [(f"/{at}", 200, f"/{at}") for at in range(4)]
    assert all(each.due <= each.asked <= each.answered for each in done)


def test_what_has_no_answer_at_the_end_is_told_of_once_and_so_is_what_still_waits_for_a_connection() -> None:
    done: list[Request] = []

    async def ask() -> None:
        asking = asker(done, False)
        asking._ask(Request("/first", 1.0))
        asking._ask(Request("/second", 1.0))
        asking.close()
        await asyncio.sleep(0)

    asyncio.run(ask())
    assert [(each.path, each.status) for each in done] == [("/first", 0), ("/second", 0)]
