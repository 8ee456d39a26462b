"""``lalmesh config``: check a configuration, show what is in force, print the schema."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from lalmesh.runtime.config import ConfigError, Loaded, Role, check_role, config_schema, load, show_yaml
from lalmesh.runtime.config.lal import convert, lal_yaml, read_lal

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="YAML file.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Beats file and environment; repeatable.")]
LalOption = Annotated[
    Path | None, typer.Option("--lal-config", metavar="FILE", help="JSON file of lal, as it is; every other source beats it.")
]
RoleOption = Annotated[Role | None, typer.Option("--role", help="Also check what this role cannot start without.")]

config_app = typer.Typer(name="config", help="Check and show the configuration.", no_args_is_help=True)


def add_config_commands(app: typer.Typer) -> None:
    """Add config to `app`."""
    app.add_typer(config_app)


@config_app.command()
def check(config: ConfigOption = None, sets: SetOption = None, role: RoleOption = None, lal_config: LalOption = None) -> None:
    """Print "ok", or every problem and exit with status 1."""
    _load_or_exit(config, sets, role, lal_config)
    typer.echo("ok")


@config_app.command()
def show(config: ConfigOption = None, sets: SetOption = None, lal_config: LalOption = None) -> None:
    """Print what is in force and where it came from, secrets masked."""
    typer.echo(show_yaml(_load_or_exit(config, sets, None, lal_config)), nl=False)


@config_app.command()
def schema() -> None:
    """Print the JSON schema of the configuration file."""
    typer.echo(json.dumps(config_schema(), indent=2))


@config_app.command()
def from_lal(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON file of lal.")],
    secrets: Annotated[
        Path | None, typer.Option("--secrets", metavar="DIR", help="Write the secrets of the file here, each into a file.")
    ] = None,
) -> None:
    """Print what lal's file means here as YAML, and on standard error what became of each of its keys."""
    try:
        made = convert(read_lal(file), lambda name: Path(name).is_file())
        typer.echo(lal_yaml(made, secrets), nl=False)
    except (ConfigError, OSError) as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(1) from None
    typer.echo(made.report(), err=True)


def _load_or_exit(config: Path | None, sets: list[str] | None, role: Role | None, lal: Path | None) -> Loaded:
    try:
        loaded = load(config, sets or [], os.environ, lal=lal)
        if role is not None:
            check_role(loaded.config, role)
    except ConfigError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(1) from None
    return loaded
