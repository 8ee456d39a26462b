"""From a request for a live stream to its player: HTTP and WebSocket, in every format of `http_formats`."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

from aiohttp import web

from lalmesh.errors import InvalidName, ServiceError
from lalmesh.media import Kind, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.http_gate import WaitingForAnswer
from services.edge.client import Client
from services.edge.client_http import client_of
from services.edge.http_formats import HttpFormat
from services.edge.http_refusal import Refusals
from services.edge.outputs import OutputFormat
from services.edge.player import EdgeContext
from services.edge.player_http import HttpPlayer, WebSocketPlayer
from services.edge.takeover import TakenOver, take_over


class StreamPlaying:
    """Lets the requests of one listener become players."""

    def __init__(self, context: EdgeContext, cors: CorsPolicy, refusals: Refusals, server: str, *, is_secure: bool) -> None:
        """Work for a listener that says that it is `server`, under TLS where it `is_secure`."""
        self._context = context
        self._cors = cors
        self._refusals = refusals
        self._server = server
        self._is_secure = is_secure
        self._loop = asyncio.get_running_loop()

    async def play(self, request: web.Request, form: HttpFormat) -> web.StreamResponse:
        """Let the request's connection be a player of the stream that its path names, or say why not.

        A HEAD is answered as a GET would be, so far as that goes without an end.
        """
        is_socket = request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket"
        protocol = form.protocol(is_socket=is_socket, is_secure=self._is_secure)
        if is_socket and not self._cors.allows_socket(request.headers.get("Origin"), request.host):
            return self._refusals.refuse(request, protocol, 403, "origin", "this page may not open a WebSocket here")
        try:
            stream, client = self._stream_key(request, form), client_of(request, protocol)
            if request.method == "HEAD":
                return await self._ask(request, form, stream, client)
            with WaitingForAnswer(request):
                joining = await self._context.join(stream, client)
        except ServiceError as error:
            return self._refusals.for_error(request, protocol, error)
        output = form.output(self._context, is_socket=is_socket)
        with joining.given_back_unless_taken():
            if output.tells_tracks_once:
                with WaitingForAnswer(request):
                    await joining.relay.settled()
                try:
                    joining.check()
                except ServiceError as error:
                    return self._refusals.for_error(request, protocol, error)
            tracks = joining.relay.outputs.tracks_for(output)
            if (refusal := self._uncarried(request, form, stream, client, tracks)) is not None:
                return refusal
            if is_socket:
                return await self._play_socket(request, WebSocketPlayer(self._context, joining, self._loop), output)
            head = self._head(request, _headers(form, tracks))
            return self._play_http(request, HttpPlayer(self._context, joining, self._loop), head, output)

    async def _ask(self, request: web.Request, form: HttpFormat, stream: StreamKey, client: Client) -> web.StreamResponse:
        """The head of the answer that a player would get, which is no session.

        Raises:
            ServiceError: it would get none.
        """
        output = form.output(self._context, is_socket=False)
        with WaitingForAnswer(request):
            relay = await self._context.relay(stream, client)
            with relay.given_back_unless_taken():
                if output.tells_tracks_once:
                    await relay.settled()
                tracks = relay.outputs.tracks_for(output)
        return self._uncarried(request, form, stream, client, tracks) or web.StreamResponse(headers=_headers(form, tracks))

    def _uncarried(
        self, request: web.Request, form: HttpFormat, stream: StreamKey, client: Client, tracks: TrackSet
    ) -> web.StreamResponse | None:
        """The refusal of a player of tracks of which the format carries none."""
        if form.carries_some(self._context, tracks):
            return None
        codecs = ", ".join(track.codec.value for track in tracks.tracks if track.kind is not Kind.DATA)
        detail = f"{stream}: {form.name} cannot carry any of its tracks ({codecs})"
        return self._refusals.refuse(request, client.protocol, 406, "codec", detail)

    def _stream_key(self, request: web.Request, form: HttpFormat) -> StreamKey:
        """The stream that the path names.

        Raises:
            InvalidName: it names none that is allowed.
        """
        raw = request.rel_url.raw_path.strip("/").removesuffix(form.suffix)
        try:
            parts = [unquote(part, errors="strict") for part in raw.split("/")]
        except UnicodeDecodeError:
            raise InvalidName("stream name is not UTF-8") from None
        if any("/" in part for part in parts):
            raise InvalidName("encoded slash in a stream name")
        return self._context.stream_key("/".join(parts[:-1]), parts[-1])

    def _play_http(self, request: web.Request, player: HttpPlayer, head: bytes, output: OutputFormat) -> web.StreamResponse:
        transport = take_over(request, player)
        if transport is not None:
            transport.write(head)
            player.start(transport, output)
        return TakenOver()

    def _head(self, request: web.Request, headers: dict[str, str]) -> bytes:
        said = {"Server": self._server, **headers, "Connection": "close"} | self._cors.headers(request.headers.get("Origin"))
        lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in said.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    async def _play_socket(self, request: web.Request, player: WebSocketPlayer, output: OutputFormat) -> web.StreamResponse:
        upgrade = web.WebSocketResponse(compress=False, autoping=False, autoclose=False)
        if not upgrade.can_prepare(request).ok:
            return self._refusals.refuse(request, player.client.protocol, 400, "upgrade", "not a WebSocket handshake")
        await upgrade.prepare(request)
        transport = take_over(request, player)
        if transport is not None:
            player.start(transport, output)
        return TakenOver()


def _headers(form: HttpFormat, tracks: TrackSet) -> dict[str, str]:
    return {"Content-Type": form.content_type(tracks), "Cache-Control": "no-store"}
