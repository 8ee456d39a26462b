"""``lalmesh standalone | edge | origin | scheduler``: run one node until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from lalmesh.errors import LalmeshError
from lalmesh.runtime.config import ConfigError, Loaded, Problem, Role, Sources, check_role
from services.standalone.config_cli import ConfigOption, LalOption, SetOption
from services.standalone.workers import Worker, worker_count, worker_here

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
            worker = worker_here()
            sources = Sources(path=config, sets=sets or (), environ=os.environ, lal=lal_config)
            loaded = sources.load()
            check_role(loaded.config, role)
            if lal_config is not None and worker is None:
                typer.echo(sources.lal_report(), err=True)
            factory = _loop_factory(loop)
            count = worker_count(loaded.config, role)
            if worker is None and count > 1:
                _supervise(loaded, role, count, _arguments(sources, loop), ports_file)
            else:
                _serve(loaded, role, sources, ports_file, worker, factory)
        except (LalmeshError, OSError) as error:
            typer.echo(f"lalmesh {role}: {error}", err=True)
            raise typer.Exit(1) from None

    return run


def _serve(
    loaded: Loaded,
    role: Role,
    sources: Sources,
    ports_file: Path | None,
    worker: Worker | None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
) -> None:
    from services.standalone.serving import serve

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve(loaded, role, sources, ports_file, worker))


def _supervise(loaded: Loaded, role: Role, count: int, arguments: Sequence[str], ports_file: Path | None) -> None:
    from services.standalone.supervising import supervise

    asyncio.run(supervise(loaded.config, role, count, arguments, ports_file))  # it moves nothing, so any loop will do


def _arguments(sources: Sources, loop: str) -> list[str]:
    """The command line again, for workers: behind their role, and without the file of ports, which are those of all."""
    options = [("--config", sources.path), ("--lal-config", sources.lal), ("--loop", loop)]
    options += [("--set", each) for each in sources.sets]
    return [str(part) for name, value in options if value is not None for part in (name, value)]


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
