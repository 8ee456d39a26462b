"""Whether a request for HLS or a recording may go on to an hls node, and what that is told of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from aiohttp import web

from lalmesh.errors import InvalidName, RemoteProtocolError
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.protocol.hls import PlaylistName, parse_path
from lalmesh.runtime.authorisation import EDGE_HEADER, Access, Action, Admitted, FromEdge, HlsAccess, Redirected
from lalmesh.runtime.record_paths import RECORDINGS, parse_record_path
from services.edge.client_http import client_of


@dataclass(slots=True, frozen=True)
class Passed:
    """A request that goes on."""

    target: str  #: path and query for the node
    header: str  #: that says so, and whose it is
    is_checked: bool  #: otherwise the node decides, and nobody else may have its answer


class HlsGuard:
    """Asks before requests are passed on. Where the URL leaves the application out, the node has to find it, and decides."""

    def __init__(self, access: Access, scheme: str, *, match_app: bool) -> None:
        """Decide by `access` about requests of `scheme`."""
        self._access = HlsAccess(access)
        self._headers = access.edge_headers
        self._scheme = scheme
        self._match_app = match_app

    async def admit(self, request: web.Request) -> Passed | Redirected:
        """Let a request through, or have its client ask with a pass.

        Raises:
            AccessRefused: it may not.
        """
        if not self._access.is_guarded:
            return self._passed(request, Admitted(request.rel_url.raw_query_string))
        if request.path.startswith(RECORDINGS):
            return self._passed(request, await self._recording(request))
        try:
            found = parse_path(request.rel_url.raw_path)
        except (InvalidName, RemoteProtocolError):
            return self._passed(request, None)  # the node says what is wrong with it
        if found.app is None and self._match_app:
            return self._passed(request, None)
        stream = StreamKey(found.app if found.app is not None and self._match_app else ANY_APP, found.name)
        wanted = client_of(request, f"{self._scheme}-hls").request(Action.PLAY, stream)
        admitted = await self._access.hls(wanted, is_playlist=isinstance(found.resource, PlaylistName))
        return admitted if isinstance(admitted, Redirected) else self._passed(request, admitted)

    async def _recording(self, request: web.Request) -> Admitted | None:
        try:
            stream = parse_record_path(request.rel_url.raw_path, match_app=self._match_app).stream
        except InvalidName:
            return None
        if stream is None:
            return await self._access.recording(None)
        return await self._access.recording(client_of(request, f"{self._scheme}-record").request(Action.PLAY, stream))

    def _passed(self, request: web.Request, admitted: Admitted | None) -> Passed:
        query = admitted.query if admitted is not None else request.rel_url.raw_query_string
        target = f"{request.rel_url.raw_path}?{query}" if query else request.rel_url.raw_path
        said = FromEdge(client_of(request, self._scheme).address, admitted is not None)
        return Passed(target, self._headers.make(target, said, time.time()), said.is_checked)


def header_of(passed: Passed) -> dict[str, str]:
    """What the node is told."""
    return {EDGE_HEADER: passed.header}
