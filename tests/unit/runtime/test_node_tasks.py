"""What a node makes of the end of one of its tasks."""

from __future__ import annotations

import asyncio

import pytest
from support.virtual_time import in_virtual_time, settle

from lalmesh.runtime.node_tasks import end_with_any


async def fails() -> None:
    raise IndexError("a bug of ours")


async def ends() -> None:
    """In order, as a member does that was evicted."""


@in_virtual_time
async def test_only_a_failure_is_told_and_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    failed, works = list[str](), {"edge-sweep": fails(), "edge-membership": ends(), "edge-events": asyncio.sleep(9)}
    tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]
    end_with_any(tasks, failed.append)
    await settle()
    tasks[-1].cancel()
    await settle()
    assert failed == ["edge-sweep failed: IndexError('a bug of ours')"]
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info and record.exc_info[0]) == ("edge-sweep failed", IndexError)
