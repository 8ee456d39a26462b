"""An hls node as a whole, without a cluster around it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry
from support.edge_fakes import FakeLinks
from support.hls_fakes import NODE, SETTINGS, STREAM, FakeHlsScheduler, FakeStorage

from lalmesh.runtime.follower import FollowSettings
from services.hls import layout
from services.hls.app import HlsApp
from services.hls.settings import HlsSettings

LIMIT_S = 30.0
KEEP_S = 300.0
WORKER = replace(SETTINGS, follow=FollowSettings(lost_s=30, keep_s=KEEP_S))


def app(storage: FakeStorage, folder: Path) -> HlsApp:
    settings = HlsSettings(worker=WORKER, spool_dir=folder)
    return HlsApp(
        NODE.node, (), settings, FakeHlsScheduler(), FakeLinks(), storage, CollectorRegistry(), None, lambda: "127.0.0.1", print
    )


async def put(storage: FakeStorage, name: str, age_s: float) -> None:
    storage.now_us = time.time_ns() // 1000 - round(age_s * 1e6)
    await storage.put(layout.file_path(STREAM._replace(name=name), "1.1-5.ts"), b"x")


async def test_segments_stay_for_as_long_as_another_worker_may_go_on_with_them(tmp_path: Path) -> None:
    assert WORKER.linger_s < 100 < KEEP_S
    storage = FakeStorage()
    await put(storage, "left", 200)
    await put(storage, "gone", 500)
    node = app(storage, tmp_path)
    await node.start()
    async with asyncio.timeout(LIMIT_S):
        while len(storage.objects) > 1:  # noqa: ASYNC110 -- a storage tells nobody
            await asyncio.sleep(0.005)
    await node.stop()
    assert list(storage.objects) == [layout.file_path(STREAM._replace(name="left"), "1.1-5.ts")]


async def test_recordings_are_swept_only_while_the_scheduler_answers(tmp_path: Path) -> None:
    node = app(FakeStorage(), tmp_path)
    assert not node.recordings.recordings.are_rules_fresh()
    node.member.joined.set()
    assert node.recordings.recordings.are_rules_fresh()
