"""HLS of a stream of 20 Mbit/s while the disk is full: live goes on from memory, which is bounded."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.test_hls_storage import AWAY_S, BACK_S, LIMIT_S, QUICK, TS, StartStandalone, check_live, metric, push, server
from support.hls_poller import Replicas, polling, until

MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], stdin=subprocess.DEVNULL, check=True)


async def test_live_goes_on_from_bounded_memory_while_the_disk_is_full(
    small_disk: Path, start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    limits = {"hls.storage.url": str(small_disk / "media"), "hls.memory_bytes": 16 * MIB}
    node = start_standalone({**QUICK, **limits})
    push("h264_20m_aac", node, stack, tmp_path)
    async with polling(Replicas([server(node)]), TS) as (ts,):
        await until("segments", lambda: len(ts.arrived) >= 3, LIMIT_S)
        fill(small_disk / "filler")
        most_bytes, full_at = 0.0, time.monotonic()
        while time.monotonic() < full_at + AWAY_S:
            most_bytes = max(most_bytes, metric([node], "hls_memory_bytes"))
            await asyncio.sleep(0.5)
        assert metric([node], "hls_storage_failures_total") > 0
        lost = metric([node], "hls_lost_segments_total")
        assert lost > 0
        stored = metric([node], "hls_stored_segments_total")
        (small_disk / "filler").unlink()
        await until("nothing waits", lambda: metric([node], "hls_unstored_segments") == 0, BACK_S)
        await until("stored again", lambda: metric([node], "hls_stored_segments_total") > stored + 1, LIMIT_S)
    assert most_bytes <= 16 * MIB + 4 * MIB  # the newest segment is kept whatever it takes
    check_live(ts)
    assert len(ts.arrived) >= AWAY_S
    assert node.running


def fill(path: Path) -> None:
    """Leave no room on the disk."""
    with path.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(MIB))
        except OSError:
            return
