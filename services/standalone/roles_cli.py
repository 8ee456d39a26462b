"""``lalmesh standalone | edge | origin | scheduler``: run one node until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from lalmesh.errors import LalmeshError, ServiceError
from lalmesh.runtime import telemetry
from lalmesh.runtime.config import ConfigError, Loaded, Problem, Sources, check_role
from lalmesh.runtime.log_setup import configure_logging
from services.standalone import settings
from services.standalone.config_cli import ConfigOption, LalOption, SetOption
from services.standalone.draining import until_drained
from services.standalone.node import Node, Role
from services.standalone.urls import describe

log = logging.getLogger(__name__)

SAME_SIGNAL_S = 0.5
GC_ALLOCATIONS = 20_000  #: objects more than before, that make a collection of the young ones worth its while

PortsOption = Annotated[
    Path | None,
    typer.Option("--ports-file", metavar="PATH", help="Write the bound ports here, as one JSON object, once all listen."),
]
LoopOption = Annotated[str, typer.Option("--loop", help="Event loop: auto (uvloop where there is one), uvloop, asyncio.")]

_HELP: dict[Role, str] = {
    "standalone": "Run all roles in this process, with no other service.",
    "edge": "Run an edge: takes publishers and players.",
    "origin": "Run an origin: owns streams and their caches.",
    "hls": "Run an hls node: makes segments of streams, stores and serves them.",
    "scheduler": "Run a scheduler: keeps the cluster in etcd and answers the API.",
}


def add_roles(app: typer.Typer) -> None:
    """Add a command a role."""
    for role in _HELP:
        app.command(role, help=_HELP[role])(_command(role))


def _command(role: Role) -> Callable[[ConfigOption, SetOption, LalOption, PortsOption, LoopOption], None]:
    def run(
        config: ConfigOption = None,
        sets: SetOption = None,
        lal_config: LalOption = None,
        ports_file: PortsOption = None,
        loop: LoopOption = "auto",
    ) -> None:
        try:
            sources = Sources(path=config, sets=sets or (), environ=os.environ, lal=lal_config)
            loaded = sources.load()
            check_role(loaded.config, role)
            if lal_config is not None:
                typer.echo(sources.lal_report(), err=True)
            factory = _loop_factory(loop)
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(_serve(loaded, role, sources, ports_file))
        except (LalmeshError, OSError) as error:
            typer.echo(f"lalmesh {role}: {error}", err=True)
            raise typer.Exit(1) from None

    return run


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop; None is asyncio's own.

    Raises:
        ConfigError: an unknown name, or uvloop where there is none.
    """
    if name not in ("auto", "uvloop", "asyncio"):
        raise ConfigError([Problem("--loop", f"{name!r} is none of auto, uvloop, asyncio")])
    if name == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        if name == "uvloop":
            raise ConfigError([Problem("--loop", "uvloop is not installed")]) from None
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(loaded: Loaded, role: Role, sources: Sources, ports_file: Path | None) -> None:
    """Run the node until a signal or its scheduler ends it, and it has drained.

    Raises:
        ServiceError: it cannot go on.
    """
    config = loaded.config
    configure_logging(config.telemetry, service=role, node=settings.node_name(config, role))
    settings.raise_descriptor_limit()
    telemetry.begin(config.telemetry.traces, role=role, node=settings.node_name(config, role))
    try:
        await _run(loaded, role, sources, ports_file)
    finally:
        await asyncio.to_thread(telemetry.end)  # what waits may take a moment to be sent


async def _run(loaded: Loaded, role: Role, sources: Sources, ports_file: Path | None) -> None:
    config, stop = loaded.config, _stop_signal()
    node = Node(loaded, role, sources)
    await node.start()
    _spare_the_collector()
    _on_hangup(node.reload)
    try:
        if ports_file is not None:
            _write_ports(ports_file, node.ports)
        typer.echo(describe(config, role, node.ports))
        sys.stdout.flush()
        await until_drained(node, stop)
        log.info("stopping")
    finally:
        await node.stop()
    if node.failed.done():
        raise ServiceError(node.failed.result())


def _spare_the_collector() -> None:
    """Take what start-up left, modules above all, out of garbage collection, and collect less often.

    Media makes no cycles, but each unit is an object: with the default of 700 a collection runs every few units.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, *gc.get_threshold()[1:])


def _stop_signal() -> asyncio.Event:
    """Set by SIGTERM and SIGINT; a later one ends the process at once.

    What comes within `SAME_SIGNAL_S` is the same word said twice: some who stop a process tell it and then its whole group.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    told_at = 0.0

    def told() -> None:
        nonlocal told_at
        if stop.is_set() and loop.time() - told_at > SAME_SIGNAL_S:
            os._exit(1)
        if not stop.is_set():
            told_at = loop.time()
            stop.set()

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


def _write_ports(path: Path, ports: dict[str, int]) -> None:
    """Write the file at once, so that who waits for it never reads half of it."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    made.write_text(f"{json.dumps(ports)}\n")
    os.replace(made, path)
