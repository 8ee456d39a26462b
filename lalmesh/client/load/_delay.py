"""How long units take from a publisher to players of several protocols, or from one player to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from lalmesh.client._errors import InvalidUrl
from lalmesh.client._options import ClientOptions
from lalmesh.client.load._bench import Bench
from lalmesh.client.load._matching import match_kinds
from lalmesh.client.load._media import Media
from lalmesh.client.load._plan import Plan
from lalmesh.client.load._reckoning import Spread, spread
from lalmesh.client.load._report import Client, Report, unit_faults


@dataclass(slots=True, kw_only=True)
class DelayRow:
    """What one player got."""

    url: str
    delay_ms: Spread | None  #: of units sent after it had joined; below 0: before the player that it is compared with
    units: int
    missing: int
    doubled: int
    disordered: int
    foreign: int  #: units that were not sent, or that the first player should have got as well
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
    rows = list(_published(report) if publish_url else _compared(bench))
    return DelayReport(
        since=publish_url or play_urls[0],
        measured_s=report.measured_s,
        rows=rows,
        client=report.client,
        faults=report.faults if publish_url else [*report.faults, *row_faults(rows)],
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
        assert first.looked is not None, "all look"
        assert player.looked is not None, "all look"
        since_s = max(bench.since_s, first.joined_s or 0.0, player.joined_s or 0.0)
        until_s = min(bench.looked_until_s(first), bench.looked_until_s(player))
        found = match_kinds(first.looked.logs, player.looked.logs, since_s=since_s, until_s=until_s, is_before=False)
        yield DelayRow(
            url=player.url,
            delay_ms=spread(found.delays_s, scale=1000),
            units=player.looked.units,
            missing=found.missing,
            doubled=found.doubled,
            disordered=found.disordered,
            foreign=found.foreign,
            join_ms=None if player.joined_s is None else round(1000 * (player.joined_s - player.began_s), 1),
        )


def row_faults(rows: Iterable[DelayRow]) -> Iterator[str]:
    """What is wrong with players that are compared with the first."""
    for row in rows:
        found = unit_faults(row.units, missing=row.missing, doubled=row.doubled, disordered=row.disordered, foreign=row.foreign)
        yield from (f"{row.url}: {fault}" for fault in found)


def delay_as_text(report: DelayReport) -> str:
    """The report in lines for people."""
    lines = [f"from {report.since}, over {report.measured_s:.1f} s"]
    rows: list[tuple[str, ...]] = [("p50 ms", "p99 ms", "worst ms", "units", "missing", "doubled", "disordered", "foreign", "to")]
    for row in report.rows:
        found = row.delay_ms
        delay = ("never",) * 3 if found is None else tuple(f"{value:g}" for value in (found.p50, found.p99, found.worst))
        counts = (row.units, row.missing, row.doubled, row.disordered, row.foreign)
        rows.append((*delay, *map(str, counts), row.url))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells_of in rows:
        *numbers, url = cells_of
        lines.append("  ".join([cell.rjust(width) for cell, width in zip(numbers, widths, strict=False)] + [url]))
    lines.append(f"this client: {report.client.cpu_percent:.1f}% of a core")
    lines += [f"  note: {remark}" for remark in report.remarks]
    lines += [f"  FAULT: {fault}" for fault in report.faults] or ["  no faults"]
    return "\n".join(lines)
