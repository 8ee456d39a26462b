"""``/debug/`` of the port for health and metrics: a profile of the process, and what it holds, for whoever has the token."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import math
import threading

from aiohttp import web

from lalmesh.runtime.objects import count_objects
from lalmesh.runtime.profile import MAX_SECONDS, sample

log = logging.getLogger(__name__)

PATH = "/debug/profile"
OBJECTS_PATH = "/debug/objects"
DEFAULT_SECONDS = 10.0
_FORMATS = {"speedscope": "application/json", "collapsed": "text/plain"}


class ProfileHttp:
    """Makes profiles, one at a time, and counts objects."""

    def __init__(self, token: str, name: str) -> None:
        """Answer who has `token`, nobody where it is empty; `name` is what profiles are called."""
        self._token = token.encode()
        self._name = name
        self._is_busy = False

    async def answer(self, request: web.Request) -> web.Response:
        """A profile of ``seconds``, in the ``format`` speedscope or collapsed."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        seconds, form = _number(request.query.get("seconds", "")), request.query.get("format", "speedscope")
        if seconds is None or form not in _FORMATS:
            return web.Response(status=400, text=f"seconds from 1 to {MAX_SECONDS:g}, format speedscope or collapsed\n")
        if self._is_busy:
            return web.Response(status=409, text="a profile is being made\n")
        return web.Response(text=await self._profile(seconds, form), content_type=_FORMATS[form])

    def objects(self, request: web.Request) -> web.Response:
        """How many objects of each type there are."""
        return self._refusal(request) or web.Response(text=count_objects().document(), content_type="application/json")

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not self._token:
            return web.Response(status=404, text="no profiles: metrics.profile_token is not configured\n")
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(errors="surrogateescape"), self._token):
            return web.Response(status=401, text="a bearer token is needed\n", headers={"WWW-Authenticate": "Bearer"})
        return None

    async def _profile(self, seconds: float, form: str) -> str:
        self._is_busy, stopped = True, threading.Event()
        log.warning("a profile of %g s is made", seconds)
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        made: list[str] = []

        def work() -> None:
            try:
                profile = sample(seconds, stopped)
                made.append(profile.collapsed() if form == "collapsed" else profile.speedscope(self._name))
            finally:
                with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends, and nobody waits
                    loop.call_soon_threadsafe(done.set)

        threading.Thread(target=work, name="profile", daemon=True).start()
        try:
            await done.wait()
        finally:
            stopped.set()
            self._is_busy = False
        return made[0]


def _number(text: str) -> float | None:
    """Seconds within the bounds, None where `text` says none."""
    try:
        seconds = float(text) if text else DEFAULT_SECONDS
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 1 <= seconds <= MAX_SECONDS else None
