"""The command ``lalmesh``."""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

import lalmesh

#: Objects more than before that make a collection worth its while as long as a node starts. What imports and models of the
#: configuration make, a fifth of a million, is no garbage: to look through it again and again took a tenth of a second.
START_ALLOCATIONS = 300_000

_ROLES = ("services.standalone.roles_cli", "add_roles")
_CLIENT = ("services.standalone.client_cli", "add_client_commands")
_LOAD = ("services.standalone.load_cli", "add_load_commands")
#: What adds each command, by module and name.
_ADDED_BY = {
    **dict.fromkeys(("standalone", "edge", "origin", "hls", "scheduler"), _ROLES),
    **dict.fromkeys(("push", "pull", "probe"), _CLIENT),
    **dict.fromkeys(("bench", "delay"), _LOAD),
    "drain": ("services.standalone.drain_cli", "add_drain_command"),
    "doctor": ("services.standalone.doctor_cli", "add_doctor_command"),
    "sign-url": ("services.standalone.sign_url_cli", "add_sign_url_command"),
    "token": ("services.standalone.token_cli", "add_token_command"),
    "config": ("services.standalone.config_cli", "add_config_commands"),
}


class _Commands(TyperGroup):
    """The commands, each imported when it is asked for: a node needs no client, and a client no node.

    `Any` is what the click inside of typer has: that has no public name.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_ADDED_BY)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _ADDED_BY:
            return None
        module, add = _ADDED_BY[cmd_name]
        if _ADDED_BY[cmd_name] is _ROLES:  # once it serves, a node has a threshold for that
            gc.set_threshold(START_ALLOCATIONS, *gc.get_threshold()[1:])
        having = typer.Typer()
        getattr(import_module(module), add)(having)
        return get_group(having).get_command(ctx, cmd_name)


app = typer.Typer(
    name="lalmesh",
    cls=_Commands,
    help="Live streaming as a cluster: edge, origin and scheduler, or all of them in one process.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lalmesh {lalmesh.__version__}")
        raise typer.Exit


@app.callback()
def lalmesh_command(
    version: Annotated[
        bool, typer.Option("--version", "-v", callback=_print_version, is_eager=True, help="Print it and exit.")
    ] = False,
) -> None:
    """Live streaming as a cluster: edge, origin and scheduler, or all of them in one process."""


def main() -> None:
    """Run the command line."""
    app()
