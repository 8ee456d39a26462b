"""Playlists as answers: what the window of a rendition says, for how long it may be cached, rendered once for many players."""

from __future__ import annotations

from lalmesh.protocol.hls import MediaPlaylist, render_media
from services.hls.answer import BLOCKED_TARGETS, Answer, playlist_answer

MAX_RENDERED = 64  #: texts of one playlist: full and delta, with the queries of a few players
ENDED_MAX_AGE_S = 60  #: a stream may come back under its name


class Rendered:
    """The texts of the newest playlist of one rendition."""

    def __init__(self) -> None:
        """Start with none."""
        self._playlist: MediaPlaylist | None = None
        self._texts: dict[tuple[bool, str, str], str] = {}

    def text(self, playlist: MediaPlaylist, *, skip: bool, query: str, base: str) -> str:
        """The text of `playlist`, from here if it was rendered so before."""
        if playlist is not self._playlist:
            self._playlist = playlist
            self._texts.clear()
        key = (skip, query, base)
        text = self._texts.get(key)
        if text is None:
            text = render_media(playlist, skip=skip, query=query, base=base)
            if len(self._texts) < MAX_RENDERED:
                self._texts[key] = text
        return text


def live_answer(playlist: MediaPlaylist, text: str, *, blocked: bool) -> Answer:
    """A live playlist as an answer. Caches keep it as draft-pantos-hls-rfc8216bis appendix B says."""
    if playlist.ended:
        return playlist_answer(text, ENDED_MAX_AGE_S)
    if blocked:
        return playlist_answer(text, BLOCKED_TARGETS * playlist.target_duration_s)
    half_s = playlist.target_duration_s // 2  # rounded down: kept for longer, players of short segments would run dry
    return playlist_answer(text, half_s if playlist.part_target is None else min(1, half_s))
