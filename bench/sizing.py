"""``python -m bench.sizing``: write what a load takes into docs/sizing.md, worked out from the figures of docs/performance.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench._report import PAGE as MEASURED
from bench._report import ROOT, table, tables
from lalmesh.runtime.marked import with_marked

PAGE = ROOT / "docs" / "sizing.md"
BEGIN, END = "<!-- sizing: begin, written by python -m bench.sizing -->", "<!-- sizing: end -->"
HEAD = ("load", "% of a core", "whose", "measured by")
NUMBER = re.compile(r"\d[\d,]*")
PLAYERS = 1000  #: that processor time is told of

Row = Mapping[str, str]


class NotMeasured(LookupError):
    """The page has no such figure."""


@dataclass(slots=True, frozen=True)
class Section:
    """What one benchmark has written."""

    name: str
    title: str
    rows: tuple[Row, ...]  #: of all its tables

    def row(self, **wanted: str) -> Row:
        """The row that has these cells.

        Raises:
            NotMeasured: there is none.
        """
        for row in self.rows:
            if all(row.get(column.replace("_", " ")) == cell for column, cell in wanted.items()):
                return row
        raise NotMeasured(f"docs/performance.md has no row of {self.name} with {wanted}")

    def players(self, row: Row) -> float:
        """How many players a row is of: it says so, or the title does for all.

        Raises:
            NotMeasured: neither does.
        """
        told = row.get("players", "")
        found = [told] if NUMBER.fullmatch(told) else re.findall(rf"({NUMBER.pattern}) players", self.title)
        if not found:
            raise NotMeasured(f"docs/performance.md does not say how many players {dict(row)} of {self.name} has")
        return float(found[0].replace(",", ""))


def sections(text: str) -> dict[str, Section]:
    """What is in the page, by benchmark."""
    found = re.findall(r"^<!-- (\w+): written by .*? -->\n(?:## ([^\n]*)\n)?(.*?)^<!-- /\1 -->$", text, re.M | re.S)
    return {name: Section(name, title, tuple(_rows(body))) for name, title, body in found}


def _rows(body: str) -> Iterator[Row]:
    for found in tables(body):
        yield from (dict(zip(found["head"], row, strict=True)) for row in found["rows"])


def number(row: Row, column: str) -> float:
    """A cell as a number.

    Raises:
        NotMeasured: there is none.
    """
    try:
        return float(row[column].replace(",", ""))
    except (KeyError, ValueError):
        raise NotMeasured(f"no number in the column {column!r} of {dict(row)}") from None


def loads(measured: Mapping[str, Section]) -> Iterator[tuple[str, str, str, str]]:
    """Each load, and what it takes."""
    fanout, rtsp, link, hls = (measured[name] for name in ("fanout", "rtsp", "link", "hls"))
    cluster, sessions, routing = (measured[name] for name in ("cluster", "sessions", "routing"))
    percent = "% of a core"
    for protocol, gathered in (("HTTP-FLV", "100 ms"), ("RTMP", "100 ms"), ("HTTP-FLV", "0 ms"), ("RTMP", "0 ms")):
        row = fanout.row(server="lalmesh", protocol=protocol, gathered=gathered, players=str(PLAYERS))
        how = "each frame at once" if gathered == "0 ms" else f"gathered {gathered}"
        each = number(row, percent) / fanout.players(row)
        yield f"{PLAYERS:,} players by {protocol}, {how}", _shown(each * PLAYERS), "edge", "fanout"
    for players in ("RTSP, interleaved", "RTSP, UDP"):
        row = rtsp.row(players=players)
        yield f"{rtsp.players(row):,.0f} players by {players}, each frame at once", _shown(number(row, percent)), "edge", "rtsp"
    row = link.row(streams="100", flush="default")
    yield "100 streams to another node", _shown(number(row, "sender %")), "the node that sends", "link"
    yield "100 streams from another node", _shown(number(row, "receiver %")), "the node that receives", "link"
    for format_ in ("TS", "fMP4, low latency", "both"):
        each = number(hls.row(segments=format_, streams="50"), "+ % a stream")
        yield f"100 streams cut into segments, {format_}", _shown(each * 100), "hls node", "hls"
    for what, of in (("TS playlist", "edge"), ("low-latency playlist", "edge"), ("part", "edge"), ("TS segment", "edge")):
        each = number(hls.row(asked_for=what, of=of), "us an answer")
        yield f"1,000 answers a second, {what}", _shown(each / 10), "edge", "hls"
    idle = cluster.row(nodes="100", streams="10000")
    yield (
        "100 nodes, 10,000 streams, each played at another edge",
        _shown(number(idle, "scheduler, % of a core")),
        "scheduler",
        "cluster",
    )
    yield "the same", _shown(number(idle, "etcd, % of a core")), "etcd", "cluster"
    claim = number(cluster.row(question="claim, one a call"), "us each")
    yield "100 streams a second that begin", _shown(claim / 100), "scheduler", "cluster"
    route = next(row for row in routing.rows if "routes a second" in row)
    asked = number(route, "routes a second")
    yield f"{asked:,.0f} routes a second", _shown(number(route, "scheduler, % of a core")), "scheduler", "routing"
    told = sessions.row(sessions="10,000")
    for whose in ("edge", "scheduler", "Redis"):
        yield "10,000 sessions that are told of", _shown(number(told, f"{whose}, % of a core")), whose, "sessions"


def _shown(percent: float) -> str:
    return f"{percent:.0f}" if percent >= 10 else f"{percent:.1f}"


def memory(measured: Mapping[str, Section]) -> Iterator[tuple[str, str, str]]:
    """What processes take of memory."""
    fanout, hls, cluster = (measured[name] for name in ("fanout", "hls", "cluster"))
    row = fanout.row(server="lalmesh", protocol="HTTP-FLV", gathered="100 ms")
    yield f"standalone, {fanout.players(row):,.0f} players of one stream", row["MB"], "fanout"
    for streams in ("10", "50"):
        yield f"standalone, {streams} streams, segments in both formats", hls.row(segments="both", streams=streams)["MB"], "hls"
    yield "each stream more that is cut into segments, both formats", hls.row(segments="both", streams="50")["+ MB a stream"], "hls"
    yield "scheduler, 100 nodes and 10,000 streams", cluster.row(nodes="100", streams="10000")["MB"], "cluster"


def figures(text: str) -> str:
    """The tables, from the text of docs/performance.md.

    Raises:
        NotMeasured: a figure is missing.
    """
    measured = sections(text)
    processor = table(HEAD, [tuple(row) for row in loads(measured)])
    return f"{processor}\n\n{table(('process', 'MB', 'measured by'), [tuple(row) for row in memory(measured)])}"


def page_as_it_has_to_be(page: Path = PAGE, measured: Path = MEASURED) -> str:
    """The page with the figures of now."""
    return with_marked(page.read_text(encoding="utf-8"), BEGIN, END, f"\n\n{figures(measured.read_text(encoding='utf-8'))}\n\n")


if __name__ == "__main__":
    PAGE.write_text(page_as_it_has_to_be(), encoding="utf-8")
