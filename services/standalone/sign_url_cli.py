"""``lalmesh sign-url URL``: let somebody publish or play for a while. Exit status 0 is done, 1 is refused."""

from __future__ import annotations

import os
import time
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

import typer

from lalmesh.errors import InvalidName, LalmeshError
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.protocol.hls import parse_path
from lalmesh.runtime.authorisation import Action, signed_query
from lalmesh.runtime.config import keys_of, load_config
from services.standalone.config_cli import ConfigOption, SetOption

HTTP_SCHEMES = ("http", "https", "ws", "wss")
HTTP_SUFFIXES = (".flv", ".ts", ".mp4")
HLS, RECORDINGS = "/hls/", "/record/"
DEFAULT_S = 3600

UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="Of a stream: rtmp, rtsp, http or ws, HLS and recordings too.")]
ActionOption = Annotated[Literal["publish", "play"], typer.Option("--action", help="What it is to let in for.")]
LastsOption = Annotated[int, typer.Option("--for", metavar="S", min=1, help="How many seconds it is good for, to begin with.")]
AddressOption = Annotated[str, typer.Option("--address", metavar="CIDR", help="Where the client comes from; empty: anywhere.")]
KeyOption = Annotated[str, typer.Option("--key", metavar="NAME", help="Which of auth.signed.keys; empty: the first.")]


def add_sign_url_command(app: typer.Typer) -> None:
    """Add sign-url to `app`."""
    app.command("sign-url")(sign_url_command)


def sign_url_command(
    url: UrlArgument,
    action: ActionOption = "play",
    lasts_s: LastsOption = DEFAULT_S,
    address: AddressOption = "",
    key: KeyOption = "",
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print URL with a signature, made with a key of auth.signed.keys."""
    try:
        loaded = load_config(config, sets or [], os.environ)
        keys, stream = keys_of(loaded.auth.signed.keys), stream_of(url)
        stream = stream if loaded.cluster.match_app else StreamKey(ANY_APP, stream.name)
        name = key or next(iter(keys), "")
        if name not in keys:
            raise ValueError(f"no key {name!r} in auth.signed.keys" if name else "auth.signed.keys has no key")
        expires_s = int(time.time()) + lasts_s
        query = signed_query(keys[name], Action(action), stream, expires_s=expires_s, key_id=name, address=address)
    except (LalmeshError, ValueError) as error:
        typer.echo(f"lalmesh: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{url}{'&' if '?' in url else '?'}{query}")


def stream_of(url: str) -> StreamKey:
    """The stream that a URL of this server names.

    Raises:
        LalmeshError: it names none.
    """
    parts = urlsplit(url)
    path = parts.path
    if parts.scheme in HTTP_SCHEMES and path.startswith(HLS) and not path.endswith(".flv"):
        found = parse_path(path)
        if found.app is None:
            raise InvalidName("the URL leaves the application out, which is signed too")
        return StreamKey(found.app, found.name)
    if parts.scheme in HTTP_SCHEMES and path.startswith(RECORDINGS):
        path = path.removeprefix(RECORDINGS).rpartition("/")[0]
    elif parts.scheme in HTTP_SCHEMES:
        suffix = next((suffix for suffix in HTTP_SUFFIXES if path.endswith(suffix)), "")
        path = path.removesuffix(suffix)
    return StreamKey.parse(unquote(path))
