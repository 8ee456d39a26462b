from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import UnsupportedError
from lalmesh.protocol.rtsp import _url
from lalmesh.protocol.rtsp._url import ControlUrls, RtspUrl, StreamPath, base_url, resolve_control, split_path

DAHUA = "rtsp://h/cam/realmonitor?channel=1&subtype=0"


def match_control(uri: str, base: str, controls: Sequence[str], taken: Collection[int] = ()) -> int | None:
    return ControlUrls(base, controls).match(uri, taken)


@pytest.mark.parametrize(
    ("url", "host", "port", "rest"),
    [
        ("rtsp://h/live/cam", "h", 554, "/live/cam"),
        ("RTSPS://H:5322/live/cam?a=b", "h", 5_322, "/live/cam?a=b"),
        ("rtsps://h", "h", 322, ""),
        ("rtsp://[fe80::1]:5544/a", "fe80::1", 5_544, "/a"),
        ("rtsp://h?x=1/2", "h", 554, "?x=1/2"),
    ],
)
def test_urls_are_taken_apart_and_put_together(url: str, host: str, port: int, rest: str) -> None:
    parsed = RtspUrl.parse(url)
    assert (parsed.host, parsed.port, parsed.rest) == (host, port, rest)
    assert parsed.tls is url.lower().startswith("rtsps:")
    assert RtspUrl.parse(str(parsed)) == parsed


def test_user_and_password_are_kept_out_of_what_is_sent_and_shown() -> None:
    url = RtspUrl.parse("rtsp://ad%3Amin:p@ss:w%2Ford@10.0.0.2:554/Streaming/Channels/101?a@b")
    assert (url.user, url.password) == ("ad:min", "p@ss:w/ord")
    assert str(url) == "rtsp://10.0.0.2/Streaming/Channels/101?a@b"
    assert "p@ss" not in repr(url)


@pytest.mark.parametrize(
    "url", ["", "h/live", "rtsp://", "rtsp:///live", "rtsp://h:x/", "rtsp://h:0/", "rtsp://h:65536/", "rtsp://a b/"]
)
def test_what_is_no_url_is_an_error(url: str) -> None:
    with pytest.raises(ValueError):
        RtspUrl.parse(url)


def test_another_scheme_is_not_supported() -> None:
    with pytest.raises(UnsupportedError):
        RtspUrl.parse("http://h/")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("rtsp://h:5544/live/cam", StreamPath("live", "cam", "")),
        ("rtsp://h/a/b/c%20d/?k=v/", StreamPath("a/b", "c d", "k=v")),
        ("/live/cam", StreamPath("live", "cam", "")),
        ("rtsp://h", StreamPath("", "", "")),
        ("*", StreamPath("", "*", "")),
        ("/live/cam?from=http://x/y", StreamPath("live", "cam", "from=http://x/y")),
        ("rtsp://h/../x", StreamPath("..", "x", "")),
    ],
)
def test_a_uri_names_a_stream(uri: str, expected: StreamPath) -> None:
    assert split_path(uri) == expected


@pytest.mark.parametrize(
    ("content_base", "content_location", "expected"),
    [
        ("rtsp://h/b/", "rtsp://h/l", "rtsp://h/b/"),
        ("", "rtsp://h/l", "rtsp://h/l"),
        ("", "", "rtsp://h/r"),
        ("/b/", "", "rtsp://h/r"),
        (" rtsp://h/b/ ", "", "rtsp://h/b/"),
    ],
)
def test_the_base_is_found_in_the_order_of_rfc_2326(content_base: str, content_location: str, expected: str) -> None:
    assert base_url("rtsp://h/r", content_base, content_location) == expected  # §C.1.1


@pytest.mark.parametrize(
    ("base", "control", "expected"),
    [
        ("rtsp://h/live/cam/", "trackID=1", "rtsp://h/live/cam/trackID=1"),
        ("rtsp://h/live/cam", "trackID=1", "rtsp://h/live/cam/trackID=1"),
        ("rtsp://h/live/cam", "/trackID=1", "rtsp://h/live/cam/trackID=1"),
        ("rtsp://h/live/cam", "*", "rtsp://h/live/cam"),
        ("rtsp://h/live/cam", "", "rtsp://h/live/cam"),
        ("rtsp://h/live/cam", "RTSP://x:8554/y", "RTSP://x:8554/y"),
        ("rtsp://h/live/cam/", "?ctype=video", "rtsp://h/live/cam?ctype=video"),
        (f"{DAHUA}/", "trackID=0", f"{DAHUA}/trackID=0"),
    ],
)
def test_control_urls_are_resolved_as_clients_do(base: str, control: str, expected: str) -> None:
    assert resolve_control(base, control) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://h/live/cam?k=v/trackID=1",  # ffmpeg, VLC
        "rtsp://h/live/cam/trackID=1?k=v",  # GStreamer
        "rtsp://h/live/cam/trackID=1",
        "rtsp://10.0.0.1:5544/live/cam/trackID%3D1/",
    ],
)
def test_a_track_is_found_by_any_way_to_write_its_url(uri: str) -> None:
    assert match_control(uri, "rtsp://h/live/cam?k=v/", ["trackID=0", "trackID=1"]) == 1


def test_absolute_controls_are_found() -> None:
    controls = ["rtsp://192.168.1.64:554/Streaming/Channels/101/trackID=1?transportmode=unicast", "trackID=2"]
    assert match_control(controls[0], "rtsp://h/", controls) == 0


@pytest.mark.parametrize(
    "uri", ["rtsp://h/live/c m/?k=v?ctype=video", "rtsp://h/live/c m?ctype=video", "/live/c m?ctype=video?k=v"]
)
def test_a_control_that_is_a_query_is_found_by_any_way_to_write_it(uri: str) -> None:
    assert match_control(uri, "rtsp://h/live/c%20m/?k=v", ["?ctype=audio", "?ctype=video"]) == 1


def test_what_tracks_are_compared_by_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def unquoted(text: str, **said: str) -> str:
        decoded.append(text)
        return unquote(text, **said)

    monkeypatch.setattr(_url, "unquote", unquoted)
    urls = ControlUrls("rtsp://h/live/t?" + "%41" * 5000, [f"t{track}" for track in range(16)])
    assert len(decoded) < 30
    decoded.clear()
    assert [urls.match(f"rtsp://x/live/t/t{track % 17}") for track in range(1000)][15:18] == [15, None, 0]
    assert sum(map(len, decoded)) < 1000 * 20


def test_another_track_is_not_found() -> None:
    for uri in ("rtsp://h/live/cam", "rtsp://h/live/cam/trackID=2", "rtsp://h/live/cam/x/trackID=0", "*"):
        assert match_control(uri, "rtsp://h/live/cam/", ["trackID=0", "trackID=1"]) is None
    assert match_control("rtsp://h/a", "rtsp://h/a", []) is None


def test_the_only_track_goes_by_the_url_of_the_presentation_too() -> None:
    assert match_control("rtsp://h/live/cam", "rtsp://h/live/cam/", ["trackID=0"]) == 0


def test_tracks_with_the_same_control_are_taken_in_turn() -> None:
    for controls in (["", ""], ["a", "a"], ["*", ""]):
        uri = resolve_control("rtsp://h/x", controls[0])
        assert [match_control(uri, "rtsp://h/x", controls, taken) for taken in ((), (0,), (0, 1))] == [0, 1, 0]


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_url_or_none(uri: str, base: str, control: str) -> None:
    split_path(uri)
    match_control(uri, base_url(uri, base), [control, "x"])
    assert match_control(resolve_control(base, control), base, [control]) == 0
    try:
        RtspUrl.parse(f"rtsp://{uri}")
    except ValueError:
        return
