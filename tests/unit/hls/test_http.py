"""Playlists over HTTP: zipped once for all."""

from __future__ import annotations

import gzip

import pytest

from lalmesh.protocol.hls import parse_file_name
from services.hls.answer import file_answer, playlist_answer
from services.hls.cors import CorsPolicy
from services.hls.http import ZippedPlaylists

TEXT = "#EXTM3U\n" * 500


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("deflate, X-GZIP", True), ("", False), ("br", False), ("gzip;q=0", False)],
)
def test_playlists_are_zipped_for_players_that_take_it(accepted: str, zipped: bool) -> None:
    response = ZippedPlaylists().response(playlist_answer(TEXT, 1), accepted)
    assert response.headers["Vary"] == "Accept-Encoding"
    body = response.body
    assert isinstance(body, bytes)
    assert (gzip.decompress(body) if zipped else body).decode() == TEXT
    assert ("Content-Encoding" in response.headers) is zipped


def test_the_same_playlist_is_zipped_once() -> None:
    made = ZippedPlaylists()
    first, again = (made.response(playlist_answer(TEXT, 1), "gzip").body for _ in range(2))
    assert first is again


def test_segments_and_short_playlists_go_as_they_are() -> None:
    made = ZippedPlaylists()
    segment = file_answer(parse_file_name("1.1-1.ts"), bytes(5000))
    assert "Content-Encoding" not in made.response(segment, "gzip").headers
    assert "Content-Encoding" not in made.response(playlist_answer("#EXTM3U", 1), "gzip").headers


def test_pages_may_read_what_they_are_allowed_to() -> None:
    policy = CorsPolicy(("https://example.org/",))
    assert policy.headers("https://EXAMPLE.org")["Access-Control-Allow-Origin"] == "https://EXAMPLE.org"
    assert policy.headers("https://other.org") == {"Vary": "Origin"}
    assert CorsPolicy(("*",)).headers(None) == {"Access-Control-Allow-Origin": "*"}
    assert CorsPolicy(()).headers("https://example.org") == {}
