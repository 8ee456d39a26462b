"""Playlists over HTTP: zipped once for all."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from lalmesh.protocol.hls import parse_file_name
from services.hls import http
from services.hls.answer import file_answer, playlist_answer, refusal
from services.hls.http import ZippedPlaylists

TEXT = "#EXTM3U\n" * 500


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("deflate, X-GZIP", True), ("", False), ("br", False), ("gzip;q=0", False)],
)
async def test_playlists_are_zipped_for_players_that_take_it(accepted: str, zipped: bool) -> None:
    answer = await ZippedPlaylists().encoded(playlist_answer(TEXT, 1), accepted)
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert (gzip.decompress(answer.body) if zipped else answer.body).decode() == TEXT
    assert ("Content-Encoding" in answer.headers) is zipped


@pytest.mark.parametrize("times", [1, 20])
async def test_the_same_playlist_is_zipped_once(times: int) -> None:
    made = ZippedPlaylists()
    first, again = [(await made.encoded(playlist_answer(TEXT * times, 1), "gzip")).body for _ in range(2)]
    assert first is again


async def test_a_long_playlist_is_zipped_beside_the_loop_and_once_for_all_who_ask() -> None:
    made, long = ZippedPlaylists(), playlist_answer(TEXT * 20, 1)
    asked = [asyncio.ensure_future(made.encoded(long, "gzip")) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(one.done() for one in asked)
    bodies = [answer.body for answer in await asyncio.gather(*asked)]
    assert gzip.decompress(bodies[0]) == long.body
    assert all(body is bodies[0] for body in bodies)


async def test_what_is_too_long_to_be_kept_is_zipped_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ZIPPED_BODY_BYTES", len(TEXT) - 1)
    made = ZippedPlaylists()
    first, again = [(await made.encoded(playlist_answer(TEXT, 1), "gzip")).body for _ in range(2)]
    assert first == again
    assert first is not again


async def test_segments_and_short_playlists_go_as_they_are() -> None:
    made = ZippedPlaylists()
    segment = file_answer(parse_file_name("1.1-1.ts"), bytes(5000))
    assert "Content-Encoding" not in (await made.encoded(segment, "gzip")).headers
    assert "Content-Encoding" not in (await made.encoded(playlist_answer("#EXTM3U", 1), "gzip")).headers


@pytest.mark.parametrize(("status", "control"), [(404, "max-age=1"), (400, "no-store"), (406, "no-store"), (503, "no-store")])
def test_that_something_is_not_there_may_be_kept_for_a_moment_and_no_other_refusal(status: int, control: str) -> None:
    answer = refusal(status, "no")
    assert answer.headers["Cache-Control"] == control
    assert ("Retry-After" in answer.headers) is (status == 503)
