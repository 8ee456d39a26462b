"""What a worker is told, and what it tells."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from support.virtual_time import in_virtual_time

from services.standalone.workers import Worker, keep_saying_it_lives, listens_at, node_drains, worker_here, worker_leaves
from services.standalone.workers._worker import LIVES, parse_ports, worker_lives


class Told:
    """A worker, and what its supervisor reads."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        os.set_blocking(self.reading, False)
        os.set_blocking(writing, False)
        self.worker = Worker(node="e", number=1, count=2, report_fd=writing)

    def read(self) -> bytes:
        try:
            return os.read(self.reading, 1 << 20)
        except BlockingIOError:
            return b""


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    yield made
    os.close(made.worker.report_fd)
    if made.reading >= 0:
        os.close(made.reading)


def test_a_worker_knows_which_it_is_and_nobody_that_it_starts_does() -> None:
    made = Worker(node="e", number=2, count=3, ports={"rtmp": 1935}, lifeline_fd=7, report_fd=8)
    environ = dict(made.environ)
    assert (worker_here(environ), environ, made.name) == (made, {}, "e-2")
    assert worker_here(environ) is None


def test_all_that_is_told_is_a_line(told: Told) -> None:
    listens_at(told.worker, {"rtmp": 1935})
    line = told.read()
    assert parse_ports(line) == {"rtmp": 1935}
    assert parse_ports(line[:-1]) is None, "it ended amid it"
    for tell in (node_drains, worker_leaves, worker_lives):
        tell(told.worker)
    assert told.read() == b"drains\nleaves\nlives\n"


def test_a_worker_does_not_wait_for_a_supervisor_that_stands_still_nor_mind_that_it_is_gone(told: Told) -> None:
    for _ in range(1 << 16):
        worker_lives(told.worker)
    assert len(told.read()) < len(LIVES) << 16
    os.close(told.reading)
    told.reading = -1
    worker_lives(told.worker)


@in_virtual_time
async def test_it_is_said_each_second_that_the_loop_runs(told: Told) -> None:
    keep_saying_it_lives(told.worker)
    await asyncio.sleep(4.5)
    assert told.read() == 5 * LIVES
