"""What hls nodes tell of segments."""

from __future__ import annotations

import pytest

from lalmesh.names import ANY_APP, StreamKey
from lalmesh.protocol.hls import PlaylistName, parse_path
from services.hls.events import playlists_of


@pytest.mark.parametrize(("app", "shown"), [("live", "live/cam"), ("a/b", "a/b/cam"), (ANY_APP, "cam")])
def test_playlists_are_named_as_their_urls_are(app: str, shown: str) -> None:
    live, record = playlists_of(StreamKey(app, "cam"))
    assert (live, record) == (f"{shown}.m3u8", f"{shown}/record.m3u8")
    assert parse_path(f"/hls/{live}").name == parse_path(f"/hls/{record}").name == "cam"
    assert parse_path(f"/hls/{record}").resource is PlaylistName.RECORD
