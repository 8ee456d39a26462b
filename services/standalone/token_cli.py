"""``lalmesh token``: make a token of the API, and the line that the configuration keeps of it."""

from __future__ import annotations

from typing import Annotated

import typer

from lalmesh.runtime.api_tokens import ApiToken, hash_token, make_token, parse_time, parse_token

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the token is called in logs and lists.")]
RoleOption = Annotated[str, typer.Option("--role", metavar="ROLE", help="What it may: viewer, operator or admin.")]
ExpiresOption = Annotated[str, typer.Option("--expires", metavar="TIME", help="When it ends, such as 2030-01-31; empty: never.")]


def add_token_command(app: typer.Typer) -> None:
    """Add token to `app`."""
    app.command("token")(token_command)


def token_command(name: NameArgument, role: RoleOption = "viewer", expires: ExpiresOption = "") -> None:
    """Make a token of the scheduler's HTTP API. It is printed here and kept nowhere; the configuration gets its hash."""
    try:
        token = make_token()
        kept = _kept(name, role, hash_token(token), expires)
    except ValueError as error:
        typer.echo(f"lalmesh token: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"token, for whoever is to have it:\n  {token}\n")
    typer.echo(f"for the configuration of every scheduler:\n  scheduler:\n    http:\n      tokens:\n        - {kept}")


def _kept(name: str, role: str, digest: str, expires: str) -> ApiToken:
    return parse_token(f"{name or '?'} {role} {digest}" + (f" expires={_time(expires)}" if expires else ""))


def _time(text: str) -> str:
    parse_time(text)
    return text.strip().replace(" ", "T")
