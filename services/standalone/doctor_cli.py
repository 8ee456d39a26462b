"""``lalmesh doctor``: look at this machine and its cluster as a role would. Exit status 0 is well, 1 is that something failed."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import typer

from lalmesh.errors import LalmeshError
from lalmesh.runtime.config import Role, load_config
from services.standalone import settings
from services.standalone.config_cli import ConfigOption, LalOption, SetOption
from services.standalone.doctor import Examined, Place, as_json, as_text, examine, exit_status

RoleOption = Annotated[Role, typer.Option("--role", help="What is to run, or runs, on this machine.")]
ApiOption = Annotated[
    str, typer.Option("--api", metavar="URL", help="HTTP API of a scheduler, to look at the cluster; by default as configured.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Leave out what is well.")]
LimitOption = Annotated[float, typer.Option("--limit", metavar="S", min=0.5, max=60, help="Longest time for one check.")]


def add_doctor_command(app: typer.Typer) -> None:
    """Add doctor to `app`."""
    app.command("doctor")(doctor_command)


def doctor_command(
    role: RoleOption = "standalone",
    config: ConfigOption = None,
    sets: SetOption = None,
    lal_config: LalOption = None,
    api: ApiOption = "",
    limit: LimitOption = 5.0,
    as_object: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what is missing or closed on this machine or in this cluster, and what to do about it."""
    try:
        loaded = load_config(config, sets or [], os.environ, lal=lal_config)
    except (LalmeshError, OSError) as error:
        typer.echo(f"lalmesh doctor: {error}", err=True)
        raise typer.Exit(1) from None
    place = Place(loaded, role, api, limit)
    examined = _examined(place)
    node = settings.node_name(loaded, role)
    typer.echo(as_json(place, node, examined) if as_object else as_text(place, node, examined, quiet=quiet))
    status = exit_status(examined)
    if examined.hung:  # of what hangs, some threads are waited for at the end of a process: nobody has the time
        sys.stdout.flush()
        os._exit(status)
    raise typer.Exit(status)


def _examined(place: Place) -> Examined:
    """What is found. The loop is closed without waiting for threads of its own, which may hang."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(examine(place))
    finally:
        loop.close()
