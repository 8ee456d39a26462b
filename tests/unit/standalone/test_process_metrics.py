from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.certificates import self_signed

from lalmesh.runtime.log_writing import LogWriter
from services.standalone.process_metrics import ProcessMetrics

DAY_S = 86_400
CERTIFICATE = "lalmesh_cluster_certificate_end_timestamp_seconds"


def test_a_process_tells_its_clock_and_when_its_certificate_ends(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(ProcessMetrics(str(self_signed(tmp_path)), wall_clock=lambda: 7.5))
    assert registry.get_sample_value("lalmesh_time_seconds") == 7.5
    ends_at = registry.get_sample_value(CERTIFICATE)
    made_at = (tmp_path / "edge.pem").stat().st_mtime
    assert ends_at is not None
    assert abs(ends_at - made_at - 2 * DAY_S) < 60


def test_without_a_certificate_or_with_one_that_is_none_nothing_is_told_of_it(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("no certificate")
    for file in ("", str(tmp_path / "none.pem")):
        registry = CollectorRegistry()
        registry.register(ProcessMetrics(file))
        assert registry.get_sample_value(CERTIFICATE) is None


async def test_a_task_counts_until_it_has_ended() -> None:
    registry = CollectorRegistry()
    registry.register(ProcessMetrics(""))
    before = registry.get_sample_value("lalmesh_tasks")
    task = asyncio.create_task(asyncio.Event().wait())
    assert registry.get_sample_value("lalmesh_tasks") == (before or 0) + 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert registry.get_sample_value("lalmesh_tasks") == before


def test_memory_that_is_kept_and_threads_are_told_also_where_there_is_no_loop() -> None:
    registry = CollectorRegistry()
    registry.register(ProcessMetrics(""))
    before = registry.get_sample_value("lalmesh_python_blocks") or 0
    kept = [{number: str(number)} for number in range(50_000)]
    assert (registry.get_sample_value("lalmesh_python_blocks") or 0) > before + len(kept)
    assert registry.get_sample_value("lalmesh_threads") == len(list(Path("/proc/self/task").iterdir()))
    assert registry.get_sample_value("lalmesh_tasks") == 0


def test_lines_that_a_log_has_dropped_are_counted() -> None:
    registry = CollectorRegistry()
    registry.register(ProcessMetrics(""))
    writer = LogWriter(logging.NullHandler())
    logging.getLogger().addHandler(writer)
    try:
        assert registry.get_sample_value("lalmesh_log_lines_dropped_total") == 0
        writer.dropped = 3
        assert registry.get_sample_value("lalmesh_log_lines_dropped_total") == 3
    finally:
        logging.getLogger().removeHandler(writer)
        writer.close()


def test_what_is_in_use_of_the_heap_is_told() -> None:
    registry = CollectorRegistry()
    registry.register(ProcessMetrics(""))
    before = registry.get_sample_value("lalmesh_heap_used_bytes")
    if before is None:
        pytest.skip("this C library does not tell")
    kept = [bytes(100_000) for _ in range(100)]  # each too small to be mapped by itself, too large for Python's own pools
    after = registry.get_sample_value("lalmesh_heap_used_bytes") or 0
    assert after - before == pytest.approx(100 * len(kept[0]), rel=0.2)
    kept.clear()
    assert (registry.get_sample_value("lalmesh_heap_used_bytes") or 0) < after - 5_000_000
