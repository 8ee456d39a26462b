"""The formats that players ask for over HTTP and WebSocket, by the ending of the path: one line a format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lalmesh.container.fmp4 import mime_type
from lalmesh.media import Kind, TrackSet
from lalmesh.remux import (
    FlvPackager,
    Fmp4Packager,
    Packager,
    TsPackager,
    WebSocketFlvPackager,
    WebSocketFmp4Packager,
    WebSocketTsPackager,
)
from services.edge.outputs import OutputFormat
from services.edge.player import EdgeContext


@dataclass(slots=True, frozen=True, kw_only=True)
class HttpFormat:
    """One of them."""

    suffix: str  #: of the path
    name: str  #: what sessions, metrics and announcements call it
    content_type: Callable[[TrackSet], str]
    packager: Callable[[EdgeContext], Packager]
    socket_packager: Callable[[EdgeContext], Packager]
    transcodes: bool  #: whether it gets AAC for G.711
    tells_tracks_once: bool = False  #: whether players over HTTP, not WebSocket, hear of the tracks at their start only

    def protocol(self, *, is_socket: bool, is_secure: bool) -> str:
        """What sessions of it are called: ``http-flv``, ``https-flv``, ``ws-flv``, ``wss-flv`` ..."""
        return f"{'ws' if is_socket else 'http'}{'s' if is_secure else ''}-{self.name}"

    def output(self, context: EdgeContext, *, is_socket: bool) -> OutputFormat:
        """What a relay is asked for; with TLS or without, the bytes are the same."""
        packager = self.socket_packager if is_socket else self.packager
        key = self.protocol(is_socket=is_socket, is_secure=False)
        return OutputFormat(
            key=key,
            name=self.name,
            packager=lambda: packager(context),
            transcodes=self.transcodes,
            tells_tracks_once=self.tells_tracks_once and not is_socket,
        )

    def carries_some(self, context: EdgeContext, tracks: TrackSet) -> bool:
        """Whether it can carry one of `tracks`, or there is none yet."""
        left_out = self.packager(context).left_out(tracks)
        media = [track for track in tracks.tracks if track.kind is not Kind.DATA]
        return not media or any(track not in left_out for track in media)


FORMATS = (
    HttpFormat(
        suffix=".flv",
        name="flv",
        content_type=lambda tracks: "video/x-flv",
        packager=lambda context: FlvPackager(context.body_muxer()),
        socket_packager=lambda context: WebSocketFlvPackager(context.body_muxer()),
        transcodes=False,
    ),
    HttpFormat(
        suffix=".ts",
        name="ts",
        content_type=lambda tracks: "video/mp2t",
        packager=lambda context: TsPackager(),
        socket_packager=lambda context: WebSocketTsPackager(),
        transcodes=True,
    ),
    HttpFormat(
        suffix=".mp4",
        name="fmp4",
        content_type=mime_type,
        packager=lambda context: Fmp4Packager(),
        socket_packager=lambda context: WebSocketFmp4Packager(),
        transcodes=True,
        tells_tracks_once=True,
    ),
)


def format_of(path: str) -> HttpFormat | None:
    """The format that the ending of `path` asks for."""
    return next((one for one in FORMATS if path.endswith(one.suffix)), None)
