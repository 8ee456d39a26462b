"""Publishers and players that do nothing wrong: each player looks at every unit, and none may be missing or come twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import cycle, product

from e2e.soak.datagrams import DatagramRecorder, dropped_before
from e2e.soak.encoders import Encoder, Film, encoding
from e2e.soak.run import STILL_S, Run
from e2e.soak.world import Site
from support.cluster import Node
from support.operator_api import call
from support.recorder import HlsRecorder, Recorder, recorder, recording

from lalmesh.media import Kind

RENAMED_S = (0.5, 3.0)  #: how long a stream lasts that has a name of its own
CHANGED_S = 2.5  #: of each film where an encoder changes
LET_IN_S = 20.0  #: for a player to have its first unit
ON_CHANGE = ("rtmp", "flv", "ws", "ts")  #: RTSP says its tracks once
ALWAYS = (*ON_CHANGE, "rtsp", "mp4")
VISITS = (*ALWAYS, "hls")
WAYS = ("rtmp", "rtsp")  #: to publish: by RTSP among the messages
#: how renamed streams are published and played: one after the other, one in three by RTSP
RENAMED_BY = tuple(product(("rtmp", "rtmp", "rtsp"), ALWAYS))
HLS_STREAM_S = 12.0  #: for which there are segments to be played
REACH_STREAMS = 40  #: that are published at most until each origin has had one
BROKE_OFF, CAME_FIRST = "encoders that broke off", "players that came before their stream"
UNDROPPED, DROPPED = "players by UDP that nothing was dropped of", "players by UDP that something was dropped of"


def player_of(node: Node, kind: str, stream: str) -> Recorder:
    """A player of a protocol."""
    url = {
        "rtmp": node.rtmp_url(stream),
        "flv": node.flv_url(stream),
        "ws": node.ws_url(stream),
        "ts": node.http_url(f"{stream}.ts"),
        "mp4": node.http_url(f"{stream}.mp4"),
        "rtsp": node.rtsp_url(stream),
        "hls": node.http_url(f"hls/{stream}.m3u8"),
    }[kind]
    name = f"{stream} by {kind} at {node.name}"
    return HlsRecorder(name, url, keeps_session=True) if kind == "hls" else recorder(name, url)


def published_at(node: Node, way: str, stream: str) -> str:
    """Where an encoder publishes a stream, by one of `WAYS`.

    Its units and their times come out the same: films have no pictures out of order, and an encoder here reports by RTSP before its
    first packets, so that sound lies beside the pictures from the first one on.
    """
    return node.rtsp_url(stream) if way == "rtsp" else node.rtmp_url(stream)


def judge(
    run: Run, player: Recorder, films: Sequence[Film], *, joints: int = 0, left_s: float | None = None, whole: bool = False
) -> None:
    """Add what is wrong with all that a player got.

    Args:
        run: where it is added.
        player: it has left, or was left.
        films: see `Recorder.judge`.
        joints: likewise.
        left_s: when it left a stream that went on (monotonic): until then it may not have stood still; None: until its last unit.
        whole: whether it was there first, and so has the first picture.
    """
    run.done["players"] += 1
    _judge_got(run, player, films, joints=joints, left_s=left_s, whole=whole)


def judge_so_far(run: Run, player: Recorder, film: Film) -> None:
    """The same of a player that stays: of what it has got only the last of each kind is kept, which the next is to follow."""
    _judge_got(run, player, [film], left_s=time.monotonic())
    last = {one.kind: one for one in player.got}
    run.units -= len(last)  # they are looked at again
    player.got[:] = sorted(last.values(), key=lambda one: one.at_s)


def _judge_got(
    run: Run, player: Recorder, films: Sequence[Film], *, joints: int = 0, left_s: float | None = None, whole: bool = False
) -> None:
    verdict = player.judge(*(film.clip for film in films), joints=joints)
    verdict.faults += [f"{player.name}: unit {number} is the first of what came then" for number in verdict.starts if number]
    run.units += verdict.units
    if player.got:
        still_s = player.gap_s(player.got[0].at_s, left_s or player.got[-1].at_s)
        run.longest_still_s = max(run.longest_still_s, still_s)
        if still_s > STILL_S:
            verdict.faults.append(f"{player.name}: it stood still for {still_s:.1f} s")
    if whole and (first := _first(player, films[0])):
        verdict.faults.append(f"{player.name}: it was there first, and its first unit is {first}")
    for fault in _without_steps(player, verdict.faults):
        run.fault(fault)


def _first(player: Recorder, film: Film) -> int:
    """Number of its first picture, of its first sound where there are no pictures; 0 where it has none, which is told of anyway."""
    kind = Kind.VIDEO if film.tracks.has_video else Kind.AUDIO
    return next((film.clip.numbers.get(one.name, 0) for one in player.got if one.kind is kind), 0)


def _without_steps(player: Recorder, faults: list[str]) -> list[str]:
    """Without a step of the time of sound by RTSP: where the first report comes late, a player puts the sound where that says.

    By UDP reports come to a port of their own, so that sound lies first as it came, which may be too late; it goes back bit by bit.
    """
    if not player.url.startswith("rtsp:"):
        return faults
    steps = [fault for fault in faults if ": time is " in fault and " off: audio " in fault]
    left_out = steps if isinstance(player, DatagramRecorder) else steps[:1]
    return [fault for fault in faults if fault not in left_out]


async def first_unit(run: Run, player: Recorder) -> bool:
    """Whether it gets one in time; a fault if not."""
    try:
        await player.more(LET_IN_S)
    except AssertionError as error:
        run.fault(f"never began: {error}")
        return False
    return True


def renamed_by(way: str, kind: str) -> str:
    """What renamed streams are counted as, by how they are published and played."""
    return f"renamed: {way} to {kind}"


async def renames(run: Run) -> None:
    """Streams with names that nobody had before, each with one player somewhere, who comes before or after."""
    turns = cycle(RENAMED_BY)
    run.expected.update({BROKE_OFF, CAME_FIRST, *(renamed_by(*turn) for turn in RENAMED_BY)})

    async def one() -> None:
        way, kind = next(turns)
        site = run.chance.choice(run.world.sites)
        stream, film = run.new("renamed"), run.chance.choice([run.films.main, run.films.sound])
        at, there = run.chance.choice(site.edges), run.chance.choice(site.edges)
        player = player_of(there, kind, stream)
        seconds = run.chance.uniform(*RENAMED_S)
        abrupt, first = run.chance.random() < 0.3, run.chance.random() < 0.3
        async with AsyncExitStack() as players:
            if first:
                await players.enter_async_context(recording(player))
            async with encoding(published_at(at, way, stream), film.tracks, abrupt=abrupt) as encoder:
                if not first:
                    await players.enter_async_context(recording(player))
                await _show(run, encoder, player, film, seconds)
                await players.aclose()  # it leaves before it is told to
        run.done[BROKE_OFF] += abrupt
        run.done[CAME_FIRST] += first
        run.done[renamed_by(way, kind)] += 1
        judge(run, player, [film], whole=first and not player.url.startswith("rtsp:"))  # which asks for the tracks first

    await run.every(run.pace.rename_s, "renamed streams", one, most=24)


async def _show(run: Run, encoder: Encoder, player: Recorder, film: Film, seconds: float) -> None:
    await encoder.show(film, seconds)
    if not await encoder.reached(player):
        run.fault(f"{player.name}: the last units did not come{f' ({player.ended})' if player.ended else ''}")


async def changes(run: Run) -> None:
    """Streams that change their picture size or a codec, or lose their pictures; RTMP, FLV and TS players go on."""
    kinds = cycle(run.films.changing.items())
    run.expected.update(f"changed: {kind}" for kind in run.films.changing)

    async def one() -> None:
        kind, film = next(kinds)
        site = run.chance.choice(run.world.sites)
        stream, at, there = run.new("changed"), run.chance.choice(site.edges), run.chance.choice(site.edges)
        films = [run.films.main, film, run.films.main]
        player = player_of(there, run.chance.choice(ON_CHANGE), stream)
        async with encoding(at.rtmp_url(stream), films[0].tracks) as encoder, recording(player):
            for shown in films:
                await _show(run, encoder, player, shown, CHANGED_S)
        judge(run, player, films[:2], joints=2)
        run.done[f"changed: {kind}"] += 1

    await run.every(run.pace.change_s, "changed streams", one, most=4)


def visits_by(kind: str) -> str:
    """What visits of a protocol are counted as."""
    return f"visits by {kind}"


def programs_by(way: str) -> str:
    """What programs are counted as, by how they are published."""
    return f"programs by {way}"


class Program:
    """A stream that lasts for a while, and its visitors."""

    def __init__(self, site: Site, stream: str, film: Film) -> None:
        self.site = site
        self.stream = stream
        self.film = film
        self.ending = asyncio.Event()  #: it has sent its last frame


async def programs(run: Run) -> None:
    """Longer streams, by one way after the other, with an audience that comes and goes, by every protocol."""
    run.expected.update({*map(programs_by, WAYS), *map(visits_by, VISITS)})
    await asyncio.gather(*(_channel(run, site) for site in run.world.sites for _ in range(run.pace.programs)))


async def _channel(run: Run, site: Site) -> None:
    """One program after the other."""
    film, kinds, ways = run.films.main, cycle(VISITS), cycle(WAYS)
    while not run.over.is_set():
        way = next(ways)
        program = Program(site, run.new("program"), film)
        seconds = run.chance.uniform(0.5, 1.5) * run.pace.program_s
        try:
            async with encoding(published_at(run.chance.choice(site.edges), way, program.stream), film.tracks) as encoder:
                audience = asyncio.create_task(_audience(run, program, encoder, kinds))
                try:
                    await _until_over(run, encoder, film, seconds)
                finally:
                    program.ending.set()
                    await audience
            run.done[programs_by(way)] += 1
        except Exception as error:
            run.fault(f"program {program.stream}: {type(error).__name__}: {error}")
            await run.pause(1.0)


async def _until_over(run: Run, encoder: Encoder, film: Film, seconds: float) -> None:
    """Show it for so long, or until the run is over."""
    showing = asyncio.create_task(encoder.show(film, seconds))
    over = asyncio.create_task(run.over.wait())
    try:
        await asyncio.wait((showing, over), return_when=asyncio.FIRST_COMPLETED)
        if showing.done():
            showing.result()
    finally:
        for task in (showing, over):
            task.cancel()
        await asyncio.gather(showing, over, return_exceptions=True)


async def _audience(run: Run, program: Program, encoder: Encoder, kinds: Iterator[str]) -> None:
    """Visitors, by one protocol after the other, until the program ends; returns when the last has left."""
    visitors: set[asyncio.Task[None]] = set()
    while not await _is_set(program.ending, run.chance.uniform(0.5, 1.5) * run.pace.visit_s * 2 * run.pace.programs):
        task = asyncio.create_task(_visit(run, program, encoder, next(kinds)))
        visitors.add(task)
        task.add_done_callback(visitors.discard)
    await asyncio.gather(*visitors)


async def _is_set(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _visit(run: Run, program: Program, encoder: Encoder, kind: str) -> None:
    """One visitor: it stays for a while, or until the end, all of which it gets."""
    stay_s = run.chance.uniform(HLS_STREAM_S if kind == "hls" else 0.05 * run.pace.stay_s, run.pace.stay_s)
    player = player_of(run.chance.choice(program.site.edges), kind, program.stream)
    left_s: float | None = None
    try:
        async with recording(player):
            if kind != "hls" and not await first_unit(run, player):
                return
            if not await _is_set(program.ending, stay_s):
                left_s = time.monotonic()
                if not player.got:  # of a program that ends sooner there may be no segment
                    run.fault(f"{player.name}: nothing came in {stay_s:.0f} s")
            elif kind == "hls":  # its last segment ends with the publication
                left_s = time.monotonic()
            elif not await encoder.reached(player):
                run.fault(f"{player.name}: the last units did not come{f' ({player.ended})' if player.ended else ''}")
        if player.got:
            judge(run, player, [program.film], left_s=left_s)
        run.done[visits_by(kind)] += 1
    except Exception as error:
        run.fault(f"visit of {player.name}: {type(error).__name__}: {error}")


async def reach_origins(run: Run) -> None:
    """Streams with a player of each kind of node that links to origins, until each origin of the cluster has had one.

    Nodes keep their links: those that are first used later would be more than there were at rest before.
    """
    site, film = run.world.sites[0], run.films.main
    waiting = {origin.name for origin in run.world.cluster.origins}
    for _ in range(REACH_STREAMS):
        stream = run.new("reached")
        async with encoding(run.chance.choice(site.edges).rtmp_url(stream), film.tracks) as encoder, AsyncExitStack() as players:
            showing = asyncio.create_task(encoder.show(film, 2 * LET_IN_S))
            try:
                status, shown = await asyncio.to_thread(call, "GET", f"{site.api.api_url}/v1/streams/{stream}")
                if status == 200 and shown["origin"] in waiting:
                    waiting.discard(shown["origin"])
                    at_edges = [player_of(edge, "flv", stream) for edge in site.edges]
                    for player in (*at_edges, player_of(site.edges[0], "hls", stream)):
                        await players.enter_async_context(recording(player))
                        await first_unit(run, player)
            finally:
                showing.cancel()
                await asyncio.gather(showing, return_exceptions=True)
        if not waiting:
            return
    run.fault(f"no stream is at {', '.join(sorted(waiting))}")


async def datagrams(run: Run) -> None:
    """Players by UDP: of those that nothing was dropped of on the way, each unit is looked at; the others have to end in order."""
    run.expected.update({UNDROPPED, "frames by UDP"})

    async def one() -> None:
        site, film, stream = run.chance.choice(run.world.sites), run.films.main, run.new("datagrams")
        at, there = run.chance.choice(site.edges), run.chance.choice(site.edges)
        player = DatagramRecorder(f"{stream} by UDP at {there.name}", there.rtsp_url(stream))
        before = await asyncio.to_thread(dropped_before, there)
        has_last = True
        async with encoding(published_at(at, run.chance.choice(WAYS), stream), film.tracks) as encoder:
            showing = asyncio.create_task(encoder.show(film, run.chance.uniform(3.0, 10.0)))
            try:
                async with recording(player):
                    if await first_unit(run, player):
                        await showing
                        has_last = await encoder.reached(player)
            finally:
                showing.cancel()
                await asyncio.gather(showing, return_exceptions=True)
        dropped = player.dropped + await asyncio.to_thread(dropped_before, there) - before
        judge_datagrams(run, player, film, dropped, has_last=has_last)

    await run.every(3 * run.pace.visit_s, "players by UDP", one, most=6)


def judge_datagrams(run: Run, player: DatagramRecorder, film: Film, dropped: int, *, has_last: bool) -> None:
    """Add what is wrong with what a player by UDP got, of whose packets no more than `dropped` were dropped on the way."""
    run.done["frames by UDP"] += len(player.got)
    run.done[DROPPED if dropped else UNDROPPED] += 1
    if not dropped:
        judge(run, player, [film])
        if not has_last:
            run.fault(f"{player.name}: the last units did not come{f' ({player.ended})' if player.ended else ''}")
        return
    if not player.got:
        run.fault(f"{player.name}: nothing came")
    if player.ended:
        run.fault(f"{player.name}: closed: {player.ended}")
