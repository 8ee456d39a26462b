"""Telling of sessions: what an edge with many costs itself, the scheduler and Redis.

Scheduler, etcd and Redis are real processes; the edge is what tells of sessions in a real one, with players that cost nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import secrets
import sys
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from prometheus_client import CollectorRegistry
from support.cluster import CLUSTER_KEY, Cluster
from support.redis import CAN_RUN_REDIS, RedisServer

from bench import _report, _rounds, cpu
from bench._load import BUILT
from bench._nodes import runner
from lalmesh.names import StreamKey
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.ownership import NodeAddress, NodeId, new_incarnation
from lalmesh.runtime.scheduling import GrpcSchedulerClient
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client
from services.edge.metrics import EdgeMetrics
from services.edge.session import Session, SessionMedia, Sessions
from services.edge.session_reports import SessionReports

SESSIONS = 10_000
REPORT_S = 5.0
STREAMS = 100
RESULTS = BUILT / "sessions.json"
TITLE = "Sessions: what it costs to tell of them"
LIMITS = (
    "What limits it: every session is told of each time, whether anything of it has changed or not. The edge looks at each and "
    "packs a few figures of it; the scheduler takes them apart and makes an entry for Redis of each, many to a call, so it takes "
    "most. All of it follows the sessions, whatever they play. What would move it: telling less often (`edge.session.report_s`), "
    "which makes what the API lists older; more replicas of the scheduler, which share the edges, while Redis is one for all."
)


@dataclass(slots=True)
class Sample:
    """What it cost, in percent of a core, while every session is told of each `REPORT_S`."""

    sessions: int
    edge_percent: float
    scheduler_percent: float
    redis_percent: float
    opening_edge_us: float  #: processor time of the edge for a session that is told of whole
    listed: int  #: that the directory has in the end

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        return "" if self.listed == self.sessions else f"{self.listed} of {self.sessions} sessions are listed"

    @property
    def shown(self) -> str:
        """In a few words."""
        return f"edge {self.edge_percent:.1f}%, scheduler {self.scheduler_percent:.1f}%, Redis {self.redis_percent:.1f}% of a core"


def open_session(sessions: Sessions, number: int) -> Session:
    """A player as they are: a URL with a query, a user agent, media that moves."""
    stream = StreamKey.of("live", f"camera-{number % STREAMS}")
    client = Client(
        protocol="http-flv",
        address=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        peer=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:50000",
        url=f"http://edge-1.example/{stream}.flv",
        query=f"user={number}&token={secrets.token_hex(16)}",
        user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    )
    session = sessions.open(client, SessionRole.PLAYER, stream, lambda _: None)
    began = time.monotonic()
    session.bytes_moved = lambda: int((time.monotonic() - began) * 300_000)
    session.media = lambda: SessionMedia(("h264", "aac"), client.asked_us + 80_000, 0, 0)
    return session


async def tell(cluster: Cluster, redis: RedisServer, plan: argparse.Namespace) -> Sample:
    """Let an edge with so many sessions tell of them, all of it first, and then for so long what has changed."""
    channels = Channels((CLUSTER_KEY.encode(),))
    client = GrpcSchedulerClient([cluster.schedulers[0].grpc_address], dial=channels.dial)
    address = NodeAddress(NodeId("edge-1", new_incarnation()), "")
    metrics = EdgeMetrics(CollectorRegistry())
    sessions = Sessions(metrics)
    reports = SessionReports(sessions, client, lambda: address, metrics, report_s=REPORT_S)
    opened = [open_session(sessions, number) for number in range(plan.sessions)]
    began_s = time.process_time()
    running = asyncio.create_task(reports.run())
    await asyncio.sleep(max(REPORT_S, plan.warm_up))
    opening_us = (time.process_time() - began_s) / plan.sessions * 1e6
    pids = {"scheduler": cluster.schedulers[0].pid, "redis": redis.pid}
    before, own = {name: cpu.taken(pid).processor_s for name, pid in pids.items()}, time.process_time()
    lasted_s = math.ceil(plan.seconds / REPORT_S) * REPORT_S
    await asyncio.sleep(lasted_s)
    spent = {name: (cpu.taken(pid).processor_s - before[name]) / lasted_s * 100 for name, pid in pids.items()}
    edge = (time.process_time() - own) / lasted_s * 100
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    listed = await asyncio.to_thread(count_listed, cluster.api_url)
    await client.close()
    return Sample(len(opened), edge, spent["scheduler"], spent["redis"], opening_us, listed)


def count_listed(api_url: str) -> int:
    """How many sessions the API lists."""
    found, cursor = 0, ""
    while True:
        with urllib.request.urlopen(f"{api_url}/v1/sessions?limit=1000&cursor={quote(cursor)}", timeout=10) as answer:
            page = json.load(answer)
        found, cursor = found + len(page["items"]), page["cursor"]
        if not cursor:
            return found


def measure(plan: argparse.Namespace, folder: Path, stack: ExitStack) -> Sample:
    """One run on servers of its own."""
    redis = stack.enter_context(RedisServer(folder))
    settings = {"scheduler": {"scheduler.redis.host": "127.0.0.1", "scheduler.redis.port": redis.port}}
    cluster = stack.enter_context(Cluster(folder, schedulers=1, origins=0, edges=0, settings=settings))
    return runner().run(tell(cluster, redis, plan))


HEAD = ["sessions", "edge, % of a core", "scheduler, % of a core", "Redis, % of a core", "µs of the edge to open one"]


def row(mine: list[Sample]) -> list[str]:
    """Medians over the rounds."""
    median = _rounds.medians(mine)
    return [
        f"{mine[0].sessions:,}",
        median(lambda each: each.edge_percent),
        median(lambda each: each.scheduler_percent),
        median(lambda each: each.redis_percent),
        median(lambda each: each.opening_edge_us, ".0f"),
    ]


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    return (
        f"An edge with so many players tells the scheduler of each every {REPORT_S:g} s (`edge.session.report_s`): bytes, what "
        "waits, skips; of everything once a minute. Processor time of each side, of a core of its own, over "
        f"{plan.seconds:g} s, {plan.rounds} rounds, median."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("sessions", __doc__, RESULTS, rounds=2, seconds=30, warm_up=REPORT_S)
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="of one edge (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if not every session is listed."""
    plan = arguments()
    logging.basicConfig(level=logging.ERROR)
    missing = _rounds.needs_of_a_cluster() or ("" if CAN_RUN_REDIS else "no Redis server is installed")
    subject = _rounds.Subject("sessions", partial(measure, plan), missing)
    found = _rounds.run(_rounds.choose([subject], plan.only), plan.rounds)
    rows = [row(mine)] if (mine := found.of(subject.label)) else []
    paragraphs = [introduction(plan), _report.table(HEAD, rows), LIMITS]
    sys.exit(_rounds.conclude("sessions", TITLE, paragraphs, plan, found))


if __name__ == "__main__":
    main()
