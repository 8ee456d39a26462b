"""Fuzz: what players ask for: paths, names of files, delivery directives, queries."""

from contextlib import suppress
from urllib.parse import parse_qsl

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.errors import InvalidName, RemoteProtocolError
    from lalmesh.protocol.hls import MediaPlaylist, answer_to, kept_query, parse_file_name, parse_path, parse_reload, render_media

PLAYLIST = MediaPlaylist(target_duration_s=2, media_sequence=7, part_target=45_000)


def target(data: bytes) -> None:
    text = data.decode("latin-1")
    path, _, query = text.partition("?")
    with suppress(InvalidName, RemoteProtocolError):
        parse_path(f"/hls/{path}")
    with suppress(RemoteProtocolError):
        assert str(parse_file_name(path)) == path
    render_media(PLAYLIST, query=kept_query(query))
    answer_to(PLAYLIST, parse_reload(dict(parse_qsl(query, keep_blank_values=True))))


fuzz(target)
