"""How long nodes drain: by a deadline of the command, by signals, by the configuration; and without a scheduler."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from support import wire
from support.cluster import Cluster
from support.drained import LIMIT_S, LONG, LONG_S, SETTINGS, STREAM, by_command, drain, ends, owner, show
from support.process import wait_until
from support.recorder import recorder, recording

from services.standalone.end_signals import SAME_SIGNAL_S

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]


async def test_a_second_signal_ends_a_drain_at_once(start_cluster: StartCluster, media: Media, tmp_path: Path) -> None:
    cluster = start_cluster(origins=1, settings=LONG)
    kept, drained = cluster.edges
    async with show(cluster, media, tmp_path, kept, kept) as shown, wire.player(drained.flv_url(STREAM)):
        drained.terminate()
        await asyncio.to_thread(wait_until, "unreadiness", lambda: not drained.is_ready(), LIMIT_S)  # it has heard the first
        await asyncio.sleep(SAME_SIGNAL_S + 0.1)  # the next one is another
        assert drained.running
        os.kill(drained.pid, signal.SIGTERM)
        assert await asyncio.to_thread(drained.wait, LIMIT_S) == 1
        await shown.go_on()
        shown.judge()


async def test_who_waits_returns_when_the_node_has_left_by_the_deadline_that_it_was_given(
    start_cluster: StartCluster, media: Media, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1, settings=LONG)
    kept, drained = cluster.edges
    deadline_s = 3.0
    async with show(cluster, media, tmp_path, kept, kept) as shown:
        staying = recorder("staying", drained.flv_url(STREAM))
        async with recording(staying):
            await staying.more(LIMIT_S)
            began = time.monotonic()
            await asyncio.to_thread(by_command, cluster, drained, "--wait", "--deadline", f"{deadline_s}")
            assert deadline_s - 0.5 <= time.monotonic() - began < LIMIT_S
            await ends(drained, LIMIT_S)
        await shown.go_on()
        shown.judge()


async def test_a_signal_leaves_a_node_no_more_than_what_is_configured_whatever_it_was_given(
    start_cluster: StartCluster, media: Media, tmp_path: Path
) -> None:
    configured_s = 2.0
    cluster = start_cluster(origins=1, settings={**SETTINGS, "all": {"cluster.drain_s": configured_s}})
    kept, drained = cluster.edges
    async with show(cluster, media, tmp_path, kept, kept) as shown:
        staying = recorder("staying", drained.flv_url(STREAM))
        async with recording(staying):
            await staying.more(LIMIT_S)
            await asyncio.to_thread(by_command, cluster, drained, "--deadline", f"{LONG_S}")
            await asyncio.sleep(configured_s + 1.0)
            assert drained.running
            drained.terminate()
            assert await ends(drained, LIMIT_S) >= configured_s - 0.5
        await shown.go_on()
        shown.judge()


async def test_without_a_scheduler_nodes_end_by_their_deadline_and_players_elsewhere_see_nothing(
    start_cluster: StartCluster, media: Media, tmp_path: Path
) -> None:
    deadline_s = 3.0
    cluster = start_cluster(settings={**SETTINGS, "all": {"cluster.drain_s": deadline_s}})
    kept, drained = cluster.edges
    async with show(cluster, media, tmp_path, kept, kept) as shown:
        first = await asyncio.to_thread(owner, cluster, "origin")
        staying = recorder("staying", drained.flv_url(STREAM))
        async with recording(staying):
            await staying.more(LIMIT_S)
            for scheduler in cluster.schedulers:
                scheduler.kill()
            refused = await asyncio.to_thread(drain, cluster, drained, "--wait")
            assert (refused.returncode, refused.stdout) == (1, "")
            assert refused.stderr.startswith("lalmesh drain: ")
            for node in (first, drained):
                node.terminate()
            took_s = await asyncio.gather(*(ends(node, LIMIT_S) for node in (first, drained)))
            assert min(took_s) >= deadline_s - 0.5
        await shown.go_on()
        shown.judge()
