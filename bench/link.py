"""What a link costs and how much delay it adds: 1, 10 and 100 streams between two processes.

One process publishes, the other takes the units in; each has a core to itself where there are two. A stream is 30 pictures and 47
audio frames a second, 2.6 Mbit/s together, the streams spread evenly over time. Delay is from the moment a unit is appended to the
sender's ring until the receiver has it, for the first unit of every run, by the clock that both processes share.
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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from support.process import Child

from bench import _load, _report
from lalmesh.codec import build_track
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.link import CloseReason, LinkLimits, LinkPool, LinkServicer, Outlet, PublicationPort, PublicationRequest
from lalmesh.runtime.ownership import Epoch, Grant, Location, NodeAddress, NodeId, Place, UnitName, new_publication
from lalmesh.runtime.ring import Cursor, Ring, RingLimits, Run

STREAMS = (1, 10, 100)
FLUSH_MS = (0, 2, 5, 10, 20)  #: 0: the defaults, 1 ms, and 10 while busy; another: that, busy or not
KEY = b"a key for benchmarks only"
EDGE, ORIGIN = NodeId("edge", b"8 bytes."), NodeId("origin", b"8 bytes.")
VIDEO_HZ, AUDIO_HZ = 30, 47
AUDIO_BYTES = 340
VIDEO_BYTES = (2_600_000 // 8 - AUDIO_HZ * AUDIO_BYTES) // VIDEO_HZ
LEAST_SHARE = 0.98  #: of the units that were sent, that must have arrived for a sample to count
RESULTS = _load.BUILT / "link.json"


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


def measure(streams: int, flush_ms: int, plan: argparse.Namespace) -> Sample:
    """One number of streams at one pace."""
    server_cores, load_cores = _load.cores()
    whole_s = plan.warm_up + plan.seconds
    module = [sys.executable, "-m", "bench.link", "--warm-up", str(plan.warm_up), "--seconds", str(plan.seconds)]
    _load.BUILT.mkdir(parents=True, exist_ok=True)
    receiver = subprocess.Popen([*module, "--receive", "0"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert receiver.stdout is not None
    try:
        port = int(receiver.stdout.readline())
        log = _load.BUILT / "link-sender.log"
        log.unlink(missing_ok=True)
        command = [*module[:3], "--send", str(port), str(streams), str(flush_ms), "--seconds", str(whole_s + 3)]
        with Child(command, log=log) as sender:
            _load.pin(sender.pid, server_cores)
            _load.pin(receiver.pid, load_cores)
            time.sleep(plan.warm_up + 0.5)
            scales = subprocess.Popen(
                [sys.executable, str(_load.HERE / "cpu.py"), str(plan.seconds - 1), str(receiver.pid)],
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
            )
            sent = _load.usage(sender.pid, plan.seconds - 1)
            taken = json.loads(scales.communicate(timeout=plan.seconds + _load.MARGIN_S)[0])
            found = json.loads(receiver.stdout.readline())
            if not sender.running:
                raise AssertionError(f"the sender ended: {sender.describe()}")
    finally:
        receiver.kill()
        receiver.wait()
        receiver.stdout.close()
    sample = Sample(streams, flush_ms, sent.cpu_percent, taken["cpu_percent"], **found)
    if sample.units_per_s < LEAST_SHARE * streams * (VIDEO_HZ + AUDIO_HZ) or sample.missing:
        raise AssertionError(f"units were lost or late: {sample}")
    return sample


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


def row(samples: list[Sample]) -> list[str]:
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


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.link", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8, help="measured, after the warm-up (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=2, help="seconds before the measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each setting is measured (%(default)s)")
    parser.add_argument("--streams", type=int, nargs="*", default=STREAMS, help="numbers of streams")
    parser.add_argument("--flush-ms", type=int, nargs="*", default=FLUSH_MS, help="least times between two batches")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the samples go (%(default)s)")
    parser.add_argument("--report", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--receive", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--send", type=int, nargs=3, metavar=("PORT", "STREAMS", "FLUSH_MS"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep."""
    plan = arguments()
    if plan.receive is not None:
        _run(lambda: _receive(plan.receive, plan.warm_up, plan.seconds))
        return
    if plan.send is not None:
        port, streams, flush_ms = plan.send
        _run(lambda: _send(port, streams, flush_ms, plan.seconds))
        return
    settings = [(streams, flush) for streams in plan.streams for flush in plan.flush_ms]
    samples: dict[tuple[int, int], list[Sample]] = {setting: [] for setting in settings}
    for number in range(plan.rounds):
        for setting in settings:
            sample = measure(*setting, plan)
            samples[setting].append(sample)
            print(f"round {number + 1}/{plan.rounds}  {sample}", file=sys.stderr, flush=True)
    about = _report.context()
    title = "Link: 1, 10 and 100 streams between two nodes"
    text = "\n\n".join(
        (
            f"Streams of 2.6 Mbit/s (30 pictures, 47 audio frames a second), {plan.rounds} rounds of {plan.seconds:g} s each, "
            "median; percentages of one core, the sender's with the making of the units; `flush` is the least time between two "
            "batches (the default is 1 ms, and 10 while a link sends over 300 batches a second).",
            _report.listed(about),
            _report.table(HEAD, [row(samples[setting]) for setting in settings]),
        )
    )
    print(f"\n{title}\n\n{text}\n")
    plan.json.parent.mkdir(parents=True, exist_ok=True)
    plan.json.write_text(json.dumps({"about": about, "samples": [asdict(each) for found in samples.values() for each in found]}))
    if plan.report:
        _report.publish("link", title, text)


if __name__ == "__main__":
    main()
