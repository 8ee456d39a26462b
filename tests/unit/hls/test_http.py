"""Playlists over HTTP: zipped once for all."""

from __future__ import annotations

import gzip

import pytest

from lalmesh.protocol.hls import parse_file_name
from services.hls.answer import file_answer, playlist_answer
from services.hls.http import ZippedPlaylists

TEXT = "#EXTM3U\n" * 500


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("deflate, X-GZIP", True), ("", False), ("br", False), ("gzip;q=0", False)],
)
def test_playlists_are_zipped_for_players_that_take_it(accepted: str, zipped: bool) -> None:
    answer = ZippedPlaylists().encoded(playlist_answer(TEXT, 1), accepted)
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert (gzip.decompress(answer.body) if zipped else answer.body).decode() == TEXT
    assert ("Content-Encoding" in answer.headers) is zipped


def test_the_same_playlist_is_zipped_once() -> None:
    made = ZippedPlaylists()
    first, again = (made.encoded(playlist_answer(TEXT, 1), "gzip").body for _ in range(2))
    assert first is again


def test_segments_and_short_playlists_go_as_they_are() -> None:
    made = ZippedPlaylists()
    segment = file_answer(parse_file_name("1.1-1.ts"), bytes(5000))
    assert "Content-Encoding" not in made.encoded(segment, "gzip").headers
    assert "Content-Encoding" not in made.encoded(playlist_answer("#EXTM3U", 1), "gzip").headers
