"""The command ``lalmesh``."""

from __future__ import annotations

from typing import Annotated

import typer

import lalmesh
from services.standalone.client_cli import add_client_commands
from services.standalone.config_cli import config_app
from services.standalone.drain_cli import add_drain_command
from services.standalone.roles_cli import add_roles

app = typer.Typer(
    name="lalmesh",
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


add_roles(app)
add_client_commands(app)
add_drain_command(app)
app.add_typer(config_app)


def main() -> None:
    """Run the command line."""
    app()
