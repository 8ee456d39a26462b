"""The URLs under ``/hls/``: playlists, and the files that they list.

Each stream has one folder, ``/hls/APP/NAME/``, for all its files. Its playlists are named in several ways, since players of older
servers know them by other names; each lists the files by a path relative to its own (`HlsPath.folder`), so that caches hold a file
once.

An application may have several parts and may be left out, which would be ambiguous if any name could be a stream's. It is not:
``index``, ``live``, ``playlist`` and ``record`` are no stream names here. ``/hls/X/playlist.m3u8`` is therefore never the stream
``playlist`` of the application X: it is the stream X whose application was left out, to be looked up as the only one of that name.
``/hls/X/Y/playlist.m3u8`` is always the stream Y of the application X.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote, unquote

from lalmesh.errors import InvalidName, RemoteProtocolError
from lalmesh.names import StreamKey
from lalmesh.protocol.hls._names import FileName, parse_file_name

PREFIX = "/hls/"
PLAYLIST_SUFFIX = ".m3u8"

_ANY_APP = "live"  # stands in where the application is left out: a name is as good in one as in any other


class PlaylistName(Enum):
    """The playlists of a stream. Their names are no stream names."""

    INDEX = "index"  #: multivariant playlist over `LIVE`
    LIVE = "live"  #: fMP4, low latency
    PLAYLIST = "playlist"  #: MPEG-TS, version 3
    RECORD = "record"  #: what was kept since the stream began


_RESERVED = {name.value: name for name in PlaylistName}


@dataclass(slots=True, frozen=True)
class HlsPath:
    """What a URL under ``/hls/`` asks for."""

    app: str | None  #: one part or several, joined with ``/``; None where the URL leaves it out
    name: str  #: name of the stream
    resource: PlaylistName | FileName
    depth: int  #: folders between ``/hls/`` and the last part of the URL

    def folder(self, stream: StreamKey) -> str:
        """The way from this URL to the files of `stream`, which it was found to ask for: the `base` of its playlists.

        Percent-encoded, empty or ending with a slash.
        """
        if self.app == stream.app:
            return "" if self.depth == len(_parts(stream)) else f"{quote(stream.name, safe='')}/"
        return "../" * self.depth + "".join(f"{quote(part, safe='')}/" for part in _parts(stream))


def parse_path(path: str) -> HlsPath:
    """Tell what `path` asks for.

    Args:
        path: of the URL, percent-encoded as it was received, without the query.
    Raises:
        InvalidName: a name in it is none of a stream or an application (see `lalmesh.names`), or no UTF-8.
        RemoteProtocolError: nothing that is served has such a path.
    """
    if not path.startswith(PREFIX):
        raise RemoteProtocolError(f"path outside {PREFIX}")
    *folders, last = [_decoded(part) for part in path.removeprefix(PREFIX).split("/")]
    if not last.endswith(PLAYLIST_SUFFIX):
        return _in_folder(folders, parse_file_name(last))
    name = last.removesuffix(PLAYLIST_SUFFIX)
    if (playlist := _RESERVED.get(name)) is not None and folders:
        return _in_folder(folders, playlist)
    return _checked(folders, name, PlaylistName.PLAYLIST, len(folders))


def _in_folder(folders: list[str], resource: PlaylistName | FileName) -> HlsPath:
    if not folders:
        raise RemoteProtocolError("path that names no stream")
    return _checked(folders[:-1], folders[-1], resource, len(folders))


def _checked(app: list[str], name: str, resource: PlaylistName | FileName, depth: int) -> HlsPath:
    if name in _RESERVED:
        raise InvalidName(f"{name!r} is the name of a playlist, not of a stream")
    key = StreamKey.of("/".join(app) if app else _ANY_APP, name)
    return HlsPath(key.app if app else None, key.name, resource, depth)


def _decoded(part: str) -> str:
    try:
        text = unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise InvalidName("stream name is not UTF-8") from None
    if "/" in text:
        raise InvalidName("encoded slash in a stream name")
    return text


def _parts(stream: StreamKey) -> list[str]:
    return [*stream.app.split("/"), stream.name]
