from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote, unquote, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import InvalidName, RemoteProtocolError
from lalmesh.names import StreamKey
from lalmesh.protocol.hls import InitName, PartName, PlaylistName, SegmentName, kept_query, parse_path

PARTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\\ufffd"), min_size=1, max_size=20).filter(
    lambda part: part not in (".", "..", "index", "live", "playlist", "record")
)


@pytest.mark.parametrize(
    ("path", "app", "name", "resource"),
    [
        ("/hls/live/cam.m3u8", "live", "cam", PlaylistName.PLAYLIST),
        ("/hls/cam.m3u8", None, "cam", PlaylistName.PLAYLIST),
        ("/hls/a/b/cam.m3u8", "a/b", "cam", PlaylistName.PLAYLIST),
        ("/hls/cam/playlist.m3u8", None, "cam", PlaylistName.PLAYLIST),
        ("/hls/live/cam/playlist.m3u8", "live", "cam", PlaylistName.PLAYLIST),
        ("/hls/live/cam/index.m3u8", "live", "cam", PlaylistName.INDEX),
        ("/hls/live/cam/live.m3u8", "live", "cam", PlaylistName.LIVE),
        ("/hls/live/cam/record.m3u8", "live", "cam", PlaylistName.RECORD),
        ("/hls/cam/record.m3u8", None, "cam", PlaylistName.RECORD),
        ("/hls/a/b/cam/live.m3u8", "a/b", "cam", PlaylistName.LIVE),
        ("/hls/live/cam/1.2-3.ts", "live", "cam", SegmentName(1, 2, 3, "ts")),
        ("/hls/live/cam/1.2-3.4.m4s", "live", "cam", PartName(1, 2, 3, 4)),
        ("/hls/cam/1.2-init0.mp4", None, "cam", InitName(1, 2, 0)),
        ("/hls/live/k%C3%A4se%20%3F.m3u8", "live", "käse ?", PlaylistName.PLAYLIST),
        ("/hls/live/1.2-3.ts.m3u8", "live", "1.2-3.ts", PlaylistName.PLAYLIST),
    ],
)
def test_urls_are_taken_apart(path: str, app: str | None, name: str, resource: object) -> None:
    parsed = parse_path(path)
    assert (parsed.app, parsed.name, parsed.resource) == (app, name, resource)


@pytest.mark.parametrize(
    "path",
    [
        "/hls/index.m3u8",
        "/hls/live/index/live.m3u8",
        "/hls/a/playlist/1.2-3.ts",
        "/hls/record/record.m3u8",
        "/hls/live/live/live.m3u8",
    ],
)
def test_names_of_playlists_are_no_names_of_streams(path: str) -> None:
    with pytest.raises(InvalidName):
        parse_path(path)


@pytest.mark.parametrize(
    "path",
    ["/hls/.m3u8", "/hls//cam.m3u8", "/hls/live/../cam.m3u8", "/hls/a%2Fb/cam.m3u8", "/hls/live/%FF.m3u8", "/hls/l/%0A.m3u8",
     "/hls/a/a/a/a/a/a/a/a/a/cam.m3u8"],
)  # fmt: skip
def test_names_that_are_not_allowed_are_refused(path: str) -> None:
    with pytest.raises(InvalidName):
        parse_path(path)


@pytest.mark.parametrize(
    "path", ["", "/", "/hls", "/hls/", "/live/cam.m3u8", "/hls/live/cam", "/hls/1.2-3.ts", "/hls/live/cam/", "/hls/l/c/x.ts"]
)
def test_paths_of_nothing_are_refused(path: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_path(path)


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/hls/a/b/cam.m3u8", "cam/"),
        ("/hls/a/b/cam/live.m3u8", ""),
        ("/hls/cam.m3u8", "a/b/cam/"),
        ("/hls/cam/playlist.m3u8", "../a/b/cam/"),
        ("/hls/other/cam.m3u8", "../a/b/cam/"),  # an application that does not count
    ],
)
def test_every_playlist_knows_the_way_to_the_files(path: str, folder: str) -> None:
    assert parse_path(path).folder(StreamKey("a/b", "cam")) == folder


@given(
    st.lists(PARTS, min_size=1, max_size=3),
    PARTS,
    st.sampled_from(["{0}.m3u8", "{0}/live.m3u8", "{0}/playlist.m3u8"]),
    st.booleans(),
)
def test_the_way_to_a_file_leads_to_its_url(app: list[str], name: str, form: str, with_app: bool) -> None:
    stream = StreamKey.of("/".join(app), name)
    written = [*app, name] if with_app else [name]
    url = "/hls/" + form.format("/".join(quote(part, safe="") for part in written))
    target = urljoin(url, parse_path(url).folder(stream) + "1.2-3.ts")
    parsed = parse_path(target)
    assert (parsed.app, parsed.name, parsed.resource) == (stream.app, stream.name, SegmentName(1, 2, 3, "ts"))


@given(st.text(max_size=60), st.sampled_from(["", "/hls/"]))
def test_any_path_is_understood_or_refused(path: str, prefix: str) -> None:
    with suppress(InvalidName, RemoteProtocolError):
        parse_path(prefix + path)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("", ""),
        ("token=a%2Fb&_HLS_msn=3&x=1", "token=a%2Fb&x=1"),
        ("_HLS_msn=3&_HLS_part=0&_HLS_skip=YES", ""),
        ("%5FHLS_msn=3&a", "a"),
        ('a="\n#EXT&b={c}', "a=%22%0A%23EXT&b=%7Bc%7D"),
        ("a=ü", "a=%C3%BC"),
    ],
)
def test_the_query_is_kept_but_for_directives(query: str, kept: str) -> None:
    assert kept_query(query) == kept


@given(st.text(max_size=40))
def test_a_kept_query_is_harmless_in_a_playlist_and_keeps_its_meaning(query: str) -> None:
    kept = kept_query(query)
    assert not set(kept) & set('"\r\n #')
    assert kept_query(kept) == kept
    if "_HLS_" not in unquote(query) and "&" not in query:
        assert unquote(kept) == unquote(query)
