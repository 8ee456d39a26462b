"""What a run has to say: on the terminal, and as `docs/soak.md` with its plots."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.soak.verdict import MIB, Grown, most_left
from support.slopes import Point

from bench import _plots, _report
from bench._plots import Curve, Plot

if TYPE_CHECKING:
    from e2e.soak.runner import Outcome

PAGE = Path(__file__).resolve().parents[3] / "docs" / "soak.md"
FOLDER = PAGE.parent / "soak"
SHOWN_FAULTS = 40
CURVE_POINTS = 400  #: of a curve at most
UNITS = {"rss_bytes": (MIB, "MiB"), "lalmesh_heap_used_bytes": (MIB, "MiB"), "redis_bytes": (MIB, "MiB")}
#: what is drawn: file, value, title, axis
DRAWN = (
    ("memory", "rss_bytes", "Memory of each process", "resident, MiB"),
    ("heap", "lalmesh_heap_used_bytes", "What is in use of each heap", "MiB"),
    ("objects", "objects", "Python objects of each process", "objects"),
    ("descriptors", "descriptors", "File descriptors of each process", "descriptors"),
    ("tasks", "lalmesh_tasks", "Tasks of each process", "tasks"),
    ("timers", "timers", "Timers of each process", "timers"),
    ("threads", "threads", "Threads of each process", "threads"),
)
STORES = (
    ("registry", ("etcd_keys", "redis_keys"), "What etcd and Redis hold", "keys"),
    ("storage", ("stored_files_cluster", "stored_files_standalone"), "What is stored", "files"),
)
RESTS = (
    *("rss_bytes", "lalmesh_heap_used_bytes", "descriptors", "lalmesh_tasks", "threads", "timers"),
    *("etcd_keys", "redis_keys"),
)
ABOUT = """# Endurance

Written by `make soak`. A scheduler with etcd and Redis, two origins, two edges and an hls node run as processes, and a standalone
server beside them. Publishers and players come and go all the time, and so do all who make trouble:

- streams under names that nobody had before, of seconds and of minutes, by RTMP and, one in three of the short and one in two of
  the long ones, by RTSP; players by RTMP, HTTP-FLV, WebSocket-FLV, HTTP-TS, fragmented MP4, RTSP over TCP and UDP, HLS with and
  without low latency; streams by RTMP that change their picture size, their codec of pictures or of sound, or go on without
  pictures;
- players that take a tenth of their stream, beside one that takes all of it; nonsense, halves of requests and media of no codec
  at every port; plays of what nobody publishes; datagrams to ports of others;
- an origin that is killed again and again, encoders that are killed and come back or just break off, sessions that are kicked, an
  address that is on the blacklist for a while;
- relays both ways between cluster and standalone server, recordings, in whose files all has to be, a receiver of webhooks that
  fails at times, an etcd that is compacted;
- a crowd that only takes: when all the others have come, as many as it needs for the machine to be as busy as it is to be. Where
  the others alone make it as busy there is none.

Every player that does nothing wrong looks at each access unit: by the hash of its payload it has to be the next one of its clip,
and its time has to rise by what the clip says. A unit that is missing or comes twice, a player that is closed, that came before
its stream and has not got its first picture, that stands still for 5 s, or that has not got the last unit is a fault. Of players
by RTSP the time of sound may step once, where the first sender report comes late, by UDP bit by bit. By UDP units may be missing
where the player's own sockets had no room, or the kernel dropped packets between sockets, or the edge could not send: all three are
counted, and where none of them has risen each unit has to be there. Those of the crowd throw away what comes: none may be closed or
stand still, and the slowest has to get 95% of its stream; beside them, on each of their streams, one player looks at all of it
until the end. That anything of the above never happens is a fault, too.

All processes are sampled every few seconds. *Growth* is what a value has grown by in the second half of the run, surely: the
lower end of the interval in which its slope (Theil and Sen) is with a confidence of 99%, times that half; more than *matters*
is a fault. What is held shows in Python's objects and blocks, and in what is in use of the heap (`lalmesh_heap_used_bytes`);
resident memory is what the highest peak so far has needed, and so may grow by more. Nodes remember the last 400 streams here
(`cluster.remembered_num`), so that all of these are there before the second half. At the end all leave: sessions,
publications, groups, relays, claims, ports, segments in memory, events and deliveries have to be 0, and no process may hold
more descriptors, tasks, threads, timers or objects of a type of ours than when all had left after warming up, but for the few
that pools keep and as many as a cache has room for.
"""


def told(outcome: Outcome) -> str:
    """For people."""
    lines = [f"{what}: {count}" for what, count in sorted(outcome.done.items())]
    lines += [f"{each.process} {each.what}: {_amount(each.what, each.slope.growth)} more" for each in outcome.grown if each.is_leak]
    lines += [f"FAULT {fault}" for fault in outcome.faults[:SHOWN_FAULTS]]
    lines.append(f"{outcome.units} units, {outcome.fault_count} faults, {outcome.busy_percent:.0f}% busy")
    lines.append(f"more at rest than before, at most: {_most_left(outcome)}")
    return "\n".join([*lines, f"no player that does nothing wrong stood still for longer than {outcome.longest_still_s:.1f} s"])


def write(outcome: Outcome) -> None:
    """Replace `PAGE` and its plots."""
    plots = drawn(outcome)
    for plot in plots:
        _plots.draw(plot, FOLDER)
    PAGE.write_text(text(outcome, [_plots.shown(plot, FOLDER) for plot in plots]))


def text(outcome: Outcome, pictures: Sequence[str]) -> str:
    """The page."""
    faults = "\n".join(f"- fault: {fault}" for fault in outcome.faults[:SHOWN_FAULTS])
    parts = [ABOUT.rstrip(), _report.listed(_context()), _went(outcome), faults, "## What happened", _happened(outcome)]
    most = f"More at the end than before, at most, of any process that lived all the time: {_most_left(outcome)}."
    parts += ["## What grew", _slopes(outcome.grown), "## What was left", _rests(outcome), most, *pictures]
    return "\n\n".join(part for part in parts if part) + "\n"


def _context() -> dict[str, str]:
    given = shlex.join(word for word in sys.argv[1:] if word != "--report")
    return {**_report.context(), "command": f"make soak ARGS={shlex.quote(given)}" if given else "make soak"}


def _went(outcome: Outcome) -> str:
    load = f"{outcome.busy_percent:.0f}% of the machine busy, {outcome.crowd} players in the crowd"
    leaks, done = sum(each.is_leak for each in outcome.grown), outcome.done
    seen = f"{done['names']} names of streams, {done['players']} players that looked at {outcome.units} units"
    found = f"**{outcome.fault_count} faults**, {leaks} of {len(outcome.grown)} values grew"
    still = f"no player that does nothing wrong stood still for longer than {outcome.longest_still_s:.1f} s"
    return f"{outcome.seconds / 60:.0f} minutes, {load}; {seen}: {found}; {still}."


def _happened(outcome: Outcome) -> str:
    return _report.table(("what", "times"), [(what, str(count)) for what, count in sorted(outcome.done.items())])


def _rests(outcome: Outcome) -> str:
    """What there was with nobody there, after warming up and at the end."""
    rows = [
        (process, _called(what), _amount(what, before[what]), _amount(what, now[what]))
        for process, now in sorted(outcome.after.values.items())
        if (before := outcome.before.values.get(process))
        for what in RESTS
        if what in now and what in before
    ]
    return _report.table(("process", "what", "before", "at the end"), rows)


def _most_left(outcome: Outcome) -> str:
    most = most_left(outcome.before, outcome.after, outcome.plan.waits_not_for)
    return ", ".join(f"{count:.0f} {_called(what)}" for what, count in most.items())


def _called(what: str) -> str:
    return what.removeprefix("lalmesh_").removesuffix("_bytes").replace("_", " ")


def _slopes(grown: Sequence[Grown]) -> str:
    head = ("process", "what", "at the end", "growth", "slope an hour", "matters", "verdict")
    rows = [
        (
            each.process,
            _called(each.what),
            _amount(each.what, each.level),
            _amount(each.what, each.slope.growth),
            _amount(each.what, each.slope.per_s * 3600),
            _amount(each.what, each.matters),
            "grows" if each.is_leak else "steady",
        )
        for each in grown
    ]
    return _report.table(head, rows)


def _amount(what: str, value: float) -> str:
    size, unit = UNITS.get(what, (1, ""))
    return f"{value / size:.1f} {unit}" if unit else f"{value:.0f}"


def drawn(outcome: Outcome) -> list[Plot]:
    """Its plots: a curve for each process, whatever its lives."""
    assert outcome.sampler is not None
    points = outcome.sampler.series.points
    plots = list[Plot]()
    for name, what, title, axis in DRAWN:
        size = UNITS.get(what, (1, ""))[0]
        keys = sorted(key for key in points if key[2] == what and key[0] != "stores")
        by_process: dict[str, list[Point]] = {}
        for key in keys:
            by_process.setdefault(key[0], []).extend(points[key])
        curves = [Curve(label=process, points=_thin(sorted(all_points), size)) for process, all_points in by_process.items()]
        plots.append(Plot(name=name, title=title, x="minutes", y=axis, curves=curves))
    for name, whats, title, axis in STORES:
        curves = [Curve(label=what.replace("_", " "), points=_thin(points["stores", 0, what], 1)) for what in whats]
        plots.append(Plot(name=name, title=title, x="minutes", y=axis, curves=curves))
    return [plot for plot in plots if not plot.is_empty]


def _thin(points: Sequence[Point], size: float) -> list[Point]:
    step = max(1, len(points) // CURVE_POINTS)
    return [(round(at_s / 60, 3), value / size) for at_s, value in points[::step]]
