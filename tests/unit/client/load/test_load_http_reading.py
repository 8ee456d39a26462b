"""Answers of HTTP servers, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.client import InvalidUrl
from lalmesh.client.load._http_reading import MAX_HEAD_BYTES, HttpUrl, ResponseReader
from lalmesh.errors import LimitExceeded, RemoteProtocolError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n"
SIZED = HEAD + b"Content-Length: 11\r\n\r\nhello world"
ENDLESS = HEAD + b"\r\nhello world"


def read(data: bytes, cuts: list[int]) -> tuple[ResponseReader, bytes]:
    reader, body, before = ResponseReader(), b"", 0
    for cut in [*sorted({cut % len(data) for cut in cuts}), len(data)]:
        body += reader.feed(data[before:cut])
        before = cut
    return reader, body


@given(st.sampled_from([CHUNKED, SIZED, ENDLESS]), st.lists(st.integers(0, 200), max_size=12))
def test_any_split_gives_the_same_body(data: bytes, cuts: list[int]) -> None:
    reader, body = read(data, cuts)
    assert (reader.status, reader.reason, body) == (200, "OK", b"hello world")
    assert reader.is_whole is (data is not ENDLESS)
    assert reader.headers["content-type"] == "video/x-flv"


@given(st.sampled_from([CHUNKED, SIZED]), st.lists(st.integers(0, 200), max_size=12))
def test_what_comes_behind_an_answer_is_kept(data: bytes, cuts: list[int]) -> None:
    reader, body = read(data + b"HTTP/1.1 404", cuts)
    assert (body, reader.rest[-3:]) == (b"hello world", b"404")


def test_a_body_of_a_known_length_can_be_passed_over() -> None:
    reader, _ = read(SIZED[:-11], [])
    assert reader.can_be_passed
    assert reader.left == 11
    reader.passed(11)
    assert reader.is_whole
    assert reader.keeps_open


@pytest.mark.parametrize(
    "data",
    [
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        HEAD + b"Content-Length: many\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ResponseReader().feed(data)


def test_heads_and_chunk_lines_are_bounded() -> None:
    with pytest.raises(LimitExceeded):
        ResponseReader().feed(b"HTTP/1.1 200 OK\r\nX: " + bytes(MAX_HEAD_BYTES))
    reader = ResponseReader()
    reader.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(LimitExceeded):
        reader.feed(b"5;" + b"a" * 2000)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_any_bytes_give_a_body_or_an_error_of_the_peer(data: bytes, cuts: list[int]) -> None:
    try:
        reader, body = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data, cuts)
    except RemoteProtocolError:
        return
    assert len(body) + len(reader.rest) <= len(data)


def test_urls_are_taken_apart_and_put_together() -> None:
    url = HttpUrl.parse("wss://me:s%40fe@[::1]:4433/live/a.flv?token=1")
    assert (url.host, url.port, url.target, url.user, url.password) == ("::1", 4433, "/live/a.flv?token=1", "me", "s@fe")
    assert (url.is_encrypted, str(url)) == (True, "wss://[::1]:4433/live/a.flv?token=1")
    assert url.joined("b.flv") == "wss://[::1]:4433/live/b.flv"
    assert HttpUrl.parse("http://h/hls/a/index.m3u8").joined("/x.ts?y") == "http://h/x.ts?y"
    assert url.joined("http://other/x") == "http://other/x"
    for wrong in ("rtmp://h/x", "http://", "http://h:99999/"):
        with pytest.raises(InvalidUrl):
            HttpUrl.parse(wrong)
    for wrong in ("http://[x/0.ts", "//[x/0.ts"):  # of a playlist, or of a redirection
        with pytest.raises(InvalidUrl):
            url.joined_url(wrong)
