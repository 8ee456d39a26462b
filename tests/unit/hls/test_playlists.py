"""For how long caches may keep a playlist."""

from __future__ import annotations

import pytest

from lalmesh.media import TICKS_PER_SECOND
from lalmesh.protocol.hls import MediaPlaylist
from services.hls.playlists import live_answer


@pytest.mark.parametrize(
    ("target_s", "part_ticks", "blocked", "kept_s"),
    [
        (1, None, False, 0),  # segments of half a second: a second later two of three that a player has ahead are gone
        (2, None, False, 1),
        (5, None, False, 2),
        (1, TICKS_PER_SECOND // 5, False, 0),
        (6, TICKS_PER_SECOND // 2, False, 1),
        (6, TICKS_PER_SECOND // 2, True, 36),
    ],
)
def test_a_live_playlist_is_kept_for_half_a_target_duration_at_most(
    target_s: int, part_ticks: int | None, blocked: bool, kept_s: int
) -> None:
    playlist = MediaPlaylist(target_duration_s=target_s, media_sequence=1, part_target=part_ticks)
    assert live_answer(playlist, "text", blocked=blocked).headers["Cache-Control"] == f"max-age={kept_s}"


def test_that_of_a_stream_that_is_over_is_kept_for_longer() -> None:
    playlist = MediaPlaylist(target_duration_s=1, media_sequence=1, ended=True)
    assert live_answer(playlist, "text", blocked=False).headers["Cache-Control"] == "max-age=60"
