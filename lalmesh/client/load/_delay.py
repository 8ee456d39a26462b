"""How long units take from a publisher to players of several protocols, or from one player to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from lalmesh.client._errors import InvalidUrl
from lalmesh.client._options import ClientOptions
from lalmesh.client.load._bench import Bench
from lalmesh.client.load._matching import Matched, UnitLog, match
from lalmesh.client.load._media import Media
from lalmesh.client.load._plan import Plan
from lalmesh.client.load._reckoning import Spread, spread
from lalmesh.client.load._report import Client, Report


@dataclass(slots=True, kw_only=True)
class DelayRow:
    """What one player got."""

    url: str
    delay_ms: Spread | None  #: of units sent after it had joined; below 0: before the player that it is compared with
    units: int
    missing: int
    doubled: int
    disordered: int
    foreign: int  #: units that were not sent
    join_ms: float | None  #: from the beginning to the first picture or sound


@dataclass(slots=True, kw_only=True)
class DelayReport:
    """All players of one stream."""

    since: str  #: the URL that delays count from: of the publisher, or of the first player
    measured_s: float
    rows: list[DelayRow]
    client: Client
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


async def measure_delay(
    publish_url: str,
    play_urls: tuple[str, ...],
    options: ClientOptions,
    media: Media | None,
    *,
    duration_s: float,
    udp: bool,
    say: Callable[[str], None],
) -> DelayReport:
    """Publish `media` to `publish_url` and play it, or if that is empty only play, and tell how long units took.

    Raises:
        InvalidUrl: of a URL; or there is nothing to compare with.
    """
    if not play_urls or (not publish_url and len(play_urls) < 2):
        raise InvalidUrl("a delay is between two: a publisher and a player, or two players")
    plan = Plan(
        publish_url=publish_url,
        play_urls=play_urls,
        publish_within_s=0.0,
        play_within_s=0.0,
        duration_s=duration_s,
        udp=udp,
    )
    plan.check()
    bench = Bench(plan, options, media, say=say)
    report = await bench.run()
    rows = _published(report) if publish_url else _compared(bench)
    return DelayReport(
        since=publish_url or play_urls[0],
        measured_s=report.measured_s,
        rows=list(rows),
        client=report.client,
        faults=report.faults,
        remarks=report.remarks,
    )


def _published(report: Report) -> Iterator[DelayRow]:
    for played in report.players:
        looks = played.looks
        yield DelayRow(
            url=played.url,
            delay_ms=looks.delay_ms,
            units=looks.units,
            missing=looks.missing or 0,
            doubled=looks.doubled or 0,
            disordered=looks.disordered,
            foreign=looks.foreign or 0,
            join_ms=None if played.join_ms is None else played.join_ms.worst,
        )


def _compared(bench: Bench) -> Iterator[DelayRow]:
    """Each player against the first."""
    first, *others = bench.players
    for player in others:
        found, logs = Matched(), {} if player.looked is None else player.looked.logs
        since_s = max(bench.since_s, first.joined_s or 0.0, player.joined_s or 0.0)
        for kind, log in logs.items():
            sent = first.looked.logs.get(kind, UnitLog()) if first.looked is not None else UnitLog()
            until_s = min(bench.looked_until_s(first), bench.looked_until_s(player))
            found.add(match(sent, log, since_s=since_s, until_s=until_s, is_before=False))
        yield DelayRow(
            url=player.url,
            delay_ms=spread(found.delays_s, scale=1000),
            units=sum(len(log.keys) for log in logs.values()),
            missing=found.missing,
            doubled=found.doubled,
            disordered=found.disordered,
            foreign=found.foreign,
            join_ms=None if player.joined_s is None else round(1000 * (player.joined_s - player.began_s), 1),
        )


def delay_as_text(report: DelayReport) -> str:
    """The report in lines for people."""
    lines = [f"from {report.since}, over {report.measured_s:.1f} s"]
    head = ("p50 ms", "p99 ms", "worst ms", "units", "missing", "doubled", "to")
    rows: list[tuple[str, ...]] = [head]
    for row in report.rows:
        found = row.delay_ms
        delay = ("never",) * 3 if found is None else tuple(f"{value:g}" for value in (found.p50, found.p99, found.worst))
        rows.append((*delay, str(row.units), str(row.missing), str(row.doubled), row.url))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells_of in rows:
        *numbers, url = cells_of
        lines.append("  ".join([cell.rjust(width) for cell, width in zip(numbers, widths, strict=False)] + [url]))
    lines.append(f"this client: {report.client.cpu_percent:.1f}% of a core")
    lines += [f"  note: {remark}" for remark in report.remarks]
    lines += [f"  FAULT: {fault}" for fault in report.faults] or ["  no faults"]
    return "\n".join(lines)
