"""What a link costs and how much delay it adds: 1, 10 and 100 streams between two processes.

One process publishes, the other takes the units in; each has a core to itself where there are two. A stream has pictures and audio
frames (`VIDEO_HZ`, `AUDIO_HZ`, `STREAM_BPS`), the streams spread evenly over time. Delay is from the moment a unit is appended to
the sender's ring until the receiver has it, for the first unit of every run, by the clock that both processes share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.process import Child

from bench import _load, _meter, _report, _rounds
from bench._rounds import Found
from lalmesh.codec import build_track
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.link import CloseReason, LinkLimits, LinkPool, LinkServicer, Outlet, PublicationPort, PublicationRequest
from lalmesh.runtime.ownership import Epoch, Grant, Location, NodeAddress, NodeId, Place, UnitName, new_publication
from lalmesh.runtime.ring import Cursor, Ring, RingLimits, Run

STREAMS = (1, 10, 100)
FLUSH_MS = (0, 2, 5, 10, 20)  #: 0: the defaults, of which a busy link has another; any other: that, busy or not
KEY = b"a key for benchmarks only"
EDGE, ORIGIN = NodeId("edge", b"8 bytes."), NodeId("origin", b"8 bytes.")
VIDEO_HZ, AUDIO_HZ = 30, 47
AUDIO_BYTES = 340
STREAM_BPS = 2_600_000
VIDEO_BYTES = (STREAM_BPS // 8 - AUDIO_HZ * AUDIO_BYTES) // VIDEO_HZ
LEAST_SHARE = 0.98  #: of the units that were sent, that must have arrived for a sample to count
RESULTS = _load.BUILT / "link.json"
LIMITS = (
    "What limits it: gRPC's cost is by message, so a unit costs most where a stream is alone, with a batch for nearly every unit; "
    "streams on one link share batches, and then it is what Python does for a unit, and the copying of its bytes into and out of "
    "messages. The flush is what trades one for the other: a longer one makes fewer batches, and is delay, up to itself. That "
    "saves most with some ten streams: one has its units further apart than most flushes, and with a hundred it is the units that "
    "take the sender's time. Each end is one event loop, so a core is the end of a link. What would move it: a longer flush "
    "(`cluster.link.flush_ms`, `busy_flush_ms`); more origins and edges, or workers of them, each of which has links of its own."
)


@dataclass(slots=True, frozen=True)
class Sample:
    """One number of streams at one pace."""

    streams: int
    flush_ms: int
    sender_percent: float  #: of one core
    receiver_percent: float  #: of one core
    units_per_s: float
    batches_per_s: float
    delay_p50_ms: float
    delay_p99_ms: float
    delay_worst_ms: float
    missing: int

    @property
    def problem(self) -> str:
        """What makes the sample worthless, if anything."""
        due = self.streams * (VIDEO_HZ + AUDIO_HZ)
        if self.missing:
            return f"{self.missing} units were lost"
        return f"{self.units_per_s:.0f} units a second came, of {due}" if self.units_per_s < LEAST_SHARE * due else ""

    @property
    def shown(self) -> str:
        """In a few words."""
        spent = f"sender {self.sender_percent:.1f}%, receiver {self.receiver_percent:.1f}% of a core"
        return f"{spent}, delay p99 {self.delay_p99_ms:.1f} ms"


# the receiver


class _Intake:
    """An origin that only counts and measures."""

    def __init__(self) -> None:
        self.units = 0
        self.missing = 0
        self.delays_us: list[int] = []
        self.begun = asyncio.Event()

    def open_publication(self, peer: NodeId, request: PublicationRequest, port: PublicationPort) -> _Intake:
        port.opened(None, request.grant.place)
        return self

    def open_subscription(self, peer: NodeId, request: object, port: object) -> _Intake:
        raise NotImplementedError

    def receive(self, run: Run) -> None:
        self.delays_us.append(time.time_ns() // 1000 - run.units[0].wall_us)
        self.units += len(run.units)
        self.begun.set()
        self.missing += run.missing

    def closed(self, reason: CloseReason) -> None:
        pass


async def _receive(port: int, warm_up: float, seconds: float) -> None:
    intake = _Intake()
    channels = Channels((KEY,))
    server = channels.server()
    servicer = LinkServicer(intake, LinkLimits())
    server.add_generic_rpc_handlers((servicer.handlers(),))
    print(channels.listen(server, "127.0.0.1", port), flush=True)
    await server.start()
    await intake.begun.wait()
    await asyncio.sleep(warm_up)
    before, batches = intake.units, sum(link.counters.batches_received for link in servicer.sessions)
    intake.delays_us.clear()
    intake.missing = 0
    await asyncio.sleep(seconds)
    delays = sorted(intake.delays_us)
    found = {
        "units_per_s": (intake.units - before) / seconds,
        "batches_per_s": (sum(link.counters.batches_received for link in servicer.sessions) - batches) / seconds,
        "delay_p50_ms": delays[len(delays) // 2] / 1000,
        "delay_p99_ms": delays[len(delays) * 99 // 100] / 1000,
        "delay_worst_ms": delays[-1] / 1000,
        "missing": intake.missing,
    }
    print(json.dumps(found), flush=True)
    await server.stop(0)


# the sender


class _Source:
    """One publication: appends units when they are due."""

    def __init__(self, number: int) -> None:
        self.publication = new_publication()
        self.stream = StreamKey.of("bench", f"s{number}")
        video = build_track(1, Codec.PCMA)  # what the track says does not matter to a link
        self._tracks = TrackSet((video, build_track(2, Codec.PCMU)))
        self._ring = Ring(RingLimits(keep_us=3_000_000))
        self._video, self._audio = bytes(VIDEO_BYTES), bytes(AUDIO_BYTES)
        self._seq = 0
        self.outlet: Outlet | None = None

    def request(self) -> PublicationRequest:
        here, there = NodeAddress(EDGE, ""), NodeAddress(ORIGIN, "")
        grant = Grant(
            stream=self.stream,
            epoch=Epoch(1, 1),
            publication=self.publication,
            edge=here,
            origin=there,
            heir=None,
            place=Place(1, 1),
        )
        return PublicationRequest(grant=grant)

    def append(self, *, is_video: bool) -> None:
        track_id, payload = (1, self._video) if is_video else (2, self._audio)
        now_us = time.time_ns() // 1000
        dts = now_us * TICKS_PER_SECOND // 1_000_000
        unit = AccessUnit(track_id, dts, 0, True, payload, self._seq, now_us)
        self._seq += 1
        self._ring.append(Run(Epoch(1, 1), self.publication, self._tracks, [unit]))
        if self.outlet is not None:
            self.outlet.wake()

    def publication_opened(self, held: UnitName | None, place: Place) -> None:
        if self.outlet is not None:
            self.outlet.send_from(Cursor(self._ring, self._ring.end))

    def source_lost(self, location: Location) -> None:
        raise AssertionError(f"moved to {location.origin.node.name}")

    def publication_closed(self, reason: CloseReason, detail: str) -> None:
        raise AssertionError(f"{reason}: {detail}")


def _schedule(sources: list[_Source]) -> Iterator[tuple[float, _Source, bool]]:
    """What is due when, in one second, in order."""
    rng = random.Random(1)
    due = []
    for source in sources:
        for rate, is_video in ((VIDEO_HZ, True), (AUDIO_HZ, False)):
            phase = rng.random() / rate
            due += [(phase + index / rate, source, is_video) for index in range(rate)]
    return iter(sorted(due, key=lambda each: each[0]))


async def _send(port: int, streams: int, flush_ms: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    limits = LinkLimits(flush_s=flush_ms / 1000, busy_flush_s=flush_ms / 1000) if flush_ms else LinkLimits()
    pool = LinkPool(EDGE, Channels((KEY,)).dial, limits)
    sources = [_Source(number) for number in range(streams)]
    for source in sources:
        source.outlet = pool.link(f"127.0.0.1:{port}").publish(source.request(), source)
    start = loop.time()
    due = list(_schedule(sources))
    while loop.time() - start < seconds:
        second = loop.time()
        for at, source, is_video in due:
            if (wait := second + at - loop.time()) > 0.0005:
                await asyncio.sleep(wait)
            source.append(is_video=is_video)
        await asyncio.sleep(max(0.0, second + 1 - loop.time()))
    await pool.close()


def _run(work: Callable[[], object]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())  # type: ignore[arg-type]


# the measurement


def measure(streams: int, flush_ms: int, plan: argparse.Namespace, folder: Path, stack: ExitStack) -> Sample:
    """One number of streams at one pace."""
    cores, whole_s = _load.Cores(apart=plan.pin), plan.warm_up + plan.seconds
    module = [sys.executable, "-m", "bench.link", "--warm-up", str(plan.warm_up), "--seconds", str(plan.seconds)]
    receiver = stack.enter_context(
        subprocess.Popen([*module, "--receive", "0"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    )
    stack.callback(receiver.kill)
    assert receiver.stdout is not None
    port = int(receiver.stdout.readline())
    command = [*module[:3], "--send", str(port), str(streams), str(flush_ms), "--seconds", str(whole_s + 3)]
    sender = stack.enter_context(Child(command, log=folder / "sender.log"))
    cores.give_server(sender.pid)
    cores.give_load(receiver.pid)
    time.sleep(plan.warm_up + 0.5)
    meter = _meter.Meter({"sender": sender.pid, "receiver": receiver.pid})
    time.sleep(plan.seconds - 1)
    taken = meter.read()
    found = json.loads(receiver.stdout.readline())
    if not sender.running:
        raise AssertionError(f"the sender ended: {sender.describe()}")
    return Sample(streams, flush_ms, taken["sender"].cpu_percent, taken["receiver"].cpu_percent, **found)


def label(streams: int, flush_ms: int) -> str:
    """How a setting is chosen with --only."""
    return f"streams-{streams}-flush-{flush_ms or 'default'}"


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """Every number of streams at every pace."""
    settings = [(streams, flush_ms) for streams in plan.streams for flush_ms in plan.flush_ms]
    return [_rounds.Subject(label(*setting), partial(measure, *setting, plan)) for setting in settings]


HEAD = [
    "streams",
    "flush",
    "units/s",
    "batches/s",
    "sender %",
    "receiver %",
    "delay p50 ms",
    "p99 ms",
    "worst ms",
]


def row(samples: Sequence[Sample]) -> list[str]:
    """The line of one setting: medians over the rounds."""
    first = samples[0]

    def median(name: str) -> float:
        return float(statistics.median(getattr(sample, name) for sample in samples))

    return [
        str(first.streams),
        f"{first.flush_ms} ms" if first.flush_ms else "default",
        f"{median('units_per_s'):.0f}",
        f"{median('batches_per_s'):.0f}",
        f"{median('sender_percent'):.1f}",
        f"{median('receiver_percent'):.1f}",
        f"{median('delay_p50_ms'):.1f}",
        f"{median('delay_p99_ms'):.1f}",
        f"{max(sample.delay_worst_ms for sample in samples):.1f}",
    ]


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    limits = LinkLimits()
    quiet_ms, busy_ms = limits.flush_s * 1000, limits.busy_flush_s * 1000
    return (
        f"Streams of {STREAM_BPS / 1e6:.1f} Mbit/s ({VIDEO_HZ} pictures, {AUDIO_HZ} audio frames a second), {plan.rounds} rounds "
        f"of {plan.seconds:g} s each, median; percentages of one core, the sender's with the making of the units; `flush` is the "
        f"least time between two batches (the default is {quiet_ms:g} ms, and {busy_ms:g} while a link sends over "
        f"{limits.busy_messages_per_s} batches a second)."
    )


def title(streams: Sequence[int]) -> str:
    """Of the section."""
    *most, last = map(str, streams)
    return f"Link: {' and '.join(filter(None, (', '.join(most), last)))} streams between two nodes"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("link", __doc__, RESULTS, rounds=3, seconds=8, warm_up=2)
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS, help="numbers of streams (1 10 100)")
    parser.add_argument("--flush-ms", type=int, nargs="+", default=FLUSH_MS, help="least times between two batches (0 2 5 10 20)")
    parser.add_argument("--receive", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--send", type=int, nargs=3, metavar=("PORT", "STREAMS", "FLUSH_MS"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless."""
    plan = arguments()
    if plan.receive is not None:
        _run(lambda: _receive(plan.receive, plan.warm_up, plan.seconds))
        return
    if plan.send is not None:
        port, streams, flush_ms = plan.send
        _run(lambda: _send(port, streams, flush_ms, plan.seconds))
        return
    found: Found[Sample] = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    table = _report.table(HEAD, [row(found.of(setting)) for setting in found.samples if found.of(setting)])
    sys.exit(_rounds.conclude("link", title(plan.streams), [introduction(plan), table, LIMITS], plan, found))


if __name__ == "__main__":
    main()
