"""What came of a run, for programs and for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from lalmesh.client.load._matching import MAX_NOTED_UNITS
from lalmesh.client.load._reckoning import Spread

LATE_MS: Final = 50.0  #: of the client's own looks and units, p99: more, and what is measured is the client


@dataclass(slots=True, kw_only=True)
class Publishers:
    """All publishers."""

    url: str
    wanted: int
    published: int  #: were let in
    refused: dict[str, int]  #: how many were not, by reason
    lost: dict[str, int]  #: how many ended before the run did, by reason
    bitrate_bps: int  #: of all together, sent in the time that was measured
    mean_bps: int  #: of one
    lowest_bps: int
    late_ms: Spread | None  #: how late units left because of this program
    held: int  #: publishers that the server kept further behind than a stall, as it took nothing, or less than is published
    held_longest_ms: float  #: the furthest behind that it kept one


@dataclass(slots=True, kw_only=True)
class Looks:
    """What players saw that look at every unit."""

    players: int
    units: int
    missing: int | None  #: of what was published in the same run; None: nothing was
    doubled: int | None
    disordered: int
    gaps: int | None  #: in decoding times, where it is not known what was published
    foreign: int | None  #: units that nobody published here
    delay_ms: Spread | None  #: publisher to player, of units sent after the player had joined


@dataclass(slots=True, kw_only=True)
class Players:
    """All players of one URL."""

    url: str
    wanted: int
    joined: int
    refused: dict[str, int]  #: how many got nothing, by reason
    lost: dict[str, int]  #: how many ended before the run did, by reason
    faults: dict[str, int]  #: what went wrong for players that went on, by reason
    join_ms: Spread | None  #: from the beginning to the first picture or sound
    bitrate_bps: int  #: of all together, received in the time that was measured
    mean_bps: int  #: of one
    lowest_bps: int
    stalls: int
    stalled: int  #: players that had one
    longest_pause_ms: float  #: without bytes, of any of them
    looks: Looks


@dataclass(slots=True, kw_only=True)
class Client:
    """The program itself: so that a loaded client is not taken for a slow server."""

    cpu_percent: float  #: of one core, while it was measured
    late_ms: Spread | None  #: how late it looked
    slept_ms: float  #: in which it did not look though it should have; no stall is counted of it
    rss_mb: float  #: at its most


@dataclass(slots=True, kw_only=True)
class Report:
    """One run."""

    version: str
    began: str  #: UTC, ISO 8601
    measured_s: float
    is_whole: bool  #: it was not ended before its time
    publishers: Publishers | None
    players: list[Players]
    client: Client
    matched_s: float | None = None  #: that units were matched for, where they were too many for the whole run
    faults: list[str] = field(default_factory=list)  #: empty: all went as it should
    remarks: list[str] = field(default_factory=list)

    def judge(self) -> None:
        """Say what is wrong, and what to bear in mind."""
        self.faults = list(_faults(self))
        self.remarks = list(_remarks(self))

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def count_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """How many there are of each that is not empty, the most frequent first."""
    return dict(Counter(filter(None, reasons)).most_common())


def counted(number: int, what: str) -> str:
    """``1 player``, ``2 players``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _faults(report: Report) -> Iterator[str]:
    sent = report.publishers
    if sent is not None:
        yield from _reasons(sent.refused, "publisher", "not let in")
        yield from _not_begun(sent.wanted - sent.published, sent.refused, "publisher")
        yield from _reasons(sent.lost, "publisher", "ended")
        if sent.held:
            yield f"{counted(sent.held, 'publisher')} kept up to {sent.held_longest_ms / 1000:.1f} s behind by the server"
    for played in report.players:
        yield from (f"{played.url}: {fault}" for fault in _player_faults(played))


def _player_faults(played: Players) -> Iterator[str]:
    yield from _reasons(played.refused, "player", "got nothing")
    yield from _not_begun(played.wanted - played.joined, played.refused, "player")
    yield from _reasons(played.lost, "player", "ended")
    yield from _reasons(played.faults, "time", "met")
    if played.stalls:
        longest_s = played.longest_pause_ms / 1000
        yield f"{counted(played.stalls, 'stall')} of {counted(played.stalled, 'player')}, up to {longest_s:.1f} s"
    looks = played.looks
    yield from unit_faults(
        looks.units, missing=looks.missing, doubled=looks.doubled, disordered=looks.disordered, foreign=looks.foreign
    )
    if looks.players and played.joined and not looks.units:
        yield "nothing was seen by who looked"
    if looks.gaps:
        yield f"{counted(looks.gaps, 'gap')} in the times of {looks.units} units looked at"


def unit_faults(units: int, **found: int | None) -> Iterator[str]:
    """What is wrong with `units` that came: what was `found`, and how often; None: nobody knows."""
    for name, number in found.items():
        if number:
            yield f"{counted(number, 'unit')} {name}, of {units} looked at"


def _reasons(reasons: dict[str, int], who: str, fared: str) -> Iterator[str]:
    for reason, number in reasons.items():
        yield f"{counted(number, who)} {fared}: {reason}"


def _not_begun(without: int, refused: dict[str, int], who: str) -> Iterator[str]:
    """Who were neither there nor refused."""
    if without > sum(refused.values()):
        yield f"{counted(without - sum(refused.values()), who)} had not begun when it ended"


def _remarks(report: Report) -> Iterator[str]:
    client, sent = report.client, report.publishers
    if client.late_ms is not None and client.late_ms.p99 > LATE_MS:
        yield f"this client looked up to {client.late_ms.worst:.0f} ms late (p99 {client.late_ms.p99:.0f}): figures are of it, too"
    if sent is not None and sent.late_ms is not None and sent.late_ms.p99 > LATE_MS:
        yield f"units left up to {sent.late_ms.worst:.0f} ms late (p99 {sent.late_ms.p99:.0f}) for want of processor here"
    if client.slept_ms:
        yield f"this client stood still for {client.slept_ms:.0f} ms; no stall is counted of it"
    if report.matched_s is not None:
        bound = f"no more than {MAX_NOTED_UNITS} of one publisher or player are noted"
        yield f"units were matched for the first {report.matched_s:.0f} s: {bound}"
    if not report.is_whole:
        yield f"ended after {report.measured_s:.1f} s"


def as_text(report: Report) -> str:
    """The report in lines for people."""
    lines = [f"measured for {report.measured_s:.1f} s"]
    if report.publishers is not None:
        lines += _publishers_lines(report.publishers)
    for played in report.players:
        lines += _players_lines(played)
    client = report.client
    lines.append(f"this client: {client.cpu_percent:.1f}% of a core, {client.rss_mb:.0f} MB; looked {_spread(client.late_ms)} late")
    lines += [f"  note: {remark}" for remark in report.remarks]
    lines += [f"  FAULT: {fault}" for fault in report.faults] or ["  no faults"]
    return "\n".join(lines)


def _publishers_lines(sent: Publishers) -> Iterator[str]:
    yield f"published  {sent.url}"
    yield f"  {sent.published} of {sent.wanted}, {_rates(sent)}"
    yield f"  units left {_spread(sent.late_ms)} late"


def _players_lines(played: Players) -> Iterator[str]:
    yield f"played     {played.url}"
    yield f"  {played.joined} of {played.wanted}, {_rates(played)}"
    yield f"  first picture or sound after {_spread(played.join_ms)}"
    yield f"  stalls {played.stalls}, longest pause {played.longest_pause_ms:.0f} ms"
    looks = played.looks
    if looks.players:
        named = {name: getattr(looks, name) for name in ("missing", "doubled", "disordered", "gaps")}
        seen = ", ".join(f"{name} {number}" for name, number in named.items() if number is not None)
        yield f"  {looks.players} looked: {looks.units} units, {seen}"
        if looks.delay_ms is not None:
            yield f"  publisher to player {_spread(looks.delay_ms)}"


def _spread(found: Spread | None) -> str:
    return "never" if found is None else f"{found.p50:g} ms (p50), {found.p99:g} (p99), {found.worst:g} (worst)"


def _rates(measured: Publishers | Players) -> str:
    each = f"{_bps(measured.mean_bps)} each, lowest {_bps(measured.lowest_bps)}"
    return f"{_bps(measured.bitrate_bps)} in all, {each}"


def _bps(value: int) -> str:
    return f"{value / 1e6:.2f} Mbit/s" if value >= 1e6 else f"{value / 1e3:.0f} kbit/s"
