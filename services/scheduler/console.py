"""The console: files that `tools/console.sh` builds from ``console/``, served at ``/console/``.

The player has a page to itself, in a frame of the console: that page alone may ask edges, and the console alone has the token. What
each may is said by its policy, which names the edges that there are when the player is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.scheduling.model import Role
from services.scheduler.directory import Directory

PATH = "/console/"
INDEX, PLAYER = "index.html", "player.html"
#: in a wheel, and in a checkout
FOLDERS = (Path(__file__).parent / "console_files", Path(__file__).parents[2] / "console" / "dist")
NOT_BUILT = (
    "The console is not in this installation. It is built by `make setup` where npm is installed, and is part of the wheel.\n"
)
MAX_NAMED = 200  #: endpoints in a policy: a header of over 8 KB is refused by some proxies

_PLAYED = {"http": ("http", "ws"), "https": ("https", "wss")}  #: schemes by protocol of an endpoint
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_COMMON = "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'"
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
#: of the console: itself, this scheduler, and its own player
POLICY = (
    f"{_COMMON}; img-src 'self'; connect-src 'self'; frame-src 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_FOREVER = "public, max-age=31536000, immutable"  #: for names that have a hash of the content

#: what may stand in a policy; anything else in a node's address would say something else there
_NAMEABLE = re.compile(r"[\w.:-]+", re.ASCII)

Endpoints = Callable[[], Iterable[tuple[str, str, int]]]


def built(folders: Iterable[Path]) -> Mapping[str, Path]:
    """The files by their paths below `PATH`; none where the console was not built."""
    for folder in folders:
        if (folder / INDEX).is_file():
            return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.suffix in _TYPES}
    return {}


def player_policy(endpoints: Iterable[tuple[str, str, int]]) -> str:
    """The policy of the player's page: `endpoints` are protocol, host and port of what edges are reached by."""
    named = dict.fromkeys(
        f"{scheme}://{host_port(host, port)}"
        for protocol, host, port in endpoints
        for scheme in _PLAYED.get(protocol, ())
        if _NAMEABLE.fullmatch(host)
    )
    edges = " ".join([*named][:MAX_NAMED]) if len(named) <= MAX_NAMED else "http: https: ws: wss:"
    return f"{_COMMON}; connect-src {edges or chr(39) + 'none' + chr(39)}; media-src blob: {edges}; frame-ancestors 'self'"


def edge_endpoints(directory: Directory) -> Iterable[tuple[str, str, int]]:
    """What edges are reached by."""
    for record in directory.nodes():
        if record.role is Role.EDGE:
            yield from ((each.protocol, each.host, each.port) for each in record.endpoints)


def add_console(app: web.Application, endpoints: Endpoints) -> None:
    """Have `app` serve the console; `endpoints` are those of `player_policy`."""
    files = built(FOLDERS)
    app.router.add_get(PATH.rstrip("/"), _lead)
    app.router.add_get(PATH, partial(_serve, files, endpoints))
    app.router.add_get(f"{PATH}{{file:.+}}", partial(_serve, files, endpoints))


async def _lead(request: web.Request) -> web.StreamResponse:
    return web.Response(status=HTTPStatus.PERMANENT_REDIRECT, headers={"Location": PATH})


async def _serve(files: Mapping[str, Path], endpoints: Endpoints, request: web.Request) -> web.StreamResponse:
    name = request.match_info.get("file", INDEX)
    if not files:
        return web.Response(status=HTTPStatus.NOT_FOUND, text=NOT_BUILT, headers=_HEADERS)
    path = files.get(name)
    if path is None:
        return web.Response(status=HTTPStatus.NOT_FOUND, text="The console has no such file.\n", headers=_HEADERS)
    is_page = path.suffix == ".html"
    headers = {
        **_HEADERS,
        "Content-Type": f"{_TYPES[path.suffix]}; charset=utf-8",
        "Cache-Control": "no-cache" if is_page else _FOREVER,
    }
    if is_page:
        headers["Content-Security-Policy"] = player_policy(endpoints()) if name == PLAYER else POLICY
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return web.FileResponse(path, headers=headers)
