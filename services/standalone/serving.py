"""A node in this process, from its start until it has drained."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

from lalmesh.errors import ServiceError
from lalmesh.runtime import telemetry
from lalmesh.runtime.config import Loaded, Role, Sources
from lalmesh.runtime.log_setup import configure_logging
from services.standalone import settings
from services.standalone.draining import until_drained
from services.standalone.end_signals import EndSignals, Word
from services.standalone.node import Node
from services.standalone.urls import say_where
from services.standalone.workers import Worker, end_with_supervisor, keep_saying_it_lives, listens_at, share_of

log = logging.getLogger(__name__)

GC_ALLOCATIONS = 20_000  #: objects more than before, that make a collection of the young ones worth its while


async def serve(loaded: Loaded, role: Role, sources: Sources, ports_file: Path | None, worker: Worker | None) -> None:
    """Run the node, or one `worker` of it, until a signal or its scheduler ends it, and it has drained.

    Raises:
        ServiceError: it cannot go on.
        OSError: a port cannot be bound.
        ConfigError: a file that the configuration names cannot be used.
    """
    config = loaded.config
    if worker is not None:
        end_with_supervisor(worker)
        config = share_of(config, role, worker)
    name = settings.node_name(config, role)
    configure_logging(config.telemetry, service=role, node=name)
    settings.raise_descriptor_limit()
    telemetry.begin(config.telemetry.traces, role=role, node=name)
    try:
        await _run(loaded, role, sources, ports_file, worker)
    finally:
        await asyncio.to_thread(telemetry.end)  # what waits may take a moment to be sent


async def _run(loaded: Loaded, role: Role, sources: Sources, ports_file: Path | None, worker: Worker | None) -> None:
    config, stop = loaded.config, _stop_signal()
    node = Node(loaded, role, sources, worker)
    await node.start()
    _spare_the_collector()
    _on_hangup(node.reload)
    told: asyncio.Task[None] | None = None
    try:
        if worker is not None:
            told = asyncio.create_task(_tell_supervisor(node, worker))
        else:
            say_where(config, role, node.ports, ports_file)
        await until_drained(node, stop)
        log.info("stopping")
    finally:
        if told is not None:
            told.cancel()
        await node.stop()
    if node.failed.done():
        raise ServiceError(node.failed.result())


async def _tell_supervisor(node: Node, worker: Worker) -> None:
    await node.listens()
    listens_at(worker, node.ports)
    keep_saying_it_lives(worker)


def _spare_the_collector() -> None:
    """Take what start-up left, modules above all, out of garbage collection, and collect less often.

    Media makes no cycles, but each unit is an object: with the default of 700 a collection runs every few units.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, *gc.get_threshold()[1:])


def _stop_signal() -> asyncio.Event:
    """Set by SIGTERM and SIGINT; a later one ends the process at once."""
    stop, signals = asyncio.Event(), EndSignals()
    loop = asyncio.get_running_loop()

    def told() -> None:
        match signals.told(loop.time()):
            case Word.END:
                stop.set()
            case Word.AT_ONCE:
                os._exit(1)
            case Word.NOTHING:
                pass

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, told)
        except NotImplementedError:  # loops of Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(told))
    return stop


def _on_hangup(reload: Callable[[], None]) -> None:
    """Let SIGHUP read configuration and certificates again. The files of these are looked at from time to time too."""
    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
