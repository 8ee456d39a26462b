"""What the tests on real sockets share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from support.etcd import CAN_RUN_ETCD, EtcdServer
from support.forks import forking
from support.loops import LOOP_FACTORIES, Run

LIMIT_S = 40.0


@pytest.fixture(scope="session", autouse=True)
def _quick_nodes() -> Iterator[None]:
    """Nodes begin at once."""
    with forking():
        yield


@pytest.fixture(params=LOOP_FACTORIES)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on either loop, within a limit."""

    def runner(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(work, LIMIT_S))

    return runner


@pytest.fixture(scope="module")
def etcd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """One that all tests of a module share, each under a prefix of its own."""
    if not CAN_RUN_ETCD:
        pytest.skip("no etcd server here")
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as running:
        yield running
