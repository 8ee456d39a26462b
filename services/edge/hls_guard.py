"""Whether a request for HLS or a recording may go on to an hls node, and what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from aiohttp import web

from lalmesh.errors import InvalidName, RemoteProtocolError
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.protocol.hls import parse_path
from lalmesh.runtime import telemetry
from lalmesh.runtime.authorisation import Access, Action, Admitted, HlsAccess, Redirected
from lalmesh.runtime.record_paths import RECORDINGS, parse_record_path
from services.edge.client import now_us
from services.edge.client_http import client_of
from services.edge.hls_counting import Asked

PATHS_KEPT = 1000  #: that need not be told apart again: those of the playlists that are played here, and what is new of their files


@dataclass(slots=True, frozen=True)
class Passed:
    """A request that goes on."""

    query: str  #: for the node
    is_checked: bool  #: otherwise the node decides, and nobody else may have its answer
    asked: Asked | None = None  #: what it is for; None where the node has to find out, or it is no part of a live stream
    traceparent: str = ""  #: of its query, which that has no more; empty where there was none that counts
    trace: telemetry.TraceContext | None = None  #: what its client says that it is a part of
    asked_us: int = 0  #: when it arrived, Unix microseconds


class HlsGuard:
    """Asks before requests are passed on. Where the URL leaves the application out, the node has to find it, and decides."""

    def __init__(self, access: Access, scheme: str, *, match_app: bool) -> None:
        """Decide by `access` about requests of `scheme`."""
        self._access = HlsAccess(access)
        self._scheme = scheme
        self._match_app = match_app

    async def admit(self, request: web.Request) -> Passed | Redirected:
        """Let a request through, or have its client ask with a pass.

        Raises:
            AccessRefused: it may not.
        """
        asked_us = now_us()
        trace, traceparent, query = telemetry.from_request(request.headers, request.rel_url.raw_query_string)
        asked, found = await self._admitted(request, query)
        if isinstance(found, Redirected):
            return Redirected(telemetry.with_context(found.query, traceparent))
        is_checked = found is not None
        return Passed(found.query if found is not None else query, is_checked, asked, traceparent, trace, asked_us)

    async def _admitted(self, request: web.Request, query: str) -> tuple[Asked | None, Admitted | Redirected | None]:
        """What a request is for, and what comes of it; None where the node has to decide."""
        if request.path.startswith(RECORDINGS):
            return None, await self._recording(request) if self._access.is_guarded else Admitted(query)
        asked = self._asked(request.rel_url.raw_path)
        if not self._access.is_guarded:
            return asked, Admitted(query)
        if asked is None:
            return None, None
        wanted = client_of(request, f"{self._scheme}-hls").request(Action.PLAY, asked.stream)
        return asked, await self._access.hls(wanted, is_playlist=asked.is_playlist)

    def _asked(self, path: str) -> Asked | None:
        """What `path` is for; None where the node has to say what is wrong with it, or of which application it is."""
        return _asked(path, self._match_app)

    async def _recording(self, request: web.Request) -> Admitted | None:
        try:
            stream = parse_record_path(request.rel_url.raw_path, match_app=self._match_app).stream
        except InvalidName:
            return None
        if stream is None:
            return await self._access.recording(None)
        return await self._access.recording(client_of(request, f"{self._scheme}-record").request(Action.PLAY, stream))


@lru_cache(PATHS_KEPT)
def _asked(path: str, match_app: bool) -> Asked | None:
    try:
        found = parse_path(path)
    except (InvalidName, RemoteProtocolError):
        return None
    if found.app is None and match_app:
        return None
    return Asked(found, StreamKey(found.app if found.app is not None and match_app else ANY_APP, found.name))
