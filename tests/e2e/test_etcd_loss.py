"""An etcd of three members loses its leader, its history, its data, or goes back: who publishes and who plays does not notice.

What the registry goes through meanwhile: `tests/integration/scheduler/test_etcd_disasters.py`.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from e2e.chaos.control import knocking
from e2e.test_origin_loss import LOOPS, PICTURES, check_all, watched
from support import frames
from support.cluster import Cluster
from support.etcd_cluster import EtcdCluster
from support.ffmpeg import Publisher
from support.process import wait_until

Media = Callable[[str], Path]

STREAM = "live/cam"
LEASE_S = 3  #: of nodes; all of them run out while etcd is away
AWAY_S = 4.0
BACK_S = LEASE_S + 5.0  #: for the registry to be right again once etcd is there
LIMIT_S = 40.0


class ClusterOnThree(Cluster):
    """A cluster whose etcd has three members."""

    def _start_etcd(self) -> EtcdCluster:
        self.three = self._stack.enter_context(EtcdCluster(self.folder / "etcd"))
        return self.three

    def shown(self, stream: str) -> dict[str, Any] | None:
        """What the first scheduler says of a stream."""
        with urllib.request.urlopen(f"{self.api_url}/v1/streams", timeout=30) as answer:
            return next((item for item in json.load(answer)["items"] if item["stream"] == stream), None)

    def claim(self) -> tuple[object, ...] | None:
        """Publication, edge and epoch of `STREAM`, as the registry and the first scheduler have them."""
        value, item = self.three.control("get", f"/lalmesh/claims/{STREAM}", "--print-value-only"), self.shown(STREAM)
        if not value.strip() or item is None or item["epoch"] is None:
            return None
        record = json.loads(value)
        return record["publication"], record["edge"], item["epoch"]["term"], item["epoch"]["revision"]


def killed(etcd: EtcdCluster, snapshot: Path) -> None:
    etcd.kill()
    time.sleep(AWAY_S)
    etcd.start()


def leader_moved(etcd: EtcdCluster, snapshot: Path) -> None:
    etcd.move_leader()
    time.sleep(1.0)
    leader = etcd.leader()
    leader.kill()
    time.sleep(AWAY_S)
    leader.start()


def compacted(etcd: EtcdCluster, snapshot: Path) -> None:
    etcd.members[0].compact(etcd.members[0].revision())
    etcd.members[0].kill()
    time.sleep(AWAY_S)
    etcd.members[0].start()


def wiped(etcd: EtcdCluster, snapshot: Path) -> None:
    etcd.kill()
    etcd.wipe()
    time.sleep(AWAY_S)
    etcd.start()


def restored(etcd: EtcdCluster, snapshot: Path) -> None:
    etcd.kill()
    etcd.restore(snapshot)
    etcd.start()


@pytest.mark.parametrize("disaster", [killed, leader_moved, compacted, wiped, restored])
async def test_publisher_and_players_miss_nothing_and_nobody_else_gets_the_stream(
    disaster: Callable[[EtcdCluster, Path], None], media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    settings = {"all": {"cluster.lease_s": LEASE_S}}
    cluster = stack.enter_context(ClusterOnThree(tmp_path, schedulers=2, origins=3, settings=settings))
    await asyncio.to_thread(cluster.three.save, tmp_path / "snapshot")  # of when nobody published
    file, (ingest, egress) = media("h264_b3_aac_60s"), cluster.edges
    publisher = stack.enter_context(Publisher(file, ingest.rtmp_url(STREAM), log=tmp_path / "push.log", loops=LOOPS))
    async with watched(egress.flv_url(STREAM), egress.rtmp_url(STREAM), ingest.flv_url(STREAM)) as players:
        before = await asyncio.to_thread(cluster.claim)
        assert before is not None
        async with knocking(egress, STREAM) as rival:
            begun = time.monotonic()
            await asyncio.to_thread(disaster, cluster.three, tmp_path / "snapshot")
            back = time.monotonic()
            await asyncio.to_thread(wait_until, "the claim as it was", lambda: cluster.claim() == before, BACK_S, every_s=0.2)
            print(f"{disaster.__name__}: {back - begun:.1f} s, the claim is there {time.monotonic() - back:.1f} s after")
            await asyncio.sleep(LEASE_S + 1.0)  # whatever settles has settled, and leases of before have run out
            assert await asyncio.to_thread(cluster.claim) == before
            await asyncio.gather(*(player.more(PICTURES) for player in players))
        assert rival.tries > 0
        assert rival.won == 0
        later = stack.enter_context(Publisher(file, egress.rtmp_url("live/later"), log=tmp_path / "later.log", loops=LOOPS))
        await asyncio.to_thread(wait_until, "a new stream", lambda: cluster.shown("live/later") is not None, LIMIT_S, every_s=0.2)
        shown = await asyncio.to_thread(cluster.shown, "live/later")
        assert shown is not None
        assert (shown["epoch"]["term"], shown["epoch"]["revision"]) > before[2:]
        assert later.running, later.describe()
    assert publisher.running, publisher.describe()
    check_all(frames.of_file(file, loops=LOOPS), players)
